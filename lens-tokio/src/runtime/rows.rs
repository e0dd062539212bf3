//! The rows that the skill's functions give. Separate because their field comments are the reference that people and
//! models read.

use lens_core::{OrUnavailable, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::progress::WorkerState;
use super::state::Flavor;

/// A runtime that is alive.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StatsRow {
    /// What lens calls it: the name it was attached by, else its own name, else `runtime-1` and so on. Unique among the
    /// runtimes that are alive.
    pub runtime: String,
    /// Tokio's id of the runtime; tokio may give it to another one after this has ended.
    pub id: u64,
    /// The name that its builder gave it, if any.
    pub name: Option<String>,
    /// `multi_thread` or `current_thread`.
    pub flavor: Flavor,
    /// Since when lens watches it.
    pub attached_at: Timestamp,
    /// Workers; 1 in a `current_thread` runtime.
    pub num_workers: u64,
    /// Tasks that have not ended, without lens's canary. Not counted: `spawn_blocking`, tasks of a `LocalSet`, and the
    /// future of `block_on`.
    pub num_alive_tasks: u64,
    /// Ready tasks in the queue that all workers share: woken from outside, or overflowed from a worker's own queue.
    /// Without lens's canary if no worker published anything since it was woken; else it may be one of them.
    pub global_queue_depth: u64,
    /// The mean of the workers' busy ratios over the window; see `runtime.workers`.
    pub busy_ratio: OrUnavailable<f64>,
    /// Workers that are parked.
    pub parked_workers: u64,
    /// Workers in the state `no_progress`; see `runtime.workers`.
    pub no_progress_workers: u64,
    /// How long lens's canary task, woken once a second, last waited for its poll; or how long it has been waiting by now
    /// if that is longer. Any task that was woken then waited about as long.
    pub schedule_delay_ms: OrUnavailable<f64>,
    /// Whether the canary still waits, so that `schedule_delay_ms` is a lower bound.
    pub is_schedule_delay_open: bool,
    /// Tasks spawned since the runtime's start, without lens's canary. Monotonic.
    pub spawned_tasks_count: OrUnavailable<u64>,
    /// Wakes and spawns from outside the runtime since its start, with one a second of lens's. Monotonic.
    pub remote_schedule_count: OrUnavailable<u64>,
    /// Times that a task was made to yield because it had used up its budget. Monotonic.
    pub budget_forced_yield_count: OrUnavailable<u64>,
    /// Threads of the blocking pool, idle ones included, workers not.
    pub num_blocking_threads: OrUnavailable<u64>,
    /// Threads of the blocking pool that wait for work.
    pub num_idle_blocking_threads: OrUnavailable<u64>,
    /// `spawn_blocking` calls that wait for a thread.
    pub blocking_queue_depth: OrUnavailable<u64>,
    /// Descriptors registered with the I/O driver since the start; 0 without I/O driver. Monotonic.
    pub io_driver_fd_registered_count: OrUnavailable<u64>,
    /// Descriptors taken off the I/O driver since the start. Monotonic.
    pub io_driver_fd_deregistered_count: OrUnavailable<u64>,
    /// Readiness events of the I/O driver since the start. Monotonic.
    pub io_driver_ready_count: OrUnavailable<u64>,
}

/// A worker of a runtime that is alive. Counters are what the worker has published: it does so when it parks and unparks,
/// and every 61 polls (tokio's `event_interval`).
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WorkerRow {
    /// The runtime, as lens calls it.
    pub runtime: String,
    /// The worker's index within its runtime.
    pub index: u64,
    /// What it does.
    pub state: WorkerState,
    /// For how long, at least, it has made no progress: known to the 100 ms at which lens looks at it, never too long.
    /// Null unless its state is `no_progress`.
    pub no_progress_ms: Option<f64>,
    /// Since when it makes no progress, at the latest; null unless its state is `no_progress`.
    pub no_progress_since: Option<Timestamp>,
    /// The share of the window that it spent on tasks: neither parked nor looking for I/O, which it does every 61 polls and
    /// which is much if polls are very short (a worker that never parks, `park_count_per_s` 0, has no time left). Time
    /// since it last published counts as busy while it is not parked, so that a worker without progress reads as busy, not
    /// as idle. Exact to 100 ms in a window. Unavailable while the worker of a `current_thread` runtime makes no progress:
    /// it is either busy or not driven.
    pub busy_ratio: OrUnavailable<f64>,
    /// The length of the window: what was asked for, to the second, or as long as lens has watched.
    pub window_ms: OrUnavailable<f64>,
    /// Whether it is parked.
    pub is_parked: bool,
    /// How often it parked. Monotonic.
    pub worker_park_count: u64,
    /// How often it parked and unparked: odd while it is parked. Monotonic.
    pub worker_park_unpark_count: u64,
    /// How often a second it parked, over the window.
    pub park_count_per_s: OrUnavailable<f64>,
    /// Time spent on tasks since the runtime's start, as published: it stands still while a poll lasts. Monotonic.
    pub worker_total_busy_ms: f64,
    /// The thread that runs it, as `std::thread::ThreadId` prints; null before the first.
    pub worker_thread_id: OrUnavailable<Option<String>>,
    /// Ready tasks in its own queue, without the one in its LIFO slot. Live, not published in batches.
    pub worker_local_queue_depth: OrUnavailable<u64>,
    /// Polls. Monotonic.
    pub worker_poll_count: OrUnavailable<u64>,
    /// Polls a second, over the window.
    pub poll_count_per_s: OrUnavailable<f64>,
    /// The mean duration of a poll, of which recent ones weigh more: tokio's own estimate, by which it tunes how often it
    /// looks at the global queue.
    pub worker_mean_poll_ms: OrUnavailable<f64>,
    /// Times that it unparked and parked again without a poll. Monotonic.
    pub worker_noop_count: OrUnavailable<u64>,
    /// Tasks that it stole from other workers. Monotonic.
    pub worker_steal_count: OrUnavailable<u64>,
    /// Times that it stole, of which each takes several tasks. Monotonic.
    pub worker_steal_operations: OrUnavailable<u64>,
    /// Tasks scheduled from the worker itself onto its own queue. Monotonic.
    pub worker_local_schedule_count: OrUnavailable<u64>,
    /// Times that its queue was full and half of it went to the global queue. Monotonic.
    pub worker_overflow_count: OrUnavailable<u64>,
}

/// The blocking pool of a runtime: `spawn_blocking`, `tokio::fs`, name look-ups.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct BlockingPoolRow {
    /// The runtime, as lens calls it.
    pub runtime: String,
    /// Threads of the pool, idle ones included. A pool grows to `max_blocking_threads`, 512 unless set.
    pub num_blocking_threads: OrUnavailable<u64>,
    /// Threads that wait for work.
    pub num_idle_blocking_threads: OrUnavailable<u64>,
    /// Threads that work: the difference of the two.
    pub busy_blocking_threads: OrUnavailable<u64>,
    /// Calls that wait for a thread: above 0 for longer, the pool is exhausted. In a runtime that is just built, also
    /// workers that have not started yet.
    pub blocking_queue_depth: OrUnavailable<u64>,
}

/// One bucket of the histogram of poll times.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PollTimesRow {
    /// The runtime, as lens calls it.
    pub runtime: String,
    /// The shortest poll in the bucket.
    pub from_ms: f64,
    /// Polls in it are shorter than this; null for the last bucket, which has no end.
    pub below_ms: Option<f64>,
    /// Polls of all workers since the runtime's start. Monotonic.
    pub polls_total: u64,
    /// Its share of all polls; null before the first.
    pub polls_ratio: Option<f64>,
}

/// What changed in a second, as `tokio-metrics`' `RuntimeMonitor` sees it: sums over the workers, and the greatest and
/// least of a worker. What a worker has not published is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct IntervalRow {
    /// The runtime, as lens calls it.
    pub runtime: String,
    /// When the interval ended.
    pub at: Timestamp,
    /// Its length.
    pub elapsed_ms: f64,
    /// Tasks that had not ended, at its end, without lens's canary.
    pub live_tasks_count: u64,
    /// Ready tasks in the queue that all workers share, at its end.
    pub global_queue_depth: u64,
    /// Workers that had made no progress for 100 ms at its end, whose time is missing from the busy times.
    pub no_progress_workers: u64,
    /// Times that workers parked.
    pub total_park_count: u64,
    /// Parks of the worker with most.
    pub max_park_count: u64,
    /// Parks of the worker with least.
    pub min_park_count: u64,
    /// Time spent on tasks, of all workers, as published: what is published late is in the interval in which it was.
    pub total_busy_ms: f64,
    /// Of the worker with most.
    pub max_busy_ms: f64,
    /// Of the worker with least.
    pub min_busy_ms: f64,
    /// The mean duration of a poll; null if nothing was polled.
    pub mean_poll_ms: OrUnavailable<Option<f64>>,
    /// The mean of the worker with the longest polls; null if nothing was polled.
    pub max_mean_poll_ms: OrUnavailable<Option<f64>>,
    /// The mean of the worker with the shortest polls; null if nothing was polled.
    pub min_mean_poll_ms: OrUnavailable<Option<f64>>,
    /// Polls.
    pub total_polls_count: OrUnavailable<u64>,
    /// Polls of the worker with most.
    pub max_polls_count: OrUnavailable<u64>,
    /// Polls of the worker with least.
    pub min_polls_count: OrUnavailable<u64>,
    /// Polls for each park that followed any; null if there was none.
    pub mean_polls_per_park: OrUnavailable<Option<f64>>,
    /// Unparks without a poll.
    pub total_noop_count: OrUnavailable<u64>,
    /// Tasks stolen.
    pub total_steal_count: OrUnavailable<u64>,
    /// Times that a worker stole.
    pub total_steal_operations: OrUnavailable<u64>,
    /// Tasks scheduled from outside the runtime, of which one is lens's canary.
    pub num_remote_schedules: OrUnavailable<u64>,
    /// Tasks scheduled by a worker onto its own queue.
    pub total_local_schedule_count: OrUnavailable<u64>,
    /// Times that a worker's queue was full.
    pub total_overflow_count: OrUnavailable<u64>,
    /// Ready tasks in the workers' own queues, at the interval's end.
    pub total_local_queue_depth: OrUnavailable<u64>,
    /// Of the worker with most.
    pub max_local_queue_depth: OrUnavailable<u64>,
    /// Of the worker with least.
    pub min_local_queue_depth: OrUnavailable<u64>,
    /// Calls that wait for a thread of the blocking pool, at the interval's end.
    pub blocking_queue_depth: OrUnavailable<u64>,
    /// Threads of the blocking pool, at the interval's end.
    pub blocking_threads_count: OrUnavailable<u64>,
    /// Of which wait for work.
    pub idle_blocking_threads_count: OrUnavailable<u64>,
    /// Times that a task was made to yield because it had used up its budget.
    pub budget_forced_yield_count: OrUnavailable<u64>,
    /// Readiness events of the I/O driver.
    pub io_driver_ready_count: OrUnavailable<u64>,
}

/// A task monitor of the service's own: totals since it was made, over the tasks that it instruments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskMonitorRow {
    /// The name that it was registered by.
    pub name: String,
    /// Futures that it instrumented. Monotonic.
    pub instrumented_count: u64,
    /// Of which were dropped, finished or not. Monotonic.
    pub dropped_count: u64,
    /// Of which were not.
    pub live_count: u64,
    /// Of which were polled at least once. Monotonic.
    pub first_poll_count: u64,
    /// The mean time from instrumenting to the first poll; null before any.
    pub mean_first_poll_delay_ms: Option<f64>,
    /// Polls. Monotonic.
    pub total_poll_count: u64,
    /// Time in polls. Monotonic.
    pub total_poll_ms: f64,
    /// The mean duration of a poll; null before any.
    pub mean_poll_ms: Option<f64>,
    /// From which duration a poll is slow: 0.05 ms unless the service set it.
    pub slow_poll_threshold_ms: f64,
    /// Slow polls. Monotonic.
    pub total_slow_poll_count: u64,
    /// The share of polls that were slow; null before any.
    pub slow_poll_ratio: Option<f64>,
    /// The mean duration of a slow poll; null before any.
    pub mean_slow_poll_ms: Option<f64>,
    /// Times that a task was woken and then polled. Monotonic.
    pub total_scheduled_count: u64,
    /// Time from wakes to polls. Monotonic.
    pub total_scheduled_ms: f64,
    /// The mean time from a wake to its poll; null before any.
    pub mean_scheduled_ms: Option<f64>,
    /// From which time a wait for a poll is a long delay: 0.05 ms unless the service set it.
    pub long_delay_threshold_ms: f64,
    /// Long delays. Monotonic.
    pub total_long_delay_count: u64,
    /// The share of waits that were long; null before any.
    pub long_delay_ratio: Option<f64>,
    /// The mean of the long waits; null before any.
    pub mean_long_delay_ms: Option<f64>,
    /// Times that a task waited to be woken, and was. Monotonic.
    pub total_idled_count: u64,
    /// Time from polls to wakes. Monotonic.
    pub total_idle_ms: f64,
    /// The mean time from a poll to the next wake; null before any.
    pub mean_idle_ms: Option<f64>,
    /// The longest of these; null before any.
    pub max_idle_ms: Option<f64>,
}

/// A runtime that has shut down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndedRow {
    /// The runtime, as lens called it.
    pub runtime: String,
    /// The id that tokio gave it.
    pub id: u64,
    /// The name that its builder gave it, if any.
    pub name: Option<String>,
    /// `multi_thread` or `current_thread`.
    pub flavor: Flavor,
    /// The workers it had.
    pub num_workers: u64,
    /// Since when lens had watched it.
    pub attached_at: Timestamp,
    /// When lens saw that it had shut down: at most 100 ms late.
    pub ended_at: Timestamp,
}
