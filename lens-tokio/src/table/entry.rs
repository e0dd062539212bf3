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
    /// How often it was polled (48 bits), the continuation of `last_poll` (8 bits), and a [mark](MOVES) (8 bits). The hook
    /// before a poll writes it, and with [`MOVES`] whoever adds a tally.
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
const MARK_SHIFT: u32 = 56;
/// The lowest bit of the mark: the task moves between threads, and their [tallies](super::tallies) may have the rest of its
/// polls. From then on the word is only changed by locked instructions, and the mark's other bits count how
/// often a tally was added (and begin anew: they must be the highest). Before, they are the tag of the thread that polled
/// it last.
const MOVES: u64 = 1 << MARK_SHIFT;
const ADDED: u64 = MOVES << 1;
/// What a task that moves has when it has ended: nothing is added to it any more.
const ENDED: u64 = u64::MAX;
/// With fewer polls, a task is not noted to move: nearly every one is spawned in another thread than it is polled in.
const MOVES_FROM: u64 = if cfg!(loom) { 1 } else { 16 };

/// A thread, as an entry notes it: seven bits, so that of many threads some share one. Then a task that moves between these
/// is not noted to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag(u64);

impl Tag {
    const_fn! {
        /// The tag of the thread with this slot.
        pub(crate) fn of_slot(number: u64) -> Self {
            Self((number % 127 + 1) << 1)
        }
    }

    #[inline]
    fn is_in(self, polls: u64) -> bool {
        polls >> MARK_SHIFT == self.0
    }

    /// The polls, with this tag.
    #[inline]
    fn mark(self, polls: u64) -> u64 {
        polls & (HIGH | POLLS) | self.0 << MARK_SHIFT
    }
}

/// The mark of a task's polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// Whether threads may have the rest of the task's polls in tallies. The mark changes whenever such a tally is added; it
    /// begins anew after 128.
    #[inline]
    pub(crate) fn moves(self) -> bool {
        self.0 & (MOVES >> MARK_SHIFT) != 0
    }
}

/// What is known of a task that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) origin: Origin,
    pub(crate) polls: u64,
    /// Whether threads may have tallies of it, with the rest of its polls.
    pub(crate) moves: bool,
}

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

    #[inline]
    pub(crate) fn origin(&self) -> Origin {
        Origin(self.origin.load(Ordering::Relaxed))
    }

    /// Counts a poll that starts now in the thread of this tag, unless it is to be measured or the task was in another thread
    /// last. Like the next ones only for the hook before a poll: tokio orders one poll's after the other's.
    #[inline]
    pub(crate) fn count_simple_poll(&self, now_ms: u64, tag: Tag) -> bool {
        if self.is_measured() || self.may_move(tag) {
            return false;
        }
        let polls = tag.mark(self.polls.load(Ordering::Relaxed) + 1);
        self.polls.store(polls, Ordering::Relaxed);
        if self.last_poll.load(Ordering::Relaxed) != low(now_ms) {
            self.polls.store(polls & !HIGH | high(now_ms), Ordering::Relaxed);
            self.last_poll.store(low(now_ms), Ordering::Relaxed);
        }
        true
    }

    /// Counts a poll that starts now in the thread of this tag; `marks` whether it is to be noted that the task moves.
    pub(crate) fn count_poll(&self, now_ms: u64, tag: Tag, marks: bool) {
        let polls = self.polls.load(Ordering::Relaxed);
        if polls & MOVES != 0 {
            self.change(|polls| one_more(polls, now_ms));
        } else {
            // Until this store nobody has a tally of it.
            let polls = one_more(polls, now_ms);
            self.polls.store(if marks { polls & (HIGH | POLLS) | MOVES } else { tag.mark(polls) }, Ordering::Release);
        }
        self.last_poll.store(low(now_ms), Ordering::Relaxed);
    }

    /// Whether the task is noted to move, or could be: if it was in another thread than that of this tag last.
    #[inline]
    pub(crate) fn may_move(&self, tag: Tag) -> bool {
        let polls = self.polls.load(Ordering::Relaxed);
        !(tag.is_in(polls) || is_young(polls))
    }

    /// Whether its next poll is to be measured in any case.
    #[inline]
    pub(crate) fn is_measured(&self) -> bool {
        measured_polls(self.measured.load(Ordering::Relaxed)) != 0
    }

    /// Adds a thread's tally of the task, which moves, unless it has ended. Only while its page cannot be recycled.
    pub(crate) fn add_tally(&self, polls: u64, last_poll_ms: u64) -> bool {
        let last = high(last_poll_ms);
        let is_added = self.change(|now| (now & !HIGH | last.max(now & HIGH)).wrapping_add(polls).wrapping_add(ADDED));
        if is_added && self.polls.load(Ordering::Relaxed) & HIGH == last {
            self.last_poll.fetch_max(low(last_poll_ms), Ordering::Relaxed);
        }
        is_added
    }

    /// Changes the polls of a task that moves, unless it has ended.
    fn change(&self, to: impl Fn(u64) -> u64) -> bool {
        let change = |polls| (polls != ENDED).then(|| to(polls));
        self.polls.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }

    /// Whether the task is live, and as its mark said.
    pub(crate) fn is_still(&self, id: u64, mark: Mark) -> bool {
        // In this order: a task's end changes its polls, then its id.
        let polls = self.polls.load(Ordering::Acquire);
        polls != ENDED && Mark(polls >> MARK_SHIFT) == mark && self.is(id)
    }

    /// What is known of the task, to which nothing is added from now on. Only for the thread that ends it.
    #[inline]
    pub(crate) fn last(&self) -> Last {
        let polls = self.polls.load(Ordering::Relaxed);
        let moves = polls & MOVES != 0;
        let polls = if moves { self.polls.swap(ENDED, Ordering::AcqRel) } else { polls };
        Last { origin: self.origin(), polls: polls & POLLS, moves }
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

    /// Charges a poll of `ns` that stands for `weight` polls; but a task has had no more than it has had, as far as the entry
    /// knows that. If it is long, this many of the next ones are measured.
    #[inline]
    pub(crate) fn charge(self, ns: u64, weight: u64, is_long: bool, polls: u8) {
        let had = self.hot.polls.load(Ordering::Relaxed);
        let weight = if had & MOVES == 0 { weight.min(had & POLLS) } else { weight };
        add(self.busy_ns, ns * weight);
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

    /// A copy, without what threads have in tallies, and the mark that it had. Nothing if there is no task or it ended while it
    /// was read.
    #[inline(always)]
    pub(crate) fn read(self) -> Option<(Row, Mark)> {
        let id = self.hot.id.load(Ordering::Acquire);
        if id == 0 {
            return None;
        }
        let polls = self.hot.polls.load(Ordering::Relaxed);
        if polls == ENDED {
            return None;
        }
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
        (self.hot.id.load(Ordering::Relaxed) == id).then_some((row, Mark(polls >> MARK_SHIFT)))
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

/// The polls with one that starts now.
#[inline]
fn one_more(polls: u64, now_ms: u64) -> u64 {
    (polls + 1) & !HIGH | high(now_ms)
}

/// Whether a task that is not known to move is too young for it.
#[inline]
fn is_young(polls: u64) -> bool {
    polls & (MOVES | POLLS) < MOVES_FROM
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
