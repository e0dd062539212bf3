//! Holds, under events of two threads that overlap.

use super::*;

const A: Actor = 1;
const B: Actor = 2;
const C: Actor = 3;
const EPOCH: u32 = 1;

struct Trial {
    resource: Resource,
    epoch: u32,
    now: u64,
}

impl Trial {
    fn of(kind: Kind) -> Self {
        Self { resource: Resource::new(1, kind, 0, NOBODY, EPOCH), epoch: EPOCH, now: 0 }
    }

    fn acquires(&mut self, actor: Actor, mode: Mode, count: u64) -> &mut Self {
        self.now += 1;
        self.resource.acquire(self.epoch, Hold { actor, mode, may_move: false, count, since: self.now });
        self
    }

    fn releases(&mut self, actor: Actor, mode: Mode, count: u64) -> &mut Self {
        self.now += 1;
        let now = self.now;
        self.resource.release(self.epoch, actor, mode, count, || now);
        self
    }

    fn locks(&mut self, actor: Actor) -> &mut Self {
        self.acquires(actor, Mode::Exclusive, 1)
    }

    fn unlocks(&mut self, actor: Actor) -> &mut Self {
        self.releases(actor, Mode::Exclusive, 1)
    }

    /// The gate was closed and opened.
    fn missed_some_time(&mut self) -> &mut Self {
        self.epoch += 1;
        self
    }

    #[track_caller]
    fn is_held_by(&mut self, holders: &[(Actor, u64)]) -> &mut Self {
        let found: Vec<_> = self.resource.holders(self.epoch).iter().map(|hold| (hold.actor, hold.count)).collect();
        assert_eq!(found, holders);
        self
    }

    #[track_caller]
    fn is_known(&mut self, is_known: bool) -> &mut Self {
        assert_eq!(self.resource.is_known(self.epoch), is_known);
        self
    }
}

#[test]
fn an_acquisition_heard_before_the_release_wins() {
    Trial::of(Kind::Mutex).locks(A).locks(B).is_held_by(&[(B, 1)]).unlocks(A).is_held_by(&[(B, 1)]);
}

#[test]
fn a_moved_guard_is_released_by_whoever_has_it() {
    let mut trial = Trial::of(Kind::Mutex);
    trial.locks(A).unlocks(B).is_held_by(&[]);
    assert_eq!(trial.resource.foreign, 1);
    trial.locks(A).locks(C).unlocks(B).is_held_by(&[(C, 1)]);
}

#[test]
fn the_word_that_a_new_lock_is_free_is_no_release() {
    let mut trial = Trial::of(Kind::Mutex);
    trial.unlocks(A).is_held_by(&[]).is_known(true);
    assert_eq!(trial.resource.foreign, 0);
}

#[test]
fn readers_are_told_apart_from_writers() {
    let mut trial = Trial::of(Kind::RwLock);
    trial.acquires(A, Mode::Read, 1).acquires(B, Mode::Read, 1).acquires(A, Mode::Read, 1);
    trial.is_held_by(&[(A, 2), (B, 1)]);
    trial.releases(A, Mode::Read, 1).releases(A, Mode::Read, 1).is_held_by(&[(B, 1)]);
    trial.locks(C).is_held_by(&[(C, 1)]).releases(B, Mode::Read, 1).is_held_by(&[(C, 1)]);
    trial.acquires(A, Mode::Read, 1).is_held_by(&[(A, 1)]).unlocks(C).is_held_by(&[(A, 1)]);
}

#[test]
fn a_lock_held_while_nobody_listened_is_not_known_until_it_changes_hands() {
    let mut trial = Trial::of(Kind::Mutex);
    trial.locks(A).missed_some_time().is_held_by(&[]).is_known(false);
    trial.locks(B).is_held_by(&[(B, 1)]).is_known(true);
    trial.missed_some_time().unlocks(B).is_held_by(&[]).is_known(true);
}

#[test]
fn the_late_release_of_an_unseen_hold_does_not_end_the_next() {
    Trial::of(Kind::Mutex).missed_some_time().locks(B).unlocks(A).is_held_by(&[(B, 1)]).unlocks(B).is_held_by(&[]);
}

#[test]
fn permits_are_not_known_after_a_time_without_recording() {
    let mut trial = Trial::of(Kind::Semaphore);
    trial.acquires(A, Mode::Permits, 3).is_held_by(&[(A, 3)]).releases(A, Mode::Permits, 1).is_held_by(&[(A, 2)]);
    trial.missed_some_time().acquires(B, Mode::Permits, 1).is_held_by(&[]).is_known(false);
}

#[test]
fn added_permits_are_told_from_released_ones() {
    let mut trial = Trial::of(Kind::Semaphore);
    trial.releases(A, Mode::Permits, 1);
    assert_eq!(trial.resource.foreign, 1);
}

#[test]
fn holders_past_the_cap_are_counted_and_make_it_unknown() {
    let mut trial = Trial::of(Kind::RwLock);
    for actor in 1..=MAX_HOLDERS as u64 + 2 {
        trial.acquires(actor, Mode::Read, 1);
    }
    trial.is_known(false);
    assert_eq!(trial.resource.holders(EPOCH).len(), MAX_HOLDERS);
    for actor in 1..=MAX_HOLDERS as u64 + 2 {
        trial.releases(actor, Mode::Read, 1);
    }
    trial.is_held_by(&[]).is_known(true);
}

#[test]
fn a_channel_has_a_receiver_while_only_one_receives() {
    let mut channel = Trial::of(Kind::Channel).resource;
    assert_eq!(channel.receiver(), None);
    channel.made_room(A);
    channel.made_room(A);
    assert_eq!(channel.receiver(), Some(A));
    channel.made_room(B);
    assert_eq!(channel.receiver(), None);
}
