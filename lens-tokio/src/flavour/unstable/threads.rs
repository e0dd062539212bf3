//! Which thread is which worker on unstable tokio.

use std::thread::ThreadId;

use lens_core::Reading;
use tokio::runtime::RuntimeMetrics;

/// The thread that is the worker `index` now.
///
/// Cost: a lock that tokio takes when a worker changes its thread.
#[expect(clippy::unnecessary_wraps, reason = "stable tokio does not tell")]
pub(crate) fn worker_thread(metrics: &RuntimeMetrics, index: usize) -> Reading<Option<ThreadId>> {
    Ok(metrics.worker_thread_id(index))
}
