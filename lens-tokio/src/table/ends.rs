//! The tasks that ended last, a thread's own. Separate because a task's end must not wait for whoever reads: the thread
//! writes over its oldest record, and a reader that was too slow leaves that one out.
//!
//! A record is a sequence lock as an [entry](super::entry) is, with the task's id as its version: its writer stores 0,
//! behind a release fence the fields, and then the id (release). A reader loads the id (acquire), the fields, and behind
//! an acquire fence the id again; a field of the next record orders the store of 0 before that second load.
//!
//! Of a task that moved, other threads may have polls in [tallies](super::tallies). They learn that it has ended when they
//! need the tally for another task, and leave a record of that part here. A part that was written over before the task's
//! own record would make that wrong: so the ring knows when its newest lost part was left, and tasks that moved and ended
//! until then are not told of any more.

use crate::sync::{AtomicU64, Ordering, add, array_of, const_fn, fence};

use super::entry::Origin;

/// How many ends of tasks each thread remembers: 32 bytes each, for every thread that has polled tasks.
pub(crate) const KEPT: usize = if cfg!(loom) { 1 } else { 64 };

/// A ring of ends.
#[derive(Debug)]
pub(crate) struct Ends {
    /// How many there were.
    count: AtomicU64,
    /// When the newest part was left that is lost, in milliseconds of the table's clock.
    part_lost_ms: AtomicU64,
    records: [Record; KEPT],
}

#[derive(Debug)]
struct Record {
    id: AtomicU64,
    origin: AtomicU64,
    /// Of a part, when it was left.
    ended_ms: AtomicU64,
    /// With one of the bits [`MOVED`] and [`PART`] above.
    polls: AtomicU64,
}

/// The record is of a task that moved: parts of its polls may be elsewhere.
const MOVED: u64 = 1 << 63;
/// The record is of such a part.
const PART: u64 = 1 << 62;

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
            Self {
                count: AtomicU64::new(0),
                part_lost_ms: AtomicU64::new(0),
                records: array_of![Record::new(); KEPT],
            }
        }
    }

    /// Remembers an end, of a task that moved or not. Like the next one only for the slot's thread.
    #[inline]
    pub(crate) fn push(&self, end: End, moved: bool) {
        self.write(end, if moved { MOVED } else { 0 });
    }

    /// Remembers polls of a task that moved, and that ended before `left_ms`.
    pub(crate) fn push_part(&self, id: u64, polls: u64, left_ms: u64) {
        self.write(End { id, origin: Origin::from_bits(0), ended_ms: left_ms, polls }, PART);
    }

    #[inline]
    fn write(&self, end: End, kind: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
        let place = (self.count.load(Ordering::Relaxed) % KEPT as u64) as usize;
        let record = &self.records[place];
        if record.polls.load(Ordering::Relaxed) & PART != 0 {
            self.part_lost_ms.store(record.ended_ms.load(Ordering::Relaxed), Ordering::Release);
        }
        // Who no longer sees the record sees that it was lost.
        record.id.store(0, Ordering::Release);
        fence(Ordering::Release);
        record.origin.store(end.origin.bits(), Ordering::Relaxed);
        record.ended_ms.store(end.ended_ms, Ordering::Relaxed);
        record.polls.store(end.polls | kind, Ordering::Relaxed);
        record.id.store(end.id, Ordering::Release);
        add(&self.count, 1);
    }

    /// The tasks that are remembered and whether they moved, in no order; without one that is being written over.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (End, bool)> {
        let ends = self.records.iter().filter_map(Record::read).filter(|end| end.polls & PART == 0);
        ends.map(|end| (End { polls: end.polls & !MOVED, ..end }, end.polls & MOVED != 0))
    }

    /// The polls of a task that are remembered as a part.
    pub(crate) fn part(&self, id: u64) -> Option<u64> {
        let mut records = self.records.iter().filter_map(Record::read);
        Some(records.find(|end| end.id == id && end.polls & PART != 0)?.polls & !PART)
    }

    /// Until when ended tasks that moved may have lost a part here, in milliseconds of the table's clock.
    pub(crate) fn part_lost_ms(&self) -> u64 {
        self.part_lost_ms.load(Ordering::Acquire)
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

    #[test]
    fn a_part_is_no_end_and_is_missed_when_it_is_lost() {
        let ends = Ends::new();
        let end = |id: u64| End { id, origin: Origin::new(1, 3, 1), ended_ms: 20, polls: 2 };
        ends.push_part(5, 70, 9);
        ends.push_part(6, 80, 10);
        (10..8 + KEPT as u64).for_each(|id| ends.push(end(id), false));
        assert!(ends.iter().all(|(end, _)| end.id >= 10));
        assert_eq!((ends.part(5), ends.part(6), ends.part(10), ends.part_lost_ms()), (Some(70), Some(80), None, 0));
        ends.push(end(100), false);
        assert_eq!((ends.part(5), ends.part(6), ends.part_lost_ms()), (None, Some(80), 9));
        ends.push(end(101), false);
        ends.push(end(102), false);
        assert_eq!((ends.part(6), ends.part_lost_ms()), (None, 10));
    }
}
