//! The intervals of `tokio-metrics`' `RuntimeMonitor`: what changed in each of the last seconds, over all workers. Separate
//! because they are another crate's arithmetic, read once a second and kept as they are.

use std::collections::VecDeque;

use lens_core::{OrUnavailable, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_metrics::RuntimeIntervals;

use super::counts::{IntervalCounts, nanos};
use crate::flavour::metrics;

/// The most intervals that are kept of a runtime: the last minute.
pub(super) const CAP: usize = 60;

/// One interval, under the monitor's names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Interval {
    pub(super) at: Timestamp,
    pub(super) at_ns: u64,
    pub(super) elapsed_ns: u64,
    pub(super) live_tasks_count: usize,
    pub(super) global_queue_depth: usize,
    pub(super) total_park_count: u64,
    pub(super) max_park_count: u64,
    pub(super) min_park_count: u64,
    pub(super) total_busy_ns: u64,
    pub(super) max_busy_ns: u64,
    pub(super) min_busy_ns: u64,
    /// Not the monitor's: how many workers made no progress when the interval ended.
    pub(super) no_progress_workers: usize,
    pub(super) unstable: OrUnavailable<IntervalCounts>,
}

/// A monitor of one runtime, and what it said in the last minute.
#[derive(Debug)]
pub(super) struct Intervals {
    monitor: RuntimeIntervals,
    kept: VecDeque<Interval>,
}

impl Intervals {
    pub(super) fn new(monitor: RuntimeIntervals) -> Self {
        Self { monitor, kept: VecDeque::new() }
    }

    /// Ends an interval.
    pub(super) fn advance(&mut self, at_ns: u64, no_progress_workers: usize) {
        let Some(interval) = self.monitor.next() else { return };
        if self.kept.len() == CAP {
            self.kept.pop_front();
        }
        self.kept.push_back(Interval {
            at: Timestamp::now(),
            at_ns,
            elapsed_ns: nanos(interval.elapsed),
            live_tasks_count: interval.live_tasks_count.saturating_sub(1),
            global_queue_depth: interval.global_queue_depth,
            total_park_count: interval.total_park_count,
            max_park_count: interval.max_park_count,
            min_park_count: interval.min_park_count,
            total_busy_ns: nanos(interval.total_busy_duration),
            max_busy_ns: nanos(interval.max_busy_duration),
            min_busy_ns: nanos(interval.min_busy_duration),
            no_progress_workers,
            unstable: metrics::interval(&interval).into(),
        });
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &Interval> {
        self.kept.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.kept.capacity() * size_of::<Interval>()
    }
}
