//! What the runtime's metrics give on stable tokio.

use lens_core::{Reading, Unavailable};
use tokio::runtime::RuntimeMetrics;

use crate::runtime::counts::{IntervalCounts, PollTimeBucket, RuntimeCounts, WorkerCounts};

/// Whether there is more than stable tokio has.
pub(crate) fn reading() -> Reading<()> {
    Err(Unavailable::NeedsTokioUnstable)
}

/// The rest of what tokio counts in a runtime.
pub(crate) fn runtime(_metrics: &RuntimeMetrics) -> Reading<RuntimeCounts> {
    Err(Unavailable::NeedsTokioUnstable)
}

/// The rest of what tokio counts in a worker.
pub(crate) fn worker(_metrics: &RuntimeMetrics, _worker: usize) -> Reading<WorkerCounts> {
    Err(Unavailable::NeedsTokioUnstable)
}

/// How many polls a worker has made.
pub(crate) fn poll_count(_metrics: &RuntimeMetrics, _worker: usize) -> Reading<u64> {
    Err(Unavailable::NeedsTokioUnstable)
}

/// Whether a runtime has a histogram of poll times.
pub(crate) fn has_poll_times(_metrics: &RuntimeMetrics) -> Reading<()> {
    Err(Unavailable::NeedsTokioUnstable)
}

/// The histogram of poll times over all workers.
pub(crate) fn poll_times(_metrics: &RuntimeMetrics) -> Reading<Vec<PollTimeBucket>> {
    Err(Unavailable::NeedsTokioUnstable)
}

/// The rest of what the monitor tells of an interval.
pub(crate) fn interval(_interval: &tokio_metrics::RuntimeMetrics) -> Reading<IntervalCounts> {
    Err(Unavailable::NeedsTokioUnstable)
}
