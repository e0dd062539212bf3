//! Finds deadlocks in a [`State`]. Separate because it is a pure question about who can still go on, and the one claim of
//! this skill that must never be made wrongly.
//!
//! Suppose that everybody who is not waiting goes on, ends and releases what it holds. A wait then ends if enough permits
//! are left over by those who are still stuck, and nobody stuck is ahead in the queue; a party goes on as soon as one of
//! its waits ends. Who is left when nobody else can go on is stuck for good. A cycle among them is a deadlock; the others
//! are behind one. A convoy, however long, dissolves.
//!
//! What is not known counts as able to go on: unknown holders, timers, values that somebody may send.

use std::collections::{HashMap, HashSet, VecDeque};

use super::state::{Hold, Kind, Mode, Resource, State, Wait};

/// Parties that wait for each other, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deadlock {
    /// The parties, each followed by one that it waits for where that is possible.
    pub(super) members: Vec<u64>,
    /// Others who can only go on if a member does.
    pub(super) behind: usize,
    /// What has to be true besides, for it to be a deadlock.
    pub(super) assumptions: Vec<Assumption>,
}

/// What tokio's events cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Assumption {
    /// A guard without a lifetime is still with the task that acquired it.
    GuardStays,
    /// No permit was forgotten, moved to another task or taken by `try_acquire`, and none will be added.
    PermitsStay,
    /// The channel's receiver is still with the task that received last.
    ReceiverStays,
}

/// A party, and what keeps it from going on.
struct Arrow {
    from: u64,
    to: u64,
    assumes: Option<Assumption>,
}

/// All deadlocks, the one with the most parties first.
pub(super) fn find(state: &State) -> Vec<Deadlock> {
    let graph = Graph::of(state);
    let stuck = graph.stuck();
    let arrows = graph.arrows(&stuck);
    let mut next: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut previous: HashMap<u64, Vec<u64>> = HashMap::new();
    for arrow in &arrows {
        next.entry(arrow.from).or_default().push(arrow.to);
        previous.entry(arrow.to).or_default().push(arrow.from);
    }
    let mut nodes: Vec<u64> = stuck.iter().copied().collect();
    nodes.sort_unstable();
    let mut deadlocks: Vec<_> = components(&nodes, &next)
        .into_iter()
        .filter(|members| match members.as_slice() {
            [one] => next.get(one).is_some_and(|to| to.contains(one)),
            _ => true,
        })
        .map(|members| {
            let inside: HashSet<u64> = members.iter().copied().collect();
            let is_inside = |arrow: &&Arrow| inside.contains(&arrow.from) && inside.contains(&arrow.to);
            let mut assumptions: Vec<_> = arrows.iter().filter(is_inside).filter_map(|arrow| arrow.assumes).collect();
            assumptions.sort_unstable();
            assumptions.dedup();
            Deadlock {
                behind: reached(&members, &previous).len() - members.len(),
                members: in_order(&members, &inside, &next),
                assumptions,
            }
        })
        .collect();
    deadlocks.sort_unstable_by_key(|deadlock| (std::cmp::Reverse(deadlock.members.len()), deadlock.members.clone()));
    deadlocks
}

/// Everybody who is stuck for good, in a cycle or behind one.
pub(super) fn stuck(state: &State) -> Vec<u64> {
    let mut stuck: Vec<u64> = Graph::of(state).stuck().into_iter().collect();
    stuck.sort_unstable();
    stuck
}

/// The confirmed waits by who waits, and by what is waited for.
struct Graph<'a> {
    resources: HashMap<u64, &'a Resource>,
    /// In the order in which they began.
    queues: HashMap<u64, Vec<&'a Wait>>,
    waiters: HashMap<u64, Vec<&'a Wait>>,
}

/// Why a wait does not end.
enum Obstacle<'a> {
    /// Stuck parties hold too many permits.
    Holders(&'a Resource),
    /// Stuck parties are ahead in the queue.
    Queue(Vec<u64>),
    /// The receiver is stuck.
    Receiver(u64),
}

impl<'a> Graph<'a> {
    fn of(state: &'a State) -> Self {
        let mut graph = Self {
            resources: state.resources.iter().map(|resource| (resource.number, resource)).collect(),
            queues: HashMap::new(),
            waiters: HashMap::new(),
        };
        for wait in state.waits.iter().filter(|wait| wait.is_confirmed) {
            graph.waiters.entry(wait.party).or_default().push(wait);
            if let Some(resource) = wait.resource {
                graph.queues.entry(resource).or_default().push(wait);
            }
        }
        graph
    }

    fn stuck(&self) -> HashSet<u64> {
        let mut stuck: HashSet<u64> = self.waiters.keys().copied().collect();
        // In the order of the queues, so that a queue dissolves in one round.
        let mut order: Vec<u64> = stuck.iter().copied().collect();
        let began = |party: &u64| self.waiters[party].iter().map(|wait| std::ptr::from_ref(*wait).addr()).min();
        order.sort_unstable_by_key(began);
        loop {
            let before = stuck.len();
            order.retain(|party| {
                let can_go_on = self.waiters[party].iter().any(|wait| self.obstacle(wait, &stuck).is_none());
                if can_go_on {
                    stuck.remove(party);
                }
                !can_go_on
            });
            if stuck.len() == before {
                return stuck;
            }
        }
    }

    /// What keeps the wait from ending if all but the stuck go on; none if it will end, or may.
    fn obstacle(&self, wait: &Wait, stuck: &HashSet<u64>) -> Option<Obstacle<'a>> {
        let resource = *self.resources.get(&wait.resource?)?;
        if resource.kind == Kind::Channel {
            return resource.receiver.filter(|receiver| stuck.contains(receiver)).map(Obstacle::Receiver);
        }
        if !resource.kind.has_holders() || !resource.is_known || resource.foreign_total > 0 {
            return None;
        }
        let permits = resource.permits?;
        let kept = stuck_holds(resource, stuck).map(|hold| match hold.mode {
            Mode::Exclusive => permits,
            Mode::Read | Mode::Permits => hold.count,
        });
        let left = permits.saturating_sub(kept.sum());
        if left < wait.wanted.unwrap_or(permits).saturating_sub(wait.obtained) {
            return Some(Obstacle::Holders(resource));
        }
        let queue = &self.queues[&resource.number];
        let ahead: Vec<u64> = queue
            .iter()
            .take_while(|other| !std::ptr::eq(**other, wait))
            .map(|other| other.party)
            .filter(|party| stuck.contains(party))
            .collect();
        (!ahead.is_empty()).then_some(Obstacle::Queue(ahead))
    }

    fn arrows(&self, stuck: &HashSet<u64>) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for &from in stuck {
            for wait in &self.waiters[&from] {
                match self.obstacle(wait, stuck) {
                    Some(Obstacle::Holders(resource)) => {
                        arrows.extend(stuck_holds(resource, stuck).map(|hold| Arrow {
                            from,
                            to: hold.party,
                            assumes: match resource.kind {
                                Kind::Semaphore => Some(Assumption::PermitsStay),
                                _ => hold.may_move.then_some(Assumption::GuardStays),
                            },
                        }));
                    }
                    Some(Obstacle::Queue(ahead)) => {
                        arrows.extend(ahead.into_iter().map(|to| Arrow { from, to, assumes: None }));
                    }
                    Some(Obstacle::Receiver(to)) => {
                        arrows.push(Arrow { from, to, assumes: Some(Assumption::ReceiverStays) });
                    }
                    None => {}
                }
            }
        }
        arrows
    }
}

/// The holds of stuck parties that are certain to be there.
fn stuck_holds<'a>(resource: &'a Resource, stuck: &'a HashSet<u64>) -> impl Iterator<Item = &'a Hold> {
    resource.holds.iter().filter(|hold| hold.is_confirmed && stuck.contains(&hold.party))
}

/// Everybody from whom one of `members` can be reached, along with them.
fn reached(members: &[u64], previous: &HashMap<u64, Vec<u64>>) -> HashSet<u64> {
    let mut reached: HashSet<u64> = members.iter().copied().collect();
    let mut todo: VecDeque<u64> = members.iter().copied().collect();
    while let Some(node) = todo.pop_front() {
        for &from in previous.get(&node).into_iter().flatten() {
            if reached.insert(from) {
                todo.push_back(from);
            }
        }
    }
    reached
}

/// The members, each followed by one that it waits for where that is possible.
fn in_order(members: &[u64], inside: &HashSet<u64>, next: &HashMap<u64, Vec<u64>>) -> Vec<u64> {
    let mut sorted = members.to_vec();
    sorted.sort_unstable();
    let mut ordered = Vec::with_capacity(sorted.len());
    let mut seen = HashSet::new();
    for start in sorted {
        let mut at = Some(start);
        while let Some(node) = at.filter(|node| seen.insert(*node)) {
            ordered.push(node);
            let followers = next.get(&node).into_iter().flatten();
            at = followers.copied().filter(|to| inside.contains(to) && !seen.contains(to)).min();
        }
    }
    ordered
}

/// Where Tarjan's algorithm met a node.
#[derive(Clone, Copy)]
struct Mark {
    index: usize,
    low: usize,
    is_open: bool,
}

fn lower(marks: &mut HashMap<u64, Mark>, node: u64, low: usize) {
    if let Some(mark) = marks.get_mut(&node) {
        mark.low = mark.low.min(low);
    }
}

/// The strongly connected components (Tarjan), without recursion: a chain of waits can be long.
fn components(nodes: &[u64], next: &HashMap<u64, Vec<u64>>) -> Vec<Vec<u64>> {
    let none = Vec::new();
    let mut marks: HashMap<u64, Mark> = HashMap::new();
    let mut open = Vec::new();
    let mut found = Vec::new();
    for &root in nodes {
        if marks.contains_key(&root) {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((node, child)) = path.pop() {
            if child == 0 {
                let index = marks.len();
                marks.insert(node, Mark { index, low: index, is_open: true });
                open.push(node);
            }
            let children = next.get(&node).unwrap_or(&none);
            if let Some(&to) = children.get(child) {
                path.push((node, child + 1));
                match marks.get(&to).copied() {
                    None => path.push((to, 0)),
                    Some(mark) if mark.is_open => lower(&mut marks, node, mark.index),
                    Some(_) => {}
                }
                continue;
            }
            let mark = marks[&node];
            if let Some(&(parent, _)) = path.last() {
                lower(&mut marks, parent, mark.low);
            }
            if mark.low == mark.index {
                let start = open.iter().rposition(|other| *other == node).unwrap_or(0);
                let members = open.split_off(start);
                for member in &members {
                    if let Some(mark) = marks.get_mut(member) {
                        mark.is_open = false;
                    }
                }
                found.push(members);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
