//! What the runtime's metrics give on unstable tokio.

use std::time::Duration;

use lens_core::{Reading, Unavailable};
use tokio::runtime::RuntimeMetrics;

use crate::runtime::counts::{IntervalCounts, PollTimeBucket, RuntimeCounts, WorkerCounts, nanos};

/// The end that tokio gives the last bucket.
const NO_END: Duration = Duration::from_nanos(u64::MAX);

/// Whether there is more than stable tokio has.
#[expect(clippy::unnecessary_wraps, reason = "stable tokio has nothing")]
pub(crate) fn reading() -> Reading<()> {
    Ok(())
}

/// The rest of what tokio counts in a runtime.
#[expect(clippy::unnecessary_wraps, reason = "stable tokio has nothing")]
pub(crate) fn runtime(metrics: &RuntimeMetrics) -> Reading<RuntimeCounts> {
    Ok(RuntimeCounts {
        num_blocking_threads: metrics.num_blocking_threads(),
        num_idle_blocking_threads: metrics.num_idle_blocking_threads(),
        blocking_queue_depth: metrics.blocking_queue_depth(),
        spawned_tasks_count: metrics.spawned_tasks_count(),
        remote_schedule_count: metrics.remote_schedule_count(),
        budget_forced_yield_count: metrics.budget_forced_yield_count(),
        io_driver_fd_registered_count: metrics.io_driver_fd_registered_count(),
        io_driver_fd_deregistered_count: metrics.io_driver_fd_deregistered_count(),
        io_driver_ready_count: metrics.io_driver_ready_count(),
    })
}

/// The rest of what tokio counts in a worker.
#[expect(clippy::unnecessary_wraps, reason = "stable tokio has nothing")]
pub(crate) fn worker(metrics: &RuntimeMetrics, worker: usize) -> Reading<WorkerCounts> {
    Ok(WorkerCounts {
        thread_id: metrics.worker_thread_id(worker).map(|id| format!("{id:?}")),
        local_queue_depth: metrics.worker_local_queue_depth(worker),
        poll_count: metrics.worker_poll_count(worker),
        noop_count: metrics.worker_noop_count(worker),
        steal_count: metrics.worker_steal_count(worker),
        steal_operations: metrics.worker_steal_operations(worker),
        local_schedule_count: metrics.worker_local_schedule_count(worker),
        overflow_count: metrics.worker_overflow_count(worker),
        mean_poll_ns: nanos(metrics.worker_mean_poll_time(worker)),
    })
}

/// How many polls a worker has made.
#[expect(clippy::unnecessary_wraps, reason = "stable tokio has nothing")]
pub(crate) fn poll_count(metrics: &RuntimeMetrics, worker: usize) -> Reading<u64> {
    Ok(metrics.worker_poll_count(worker))
}

/// Whether a runtime has a histogram of poll times.
pub(crate) fn has_poll_times(metrics: &RuntimeMetrics) -> Reading<()> {
    if metrics.poll_time_histogram_enabled() {
        Ok(())
    } else {
        Err(Unavailable::NotEnabled {
            how: "call `enable_metrics_poll_time_histogram()` on the runtime's builder".into(),
        })
    }
}

/// The histogram of poll times over all workers.
pub(crate) fn poll_times(metrics: &RuntimeMetrics) -> Reading<Vec<PollTimeBucket>> {
    has_poll_times(metrics)?;
    let bucket = |bucket| {
        let range = metrics.poll_time_histogram_bucket_range(bucket);
        let workers = 0..metrics.num_workers();
        PollTimeBucket {
            start_ns: nanos(range.start),
            end_ns: (range.end < NO_END).then(|| nanos(range.end)),
            count: workers.map(|worker| metrics.poll_time_histogram_bucket_count(worker, bucket)).sum(),
        }
    };
    Ok((0..metrics.poll_time_histogram_num_buckets()).map(bucket).collect())
}

/// The rest of what the monitor tells of an interval.
#[expect(clippy::unnecessary_wraps, reason = "stable tokio has nothing")]
pub(crate) fn interval(interval: &tokio_metrics::RuntimeMetrics) -> Reading<IntervalCounts> {
    let durations = [
        nanos(interval.mean_poll_duration),
        nanos(interval.mean_poll_duration_worker_min),
        nanos(interval.mean_poll_duration_worker_max),
    ];
    let has_parked = interval.total_park_count > interval.total_noop_count;
    Ok(IntervalCounts {
        poll_durations_ns: (interval.total_polls_count > 0).then_some(durations),
        total_polls_count: interval.total_polls_count,
        max_polls_count: interval.max_polls_count,
        min_polls_count: interval.min_polls_count,
        total_noop_count: interval.total_noop_count,
        total_steal_count: interval.total_steal_count,
        total_steal_operations: interval.total_steal_operations,
        num_remote_schedules: interval.num_remote_schedules,
        total_local_schedule_count: interval.total_local_schedule_count,
        total_overflow_count: interval.total_overflow_count,
        total_local_queue_depth: interval.total_local_queue_depth,
        max_local_queue_depth: interval.max_local_queue_depth,
        min_local_queue_depth: interval.min_local_queue_depth,
        blocking_queue_depth: interval.blocking_queue_depth,
        blocking_threads_count: interval.blocking_threads_count,
        idle_blocking_threads_count: interval.idle_blocking_threads_count,
        budget_forced_yield_count: interval.budget_forced_yield_count,
        io_driver_ready_count: interval.io_driver_ready_count,
        mean_polls_per_park: has_parked.then(|| interval.mean_polls_per_park()),
    })
}
