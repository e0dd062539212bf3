//! Whether a worker makes progress. Separate because it is a rule about numbers that can be tested without a runtime.
//!
//! tokio publishes a worker's counters when the worker parks, when it unparks, and every
//! [`event_interval`](tokio::runtime::Builder::event_interval) polls (61 unless set). A worker whose
//! `worker_park_unpark_count` is even is not parked; as long as its counters do not change, it neither parked nor finished
//! those polls. How long that has been is known to the interval at which the counters are looked at, never too long.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// For how long a worker that is not parked must leave its counters unchanged to be called `no_progress`. A shorter one
/// would be noticed sooner, and more often because the operating system let somebody else run.
pub const NO_PROGRESS_AFTER: Duration = Duration::from_millis(100);

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It has nothing to do and sleeps.
    Parked,
    /// It runs tasks, and its counters move.
    Busy,
    /// It is not parked, and its counters have not moved for at least 100 ms: one poll that does not return, or polls so
    /// long that 61 of them (tokio's `event_interval`) are not finished yet. A `current_thread` runtime is also in this
    /// state while no `block_on` drives it.
    NoProgress,
}

/// The counters of a worker on every flavour of tokio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Published {
    pub(super) park_count: u64,
    pub(super) park_unpark_count: u64,
    pub(super) busy_ns: u64,
}

/// The counters of a worker, and since when they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) published: Published,
    /// When they were first seen.
    pub(super) since_ns: u64,
}

impl Progress {
    pub(super) fn new(published: Published, now_ns: u64) -> Self {
        Self { published, since_ns: now_ns }
    }

    /// Notes what is published now; gives what it was before if it has changed.
    pub(super) fn observe(&mut self, published: Published, now_ns: u64) -> Option<Self> {
        if self.published == published {
            return None;
        }
        Some(std::mem::replace(self, Self::new(published, now_ns)))
    }

    pub(super) fn is_parked(&self) -> bool {
        !self.published.park_unpark_count.is_multiple_of(2)
    }

    /// For how long, at least, it has not been parked and yet published nothing; zero for one that is parked.
    pub(super) fn unpublished_ns(&self, now_ns: u64) -> u64 {
        if self.is_parked() { 0 } else { now_ns.saturating_sub(self.since_ns) }
    }

    pub(super) fn state(&self, now_ns: u64) -> WorkerState {
        if self.is_parked() {
            WorkerState::Parked
        } else if Duration::from_nanos(self.unpublished_ns(now_ns)) >= NO_PROGRESS_AFTER {
            WorkerState::NoProgress
        } else {
            WorkerState::Busy
        }
    }

    /// Time spent on tasks since the runtime's start: what is published, and all of the time since, for then it has not
    /// even looked for I/O.
    pub(super) fn busy_ns(&self, now_ns: u64) -> u64 {
        self.published.busy_ns.saturating_add(self.unpublished_ns(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn published(park_unpark_count: u64, busy_ns: u64) -> Published {
        Published { park_count: park_unpark_count.div_ceil(2), park_unpark_count, busy_ns }
    }

    #[test]
    fn parked_worker_never_lacks_progress() {
        let parked = Progress::new(published(3, 7), 0);
        assert_eq!(parked.state(3_600_000 * MS), WorkerState::Parked);
        assert_eq!(parked.busy_ns(3_600_000 * MS), 7);
    }

    #[test]
    fn active_worker_lacks_progress_once_its_counters_stood_still() {
        let mut worker = Progress::new(published(3, 7), 0);
        assert!(worker.observe(published(4, 7), 50 * MS).is_some());
        assert!(worker.observe(published(4, 7), 149 * MS).is_none());
        assert_eq!(worker.state(149 * MS), WorkerState::Busy);
        assert_eq!(worker.state(150 * MS), WorkerState::NoProgress);
        assert_eq!(worker.unpublished_ns(250 * MS), 200 * MS);
        assert_eq!(worker.busy_ns(250 * MS), 7 + 200 * MS);
    }

    #[test]
    fn worker_whose_busy_time_moves_is_busy() {
        let mut worker = Progress::new(published(4, 7), 0);
        let before = worker.observe(published(4, 8), 500 * MS).unwrap();
        assert_eq!(before, Progress::new(published(4, 7), 0));
        assert_eq!(worker.state(599 * MS), WorkerState::Busy);
    }
}
