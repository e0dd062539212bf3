//! Failures as whoever asks needs them: whether another try makes sense, when, and what to tell people. Separate from the
//! exchange because it is where a key must not slip through.

use std::cmp::Reverse;
use std::error::Error as StdError;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use lens_core::model::ErrorClass;
use lens_core::redact::{self, REDACTED};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::exchange::class_of;

/// The longest wait that a provider can ask for; what is longer counts as this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest text of a provider's that an error quotes.
pub const MAX_MESSAGE_BYTES: usize = 500;

/// What is looked at of a provider's text to quote the beginning.
const MAX_LOOKED_AT_BYTES: usize = 8_192;

/// What is shorter is hidden only where it stands alone, or it would be hidden in numbers and words that it is a part of.
const SHORT_SECRET_BYTES: usize = 6;

/// A provider's no.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) class: ErrorClass,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

/// What the provider says if it says no. Some say it with status 200 and an `error` in the answer.
pub(super) fn refused(
    status: StatusCode,
    json: Option<&Value>,
    body: &[u8],
    retry_after: Option<Duration>,
) -> Option<Refused> {
    let error = json.and_then(|json| json.get("error")).filter(|error| !error.is_null());
    let said = match (status.is_success(), error) {
        (true, None) => return None,
        (true, Some(error)) => {
            let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            code.and_then(|code| StatusCode::from_u16(code).ok()).filter(|code| !code.is_success())
        }
        (false, _) => Some(status),
    };
    let text = error
        .and_then(|error| error.get("message").or(Some(error)))
        .or_else(|| json.and_then(|json| json.get("message").or_else(|| json.get("Message"))))
        .and_then(Value::as_str);
    let mut class = said.map_or(ErrorClass::Unavailable, class_of);
    let code = error.and_then(|error| error.get("code").or_else(|| error.get("type"))).and_then(Value::as_str);
    if code == Some("insufficient_quota") {
        // Told as 429, but no wait pays the bill.
        class = ErrorClass::Rejected;
    }
    let mut message = match said {
        Some(status) => status.to_string(),
        None => "an error instead of an answer".to_owned(),
    };
    if status.is_redirection() {
        message.push_str(", which is not followed; set the base URL to where it leads");
    }
    match text {
        Some(text) => write!(message, ": {text}"),
        None if json.is_none() => {
            write!(message, ": {}", String::from_utf8_lossy(&body[..body.len().min(MAX_LOOKED_AT_BYTES)]))
        }
        None => Ok(()),
    }
    .expect("a string takes any text");
    let retry_after = retry_after.or_else(|| error.and_then(google_delay)).filter(|_| class.is_retryable());
    Some(Refused { class, message, retry_after })
}

/// How long the headers ask to wait: `Retry-After` in seconds or as a date, and the forms in milliseconds, which are finer.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
        if let Some(ms) = text(name).and_then(|text| text.parse::<f64>().ok()) {
            return seconds(ms / 1000.0);
        }
    }
    let after = text("retry-after")?;
    if let Ok(number) = after.parse::<f64>() {
        return seconds(number);
    }
    let at = httpdate::parse_http_date(after).ok()?;
    // A date that is over asks for no wait.
    Some(at.duration_since(now).unwrap_or_default().min(MAX_RETRY_AFTER))
}

fn seconds(number: f64) -> Option<Duration> {
    (number >= 0.0).then(|| Duration::from_secs_f64(number.min(MAX_RETRY_AFTER.as_secs_f64())))
}

/// Google's `{"@type": "…RetryInfo", "retryDelay": "31s"}`.
fn google_delay(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    seconds(delay.strip_suffix('s')?.parse().ok()?)
}

/// A provider's text as it may be shown: short, on one line and without secrets, above all those that it was sent in headers.
pub(super) fn shown<'a>(text: &str, sent: impl Iterator<Item = &'a str>) -> String {
    let text = &text[..text.floor_char_boundary(MAX_LOOKED_AT_BYTES)];
    // Some quote what follows the `Bearer` of a value without it.
    let mut secrets: Vec<&str> = sent
        .map(str::trim)
        .flat_map(|value| [Some(value), value.split_once(' ').map(|(_, credentials)| credentials.trim())])
        .flatten()
        .collect();
    // One may be a part of another.
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    let text = secrets.into_iter().fold(text.to_owned(), |text, secret| without(&text, secret));
    let text = redact::text(&text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.floor_char_boundary(MAX_MESSAGE_BYTES) {
        end if end < text.len() => format!("{} …", &text[..end]),
        _ => text,
    }
}

/// The text without `secret`.
fn without(text: &str, secret: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(secret).filter(|_| !secret.is_empty()) {
        kept.push_str(before);
        let is_alone = !kept.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        kept.push_str(if is_alone || secret.len() >= SHORT_SECRET_BYTES { REDACTED } else { secret });
        rest = after;
    }
    kept + rest
}

/// An error and its causes, without the URL, which may be long.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let whole = error.to_string();
    let mut text = match error.url() {
        Some(url) => whole.replace(&format!(" for url ({url})"), ""),
        None => whole,
    };
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}
