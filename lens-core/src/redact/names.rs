//! Names of fields whose values are secret. Separate because the service's threads ask it too, and so it neither allocates
//! nor compiles anything.

use serde_json::Value;

/// Parts of names of fields whose values are secret. Where one has `_`, names may have `-` or a capital letter instead.
pub(super) const SECRET_NAMES: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "access_key",
    "account_key",
    "authorization",
    "credential",
    "private_key",
    "signing_key",
    "encryption_key",
    "session_id",
    "cookie",
    "card_number",
];

/// Names that are secret as a whole, or as a word of a longer one: they are short, and so parts of other words.
pub(super) const SECRET_WORDS: [&str; 5] = ["dsn", "jwt", "otp", "cvv", "cvc"];

/// The same, but by itself, or with words after it, it may be what passes: `pass=5`, `pass_rate`.
pub(super) const PASS: &str = "pass";

/// Ends of names that count or measure: a number under `max_tokens` is no secret.
const MEASURES: [&str; 9] = ["tokens", "count", "total", "bytes", "ms", "ratio", "len", "length", "per_s"];

/// Units of numbers in text.
const UNITS: [&str; 12] = ["ms", "µs", "us", "ns", "s", "kB", "KiB", "MB", "MiB", "GB", "GiB", "%"];

/// What of a field's values is secret, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    Nothing,
    /// All but numbers, in texts too: the name says that they count.
    NotQuantities,
    /// All but numbers. A text may be a password of digits.
    NotNumbers,
    Everything,
}

impl Secrecy {
    pub(super) fn hides(self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Bool(_) | Value::Number(_) => self == Self::Everything,
            Value::String(text) if self == Self::NotQuantities => !is_quantity(text),
            _ => self != Self::Nothing,
        }
    }
}

/// Whether a field of this name is secret whatever its value. Compares in place, so that the service's threads can ask.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    secrecy(name) == Secrecy::Everything
}

/// What of the values of a field of this name is secret.
pub(super) fn secrecy(name: &str) -> Secrecy {
    let name = name.as_bytes();
    let has_part = |secret: &&str| (0..name.len()).any(|start| begins_with(&name[start..], secret));
    let is_secret = SECRET_NAMES.iter().any(has_part)
        || SECRET_WORDS.iter().any(|word| ends_of_word(name, word).next().is_some())
        || name.len() > PASS.len() && ends_with_word(name, PASS);
    match is_secret {
        true if MEASURES.iter().any(|measure| ends_with_word(name, measure)) => Secrecy::NotQuantities,
        true => Secrecy::Everything,
        false if ends_of_word(name, PASS).next().is_some() => Secrecy::NotNumbers,
        false => Secrecy::Nothing,
    }
}

/// Whether the text is a number, with or without a unit.
pub(super) fn is_quantity(text: &str) -> bool {
    let number = UNITS.iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(text);
    number.parse::<f64>().is_ok_and(f64::is_finite)
}

fn begins_with(name: &[u8], secret: &str) -> bool {
    let mut left = name.iter().peekable();
    secret.bytes().all(|letter| {
        let is_same = |byte: &&u8| byte.eq_ignore_ascii_case(&letter) || letter == b'_' && **byte == b'-';
        left.next_if(is_same).is_some() || letter == b'_'
    })
}

fn ends_with_word(name: &[u8], word: &str) -> bool {
    ends_of_word(name, word).any(|end| end == name.len())
}

/// Where the word ends in the name, each time that it is there: between `_`, `-` and `.`, or where capital letters tell.
fn ends_of_word(name: &[u8], word: &str) -> impl Iterator<Item = usize> {
    (word.len()..=name.len()).filter(move |end| {
        let start = end - word.len();
        name[start..*end].eq_ignore_ascii_case(word.as_bytes()) && begins_word(name, start) && ends_word(name, *end)
    })
}

fn begins_word(name: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| name[before]) else { return true };
    // `dbPass`, and `DBPass`.
    let is_capital = name[at].is_ascii_uppercase()
        && (before.is_ascii_lowercase() || before.is_ascii_digit() || {
            before.is_ascii_uppercase() && name.get(at + 1).is_some_and(u8::is_ascii_lowercase)
        });
    is_separator(before) || is_capital
}

fn ends_word(name: &[u8], at: usize) -> bool {
    let Some(after) = name.get(at) else { return true };
    is_separator(*after) || after.is_ascii_uppercase() && name[at - 1].is_ascii_lowercase()
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b'.')
}
