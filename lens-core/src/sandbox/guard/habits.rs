//! What people write because Python has it, and what to write instead. Separate because the parser only says which token
//! it did not expect; these errors show the way.

use super::lex::{Kind, Token};
use super::place::Place;
use crate::sandbox::error::{QueryError, QueryErrorKind};

/// Words of Python that the language reserves, and what to do without them.
const WORDS: &[(&str, &str, &str)] = &[
    (
        "while",
        "there is no `while`",
        "loop over a range and leave it early: `for _ in range(1000):` with `if done: break`",
    ),
    ("import", "there is no `import`", "nothing needs it: every skill is there by name, as in `tasks.top(limit=5)`"),
    ("from", "there is no `import`", "nothing needs it: every skill is there by name, as in `tasks.top(limit=5)`"),
    (
        "try",
        "there is no `try`",
        "ask first: `available(x)` for a value, `hasattr(x, \"name\")` for a field, `d.get(key)` for a key",
    ),
    (
        "except",
        "there is no `except`",
        "ask first: `available(x)` for a value, `hasattr(x, \"name\")` for a field, `d.get(key)` for a key",
    ),
    ("finally", "there is no `finally`", "nothing has to be cleaned up: a query cannot change anything"),
    ("raise", "there is no `raise`", "end the query with `fail(\"why\")`"),
    ("class", "there is no `class`", "make an object with `struct(name=\"a\", count=1)`, or use a dict"),
    ("with", "there is no `with`", "nothing has to be closed: a query cannot open anything"),
    ("is", "there is no `is`", "compare with `==`, as in `x == None`"),
    ("del", "there is no `del`", "use `d.pop(key)` or `xs.pop(index)`"),
    ("assert", "there is no `assert`", "write `if not x: fail(\"why\")`"),
    ("yield", "there is no `yield`", "collect into a list and return that"),
    ("global", "there is no `global`", "return the value from the function instead"),
    ("nonlocal", "there is no `nonlocal`", "return the value from the function instead"),
    ("async", "there is no `async`", "a query asks a frozen capture: nothing has to be awaited"),
    ("await", "there is no `await`", "a query asks a frozen capture: nothing has to be awaited"),
    ("load", "there is no `load`", "nothing needs it: every skill and helper is there by name"),
];

/// The first habit in the script, with the way out.
pub(super) fn check(source: &str, tokens: &[Token]) -> Result<(), QueryError> {
    all(source, tokens, 1).into_iter().next().map_or(Ok(()), Err)
}

/// The habits in the script, each with the way out; at most `most` of them.
pub(super) fn all(source: &str, tokens: &[Token], most: usize) -> Vec<QueryError> {
    let mut found = Vec::new();
    let count = |kind: Kind| tokens.iter().filter(|token| token.kind == kind).count();
    let mut brackets = Brackets { is_unclosed: count(Kind::Open) > count(Kind::Close), ..Brackets::default() };
    let mut previous = None;
    for (index, token) in tokens.iter().enumerate() {
        if found.len() >= most {
            break;
        }
        let next = tokens.get(index + 1).copied();
        if let Some((at, message, help)) = habit(source, *token, previous, next, &brackets) {
            found.push(Place::new(source, at.start, at.end).error(QueryErrorKind::Syntax, message).help(help));
        }
        if brackets.is_second_comparison(source, *token, previous) {
            let error = Place::new(source, token.start, token.end)
                .error(QueryErrorKind::Syntax, "comparisons cannot be chained")
                .help("compare twice: `a < b and b < c`");
            found.push(error);
        }
        previous = Some(*token);
    }
    found
}

type Habit = Option<(Token, &'static str, &'static str)>;

fn habit(source: &str, token: Token, previous: Option<Token>, next: Option<Token>, brackets: &Brackets<'_>) -> Habit {
    let text = token.text(source);
    let is_field = previous.is_some_and(|previous| previous.text(source) == ".");
    let found = |message, help| Some((token, message, help));
    match token.kind {
        Kind::Name if text.starts_with("__") => {
            found("names that begin with two underscores are lens's own", "choose another name")
        }
        Kind::Name if text == "for" && brackets.is_in("(") && !brackets.is_unclosed => {
            found("there are no generator expressions", "make a list: `sum([x.n for x in xs])`")
        }
        Kind::Name if text == "for" && brackets.is_set() => found("there is no `{}` for sets", SET),
        // After a dot the parser says that the word is reserved, which is all there is to say.
        Kind::Name if !is_field => {
            let (_, message, help) = WORDS.iter().find(|(word, ..)| *word == text)?;
            found(message, help)
        }
        Kind::Text { .. } if is_field => {
            found("a text stands where a name is needed", "write the name, as in `t.name`, or `getattr(t, name)`")
        }
        Kind::Text { .. } => {
            let second = next.filter(|next| matches!(next.kind, Kind::Text { .. }))?;
            Some((second, "two texts in a row are not joined", "put a `+` between them"))
        }
        Kind::Sign => match text {
            "**" if previous.is_some_and(|previous| ends_operand(previous, source)) => {
                found("there is no `**`", "use `pow(x, y)`, or `x * x`")
            }
            "**" if brackets.is_display("{") => found("a dict cannot be unpacked in `{}`", "merge dicts with `a | b`"),
            "," if brackets.is_set() => found("there is no `{}` for sets", SET),
            "&" if touches(token, next, source) => found("there is no `&&`", "write `and`"),
            "|" if touches(token, next, source) => found("there is no `||`", "write `or`"),
            "=" if brackets.is_second_assignment() => {
                found("assignments cannot be chained", "assign to each name on a line of its own")
            }
            // The parameters of a lambda may have one.
            "*" if brackets.has_lambda => None,
            "*" if brackets.open.is_empty()
                && previous.is_none_or(|token| matches!(token.text(source), "," | "\n")) =>
            {
                found("a list cannot be unpacked here", "take its parts: `first, rest = xs[0], xs[1:]`")
            }
            "*" if starts_element(previous, source) && brackets.is_display("[") => {
                found("a list cannot be unpacked in `[]`", "join lists with `a + b`")
            }
            "**=" => found("there is no `**=`", "use `x = pow(x, y)`"),
            ":=" => found("there is no `:=`", "assign on a line of its own"),
            "@" => found("there are no decorators", "call the function with the other one"),
            "!" => found("there is no `!`", "write `not x`"),
            _ => None,
        },
        _ => None,
    }
}

const SET: &str = "write `set([1, 2])`, or `set([x for x in xs])`";

/// Whether the next token is the same sign, with nothing in between.
fn touches(token: Token, next: Option<Token>, source: &str) -> bool {
    next.is_some_and(|next| next.start == token.end && next.text(source) == token.text(source))
}

/// Whether an expression can end with this token, so that an operator may follow.
fn ends_operand(token: Token, source: &str) -> bool {
    const WORDS: &[&str] = &["and", "or", "not", "in", "if", "else", "for", "lambda", "return", "elif"];
    match token.kind {
        Kind::Name => !WORDS.contains(&token.text(source)),
        Kind::Number | Kind::Text { .. } | Kind::Close => true,
        _ => false,
    }
}

fn starts_element(previous: Option<Token>, source: &str) -> bool {
    previous.is_some_and(|token| matches!(token.text(source), "[" | ","))
}

/// The brackets around a token.
#[derive(Default)]
struct Brackets<'a> {
    open: Vec<Bracket<'a>>,
    /// Whether a comparison is open at the innermost level: a second one would be chained to it.
    is_comparing: bool,
    /// Whether the line has assigned something, which may be a lambda, whose parameters may have defaults.
    has_assigned: bool,
    has_lambda: bool,
    /// Whether a bracket of the script is never closed: what follows it is then not within.
    is_unclosed: bool,
}

struct Bracket<'a> {
    text: &'a str,
    /// Whether it begins a value, rather than a call or an index.
    is_display: bool,
    /// Whether a colon stands right in it, as in a dict.
    has_colon: bool,
    was_comparing: bool,
}

impl<'a> Brackets<'a> {
    fn is_display(&self, text: &str) -> bool {
        self.open.last().is_some_and(|bracket| bracket.is_display && bracket.text == text)
    }

    fn is_in(&self, text: &str) -> bool {
        self.open.last().is_some_and(|bracket| bracket.text == text)
    }

    /// Whether the braces around would be those of a set.
    fn is_set(&self) -> bool {
        // The parameters of a lambda have commas as well.
        self.is_display("{") && !self.has_lambda && self.open.last().is_some_and(|bracket| !bracket.has_colon)
    }

    fn is_second_assignment(&self) -> bool {
        self.open.is_empty() && self.has_assigned && !self.has_lambda
    }

    /// Takes the next token; whether it is the second comparison of a chain.
    fn is_second_comparison(&mut self, source: &'a str, token: Token, previous: Option<Token>) -> bool {
        let text = token.text(source);
        match token.kind {
            Kind::Open => {
                let is_display = previous.is_none_or(|previous| !ends_operand(previous, source));
                let was_comparing = std::mem::take(&mut self.is_comparing);
                self.open.push(Bracket { text, is_display, has_colon: false, was_comparing });
            }
            Kind::Close => self.is_comparing = self.open.pop().is_some_and(|bracket| bracket.was_comparing),
            Kind::Newline => {
                (self.is_comparing, self.has_assigned, self.has_lambda) = (false, false, false);
            }
            Kind::Sign if matches!(text, "<" | ">" | "<=" | ">=" | "==" | "!=") => {
                return std::mem::replace(&mut self.is_comparing, true);
            }
            Kind::Sign if matches!(text, "," | ";" | ":") || text.ends_with('=') => {
                self.is_comparing = false;
                match (text, self.open.last_mut()) {
                    (":", Some(bracket)) => bracket.has_colon = true,
                    ("=", None) => self.has_assigned = true,
                    (";", _) => self.has_assigned = false,
                    _ => {}
                }
            }
            Kind::Name if matches!(text, "and" | "or" | "not" | "if" | "else" | "for" | "lambda") => {
                self.is_comparing = false;
                self.has_lambda |= text == "lambda";
            }
            _ => {}
        }
        false
    }
}
