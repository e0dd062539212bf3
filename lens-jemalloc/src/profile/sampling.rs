//! When allocations are sampled: switched on when somebody asks, for a bounded time, by one at a time, and off again for
//! sure. Separate because it is the only part of lens that changes how the service's threads run.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use lens_core::{Timestamp, Unavailable, threads};

use crate::ffi::mallctl::number;
use crate::ffi::prof;

/// For how long sampling can be asked for at once. Longer sees slower leaks.
pub const MAX_SAMPLING: Duration = Duration::from_secs(3600);

/// How allocations are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// Whether they are sampled now.
    pub is_on: bool,
    /// One is taken in this many bytes, on average.
    pub sample_bytes: u64,
    /// When lens switched it on the last time.
    pub since: Option<Timestamp>,
    /// When it ends, or ended; absent while it is on because the service itself switched it on.
    pub until: Option<Timestamp>,
    /// How often lens switched it on.
    pub windows_total: u64,
}

/// Why sampling was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// It is on already.
    Busy {
        /// When that ends.
        until: Timestamp,
    },
    /// The time that was asked for is none, or more than [`MAX_SAMPLING`].
    Length,
    /// It cannot be done in this process.
    Unavailable(Unavailable),
}

impl From<Unavailable> for StartError {
    fn from(reason: Unavailable) -> Self {
        Self::Unavailable(reason)
    }
}

/// The switch. Its owner keeps it; the thread that waits for the end has the rest.
#[derive(Debug, Default)]
pub(super) struct Switch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Set while lens has it on.
    ends: Option<Instant>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    windows: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&mut self) {
        if self.ends.take().is_some() {
            self.until = Some(Timestamp::now());
            // It was switched on by the same name; a refusal now could not be remedied.
            let _ = prof::set_active(false);
        }
    }
}

impl Switch {
    /// Switches sampling on for `length`; gives what [`stop`](Self::stop) takes to end it earlier, and nothing where the
    /// service itself has it on.
    pub(super) fn start(&self, length: Duration) -> Result<Option<Instant>, StartError> {
        if length.is_zero() || length > MAX_SAMPLING {
            return Err(StartError::Length);
        }
        let mut state = self.0.lock();
        if let (Some(_), Some(until)) = (state.ends, state.until) {
            return Err(StartError::Busy { until });
        }
        if is_active()? {
            // The service's own choice: there is nothing to do, and nothing to end.
            return Ok(None);
        }
        prof::can_unwind(number::<u8>(c"config.prof_libgcc").unwrap_or(true))?;
        let now = Timestamp::now();
        let ends = Instant::now() + length;
        state.ends = Some(ends);
        // From here on `end` is what undoes it.
        if let Err(reason) = prof::set_active(true) {
            state.ends = None;
            return Err(reason.into());
        }
        (state.since, state.until) = (Some(now), Some(now.plus(length)));
        state.windows += 1;
        let shared = Arc::clone(&self.0);
        let ender = threads::spawn("lens-heap-prof", None, move || end_in_time(&shared, ends));
        if let Err(error) = ender {
            state.end();
            return Err(StartError::Unavailable(Unavailable::failed(error.to_string())));
        }
        Ok(Some(ends))
    }

    /// Switches off what [`start`](Self::start) switched on: the window that ends at `ends`, or any. Gives whether it was on.
    pub(super) fn stop(&self, ends: Option<Instant>) -> bool {
        let mut state = self.0.lock();
        let is_it = state.ends.is_some() && (ends.is_none() || state.ends == ends);
        if is_it {
            state.end();
        }
        drop(state);
        self.0.changed.notify_all();
        is_it
    }

    pub(super) fn sampling(&self) -> Result<Sampling, Unavailable> {
        let state = self.0.lock();
        let is_on = is_active()?;
        let sample = number::<usize>(c"prof.lg_sample")?;
        Ok(Sampling {
            is_on,
            sample_bytes: 1_u64.checked_shl(u32::try_from(sample).unwrap_or(u32::MAX)).unwrap_or(u64::MAX),
            since: state.since,
            until: if is_on && state.ends.is_none() { None } else { state.until },
            windows_total: state.windows,
        })
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop(None);
    }
}

fn is_active() -> Result<bool, Unavailable> {
    Ok(number::<u8>(c"prof.active")?)
}

/// Waits until the window that ends at `ends` is over, and ends it unless somebody has.
fn end_in_time(shared: &Shared, ends: Instant) {
    let mut state = shared.lock();
    while state.ends == Some(ends) {
        let left = ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            state.end();
            return;
        }
        state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Sampling that ends when this is dropped, if not before. Where the service itself samples, nothing ends.
#[derive(Debug)]
#[must_use = "sampling ends when this is dropped"]
pub struct Sampled {
    pub(super) profiler: super::HeapProfiler,
    pub(super) ends: Option<Instant>,
}

impl Sampled {
    /// Lets it go on until its time is over.
    pub fn keep(mut self) {
        self.ends = None;
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        if let Some(ends) = self.ends {
            self.profiler.end(ends);
        }
    }
}
