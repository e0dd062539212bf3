//! Takes secrets out of text that the service wrote. Separate because every skill that keeps such text does it alike, before
//! it is kept.
//!
//! What is looked for: values of fields whose names say that they are secret, credentials in URLs, bearer and basic
//! authorization, JSON web tokens, keys with well-known prefixes, long random text, e-mail addresses and payment cards. It
//! is a net, not a proof: a secret that looks like a word stays.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands where a secret was.
pub(crate) const REDACTED: &str = "[redacted]";

/// Parts of names of fields whose values are secret.
const SECRET_NAMES: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "api-key",
    "apikey",
    "authorization",
    "credential",
    "private_key",
    "session_id",
    "cookie",
    "card_number",
];

/// Whether a field of this name is secret whatever its value. Compares in place, so that the service's threads can ask.
#[cfg_attr(not(any(feature = "logs", test)), expect(dead_code, reason = "panics have no fields"))]
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.as_bytes();
    SECRET_NAMES
        .iter()
        .any(|secret| name.windows(secret.len()).any(|part| part.eq_ignore_ascii_case(secret.as_bytes())))
}

/// A kind of secret: how it looks, and what is left of it (`None`: it is none after all).
struct Kind {
    pattern: Regex,
    left: fn(&Captures<'_>) -> Option<String>,
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let names = SECRET_NAMES.join("|");
    let kind = |pattern: &str, left| Kind {
        pattern: Regex::new(pattern).expect("a constant pattern is a regular expression"),
        left,
    };
    let all: fn(&Captures<'_>) -> Option<String> = |_| Some(REDACTED.to_owned());
    vec![
        kind(r"://[^/\s:@]*:[^/\s@]+@", |_| Some(format!("://{REDACTED}@"))),
        kind(
            &format!(
                r#"(?i)([\w.-]*(?:{names})[\w.-]*["']?\s*[:=]\s*)("[^"]*"?|'[^']*'?|(?:bearer|basic)\s+[^\s,;&\}}]+|[^\s,;&\}}\])]+)"#
            ),
            |found| Some(format!("{}{REDACTED}", &found[1])),
        ),
        kind(r"(?i)\b(bearer|basic)\s+([a-z0-9._~+/=-]{8,})", |found| {
            looks_random(&found[2]).then(|| format!("{} {REDACTED}", &found[1]))
        }),
        kind(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*", all),
        kind(
            r"\b(?:[srp]k[-_][A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|xox[a-z]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{12,}|AIza[0-9A-Za-z_-]{20,})",
            all,
        ),
        kind(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", all),
        kind(r"[A-Za-z0-9+_=-]{24,}", |found| is_long_random(&found[0]).then(|| REDACTED.to_owned())),
        kind(r"\b\d(?:[ -]?\d){12,18}\b", |found| is_card(&found[0]).then(|| REDACTED.to_owned())),
    ]
});

/// The text with [`REDACTED`] where secrets were.
pub(crate) fn text(text: &str) -> String {
    KINDS
        .iter()
        .fold(Cow::Borrowed(text), |text, kind| {
            let left = |found: &Captures<'_>| (kind.left)(found).unwrap_or_else(|| found[0].to_owned());
            match kind.pattern.replace_all(&text, left) {
                Cow::Borrowed(_) => text,
                Cow::Owned(replaced) => Cow::Owned(replaced),
            }
        })
        .into_owned()
}

/// Whether it is no plain word: "basic authentication" is no credential.
fn looks_random(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit() || byte == b'=')
        || text.bytes().skip(1).any(|byte| byte.is_ascii_uppercase())
}

/// Small and capital letters and several digits in one piece: names and hexadecimal ids are not like that.
fn is_long_random(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && text.bytes().filter(u8::is_ascii_digit).count() >= 3
}

/// Whether the digits have the check sum of payment cards (Luhn).
fn is_card(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, double) => double % 10 + double / 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_the_rest_stays() {
        let cases = [
            ("login of anna with password=hunter2 failed", "login of anna with password=[redacted] failed"),
            (r#"{"api_key": "abc", "user": 7}"#, r#"{"api_key": [redacted], "user": 7}"#),
            ("DB_PASSWORD: s3cr3t, retry in 5 s", "DB_PASSWORD: [redacted], retry in 5 s"),
            ("Authorization: Bearer abc123def456", "Authorization: [redacted]"),
            ("sent `Bearer abc123def456`", "sent `Bearer [redacted]`"),
            ("postgres://app:pw@db:5432/orders", "postgres://[redacted]@db:5432/orders"),
            ("redis://:pw@cache/0", "redis://[redacted]@cache/0"),
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl back", "got [redacted] back"),
            ("key sk_live_51Habcdefghijklmnop used", "key [redacted] used"),
            ("mail to anna.b+x@example.co.uk bounced", "mail to [redacted] bounced"),
            ("card 4111 1111 1111 1111 declined", "card [redacted] declined"),
            ("nonce q7Rk2LmP9xZc4VbN8tYw1HsD6 seen", "nonce [redacted] seen"),
        ];
        for (written, kept) in cases {
            assert_eq!(text(written), kept);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let harmless = [
            "basic authentication is off",
            "order 4111111111111112 is late",
            "trace 4bf92f3577b34da6a3ce929d0e0e4736 ended",
            "id 67e55044-10b1-426f-9247-bb680e5fe0c8 is gone",
            "examples/orders/src/faults/process.rs:98:18",
            "called `Result::unwrap()` on an `Err` value: ParseFloatError { kind: Invalid }",
            "GET http://127.0.0.1:3000/orders/17 took 31 ms",
        ];
        for written in harmless {
            assert_eq!(text(written), written);
        }
    }

    #[test]
    fn secret_names_are_found_in_any_case_and_place() {
        assert!(is_secret_name("dbPassword"));
        assert!(is_secret_name("AUTHORIZATION"));
        assert!(!is_secret_name("order"));
    }
}
