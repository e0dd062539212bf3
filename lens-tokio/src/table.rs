//! Every live task and what it costs, written by tokio's task hooks. Separate from the skill because these are the lines
//! that run in the service's threads, on every spawn and every poll: no lock, no wait, no panic, no allocation but for
//! growth, constant time.
//!
//! # What is where
//!
//! - [`pages`]: an [`entry`] of 56 bytes for every live task, found by the task's id.
//! - [`slot`]: one for every thread that runs hooks: which task it polls, and its own counters.
//! - [`stats`]: a thread's counters of a spawn [site](sites).
//! - [`tallies`]: a thread's counts of tasks that other threads poll, too.
//! - [`ends`]: the tasks that ended last in a thread.
//! - [`clock`]: a coarse clock, and the processor's counter.
//! - [`read`]: what readers make of all that.
//!
//! # Who writes what
//!
//! Only the hooks of a task's polls write its entry, but for tallies, of which more below. tokio polls a task in one thread
//! at a time, orders one poll after the other, and ends a task in the thread that polls it or while nobody does. So what
//! the hook before a poll writes has one writer at a time. There are two exceptions. tokio calls the hook after a poll when
//! another thread may poll the task already: it writes other words than the one before a poll. Two of it at once, because
//! a thread was interrupted within it for as long as a whole further poll took, may lose one of the two lengths, and one
//! that is interrupted for as long as the task's end and its entry's next occupant take charges that one. And a runtime
//! that shuts down may end a task while a thread is about to poll it: a hook before that poll, interrupted for as long,
//! writes to the next occupant's entry.
//!
//! Only a slot's thread writes the slot and its counters. So all counters are plain loads and stores of relaxed atomics.
//! Readers sum them up: each is monotonic, and two of them need not be of the same instant.
//!
//! # Why no poll of a task that moves is lost or told twice
//!
//! The entry of a task that several threads poll is marked, by the hook before a poll and so before any thread has a tally
//! of the task; its polls are changed by locked instructions alone from then on. A thread's tally is its own. When it gives
//! it up, it first makes its version odd, then adds the polls to the entry, then takes the tally away and makes the version
//! even. A page that it joined meanwhile cannot be recycled, so the entry is the task's or nobody's. The end of a task puts
//! a word there that no polls make (exchange); so an addition was either before it and is in what the exchange gives, or
//! fails (compare and exchange), and its polls are left as a part beside the tallies, in the same odd version. A part that
//! is written over is remembered by when it was left, and ends from before that are not told of. Therefore the end's time
//! is read before the exchange: whoever leaves a part reads the clock later.
//!
//! A reader of a live task reads its entry with the mark, which counts additions; then all tallies, each within one even
//! version; then the mark and the id again. If these changed it begins anew, some times. To see polls in both places, it must have read
//! the entry after the addition, and so a version that was odd by then; to see them in none, it must have read a version
//! from after the addition, and so a mark that has changed. The count has seven bits: 128 additions to one task in that time
//! would go unseen. A reader of ended tasks reads a thread's tally and part within one even version: the polls are in one
//! of them.
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
//! A page's state counts its live tasks and the places that threads hold in it: those that they have reserved, and those
//! of ended tasks that they have yet to give back. A place is reserved by adding to a state that has the right number and
//! is not 0 (compare and exchange), or by opening a page that nobody knows yet. A spawn takes a place that its thread has
//! reserved and an end leaves its place to its thread, so both only store. Places are given back by subtracting (acquire
//! and release); who brings the state to 0 owns the page alone, takes it out of the directory and puts it on the free
//! list, whose head has a tag against a page that comes back between a look and an exchange. A thread that still has the
//! page's address finds an entry without its id, which is as good as no page: pages stay allocated.
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
pub(crate) mod ends;
pub(crate) mod entry;
pub(crate) mod freed;
pub(crate) mod pages;
mod read;
pub(crate) mod sites;
pub(crate) mod slot;
pub(crate) mod stats;
pub(crate) mod tallies;

use crate::sync::{Ordering, add, const_fn};

use clock::{Clock, Ticks};
use ends::End;
use entry::{Entry, Hot, Last, Origin};
use pages::{Pages, Spawned};
use sites::{Site, Sites};
use slot::{Poll, Slot, Slots};
use tallies::{Tallied, Tallies, Tally};

/// A poll at least this long makes the next [`MEASURED_POLLS`] polls of its task measured, each of them, and those of the
/// tasks that are spawned at its site. Below it, reading the clock twice would be felt: one poll of 64 to 191 is measured
/// and stands for the others.
pub(crate) const MEASURED_FROM_NS: u64 = 500;
/// A poll is charged for itself, measured or not, if the coarse clock alone tells that it certainly took this long.
const SEEN_FROM_MS: u64 = 5;
/// How many polls in a row must be shorter, until a task or a site is only sampled.
pub(crate) const MEASURED_POLLS: u8 = 32;

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
        let site = slot.recent.number(&self.sites, site);
        let origin = Origin::new(self.clock.now_ms(), site, builder);
        let measured = if self.sites.has_long_polls(site) { MEASURED_POLLS } else { 0 };
        match self.pages.insert(&slot.places, id, parent, origin, measured) {
            Spawned::Untracked => return,
            Spawned::Live => {}
            Spawned::Ended => {
                let last = Last { origin, polls: 0, moves: false };
                Self::count_end(slot, id, last, self.clock.now_ms());
            }
        }
        add(&slot.stats.of(site).spawned, 1);
    }

    /// A task ended, or something else that has an id.
    #[inline]
    pub(crate) fn ended(&self, slot: &Slot, id: u64) {
        // Before anybody can find that it has ended, and leave a part of its polls.
        let now = self.clock.now_ms();
        match self.pages.remove(&slot.places, id) {
            Some(mut last) => {
                slot.last_ended.store(id, Ordering::Relaxed);
                if last.moves {
                    slot.tallies.end(id, |tallied, _| last.polls += tallied.polls);
                }
                Self::count_end(slot, id, last, now);
            }
            None => add(&slot.unknown_ends, 1),
        }
    }

    #[inline]
    fn count_end(slot: &Slot, id: u64, last: Last, ended_ms: u64) {
        let origin = last.origin;
        slot.stats.of(origin.site()).finish(ended_ms.saturating_sub(origin.spawned_ms()));
        slot.ends.push(End { id, origin, ended_ms, polls: last.polls }, last.moves);
    }

    /// Starts a poll that is not measured, inside of no other, of a task that is where nearly all are. Anything else is
    /// left undone, for [`any_poll_starts`](Self::any_poll_starts).
    #[inline(always)]
    pub(crate) fn simple_poll_starts(&self, slot: &Slot, id: u64) -> bool {
        let now = self.clock.ticked_ms();
        if now == 0 || !slot.is_simple() {
            return false;
        }
        if let Some(tally) = slot.tallies.of(id) {
            return self.tallied_poll_starts(slot, id, tally, now);
        }
        let Some(task) = self.pages.find_first(id) else { return false };
        if !task.count_simple_poll(now, slot.tag) {
            return false;
        }
        slot.push_first(id, Poll::unmeasured(now, task.origin()));
        true
    }

    /// The same, of a task that this thread has a tally of. Whether the poll is to be measured in any case, its entry says:
    /// that need only be asked while polls at its site are long.
    #[inline(always)]
    fn tallied_poll_starts(&self, slot: &Slot, id: u64, tally: &Tally, now: u64) -> bool {
        let origin = tally.origin();
        if self.sites.has_long_polls(origin.site()) {
            return false;
        }
        tally.count(now);
        slot.push_first(id, Poll::unmeasured(now, origin));
        true
    }

    /// A poll starts.
    pub(crate) fn any_poll_starts(&self, slot: &Slot, id: u64) {
        let now = self.clock.now_ms();
        let sampled = slot.sample();
        let found = self.pages.find_first(id).or_else(|| self.pages.find(id).map(|entry| entry.hot));
        let poll = match found {
            Some(task) => {
                let origin = task.origin();
                Poll::measured(now, origin, self.count_poll(slot, id, task, now).unwrap_or(sampled))
            }
            None => Poll::untracked(now),
        };
        slot.push(|frame| {
            frame.fill(id, poll);
            if poll.weight() > 0 {
                frame.counter.store(self.clock.counter(), Ordering::Relaxed);
            }
        });
    }

    /// Counts a poll, in this thread's tally of the task or in the task's entry; gives for how many polls it stands if that
    /// does not depend on whether it is sampled.
    fn count_poll(&self, slot: &Slot, id: u64, task: &Hot, now: u64) -> Option<u8> {
        let is_measured = task.is_measured();
        match slot.tallies.of(id) {
            Some(tally) if !is_measured => {
                tally.count(now);
                return None;
            }
            Some(_) => {
                // Until now its polls were only sampled here, and this one may stand for them.
                slot.tallies.end(id, |tallied, tallies| self.keep(tallied, tallies));
                task.count_poll(now, slot.tag, false);
                return None;
            }
            None => {}
        }
        let begins = !is_measured && task.may_move(slot.tag) && slot.tallies.has_room(id);
        task.count_poll(now, slot.tag, begins);
        if begins {
            slot.tallies.begin(id, task.origin(), |tallied, tallies| self.keep(tallied, tallies));
        }
        is_measured.then_some(1)
    }

    /// Keeps the polls of a task that a tally had, which ends.
    fn keep(&self, tallied: Tallied, tallies: &Tallies) {
        if !self.pages.add_tally(tallied.id, tallied.polls, tallied.last_poll_ms) {
            tallies.leave_part(tallied, self.clock.now_ms());
        }
    }

    /// Ends the poll that started last in this thread, if all that is left to do is to say so.
    #[inline(always)]
    pub(crate) fn simple_poll_ends(&self, slot: &Slot) -> bool {
        slot.pop_simple(self.clock.ticked_ms())
    }

    /// The poll that started last in this thread ends.
    pub(crate) fn any_poll_ends(&self, slot: &Slot) {
        if let Some(frame) = slot.top() {
            let poll = frame.poll();
            if poll.weight() > 0 {
                let ns = self.clock.between(frame.counter.load(Ordering::Relaxed), self.clock.counter());
                self.charge_measured(slot, frame.task(), poll, ns);
            } else if self.clock.is_past(poll.started_ms()) {
                self.charge_unmeasured(slot, frame.task(), poll);
            }
        }
        slot.pop();
    }

    fn charge_measured(&self, slot: &Slot, task: u64, poll: Poll, ns: u64) {
        // What the coarse clock alone tells, is charged for each such poll: see `charge_unmeasured`.
        let is_seen = poll.weight() > 1
            && self.clock.is_past(poll.started_ms())
            && self.clock.certain_ns(poll.started_ms(), self.clock.exact_ms(), SEEN_FROM_MS).is_some();
        self.charge(slot, task, poll, ns, if is_seen { 1 } else { poll.weight() });
    }

    fn charge(&self, slot: &Slot, task: u64, poll: Poll, ns: u64, weight: u64) {
        let Some(site) = poll.site() else { return };
        let stats = slot.stats.of(site);
        stats.charge(ns, weight);
        if !slot.is_nested() {
            add(&slot.busy_ns, ns * weight);
        }
        let is_long = ns >= MEASURED_FROM_NS;
        if is_long {
            self.sites.set_has_long_polls(site, true);
        }
        if stats.note_length(is_long) >= MEASURED_POLLS.into() {
            self.sites.set_has_long_polls(site, false);
        }
        // A task that ended in this poll is nowhere: no other one ever has its id.
        if slot.last_ended.load(Ordering::Relaxed) == task {
            return;
        }
        let Some(entry) = self.pages.find(task) else { return };
        entry.charge(ns, weight, is_long, MEASURED_POLLS);
        if ns >= 1_000_000 || self.clock.is_past(poll.started_ms()) {
            entry.hot.lasted_until(self.clock.now_ms());
        }
    }

    /// Charges what the innermost poll of this thread allocated and freed. Allocates nothing: without room for it nothing
    /// is charged, and the answer is `false`.
    #[inline(never)]
    pub(crate) fn charge_bytes(&self, slot: &Slot, allocated: u64, freed: u64) -> bool {
        let Some((site, entry)) = self.polled(slot) else { return true };
        let Some(stats) = slot.stats.met(site) else { return false };
        if entry.is_some_and(|entry| !entry.charge_bytes(allocated, freed)) {
            return false;
        }
        stats.charge_bytes(allocated, freed);
        true
    }

    /// Makes room for the bytes of the innermost poll of this thread.
    pub(crate) fn make_room_for_bytes(&self, slot: &Slot) {
        let Some((site, entry)) = self.polled(slot) else { return };
        slot.stats.of(site);
        if let Some(entry) = entry {
            entry.freed.make_room();
        }
    }

    /// The site and the entry of the task that the innermost poll of this thread is of. A task that ended in this poll is
    /// nowhere.
    #[inline]
    fn polled(&self, slot: &Slot) -> Option<(u16, Option<Entry<'_>>)> {
        let frame = slot.top()?;
        let (site, task) = (frame.poll().site()?, frame.task());
        let has_ended = slot.last_ended.load(Ordering::Relaxed) == task;
        Some((site, if has_ended { None } else { self.pages.find(task) }))
    }

    /// A poll that was not measured saw the coarse clock move. If it certainly took long it is charged for itself, and no
    /// measured one stands for such: see `charge_measured`.
    #[cold]
    fn charge_unmeasured(&self, slot: &Slot, task: u64, poll: Poll) {
        let now = self.clock.exact_ms();
        if let Some(ns) = self.clock.certain_ns(poll.started_ms(), now, SEEN_FROM_MS) {
            self.charge(slot, task, poll, ns, 1);
        } else if let Some(entry) = self.pages.find(task) {
            entry.hot.lasted_until(now);
        }
    }

    /// Leaves the slot of a thread that stops to another one.
    pub(crate) fn give_back(&self, slot: &Slot) {
        self.pages.give_back(&slot.places);
        slot.give_back();
    }

    /// The pages and what they had no room for.
    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// A ticker of the table's clock, to be ticked every 1 to 10 ms.
    pub(crate) fn ticker(&'static self) -> Ticker {
        self.clock.start();
        self.clock.add_ticker();
        let mut ticker = Ticker { table: self, ticks: Ticks::new() };
        ticker.tick();
        ticker
    }
}

/// Drives the table's coarse clock. While there is one, a hook's look at the time costs a load; without any, about 10 ns.
#[derive(Debug)]
pub struct Ticker {
    table: &'static Table,
    ticks: Ticks,
}

impl Ticker {
    /// Moves the clock on. To be called every 1 to 10 ms: times of tasks (age, last poll) are as exact as that. After a
    /// pause, times of the pause are those of its beginning, but a running poll's start is taken for that of its end.
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
