//! What is kept of one live task: 56 bytes that the thread which polls it writes, and any thread reads. Separate because
//! it is a sequence lock in itself, whose version is the task's id.

use crate::sync::{AtomicU32, AtomicU64, Ordering, add, const_fn, fence, store_before_loads};

use super::freed::FreedOf;

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

/// What every poll reads and writes of one live task, or nothing: half a cache line.
///
/// tokio calls the hook after a poll when another thread may already poll the task again. So that hook and the one before
/// a poll share no word that either computes from what it was.
#[derive(Debug)]
#[repr(C, align(32))]
pub(crate) struct Hot {
    /// The task's id; 0 for no task. tokio never gives an id twice, so a reader that finds the same id before and after
    /// has read one task.
    id: AtomicU64,
    origin: AtomicU64,
    /// How often it was polled (48 bits), and the continuation of `last_poll` (8 bits). The hook before a poll writes it.
    polls: AtomicU64,
    /// The lower 32 bits of the millisecond of the last poll.
    last_poll: AtomicU32,
    /// The longest measured poll (24 bits of [`length_bits`]) and how many of the next polls are measured in any case (8
    /// bits). The hook after a poll writes it.
    measured: AtomicU32,
}

/// One live task, or nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) hot: &'a Hot,
    pub(crate) parent: &'a AtomicU64,
    pub(crate) busy_ns: &'a AtomicU64,
    pub(crate) allocated: &'a AtomicU64,
    pub(crate) freed: FreedOf<'a>,
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
const POLLS: u64 = (1 << HIGH_SHIFT) - 1;
const HIGH: u64 = 0xff << HIGH_SHIFT;
/// Where the longest poll is in `measured`, and how many of its lowest bits are left out there.
const LONGEST_SHIFT: u32 = 8;
const LEFT_OUT: u32 = 7;

impl Hot {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                id: AtomicU64::new(0),
                origin: AtomicU64::new(0),
                polls: AtomicU64::new(0),
                last_poll: AtomicU32::new(0),
                measured: AtomicU32::new(0),
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

    /// Counts a poll that starts now, unless it is to be measured. Like the next one only for the hook before a poll: tokio
    /// orders one poll's after the other's.
    #[inline]
    pub(crate) fn count_unmeasured_poll(&self, now_ms: u64) -> bool {
        if self.is_measured() {
            return false;
        }
        let polls = self.polls.load(Ordering::Relaxed) + 1;
        self.polls.store(polls, Ordering::Relaxed);
        if self.last_poll.load(Ordering::Relaxed) != low(now_ms) {
            self.starts(polls, now_ms);
        }
        true
    }

    /// Counts a poll that starts now; gives whether it is to be measured in any case.
    pub(crate) fn count_poll(&self, now_ms: u64) -> bool {
        self.starts(self.polls.load(Ordering::Relaxed) + 1, now_ms);
        self.is_measured()
    }

    #[inline]
    fn starts(&self, polls: u64, now_ms: u64) {
        self.polls.store(polls & !HIGH | high(now_ms), Ordering::Relaxed);
        self.last_poll.store(low(now_ms), Ordering::Relaxed);
    }

    #[inline]
    fn is_measured(&self) -> bool {
        measured_polls(self.measured.load(Ordering::Relaxed)) != 0
    }

    /// Notes that a poll lasted until now. Every 49 days the upper bits change; a poll meanwhile is told by its start.
    pub(crate) fn lasted_until(&self, now_ms: u64) {
        if self.polls.load(Ordering::Relaxed) & HIGH == high(now_ms) {
            self.last_poll.store(low(now_ms), Ordering::Relaxed);
        }
    }

    /// Notes that a poll took `ns`. Has this many of the next polls measured if that is long, else one less.
    fn took(&self, ns: u64, is_long: bool, polls: u8) {
        let before = self.measured.load(Ordering::Relaxed);
        let next = if is_long { polls } else { measured_polls(before).saturating_sub(1) };
        // Rounded to the nearest.
        let length = (length_bits(ns) + (1 << (LEFT_OUT - 1))) >> LEFT_OUT;
        let after = length.max(before >> LONGEST_SHIFT) << LONGEST_SHIFT | u32::from(next);
        if after != before {
            self.measured.store(after, Ordering::Relaxed);
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
        self.parent.store(parent, Ordering::Relaxed);
        self.hot.polls.store(high(at), Ordering::Relaxed);
        self.hot.last_poll.store(low(at), Ordering::Relaxed);
        self.hot.measured.store(measured.into(), Ordering::Relaxed);
        self.busy_ns.store(0, Ordering::Relaxed);
        self.allocated.store(0, Ordering::Relaxed);
        self.freed.clear();
        store_before_loads(&self.hot.id, id);
    }

    /// Charges a poll of `ns` that stands for `weight` polls; but a task has had no more than it has had. If it is long, this
    /// many of the next ones are measured.
    #[inline]
    pub(crate) fn charge(self, ns: u64, weight: u64, is_long: bool, polls: u8) {
        add(self.busy_ns, ns * weight.min(self.hot.polls()));
        self.hot.took(ns, is_long, polls);
    }

    /// Charges bytes that a poll allocated and freed; nothing if there is no room for those that were freed.
    #[inline]
    pub(crate) fn charge_bytes(self, allocated: u64, freed: u64) -> bool {
        let has_room = freed == 0 || self.freed.add(freed);
        if has_room {
            add(self.allocated, allocated);
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
            parent: self.parent.load(Ordering::Relaxed),
            origin: self.hot.origin(),
            polls: polls & POLLS,
            last_poll_ms: ((polls & HIGH) >> HIGH_SHIFT) << 32 | u64::from(self.hot.last_poll.load(Ordering::Relaxed)),
            busy_ns: self.busy_ns.load(Ordering::Relaxed),
            longest_ns: f32::from_bits(self.hot.measured.load(Ordering::Relaxed) >> LONGEST_SHIFT << LEFT_OUT),
            allocated_bytes: self.allocated.load(Ordering::Relaxed),
            freed_bytes: self.freed.get(),
        };
        fence(Ordering::Acquire);
        (self.hot.id.load(Ordering::Relaxed) == id).then_some(row)
    }
}

/// Raises the longest duration, kept as [`length_bits`]. Only its writer calls it.
#[inline]
pub(crate) fn longest(cell: &AtomicU32, ns: u64) {
    let bits = length_bits(ns);
    if bits > cell.load(Ordering::Relaxed) {
        cell.store(bits, Ordering::Relaxed);
    }
}

/// A duration as the bits of an `f32` of nanoseconds: any length, to seven digits. Bits of positive floats are ordered
/// like the floats.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "seven digits of a duration are enough")]
fn length_bits(ns: u64) -> u32 {
    (ns as f32).to_bits()
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

#[expect(clippy::cast_possible_truncation, reason = "the lowest 8 bits")]
#[inline]
fn measured_polls(measured: u32) -> u8 {
    measured as u8
}
