//! What one thread is doing, and what it alone counts: written by that thread's hooks, read by a watchdog. Separate
//! because it belongs to the thread, not to any task or runtime.
//!
//! A slot's `sequence` is a sequence lock: odd while the thread writes the frame of a poll that starts, and two higher
//! for every poll. The end of a poll writes `depth` alone.

use crate::sync::{AtomicU32, AtomicU64, Once, Ordering, add, array_of, const_fn, fence};

use super::pages::Reservation;
use super::stats::Stats;

/// How deep polls are followed that happen inside of other polls (`block_in_place`, then another runtime's `block_on`).
/// Deeper ones are counted, and not shown as running.
pub(crate) const MAX_DEPTH: usize = 4;

/// How often a reader looks again at a slot that changed while it was read.
#[cfg(not(loom))]
const TRIES: usize = 16;
#[cfg(loom)]
const TRIES: usize = 1;

/// A frame without an entry: the task ended, or is untracked.
pub(crate) const NO_ENTRY: u32 = u32::MAX;
/// A frame without a site: the task is untracked.
pub(crate) const NO_SITE: u32 = u32::MAX;

/// One poll that is going on.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) task: AtomicU64,
    /// The clock's milliseconds when it started.
    pub(crate) started_ms: AtomicU64,
    /// The counter when it started, if it is measured.
    pub(crate) counter: AtomicU64,
    /// For how many polls it stands, 0 if it is not measured.
    pub(crate) weight: AtomicU32,
    pub(crate) entry: AtomicU32,
    pub(crate) site: AtomicU32,
    /// The thread's allocated bytes when it started.
    pub(crate) allocated: AtomicU64,
}

impl Frame {
    const_fn! {
        fn new() -> Self {
            Self {
                task: AtomicU64::new(0),
                started_ms: AtomicU64::new(0),
                counter: AtomicU64::new(0),
                weight: AtomicU32::new(0),
                entry: AtomicU32::new(NO_ENTRY),
                site: AtomicU32::new(NO_SITE),
                allocated: AtomicU64::new(0),
            }
        }
    }
}

/// One thread.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Slot {
    sequence: AtomicU64,
    depth: AtomicU32,
    /// Polls until the next one that is sampled.
    pub(crate) countdown: AtomicU32,
    /// For how many polls that one stands.
    pub(crate) gap: AtomicU32,
    random: AtomicU32,
    frames: [Frame; MAX_DEPTH],
    pub(crate) reservation: Reservation,
    pub(crate) spawned: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) busy_ns: AtomicU64,
    /// Ends of tasks that the table does not know.
    pub(crate) unknown_ends: AtomicU64,
    pub(crate) stats: Stats,
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
    /// The worker of that runtime that the thread was last, plus one; 0 for none.
    worker: AtomicU32,
    /// 1 while the worker is parked.
    parked: AtomicU32,
}

/// What the threads of one slot have counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlotTotals {
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
    pub(crate) polls: u64,
    /// Time in polls; that of a poll inside of another is part of the other's.
    pub(crate) busy_ns: u64,
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
        pub(crate) fn new() -> Self {
            Self {
                sequence: AtomicU64::new(0),
                depth: AtomicU32::new(0),
                countdown: AtomicU32::new(1),
                gap: AtomicU32::new(1),
                random: AtomicU32::new(0),
                frames: array_of![Frame::new(); MAX_DEPTH],
                reservation: Reservation::new(),
                spawned: AtomicU64::new(0),
                finished: AtomicU64::new(0),
                busy_ns: AtomicU64::new(0),
                unknown_ends: AtomicU64::new(0),
                stats: Stats::new(),
                thread: Thread {
                    taken: AtomicU32::new(0),
                    os_id: AtomicU32::new(0),
                    std_id: AtomicU64::new(0),
                    runtime: AtomicU64::new(0),
                    worker: AtomicU32::new(0),
                    parked: AtomicU32::new(0),
                },
                next: Once::new(),
            }
        }
    }

    /// Starts a poll: `write` fills its frame.
    #[inline]
    pub(crate) fn push(&self, write: impl FnOnce(&Frame)) {
        let depth = self.depth.load(Ordering::Relaxed);
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        if let Some(frame) = self.frames.get(depth as usize) {
            write(frame);
        }
        self.depth.store(depth.wrapping_add(1), Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// Ends the innermost poll and gives its frame; `None` for one that was too deep or that never started.
    #[inline]
    pub(crate) fn pop(&self) -> Option<&Frame> {
        let depth = self.depth.load(Ordering::Relaxed).checked_sub(1)?;
        self.depth.store(depth, Ordering::Release);
        self.frames.get(depth as usize)
    }

    /// The frame of the innermost poll.
    #[inline]
    pub(crate) fn top(&self) -> Option<&Frame> {
        let depth = self.depth.load(Ordering::Relaxed).checked_sub(1)?;
        self.frames.get(depth as usize)
    }

    /// Whether the innermost poll happens inside of another.
    #[inline]
    pub(crate) fn is_nested(&self) -> bool {
        self.depth.load(Ordering::Relaxed) > 1
    }

    /// What the slot's threads have counted. What finished is read before what was spawned, so that their difference is
    /// not negative when a task is spawned and ends in between.
    pub(crate) fn totals(&self) -> SlotTotals {
        SlotTotals {
            finished: self.finished.load(Ordering::Acquire),
            spawned: self.spawned.load(Ordering::Relaxed),
            polls: self.sequence.load(Ordering::Relaxed) / 2,
            busy_ns: self.busy_ns.load(Ordering::Relaxed),
            unknown_ends: self.unknown_ends.load(Ordering::Relaxed),
        }
    }

    /// What the thread is polling, innermost first; nothing if it polls nothing or changed what it does all the time.
    pub(crate) fn running(&self) -> Vec<Running> {
        for _ in 0..TRIES {
            let sequence = self.sequence.load(Ordering::Acquire);
            if sequence % 2 == 1 {
                std::hint::spin_loop();
                continue;
            }
            let depth = self.depth.load(Ordering::Relaxed) as usize;
            let mut running: Vec<Running> = self
                .frames
                .iter()
                .take(depth)
                .map(|frame| Running {
                    task: frame.task.load(Ordering::Relaxed),
                    site: u16::try_from(frame.site.load(Ordering::Relaxed)).ok(),
                    poll: sequence / 2,
                    started_ms: frame.started_ms.load(Ordering::Relaxed),
                    depth,
                })
                .collect();
            fence(Ordering::Acquire);
            if self.sequence.load(Ordering::Relaxed) == sequence {
                running.reverse();
                return running;
            }
        }
        Vec::new()
    }

    /// A number between 8 and 24: after how many polls to sample again. Not a fixed number, which would always hit the
    /// same of tasks that are polled in turns.
    #[inline]
    pub(crate) fn next_gap(&self) -> u32 {
        // xorshift32; a seed of 0 would stay 0.
        let mut random = self.random.load(Ordering::Relaxed) | 1;
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        self.random.store(random, Ordering::Relaxed);
        8 + (random >> 16) % 17
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
            self.thread.worker.store(0, Ordering::Relaxed);
            self.thread.parked.store(0, Ordering::Relaxed);
        }
        is_mine
    }

    /// Leaves the slot to the next thread that starts. What it counted stays counted.
    pub(crate) fn give_back(&self) {
        self.depth.store(0, Ordering::Relaxed);
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

    pub(crate) fn belongs_to(&self, runtime: u64) {
        self.runtime.store(runtime.wrapping_add(1), Ordering::Relaxed);
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
        let mut place = &self.first;
        loop {
            let slot = match place.get() {
                Some(slot) => slot,
                None => place.get_or_set(|| Box::new(Slot::new())),
            };
            if slot.take(os_id) {
                // Threads sample at different polls: the address is as random as the seed has to be.
                #[expect(clippy::cast_possible_truncation, reason = "only a seed")]
                slot.random.store(std::ptr::from_ref(slot).addr() as u32 ^ os_id.rotate_left(16), Ordering::Relaxed);
                return slot;
            }
            place = &slot.next;
        }
    }

    /// All slots, those without a thread too: what they counted counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        std::iter::successors(self.first.get(), |slot| slot.next.get())
    }
}

/// Counts a spawn in the thread's total.
#[inline]
pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}
