//! Which thread is which worker on stable tokio, which does not tell.

use std::thread::ThreadId;

use lens_core::{Reading, Unavailable};
use tokio::runtime::RuntimeMetrics;

/// The thread that is the worker `index` now.
pub(crate) fn worker_thread(_metrics: &RuntimeMetrics, _index: usize) -> Reading<Option<ThreadId>> {
    Err(Unavailable::NeedsTokioUnstable)
}
