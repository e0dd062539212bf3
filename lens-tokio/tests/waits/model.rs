//! What must be true of locks: tokio's fair semaphore, written down again, with the names of those who have the permits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::actors::Command;
use tokio::sync::{Mutex, RwLock, Semaphore};

/// Something to lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lock {
    Exclusive(&'static Mutex<()>),
    Shared(&'static RwLock<()>, u32),
    Counted(&'static Semaphore, u32),
}

impl Lock {
    pub(crate) fn permits(self) -> u32 {
        match self {
            Self::Exclusive(_) => 1,
            Self::Shared(_, permits) | Self::Counted(_, permits) => permits,
        }
    }
}

/// SplitMix64: the same schedule for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ bits >> 31) % end as u64).unwrap()
    }
}

#[derive(Clone, Debug)]
struct Waiter {
    actor: usize,
    /// Which of the actor's operations it is.
    ticket: u64,
    wanted: u32,
    obtained: u32,
}

/// A guard, or permits.
#[derive(Clone, Copy, Debug)]
struct Guard {
    lock: usize,
    permits: u32,
    /// Of the operation that waited for it; 0 if none did.
    ticket: u64,
}

#[derive(Clone, Debug, Default)]
struct Actor {
    guards: Vec<Guard>,
    /// The operations that have not ended, oldest first.
    pending: Vec<(u64, usize)>,
    is_gone: bool,
}

/// The locks, and who wants what of them.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    locks: &'static [Lock],
    free: Vec<u32>,
    queues: Vec<VecDeque<Waiter>>,
    actors: Vec<Actor>,
    tickets: u64,
}

/// At most this many operations of one actor are pending at a time, as in a `select!`.
const BRANCHES: usize = 2;

impl Model {
    pub(crate) fn new(locks: &'static [Lock], actors: usize) -> Self {
        Self {
            locks,
            free: locks.iter().map(|lock| lock.permits()).collect(),
            queues: vec![VecDeque::new(); locks.len()],
            actors: vec![Actor::default(); actors],
            tickets: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.locks.len()
    }

    /// Something that the actor can do now.
    pub(crate) fn choose(&self, actor: usize, random: &mut Random) -> Option<Command> {
        let own = &self.actors[actor];
        if own.is_gone {
            return None;
        }
        let lock = random.below(self.locks.len());
        let permits = match self.locks[lock] {
            Lock::Exclusive(_) => 1,
            // A reader or a writer.
            Lock::Shared(_, all) => [1, all][random.below(2)],
            Lock::Counted(_, all) => 1 + u32::try_from(random.below(all as usize)).unwrap(),
        };
        match random.below(20) {
            0..=8 if own.pending.len() < BRANCHES => Some(Command::Acquire { lock, permits }),
            // Tokio does not tell who took permits without waiting.
            9..=10 if !matches!(self.locks[lock], Lock::Counted(..)) => Some(Command::Try { lock, permits }),
            11..=15 if !own.guards.is_empty() => Some(Command::Release { guard: random.below(own.guards.len()) }),
            16..=17 if !own.pending.is_empty() => Some(Command::Cancel { branch: random.below(own.pending.len()) }),
            18 => {
                let is_writer =
                    |guard: &Guard| matches!(self.locks[guard.lock], Lock::Shared(_, all) if guard.permits == all);
                own.guards.iter().position(is_writer).map(|guard| Command::Downgrade { guard })
            }
            19 if random.below(4) == 0 => Some(Command::Abort),
            _ => None,
        }
    }

    pub(crate) fn obey(&mut self, actor: usize, command: Command) {
        let before: Vec<_> = self.actors.iter().map(|actor| actor.guards.len()).collect();
        self.change(actor, command);
        for (actor, before) in self.actors.iter_mut().zip(before) {
            // An actor that is given two at once takes them in the order in which it asked.
            let new = before.min(actor.guards.len());
            actor.guards[new..].sort_by_key(|guard| guard.ticket);
        }
    }

    fn change(&mut self, actor: usize, command: Command) {
        match command {
            Command::Acquire { lock, permits } => self.acquire(actor, lock, permits),
            Command::Try { lock, permits } => {
                if self.free[lock] >= permits {
                    self.free[lock] -= permits;
                    self.actors[actor].guards.push(Guard { lock, permits, ticket: 0 });
                }
            }
            Command::Release { guard } => {
                let guard = self.actors[actor].guards.remove(guard);
                self.release(guard.lock, guard.permits);
            }
            Command::Downgrade { guard } => {
                let guard = &mut self.actors[actor].guards[guard];
                let (lock, released) = (guard.lock, guard.permits - 1);
                guard.permits = 1;
                self.release(lock, released);
            }
            Command::Cancel { branch } => {
                let (ticket, lock) = self.actors[actor].pending.remove(branch);
                self.cancel(ticket, lock);
            }
            Command::Abort => self.end(actor),
        }
    }

    fn acquire(&mut self, actor: usize, lock: usize, wanted: u32) {
        let taken = self.free[lock].min(wanted);
        self.free[lock] -= taken;
        if taken == wanted {
            self.actors[actor].guards.push(Guard { lock, permits: wanted, ticket: 0 });
            return;
        }
        self.tickets += 1;
        self.actors[actor].pending.push((self.tickets, lock));
        self.queues[lock].push_back(Waiter { actor, ticket: self.tickets, wanted, obtained: taken });
    }

    fn release(&mut self, lock: usize, mut permits: u32) {
        while let Some(first) = self.queues[lock].front_mut() {
            let given = permits.min(first.wanted - first.obtained);
            first.obtained += given;
            permits -= given;
            if first.obtained < first.wanted {
                break;
            }
            let Waiter { actor, ticket, wanted, .. } = self.queues[lock].pop_front().unwrap();
            let actor = &mut self.actors[actor];
            actor.pending.retain(|(other, _)| *other != ticket);
            actor.guards.push(Guard { lock, permits: wanted, ticket });
        }
        self.free[lock] += permits;
    }

    fn cancel(&mut self, ticket: u64, lock: usize) {
        let index = self.queues[lock].iter().position(|waiter| waiter.ticket == ticket).unwrap();
        let obtained = self.queues[lock].remove(index).unwrap().obtained;
        self.release(lock, obtained);
    }

    /// The actor's task is dropped, and all that it has.
    fn end(&mut self, actor: usize) {
        self.actors[actor].is_gone = true;
        // What one operation gives back, the next may be given, and gives back in its turn.
        while let Some((ticket, lock)) = self.actors[actor].pending.pop() {
            self.cancel(ticket, lock);
        }
        for guard in std::mem::take(&mut self.actors[actor].guards) {
            self.release(guard.lock, guard.permits);
        }
    }

    /// Who waits for each lock, in the order of the queue: the actor, the permits it wants, and those it has of them. A
    /// writer wants all, and what a read-write lock's waiter has already is not told.
    pub(crate) fn queues(&self) -> Vec<Vec<(usize, Option<u64>, u64)>> {
        let of = |lock: usize| {
            self.queues[lock].iter().map(move |waiter| {
                let is_semaphore = matches!(self.locks[lock], Lock::Counted(..));
                let is_writer = matches!(self.locks[lock], Lock::Shared(_, all) if all == waiter.wanted);
                let obtained = if is_semaphore { waiter.obtained } else { 0 };
                (waiter.actor, (!is_writer).then_some(u64::from(waiter.wanted)), u64::from(obtained))
            })
        };
        (0..self.len()).map(|lock| of(lock).collect()).collect()
    }

    /// Who holds each lock: the lock, the actor, whether it holds it alone, and how many guards or permits. A waiter
    /// holds the permits of a semaphore that it was given already.
    pub(crate) fn holds(&self) -> BTreeSet<(usize, usize, bool, u64)> {
        let mut counts: BTreeMap<(usize, usize, bool), u64> = BTreeMap::new();
        for (actor, own) in self.actors.iter().enumerate() {
            for Guard { lock, permits, .. } in &own.guards {
                let (is_exclusive, count) = match self.locks[*lock] {
                    Lock::Exclusive(_) => (true, 1),
                    Lock::Shared(_, all) => (*permits == all, 1),
                    Lock::Counted(..) => (false, u64::from(*permits)),
                };
                *counts.entry((*lock, actor, is_exclusive)).or_default() += count;
            }
        }
        for (lock, queue) in self.queues.iter().enumerate() {
            for waiter in queue.iter().filter(|waiter| waiter.obtained > 0) {
                if matches!(self.locks[lock], Lock::Counted(..)) {
                    *counts.entry((lock, waiter.actor, false)).or_default() += u64::from(waiter.obtained);
                }
            }
        }
        counts.into_iter().map(|((lock, actor, is_exclusive), count)| (lock, actor, is_exclusive, count)).collect()
    }

    /// Who can never go on: whoever is left when everybody who can has gone on and ended.
    pub(crate) fn stuck(&self) -> BTreeSet<usize> {
        let mut future = self.clone();
        let waiting: Vec<_> = self.actors.iter().map(|actor| actor.pending.len()).collect();
        loop {
            // An actor goes on as soon as one of its operations is over, whatever the others do.
            let goes_on = |(index, actor): &(usize, &Actor)| {
                !actor.is_gone && (actor.pending.is_empty() || actor.pending.len() < waiting[*index])
            };
            let Some((next, _)) = future.actors.iter().enumerate().find(goes_on) else { break };
            future.end(next);
        }
        future.actors.iter().enumerate().filter(|(_, actor)| !actor.is_gone).map(|(index, _)| index).collect()
    }
}
