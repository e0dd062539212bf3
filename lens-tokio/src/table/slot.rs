//! What one thread is doing, and what it alone counts: written by that thread's hooks, read by a watchdog. Separate
//! because it belongs to the thread, not to any task or runtime.
//!
//! A slot's `state` is a sequence lock: the number of polls that the thread has started, and how many of them are going
//! on. A poll that starts fills its frame first, above those that the state shows, and then changes the state; one that
//! ends changes the state alone. So a reader that finds the same state before and after has read frames that belong to it.

use crate::sync::{AtomicU32, AtomicU64, Once, Ordering, add, array_of, const_fn, fence};

use super::ends::Ends;
use super::entry::{Origin, SITE_BITS, Tag};
use super::pages::Places;
use super::sites::{NOWHERE, Recent};
use super::stats::Stats;
use super::tallies::Tallies;

/// How deep polls are followed that happen inside of other polls (`block_in_place`, then another runtime's `block_on`).
/// Deeper ones are counted, and not shown as running.
pub(crate) const MAX_DEPTH: usize = 4;

/// How often a reader looks again at a slot that changed while it was read.
#[cfg(not(loom))]
const TRIES: usize = 16;
#[cfg(loom)]
const TRIES: usize = 1;

/// Bits of a slot's state that count the polls that were started; those above count the ones that are going on.
const POLLS_BITS: u32 = 48;
const POLLS: u64 = (1 << POLLS_BITS) - 1;
/// One poll that is going on, in a slot's state.
const GOING_ON: u64 = 1 << POLLS_BITS;

/// One poll that is going on.
#[derive(Debug)]
pub(crate) struct Frame {
    task: AtomicU64,
    poll: AtomicU64,
    /// The counter when it started, if it is measured.
    pub(crate) counter: AtomicU64,
    /// The thread's allocated and freed bytes when it started, without those that lens itself needed since.
    allocated: AtomicU64,
    freed: AtomicU64,
}

/// What there is to know of a poll besides its task, in one word: the clock's milliseconds when it started (40 bits), the
/// site (16 bits), and for how many polls it stands (8 bits; 0 if it is not measured).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poll(u64);

impl Poll {
    /// A poll that is not measured, of a task of this origin.
    #[inline]
    pub(crate) fn unmeasured(started_ms: u64, origin: Origin) -> Self {
        Self(started_ms << 24 | origin.site_bits())
    }

    /// A poll that stands for `weight` polls.
    pub(crate) fn measured(started_ms: u64, origin: Origin, weight: u8) -> Self {
        Self(Self::unmeasured(started_ms, origin).0 | u64::from(weight))
    }

    const UNTRACKED: Self = Self((NOWHERE as u64) << 8);

    /// A poll of a task that the table does not know.
    pub(crate) fn untracked(started_ms: u64) -> Self {
        Self(started_ms << 24 | Self::UNTRACKED.0)
    }

    /// Whether it is not measured, and the clock has not moved on.
    #[inline]
    fn is_simple(self, now_ms: u64) -> bool {
        self.0 & !SITE_BITS == now_ms << 24
    }

    #[inline]
    pub(crate) fn started_ms(self) -> u64 {
        self.0 >> 24
    }

    /// `None` if the task is untracked.
    #[inline]
    pub(crate) fn site(self) -> Option<u16> {
        let site = self.site_bits();
        (site != NOWHERE).then_some(site)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the 16 bits above the weight")]
    fn site_bits(self) -> u16 {
        (self.0 >> 8) as u16
    }

    #[inline]
    pub(crate) fn weight(self) -> u64 {
        self.0 & 0xff
    }
}

impl Frame {
    const_fn! {
        fn new() -> Self {
            Self {
                task: AtomicU64::new(0),
                poll: AtomicU64::new(Poll::UNTRACKED.0),
                counter: AtomicU64::new(0),
                allocated: AtomicU64::new(0),
                freed: AtomicU64::new(0),
            }
        }
    }

    /// Makes it the frame of a poll.
    #[inline]
    pub(crate) fn fill(&self, task: u64, poll: Poll) {
        self.task.store(task, Ordering::Relaxed);
        self.poll.store(poll.0, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn task(&self) -> u64 {
        self.task.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn poll(&self) -> Poll {
        Poll(self.poll.load(Ordering::Relaxed))
    }
}

/// One thread.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Slot {
    /// How many polls the thread has started (48 bits), and how many of them are going on (16 bits).
    state: AtomicU64,
    /// The number of the next poll that is sampled.
    next_sample: AtomicU64,
    /// For how many polls that one stands.
    gap: AtomicU32,
    random: AtomicU32,
    frames: [Frame; MAX_DEPTH],
    pub(crate) places: Places,
    pub(crate) recent: Recent,
    /// Time in polls; that of a poll inside of another is part of the other's.
    pub(crate) busy_ns: AtomicU64,
    /// Ends of tasks that the table does not know.
    pub(crate) unknown_ends: AtomicU64,
    /// The task that ended last in the thread.
    pub(crate) last_ended: AtomicU64,
    pub(crate) stats: Stats,
    pub(crate) tag: Tag,
    pub(crate) tallies: Tallies,
    pub(crate) ends: Ends,
    pub(crate) thread: Thread,
    next: Once<Slot>,
}

/// What is known of the slot's thread.
#[derive(Debug)]
pub(crate) struct Thread {
    /// 1 while a thread has the slot.
    taken: AtomicU32,
    /// The operating system's id of the thread; 0 if it has none to give.
    os_id: AtomicU32,
    /// The standard library's id of the thread; 0 if it is not known.
    std_id: AtomicU64,
    /// The runtime that the thread belongs to, plus one; 0 for none.
    runtime: AtomicU64,
    /// The number of that runtime's builder, plus one; 0 for none.
    builder: AtomicU32,
    /// The worker of that runtime that the thread was last, plus one; 0 for none.
    worker: AtomicU32,
    /// 1 while the worker is parked.
    parked: AtomicU32,
}

/// What the threads of one slot have counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlotTotals {
    pub(crate) polls: u64,
    /// Time in polls; that of a poll inside of another is part of the other's.
    pub(crate) busy_ns: u64,
    /// Ends of tasks that the table does not know.
    pub(crate) unknown_ends: u64,
}

/// What a thread is doing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// The task that is polled.
    pub(crate) task: u64,
    /// The task's site; `None` if it is untracked.
    pub(crate) site: Option<u16>,
    /// The thread's poll, numbered: the same number later is the same poll.
    pub(crate) poll: u64,
    /// The clock's milliseconds at the tick before the poll started.
    pub(crate) started_ms: u64,
    /// How many polls are going on inside each other; 1 for a plain poll.
    pub(crate) depth: usize,
}

impl Slot {
    const_fn! {
        /// The slot with this number.
        pub(crate) fn new(number: u64) -> Self {
            Self {
                state: AtomicU64::new(0),
                next_sample: AtomicU64::new(0),
                gap: AtomicU32::new(1),
                random: AtomicU32::new(0),
                frames: array_of![Frame::new(); MAX_DEPTH],
                places: Places::new(),
                recent: Recent::new(),
                busy_ns: AtomicU64::new(0),
                unknown_ends: AtomicU64::new(0),
                last_ended: AtomicU64::new(0),
                stats: Stats::new(),
                tag: Tag::of_slot(number),
                tallies: Tallies::new(),
                ends: Ends::new(),
                thread: Thread {
                    taken: AtomicU32::new(0),
                    os_id: AtomicU32::new(0),
                    std_id: AtomicU64::new(0),
                    runtime: AtomicU64::new(0),
                    builder: AtomicU32::new(0),
                    worker: AtomicU32::new(0),
                    parked: AtomicU32::new(0),
                },
                next: Once::new(),
            }
        }
    }

    /// Starts a poll: `fill` fills its frame. Counts the poll that the frame was of before, and not this one: that costs
    /// nothing, because its site need not be looked up, while this one's is still on the way from memory.
    pub(crate) fn push(&self, fill: impl FnOnce(&Frame)) {
        let state = self.state.load(Ordering::Relaxed);
        self.count_last(depth(state));
        // What is stored from here on is not seen with the state in which the last poll of this frame went on.
        fence(Ordering::Release);
        if let Some(frame) = self.frames.get(depth(state)) {
            fill(frame);
        }
        self.state.store(state.wrapping_add(GOING_ON + 1), Ordering::Release);
    }

    /// Whether a poll may start by [`push_first`](Self::push_first): it is inside of no other, and not to be sampled.
    #[inline]
    pub(crate) fn is_simple(&self) -> bool {
        // With a poll going on, the state is higher than any number of a poll.
        self.state.load(Ordering::Relaxed) < self.next_sample.load(Ordering::Relaxed)
    }

    /// [`push`](Self::push) for a poll inside of no other.
    #[inline]
    pub(crate) fn push_first(&self, task: u64, poll: Poll) {
        self.count_last(0);
        fence(Ordering::Release);
        self.frames[0].fill(task, poll);
        self.state.store(self.state.load(Ordering::Relaxed).wrapping_add(GOING_ON + 1), Ordering::Release);
    }

    /// Counts the poll that a frame is of.
    #[inline]
    fn count_last(&self, depth: usize) {
        if let Some(frame) = self.frames.get(depth) {
            self.stats.count_poll(frame.poll().site_bits());
        }
    }

    /// The polls at a site. While the thread starts one, it may miss that.
    pub(crate) fn polls_at(&self, site: u16) -> u64 {
        let uncounted = self.frames.iter().filter(|frame| frame.poll().site() == Some(site)).count();
        self.stats.polls(site) + uncounted as u64
    }

    /// Ends a poll that is inside of no other and not measured, if the clock has not moved on.
    #[inline]
    pub(crate) fn pop_simple(&self, now_ms: u64) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let is_simple = state >> POLLS_BITS == 1 && self.frames[0].poll().is_simple(now_ms);
        if is_simple {
            self.state.store(state - GOING_ON, Ordering::Release);
        }
        is_simple
    }

    /// Ends the innermost poll.
    #[inline]
    pub(crate) fn pop(&self) {
        let state = self.state.load(Ordering::Relaxed);
        // A poll that ends without having started is another runtime's, of which only some hooks are lens's.
        if state >= GOING_ON {
            self.state.store(state - GOING_ON, Ordering::Release);
        }
    }

    /// The frame of the innermost poll; `None` if there is none, or if it is too deep.
    #[inline]
    pub(crate) fn top(&self) -> Option<&Frame> {
        self.frames.get(depth(self.state.load(Ordering::Relaxed)).checked_sub(1)?)
    }

    /// Whether the innermost poll happens inside of another.
    #[inline]
    pub(crate) fn is_nested(&self) -> bool {
        depth(self.state.load(Ordering::Relaxed)) > 1
    }

    /// Notes the thread's allocated and freed bytes at the start of the innermost poll.
    #[inline]
    pub(crate) fn note_bytes(&self, allocated: u64, freed: u64) {
        if let Some(frame) = self.top() {
            frame.allocated.store(allocated, Ordering::Relaxed);
            frame.freed.store(freed, Ordering::Relaxed);
        }
    }

    /// The same, of a poll that is inside of no other.
    #[inline]
    pub(crate) fn note_first_bytes(&self, allocated: u64, freed: u64) {
        self.frames[0].allocated.store(allocated, Ordering::Relaxed);
        self.frames[0].freed.store(freed, Ordering::Relaxed);
    }

    /// Whether a poll that is inside of no other has allocated and freed nothing.
    #[inline]
    pub(crate) fn is_without_bytes(&self, allocated: u64, freed: u64) -> bool {
        let first = &self.frames[0];
        first.allocated.load(Ordering::Relaxed) == allocated && first.freed.load(Ordering::Relaxed) == freed
    }

    /// Notes them for all polls that are going on.
    pub(crate) fn note_bytes_of_all(&self, allocated: u64, freed: u64) {
        for frame in &self.frames {
            frame.allocated.store(allocated, Ordering::Relaxed);
            frame.freed.store(freed, Ordering::Relaxed);
        }
    }

    /// How many bytes the innermost poll has allocated and freed.
    #[inline]
    pub(crate) fn bytes_since(&self, allocated: u64, freed: u64) -> (u64, u64) {
        let Some(frame) = self.top() else { return (0, 0) };
        let since = |now: u64, then: &AtomicU64| now.wrapping_sub(then.load(Ordering::Relaxed));
        (since(allocated, &frame.allocated), since(freed, &frame.freed))
    }

    /// Leaves bytes out of all polls that are going on.
    #[cold]
    pub(crate) fn leave_out_bytes(&self, allocated: u64, freed: u64) {
        for frame in self.frames.iter().take(depth(self.state.load(Ordering::Relaxed))) {
            add(&frame.allocated, allocated);
            add(&frame.freed, freed);
        }
    }

    /// How many polls the thread has started.
    #[inline]
    pub(crate) fn polls(&self) -> u64 {
        self.state.load(Ordering::Relaxed) & POLLS
    }

    /// What the thread has counted besides its sites.
    pub(crate) fn totals(&self) -> SlotTotals {
        SlotTotals {
            polls: self.polls(),
            busy_ns: self.busy_ns.load(Ordering::Relaxed),
            unknown_ends: self.unknown_ends.load(Ordering::Relaxed),
        }
    }

    /// What the thread is polling, innermost first; nothing if it polls nothing or changed what it does all the time.
    pub(crate) fn running(&self) -> Vec<Running> {
        for _ in 0..TRIES {
            let state = self.state.load(Ordering::Acquire);
            let depth = depth(state);
            let mut running: Vec<Running> = self.frames.iter().take(depth).map(|frame| frame.running(state)).collect();
            fence(Ordering::Acquire);
            if self.state.load(Ordering::Relaxed) == state {
                running.reverse();
                return running;
            }
        }
        Vec::new()
    }

    /// For how many polls the next one stands, if its turn has come to be sampled: one in 64 to 191. Not a fixed number,
    /// which would always hit the same of tasks that are polled in turns.
    #[expect(clippy::cast_possible_truncation, reason = "a gap is at most 191")]
    pub(crate) fn sample(&self) -> u8 {
        if self.polls() < self.next_sample.load(Ordering::Relaxed) {
            return 0;
        }
        // xorshift32; a seed of 0 would stay 0.
        let mut random = self.random.load(Ordering::Relaxed) | 1;
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        self.random.store(random, Ordering::Relaxed);
        let next = 64 + (random >> 25);
        self.next_sample.store(self.polls() + u64::from(next), Ordering::Relaxed);
        let gap = self.gap.load(Ordering::Relaxed);
        self.gap.store(next, Ordering::Relaxed);
        gap as u8
    }

    /// What is known of the thread.
    pub(crate) fn thread(&self) -> &Thread {
        &self.thread
    }

    fn take(&self, os_id: u32) -> bool {
        let taken = &self.thread.taken;
        let is_mine = taken.load(Ordering::Relaxed) == 0
            && taken.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if is_mine {
            self.thread.os_id.store(os_id, Ordering::Relaxed);
            self.thread.std_id.store(0, Ordering::Relaxed);
            self.thread.runtime.store(0, Ordering::Relaxed);
            self.thread.builder.store(0, Ordering::Relaxed);
            self.thread.worker.store(0, Ordering::Relaxed);
            self.thread.parked.store(0, Ordering::Relaxed);
        }
        is_mine
    }

    /// Leaves the slot to the next thread that starts. What it counted stays counted.
    pub(crate) fn give_back(&self) {
        for (depth, frame) in self.frames.iter().enumerate() {
            self.count_last(depth);
            frame.fill(0, Poll::UNTRACKED);
        }
        // A thread that a hook's panic has ended may have left polls.
        self.state.store(self.state.load(Ordering::Relaxed) & POLLS, Ordering::Release);
        self.thread.os_id.store(0, Ordering::Relaxed);
        self.thread.taken.store(0, Ordering::Release);
    }
}

impl Thread {
    /// Whether a thread has the slot.
    pub(crate) fn is_alive(&self) -> bool {
        self.taken.load(Ordering::Acquire) == 1
    }

    /// The operating system's id of the thread.
    pub(crate) fn os_id(&self) -> Option<u32> {
        Some(self.os_id.load(Ordering::Relaxed)).filter(|&id| id != 0)
    }

    /// The number of the thread's `std::thread::ThreadId`.
    pub(crate) fn std_id(&self) -> Option<u64> {
        Some(self.std_id.load(Ordering::Relaxed)).filter(|&id| id != 0)
    }

    pub(crate) fn is_std(&self, id: u64) {
        self.std_id.store(id, Ordering::Relaxed);
    }

    /// The number of the runtime that the thread belongs to, as `tokio::runtime::Id` has it.
    pub(crate) fn runtime(&self) -> Option<u64> {
        self.runtime.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Which worker of its runtime the thread was when it last unparked.
    pub(crate) fn worker(&self) -> Option<u32> {
        self.worker.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Whether the thread is a worker that waits for work.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed) == 1
    }

    /// Whether the runtime that the thread belongs to is of this builder.
    pub(crate) fn is_of(&self, builder: u8) -> bool {
        self.builder.load(Ordering::Relaxed) == u32::from(builder) + 1
    }

    pub(crate) fn belongs_to(&self, runtime: u64, builder: u8) {
        self.runtime.store(runtime.wrapping_add(1), Ordering::Relaxed);
        self.builder.store(u32::from(builder) + 1, Ordering::Relaxed);
    }

    pub(crate) fn park(&self, worker: Option<u32>) {
        self.worker.store(worker.map_or(0, |worker| worker.wrapping_add(1)), Ordering::Relaxed);
        self.parked.store(1, Ordering::Relaxed);
    }

    pub(crate) fn unpark(&self, worker: Option<u32>) {
        self.worker.store(worker.map_or(0, |worker| worker.wrapping_add(1)), Ordering::Relaxed);
        self.parked.store(0, Ordering::Relaxed);
    }
}

/// All slots: a list that only grows, to as many as there were threads at once.
#[derive(Debug)]
pub(crate) struct Slots {
    first: Once<Slot>,
}

impl Slots {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { first: Once::new() }
        }
    }

    /// A slot for the calling thread, which must give it back.
    #[cold]
    pub(crate) fn take(&self, os_id: u32) -> &Slot {
        let (mut place, mut number) = (&self.first, 0);
        loop {
            let slot = match place.get() {
                Some(slot) => slot,
                None => place.get_or_set(|| Box::new(Slot::new(number))),
            };
            if slot.take(os_id) {
                // Threads sample at different polls: the address is as random as the seed has to be.
                #[expect(clippy::cast_possible_truncation, reason = "only a seed")]
                slot.random.store(std::ptr::from_ref(slot).addr() as u32 ^ os_id.rotate_left(16), Ordering::Relaxed);
                return slot;
            }
            place = &slot.next;
            number += 1;
        }
    }

    /// All slots, those without a thread too: what they counted counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        std::iter::successors(self.first.get(), |slot| slot.next.get())
    }
}

#[inline]
fn depth(state: u64) -> usize {
    (state >> POLLS_BITS) as usize
}

impl Frame {
    fn running(&self, state: u64) -> Running {
        Running {
            task: self.task(),
            site: self.poll().site(),
            poll: state & POLLS,
            started_ms: self.poll().started_ms(),
            depth: depth(state),
        }
    }
}
