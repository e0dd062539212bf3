//! What readers make of the table: copies of tasks, and sums over all threads. Separate because none of it runs in
//! a service's hooks: it may allocate and look again.

use std::collections::HashSet;

use super::Table;
use super::ends::End;
use super::entry::{Entry, Row};
use super::slot::Slot;
use super::stats::{Counts, Distributions};
use crate::sync::{Ordering, fence, pause};

/// How often a task is read again while threads add tallies to it.
const TRIES: u32 = 32;

/// A copy of a live task that moves, with what the tallies of these slots have of it if it is one that has some. Wrong by
/// one tally if a thread stands still in the midst of emptying that for as long as this waits, or if tallies are added
/// whenever it looks again.
#[cold]
fn read_moving(entry: Entry<'_>, slots: &[&Slot], tallied: &HashSet<u64>) -> Option<Row> {
    let mut tried = 0;
    loop {
        let (mut row, mark) = entry.read()?;
        if !tallied.contains(&row.id) {
            return Some(row);
        }
        for slot in slots {
            let read = || slot.tallies.read(row.id);
            if let Some(tally) = slot.tallies.stable(read).unwrap_or_else(read) {
                row.polls += tally.polls;
                row.last_poll_ms = row.last_poll_ms.max(tally.last_poll_ms);
            }
        }
        fence(Ordering::Acquire);
        if entry.hot.is_still(row.id, mark) || tried == TRIES {
            return Some(row);
        }
        pause(tried);
        tried += 1;
    }
}

impl Table {
    /// Copies every live task.
    pub(crate) fn for_each(&self, mut row: impl FnMut(Row)) {
        // Of what gets a tally later, all polls were in the entry when this call began.
        let slots: Vec<&Slot> = self.slots.iter().filter(|slot| slot.tallies.are_used()).collect();
        let tallied: HashSet<u64> = slots.iter().flat_map(|slot| slot.tallies.ids()).collect();
        self.pages.for_each(|entry| {
            let Some((mut read, mark)) = entry.read() else { return };
            if mark.moves() {
                let Some(whole) = read_moving(entry, &slots, &tallied) else { return };
                read = whole;
            }
            row(read);
        });
    }

    /// The tasks that ended last, in no order, with how often all threads polled them.
    pub(crate) fn ends(&self) -> Vec<End> {
        let ends: Vec<_> = self.slots.iter().flat_map(|slot| slot.ends.iter()).collect();
        ends.into_iter().filter_map(|(end, moved)| if moved { self.whole(end) } else { Some(end) }).collect()
    }

    /// The end of a task that moved, with the polls that other threads have of it; `None` if some may be forgotten.
    fn whole(&self, end: End) -> Option<End> {
        let others =
            self.slots.iter().map(|slot| slot.tallies.read_ended(end.id, end.ended_ms)).sum::<Option<u64>>()?;
        Some(End { polls: end.polls + others, ..end })
    }

    /// What all threads together counted at a site. Each number is monotonic; they need not be of the same instant.
    pub(crate) fn counts(&self, site: u16) -> Counts {
        let mut counts = Counts::default();
        for slot in self.slots.iter() {
            counts.polls += slot.polls_at(site);
            if let Some(stats) = slot.stats.met(site) {
                counts.add(stats);
            }
        }
        counts
    }

    /// What all threads together counted at all sites. What finished is read before what was spawned, so that their
    /// difference counts no task less than there was when the reading began.
    pub(crate) fn all_counts(&self) -> Counts {
        let mut all = Counts::default();
        for site in self.sites.numbers() {
            all.finished += self.counts(site).finished;
        }
        for site in self.sites.numbers() {
            all.spawned += self.counts(site).spawned;
        }
        for slot in self.slots.iter() {
            let totals = slot.totals();
            all.polls += totals.polls;
            all.busy_ns += totals.busy_ns;
        }
        all
    }

    /// How long polls and lives were at a site.
    pub(crate) fn distributions(&self, site: u16) -> Distributions {
        let mut distributions = Distributions::default();
        self.slots.iter().filter_map(|slot| slot.stats.met(site)).for_each(|stats| distributions.add(stats));
        distributions
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashMap;
    use std::panic::Location;
    use std::sync::atomic::{AtomicBool, AtomicU64};
    use std::sync::{Mutex, PoisonError};

    use super::super::Ticker;
    use super::super::sites::Site;
    use super::super::tallies::{PARTS, Tallied};
    use super::*;

    /// A table that three threads poll tasks of, as tokio does: each task in one thread at a time.
    struct Polled {
        table: &'static Table,
        _ticker: Ticker,
        tasks: Vec<Task>,
        polls: AtomicU64,
        stops: AtomicBool,
    }

    struct Task {
        id: u64,
        /// Held by the thread that polls the task; whether it has ended.
        ended: Mutex<bool>,
        polls: AtomicU64,
    }

    impl Polled {
        /// With more tasks than a thread has tallies of.
        fn new(table: &'static Table) -> Self {
            let task = |id| Task { id, ended: Mutex::new(false), polls: AtomicU64::new(0) };
            let tasks = (1..=300).map(task).collect();
            let polled =
                Self { table, _ticker: table.ticker(), tasks, polls: AtomicU64::new(0), stops: AtomicBool::new(false) };
            let slot = polled.table.slots.take(1);
            let site = Site { place: Location::caller(), name: None };
            for task in &polled.tasks {
                polled.table.spawned(slot, task.id, 0, &site, 0);
            }
            polled.table.give_back(slot);
            polled
        }

        /// The task at this place, from the beginning again after the last.
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
        fn task(&self, at: u64) -> &Task {
            &self.tasks[(at % self.tasks.len() as u64) as usize]
        }

        /// Polls tasks that no other thread polls just then, in an order of its own: for a while a few, then others that
        /// have the same tallies.
        fn poll(&self, thread: u32) {
            let slot = self.table.slots.take(thread);
            let mut random = u64::from(thread);
            while !self.stops.load(Ordering::SeqCst) {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let task = self.task(self.sum() / 50_000 % 3 * 128 + (random >> 33) % 9);
                let Ok(ended) = task.ended.try_lock() else { continue };
                if !*ended {
                    if !self.table.simple_poll_starts(slot, task.id) {
                        self.table.any_poll_starts(slot, task.id);
                    }
                    task.polls.fetch_add(1, Ordering::SeqCst);
                    self.polls.fetch_add(1, Ordering::SeqCst);
                    if !self.table.simple_poll_ends(slot) {
                        self.table.any_poll_ends(slot);
                    }
                }
            }
            self.table.give_back(slot);
        }

        /// Ends every third task, each while no thread polls it.
        fn end_some(&self) {
            let slot = self.table.slots.take(9);
            for task in self.tasks.iter().step_by(3) {
                let mut ended = task.ended.lock().unwrap_or_else(PoisonError::into_inner);
                self.table.ended(slot, task.id);
                *ended = true;
            }
            self.table.give_back(slot);
        }

        fn truth(&self) -> HashMap<u64, u64> {
            self.tasks.iter().map(|task| (task.id, task.polls.load(Ordering::SeqCst))).collect()
        }

        fn told(&self) -> HashMap<u64, u64> {
            let mut told = HashMap::new();
            self.table.for_each(|row| told.extend([(row.id, row.polls)]));
            told
        }

        fn sum(&self) -> u64 {
            self.polls.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn polls_of_tasks_that_move_are_exact() {
        static TABLE: Table = Table::new();
        let polled = Polled::new(&TABLE);
        std::thread::scope(|scope| {
            for thread in 1..=3 {
                let polled = &polled;
                scope.spawn(move || polled.poll(thread));
            }
            let assert_exact = || {
                let before = polled.truth();
                let told = polled.told();
                let after = polled.truth();
                for (id, polls) in &told {
                    // A poll is counted before it begins.
                    assert!(
                        (before[id]..=after[id] + 1).contains(polls),
                        "{id}: {polls}, {} to {}",
                        before[id],
                        after[id]
                    );
                }
                told.len()
            };
            // Three threads have nine tallies each for three times nine tasks.
            let begun = || polled.table.slots.iter().map(|slot| slot.tallies.begun()).sum::<u64>();
            while polled.sum() < 200_000 || begun() < 200 {
                assert_eq!(assert_exact(), 300);
            }
            polled.end_some();
            let (ended_at, begun_at) = (polled.sum(), begun());
            while polled.sum() < ended_at + 200_000 || begun() < begun_at + 100 {
                assert_eq!(assert_exact(), 200);
                let truth = polled.truth();
                assert!(polled.table.ends().iter().all(|end| end.polls == truth[&end.id]));
            }
            polled.stops.store(true, Ordering::SeqCst);
        });
        let truth = polled.truth();
        let live = polled.told();
        assert_eq!(live.len(), 200);
        assert!(live.iter().all(|(id, polls)| truth[id] == *polls), "{live:?} {truth:?}");
        assert_eq!(polled.table.all_counts().polls, polled.sum());
    }

    #[test]
    fn ended_tasks_that_moved_are_told_while_no_part_of_them_is_lost() {
        static TABLE: Table = Table::new();
        let polled = Polled::new(&TABLE);
        let [first, second] = [1, 2].map(|thread| polled.table.slots.take(thread));
        let poll = |slot: &Slot, id: u64| {
            polled.table.any_poll_starts(slot, id);
            polled.task(id - 1).polls.fetch_add(1, Ordering::SeqCst);
            polled.table.any_poll_ends(slot);
        };
        // Polls a task in both threads in turns until they have tallied some; if one is interrupted, that takes longer.
        let tally = |id: u64| {
            let tallied = |slot: &&Slot| slot.tallies.read(id).map_or(0, |tallied| tallied.polls);
            while [first, second].iter().any(|slot| tallied(slot) < 10) {
                [first, second].iter().for_each(|slot| poll(slot, id));
            }
        };
        // Each has its polls in the entry and in a tally of either thread.
        let ids = [1, 2, 3];
        for id in ids {
            tally(id);
            polled.table.ended(first, id);
        }
        let told = || {
            let mut told: Vec<_> = polled.table.ends().iter().map(|end| (end.id, end.polls)).collect();
            told.sort_unstable();
            told
        };
        let all = ids.map(|id| (id, polled.truth()[&id]));
        assert_eq!(told(), all);
        // The second thread needs its tallies for other tasks, and leaves parts.
        for id in ids.map(|id| id + 128) {
            tally(id);
            assert_eq!(told(), all);
        }
        assert!(ids.iter().all(|&id| second.tallies.of(id).is_none() && second.tallies.read_ended(id, 1) >= Some(10)));
        // The oldest part is written over: the task that it is of, and all that ended until then, may have lost polls.
        let now = polled.table.clock.now_ms();
        let leave = |id: u64| second.tallies.leave_part(Tallied { id, polls: 1, last_poll_ms: 0 }, now);
        (1_000..1_000 + PARTS as u64 - 3).for_each(leave);
        assert_eq!(told(), all);
        leave(2_000);
        assert_eq!(told(), all[1..]);
        let unknown = |ended_ms| second.tallies.read_ended(3_000, ended_ms);
        assert_eq!([unknown(now), unknown(now + 1)], [None, Some(0)]);
    }

    #[test]
    fn busy_time_of_tasks_that_move_adds_up_to_that_of_their_site() {
        static TABLE: Table = Table::new();
        let polled = Polled::new(&TABLE);
        let slots: Vec<&Slot> = (1..=8).map(|thread| TABLE.slots.take(thread)).collect();
        let poll_all = |times: usize| {
            for slot in slots.iter().cycle().take(times * slots.len()) {
                for id in 1..=100 {
                    TABLE.any_poll_starts(slot, id);
                    TABLE.any_poll_ends(slot);
                }
            }
        };
        let busy_ns = || {
            let (mut tasks, mut moves) = (0, 0);
            TABLE.for_each(|row| tasks += row.busy_ns);
            TABLE.pages.for_each(|entry| moves += u32::from(entry.read().is_some_and(|(_, mark)| mark.moves())));
            (tasks, moves, TABLE.all_counts().busy_ns)
        };
        // A task that is only noted in its entry is charged for no more polls than it had: that is over when it moves.
        poll_all(10);
        let (tasks, moves, site) = busy_ns();
        assert_eq!(moves, 100);
        poll_all(40);
        let (tasks_then, _, site_then) = busy_ns();
        assert!(tasks_then > tasks);
        assert_eq!(tasks_then - tasks, site_then - site);
        drop(polled);
    }
}
