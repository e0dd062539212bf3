//! The typed numbers that a skill gives the recorder every second. Separate from the recorder because skills see only
//! this side: a static definition and a call that records a value.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reading::Reading;

/// How a metric's values relate to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// A value that goes up and down.
    Gauge,
    /// A total that only grows, unless its source restarts. Its series is the rate per second.
    Counter,
    /// A share between 0 and 1.
    Ratio,
}

/// What a metric's number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// A share between 0 and 1.
    Ratio,
    /// A rate per second.
    PerSecond,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Milliseconds => "ms",
            Self::Ratio => "ratio",
            Self::PerSecond => "per_s",
        })
    }
}

/// Which way a metric moves when things get worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is worse.
    Up,
    /// Less is worse.
    Down,
    /// Neither way is worse by itself.
    Neutral,
}

/// The definition of a metric: written once as a `static`, named by its skill when it is queried.
///
/// # Examples
///
/// ```
/// use lens_core::{Metric, Unit};
///
/// static QUEUE_DEPTH: Metric = Metric::gauge("queue_depth", Unit::Count, "Items that wait for the batcher.").bad_when_up();
/// # assert_eq!(QUEUE_DEPTH.name(), "queue_depth");
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    name: &'static str,
    kind: MetricKind,
    unit: Unit,
    bad: Direction,
    doc: &'static str,
}

impl Metric {
    /// A value that goes up and down.
    #[must_use]
    pub const fn gauge(name: &'static str, unit: Unit, doc: &'static str) -> Self {
        Self { name, kind: MetricKind::Gauge, unit, bad: Direction::Neutral, doc }
    }

    /// A total that only grows. `unit` is the total's; the series is its rate per second, and a value below the last
    /// one is taken as a restart of its source, never as a negative rate.
    #[must_use]
    pub const fn counter(name: &'static str, unit: Unit, doc: &'static str) -> Self {
        Self { name, kind: MetricKind::Counter, unit, bad: Direction::Neutral, doc }
    }

    /// A share between 0 and 1.
    #[must_use]
    pub const fn ratio(name: &'static str, doc: &'static str) -> Self {
        Self { name, kind: MetricKind::Ratio, unit: Unit::Ratio, bad: Direction::Neutral, doc }
    }

    /// The same metric, of which more is worse.
    #[must_use]
    pub const fn bad_when_up(mut self) -> Self {
        self.bad = Direction::Up;
        self
    }

    /// The same metric, of which less is worse.
    #[must_use]
    pub const fn bad_when_down(mut self) -> Self {
        self.bad = Direction::Down;
        self
    }

    /// The name within its skill.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How its values relate to each other.
    #[must_use]
    pub const fn kind(&self) -> MetricKind {
        self.kind
    }

    /// What its number counts; for a counter, what the total counts.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// Which way is worse.
    #[must_use]
    pub const fn bad(&self) -> Direction {
        self.bad
    }

    /// What it measures, in a sentence.
    #[must_use]
    pub const fn doc(&self) -> &'static str {
        self.doc
    }
}

/// One recorded value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) metric: &'static Metric,
    pub(crate) label: String,
    pub(crate) value: f64,
}

/// Where a skill records its metrics.
///
/// Nothing is allocated once a skill has recorded the same metrics in the same order before.
#[derive(Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
    len: usize,
}

impl Metrics {
    /// Records a metric's value. One that is not finite is not recorded: absence is a gap, never a number.
    pub fn record(&mut self, metric: &'static Metric, value: impl MetricValue) {
        self.push(metric, "", value.into_f64());
    }

    /// Records the value of one of several: its series is `skill.metric[label]`.
    pub fn record_for(&mut self, metric: &'static Metric, label: &str, value: impl MetricValue) {
        self.push(metric, label, value.into_f64());
    }

    /// Records a reading; an absent one leaves a gap.
    pub fn record_reading<T: MetricValue>(&mut self, metric: &'static Metric, reading: Reading<T>) {
        if let Ok(value) = reading {
            self.push(metric, "", value.into_f64());
        }
    }

    fn push(&mut self, metric: &'static Metric, label: &str, value: f64) {
        if !value.is_finite() {
            return;
        }
        if let Some(slot) = self.samples.get_mut(self.len) {
            slot.metric = metric;
            slot.label.clear();
            slot.label.push_str(label);
            slot.value = value;
        } else {
            self.samples.push(Sample { metric, label: label.to_owned(), value });
        }
        self.len += 1;
    }

    /// Forgets what was recorded and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// What was recorded since the last [`clear`](Self::clear).
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples[..self.len]
    }
}

/// A number that can be recorded.
pub trait MetricValue {
    /// The number as a float.
    fn into_f64(self) -> f64;
}

impl MetricValue for f64 {
    fn into_f64(self) -> f64 {
        self
    }
}

impl MetricValue for u32 {
    fn into_f64(self) -> f64 {
        f64::from(self)
    }
}

macro_rules! wide_metric_value {
    ($($integer:ty),*) => {$(
        impl MetricValue for $integer {
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53; beyond it a sample is 16 digits of the value")]
            fn into_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}
wide_metric_value!(u64, i64, usize);
