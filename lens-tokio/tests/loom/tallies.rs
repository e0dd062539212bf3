//! A task that two threads poll in turns, each of which has a tally of it, and loses that to another task. A thread has one
//! tally here, and every task that was polled twice may have one.

use std::panic::Location;

use loom::sync::Arc;
use loom::thread;

use crate::table::Table;
use crate::table::sites::Site;
use crate::table::slot::Slot;

const TASK: u64 = 4;
const OTHER: u64 = 5;
const FIRST: u32 = 1;
const SECOND: u32 = 2;

fn spawn(table: &Table, slot: &Slot, id: u64) {
    table.spawned(slot, id, 0, &Site { place: Location::caller(), name: None }, 0);
}

fn poll(table: &Table, slot: &Slot, id: u64) {
    table.any_poll_starts(slot, id);
    table.any_poll_ends(slot);
}

/// A table with two slots, in which both threads have a tally of one of the task's five polls. The second gives its tally to
/// the other task, or to a third, when it polls that.
fn moving() -> Arc<Table> {
    let table = Arc::new(Table::new());
    let [first, second] = [FIRST, SECOND].map(|thread| table.slots.take(thread));
    for task in [TASK, OTHER] {
        spawn(&table, first, task);
        poll(&table, first, task);
    }
    for _ in 0..2 {
        poll(&table, second, TASK);
        poll(&table, first, TASK);
    }
    want(&table, OTHER);
    Arc::clone(&table)
}

/// Both threads want their tally for a task, in which it is in turns.
fn want(table: &Table, id: u64) {
    poll(table, slot(table, SECOND), id);
    poll(table, slot(table, FIRST), id);
}

/// The slot of a thread.
fn slot(table: &Table, thread: u32) -> &Slot {
    table.slots.iter().find(|slot| slot.thread().os_id() == Some(thread)).expect("it was taken")
}

fn polls(table: &Table, id: u64) -> Option<u64> {
    let mut polls = None;
    table.for_each(|row| {
        if row.id == id {
            polls = Some(row.polls);
        }
    });
    polls
}

fn ended(table: &Table, id: u64) -> Option<u64> {
    table.ends().iter().find(|end| end.id == id).map(|end| end.polls)
}

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.max_branches = 10_000;
    builder.check(body);
}

#[test]
fn a_reader_counts_each_poll_once_while_a_tally_is_emptied() {
    model(|| {
        let table = moving();
        let other = Arc::clone(&table);
        let mover = thread::spawn(move || poll(&other, slot(&other, SECOND), OTHER));
        assert_eq!(polls(&table, TASK), Some(5));
        poll(&table, slot(&table, FIRST), TASK);
        mover.join().unwrap();
        assert_eq!((polls(&table, TASK), polls(&table, OTHER)), (Some(6), Some(4)));
    });
}

#[test]
fn a_reader_counts_each_poll_once_while_the_task_is_polled_and_two_tallies_are_emptied() {
    model(|| {
        let table = moving();
        let other = Arc::clone(&table);
        let mover = thread::spawn(move || {
            // The task that moves to the second thread's tally, and back.
            poll(&other, slot(&other, SECOND), OTHER);
            poll(&other, slot(&other, SECOND), TASK);
        });
        let read = polls(&table, TASK).unwrap();
        assert!((5..=6).contains(&read), "{read}");
        mover.join().unwrap();
        assert_eq!((polls(&table, TASK), polls(&table, OTHER)), (Some(6), Some(4)));
    });
}

#[test]
fn an_end_has_the_polls_of_a_tally_that_is_emptied_meanwhile() {
    model(|| {
        let table = moving();
        let other = Arc::clone(&table);
        let mover = thread::spawn(move || poll(&other, slot(&other, SECOND), OTHER));
        table.ended(slot(&table, FIRST), TASK);
        assert_eq!(ended(&table, TASK), Some(5));
        mover.join().unwrap();
        assert_eq!((ended(&table, TASK), polls(&table, TASK), polls(&table, OTHER)), (Some(5), None, Some(4)));
    });
}

#[test]
fn a_tally_is_never_added_to_the_next_task_of_an_entry() {
    model(|| {
        let table = moving();
        let first = slot(&table, FIRST);
        // Both pages are taken, so the next task gets the page, and the entry, of the one that ends.
        spawn(&table, first, 6);
        poll(&table, first, 6);
        want(&table, 6);
        table.ended(first, OTHER);
        let other = Arc::clone(&table);
        let mover = thread::spawn(move || poll(&other, slot(&other, SECOND), 6));
        table.ended(first, TASK);
        // There is room for one end, and a page that is pinned is not free yet.
        assert_eq!(ended(&table, TASK), Some(5));
        table.give_back(first);
        spawn(&table, first, 8);
        mover.join().unwrap();
        assert!(polls(&table, 8).is_none_or(|polls| polls == 0));
        assert_eq!(polls(&table, 6), Some(4));
    });
}
