//! Who waits for what, and who is stuck for good. Separate because it has to be linear: a state may hold all the requests
//! that have piled up behind one lock, or come from a file that somebody made.

use std::collections::HashMap;

use super::Assumption;
use crate::waits::state::{Kind, Mode, Resource, State};

/// The confirmed waits by who waits, and by what is waited for. Parties and queues are called by their indices.
pub(super) struct Graph {
    /// Those who wait: their keys, ascending.
    parties: Vec<u64>,
    /// Where each of them waits: a queue, and the place in it.
    places: Vec<Vec<(usize, usize)>>,
    queues: Vec<Queue>,
}

/// What is waited for, and who waits there.
struct Queue {
    kind: Kind,
    rule: Rule,
    /// In the order in which they began.
    waits: Vec<Waiting>,
    /// What those who wait for something are certain to hold of it.
    holds: Vec<Held>,
}

/// Who lets a wait end.
enum Rule {
    /// Somebody of whom nothing is known.
    Anybody,
    /// Those who hold some of so many permits, and those ahead in the queue.
    Holders(u64),
    /// The party that receives.
    Receiver(usize),
}

struct Waiting {
    party: usize,
    /// The permits that it has yet to get.
    needed: u64,
}

struct Held {
    party: usize,
    permits: u64,
    may_move: bool,
}

/// A node, and another without which it cannot go on. The nodes are the parties, and behind them the queues: whoever lacks
/// permits waits for the queue's node, and that for all holders.
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) assumes: Option<Assumption>,
}

/// Who is stuck for good.
pub(super) struct Stuck {
    /// Of each party, whether it is.
    pub(super) parties: Vec<bool>,
    /// Of each queue, the permits that they do not hold.
    left: Vec<u64>,
}

/// The queue of whatever nothing is known of.
const UNKNOWN: usize = 0;

impl Graph {
    pub(super) fn of(state: &State) -> Self {
        let waits = || state.waits.iter().filter(|wait| wait.is_confirmed);
        let mut parties: Vec<u64> = waits().map(|wait| wait.party).collect();
        parties.sort_unstable();
        parties.dedup();
        let index = |key: u64| parties.binary_search(&key).ok();
        let resources = state.resources.iter().map(|resource| Queue::of(resource, index));
        let mut queues: Vec<Queue> = std::iter::once(Queue::unknown()).chain(resources).collect();
        let numbers: HashMap<u64, usize> = state.resources.iter().map(|resource| resource.number).zip(1..).collect();
        let mut places = vec![Vec::new(); parties.len()];
        for wait in waits() {
            let Some(party) = index(wait.party) else { continue };
            let number = wait.resource.and_then(|number| numbers.get(&number).copied()).unwrap_or(UNKNOWN);
            let queue = &mut queues[number];
            places[party].push((number, queue.waits.len()));
            let all = if let Rule::Holders(permits) = queue.rule { permits } else { 0 };
            let needed = wait.wanted.unwrap_or(all).saturating_sub(wait.obtained);
            queue.waits.push(Waiting { party, needed });
        }
        Self { parties, places, queues }
    }

    /// The keys of the parties, by their index.
    pub(super) fn parties(&self) -> &[u64] {
        &self.parties
    }

    /// The number of nodes: parties and queues.
    pub(super) fn len(&self) -> usize {
        self.parties.len() + self.queues.len()
    }

    /// Who cannot go on, whatever all the others do.
    pub(super) fn stuck(&self) -> Stuck {
        let mut stuck = vec![true; self.parties.len()];
        let mut going_on = Vec::new();
        let mut held = vec![Vec::new(); self.parties.len()];
        let mut received = vec![Vec::new(); self.parties.len()];
        let mut fronts: Vec<Front> = self.queues.iter().map(Front::of).collect();
        for (number, queue) in self.queues.iter().enumerate() {
            match queue.rule {
                Rule::Anybody => going_on.extend(queue.waits.iter().map(|wait| wait.party)),
                Rule::Holders(_) => going_on.extend(fronts[number].next(queue, &stuck)),
                Rule::Receiver(party) => received[party].push(number),
            }
            for hold in &queue.holds {
                held[hold.party].push((number, hold.permits));
            }
        }
        while let Some(party) = going_on.pop() {
            if !std::mem::replace(&mut stuck[party], false) {
                continue;
            }
            for &(number, permits) in &held[party] {
                fronts[number].kept -= u128::from(permits);
                going_on.extend(fronts[number].next(&self.queues[number], &stuck));
            }
            for &(number, _) in &self.places[party] {
                going_on.extend(fronts[number].next(&self.queues[number], &stuck));
            }
            for &number in &received[party] {
                going_on.extend(self.queues[number].waits.iter().map(|wait| wait.party));
            }
        }
        let left = self.queues.iter().zip(&fronts).map(|(queue, front)| queue.left(front.kept)).collect();
        Stuck { parties: stuck, left }
    }

    /// What keeps the stuck from going on. Of those who wait behind others, each has arrows to the nearest ahead, up to and
    /// with one that waits behind others itself: from there, the rest is reached.
    pub(super) fn arrows(&self, stuck: &Stuck) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for (number, queue) in self.queues.iter().enumerate() {
            let node = self.parties.len() + number;
            let (mut ahead, mut is_short) = (0, false);
            for (place, wait) in queue.waits.iter().enumerate().filter(|(_, wait)| stuck.parties[wait.party]) {
                let arrow = |to, assumes| Arrow { from: wait.party, to, assumes };
                match queue.rule {
                    Rule::Anybody => {}
                    Rule::Receiver(to) => arrows.push(arrow(to, Some(Assumption::ReceiverStays))),
                    Rule::Holders(_) if stuck.left[number] < wait.needed => {
                        is_short = true;
                        arrows.push(arrow(node, None));
                    }
                    Rule::Holders(_) => {
                        let nearest = queue.waits[ahead..place].iter().map(|other| other.party);
                        arrows.extend(nearest.filter(|&other| stuck.parties[other]).map(|other| arrow(other, None)));
                        ahead = place;
                    }
                }
            }
            if is_short {
                let holders = queue.holds.iter().filter(|hold| stuck.parties[hold.party]);
                arrows.extend(holders.map(|hold| Arrow { from: node, to: hold.party, assumes: queue.assumes(hold) }));
            }
        }
        arrows
    }

    /// The stuck for whom a stuck party waits: of the holders and of those ahead in a queue, not more than `near`.
    pub(super) fn waited_for(&self, stuck: &Stuck, party: usize, near: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for &(number, place) in &self.places[party] {
            let queue = &self.queues[number];
            match queue.rule {
                Rule::Anybody => {}
                Rule::Receiver(receiver) => found.push(receiver),
                Rule::Holders(_) if stuck.left[number] < queue.waits[place].needed => {
                    found.extend(queue.holds.iter().map(|hold| hold.party).take(near));
                }
                Rule::Holders(_) => found.extend(queue.waits[..place].iter().rev().map(|wait| wait.party).take(near)),
            }
        }
        found.retain(|&party| stuck.parties[party]);
        found
    }
}

impl Queue {
    fn unknown() -> Self {
        Self { kind: Kind::Other, rule: Rule::Anybody, waits: Vec::new(), holds: Vec::new() }
    }

    fn of(resource: &Resource, index: impl Fn(u64) -> Option<usize>) -> Self {
        let kind = resource.kind;
        let rule = if kind == Kind::Channel {
            resource.receiver.and_then(&index).map_or(Rule::Anybody, Rule::Receiver)
        } else if kind.has_holders() && resource.is_known && resource.foreign_total == 0 {
            resource.permits.map_or(Rule::Anybody, Rule::Holders)
        } else {
            Rule::Anybody
        };
        let mut holds = Vec::new();
        if let Rule::Holders(all) = rule {
            let certain = resource.holds.iter().filter(|hold| hold.is_confirmed);
            holds.extend(certain.filter_map(|hold| {
                let permits = match hold.mode {
                    Mode::Exclusive => all,
                    Mode::Read | Mode::Permits => hold.count,
                };
                Some(Held { party: index(hold.party)?, permits, may_move: hold.may_move })
            }));
        }
        Self { kind, rule, waits: Vec::new(), holds }
    }

    /// The permits that are left if so many are kept.
    fn left(&self, kept: u128) -> u64 {
        let Rule::Holders(all) = self.rule else { return 0 };
        all.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX))
    }

    fn assumes(&self, hold: &Held) -> Option<Assumption> {
        match self.kind {
            Kind::Semaphore => Some(Assumption::PermitsStay),
            _ => hold.may_move.then_some(Assumption::GuardStays),
        }
    }
}

/// Where a queue is stuck: only the first stuck party in it can be the next to go on.
struct Front {
    place: usize,
    /// Permits that the stuck hold.
    kept: u128,
}

impl Front {
    fn of(queue: &Queue) -> Self {
        Self { place: 0, kept: queue.holds.iter().map(|hold| u128::from(hold.permits)).sum() }
    }

    /// The party that goes on next, if there is enough left for it.
    fn next(&mut self, queue: &Queue, stuck: &[bool]) -> Option<usize> {
        let Rule::Holders(_) = queue.rule else { return None };
        while queue.waits.get(self.place).is_some_and(|wait| !stuck[wait.party]) {
            self.place += 1;
        }
        let first = queue.waits.get(self.place)?;
        (queue.left(self.kept) >= first.needed).then_some(first.party)
    }
}
