//! What the service was like in the last minutes and hours: every second each skill's metrics go into rings of fixed
//! size. Separate from the skills because it owns the only clock that a query can see.
//!
//! Rings of one series, oldest overwritten first: 1 s × 10 min, 10 s × 2 h, 60 s × 24 h. The coarse rings keep the least,
//! greatest, mean and last value of their interval, as `f32`.

mod ring;
mod series;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::CallError;
use crate::metric::{Direction, Metric, MetricKind, Metrics, Unit};
use crate::store::Store;
use crate::time::{Span, Timestamp};

pub use ring::Resolution;
pub(crate) use ring::Rings;
pub use series::{Point, Series};

/// The most series that are kept. More cost memory (up to 62 KiB each after a day); fewer lose metrics of later skills.
pub const MAX_SERIES: usize = 512;

/// How often metrics are recorded.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// Where a query finds the past: the recorder's rings, or what a capture saved of them.
pub trait History: Send + Sync {
    /// The history of the metric `name` (`skill.metric` or `skill.metric[label]`) over the last `last`.
    ///
    /// # Errors
    ///
    /// There is no such metric, or no point of it in that time.
    fn series(&self, name: &str, last: Span) -> Result<Series, CallError>;

    /// Every metric that has a series, with its latest value.
    fn list(&self) -> Vec<SeriesReference>;

    /// All that is kept of every series, for a file.
    fn save(&self) -> SavedHistory;
}

/// What is known of a series besides its points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesReference {
    /// `skill.metric` or `skill.metric[label]`.
    pub name: String,
    /// What it measures.
    pub doc: String,
    /// How its values relate to each other.
    pub kind: MetricKind,
    /// The unit of its points.
    pub unit: Unit,
    /// Which way is worse.
    pub bad: Direction,
    /// The latest value: for a counter its total, not the rate.
    pub latest: f64,
    /// When that was.
    pub latest_at: Timestamp,
    /// The seconds between the latest value and the one before it; absent while there is only one.
    #[serde(default)]
    pub interval_s: Option<u32>,
}

impl SeriesReference {
    /// Whether it was recorded no more at `at`: what it measures has ended or cannot be read. Two of its own intervals may
    /// pass without a value, and some seconds more, because a machine may be slow.
    #[must_use]
    pub fn is_stale(&self, at: Timestamp) -> bool {
        const SLOWEST_USUAL_S: u32 = 10;
        const GRACE_S: u32 = 3;
        let interval_s = self.interval_s.unwrap_or(SLOWEST_USUAL_S);
        let patience_s = interval_s.saturating_mul(2).saturating_add(GRACE_S);
        at.since(self.latest_at) > Duration::from_secs(patience_s.into())
    }
}

/// The history as a capture's file has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SavedHistory {
    started_at: Timestamp,
    second: u32,
    series: Vec<SavedSeries>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedSeries {
    #[serde(flatten)]
    reference: SeriesReference,
    rings: Rings,
}

/// Records metrics. Shared by the thread that records and the ones that answer queries; the service never touches it.
#[derive(Debug)]
pub struct Recorder {
    started_at: Timestamp,
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    series: Vec<Recorded>,
    index: HashMap<String, usize>,
    /// For each skill, which series its n-th sample went to last time.
    routes: HashMap<String, Vec<Option<usize>>>,
    refused: u64,
    missed_ticks: u64,
    last_second: Option<u32>,
}

#[derive(Debug)]
struct Recorded {
    metric: &'static Metric,
    label: String,
    name: String,
    latest: f64,
    latest_second: u32,
    interval_s: Option<u32>,
    /// A counter's total and when it was read.
    previous: Option<(f64, Instant)>,
    rings: Rings,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// A recorder with empty rings; second 0 is now.
    #[must_use]
    pub fn new() -> Self {
        Self { started_at: Timestamp::now(), started: Instant::now(), inner: Mutex::default() }
    }

    /// When it started to record.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Stores what `skill` recorded at `now`. Allocates only for series that are new, and while their rings grow.
    pub fn record(&self, skill: &str, now: Instant, metrics: &Metrics) {
        let second = self.second(now);
        let mut inner = self.lock();
        let inner = &mut *inner;
        if !inner.routes.contains_key(skill) {
            inner.routes.insert(skill.to_owned(), Vec::new());
        }
        let Some(routes) = inner.routes.get_mut(skill) else { return };
        for (position, sample) in metrics.samples().iter().enumerate() {
            let remembered = routes.get(position).copied().flatten().filter(|&at| {
                let series = &inner.series[at];
                std::ptr::eq(series.metric, sample.metric) && series.label == sample.label
            });
            let at = remembered.or_else(|| {
                let name = name(skill, sample.metric, &sample.label);
                match inner.index.get(&name) {
                    Some(&at) => Some(at),
                    None if inner.series.len() >= MAX_SERIES => {
                        inner.refused += 1;
                        None
                    }
                    None => {
                        let at = inner.series.len();
                        let (metric, label) = (sample.metric, sample.label.clone());
                        inner.series.push(Recorded::new(metric, label, name.clone(), second));
                        inner.index.insert(name, at);
                        Some(at)
                    }
                }
            });
            if position >= routes.len() {
                routes.resize(position + 1, None);
            }
            routes[position] = at;
            if let Some(at) = at {
                inner.series[at].push(second, now, sample.value);
            }
        }
    }

    /// Notes that the second of `now` has been recorded; seconds that were left out since the last call are counted.
    pub fn tick(&self, now: Instant) {
        let second = self.second(now);
        let mut inner = self.lock();
        if let Some(last) = inner.last_second {
            inner.missed_ticks += u64::from(second.saturating_sub(last).saturating_sub(1));
        }
        inner.last_second = Some(second);
    }

    /// The rings' size and what they refused.
    #[must_use]
    pub fn store(&self) -> Store {
        let inner = self.lock();
        let rings: usize = inner.series.iter().map(|series| series.rings.memory_bytes() + size_of::<Recorded>()).sum();
        Store {
            name: "series".into(),
            len_count: inner.series.len() as u64,
            cap_count: MAX_SERIES as u64,
            memory_bytes: rings as u64,
            dropped_total: inner.refused + inner.missed_ticks,
        }
    }

    /// The history up to `now`, for one capture.
    #[must_use]
    pub fn until(self: &Arc<Self>, now: Instant) -> RecorderView {
        RecorderView { recorder: Arc::clone(self), second: self.second(now) }
    }

    fn second(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.started).as_secs()).unwrap_or(u32::MAX)
    }

    fn at(&self, second: u32) -> Timestamp {
        self.started_at.plus(Duration::from_secs(second.into()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; should it ever, the rings are still usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(skill: &str, metric: &Metric, label: &str) -> String {
    if label.is_empty() { format!("{skill}.{}", metric.name()) } else { format!("{skill}.{}[{label}]", metric.name()) }
}

impl Recorded {
    /// A series of which the first value comes in this second.
    fn new(metric: &'static Metric, label: String, name: String, second: u32) -> Self {
        let rings = Rings::default();
        Self { metric, label, name, latest: 0.0, latest_second: second, interval_s: None, previous: None, rings }
    }

    fn push(&mut self, second: u32, now: Instant, value: f64) {
        self.latest = value;
        // Two values of one second are one that came early or late.
        let before = std::mem::replace(&mut self.latest_second, second);
        self.interval_s = second.checked_sub(before).filter(|interval| *interval > 0).or(self.interval_s);
        if self.metric.kind() != MetricKind::Counter {
            self.rings.push(second, value);
            return;
        }
        let previous = self.previous.replace((value, now));
        if let Some((total, at)) = previous {
            let elapsed = now.saturating_duration_since(at).as_secs_f64();
            // A smaller total means that its source started again: there is no rate for this second.
            if value >= total && elapsed > 0.0 {
                self.rings.push(second, (value - total) / elapsed);
            }
        }
    }

    fn reference(&self, recorder: &Recorder) -> SeriesReference {
        SeriesReference {
            name: self.name.clone(),
            doc: self.metric.doc().to_owned(),
            kind: self.metric.kind(),
            unit: self.metric.unit(),
            bad: self.metric.bad(),
            latest: self.latest,
            latest_at: recorder.at(self.latest_second),
            interval_s: self.interval_s,
        }
    }
}

/// The recorder's history up to one instant: later points are not seen, so that a query is about that instant.
#[derive(Clone, Debug)]
pub struct RecorderView {
    recorder: Arc<Recorder>,
    second: u32,
}

impl History for RecorderView {
    fn series(&self, name: &str, last: Span) -> Result<Series, CallError> {
        let inner = self.recorder.lock();
        let Some(&at) = inner.index.get(name) else {
            return Err(CallError::not_found("series", name, inner.index.keys().map(String::as_str)));
        };
        let series = &inner.series[at];
        Series::cut(&series.reference(&self.recorder), &series.rings, self.recorder.started_at, self.second, last)
    }

    fn list(&self) -> Vec<SeriesReference> {
        self.recorder.lock().series.iter().map(|series| series.reference(&self.recorder)).collect()
    }

    fn save(&self) -> SavedHistory {
        let inner = self.recorder.lock();
        let series = inner
            .series
            .iter()
            .map(|series| SavedSeries { reference: series.reference(&self.recorder), rings: series.rings.clone() });
        SavedHistory { started_at: self.recorder.started_at, second: self.second, series: series.collect() }
    }
}

impl History for SavedHistory {
    fn series(&self, name: &str, last: Span) -> Result<Series, CallError> {
        let found = self.series.iter().find(|series| series.reference.name == name).ok_or_else(|| {
            CallError::not_found("series", name, self.series.iter().map(|series| series.reference.name.as_str()))
        })?;
        Series::cut(&found.reference, &found.rings, self.started_at, self.second, last)
    }

    fn list(&self) -> Vec<SeriesReference> {
        self.series.iter().map(|series| series.reference.clone()).collect()
    }

    fn save(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests;
