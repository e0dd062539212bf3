//! Tells a thread that is slow from one that gets no processor. Separate because a poll and a worker without progress are
//! given the same chance to move on.

use std::time::{Duration, Instant};

use crate::stack::{Scheduled, is_waiting, scheduled};

use super::TICK;

/// The chance that a thread has had.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Since>,
    missing: Duration,
    /// What the thread was given since it was first asked for.
    pub(super) given: Option<Scheduled>,
}

/// When it was first asked for, and what the kernel had counted of the thread by then.
#[derive(Clone, Copy, Debug)]
struct Since {
    at: Instant,
    thread: Option<(u32, Scheduled)>,
}

impl Patience {
    pub(super) fn is_asked(&self) -> bool {
        self.since.is_some()
    }

    /// How much longer the thread has to have the chance to move on, for it to have had `long`, up to a tick, since this was
    /// first asked; nothing if it had.
    pub(super) fn missing(&mut self, tid: Option<u32>, long: Duration, now: Instant) -> Duration {
        let enough = long.saturating_sub(TICK);
        let Some(since) = self.since else {
            let thread = tid.and_then(|tid| Some((tid, scheduled(tid).ok()?)));
            self.since = Some(Since { at: now, thread });
            return enough;
        };
        let elapsed = now.saturating_duration_since(since.at);
        let read = |(tid, before)| Some((before, scheduled(tid).ok()?, is_waiting(tid).ok()));
        // What is not known is not held against the system.
        let had = since.thread.and_then(read).map_or(elapsed, |(before, after, is_waiting)| {
            let given = after.since(before);
            self.given = Some(given);
            had(elapsed, given, is_waiting)
        });
        self.missing = enough.saturating_sub(had);
        self.missing
    }

    /// Whether what it waited for was a processor; to be asked when it has moved on.
    pub(super) fn was_starved(&self) -> bool {
        let read = |(tid, before)| Some((before, scheduled(tid).ok()?));
        let thread = self.since.and_then(|since| since.thread);
        thread.and_then(read).is_some_and(|(before, after)| is_starved(self.missing, after.since(before)))
    }
}

/// For how long a thread has had the chance to move on.
fn had(elapsed: Duration, given: Scheduled, is_waiting: Option<bool>) -> Duration {
    match is_waiting {
        Some(true) => elapsed.saturating_sub(given.waited()),
        // It runs or waits for a processor.
        Some(false) => given.ran(),
        None => elapsed,
    }
}

/// Whether a thread that had so little of a chance waited for a processor in that time: what it ran may be counted late, and
/// what it waited is by now.
fn is_starved(missing: Duration, given: Scheduled) -> bool {
    !missing.is_zero() && given.waited() >= missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(ran_ms: u64, waited_ms: u64) -> Scheduled {
        Scheduled { ran_ns: ran_ms * 1_000_000, waited_ns: waited_ms * 1_000_000, times: 0 }
    }

    #[test]
    fn a_thread_that_ran_is_not_starved_though_the_kernel_had_yet_to_count_it() {
        let millis = Duration::from_millis;
        // The kernel counts what a thread runs at its own tick, and was last at it 8 ms ago.
        let had = had(millis(12), given(4, 0), Some(false));
        assert_eq!(had, millis(4));
        let missing = millis(5) - had;
        assert!(!is_starved(missing, given(13, 0)));
        assert!(is_starved(missing, given(5, 8)));
        assert!(!is_starved(Duration::ZERO, given(13, 8)), "it had its chance besides");
    }

    #[test]
    fn a_thread_that_waits_in_the_kernel_has_its_chance_but_for_what_it_waited_for_a_processor() {
        let millis = Duration::from_millis;
        assert_eq!(had(millis(12), given(1, 3), Some(true)), millis(9));
        assert_eq!(had(millis(12), given(1, 3), None), millis(12));
    }
}
