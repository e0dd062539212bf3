//! Values that may be absent, with the reason and the remedy. Separate because absence is data everywhere in lens: a
//! number that is not known is never 0, NaN or an empty list.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value, or why there is none and how to get it.
pub type Reading<T> = Result<T, Unavailable>;

/// Why a value is not known. Its `Display` is the fix, phrased for the person who reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unavailable {
    /// A Cargo feature of `lens` is off.
    FeatureOff {
        /// The feature to enable.
        feature: Cow<'static, str>,
    },
    /// The service was built without tokio's unstable API.
    NeedsTokioUnstable,
    /// The service can turn it on by a call of its own.
    NotEnabled {
        /// The call or setting that turns it on.
        how: Cow<'static, str>,
    },
    /// jemalloc is linked, but Rust's allocations don't go through it.
    NotGlobalAllocator,
    /// The service, or a library that it links, was compiled without something.
    NotCompiledIn {
        /// What is missing.
        what: Cow<'static, str>,
        /// How to get it.
        fix: Cow<'static, str>,
    },
    /// This operating system does not have it.
    UnsupportedPlatform {
        /// What would have to be there.
        needs: Cow<'static, str>,
    },
    /// It needs more history than there is yet.
    NotYet {
        /// What has to happen first.
        until: Cow<'static, str>,
    },
    /// The source was asked and refused.
    Failed {
        /// What was asked and how it failed.
        what: Cow<'static, str>,
    },
    /// The skill panicked; the others go on.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The skill did not answer in time and is left alone until it does.
    Stuck {
        /// For how long it has been busy, in whole milliseconds.
        for_ms: u64,
    },
    /// The capture was saved without it.
    NotInCapture {
        /// What was looked for.
        what: Cow<'static, str>,
    },
    /// It is free text of a skill, and whoever asks is a model with which the service does not share it.
    NotShared {
        /// The skill.
        skill: String,
    },
    /// It was read from JSON, where only code and fix are kept.
    Reported {
        /// The code of the reason that was written.
        reported: String,
        /// The fix that was written.
        fix: String,
    },
}

impl Unavailable {
    /// A stable word for the reason, for programs.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::FeatureOff { .. } => "feature_off",
            Self::NeedsTokioUnstable => "needs_tokio_unstable",
            Self::NotEnabled { .. } => "not_enabled",
            Self::NotGlobalAllocator => "not_global_allocator",
            Self::NotCompiledIn { .. } => "not_compiled_in",
            Self::UnsupportedPlatform { .. } => "unsupported_platform",
            Self::NotYet { .. } => "not_yet",
            Self::Failed { .. } => "failed",
            Self::Panicked { .. } => "panicked",
            Self::Stuck { .. } => "stuck",
            Self::NotInCapture { .. } => "not_in_capture",
            Self::NotShared { .. } => "not_shared",
            Self::Reported { reported, .. } => reported,
        }
    }

    /// A source that was asked and refused: `what` says what and how.
    #[must_use]
    pub fn failed(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed { what: what.into() }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FeatureOff { feature } => write!(f, "enable the feature `{feature}` of lens"),
            Self::NeedsTokioUnstable => {
                f.write_str("build the service with RUSTFLAGS=\"--cfg tokio_unstable\"")
            }
            Self::NotEnabled { how } => f.write_str(how),
            Self::NotGlobalAllocator => f.write_str(
                "make jemalloc the global allocator: `#[global_allocator] static A: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;`",
            ),
            Self::NotCompiledIn { what, fix } => write!(f, "{what} is not compiled in: {fix}"),
            Self::UnsupportedPlatform { needs } => write!(f, "run on a system that has {needs}"),
            Self::NotYet { until } => write!(f, "wait until {until}"),
            Self::Failed { what } => f.write_str(what),
            Self::Panicked { message } => write!(f, "the skill panicked: {message}"),
            Self::Stuck { for_ms } => {
                write!(f, "the skill has not answered for {for_ms} ms and is left alone until it does")
            }
            Self::NotInCapture { what } => write!(f, "{what} is not in this capture"),
            Self::NotShared { skill } => {
                write!(f, "share the free text of `{skill}` with models: `Builder::share_text(\"{skill}\")`")
            }
            Self::Reported { fix, .. } => f.write_str(fix),
        }
    }
}

impl std::error::Error for Unavailable {}

/// The name by which [`Answer`](crate::Answer) recognises an absent field while a row is serialized.
pub(crate) const UNAVAILABLE_STRUCT: &str = "$lens::Unavailable";

/// A [`Reading`] as a field of a row: the value itself on the wire, or `{"unavailable": code, "fix": text}`.
///
/// # Examples
///
/// ```
/// use lens_core::{OrUnavailable, Unavailable};
///
/// let known: OrUnavailable<u64> = Ok(3).into();
/// assert_eq!(serde_json::to_string(&known)?, "3");
///
/// let absent: OrUnavailable<u64> = Err(Unavailable::NeedsTokioUnstable).into();
/// assert_eq!(serde_json::to_value(&absent)?["unavailable"], "needs_tokio_unstable");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrUnavailable<T>(pub Reading<T>);

impl<T> From<Reading<T>> for OrUnavailable<T> {
    fn from(reading: Reading<T>) -> Self {
        Self(reading)
    }
}

impl<T: Serialize> Serialize for OrUnavailable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(value) => value.serialize(serializer),
            Err(reason) => {
                let mut fields = serializer.serialize_struct(UNAVAILABLE_STRUCT, 2)?;
                fields.serialize_field("unavailable", reason.code())?;
                fields.serialize_field("fix", &reason.to_string())?;
                fields.end()
            }
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrUnavailable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire<T> {
            Absent { unavailable: String, fix: String },
            Known(T),
        }
        Ok(Self(match Wire::deserialize(deserializer)? {
            Wire::Known(value) => Ok(value),
            Wire::Absent { unavailable, fix } => Err(Unavailable::Reported { reported: unavailable, fix }),
        }))
    }
}

impl<T: JsonSchema> JsonSchema for OrUnavailable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("OrUnavailable_{}", T::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = generator.subschema_for::<T>();
        schema.insert("x-lens-may-be-unavailable".to_owned(), true.into());
        schema
    }
}

/// One thing that a skill reads from, and whether it is there: the unit of coverage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// What is read, in the words of its origin: `RuntimeMetrics`, `cgroup v2`.
    pub name: Cow<'static, str>,
    /// What it is good for, in one line.
    pub gives: Cow<'static, str>,
    /// What it costs the service while it is on.
    pub cost: Cow<'static, str>,
    /// Live, or why not.
    pub status: SourceStatus,
}

/// Whether a [`Source`] can be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SourceStatus {
    /// All of it is read.
    Live,
    /// It is read, but something is left out: what, and how to get it.
    Partial {
        /// What is left out, and how to get it.
        missing: Cow<'static, str>,
    },
    /// It cannot be read.
    Unavailable(
        /// Why not, and the fix.
        Unavailable,
    ),
}

impl Source {
    /// A source that is read in full.
    #[must_use]
    pub fn live(name: &'static str, gives: &'static str, cost: &'static str) -> Self {
        Self { name: name.into(), gives: gives.into(), cost: cost.into(), status: SourceStatus::Live }
    }

    /// The same source, with the reason if `probe` says that it cannot be read.
    #[must_use]
    pub fn when<T>(mut self, probe: &Reading<T>) -> Self {
        if let Err(reason) = probe {
            self.status = SourceStatus::Unavailable(reason.clone());
        }
        self
    }

    /// `live`, `partial` or `unavailable`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.status {
            SourceStatus::Live => "live",
            SourceStatus::Partial { .. } => "partial",
            SourceStatus::Unavailable(_) => "unavailable",
        }
    }

    /// The stable word for what is missing, if anything is.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.status {
            SourceStatus::Live => None,
            SourceStatus::Partial { .. } => Some("partial"),
            SourceStatus::Unavailable(reason) => Some(reason.code()),
        }
    }

    /// What is missing and how to get it, if anything is.
    #[must_use]
    pub fn fix(&self) -> Option<String> {
        match &self.status {
            SourceStatus::Live => None,
            SourceStatus::Partial { missing } => Some(missing.to_string()),
            SourceStatus::Unavailable(reason) => Some(reason.to_string()),
        }
    }

    /// The same source, of which something is left out.
    #[must_use]
    pub fn partial(mut self, missing: impl Into<Cow<'static, str>>) -> Self {
        self.status = SourceStatus::Partial { missing: missing.into() };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_field_keeps_its_code_and_fix_through_json() {
        let absent = OrUnavailable::<u64>(Err(Unavailable::NeedsTokioUnstable));
        let json = serde_json::to_value(&absent).unwrap();
        assert_eq!(json["fix"], "build the service with RUSTFLAGS=\"--cfg tokio_unstable\"");

        let back: OrUnavailable<u64> = serde_json::from_value(json).unwrap();
        let reason = back.0.unwrap_err();
        assert_eq!(reason.code(), "needs_tokio_unstable");
        assert_eq!(reason.to_string(), Unavailable::NeedsTokioUnstable.to_string());
    }
}
