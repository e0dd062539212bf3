//! Spawns, ends, recycling and reading in two or three threads. Pages have two ids here, and there are two of them.

use loom::sync::Arc;
use loom::thread;

use crate::table::entry::Origin;
use crate::table::pages::{Pages, Reservation, Spawned};

fn origin(site: u16) -> Origin {
    Origin::new(7, site, 0)
}

fn live(pages: &Pages) -> Vec<u64> {
    let mut ids = Vec::new();
    pages.for_each(|row| ids.push(row.id));
    ids.sort_unstable();
    ids
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
        let end = thread::spawn(move || other.remove(5).is_some());
        let reservation = Reservation::new();
        let spawned = pages.insert(&reservation, 5, 1, origin(3));
        let removed = end.join().unwrap();
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
            let reservation = Reservation::new();
            assert_eq!(other.insert(&reservation, 4, 0, origin(1)), Spawned::Live);
            other.give_back(&reservation);
        });
        let reservation = Reservation::new();
        assert_eq!(pages.insert(&reservation, 5, 0, origin(2)), Spawned::Live);
        pages.give_back(&reservation);
        one.join().unwrap();
        assert_eq!(live(&pages), [4, 5]);
        assert_eq!(pages.remove(4).map(|(_, origin)| origin.site()), Some(1));
        assert_eq!(pages.remove(5).map(|(_, origin)| origin.site()), Some(2));
        assert!(live(&pages).is_empty());
    });
}

#[test]
fn a_page_is_recycled_by_whoever_empties_it_and_used_again() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let reservation = Reservation::new();
        assert_eq!(pages.insert(&reservation, 4, 0, origin(1)), Spawned::Live);
        assert_eq!(pages.insert(&reservation, 5, 0, origin(1)), Spawned::Live);
        let other = Arc::clone(&pages);
        let end = thread::spawn(move || other.remove(4).is_some());
        assert!(pages.remove(5).is_some());
        // Both pages that there are, whether the first is already free or not.
        assert_eq!(pages.insert(&reservation, 6, 0, origin(2)), Spawned::Live);
        assert!(end.join().unwrap());
        pages.give_back(&reservation);
        assert_eq!(pages.insert(&reservation, 8, 0, origin(2)), Spawned::Live);
        assert_eq!(live(&pages), [6, 8]);
        assert_eq!(pages.pages(), 2);
    });
}

#[test]
fn ends_in_two_threads_and_a_spawn_leave_the_free_list_whole() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let reservation = Reservation::new();
        assert_eq!(pages.insert(&reservation, 2, 0, origin(1)), Spawned::Live);
        assert_eq!(pages.insert(&reservation, 4, 0, origin(1)), Spawned::Live);
        pages.give_back(&reservation);
        let ends: Vec<_> = [2, 4]
            .into_iter()
            .map(|id| {
                let pages = Arc::clone(&pages);
                thread::spawn(move || pages.remove(id).is_some())
            })
            .collect();
        let spawned = pages.insert(&reservation, 6, 0, origin(2));
        for end in ends {
            assert!(end.join().unwrap());
        }
        // While both pages are still taken there is no room.
        assert_eq!(live(&pages), if spawned == Spawned::Live { vec![6] } else { vec![] });
        pages.give_back(&reservation);
        let _ = pages.remove(6);
        // Both pages are free: two tasks of different pages fit.
        assert_eq!(pages.insert(&reservation, 8, 0, origin(3)), Spawned::Live);
        assert_eq!(pages.insert(&reservation, 10, 0, origin(3)), Spawned::Live);
        assert_eq!(live(&pages), [8, 10]);
    });
}

#[test]
fn a_reader_never_mixes_two_tasks_of_one_entry() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let reservation = Reservation::new();
        // Both pages are taken, so the next task gets the page, and the entry, of the one that ends.
        assert_eq!(pages.insert(&reservation, 2, 20, origin(2)), Spawned::Live);
        assert_eq!(pages.insert(&reservation, 4, 40, origin(4)), Spawned::Live);
        pages.give_back(&reservation);
        let other = Arc::clone(&pages);
        let reader = thread::spawn(move || {
            other.for_each(|row| {
                assert_eq!(row.parent, row.id * 10);
                assert_eq!(u64::from(row.origin.site()), row.id);
                assert!(row.polls <= 1);
            });
        });
        assert!(pages.remove(2).is_some());
        assert_eq!(pages.insert(&reservation, 6, 60, origin(6)), Spawned::Live);
        if let Some((_, entry)) = pages.find(6) {
            entry.count_poll(9);
        }
        reader.join().unwrap();
        assert_eq!(live(&pages), [4, 6]);
    });
}

#[test]
fn a_search_finds_its_task_whatever_happens_to_its_page() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let reservation = Reservation::new();
        assert_eq!(pages.insert(&reservation, 4, 0, origin(1)), Spawned::Live);
        assert_eq!(pages.insert(&reservation, 5, 0, origin(2)), Spawned::Live);
        pages.give_back(&reservation);
        let other = Arc::clone(&pages);
        let poller = thread::spawn(move || {
            let (index, entry) = other.find(5).expect("it is live");
            entry.count_poll(1);
            assert!(other.entry(index).is_some_and(|entry| entry.is(5)));
            // What a hook past the end sees: the address stays good, the id does not.
            assert!(other.remove(5).is_some());
            assert!(!other.entry(index).is_some_and(|entry| entry.is(5)));
        });
        assert!(pages.remove(4).is_some());
        assert_eq!(pages.insert(&reservation, 6, 0, origin(3)), Spawned::Live);
        poller.join().unwrap();
        assert_eq!(live(&pages), [6]);
    });
}

#[test]
fn a_page_that_is_being_emptied_is_not_joined() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let reservation = Reservation::new();
        assert_eq!(pages.insert(&reservation, 4, 0, origin(1)), Spawned::Live);
        pages.give_back(&reservation);
        let other = Arc::clone(&pages);
        let end = thread::spawn(move || other.remove(4).is_some());
        assert_eq!(pages.insert(&reservation, 5, 0, origin(2)), Spawned::Live);
        assert!(end.join().unwrap());
        assert_eq!(pages.insert(&reservation, 8, 0, origin(3)), Spawned::Live);
        assert_eq!(live(&pages), [5, 8]);
        assert!(pages.remove(5).is_some());
        assert!(pages.remove(8).is_some());
    });
}

#[test]
fn a_page_that_leaves_and_reenters_the_free_list_is_given_once() {
    model(|| {
        let pages = Arc::new(Pages::new());
        let reservation = Reservation::new();
        for id in [2, 4] {
            assert_eq!(pages.insert(&reservation, id, 0, origin(1)), Spawned::Live);
        }
        pages.give_back(&reservation);
        assert!(pages.remove(2).is_some());
        assert!(pages.remove(4).is_some());
        // Two pages are free. One thread takes both and gives back the first, while the other takes one.
        let other = Arc::clone(&pages);
        let taker = thread::spawn(move || {
            let reservation = Reservation::new();
            let both = [6, 8].map(|id| other.insert(&reservation, id, 0, origin(2)) == Spawned::Live);
            other.give_back(&reservation);
            if both[0] {
                assert!(other.remove(6).is_some());
            }
            both[1]
        });
        let is_live = pages.insert(&reservation, 10, 0, origin(3)) == Spawned::Live;
        let is_other_live = taker.join().unwrap();
        pages.give_back(&reservation);
        let expected: Vec<u64> =
            [(8, is_other_live), (10, is_live)].iter().filter(|(_, is)| *is).map(|(id, _)| *id).collect();
        assert_eq!(live(&pages), expected);
        // Whoever is live has a page alone, so there is room for as many as there are pages without one.
        let more = [12, 14].map(|id| pages.insert(&reservation, id, 0, origin(4)) == Spawned::Live);
        let room = more.iter().filter(|is_live| **is_live).count();
        assert_eq!(expected.len() + room, 2);
        for id in expected {
            assert!(pages.remove(id).is_some());
        }
    });
}
