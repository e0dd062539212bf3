//! Says what went wrong in the words of the script: where the interpreter speaks of the text that the guard wrote, the
//! place is that in the user's. Separate because it is the only reader of the interpreter's errors.

use starlark_syntax::{Error, ErrorKind};

use super::dialect;
use super::fault::Fault;
use super::lex::{Kind, Token};
use super::meter::Meter;
use super::place::Place;
use super::rewrite::Rewritten;
use crate::error::{nearest, shortened};
use crate::sandbox::error::{QueryError, QueryErrorKind};
use crate::sandbox::limits::Limits;

/// Names of Python that are not there, and what is.
const ELSEWHERE: &[(&str, &str)] = &[
    ("isinstance", "compare `type(x)` with a name, as in `type(x) == \"int\"`"),
    ("Exception", "end the query with `fail(\"why\")`"),
    ("open", "a query cannot read files"),
    ("input", "a query cannot ask back"),
    ("next", "take the first item: `xs[0]`"),
    ("iter", "loop over it"),
    ("format", "write an f-string, as in `f\"{x:.2f}\"`"),
    ("divmod", "use `//` and `%`"),
    ("null", "write `None`"),
    ("true", "write `True`"),
    ("false", "write `False`"),
    ("math", "there is `pow`, `round`, `abs`, `min` and `max`"),
    ("time", "a query sees one instant: `capture.at`"),
    ("datetime", "a query sees one instant: `capture.at`"),
    ("re", "there are no patterns: use `in`, `startswith`, `split` or `replace`"),
    ("itertools", "there is `zip`, `enumerate`, `group_by`, `count_by`"),
    ("collections", "there is `group_by`, `count_by`, `sum_by`"),
    ("statistics", "there is `mean`, `percentile`, `summary`"),
    ("object", "make an object with `struct(name=\"a\")`"),
    ("frozenset", "use `set`"),
];

/// What the parser says about the user's script.
pub(super) fn syntax(error: &Error, source: &str, tokens: &[Token]) -> QueryError {
    let (start, end) = dialect::span(error).unwrap_or((source.len(), source.len()));
    let message = dialect::syntax_message(error);
    let at = |start, end, message: &str| Place::new(source, start, end).error(QueryErrorKind::Syntax, message);
    if message.contains("tabs") {
        return at(start, end, &message).help("indent with spaces");
    }
    if let Some(text) = tokens.iter().find(|token| matches!(token.kind, Kind::Text { is_closed: false, .. })) {
        return at(text.start, text.end, "this text is not closed").help("end it with the quotes that it begins with");
    }
    let before: Vec<Token> = tokens.iter().copied().take_while(|token| token.end <= start).collect();
    let begins_line = source[..start].rsplit('\n').next().is_none_or(|line| line.trim().is_empty());
    let ends_early = message.contains("too early") || message.contains("end of file");
    if let (true, Some(open)) = (begins_line || ends_early, unclosed(&before)) {
        return at(open.start, open.end, &format!("this `{}` is not closed", open.text(source)));
    }
    let line: Vec<&str> =
        before.iter().rev().take_while(|token| token.kind != Kind::Newline).map(|token| token.text(source)).collect();
    let first = line.last().copied().unwrap_or_default();
    if ends_early && matches!(first, "if" | "elif" | "else" | "for" | "def") && !line.contains(&":") {
        return at(start, end, "this line needs a `:` at its end");
    }
    if ends_early && line.contains(&",") && !line.contains(&"=") {
        return at(start, end, "several values need brackets").help("write `(a, b)` or `[a, b]`");
    }
    let ended = before.iter().rev().find(|token| token.kind != Kind::Newline);
    if begins_line && ended.is_some_and(|token| token.text(source) == ":") {
        return at(start, end, "this line belongs to the block before").help("indent it");
    }
    at(start, end, &message)
}

/// The last bracket that is not closed.
fn unclosed(tokens: &[Token]) -> Option<Token> {
    let mut open = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::Open => open.push(*token),
            Kind::Close => drop(open.pop()),
            _ => {}
        }
    }
    open.pop()
}

/// The guard wrote what the parser does not take.
pub(super) fn internal(error: &Error) -> QueryError {
    let message = format!("the checked script cannot be read: {}", dialect::syntax_message(error));
    QueryError::new(QueryErrorKind::Internal, message)
        .help("this is a defect of lens; please report it with the script")
}

/// What went wrong while the script ran.
pub(super) fn runtime(
    error: &Error,
    script: &Rewritten,
    source: &str,
    meter: &Meter,
    known: impl FnOnce() -> Vec<String>,
) -> QueryError {
    let place = dialect::span(error).and_then(|(from, to)| {
        let field = if meter.reads_field.get() { script.field(from, to) } else { None };
        field.or_else(|| script.origin(from, to))
    });
    located(what(error, &meter.limits, known), place, source)
}

/// What is wrong with the script's value.
pub(super) fn answer(
    error: &Error,
    script: &Rewritten,
    source: &str,
    limits: &Limits,
    known: impl FnOnce() -> Vec<String>,
) -> QueryError {
    located(what(error, limits, known), script.last, source)
}

fn located(error: QueryError, place: Option<(usize, usize)>, source: &str) -> QueryError {
    match place {
        Some((start, end)) => Place::new(source, start, end).locate(error),
        None => error,
    }
}

fn what(error: &Error, limits: &Limits, known: impl FnOnce() -> Vec<String>) -> QueryError {
    match error.kind() {
        ErrorKind::Other(inner) | ErrorKind::Native(inner) => match inner.downcast_ref::<Fault>() {
            Some(fault) => fault.0.clone(),
            None => plain(QueryErrorKind::Runtime, &inner.to_string()),
        },
        ErrorKind::Scope(inner) => unknown_name(&inner.to_string(), &known()),
        ErrorKind::Parser(inner) => plain(QueryErrorKind::Syntax, &inner.to_string()),
        ErrorKind::Function(inner) => plain(QueryErrorKind::Argument, &inner.to_string()),
        ErrorKind::Value(inner) => plain(QueryErrorKind::Runtime, &inner.to_string()),
        ErrorKind::StackOverflow(_) => {
            let message = format!("more than {} calls are open at once (`call_depth`)", limits.call_depth);
            QueryError::new(QueryErrorKind::Limit, message)
                .help("a function that calls itself has no end here; use a loop")
        }
        ErrorKind::Internal(inner) => plain(QueryErrorKind::Internal, &inner.to_string()),
        other => plain(QueryErrorKind::Runtime, &other.to_string()),
    }
}

/// The interpreter's own words: one line, and not too long.
fn plain(kind: QueryErrorKind, text: &str) -> QueryError {
    const LONGEST: usize = 400;
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("the script failed").trim();
    // The interpreter calls a function by the name of its file, which the user does not know.
    let line = line.replace("`query.", "`").replace(" query.", " ");
    let line = line.char_indices().nth(LONGEST).map_or(line.as_str(), |(end, _)| &line[..end]);
    let mut characters = line.chars();
    let lower: String = match characters.next() {
        // As our own messages begin.
        Some(first) if characters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => line.to_owned(),
    };
    let error = QueryError::new(kind, lower);
    if line.contains("referenced before assignment") {
        return error.help("give it a value before; within a function a name that is assigned is the function's own");
    }
    error
}

fn unknown_name(text: &str, known: &[String]) -> QueryError {
    match text.split('`').nth(1) {
        Some(name) => unknown(name, known.iter().map(String::as_str)),
        None => plain(QueryErrorKind::UnknownName, text),
    }
}

/// What is called `name` is so in another part of the script.
pub(super) fn elsewhere(name: &str) -> QueryError {
    let message = format!("there is no `{}` here: only the function or list that binds it knows it", shortened(name));
    QueryError::new(QueryErrorKind::UnknownName, message).help("return it, or bind it out here")
}

/// There is nothing called `name`.
pub(super) fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> QueryError {
    let near = nearest(name, known);
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name);
    let shown = shortened(name);
    let message = match (&near, elsewhere) {
        (Some(near), None) => format!("there is no `{shown}`; did you mean `{near}`?"),
        _ => format!("there is no `{shown}`"),
    };
    let error = QueryError::new(QueryErrorKind::UnknownName, message);
    match (elsewhere, near) {
        (Some((_, help)), _) => error.help(*help),
        (None, Some(near)) => QueryError { nearest: Some(near), ..error },
        (None, None) => error.help("GET /debug/lens/skills lists what there is; a text needs quotes"),
    }
}
