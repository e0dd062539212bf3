//! A watchdog reads what a thread polls, while the thread polls.

use loom::sync::Arc;
use loom::thread;

use crate::table::entry::Origin;
use crate::table::slot::{Poll, Slot};

fn poll(slot: &Slot, task: u16) {
    let poll = Poll::unmeasured(u64::from(task) * 10, Origin::new(0, task, 0));
    slot.push(|frame| frame.fill(task.into(), poll));
}

#[test]
fn a_watchdog_never_mixes_two_polls() {
    loom::model(|| {
        let slot = Arc::new(Slot::new(0));
        let other = Arc::clone(&slot);
        let watchdog = thread::spawn(move || {
            for running in other.running() {
                assert_eq!(running.started_ms, running.task * 10);
                assert_eq!(running.site.map(u64::from), Some(running.task));
                // The first poll is of task 1, the second of task 2.
                assert_eq!(running.poll, running.task);
            }
        });
        poll(&slot, 1);
        slot.pop();
        poll(&slot, 2);
        slot.pop();
        watchdog.join().unwrap();
        assert!(slot.running().is_empty());
    });
}

#[test]
fn a_watchdog_sees_the_inner_poll_above_the_outer() {
    loom::model(|| {
        let slot = Arc::new(Slot::new(0));
        let other = Arc::clone(&slot);
        let watchdog = thread::spawn(move || {
            let tasks: Vec<u64> = other.running().iter().map(|running| running.task).collect();
            assert!(tasks.is_empty() || tasks == [1] || tasks == [2, 1], "{tasks:?}");
        });
        poll(&slot, 1);
        poll(&slot, 2);
        slot.pop();
        watchdog.join().unwrap();
        assert_eq!(slot.running().len(), 1);
    });
}
