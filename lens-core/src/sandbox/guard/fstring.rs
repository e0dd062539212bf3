//! Takes the f-strings out of a script before it is parsed: the parser knows only names within them, and no format
//! specs. Separate because a script's places must not move: each f-string is replaced by a name of the same length.
//!
//! Two more things of Python are made plain the same way: the underscores of `1_000`, and prefixes of texts that mean
//! nothing here.

use starlark_syntax::codemap::Span;
use starlark_syntax::syntax::AstModule;
use starlark_syntax::syntax::ast::{AstExpr, StmtP};
use starlark_syntax::syntax::module::AstModuleFields as _;

use super::dialect;
use super::lex::{self, Kind, Token};
use super::place::Place;
use super::{habits, nesting};
use crate::sandbox::error::{QueryError, QueryErrorKind};
use crate::sandbox::limits::Limits;

/// What the name that stands for an f-string begins with. It is short because the name must fit where the f-string was.
pub(super) const PREFIX: &str = "__";

/// A script without f-strings, and the f-strings.
pub(super) struct Plain {
    /// The script, byte for byte as long as the original.
    pub(super) text: String,
    /// The f-strings that were taken out; the name at a place leads to its index.
    pub(super) fstrings: Vec<FString>,
}

/// One f-string.
pub(super) struct FString {
    pub(super) parts: Vec<Part>,
}

/// A part of an f-string.
pub(super) enum Part {
    /// Text as it is.
    Text(String),
    /// `{expression!conversion:spec}`.
    Field {
        expression: Box<Expression>,
        /// `r` for `!r`, `s` otherwise.
        conversion: char,
        spec: String,
    },
}

/// The expression of a field.
pub(super) struct Expression {
    /// A module with nothing else, in brackets.
    module: AstModule,
    /// Where its first byte is in the script.
    start: usize,
}

impl Expression {
    /// The expression; `None` if it is anything else, which the writer refuses.
    pub(super) fn value(&self) -> Option<&AstExpr> {
        match &self.module.statement().node {
            StmtP::Expression(value) => Some(value),
            _ => None,
        }
    }

    /// Where it is, in its own module.
    pub(super) fn span(&self) -> Span {
        self.module.statement().span
    }

    /// What has to be added to places in its own module for those in the script: there is a bracket before it.
    pub(super) fn shift(&self) -> isize {
        isize::try_from(self.start).unwrap_or(isize::MAX) - 1
    }
}

impl FString {
    /// The expressions of its fields.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Field { expression, .. } => Some(&**expression),
        })
    }
}

impl Plain {
    /// Takes the f-strings out of `source`.
    pub(super) fn new(source: &str, tokens: &[Token], limits: &Limits) -> Result<Self, QueryError> {
        let mut taking = Taking { source, limits, fstrings: Vec::new() };
        let mut text = source.as_bytes().to_vec();
        taking.take(&mut text, 0, tokens)?;
        // Only whole tokens were replaced, and by ASCII of their length.
        let text = String::from_utf8(text).unwrap_or_else(|_| source.to_owned());
        Ok(Self { text, fstrings: taking.fstrings })
    }

    /// The f-string that stood where the name `name` stands now.
    pub(super) fn fstring(&self, name: &str) -> Option<&FString> {
        let index = usize::from_str_radix(name.strip_prefix(PREFIX)?, 36).ok()?;
        self.fstrings.get(index)
    }
}

struct Taking<'a> {
    source: &'a str,
    limits: &'a Limits,
    fstrings: Vec<FString>,
}

impl Taking<'_> {
    /// Makes `text`, which begins at `offset` of the script, plain.
    fn take(&mut self, text: &mut [u8], offset: usize, tokens: &[Token]) -> Result<(), QueryError> {
        for token in tokens {
            let own = token.start - offset..token.end - offset;
            match token.kind {
                Kind::Number => {
                    let number = &mut text[own];
                    let digits = without_separators(number);
                    number.fill(b' ');
                    number[..digits.len()].copy_from_slice(&digits);
                }
                Kind::Text { is_closed: true, is_format, is_raw, prefix, quotes } => {
                    let letters = &self.source[token.start..token.start + prefix];
                    if letters.contains(['b', 'B']) {
                        return Err(self.error(token.start, token.end, "there are no bytes").help("use a text"));
                    }
                    let has_braces = self.source[token.start..token.end].contains(['{', '}']);
                    if is_format && has_braces {
                        let body = token.start + prefix + quotes..token.end - quotes;
                        let parts = self.parts(body, is_raw)?;
                        self.replace(&mut text[own], *token, parts)?;
                    } else if prefix > 0 {
                        text[own.start..own.start + prefix].fill(b' ');
                        if is_raw {
                            text[own.start + prefix - 1] = b'r';
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts the name of a new f-string in the place of its token: in brackets where it may have several lines.
    fn replace(&mut self, text: &mut [u8], token: Token, parts: Vec<Part>) -> Result<(), QueryError> {
        let is_part = |next: char| next.is_ascii_alphanumeric() || next == '_';
        if self.source[token.end..].starts_with(is_part) {
            return Err(self.error(token.start, token.end, "a text and a name touch").help("put a space between them"));
        }
        let name = format!("{PREFIX}{}", radix_36(self.fstrings.len()));
        let has_lines = text.contains(&b'\n');
        for byte in text.iter_mut().filter(|byte| !matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        if let (true, [first, .., last]) = (has_lines, &mut *text) {
            *first = b'(';
            *last = b')';
        }
        // The name must not be cut by the end of a line within the f-string.
        let fits = |window: &[u8]| window.iter().all(|byte| *byte == b' ');
        let Some(at) = text.windows(name.len()).position(fits) else {
            return Err(self
                .error(token.start, token.end, "there are too many f-strings in this script")
                .help("make a function of what they have in common"));
        };
        text[at..at + name.len()].copy_from_slice(name.as_bytes());
        self.fstrings.push(FString { parts });
        Ok(())
    }

    fn parts(&mut self, body: std::ops::Range<usize>, is_raw: bool) -> Result<Vec<Part>, QueryError> {
        let bytes = self.source.as_bytes();
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut at = body.start;
        let mut literal = body.start;
        while at < body.end {
            let is_double = bytes[at] == bytes.get(at + 1).copied().unwrap_or(0) && at + 1 < body.end;
            match bytes[at] {
                b'\\' if !is_raw && !matches!(bytes.get(at + 1), Some(b'{' | b'}')) => at += 2,
                b'{' | b'}' if is_double => {
                    text.push_str(&self.unescape(literal, at, is_raw)?);
                    text.push(char::from(bytes[at]));
                    at += 2;
                    literal = at;
                }
                b'{' => {
                    text.push_str(&self.unescape(literal, at, is_raw)?);
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    at = self.field(at, body.end, &mut parts)?;
                    literal = at;
                }
                b'}' => {
                    return Err(self.error(at, at + 1, "a single `}` in an f-string").help("write `}}` for a brace"));
                }
                _ => at += 1,
            }
        }
        text.push_str(&self.unescape(literal, body.end, is_raw)?);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(parts)
    }

    /// Reads the field that begins with the brace at `open`; where it ends.
    fn field(&mut self, open: usize, end: usize, parts: &mut Vec<Part>) -> Result<usize, QueryError> {
        let bytes = self.source.as_bytes();
        let start = open + 1;
        let mut at = start;
        let mut brackets = 0usize;
        let mut quote = None;
        while at < end {
            let byte = bytes[at];
            match (quote, byte) {
                (_, b'\\') => return Err(self.error(at, at + 1, "a backslash within the braces of an f-string")),
                (Some(open), _) if byte == open => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'#') => return Err(self.error(at, at + 1, "a comment within the braces of an f-string")),
                (None, b'(' | b'[' | b'{') => brackets += 1,
                (None, b')' | b']' | b'}') if brackets > 0 => brackets -= 1,
                (None, b'}' | b':') if brackets == 0 => break,
                (None, b')' | b']') => return Err(self.error(at, at + 1, "this bracket was not opened")),
                (None, b'!') if brackets == 0 && bytes.get(at + 1) != Some(&b'=') => break,
                _ => {}
            }
            at += 1;
        }
        let mut expression_end = at;
        // `{x=}` shows the expression as well as its value.
        let trimmed = self.source[start..at].trim_end();
        let is_compared = ["==", "!=", "<=", ">="].iter().any(|sign| trimmed.ends_with(sign));
        let is_shown = trimmed.ends_with('=') && !is_compared;
        if is_shown {
            parts.push(Part::Text(self.source[start..at].to_owned()));
            expression_end = start + trimmed.len() - 1;
        }
        let mut conversion = if is_shown { 'r' } else { 's' };
        if at < end && bytes[at] == b'!' {
            conversion = match bytes.get(at + 1) {
                Some(b'r' | b'a') => 'r',
                Some(b's') => 's',
                _ => return Err(self.error(at, at + 2, "only `!r` and `!s` can follow an f-string's expression")),
            };
            at += 2;
        }
        let mut spec = String::new();
        if at < end && bytes[at] == b':' {
            let spec_start = at + 1;
            let spec_end = self.source[spec_start..end].find(['}', '{']).map_or(end, |length| spec_start + length);
            if bytes.get(spec_end) == Some(&b'{') {
                return Err(self
                    .error(spec_end, spec_end + 1, "a field within a format spec")
                    .help("format with a fixed width and precision, as in `{x:>10.2f}`"));
            }
            self.source[spec_start..spec_end].clone_into(&mut spec);
            at = spec_end;
        }
        if at >= end || bytes[at] != b'}' {
            return Err(self
                .error(open, open + 1, "this `{` of an f-string is not closed")
                .help("write `{{` for a brace"));
        }
        if self.source[start..expression_end].trim().is_empty() {
            return Err(self.error(open, at + 1, "an f-string's braces are empty").help("write `{{}}` for braces"));
        }
        let expression = Expression { module: self.expression(start, expression_end)?, start };
        parts.push(Part::Field { expression: Box::new(expression), conversion, spec });
        Ok(at + 1)
    }

    /// Parses the expression from `start` to `end`.
    fn expression(&mut self, start: usize, end: usize) -> Result<AstModule, QueryError> {
        let tokens = lex::tokens_within(self.source, start, end);
        nesting::check(self.source, &tokens, self.limits)?;
        habits::check(self.source, &tokens)?;
        let mut text = self.source.as_bytes()[start..end].to_vec();
        self.take(&mut text, start, &tokens)?;
        let text = String::from_utf8(text).unwrap_or_default();
        // Brackets let it have several lines; the first byte is that of the opening one.
        AstModule::parse(dialect::NAME, format!("({text})"), &dialect::user()).map_err(|error| {
            let place = dialect::span(&error).map_or((start, end), |(from, to)| {
                (start + from.saturating_sub(1), (start + to.saturating_sub(1)).min(end))
            });
            self.error(place.0, place.1, dialect::syntax_message(&error))
        })
    }

    /// The text that the script's text from `start` to `end` stands for.
    fn unescape(&self, start: usize, end: usize, is_raw: bool) -> Result<String, QueryError> {
        let text = &self.source[start..end];
        if !text.contains(['\\', '\r']) {
            return Ok(text.to_owned());
        }
        let mut body = String::with_capacity(text.len());
        let mut characters = text.chars().filter(|character| *character != '\r');
        while let Some(character) = characters.next() {
            match (character, is_raw) {
                ('\\', true) => {
                    // As in the parser: before a quote the backslash only keeps it from closing the text.
                    let next = characters.next();
                    if !matches!(next, Some('"' | '\'')) {
                        body.push('\\');
                    }
                    body.extend(next);
                }
                ('\\', false) => {
                    body.push('\\');
                    body.extend(characters.next());
                }
                ('"', false) => body.push_str("\\\""),
                (other, _) => body.push(other),
            }
        }
        if is_raw {
            return Ok(body);
        }
        // The parser knows its escapes: with every quote escaped the text can be a literal of its own.
        let error = || self.error(start, end, "an escape in this f-string is not known");
        let literal = format!("\"\"\"{body}\"\"\"");
        let module = AstModule::parse(dialect::NAME, literal, &dialect::user()).map_err(|_| error())?;
        dialect::single_text(&module).ok_or_else(error)
    }

    #[cold]
    fn error(&self, start: usize, end: usize, message: impl Into<String>) -> QueryError {
        Place::new(self.source, start, end).error(QueryErrorKind::Syntax, message)
    }
}

/// A number without the underscores between its digits.
fn without_separators(number: &[u8]) -> Vec<u8> {
    let is_hex = number.starts_with(b"0x") || number.starts_with(b"0X");
    let is_digit = |byte: &u8| byte.is_ascii_digit() || is_hex && byte.is_ascii_hexdigit();
    let is_separator = |at: usize| {
        let follows =
            at == 2 && number[0] == b'0' && number[1].is_ascii_alphabetic() || at > 0 && is_digit(&number[at - 1]);
        number[at] == b'_' && follows && number.get(at + 1).is_some_and(is_digit)
    };
    (0..number.len()).filter(|at| !is_separator(*at)).map(|at| number[at]).collect()
}

fn radix_36(mut number: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = String::new();
    loop {
        digits.insert(0, char::from(DIGITS[number % DIGITS.len()]));
        number /= DIGITS.len();
        if number == 0 {
            return digits;
        }
    }
}
