//! What only tokio's unstable API tells, as plain numbers. Separate because both flavours name these types, and only one
//! of them can fill them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What tokio's unstable API tells of a runtime, under tokio's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuntimeCounts {
    pub(crate) num_blocking_threads: usize,
    pub(crate) num_idle_blocking_threads: usize,
    pub(crate) blocking_queue_depth: usize,
    pub(crate) spawned_tasks_count: u64,
    pub(crate) remote_schedule_count: u64,
    pub(crate) budget_forced_yield_count: u64,
    pub(crate) io_driver_fd_registered_count: u64,
    pub(crate) io_driver_fd_deregistered_count: u64,
    pub(crate) io_driver_ready_count: u64,
}

/// What tokio's unstable API tells of a worker, under tokio's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerCounts {
    pub(crate) thread_id: Option<String>,
    pub(crate) local_queue_depth: usize,
    pub(crate) poll_count: u64,
    pub(crate) noop_count: u64,
    pub(crate) steal_count: u64,
    pub(crate) steal_operations: u64,
    pub(crate) local_schedule_count: u64,
    pub(crate) overflow_count: u64,
    /// As tokio has it: a seed before the first poll, and 0 in a `current_thread` runtime.
    pub(crate) mean_poll_ns: u64,
}

/// One bucket of the histogram of poll times, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PollTimeBucket {
    pub(crate) start_ns: u64,
    /// `None` for the last, which has no end.
    pub(crate) end_ns: Option<u64>,
    pub(crate) count: u64,
}

/// What the monitor has of tokio's unstable API, under its names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct IntervalCounts {
    /// Only if anything was polled: mean, and the least and greatest mean of a worker.
    pub(crate) poll_durations_ns: Option<[u64; 3]>,
    pub(crate) total_polls_count: u64,
    pub(crate) max_polls_count: u64,
    pub(crate) min_polls_count: u64,
    pub(crate) total_noop_count: u64,
    pub(crate) total_steal_count: u64,
    pub(crate) total_steal_operations: u64,
    pub(crate) num_remote_schedules: u64,
    pub(crate) total_local_schedule_count: u64,
    pub(crate) total_overflow_count: u64,
    pub(crate) total_local_queue_depth: usize,
    pub(crate) max_local_queue_depth: usize,
    pub(crate) min_local_queue_depth: usize,
    pub(crate) blocking_queue_depth: usize,
    pub(crate) blocking_threads_count: usize,
    pub(crate) idle_blocking_threads_count: usize,
    pub(crate) budget_forced_yield_count: u64,
    pub(crate) io_driver_ready_count: u64,
    /// Only if a worker parked after it had polled something.
    pub(crate) mean_polls_per_park: Option<f64>,
}

/// A span in nanoseconds; what does not fit is longer than 500 years.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
