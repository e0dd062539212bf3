//! Names of fields whose values are secret. Separate because the service's threads ask it too, and so it neither allocates
//! nor compiles anything.

/// Parts of names of fields whose values are secret.
pub(super) const SECRET_NAMES: [&str; 24] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "api-key",
    "apikey",
    "access_key",
    "access-key",
    "accesskey",
    "account_key",
    "accountkey",
    "authorization",
    "credential",
    "private_key",
    "private-key",
    "signing_key",
    "encryption_key",
    "session_id",
    "sessionid",
    "cookie",
    "card_number",
];

/// Names that are secret as a whole, or as a part between `_`, `-` and `.`: they are short, and so parts of other words.
pub(super) const SECRET_WORDS: [&str; 5] = ["dsn", "jwt", "otp", "cvv", "cvc"];

/// Ends of names that count or measure: `max_tokens` is no secret.
const MEASURES: [&str; 9] = ["tokens", "count", "total", "bytes", "ms", "ratio", "len", "length", "per_s"];

/// Whether a field of this name is secret whatever its value. Compares in place, so that the service's threads can ask.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    if is_measure(name) {
        return false;
    }
    let bytes = name.as_bytes();
    SECRET_NAMES
        .iter()
        .any(|secret| bytes.windows(secret.len()).any(|part| part.eq_ignore_ascii_case(secret.as_bytes())))
        || parts(name).any(|part| SECRET_WORDS.iter().any(|word| part.eq_ignore_ascii_case(word)))
}

/// Whether the name ends in a count or a unit.
pub(super) fn is_measure(name: &str) -> bool {
    MEASURES.iter().any(|measure| {
        let Some(rest) = name.len().checked_sub(measure.len()) else { return false };
        let (before, end) = name.as_bytes().split_at(rest);
        end.eq_ignore_ascii_case(measure.as_bytes())
            && (before.is_empty() || matches!(before.last(), Some(b'_' | b'-' | b'.')))
    })
}

fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split(['_', '-', '.'])
}
