//! The stalls that go on and those that ended. Separate because the watchdog writes it and the skill reads it; no thread
//! of the service takes its lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lens_core::{Timestamp, Unavailable};

use crate::stack::{Resolved, Scheduled};

use super::MAX_PAST;
use super::rows::StallKind;

/// One stall.
#[derive(Clone, Debug)]
pub(super) struct Stall {
    pub(super) id: u64,
    pub(super) kind: StallKind,
    pub(super) task: Option<u64>,
    pub(super) spawn_place: Option<String>,
    pub(super) is_first_poll: Option<bool>,
    pub(super) runtime: Option<String>,
    pub(super) worker: Option<u32>,
    pub(super) tid: Option<u32>,
    pub(super) thread: Option<String>,
    pub(super) started_at: Timestamp,
    pub(super) duration: Duration,
    /// What its thread was given meanwhile.
    pub(super) given: Option<Scheduled>,
    pub(super) ended: Option<Instant>,
    pub(super) stack: Taken,
}

/// What is known of a stall's stack.
#[derive(Clone, Debug)]
pub(super) enum Taken {
    /// It is about to be taken.
    NotYet,
    Stack(Arc<Resolved>),
    /// The worker's thread is not known: it is one of these.
    OneOf(Vec<Suspect>),
    Unavailable(Unavailable),
}

impl Taken {
    /// Whether it is what there will be: a stack that could not be taken is tried again.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Stack(_) | Self::OneOf(_))
    }
}

/// A thread that may be the one that is stalled.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) tid: u32,
    pub(super) thread: String,
    pub(super) stack: Arc<Resolved>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    open: Vec<Stall>,
    past: VecDeque<Stall>,
    next: u64,
    /// Stalls that ended.
    pub(super) stalls_total: u64,
    pub(super) starved_total: u64,
    /// Stalls that were forgotten.
    pub(super) dropped_total: u64,
}

impl Log {
    /// Adds a stall that goes on, and gives its number.
    pub(super) fn open(&mut self, mut stall: Stall) -> u64 {
        self.next += 1;
        stall.id = self.next;
        self.open.push(stall);
        self.next
    }

    pub(super) fn get(&mut self, id: u64) -> Option<&mut Stall> {
        self.open.iter_mut().find(|stall| stall.id == id)
    }

    /// The stall has ended. A `block_in_place` is none, and not kept.
    pub(super) fn close(&mut self, id: u64, now: Instant) {
        let Some(index) = self.open.iter().position(|stall| stall.id == id) else { return };
        let mut stall = self.open.swap_remove(index);
        if stall.kind == StallKind::BlockInPlace {
            return;
        }
        stall.ended = Some(now);
        if matches!(stall.stack, Taken::NotYet) {
            stall.stack = Taken::Unavailable(Unavailable::failed("the stall ended before its stack was taken"));
        }
        self.stalls_total += 1;
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
            self.dropped_total += 1;
        }
        self.past.push_back(stall);
    }

    /// Those that go on, the longest first.
    pub(super) fn now(&self) -> Vec<Stall> {
        let mut now = self.open.clone();
        now.sort_by_key(|stall| std::cmp::Reverse(stall.duration));
        now
    }

    /// Those that ended, the newest first.
    pub(super) fn past(&self) -> impl Iterator<Item = &Stall> {
        self.past.iter().rev()
    }

    pub(super) fn stalled_now(&self) -> usize {
        self.open.iter().filter(|stall| stall.kind != StallKind::BlockInPlace).count()
    }

    /// The longest that goes on or ended not longer than `recent` ago.
    pub(super) fn longest(&self, now: Instant, recent: Duration) -> Duration {
        let open = self.open.iter().filter(|stall| stall.kind != StallKind::BlockInPlace);
        let is_recent =
            |stall: &&Stall| stall.ended.is_some_and(|ended| now.saturating_duration_since(ended) <= recent);
        open.chain(self.past.iter().rev().take_while(is_recent)).map(|stall| stall.duration).max().unwrap_or_default()
    }

    pub(super) fn past_len(&self) -> usize {
        self.past.len()
    }

    /// Bytes of the past stalls and their stacks.
    pub(super) fn memory_bytes(&self) -> usize {
        self.past.capacity() * size_of::<Stall>() + self.past.iter().map(Stall::memory_bytes).sum::<usize>()
    }
}

impl Stall {
    fn memory_bytes(&self) -> usize {
        let texts = [&self.spawn_place, &self.runtime, &self.thread].into_iter().flatten().map(String::capacity);
        let stacks: usize = match &self.stack {
            Taken::Stack(stack) => stack.memory_bytes(),
            Taken::OneOf(suspects) => suspects.iter().map(|suspect| suspect.stack.memory_bytes()).sum(),
            Taken::NotYet | Taken::Unavailable(_) => 0,
        };
        texts.sum::<usize>() + stacks
    }
}

#[cfg(test)]
impl Stall {
    pub(super) fn of(kind: StallKind, duration: Duration) -> Self {
        Self {
            id: 0,
            kind,
            task: Some(1),
            spawn_place: None,
            is_first_poll: None,
            runtime: None,
            worker: None,
            tid: None,
            thread: None,
            started_at: Timestamp::default(),
            duration,
            given: None,
            ended: None,
            stack: Taken::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stalls_are_kept_and_the_others_counted() {
        let mut log = Log::default();
        let now = Instant::now();
        for millis in 0..MAX_PAST as u64 + 3 {
            let id = log.open(Stall::of(StallKind::Poll, Duration::from_millis(millis)));
            log.close(id, now);
        }
        assert_eq!((log.past_len(), log.dropped_total, log.stalls_total), (MAX_PAST, 3, MAX_PAST as u64 + 3));
        assert_eq!(log.past().next().unwrap().duration, Duration::from_millis(MAX_PAST as u64 + 2));
        assert_eq!(log.longest(now, Duration::ZERO), Duration::from_millis(MAX_PAST as u64 + 2));
        assert_eq!(log.longest(now + Duration::from_secs(2), Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn a_block_in_place_is_no_stall() {
        let mut log = Log::default();
        let id = log.open(Stall::of(StallKind::BlockInPlace, Duration::from_secs(1)));
        assert_eq!((log.now().len(), log.stalled_now()), (1, 0));
        log.close(id, Instant::now());
        assert_eq!((log.past_len(), log.stalls_total), (0, 0));
    }
}
