//! Takes the stack of a stalled thread for the watchdog, which must not wait: a running thread's sample comes ticks later.
//! Separate because both kinds of stalls need it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lens_core::{Reading, Unavailable};

use crate::stack::{Look, Resolved, Sample, Stack, StackReader, Symbolizer, is_waiting};

use super::log::{Suspect, Taken};
use super::{ALERT_TICK, TICK};
use crate::threads;

/// After how long without a sample it is looked again: the thread may wait by then.
const AGAIN: Duration = Duration::from_millis(5);

/// After how long it is tried again where it failed: the machine was busy, and the stall goes on.
const RETRY: Duration = Duration::from_secs(1);

/// How many threads are looked at for a worker whose thread is not known.
const MAX_SUSPECTS: usize = 16;

#[derive(Debug)]
pub(super) struct Looker {
    reader: Reading<StackReader>,
    symbolizer: Symbolizer,
}

/// A stack that is being taken.
#[derive(Debug)]
pub(super) struct Taking {
    tid: u32,
    tries: u32,
    sample: Option<(Sample, Instant)>,
    /// After a failure: nothing is tried before.
    retry_at: Option<Instant>,
}

impl Looker {
    pub(super) fn new(symbolizer: Symbolizer) -> Self {
        Self { reader: StackReader::new(), symbolizer }
    }

    /// Whether stacks of waiting threads can be taken.
    pub(super) fn waiting(&self) -> Reading<()> {
        self.reader.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Has the system make ready for stacks of running threads.
    pub(super) fn expect(&mut self) {
        if let Ok(reader) = &mut self.reader {
            reader.expect();
        }
    }

    /// The same, if the thread runs: it may soon be stalled.
    pub(super) fn expect_if_running(&mut self, tid: Option<u32>) {
        if tid.is_some_and(|tid| is_waiting(tid).is_ok_and(|is_waiting| !is_waiting)) {
            self.expect();
        }
    }

    /// Gives up what is not wanted any more; says whether stacks of running threads can be taken, or what would allow it.
    pub(super) fn rest(&mut self) -> Reading<()> {
        self.reader.as_mut().map_err(|reason| reason.clone())?.rest()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.reader.as_ref().map_or(0, StackReader::memory_bytes)
    }

    /// Goes on to take the stack; `None` while it is not there. One that could not be taken is tried again a second later.
    pub(super) fn take(&mut self, taking: &mut Taking) -> Option<Taken> {
        if taking.is_resting() {
            return None;
        }
        let taken = self.go_on(taking)?;
        if let Taken::Unavailable(_) = taken {
            *taking = Taking { retry_at: Some(Instant::now() + RETRY), ..Taking::new(taking.tid) };
        }
        Some(taken)
    }

    fn go_on(&mut self, taking: &mut Taking) -> Option<Taken> {
        const TRIES: u32 = 8;
        let reader = match &mut self.reader {
            Ok(reader) => reader,
            Err(reason) => return Some(Taken::Unavailable(reason.clone())),
        };
        if let Some((sample, since)) = &mut taking.sample {
            match sample.poll(reader) {
                Ok(Some(stack)) => return Some(self.resolve(stack)),
                Ok(None) if since.elapsed() < AGAIN => return None,
                Ok(None) => *since = Instant::now(),
                Err(reason) => return Some(Taken::Unavailable(reason)),
            }
            // Still asked for, and if the thread waits by now, its stack is there at once.
            return match reader.look_if_waiting(taking.tid) {
                Ok(Some(stack)) => Some(self.resolve(stack)),
                Ok(None) => None,
                Err(reason) => Some(Taken::Unavailable(reason)),
            };
        }
        match reader.look(taking.tid) {
            Ok(Look::Stack(stack)) => Some(self.resolve(stack)),
            Ok(Look::Running(sample)) => {
                taking.sample = Some((sample, Instant::now()));
                None
            }
            Ok(Look::Moving) if taking.tries < TRIES => {
                taking.tries += 1;
                None
            }
            Ok(Look::Moving) => Some(Taken::Unavailable(Unavailable::failed(
                "the thread goes in and out of system calls too quickly for its stack to be read",
            ))),
            Err(reason) => Some(Taken::Unavailable(reason)),
        }
    }

    /// The stacks of those tokio workers that wait in the kernel and are not known to be another worker. A running one is
    /// left out.
    pub(super) fn suspects(&mut self, is_known: impl Fn(u32) -> bool) -> Taken {
        let reader = match &mut self.reader {
            Ok(reader) => reader,
            Err(reason) => return Taken::Unavailable(reason.clone()),
        };
        let mut suspects = Vec::new();
        for (tid, thread) in threads::named("tokio-rt-worker") {
            if is_known(tid) || suspects.len() == MAX_SUSPECTS {
                continue;
            }
            if let Ok(Some(stack)) = reader.look_if_waiting(tid) {
                suspects.push(Suspect { tid, thread, stack: self.symbolizer.resolve(stack) });
            }
        }
        Taken::OneOf(suspects)
    }

    fn resolve(&self, stack: Stack) -> Taken {
        let resolved: Arc<Resolved> = self.symbolizer.resolve(stack);
        Taken::Stack(resolved)
    }
}

impl Taking {
    pub(super) fn new(tid: u32) -> Self {
        Self { tid, tries: 0, sample: None, retry_at: None }
    }

    fn is_resting(&self) -> bool {
        self.retry_at.is_some_and(|at| Instant::now() < at)
    }

    /// When to go on.
    pub(super) fn next(&self) -> Duration {
        if self.is_resting() { TICK } else { ALERT_TICK }
    }
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn a_stack_that_could_not_be_taken_is_tried_again_a_second_later() {
        let mut looker = Looker::new(Symbolizer::new());
        let (nobody, begun) = (u32::MAX, Instant::now());
        let mut taking = Taking::new(nobody);
        let taken = |taken: Option<Taken>| taken.map(|taken| matches!(taken, Taken::Unavailable(_)));
        assert_eq!(taken(looker.take(&mut taking)), Some(true));
        assert_eq!((taken(looker.take(&mut taking)), taking.next()), (None, TICK));
        assert!(taking.retry_at.unwrap() >= begun + RETRY);
        taking.retry_at = Some(Instant::now());
        assert_eq!(taking.next(), ALERT_TICK);
        assert_eq!(taken(looker.take(&mut taking)), Some(true));
    }
}
