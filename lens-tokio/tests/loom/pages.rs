//! Spawns, ends, recycling and reading in two or three threads. Pages have two ids here, and there are two of them.

use loom::sync::Arc;
use loom::thread;

use crate::table::entry::{Entry, Origin, Tag};
use crate::table::pages::{Pages, Places, Spawned};

const TAG: fn() -> Tag = || Tag::of_slot(0);

fn origin(site: u16) -> Origin {
    Origin::new(7, site, 0)
}

fn live(pages: &Pages) -> Vec<u64> {
    let mut ids = Vec::new();
    pages.for_each(|entry| ids.extend(entry.read().map(|(row, _)| row.id)));
    ids.sort_unstable();
    ids
}

/// Ends a task in a thread that then has no more to do.
fn end(pages: &Pages, id: u64) -> bool {
    let places = Places::new();
    let is_known = pages.remove(&places, id).is_some();
    pages.give_back(&places);
    is_known
}

/// Explores everything that two threads can do, or three with this many forced changes of thread.
fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(5));
    builder.check(body);
}

#[test]
fn an_end_before_its_spawn_leaves_no_task() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let other = Arc::clone(&pages);
        let ender = thread::spawn(move || end(&other, 5));
        let places = Places::new();
        let spawned = pages.insert(&places, 5, 1, origin(3), 0);
        let removed = ender.join().unwrap();
        assert!(live(&pages).is_empty());
        // One of the two took it out, never both.
        assert_eq!(spawned == Spawned::Live, removed, "{spawned:?}");
        assert_eq!(pages.untracked(), 0);
    });
}

#[test]
fn a_page_that_two_threads_open_at_once_keeps_both_tasks() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let other = Arc::clone(&pages);
        let one = thread::spawn(move || {
            let places = Places::new();
            assert_eq!(other.insert(&places, 4, 0, origin(1), 0), Spawned::Live);
            other.give_back(&places);
        });
        let places = Places::new();
        assert_eq!(pages.insert(&places, 5, 0, origin(2), 0), Spawned::Live);
        pages.give_back(&places);
        one.join().unwrap();
        assert_eq!(live(&pages), [4, 5]);
        assert_eq!(pages.remove(&places, 4).map(|last| last.origin.site()), Some(1));
        assert_eq!(pages.remove(&places, 5).map(|last| last.origin.site()), Some(2));
        assert!(live(&pages).is_empty());
    });
}

#[test]
fn a_page_is_recycled_by_whoever_empties_it_and_used_again() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let places = Places::new();
        assert_eq!(pages.insert(&places, 4, 0, origin(1), 0), Spawned::Live);
        assert_eq!(pages.insert(&places, 5, 0, origin(1), 0), Spawned::Live);
        let other = Arc::clone(&pages);
        let ender = thread::spawn(move || end(&other, 4));
        assert!(end(&pages, 5));
        // Both pages that there are, whether the first is already free or not.
        assert_eq!(pages.insert(&places, 6, 0, origin(2), 0), Spawned::Live);
        assert!(ender.join().unwrap());
        pages.give_back(&places);
        assert_eq!(pages.insert(&places, 8, 0, origin(2), 0), Spawned::Live);
        assert_eq!(live(&pages), [6, 8]);
        assert_eq!(pages.pages(), 2);
    });
}

#[test]
fn ends_in_two_threads_and_a_spawn_leave_the_free_list_whole() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let places = Places::new();
        assert_eq!(pages.insert(&places, 2, 0, origin(1), 0), Spawned::Live);
        assert_eq!(pages.insert(&places, 4, 0, origin(1), 0), Spawned::Live);
        pages.give_back(&places);
        let ends: Vec<_> = [2, 4]
            .into_iter()
            .map(|id| {
                let pages = Arc::clone(&pages);
                thread::spawn(move || end(&pages, id))
            })
            .collect();
        let spawned = pages.insert(&places, 6, 0, origin(2), 0);
        for ender in ends {
            assert!(ender.join().unwrap());
        }
        // While both pages are still taken there is no room.
        assert_eq!(live(&pages), if spawned == Spawned::Live { vec![6] } else { vec![] });
        pages.give_back(&places);
        let _ = end(&pages, 6);
        // Both pages are free: two tasks of different pages fit.
        assert_eq!(pages.insert(&places, 8, 0, origin(3), 0), Spawned::Live);
        assert_eq!(pages.insert(&places, 10, 0, origin(3), 0), Spawned::Live);
        assert_eq!(live(&pages), [8, 10]);
    });
}

#[test]
fn a_reader_never_mixes_two_tasks_of_one_entry() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let places = Places::new();
        // Both pages are taken, so the next task gets the page, and the entry, of the one that ends.
        assert_eq!(pages.insert(&places, 2, 20, origin(2), 0), Spawned::Live);
        assert_eq!(pages.insert(&places, 4, 40, origin(4), 0), Spawned::Live);
        pages.give_back(&places);
        let other = Arc::clone(&pages);
        let reader = thread::spawn(move || {
            other.for_each(|entry| {
                let Some((row, _)) = entry.read() else { return };
                assert_eq!(row.parent, row.id * 10);
                assert_eq!(u64::from(row.origin.site()), row.id);
                assert!(row.polls <= 1);
            });
        });
        assert!(end(&pages, 2));
        assert_eq!(pages.insert(&places, 6, 60, origin(6), 0), Spawned::Live);
        if let Some(entry) = pages.find(6) {
            entry.hot.count_poll(9, TAG(), false);
        }
        reader.join().unwrap();
        assert_eq!(live(&pages), [4, 6]);
    });
}

#[test]
fn a_hook_after_a_poll_takes_nothing_from_the_next_poll() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let places = Places::new();
        assert_eq!(pages.insert(&places, 5, 0, origin(1), 0), Spawned::Live);
        pages.find(5).expect("it is live").hot.count_poll(1, TAG(), false);
        let other = Arc::clone(&pages);
        let after = thread::spawn(move || {
            let entry = other.find(5).expect("it is live");
            entry.charge(1_000, 1, true, 3);
            entry.hot.lasted_until(2);
        });
        pages.find(5).expect("it is live").hot.count_poll(2, TAG(), false);
        after.join().unwrap();
        let (row, _) = pages.find(5).and_then(Entry::read).expect("it is live");
        assert_eq!((row.polls, row.busy_ns, row.last_poll_ms), (2, 1_000, 2));
        assert!((row.longest_ns - 1_000.0).abs() < 1.0);
    });
}

#[test]
fn a_search_finds_its_task_whatever_happens_to_its_page() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let places = Places::new();
        assert_eq!(pages.insert(&places, 4, 0, origin(1), 0), Spawned::Live);
        assert_eq!(pages.insert(&places, 5, 0, origin(2), 0), Spawned::Live);
        pages.give_back(&places);
        let other = Arc::clone(&pages);
        let poller = thread::spawn(move || {
            let entry = other.find(5).expect("it is live");
            entry.hot.count_poll(1, TAG(), false);
            assert!(entry.hot.is(5));
            // What a hook past the end sees: the address stays good, the id does not.
            assert!(end(&other, 5));
            assert!(!entry.hot.is(5));
            assert!(other.find(5).is_none());
        });
        assert!(end(&pages, 4));
        assert_eq!(pages.insert(&places, 6, 0, origin(3), 0), Spawned::Live);
        poller.join().unwrap();
        assert_eq!(live(&pages), [6]);
    });
}

#[test]
fn a_page_that_is_being_emptied_is_not_joined() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let places = Places::new();
        assert_eq!(pages.insert(&places, 4, 0, origin(1), 0), Spawned::Live);
        pages.give_back(&places);
        let other = Arc::clone(&pages);
        let ender = thread::spawn(move || end(&other, 4));
        assert_eq!(pages.insert(&places, 5, 0, origin(2), 0), Spawned::Live);
        assert!(ender.join().unwrap());
        assert_eq!(pages.insert(&places, 8, 0, origin(3), 0), Spawned::Live);
        assert_eq!(live(&pages), [5, 8]);
        assert!(end(&pages, 5));
        assert!(end(&pages, 8));
    });
}

#[test]
fn a_page_that_leaves_and_reenters_the_free_list_is_given_once() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let places = Places::new();
        for id in [2, 4] {
            assert_eq!(pages.insert(&places, id, 0, origin(1), 0), Spawned::Live);
        }
        pages.give_back(&places);
        assert!(end(&pages, 2));
        assert!(end(&pages, 4));
        // Two pages are free. One thread takes both and gives back the first, while the other takes one.
        let other = Arc::clone(&pages);
        let taker = thread::spawn(move || {
            let places = Places::new();
            let both = [6, 8].map(|id| other.insert(&places, id, 0, origin(2), 0) == Spawned::Live);
            other.give_back(&places);
            if both[0] {
                assert!(end(&other, 6));
            }
            both[1]
        });
        let is_live = pages.insert(&places, 10, 0, origin(3), 0) == Spawned::Live;
        let is_other_live = taker.join().unwrap();
        pages.give_back(&places);
        let expected: Vec<u64> =
            [(8, is_other_live), (10, is_live)].iter().filter(|(_, is)| *is).map(|(id, _)| *id).collect();
        assert_eq!(live(&pages), expected);
        // Whoever is live has a page alone, so there is room for as many as there are pages without one.
        let more = [12, 14].map(|id| pages.insert(&places, id, 0, origin(4), 0) == Spawned::Live);
        let room = more.iter().filter(|is_live| **is_live).count();
        assert_eq!(expected.len() + room, 2);
        for id in expected {
            assert!(end(&pages, id));
        }
    });
}
