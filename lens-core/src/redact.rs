//! Takes secrets out of text and JSON: before the service's text is kept, and before anything is sent to a model. Separate
//! because everything that keeps or sends text does it alike.
//!
//! What is looked for: values of fields whose names say that they are secret, credentials in URLs, authorization and cookie
//! headers, PEM blocks of private keys, JSON web tokens, keys with well-known prefixes, long random text, e-mail addresses
//! and payment cards. It is a net, not a proof: a secret that looks like a word stays. What only the service knows to be
//! secret, a [`Redactor`] with a hook takes out.
//!
//! # Cost
//!
//! One pass over the text tells which kinds of secrets it may hold, and one more for each of those. No kind looks back, so
//! hostile text takes no longer than other text of its length. A value that opens a bracket or a quote and does not close
//! it is taken out to the end of the text, as text is cut off.
//!
//! # Examples
//!
//! ```
//! use lens_core::redact;
//!
//! assert_eq!(redact::text("GET https://anna:pw@db/ failed"), "GET https://[redacted]@db/ failed");
//!
//! let mut answer = serde_json::json!({"api_key": "q1", "attempts": 3});
//! redact::json(&mut answer);
//! assert_eq!(answer, serde_json::json!({"api_key": "[redacted]", "attempts": 3}));
//! ```

mod fields;
mod kinds;
mod names;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::{Map, Value};

pub use names::is_secret_name;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// How deep JSON is looked into; what lies deeper is replaced as a whole. JSON that was parsed is never deeper.
pub const MAX_DEPTH: usize = 128;

/// The text with [`REDACTED`] where secrets were.
#[must_use]
pub fn text(text: &str) -> String {
    kinds::without_secrets(text).into_owned()
}

/// Takes secrets out of JSON, at any depth: what stands under a [secret name](is_secret_name), whatever it is, and
/// secrets in texts and in names. Under a name that counts, like `max_tokens`, only numbers stay.
pub fn json(value: &mut Value) {
    Redactor::default().json(value);
}

type Hook = Arc<dyn Fn(&mut String) + Send + Sync>;

/// [`text`] and [`json`], and after them a hook that takes out what only the service knows to be secret.
#[derive(Clone, Default)]
pub struct Redactor {
    hook: Option<Hook>,
}

impl Redactor {
    /// A redactor that calls `hook` with each text after the known secrets are out of it. The hook is called on lens's
    /// threads, often and with texts of some kilobytes, so it should be fast. If it panics, nothing of the text is left.
    #[must_use]
    pub fn new(hook: impl Fn(&mut String) + Send + Sync + 'static) -> Self {
        Self { hook: Some(Arc::new(hook)) }
    }

    /// The text without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut text = self::text(text);
        let Some(hook) = &self.hook else { return text };
        match catch_unwind(AssertUnwindSafe(|| hook(&mut text))) {
            Ok(()) => text,
            // What it should have taken out is not known.
            Err(_) => REDACTED.to_owned(),
        }
    }

    /// Takes secrets out of JSON, as [`json`] does.
    pub fn json(&self, value: &mut Value) {
        self.json_to(value, MAX_DEPTH);
    }

    fn json_to(&self, value: &mut Value, depth: usize) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(_) | Value::Object(_) if depth == 0 => *value = Value::from(REDACTED),
            Value::Array(items) => items.iter_mut().for_each(|item| self.json_to(item, depth - 1)),
            Value::Object(fields) => {
                let whole = std::mem::take(fields);
                for (name, mut value) in whole {
                    match names::secrecy(&name).hides(&value) {
                        true => value = Value::from(REDACTED),
                        false => self.json_to(&mut value, depth - 1),
                    }
                    let name = free(fields, self.text(&name));
                    fields.insert(name, value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The name, or one like it that is not taken: secrets that were names must not push each other out.
fn free(fields: &Map<String, Value>, name: String) -> String {
    if !fields.contains_key(&name) {
        return name;
    }
    // A name is free after as many tries as there are fields.
    (2..).map(|number| format!("{name} ({number})")).find(|name| !fields.contains_key(name)).unwrap_or(name)
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("has_hook", &self.hook.is_some()).finish()
    }
}
