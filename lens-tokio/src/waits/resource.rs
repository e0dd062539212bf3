//! Who holds one lock, semaphore or channel, by tokio's acquire and release events. Separate because it is the arithmetic
//! that has to stay right when events of two threads overlap, and it knows nothing of tracing.

use super::places::Place;
use super::state::{Kind, MAX_HOLDERS, Mode};

/// How long after the first acquisition that lens saw a release by somebody else is taken as the end of the hold before
/// it: tokio reports a release after the next holder may have reported its acquisition.
const OVERLAP_NANOS: u64 = 10_000_000;

/// Who acts: a task's number, or a thread's with [`THREAD`] set; 0 for nobody.
pub(super) type Actor = u64;

/// Marks an [`Actor`] that is a thread outside of tasks.
pub(super) const THREAD: Actor = 1 << 63;

/// Nobody.
pub(super) const NOBODY: Actor = 0;

/// One party's share of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) actor: Actor,
    pub(super) mode: Mode,
    /// Whether the guard can leave the task that acquired it, unseen.
    pub(super) may_move: bool,
    /// Guards or permits.
    pub(super) count: u64,
    /// Nanoseconds after the recorder's start.
    pub(super) since: u64,
}

/// What is known of a resource.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    /// Its number on the wire; a span's id is used again.
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// Whether it is a semaphore whose inside is recorded by itself.
    pub(super) is_shell: bool,
    pub(super) place: Place,
    /// Who created it.
    pub(super) creator: Actor,
    /// How many permits there are in all; 0 if nobody said.
    pub(super) capacity: u64,
    /// The gate's epoch in which the holds were recorded; those of an earlier one mean nothing.
    epoch: u32,
    /// Whether everybody who holds it is among the holds.
    is_known: bool,
    /// Until when a release by a stranger ends a hold that was never seen.
    overlap_until: u64,
    /// In the order of their acquisition.
    pub(super) holds: Vec<Hold>,
    /// Held by those past [`MAX_HOLDERS`].
    uncounted: u64,
    /// Releases by others than the acquirer: the guard was moved, or permits were added.
    pub(super) foreign: u64,
    /// The only one who ever made room in this channel.
    pub(super) receiver: Actor,
    receivers: bool,
    pub(super) acquired: u64,
    pub(super) contended: u64,
    /// Time spent in waits that ended.
    pub(super) waited: u64,
}

impl Resource {
    pub(super) fn new(number: u64, kind: Kind, place: Place, creator: Actor, epoch: u32) -> Self {
        Self {
            number,
            kind,
            is_shell: false,
            place,
            creator,
            capacity: u64::from(kind == Kind::Mutex),
            epoch,
            is_known: true,
            overlap_until: 0,
            holds: if kind.has_holders() { Vec::with_capacity(2) } else { Vec::new() },
            uncounted: 0,
            foreign: 0,
            receiver: NOBODY,
            receivers: false,
            acquired: 0,
            contended: 0,
            waited: 0,
        }
    }

    /// Whether everybody who holds it is among [`holders`](Self::holders).
    pub(super) fn is_known(&self, epoch: u32) -> bool {
        self.is_known && self.epoch == epoch && self.uncounted == 0
    }

    /// Who holds it, in the order of their acquisition. A release is reported after the lock is free, so of two holds
    /// that exclude each other the later one is true.
    pub(super) fn holders(&self, epoch: u32) -> &[Hold] {
        let permits_are_lost = self.kind == Kind::Semaphore && !self.is_known;
        if self.epoch != epoch || permits_are_lost {
            return &[];
        }
        match self.holds.iter().rposition(|hold| hold.mode == Mode::Exclusive) {
            Some(last) if last + 1 == self.holds.len() => &self.holds[last..],
            Some(last) => &self.holds[last + 1..],
            None => &self.holds,
        }
    }

    /// Forgets what was recorded before the gate was last opened.
    fn enter(&mut self, epoch: u32) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.is_known = false;
            self.holds.clear();
            self.uncounted = 0;
        }
    }

    pub(super) fn acquire(&mut self, epoch: u32, hold: Hold) {
        self.enter(epoch);
        self.acquired += 1;
        if !self.is_known && hold.mode == Mode::Exclusive {
            // Whoever has it alone is the only one.
            self.holds.clear();
            self.is_known = true;
            self.overlap_until = hold.since + OVERLAP_NANOS;
        }
        if let Some(own) = self.holds.iter_mut().find(|own| own.actor == hold.actor && own.mode == hold.mode) {
            own.count += hold.count;
            own.may_move |= hold.may_move;
        } else if self.holds.len() < MAX_HOLDERS {
            self.holds.push(hold);
        } else {
            self.uncounted += hold.count;
        }
    }

    pub(super) fn release(&mut self, epoch: u32, actor: Actor, mode: Mode, count: u64, now: impl Fn() -> u64) {
        self.enter(epoch);
        let mut left = count;
        if let Some(own) = self.holds.iter().position(|own| own.actor == actor && own.mode == mode) {
            left = self.take(own, left);
        }
        if left > 0 && self.uncounted > 0 {
            let taken = left.min(self.uncounted);
            self.uncounted -= taken;
            left -= taken;
        }
        if left == 0 {
            return;
        }
        if mode == Mode::Exclusive {
            let was_known = std::mem::replace(&mut self.is_known, true);
            if !was_known || now() < std::mem::take(&mut self.overlap_until) {
                return;
            }
        }
        if !self.is_known {
            return;
        }
        // Permits can be added by whoever likes, also where none is held.
        self.foreign += u64::from(mode == Mode::Permits || !self.holds.is_empty());
        while left > 0
            && let Some(oldest) = self.holds.iter().position(|hold| hold.mode == mode)
        {
            left = self.take(oldest, left);
        }
    }

    /// Takes up to `count` from a hold, and says how much is left to take.
    fn take(&mut self, index: usize, count: u64) -> u64 {
        let hold = &mut self.holds[index];
        let taken = hold.count.min(count);
        hold.count -= taken;
        if hold.count == 0 {
            self.holds.remove(index);
        }
        count - taken
    }

    /// Somebody made room in the channel.
    pub(super) fn made_room(&mut self, actor: Actor) {
        if self.receiver == NOBODY {
            self.receiver = actor;
        } else if self.receiver != actor {
            self.receivers = true;
        }
    }

    /// The only one who ever made room in the channel.
    pub(super) fn receiver(&self) -> Option<Actor> {
        (!self.receivers && self.receiver != NOBODY).then_some(self.receiver)
    }

    /// The memory that it owns besides its entry.
    pub(super) fn owned_bytes(&self) -> usize {
        self.holds.capacity() * size_of::<Hold>()
    }
}

#[cfg(test)]
mod tests;
