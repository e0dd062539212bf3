//! Every live task and what it costs, written by tokio's task hooks. Separate from the skill because these are the lines
//! that run in the service's threads, on every spawn and every poll: no lock, no wait, no panic, no allocation but for
//! growth, constant time.
//!
//! # What is where
//!
//! - [`pages`]: an [`entry`] of 56 bytes for every live task, found by the task's id.
//! - [`slot`]: one for every thread that runs hooks: which task it polls, and its own counters.
//! - [`stats`]: a thread's counters of a spawn [site](sites).
//! - [`clock`]: a coarse clock, and the processor's counter.
//!
//! # Who writes what
//!
//! Only the thread that polls a task writes its entry. tokio polls a task in one thread at a time, orders one poll after
//! the other, and ends a task in the thread that polls it or while nobody does. Only a slot's thread writes the slot and
//! its counters. So all counters are plain loads and stores of relaxed atomics. Readers sum them up: each is monotonic,
//! and two of them need not be of the same instant.
//!
//! # Why a reader never takes one task for another
//!
//! An entry is a sequence lock whose version is the task's id, because tokio gives no id twice. The end of a task stores
//! 0 there (release); the entry's next occupant writes its fields behind a release fence, then its own id (release). A
//! reader loads the id (acquire), the fields, and behind an acquire fence the id again. If a field is of the next
//! occupant, the fences order the store of 0 before the second load of the id, which then differs.
//!
//! # Why a page is not recycled under a task
//!
//! A page's state counts its live tasks and the places that threads have reserved in it. A place is reserved by adding to
//! a state that has the right number and is not 0 (compare and exchange), or by opening a page that nobody knows yet. A
//! spawn takes a place that its thread has reserved, so it only stores. The end of a task gives its place back
//! (`fetch_sub`, acquire and release); who brings the state to 0 owns the page alone, takes it out of the directory and
//! puts it on the free list, whose head has a tag against a page that comes back between a look and an exchange. A thread
//! that still has the page's address finds an entry without its id, which is as good as no page: pages stay allocated.
//!
//! A page's number may be in the directory twice, if two threads opened it at once. That costs memory for a while and
//! nothing else: a search goes on to the next page with that number when the id is not there.
//!
//! # Why an end before its spawn is not lost
//!
//! tokio ends a task before it calls the spawn hook when a runtime shuts down while a task is spawned onto it, maybe in
//! another thread. It also ends tasks that have no spawn hook at all (`spawn_blocking`, its own threads). So an end that
//! finds no entry stores its id as a tomb and looks for the entry again; a spawn stores its entry's id and then looks at
//! the tomb. Store and load are sequentially consistent in both, so one of the two sees the other's store. If both do, an
//! exchange on the entry's id decides who takes the task out. A tomb that stays is harmless, because its id never comes
//! again. It can be overwritten by the end of an unknown task with the same lowest 10 bits; if that happens between the
//! two hooks of one task, the task stays in the table.
//!
//! `tests/loom.rs` explores these protocols.

pub(crate) mod clock;
pub(crate) mod entry;
pub(crate) mod pages;
pub(crate) mod sites;
pub(crate) mod slot;
pub(crate) mod stats;

use crate::sync::{Ordering, add, const_fn};

use clock::{Clock, Ticks};
use entry::{Origin, Row};
use pages::{Index, Pages, Spawned};
use sites::{Site, Sites};
use slot::{Frame, NO_ENTRY, NO_SITE, Slot, Slots, count};
use stats::{Counts, Distributions};

/// A poll at least this long makes the next [`MEASURED_POLLS`] polls at its site measured, each of them. Below it, reading
/// the clock twice would be felt: one poll of 8 to 24 is measured and stands for the others.
pub(crate) const MEASURED_FROM_NS: u64 = 200;
/// How many polls in a row must be shorter, until a site is only sampled.
pub(crate) const MEASURED_POLLS: u32 = 32;

/// The table of a process.
pub(crate) struct Table {
    pages: Pages,
    pub(crate) sites: Sites,
    pub(crate) slots: Slots,
    pub(crate) clock: Clock,
}

impl Table {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { pages: Pages::new(), sites: Sites::new(), slots: Slots::new(), clock: Clock::new() }
        }
    }

    /// A task was spawned.
    pub(crate) fn spawned(&self, slot: &Slot, id: u64, parent: u64, site: &Site, builder: u8) {
        let site = self.sites.number(site);
        let origin = Origin::new(self.clock.now_ms(), site, builder);
        match self.pages.insert(&slot.reservation, id, parent, origin) {
            Spawned::Untracked => return,
            Spawned::Live => {}
            Spawned::Ended => self.count_end(slot, origin),
        }
        count(&slot.spawned);
        count(&slot.stats.of(site).spawned);
    }

    /// A task ended, or something else that has an id.
    #[inline]
    pub(crate) fn ended(&self, slot: &Slot, id: u64) {
        let Some((index, origin)) = self.pages.remove(id) else {
            count(&slot.unknown_ends);
            return;
        };
        // The hook after the last poll is still to come: it must not touch the entry.
        if let Some(frame) = slot.top()
            && frame.entry.load(Ordering::Relaxed) == index.bits()
        {
            frame.entry.store(NO_ENTRY, Ordering::Relaxed);
        }
        self.count_end(slot, origin);
    }

    fn count_end(&self, slot: &Slot, origin: Origin) {
        count(&slot.finished);
        slot.stats.of(origin.site()).finish(self.clock.now_ms().saturating_sub(origin.spawned_ms()));
    }

    /// A poll starts.
    #[inline]
    pub(crate) fn poll_starts(&self, slot: &Slot, id: u64) {
        let now = self.clock.now_ms();
        let (entry, site, weight) = match self.pages.find(id) {
            Some((index, entry)) => {
                entry.count_poll(now);
                let site = entry.origin().site();
                let stats = slot.stats.of(site);
                add(&stats.polls, 1);
                let is_measured = stats.measured_left.load(Ordering::Relaxed) > 0;
                (index.bits(), u32::from(site), if is_measured { 1 } else { sample(slot) })
            }
            None => (NO_ENTRY, NO_SITE, 0),
        };
        slot.push(|frame| {
            frame.task.store(id, Ordering::Relaxed);
            frame.started_ms.store(now, Ordering::Relaxed);
            frame.entry.store(entry, Ordering::Relaxed);
            frame.site.store(site, Ordering::Relaxed);
            frame.weight.store(weight, Ordering::Relaxed);
            if weight > 0 {
                frame.counter.store(self.clock.counter(), Ordering::Relaxed);
            }
        });
    }

    /// The poll that started last in this thread ends.
    #[inline]
    pub(crate) fn poll_ends(&self, slot: &Slot) {
        let Some(frame) = slot.top() else {
            slot.pop();
            return;
        };
        let weight = frame.weight.load(Ordering::Relaxed);
        if weight > 0 {
            let to = self.clock.counter();
            let ns = self.clock.between(frame.counter.load(Ordering::Relaxed), to);
            // Of its length, every poll is charged for itself: see `charge_unmeasured`.
            let is_seen = weight > 1 && ns / 1_000_000 >= self.clock.seen_from_ms();
            self.charge(slot, frame, ns, if is_seen { 1 } else { weight });
        } else if self.clock.is_past(frame.started_ms.load(Ordering::Relaxed)) {
            self.charge_unmeasured(slot, frame);
        }
        slot.pop();
    }

    #[inline]
    fn charge(&self, slot: &Slot, frame: &Frame, ns: u64, weight: u32) {
        let Ok(site) = u16::try_from(frame.site.load(Ordering::Relaxed)) else { return };
        let stats = slot.stats.of(site);
        let left = stats.measured_left.load(Ordering::Relaxed);
        let left = if ns >= MEASURED_FROM_NS { MEASURED_POLLS } else { left.saturating_sub(1) };
        stats.measured_left.store(left, Ordering::Relaxed);
        let weight = u64::from(weight);
        stats.charge(ns, weight);
        if !slot.is_nested() {
            add(&slot.busy_ns, ns * weight);
        }
        if let Some(entry) = self.entry_of(frame) {
            entry.charge(ns, weight);
            if ns >= 1_000_000 || self.clock.is_past(frame.started_ms.load(Ordering::Relaxed)) {
                entry.stamp(self.clock.now_ms());
            }
        }
    }

    /// A poll that was not measured saw the coarse clock move. If it certainly took longer than a tick it is charged for
    /// itself, in addition to what the measured ones stand for: it is longer than anything that they stand for.
    #[cold]
    fn charge_unmeasured(&self, slot: &Slot, frame: &Frame) {
        let now = self.clock.exact_ms();
        let ms = now.saturating_sub(frame.started_ms.load(Ordering::Relaxed));
        if ms >= self.clock.seen_from_ms() {
            // It started anywhere between two ticks: in the middle, on average.
            self.charge(slot, frame, ms * 1_000_000 - self.clock.seen_from_ms() * 250_000, 1);
        } else if let Some(entry) = self.entry_of(frame) {
            entry.stamp(now);
        }
    }

    fn entry_of(&self, frame: &Frame) -> Option<&entry::Entry> {
        let index = frame.entry.load(Ordering::Relaxed);
        if index == NO_ENTRY {
            return None;
        }
        // `ended` has cleared the frame of a task that is gone; the id says so once more.
        self.pages.entry(Index::from_bits(index)).filter(|entry| entry.is(frame.task.load(Ordering::Relaxed)))
    }

    /// Leaves the slot of a thread that stops to another one.
    pub(crate) fn give_back(&self, slot: &Slot) {
        self.pages.give_back(&slot.reservation);
        slot.give_back();
    }

    /// Copies every live task.
    pub(crate) fn for_each(&self, row: impl FnMut(Row)) {
        self.pages.for_each(row);
    }

    /// What all threads together counted at a site. Each number is monotonic; they need not be of the same instant.
    pub(crate) fn counts(&self, site: u16) -> Counts {
        let mut counts = Counts::default();
        self.slots.iter().filter_map(|slot| slot.stats.met(site)).for_each(|stats| counts.add(stats));
        counts
    }

    /// How long polls and lives were at a site.
    pub(crate) fn distributions(&self, site: u16) -> Distributions {
        let mut distributions = Distributions::default();
        self.slots.iter().filter_map(|slot| slot.stats.met(site)).for_each(|stats| distributions.add(stats));
        distributions
    }

    /// The pages and what they had no room for.
    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// A ticker of the table's clock, to be ticked every 1 to 5 ms.
    pub(crate) fn ticker(&'static self) -> Ticker {
        self.clock.start();
        self.clock.add_ticker();
        Ticker { table: self, ticks: Ticks::new() }
    }
}

/// Whether to measure a poll of a site that is only sampled, and for how many it stands.
#[inline]
fn sample(slot: &Slot) -> u32 {
    let left = slot.countdown.load(Ordering::Relaxed);
    if left > 1 {
        slot.countdown.store(left - 1, Ordering::Relaxed);
        return 0;
    }
    let gap = slot.next_gap();
    slot.countdown.store(gap, Ordering::Relaxed);
    let weight = slot.gap.load(Ordering::Relaxed);
    slot.gap.store(gap, Ordering::Relaxed);
    weight
}

/// Drives the table's coarse clock. While there is one, a hook's look at the time costs a load; without any, about 10 ns.
#[derive(Debug)]
pub struct Ticker {
    table: &'static Table,
    ticks: Ticks,
}

impl Ticker {
    /// Moves the clock on. To be called every 1 to 5 ms: times of tasks (age, last poll, a running poll's start) are as
    /// exact as that. After a pause, times of the pause are those of its beginning.
    pub fn tick(&mut self) {
        self.ticks.tick(&self.table.clock);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.table.clock.remove_ticker();
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("pages", &self.pages.pages())
            .field("sites", &self.sites.len())
            .finish_non_exhaustive()
    }
}
