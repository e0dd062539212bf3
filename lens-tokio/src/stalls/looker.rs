//! Takes the stack of a stalled thread for the watchdog, which must not wait: a running thread's sample comes ticks later.
//! Separate because both kinds of stalls need it.

use std::time::{Duration, Instant};

use lens_core::{Reading, Unavailable};

use crate::stack::{Look, Ready, Sample, Stack, StackReader, Symbolizer, is_waiting};

use super::log::{Suspect, Taken};
use super::{ALERT_TICK, TICK};
use crate::threads;

/// After how long without a sample it is looked again: the thread may wait by then.
const AGAIN: Duration = Duration::from_millis(5);

/// After how long it is tried again where it failed: the machine was busy, and the stall goes on. Each time twice as long,
/// up to a minute.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How many threads are looked at for a worker whose thread is not known.
const MAX_SUSPECTS: usize = 16;

#[derive(Debug)]
pub(super) struct Looker {
    reader: Reading<StackReader>,
    ready: Ready,
    symbolizer: Symbolizer,
}

/// A stack that is being taken.
#[derive(Debug)]
pub(super) struct Taking {
    tid: u32,
    tries: u32,
    sample: Option<(Sample, Instant)>,
    /// After a failure: since when nothing is tried, and for how long.
    rests: Option<(Instant, Duration)>,
}

impl Looker {
    pub(super) fn new(symbolizer: Symbolizer) -> Self {
        Self { reader: StackReader::new(), ready: Ready::new(), symbolizer }
    }

    /// Whether stacks of waiting threads can be taken.
    pub(super) fn waiting(&self) -> Reading<()> {
        self.reader.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Has the system made ready for stacks of running threads, which come up to 20 ms later otherwise.
    pub(super) fn make_ready(&mut self) {
        let _ = self.ready.get();
    }

    /// The same, if the thread runs: it may soon be stalled.
    pub(super) fn make_ready_if_running(&mut self, tid: Option<u32>) {
        if tid.is_some_and(|tid| is_waiting(tid).is_ok_and(|is_waiting| !is_waiting)) {
            self.make_ready();
        }
    }

    /// Gives up what is not wanted any more; to be called now and then.
    pub(super) fn release_unused(&mut self) {
        self.ready.release_unused();
    }

    /// Whether stacks of running threads can be taken.
    pub(super) fn running(&self) -> Reading<()> {
        self.waiting().and_then(|()| self.ready.reading())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.reader.as_ref().map_or(0, StackReader::memory_bytes)
    }

    /// Goes on to take the stack; `None` while it is not there. One that could not be taken is tried again, more and more
    /// seldom.
    pub(super) fn take(&mut self, taking: &mut Taking) -> Option<Taken> {
        if taking.is_resting() {
            return None;
        }
        let taken = match self.try_to_take(taking) {
            Ok(None) => return None,
            Ok(Some(stack)) => Taken::Stack(self.symbolizer.resolve(stack)),
            Err(reason) => {
                taking.rest();
                Taken::Unavailable(reason)
            }
        };
        Some(taken)
    }

    /// The same for a stall, which needs no more once it has its stack; also gives when to go on.
    pub(super) fn go_on(&mut self, taking: &mut Option<Taking>) -> (Option<Taken>, Duration) {
        let taken = taking.as_mut().and_then(|taking| self.take(taking));
        if taken.as_ref().is_some_and(Taken::is_final) {
            *taking = None;
        }
        (taken, taking.as_ref().map_or(TICK, Taking::next))
    }

    fn try_to_take(&mut self, taking: &mut Taking) -> Reading<Option<Stack>> {
        const TRIES: u32 = 8;
        let reader = self.reader.as_mut().map_err(|reason| reason.clone())?;
        if taking.sample.is_none() {
            match reader.look(taking.tid)? {
                Look::Stack(stack) => return Ok(Some(stack)),
                Look::Running(sample) => taking.sample = Some((sample, Instant::now())),
                Look::Moving if taking.tries < TRIES => taking.tries += 1,
                Look::Moving => {
                    let what = "the thread goes in and out of system calls too quickly for its stack to be read";
                    return Err(Unavailable::failed(what));
                }
            }
        }
        let Some((sample, since)) = &mut taking.sample else { return Ok(None) };
        let sampled = match self.ready.get() {
            None => None,
            Some(Err(reason)) => return Err(reason),
            Some(Ok(())) => sample.poll(reader).inspect_err(|reason| {
                if !matches!(reason, Unavailable::Failed { .. }) {
                    self.ready.lost(reason.clone());
                }
            })?,
        };
        if sampled.is_some() || since.elapsed() < AGAIN {
            return Ok(sampled);
        }
        // Still asked for, and if the thread waits by now, its stack is there at once.
        *since = Instant::now();
        reader.look_if_waiting(taking.tid)
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
}

impl Taking {
    pub(super) fn new(tid: u32) -> Self {
        Self { tid, tries: 0, sample: None, rests: None }
    }

    fn rest(&mut self) {
        let time = self.rests.map_or(RETRY, |(_, time)| LONGEST_RETRY.min(2 * time));
        *self = Self { rests: Some((Instant::now(), time)), ..Self::new(self.tid) };
    }

    pub(super) fn is_resting(&self) -> bool {
        self.rests.is_some_and(|(since, time)| since.elapsed() < time)
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
    fn a_stack_that_could_not_be_taken_is_tried_again_more_and_more_seldom() {
        let mut looker = Looker::new(Symbolizer::new());
        let mut taking = Taking::new(u32::MAX);
        let mut failed = |taking: &mut Taking| match looker.take(taking) {
            Some(Taken::Unavailable(_)) => true,
            None => false,
            Some(taken) => panic!("nobody has a stack: {taken:?}"),
        };
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!((taking.next(), failed(&mut taking)), (ALERT_TICK, true));
            assert_eq!((taking.next(), failed(&mut taking)), (TICK, false));
            let (since, time) = taking.rests.unwrap();
            assert_eq!(time, Duration::from_secs(seconds));
            taking.rests = Some((since.checked_sub(time).unwrap(), time));
        }
    }
}
