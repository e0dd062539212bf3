//! Polls of tasks that move between threads, counted by each thread in memory of its own. Separate because it is there for
//! the hardware alone: an entry that two processors write in turns travels between them at every poll, which costs more
//! than everything else that a poll is charged with.
//!
//! An entry says which thread polled its task last. If another one does and has room for a [`Tally`], it notes in the entry
//! that the task moves, and counts its further polls in that tally. So may each thread that polls it. What a task's polls
//! are is what its entry says and what all tallies say.
//!
//! A thread has [`TALLIES`] tallies, a task's by its id's lowest bits. It gives one to another task when that is wanted
//! [`MISSES`] times during which the first was not polled here: its polls are added to its entry then, or left as a part of
//! its [end](super::ends) if it has ended. The newest [`PARTS`] parts are kept. While there are more tasks that move than
//! tallies, most are so counted in their entries, and tallies do not change hands all the time.
//!
//! Only the slot's thread writes. Its version is odd while polls go from a tally to where they are kept next, so that
//! a reader can tell that it has seen them in both places, or in none.

use crate::sync::{AtomicU64, Ordering, add, array_of, const_fn, fence, pause};

use super::entry::Origin;

/// How many tasks a thread has tallies of, 32 bytes each.
pub(crate) const TALLIES: usize = if cfg!(loom) { 1 } else { 128 };

/// How often a tally is wanted for another task until it is looked whether its own was polled meanwhile.
pub(crate) const MISSES: u64 = if cfg!(loom) { 1 } else { 256 };

/// How often a reader looks again while the thread empties a tally, which are a few instructions. If it was interrupted
/// there, it goes on within the 15 ms that these take.
const TRIES: u32 = 80;

/// How many parts of ended tasks a thread keeps.
pub(crate) const PARTS: usize = if cfg!(loom) { 1 } else { 64 };

/// One thread's tallies.
#[derive(Debug)]
pub(crate) struct Tallies {
    tallies: [Tally; TALLIES],
    /// How often each was wanted for another task (16 bits) since it had the polls it had then (48 bits).
    wanted: [AtomicU64; TALLIES],
    version: AtomicU64,
    parts: [Part; PARTS],
    /// How many parts were left.
    left: AtomicU64,
    /// When the newest part was left that is written over, in milliseconds of the table's clock.
    lost_ms: AtomicU64,
}

/// The polls that a tally had of a task that has ended.
#[derive(Debug)]
struct Part {
    id: AtomicU64,
    polls: AtomicU64,
    /// Milliseconds of the table's clock.
    left_ms: AtomicU64,
}

const MISS: u64 = 1 << 48;

/// How often one task was polled in one thread, since that has a tally of it.
#[derive(Debug)]
#[repr(C, align(32))]
pub(crate) struct Tally {
    /// The task's id; 0 for no task.
    id: AtomicU64,
    origin: AtomicU64,
    polls: AtomicU64,
    /// Milliseconds of the table's clock.
    last_poll_ms: AtomicU64,
}

/// What a tally says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tallied {
    pub(crate) id: u64,
    pub(crate) polls: u64,
    /// Milliseconds of the table's clock.
    pub(crate) last_poll_ms: u64,
}

impl Tally {
    const_fn! {
        fn new() -> Self {
            Self {
                id: AtomicU64::new(0),
                origin: AtomicU64::new(0),
                polls: AtomicU64::new(0),
                last_poll_ms: AtomicU64::new(0),
            }
        }
    }

    /// Counts a poll that starts now; only for the slot's thread.
    #[inline]
    pub(crate) fn count(&self, now_ms: u64) {
        add(&self.polls, 1);
        self.last_poll_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The task's.
    #[inline]
    pub(crate) fn origin(&self) -> Origin {
        Origin::from_bits(self.origin.load(Ordering::Relaxed))
    }

    fn read(&self) -> Tallied {
        Tallied {
            id: self.id.load(Ordering::Acquire),
            polls: self.polls.load(Ordering::Relaxed),
            last_poll_ms: self.last_poll_ms.load(Ordering::Relaxed),
        }
    }
}

impl Tallies {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                tallies: array_of![Tally::new(); TALLIES],
                wanted: array_of![AtomicU64::new(0); TALLIES],
                version: AtomicU64::new(0),
                parts: array_of![
                    Part { id: AtomicU64::new(0), polls: AtomicU64::new(0), left_ms: AtomicU64::new(0) };
                    PARTS
                ],
                left: AtomicU64::new(0),
                lost_ms: AtomicU64::new(0),
            }
        }
    }

    #[inline]
    fn at(&self, id: u64) -> &Tally {
        &self.tallies[place(id)]
    }

    /// The tally of a task, if there is one.
    #[inline]
    pub(crate) fn of(&self, id: u64) -> Option<&Tally> {
        // Where there never was one, no tally need be fetched to see that.
        let tally = if self.are_used() { self.at(id) } else { return None };
        (tally.id.load(Ordering::Relaxed) == id).then_some(tally)
    }

    /// Whether there is room for a tally of a task that has none. Like all that follow only for the slot's thread, unless it
    /// says otherwise.
    pub(crate) fn has_room(&self, id: u64) -> bool {
        let tally = self.at(id);
        if tally.id.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let wanted = &self.wanted[place(id)];
        let misses = wanted.load(Ordering::Relaxed) + MISS;
        if misses < MISSES * MISS {
            wanted.store(misses, Ordering::Relaxed);
            return false;
        }
        let (then, now) = (misses % MISS, tally.polls.load(Ordering::Relaxed) % MISS);
        wanted.store(now, Ordering::Relaxed);
        then == now
    }

    /// Makes a tally for a task, for which there is room. If another one had it, `keep` does with its polls what it has to.
    #[cold]
    pub(crate) fn begin(&self, id: u64, origin: Origin, keep: impl FnOnce(Tallied, &Self)) {
        self.wanted[place(id)].store(0, Ordering::Relaxed);
        self.change(self.at(id), id, origin, keep);
    }

    /// Ends the tally of a task, if there is one.
    #[cold]
    pub(crate) fn end(&self, id: u64, keep: impl FnOnce(Tallied, &Self)) {
        if let Some(tally) = self.of(id) {
            self.change(tally, 0, Origin::from_bits(0), keep);
        }
    }

    fn change(&self, tally: &Tally, id: u64, origin: Origin, keep: impl FnOnce(Tallied, &Self)) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        // Whoever sees anything of what follows sees that version.
        fence(Ordering::Release);
        let last = tally.read();
        if last.polls > 0 {
            keep(last, self);
        }
        tally.origin.store(origin.bits(), Ordering::Relaxed);
        tally.polls.store(0, Ordering::Relaxed);
        tally.last_poll_ms.store(0, Ordering::Relaxed);
        tally.id.store(id, Ordering::Release);
        self.version.store(version + 2, Ordering::Release);
    }

    /// Leaves the polls of a tally that ends as a part of a task that has ended: inside of the `keep` of that.
    pub(crate) fn leave_part(&self, tallied: Tallied, now_ms: u64) {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left + 1, Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
        let part = &self.parts[(left % PARTS as u64) as usize];
        if part.id.load(Ordering::Relaxed) != 0 {
            let lost_ms = part.left_ms.load(Ordering::Relaxed).max(self.lost_ms.load(Ordering::Relaxed));
            self.lost_ms.store(lost_ms, Ordering::Relaxed);
        }
        part.id.store(tallied.id, Ordering::Relaxed);
        part.polls.store(tallied.polls, Ordering::Relaxed);
        part.left_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether there was ever one. Like all that follow for any thread.
    #[inline]
    pub(crate) fn are_used(&self) -> bool {
        self.version.load(Ordering::Acquire) != 0
    }

    /// How many tallies were begun or ended.
    #[cfg(test)]
    pub(crate) fn begun(&self) -> u64 {
        self.version.load(Ordering::Acquire) / 2
    }

    /// Which tasks have tallies, those included that are just losing theirs.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.tallies.iter().map(|tally| tally.id.load(Ordering::Acquire)).filter(|&id| id != 0)
    }

    /// What `read` gives, read while no polls left a tally; `None` if that could not be had.
    pub(crate) fn stable<T>(&self, read: impl Fn() -> T) -> Option<T> {
        for tried in 0..TRIES {
            let version = self.version.load(Ordering::Acquire);
            let value = read();
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                return Some(value);
            }
            pause(tried);
        }
        None
    }

    /// What a tally says of a task: inside of [`stable`](Self::stable).
    pub(crate) fn read(&self, id: u64) -> Option<Tallied> {
        Some(self.at(id).read()).filter(|tallied| tallied.id == id)
    }

    /// The polls that the thread has of a task that ended at this time, in a tally or a part; `None` if it may have forgotten
    /// some.
    pub(crate) fn read_ended(&self, id: u64, ended_ms: u64) -> Option<u64> {
        self.stable(|| {
            let part = || self.parts.iter().find(|part| part.id.load(Ordering::Relaxed) == id);
            let tallied = self.read(id).map(|tallied| tallied.polls);
            let known = tallied.or_else(|| Some(part()?.polls.load(Ordering::Relaxed)));
            known.or_else(|| (self.lost_ms.load(Ordering::Relaxed) < ended_ms).then_some(0))
        })?
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits choose the place")]
fn place(id: u64) -> usize {
    id as usize % TALLIES
}
