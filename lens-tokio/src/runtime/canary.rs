//! A task of lens's in each observed runtime: woken every second, it measures how long a task that is ready waits for its
//! poll, and its end is the only sign there is of a runtime's end. Separate because it is the only code of the skill that
//! runs on the service's threads.
//!
//! One question is out at a time: `asked_ns` is the instant of it, or 0. Only lens's thread asks, and only while it is 0;
//! only the canary answers, and only while it is not. The delay is written before the 0 that publishes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::counts::nanos;

/// How often each canary is woken. More often finds shorter delays, and costs the runtime as many more wake-ups.
pub const CANARY_INTERVAL: Duration = Duration::from_secs(1);

/// Lens's end of a canary task.
#[derive(Clone, Debug)]
pub(crate) struct Canary(Arc<Beats>);

/// What a canary had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CanaryReading {
    /// The last delay between a wake and its poll.
    pub(super) answered_ns: Option<u64>,
    /// For how long a wake has been without its poll.
    pub(super) waiting_ns: Option<u64>,
}

impl CanaryReading {
    /// The delay as far as it is known, and whether it is still growing.
    pub(super) fn delay_ns(self) -> Option<(u64, bool)> {
        match (self.answered_ns, self.waiting_ns) {
            (Some(answered), Some(waiting)) if waiting <= answered => Some((answered, false)),
            (_, Some(waiting)) => Some((waiting, true)),
            (answered, None) => answered.map(|answered| (answered, false)),
        }
    }
}

#[derive(Debug)]
struct Beats {
    start: Instant,
    wake: Notify,
    asked_ns: AtomicU64,
    /// The last delay; 0 before the first.
    delay_ns: AtomicU64,
    is_over: AtomicBool,
}

impl Beats {
    fn now_ns(&self) -> u64 {
        nanos(self.start.elapsed()).max(1)
    }

    fn answer(&self) {
        let asked = self.asked_ns.load(Ordering::Acquire);
        if asked != 0 {
            self.delay_ns.store(self.now_ns().saturating_sub(asked).max(1), Ordering::Relaxed);
            self.asked_ns.store(0, Ordering::Release);
        }
    }
}

/// Says that the canary is gone, which happens when its runtime shuts down.
struct Gone(Arc<Beats>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
    }
}

impl Canary {
    /// Spawns a canary into a runtime; its first poll is already measured. Instants are counted from `start`.
    pub(super) fn spawn(handle: &Handle, start: Instant) -> Self {
        let beats = Arc::new(Beats {
            start,
            wake: Notify::new(),
            asked_ns: AtomicU64::new(0),
            delay_ns: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        beats.asked_ns.store(beats.now_ns(), Ordering::Release);
        let gone = Gone(Arc::clone(&beats));
        handle.spawn(async move {
            loop {
                gone.0.answer();
                gone.0.wake.notified().await;
            }
        });
        Self(beats)
    }

    /// Wakes the canary, unless it has yet to answer; gives whether it did.
    pub(super) fn ask(&self) -> bool {
        let is_free = self.0.asked_ns.load(Ordering::Acquire) == 0;
        if is_free {
            self.0.asked_ns.store(self.0.now_ns(), Ordering::Release);
            self.0.wake.notify_one();
        }
        is_free
    }

    /// Whether its runtime has shut down.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Acquire)
    }

    /// How many of the tasks in the global queue of a `current_thread` runtime are the service's: the canary is woken by a
    /// thread of lens's, so it is put there, and polled as soon as it is taken out.
    pub(crate) fn left_out_of(&self, global_queue_depth: usize) -> usize {
        global_queue_depth.saturating_sub(usize::from(self.read().waiting_ns.is_some()))
    }

    pub(super) fn read(&self) -> CanaryReading {
        let asked = self.0.asked_ns.load(Ordering::Acquire);
        let answered = self.0.delay_ns.load(Ordering::Relaxed);
        CanaryReading {
            answered_ns: (answered != 0).then_some(answered),
            waiting_ns: (asked != 0).then(|| self.0.now_ns().saturating_sub(asked).max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(answered_ns: Option<u64>, waiting_ns: Option<u64>) -> Option<(u64, bool)> {
        CanaryReading { answered_ns, waiting_ns }.delay_ns()
    }

    #[test]
    fn delay_is_the_wait_once_that_is_longer_than_the_last_answer() {
        assert_eq!(delay(None, None), None);
        assert_eq!(delay(Some(5), None), Some((5, false)));
        assert_eq!(delay(Some(5), Some(4)), Some((5, false)));
        assert_eq!(delay(Some(5), Some(6)), Some((6, true)));
        assert_eq!(delay(None, Some(1)), Some((1, true)));
    }
}
