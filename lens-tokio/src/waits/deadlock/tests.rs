//! Deadlocks in hand-made states, and what looks like one.

use super::*;
use crate::waits::state::{Hold, Kind, Mode, Operation, Resource, Wait};

/// Builds a state, resource by resource.
#[derive(Default)]
struct Made(State);

impl Made {
    fn resource(mut self, number: u64, kind: Kind, permits: u64, holds: &[(u64, Mode, u64)]) -> Self {
        self.0.resources.push(Resource {
            number,
            kind,
            place: None,
            creator: None,
            permits: Some(permits),
            is_known: true,
            foreign_total: 0,
            holds: holds
                .iter()
                .map(|&(party, mode, count)| Hold {
                    party,
                    mode,
                    count,
                    held_ms: 1.0,
                    may_move: false,
                    is_confirmed: true,
                })
                .collect(),
            receiver: None,
        });
        self
    }

    fn mutex(self, number: u64, holder: u64) -> Self {
        self.resource(number, Kind::Mutex, 1, &[(holder, Mode::Exclusive, 1)])
    }

    fn last(mut self, change: impl FnOnce(&mut Resource)) -> Self {
        change(self.0.resources.last_mut().unwrap());
        self
    }

    fn waits(mut self, party: u64, resource: u64, wanted: Option<u64>) -> Self {
        let mut known = self.0.resources.iter().rev();
        let kind = known.find(|known| known.number == resource).map_or(Kind::Sleep, |known| known.kind);
        self.0.waits.push(Wait {
            party,
            operation: Operation::Other,
            kind,
            resource: (kind != Kind::Sleep).then_some(resource),
            wanted,
            obtained: 0,
            waited_ms: 1.0,
            is_confirmed: true,
        });
        self
    }

    /// The members of each deadlock.
    fn deadlocks(&self) -> Vec<Vec<u64>> {
        find(&self.0).into_iter().map(|deadlock| deadlock.members).collect()
    }

    #[track_caller]
    fn has(self, deadlocks: &[&[u64]]) -> Self {
        assert_eq!(self.deadlocks(), deadlocks);
        self
    }

    #[track_caller]
    fn only_if(self, assumption: Assumption) {
        let found: Vec<_> = find(&self.0).into_iter().map(|deadlock| deadlock.assumptions).collect();
        assert_eq!(found, [[assumption]]);
    }
}

const ALL: Option<u64> = None;

#[test]
fn two_locks_in_two_orders_are_a_deadlock() {
    let made = Made::default().mutex(1, 10).mutex(2, 20).waits(10, 2, Some(1)).waits(20, 1, Some(1));
    let made = made.waits(30, 1, Some(1)).waits(40, 1, Some(1)).has(&[&[10, 20]]);
    assert_eq!(find(&made.0)[0].behind, 2);
    assert_eq!(stuck(&made.0), [10, 20, 30, 40]);
}

#[test]
fn three_in_a_ring_are_a_deadlock_in_the_order_of_waiting() {
    let made = Made::default().mutex(1, 10).mutex(2, 20).mutex(3, 30);
    made.waits(10, 3, Some(1)).waits(30, 2, Some(1)).waits(20, 1, Some(1)).has(&[&[10, 30, 20]]);
}

#[test]
fn a_convoy_is_no_deadlock() {
    let mut made = Made::default().mutex(1, 10).mutex(2, 20).waits(20, 1, Some(1));
    for party in 30..130 {
        made = made.waits(party, 1, Some(1)).waits(party + 1000, 2, Some(1));
    }
    assert!(stuck(&made.has(&[]).0).is_empty());
}

#[test]
fn a_reader_that_wants_to_write_is_a_deadlock() {
    let readers = [(10, Mode::Read, 1), (20, Mode::Read, 1)];
    Made::default().resource(1, Kind::RwLock, 64, &readers).waits(10, 1, ALL).has(&[&[10]]);
    Made::default().resource(1, Kind::RwLock, 64, &readers).waits(10, 1, ALL).waits(20, 1, ALL).has(&[&[10, 20]]);
    Made::default().resource(1, Kind::RwLock, 64, &readers).waits(30, 1, ALL).has(&[]);
}

#[test]
fn a_second_read_behind_a_writer_is_a_deadlock() {
    let reader = [(10, Mode::Read, 1)];
    let made = Made::default().resource(1, Kind::RwLock, 64, &reader);
    made.waits(20, 1, ALL).waits(10, 1, Some(1)).has(&[&[10, 20]]);
    // Nobody who waits is in its way: it is about to get the lock.
    Made::default().resource(1, Kind::RwLock, 64, &reader).waits(10, 1, Some(1)).has(&[]);
}

#[test]
fn permits_that_others_can_release_are_no_deadlock() {
    let with = |holds: &[(u64, Mode, u64)], wanted| {
        Made::default().resource(1, Kind::Semaphore, 3, holds).waits(10, 1, Some(wanted))
    };
    with(&[(10, Mode::Permits, 3)], 1).has(&[&[10]]).only_if(Assumption::PermitsStay);
    with(&[(10, Mode::Permits, 2), (20, Mode::Permits, 1)], 1).has(&[]);
    with(&[(10, Mode::Permits, 2), (20, Mode::Permits, 1)], 2).has(&[&[10]]);
    // Neither leaves enough for the other.
    with(&[(10, Mode::Permits, 2), (20, Mode::Permits, 1)], 1).waits(20, 1, Some(1)).has(&[&[10, 20]]);
    // Permits were added or moved before, so they may be again.
    with(&[(10, Mode::Permits, 3)], 1).last(|semaphore| semaphore.foreign_total = 1).has(&[]);
}

#[test]
fn whoever_also_waits_for_time_can_go_on() {
    let made = || Made::default().mutex(1, 10).mutex(2, 20).waits(10, 2, Some(1)).waits(20, 1, Some(1));
    made().has(&[&[10, 20]]);
    made().waits(20, 99, ALL).has(&[]);
}

#[test]
fn what_is_not_certain_is_no_deadlock() {
    let made = || Made::default().mutex(1, 10).waits(20, 1, Some(1)).waits(10, 2, Some(1));
    made().mutex(2, 20).last(|lock| lock.is_known = false).has(&[]);
    made().mutex(2, 20).last(|lock| lock.foreign_total = 1).has(&[]);
    made().mutex(2, 20).last(|lock| lock.holds[0].is_confirmed = false).has(&[]);
    let mut half_seen = made().mutex(2, 20);
    half_seen.0.waits[0].is_confirmed = false;
    half_seen.has(&[]);
}

#[test]
fn an_owned_guard_makes_it_a_suspicion() {
    let made = Made::default().mutex(1, 10).last(|lock| lock.holds[0].may_move = true).mutex(2, 20);
    made.waits(10, 2, Some(1)).waits(20, 1, Some(1)).has(&[&[10, 20]]).only_if(Assumption::GuardStays);
}

#[test]
fn a_full_channel_counts_if_its_receiver_is_stuck() {
    let made = || {
        let made = Made::default().mutex(1, 10).resource(2, Kind::Channel, 4, &[]).last(|it| it.receiver = Some(20));
        made.waits(10, 2, Some(1))
    };
    made().has(&[]);
    made().waits(20, 1, Some(1)).has(&[&[10, 20]]).only_if(Assumption::ReceiverStays);
}

#[test]
fn two_deadlocks_are_two_and_the_larger_comes_first() {
    let made = Made::default().mutex(1, 10).waits(10, 1, Some(1)).mutex(2, 20).mutex(3, 30);
    let made = made.waits(20, 3, Some(1)).waits(30, 2, Some(1)).waits(40, 2, Some(1));
    made.has(&[&[20, 30], &[10]]);
}

#[test]
fn a_chain_of_thousands_is_walked_without_recursion() {
    const LONG: u64 = 4_000;
    let mut made = Made::default().mutex(0, LONG);
    for party in 1..=LONG {
        made = made.mutex(party, party).waits(party, party - 1, Some(1));
    }
    assert_eq!(made.deadlocks().first().map(Vec::len), Some(4_000));
}

/// A deadlock of party 0, which holds a read lock, a writer, and party 0's second read, and `many` that pile up as readers.
fn pile(many: u64) -> Made {
    let made = Made::default().resource(1, Kind::RwLock, 64, &[(0, Mode::Read, 1)]);
    let made = made.waits(1, 1, ALL).waits(0, 1, Some(1));
    (2..many).fold(made, |made, party| made.waits(party, 1, Some(1)))
}

/// How many arrows there are.
fn arrows(made: &Made) -> usize {
    let graph = Graph::of(&made.0);
    graph.arrows(&graph.stuck()).len()
}

#[test]
fn readers_that_pile_up_behind_a_deadlock_have_an_arrow_each() {
    const MANY: u32 = 20_000;
    let made = pile(MANY.into()).has(&[&[0, 1]]);
    assert_eq!(find(&made.0)[0].behind, MANY as usize - 2);
    assert!(arrows(&made) <= 2 * MANY as usize, "{}", arrows(&made));
}

#[test]
fn waiters_for_what_many_hold_have_an_arrow_each() {
    const MANY: u32 = 20_000;
    let holds: Vec<_> = (0..MANY).map(|party| (party.into(), Mode::Permits, 1)).collect();
    let made = Made::default().resource(1, Kind::Semaphore, MANY.into(), &holds);
    let made = (0..MANY).fold(made, |made, party| made.waits(party.into(), 1, Some(1)));
    assert_eq!(find(&made.0)[0].members.len(), MANY as usize);
    assert!(arrows(&made) <= 2 * MANY as usize, "{}", arrows(&made));
}

#[test]
fn a_chain_of_thousands_dissolves_from_its_end() {
    const LONG: u64 = 20_000;
    let link = |made: Made, party| made.mutex(party, party).waits(party - 1, party, Some(1));
    let mut made = (2..LONG).fold(Made::default(), link);
    assert!(stuck(&made.0).is_empty());
    made.0.waits.reverse();
    assert!(stuck(&made.0).is_empty());
}
