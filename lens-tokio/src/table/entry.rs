//! What is kept of one live task: 56 bytes that the thread which polls it writes, and any thread reads. Separate because
//! it is a sequence lock in itself, whose version is the task's id.

use crate::sync::{AtomicU32, AtomicU64, Ordering, add, const_fn, fence, store_before_loads};

use super::freed::Freed;

/// Where a task comes from, in one word: when it was spawned (40 bits of milliseconds: 34 years), at which site (16 bits)
/// and through which builder (8 bits). The site is where [`Poll`](super::slot::Poll) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin(u64);

/// Where the site is in an [`Origin`].
pub(crate) const SITE_BITS: u64 = 0xff_ff00;

impl Origin {
    pub(crate) fn new(spawned_ms: u64, site: u16, builder: u8) -> Self {
        Self(spawned_ms << 24 | u64::from(site) << 8 | u64::from(builder))
    }

    /// The whole word.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The origin of which [`bits`](Self::bits) is the word.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Milliseconds of the table's clock.
    pub(crate) fn spawned_ms(self) -> u64 {
        self.0 >> 24
    }

    #[expect(clippy::cast_possible_truncation, reason = "the 16 bits above the builder")]
    pub(crate) fn site(self) -> u16 {
        (self.0 >> 8) as u16
    }

    /// The site, where it is in the word.
    #[inline]
    pub(crate) fn site_bits(self) -> u64 {
        self.0 & SITE_BITS
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lowest 8 bits")]
    pub(crate) fn builder(self) -> u8 {
        self.0 as u8
    }
}

/// What every poll reads and writes of one live task, or nothing: half a cache line, so that two workers that poll
/// neighbours seldom meet.
#[derive(Debug)]
#[repr(C, align(32))]
pub(crate) struct Hot {
    /// The task's id; 0 for no task. tokio never gives an id twice, so a reader that finds the same id before and after
    /// has read one task.
    id: AtomicU64,
    origin: AtomicU64,
    /// How often it was polled (48 bits), the continuation of `last_poll` (8 bits), how many of the next polls are measured
    /// in any case (7 bits), and whether that is any (1 bit).
    polls: AtomicU64,
    /// The lower 32 bits of the millisecond of the last poll.
    last_poll: AtomicU32,
    /// The longest measured poll in nanoseconds, as the bits of an `f32`.
    longest: AtomicU32,
}

/// The rest of it.
#[derive(Debug)]
pub(crate) struct Cold {
    parent: AtomicU64,
    busy_ns: AtomicU64,
    allocated: AtomicU64,
}

/// One live task, or nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) hot: &'a Hot,
    pub(crate) cold: &'a Cold,
    /// The bytes that the tasks of its page freed, and its place there.
    pub(crate) freed: (&'a Freed, usize),
}

/// A consistent copy of an [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: u64,
    /// 0 for a task that no task spawned.
    pub(crate) parent: u64,
    pub(crate) origin: Origin,
    pub(crate) polls: u64,
    /// Milliseconds of the table's clock; the spawn for a task that was not polled yet.
    pub(crate) last_poll_ms: u64,
    pub(crate) busy_ns: u64,
    pub(crate) longest_ns: f32,
    pub(crate) allocated_bytes: u64,
    pub(crate) freed_bytes: u64,
}

const HIGH_SHIFT: u32 = 48;
const MEASURED_SHIFT: u32 = 56;
const POLLS: u64 = (1 << HIGH_SHIFT) - 1;
const HIGH: u64 = 0xff << HIGH_SHIFT;
const IS_MEASURED: u64 = 1 << 63;

impl Hot {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                id: AtomicU64::new(0),
                origin: AtomicU64::new(0),
                polls: AtomicU64::new(0),
                last_poll: AtomicU32::new(0),
                longest: AtomicU32::new(0),
            }
        }
    }

    /// Whether it is the task `id`. What else the entry says of that task is visible afterwards.
    #[inline]
    pub(crate) fn is(&self, id: u64) -> bool {
        self.id.load(Ordering::Acquire) == id
    }

    /// Empties it. Only for the thread that ends the task.
    #[inline]
    pub(crate) fn vacate(&self) {
        self.id.store(0, Ordering::Release);
    }

    /// Empties it if it is the task `id`; of several threads that try, one succeeds.
    pub(crate) fn vacate_if(&self, id: u64) -> bool {
        self.id.compare_exchange(id, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// How often the task was polled, a poll that goes on included.
    #[inline]
    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed) & POLLS
    }

    #[inline]
    pub(crate) fn origin(&self) -> Origin {
        Origin(self.origin.load(Ordering::Relaxed))
    }

    /// Counts a poll that starts now, unless it is to be measured. Like the next ones only for the thread that polls the
    /// task: tokio lets one at a time do that, and orders one after the other.
    #[inline]
    pub(crate) fn count_unmeasured_poll(&self, now_ms: u64) -> bool {
        let word = self.polls.load(Ordering::Relaxed);
        if word & IS_MEASURED != 0 {
            return false;
        }
        self.polls.store(word + 1, Ordering::Relaxed);
        if self.last_poll.load(Ordering::Relaxed) != low(now_ms) {
            self.stamp(now_ms);
        }
        true
    }

    /// Counts a poll that starts now; gives whether it is to be measured in any case.
    pub(crate) fn count_poll(&self, now_ms: u64) -> bool {
        add(&self.polls, 1);
        self.stamp(now_ms);
        self.polls.load(Ordering::Relaxed) & IS_MEASURED != 0
    }

    /// Notes that a poll lasted until now.
    #[inline]
    pub(crate) fn stamp(&self, now_ms: u64) {
        let word = self.polls.load(Ordering::Relaxed);
        self.polls.store(word & !HIGH | high(now_ms), Ordering::Relaxed);
        self.last_poll.store(low(now_ms), Ordering::Relaxed);
    }

    /// Has this many of the next polls measured if this one was long, else one less.
    pub(crate) fn measure_next(&self, is_long: bool, polls: u8) {
        let word = self.polls.load(Ordering::Relaxed);
        let next = if is_long { polls } else { measured_polls(word).saturating_sub(1) };
        self.polls.store(word & (POLLS | HIGH) | measured_bits(next), Ordering::Relaxed);
    }
}

impl Cold {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { parent: AtomicU64::new(0), busy_ns: AtomicU64::new(0), allocated: AtomicU64::new(0) }
        }
    }
}

impl Entry<'_> {
    /// Makes an empty entry of a page that the caller has reserved the task `id`, of which the first polls are measured,
    /// and lets no later load of this thread pass that.
    pub(crate) fn occupy(self, id: u64, parent: u64, origin: Origin, measured: u8) {
        // A reader that still compares with the id of the last occupant must not see these stores and that id.
        fence(Ordering::Release);
        let at = origin.spawned_ms();
        self.hot.origin.store(origin.0, Ordering::Relaxed);
        self.cold.parent.store(parent, Ordering::Relaxed);
        self.hot.polls.store(measured_bits(measured) | high(at), Ordering::Relaxed);
        self.hot.last_poll.store(low(at), Ordering::Relaxed);
        self.hot.longest.store(0, Ordering::Relaxed);
        self.cold.busy_ns.store(0, Ordering::Relaxed);
        self.cold.allocated.store(0, Ordering::Relaxed);
        self.freed.0.clear(self.freed.1);
        store_before_loads(&self.hot.id, id);
    }

    /// Charges a poll of `ns` that stands for `weight` polls; but a task has had no more than it has had.
    #[inline]
    pub(crate) fn charge(self, ns: u64, weight: u64) {
        let polls = self.hot.polls.load(Ordering::Relaxed) & POLLS;
        add(&self.cold.busy_ns, ns * weight.min(polls));
        longest(&self.hot.longest, ns);
    }

    /// Charges bytes that a poll allocated and freed; nothing if there is no room for those that were freed.
    #[inline]
    pub(crate) fn charge_bytes(self, allocated: u64, freed: u64) -> bool {
        let has_room = freed == 0 || self.freed.0.add(self.freed.1, freed);
        if has_room {
            add(&self.cold.allocated, allocated);
        }
        has_room
    }

    /// A copy, unless there is no task or it ended while it was read.
    pub(crate) fn read(self) -> Option<Row> {
        let id = self.hot.id.load(Ordering::Acquire);
        if id == 0 {
            return None;
        }
        let polls = self.hot.polls.load(Ordering::Relaxed);
        let row = Row {
            id,
            parent: self.cold.parent.load(Ordering::Relaxed),
            origin: self.hot.origin(),
            polls: polls & POLLS,
            last_poll_ms: ((polls & HIGH) >> HIGH_SHIFT) << 32 | u64::from(self.hot.last_poll.load(Ordering::Relaxed)),
            busy_ns: self.cold.busy_ns.load(Ordering::Relaxed),
            longest_ns: f32::from_bits(self.hot.longest.load(Ordering::Relaxed)),
            allocated_bytes: self.cold.allocated.load(Ordering::Relaxed),
            freed_bytes: self.freed.0.get(self.freed.1),
        };
        fence(Ordering::Acquire);
        (self.hot.id.load(Ordering::Relaxed) == id).then_some(row)
    }
}

/// Raises the longest duration, kept as an `f32` of nanoseconds: any length, to seven digits. Only its writer calls it.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "seven digits of a duration are enough")]
pub(crate) fn longest(cell: &AtomicU32, ns: u64) {
    // The bits of positive floats are ordered like the floats.
    let bits = (ns as f32).to_bits();
    if bits > cell.load(Ordering::Relaxed) {
        cell.store(bits, Ordering::Relaxed);
    }
}

#[inline]
fn high(ms: u64) -> u64 {
    (ms >> 32 << HIGH_SHIFT) & HIGH
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the rest is kept beside the number of polls")]
fn low(ms: u64) -> u32 {
    ms as u32
}

fn measured_bits(polls: u8) -> u64 {
    if polls == 0 { 0 } else { IS_MEASURED | u64::from(polls & 0x7f) << MEASURED_SHIFT }
}

fn measured_polls(word: u64) -> u8 {
    (word >> MEASURED_SHIFT & 0x7f) as u8
}
