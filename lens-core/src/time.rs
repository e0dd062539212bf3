//! Instants and spans as they appear on the wire. Separate because skills are pure over their state: they see these
//! values and never a clock.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::shortened;

/// Milliseconds since 1970 in UTC; RFC 3339 with milliseconds on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The wall clock now. For lens's own threads: a function never reads a clock.
    #[must_use]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// The instant `millis` milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// How long this is after `earlier`; zero if it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This instant, `span` later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(span)))
    }

    /// This instant, `span` earlier.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(span)))
    }
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A span in milliseconds as rows show it: `_ms` fields are floats.
#[must_use]
pub fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, whole_millis))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(at.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime refuses years past 9999.
        const LAST: u64 = 253_402_300_799_999;
        let time = UNIX_EPOCH + Duration::from_millis(self.0.min(LAST));
        write!(f, "{}", humantime::format_rfc3339_millis(time))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map(Self::from).map_err(de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A length of time as people write it in an argument: `"90s"`, `"5m"`, `"2h"`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lens_core::Span;
///
/// let span: Span = serde_json::from_str("\"5m\"")?;
/// assert_eq!(span.0, Duration::from_secs(300));
/// assert!(serde_json::from_str::<Span>("\"soon\"").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds, for defaults.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    /// Reads a length of time such as `90s`, `5m` or `1h 30m`; fails if `text` says none.
    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        parse_span(text).map(Self).ok_or_else(|| InvalidSpan(shortened(text).into_owned()))
    }
}

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time like \"90s\", \"5m\" or \"2h\"")]
pub struct InvalidSpan(String);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The length of time that `text` says.
///
/// humantime panics where a sum is just beyond what a [`Duration`] holds. What it is given cannot come near: as many of
/// the largest numbers as fit, five, are fewer seconds even in years.
fn parse_span(text: &str) -> Option<Duration> {
    const LONGEST: usize = 64;
    const MOST_DIGITS: usize = 11;
    if text.len() > LONGEST {
        return None;
    }
    let mut digits = 0;
    for letter in text.chars() {
        // Spaces do not end a number.
        if letter.is_ascii_digit() {
            digits += 1;
        } else if !letter.is_whitespace() {
            digits = 0;
        }
        if digits > MOST_DIGITS {
            return None;
        }
    }
    humantime::parse_duration(text).ok()
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "span"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339_with_milliseconds() {
        let at = Timestamp::from_unix_millis(1_700_000_000_123);
        assert_eq!(at.to_string(), "2023-11-14T22:13:20.123Z");
        let back: Timestamp = serde_json::from_str("\"2023-11-14T22:13:20.123Z\"").unwrap();
        assert_eq!(back, at);
        assert_eq!(Timestamp::from_unix_millis(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn spans_beyond_any_duration_are_refused() {
        for text in [
            "18446744073709551615s 1000000000ns",
            "18446744073709551615s 999999999ns 1ns",
            "184467440737 09551615s 1000000000ns",
            "584542046090y 19807215s 1000000000ns",
            &"99999999999y ".repeat(6),
            &"1s ".repeat(1 << 20),
        ] {
            let error = serde_json::from_value::<Span>(text.into()).unwrap_err().to_string();
            assert!(error.contains("is not a length of time") && error.len() < 300, "{error}");
        }
        let most: Span = serde_json::from_value("99999999999y ".repeat(4).into()).unwrap();
        assert_eq!(most.0, Duration::from_secs(4 * 99_999_999_999 * 31_557_600));
        let span: Span = serde_json::from_str("\"1h 30m 0.5s\"").unwrap();
        assert_eq!(span.0, Duration::from_millis(5_400_500));
    }
}
