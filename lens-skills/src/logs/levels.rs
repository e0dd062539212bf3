//! tracing's levels as data. Separate because tracing's own type is neither serialized nor ordered as people expect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How severe an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is about to, or was mended.
    Warn,
    /// Worth knowing.
    Info,
    /// For whoever works on the code.
    Debug,
    /// Each step.
    Trace,
}

impl Level {
    /// From the most severe to the most verbose.
    pub(super) const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// Whether somebody should look at it.
    pub(super) fn is_urgent(self) -> bool {
        self <= Self::Warn
    }
}

impl From<&tracing::Level> for Level {
    fn from(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            _ => Self::Trace,
        }
    }
}

/// A number for each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ByLevel(pub(super) [u64; Level::ALL.len()]);

impl ByLevel {
    pub(super) fn of(&self, level: Level) -> u64 {
        self.0[level as usize]
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}
