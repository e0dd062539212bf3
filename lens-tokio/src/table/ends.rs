//! The tasks that ended last, a thread's own. Separate because a task's end must not wait for whoever reads: the thread
//! writes over its oldest record, and a reader that was too slow leaves that one out.
//!
//! A record is a sequence lock as an [entry](super::entry) is, with the task's id as its version: its writer stores 0,
//! behind a release fence the fields, and then the id (release). A reader loads the id (acquire), the fields, and behind
//! an acquire fence the id again; a field of the next record orders the store of 0 before that second load.

use crate::sync::{AtomicU64, Ordering, add, array_of, const_fn, fence};

use super::entry::Origin;

/// How many ends of tasks each thread remembers: 32 bytes each, for every thread that has polled tasks.
pub(crate) const KEPT: usize = if cfg!(loom) { 1 } else { 64 };

/// A ring of ends.
#[derive(Debug)]
pub(crate) struct Ends {
    /// How many there were.
    count: AtomicU64,
    records: [Record; KEPT],
}

#[derive(Debug)]
struct Record {
    id: AtomicU64,
    origin: AtomicU64,
    ended_ms: AtomicU64,
    /// Those that are known where it ended, and [`MOVED`].
    polls: AtomicU64,
}

/// The task moved: other threads may have more of its polls.
const MOVED: u64 = 1 << 63;

/// A task that has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) id: u64,
    pub(crate) origin: Origin,
    /// Milliseconds of the table's clock.
    pub(crate) ended_ms: u64,
    pub(crate) polls: u64,
}

impl Record {
    const_fn! {
        fn new() -> Self {
            Self {
                id: AtomicU64::new(0),
                origin: AtomicU64::new(0),
                ended_ms: AtomicU64::new(0),
                polls: AtomicU64::new(0),
            }
        }
    }
}

impl Ends {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { count: AtomicU64::new(0), records: array_of![Record::new(); KEPT] }
        }
    }

    /// Remembers an end, of a task that moved or not. Only for the slot's thread.
    #[inline]
    pub(crate) fn push(&self, end: End, moved: bool) {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
        let place = (self.count.load(Ordering::Relaxed) % KEPT as u64) as usize;
        let record = &self.records[place];
        record.id.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        record.origin.store(end.origin.bits(), Ordering::Relaxed);
        record.ended_ms.store(end.ended_ms, Ordering::Relaxed);
        record.polls.store(end.polls | if moved { MOVED } else { 0 }, Ordering::Relaxed);
        record.id.store(end.id, Ordering::Release);
        add(&self.count, 1);
    }

    /// What is remembered and whether the task moved, in no order; without a record that is being written over.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (End, bool)> {
        let ends = self.records.iter().filter_map(Record::read);
        ends.map(|end| (End { polls: end.polls & !MOVED, ..end }, end.polls & MOVED != 0))
    }
}

impl Record {
    fn read(&self) -> Option<End> {
        let id = self.id.load(Ordering::Acquire);
        if id == 0 {
            return None;
        }
        let end = End {
            id,
            origin: Origin::from_bits(self.origin.load(Ordering::Relaxed)),
            ended_ms: self.ended_ms.load(Ordering::Relaxed),
            polls: self.polls.load(Ordering::Relaxed),
        };
        fence(Ordering::Acquire);
        (self.id.load(Ordering::Relaxed) == id).then_some(end)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ends_are_kept() {
        let ends = Ends::new();
        let end = |id: u64| End { id, origin: Origin::new(id, 3, 1), ended_ms: id + 5, polls: id * 2 };
        let all = 1..=KEPT as u64 + 10;
        all.clone().for_each(|id| ends.push(end(id), id % 2 == 0));
        let mut kept: Vec<_> = ends.iter().collect();
        kept.sort_by_key(|(end, _)| end.id);
        assert_eq!(kept, all.skip(10).map(|id| (end(id), id % 2 == 0)).collect::<Vec<_>>());
    }
}
