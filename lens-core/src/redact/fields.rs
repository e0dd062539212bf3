//! Values of fields in text. Separate because values nest, in brackets and in quotes, as no regular expression can follow.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::REDACTED;
use super::names::{self, PASS, SECRET_NAMES, SECRET_WORDS, Secrecy};

/// A name and what stands between it and its value. Two colons are a path: no value begins with a colon.
static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"[A-Za-z0-9_.-]+\\*["']?\s*(?:[:!]?={1,3}>?|:)\s*"#)
        .expect("a constant pattern is a regular expression")
});

/// Ways of authorization that more than one word follows.
const SCHEMES: [&str; 9] =
    ["digest", "negotiate", "ntlm", "hawk", "hmac", "signature", "aws4-hmac-sha256", "apikey", "token"];

/// No number is longer, and no type's name that is looked for.
const MAX_WORD_BYTES: usize = 64;

/// What text must have to hold a secret name.
pub(super) fn sign() -> String {
    let names = SECRET_NAMES.map(|name| name.replace('_', "[_-]?"));
    format!("(?i){}|{}|{PASS}", names.join("|"), SECRET_WORDS.join("|"))
}

/// The text with [`REDACTED`] where values of secret names were.
pub(super) fn without_secret_values(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    // Up to where the text is kept, and up to where it is looked at.
    let (mut copied, mut seen) = (0, 0);
    while let Some(head) = HEAD.find_at(text, seen) {
        seen = head.end();
        let head = Head::new(head.as_str());
        let rest = &text[seen..];
        // What is in a value that stays is looked at again, and so only the value's beginning says that it stays.
        if head.secrecy == Secrecy::Nothing || head.is_count(rest) || head.is_prose(rest) {
            continue;
        }
        let value = &rest[..head.value_bytes(rest)];
        if !value.is_empty() && value != REDACTED && !head.is_place(value) {
            kept.push_str(&text[copied..seen]);
            kept.push_str(REDACTED);
            seen += value.len();
            copied = seen;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[copied..]);
    Cow::Owned(kept)
}

struct Head<'a> {
    name: &'a str,
    /// `:`, `=` and what else stands there, quotes of the name too.
    between: &'a str,
    secrecy: Secrecy,
}

impl<'a> Head<'a> {
    fn new(head: &'a str) -> Self {
        let end = head.bytes().position(|byte| !is_of_name(byte)).unwrap_or(head.len());
        let (name, between) = head.split_at(end);
        Self { name, between, secrecy: names::secrecy(name) }
    }

    /// Whether the value is a number, or nothing, and the name one that counts: `5`, `"5"`, `Some(5)`, `12.5ms`, `None`.
    fn is_count(&self, text: &str) -> bool {
        let text = text.strip_prefix("Some(").unwrap_or(text);
        let start = &text[..text.floor_char_boundary(MAX_WORD_BYTES)];
        let quoted = match self.secrecy {
            Secrecy::Nothing | Secrecy::Everything => return false,
            Secrecy::NotQuantities => quoted(start.as_bytes(), 0),
            Secrecy::NotNumbers => None,
        };
        let is_after = |letter: char| letter.is_whitespace() || ",;&})]\\\"'".contains(letter);
        let end = quoted.or_else(|| start.find(is_after)).unwrap_or(start.len());
        let is_cut = end == start.len() && start.len() < text.len();
        let value = start[..end].trim_matches(['\\', '"', '\'']);
        !is_cut && (matches!(value, "None" | "null" | "true" | "false") || value.split('/').all(names::is_quantity))
    }

    /// Whether it is prose: `all checks pass: 5`. In data, the name or the value is quoted, or a type has brackets.
    fn is_prose(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let is_of_path = |byte: &u8| is_of_name(*byte) || b"#:".contains(byte);
        let word = bytes.iter().take(MAX_WORD_BYTES).take_while(|byte| is_of_path(byte)).count();
        let (word, rest) = bytes.split_at(word);
        let is_data = match rest {
            [b'"' | b'\'' | b'\\', ..] => begins_text(word),
            [b'(' | b'[' | b'{', ..] | [b' ', b'{', ..] => word.is_empty() || is_type(word),
            _ => false,
        };
        self.name.eq_ignore_ascii_case(PASS) && self.between.trim() == ":" && !is_data
    }

    /// Whether it is a place in the source: `token.rs:41:9`.
    fn is_place(&self, value: &str) -> bool {
        self.name.ends_with(".rs") && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b':' || byte == b'.')
    }

    /// How much of the text is the value. Each is passed over once: what a bracket or a quote opens and nothing closes goes
    /// to the end of the text, because text is cut off.
    fn value_bytes(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        if text.starts_with(REDACTED) {
            REDACTED.len()
        } else if bytes.first().is_none_or(|byte| *byte == b':' || is_end(*byte)) {
            0
        } else if let Some(end) = quoted(bytes, 0) {
            end
        } else if self.is_line(text) {
            line(bytes)
        } else {
            let start = ["bearer", "basic"].into_iter().find_map(|scheme| after_word(text, scheme)).unwrap_or(0);
            plain(bytes, start)
        }
    }

    /// Whether it is a header whose value has several words, and no value of another kind: `cookie: Some("a=1")`.
    fn is_line(&self, text: &str) -> bool {
        let ends_with = |end: &str| {
            let start = self.name.len().checked_sub(end.len());
            start.is_some_and(|start| self.name[start..].eq_ignore_ascii_case(end))
        };
        let first = text.find(|letter: char| letter.is_whitespace() || "=;,:([{\"'".contains(letter));
        let is_pair = first.is_some_and(|first| matches!(text.as_bytes()[first], b'=' | b';'));
        ends_with("cookie") && self.between.contains(':') && is_pair
            || ends_with("authorization") && SCHEMES.iter().any(|scheme| after_word(text, scheme).is_some())
    }
}

/// Where the text goes on after the word and the space that it begins with.
fn after_word(text: &str, word: &str) -> Option<usize> {
    let (first, rest) = text.split_at_checked(word.len())?;
    let spaces = rest.len() - rest.trim_start().len();
    (first.eq_ignore_ascii_case(word) && spaces > 0).then_some(word.len() + spaces)
}

/// Where a header's line ends. A quote ends it, too, unless it begins a text: `username="anna"`.
fn line(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'\r' | b'\n' => break,
            b'"' | b'\'' if at == 0 || bytes[at - 1] != b'=' => break,
            b'"' | b'\'' => quoted(bytes, at).unwrap_or(at + 1),
            _ => at + 1,
        };
    }
    at
}

/// Where a value ends that no quote begins: a word, with the brackets and the quotes that it opens.
fn plain(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'(' | b'[' | b'{' => bracketed(bytes, at),
            b' ' if bytes.get(at + 1) == Some(&b'{') && is_type(&bytes[start..at]) => bracketed(bytes, at + 1),
            b'"' | b'\'' | b'\\' => match quoted(bytes, at) {
                Some(end) if begins_text(&bytes[start..at]) => end,
                Some(_) => break,
                None => after_backslashes(bytes, at),
            },
            byte if is_end(*byte) => break,
            _ => at + 1,
        };
    }
    at
}

/// Where the bracket closes that opens at `at`. Any closes any: which fits is not asked.
fn bracketed(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            // An apostrophe within a word begins no text.
            b'\'' if at > 0 && !b"([{,:= \t\n\\".contains(&bytes[at - 1]) => at + 1,
            b'"' | b'\'' | b'\\' => quoted(bytes, at).unwrap_or_else(|| after_backslashes(bytes, at)),
            b'(' | b'[' | b'{' => {
                depth += 1;
                at + 1
            }
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
                at + 1
            }
            _ => at + 1,
        };
    }
    at
}

/// Where the quoted text ends that begins at `at`, with as many backslashes before its quotes as it is deep in other quoted
/// texts: none, 1, 3, 7. Within it, each quote and each backslash has as many again and one more.
fn quoted(bytes: &[u8], at: usize) -> Option<usize> {
    let start = after_backslashes(bytes, at);
    let depth = start - at;
    let quote = bytes.get(start).filter(|byte| matches!(byte, b'"' | b'\''))?;
    let mut backslashes = 0;
    for (place, byte) in bytes.iter().enumerate().skip(start + 1) {
        match byte {
            b'\\' => backslashes += 1,
            // The text around it ends.
            _ if byte == quote && backslashes < depth => return Some(place - backslashes),
            _ if byte == quote && (backslashes - depth).is_multiple_of(2 * (depth + 1)) => return Some(place + 1),
            _ => backslashes = 0,
        }
    }
    Some(bytes.len())
}

fn after_backslashes(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| **byte == b'\\').count()
}

/// Whether a quote after this begins a text, as in `b"…"`, `r#"…"` and `key="…"`, and does not end one around it.
fn begins_text(before: &[u8]) -> bool {
    let letters = before.iter().rposition(|byte| *byte != b'#').map_or(0, |last| last + 1);
    before.last() == Some(&b'=')
        || matches!(&before[..letters], b"" | b"b" | b"r" | b"br" | b"rb" | b"c" | b"cr" | b"u" | b"f")
}

/// Whether it is a type's name, which a brace may follow after a space: `Secret {`.
fn is_type(before: &[u8]) -> bool {
    let last = before.iter().rposition(|byte| *byte == b':').map_or(before, |colon| &before[colon + 1..]);
    last.first().is_some_and(u8::is_ascii_uppercase)
        && last.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_<>".contains(byte))
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

fn is_end(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b",;&})]".contains(&byte)
}
