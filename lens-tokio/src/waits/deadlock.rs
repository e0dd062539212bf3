//! Finds deadlocks in a [`State`]. Separate because it is a pure question about who can still go on, and the one claim of
//! this skill that must never be made wrongly.
//!
//! Suppose that everybody who is not waiting goes on, ends and releases what it holds. A wait then ends if enough permits
//! are left over by those who are still stuck, and nobody stuck is ahead in the queue; a party goes on as soon as one of
//! its waits ends. Who is left when nobody else can go on is stuck for good. A cycle among them is a deadlock; the others
//! are behind one. A convoy, however long, dissolves.
//!
//! What is not known counts as able to go on: unknown holders, timers, values that somebody may send.

mod graph;

use graph::{Arrow, Graph};

use super::state::State;

/// How many of those for whom a member waits are looked at to find one that follows it.
const NEAR: usize = 128;

/// How many arrows are followed to count who is behind: far more than there are, but that of thousands of deadlocks each may
/// be behind all others.
const MAX_FOLLOWED: usize = 1 << 24;

/// Parties that wait for each other, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deadlock {
    /// The parties, each followed by one that it waits for where that is possible.
    pub(super) members: Vec<u64>,
    /// Others who can only go on if a member does, as far as they were counted.
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

/// All deadlocks, the one with the most parties first.
pub(super) fn find(state: &State) -> Vec<Deadlock> {
    let graph = Graph::of(state);
    let stuck = graph.stuck();
    let arrows = graph.arrows(&stuck);
    let parties = graph.parties();
    let next = lists(graph.len(), arrows.iter().map(|arrow| (arrow.from, arrow.to)));
    let previous = lists(graph.len(), arrows.iter().map(|arrow| (arrow.to, arrow.from)));
    let found = components(&next);
    let mut component_of = vec![0; graph.len()];
    for (number, nodes) in found.iter().enumerate() {
        nodes.iter().for_each(|&node| component_of[node] = number);
    }
    let is_inside = |arrow: &&Arrow| component_of[arrow.from] == component_of[arrow.to];
    let mut is_cycle = vec![false; found.len()];
    let mut assumptions = vec![Vec::new(); found.len()];
    for arrow in arrows.iter().filter(is_inside) {
        let number = component_of[arrow.from];
        is_cycle[number] = true;
        if let Some(assumption) = arrow.assumes.filter(|assumption| !assumptions[number].contains(assumption)) {
            assumptions[number].push(assumption);
        }
    }
    let mut cycles: Vec<(usize, Vec<usize>)> =
        found.into_iter().enumerate().filter(|(number, _)| is_cycle[*number]).collect();
    for (_, members) in &mut cycles {
        members.retain(|&node| node < parties.len());
        members.sort_unstable();
    }
    cycles.sort_unstable_by(|(_, one), (_, other)| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    let mut reach = Reach::over(&previous);
    let mut is_placed = vec![false; parties.len()];
    let deadlocks = cycles.into_iter().map(|(number, members)| {
        let follower = |party: usize, is_placed: &[bool]| {
            let is_next = |&to: &usize| component_of[to] == number && !is_placed[to];
            graph.waited_for(&stuck, party, NEAR).into_iter().filter(is_next).min()
        };
        let mut assumptions = std::mem::take(&mut assumptions[number]);
        assumptions.sort_unstable();
        let ordered = in_order(&members, &mut is_placed, follower);
        Deadlock {
            behind: reach.parties_behind(&members, parties.len()),
            members: ordered.into_iter().map(|party| parties[party]).collect(),
            assumptions,
        }
    });
    deadlocks.collect()
}

/// Everybody who is stuck for good, in a cycle or behind one.
pub(super) fn stuck(state: &State) -> Vec<u64> {
    let graph = Graph::of(state);
    let stuck = graph.stuck();
    graph.parties().iter().zip(stuck.parties).filter(|(_, is_stuck)| *is_stuck).map(|(&key, _)| key).collect()
}

/// What each of `len` nodes is paired with.
fn lists(len: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut lists = vec![Vec::new(); len];
    pairs.for_each(|(from, to)| lists[from].push(to));
    lists
}

/// Follows arrows back.
struct Reach<'a> {
    previous: &'a [Vec<usize>],
    /// By which search each node was seen last.
    seen: Vec<usize>,
    search: usize,
    followed: usize,
}

impl<'a> Reach<'a> {
    fn over(previous: &'a [Vec<usize>]) -> Self {
        Self { previous, seen: vec![0; previous.len()], search: 0, followed: 0 }
    }

    /// How many of the first `parties` nodes are not `members`, and reach one.
    fn parties_behind(&mut self, members: &[usize], parties: usize) -> usize {
        self.search += 1;
        members.iter().for_each(|&member| self.seen[member] = self.search);
        let mut todo = members.to_vec();
        let mut behind = 0;
        while let Some(node) = todo.pop().filter(|_| self.followed < MAX_FOLLOWED) {
            self.followed += self.previous[node].len();
            for &from in &self.previous[node] {
                if std::mem::replace(&mut self.seen[from], self.search) != self.search {
                    behind += usize::from(from < parties);
                    todo.push(from);
                }
            }
        }
        behind
    }
}

/// The members, each followed by one that it waits for where that is possible.
fn in_order(
    members: &[usize],
    is_placed: &mut [bool],
    follower: impl Fn(usize, &[bool]) -> Option<usize>,
) -> Vec<usize> {
    let mut ordered = Vec::with_capacity(members.len());
    for &start in members {
        let mut at = Some(start).filter(|&member| !is_placed[member]);
        while let Some(member) = at {
            is_placed[member] = true;
            ordered.push(member);
            at = follower(member, is_placed);
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

/// The strongly connected components (Tarjan), without recursion: a chain of waits can be long.
fn components(next: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut marks: Vec<Option<Mark>> = vec![None; next.len()];
    let mut count = 0;
    let mut open = Vec::new();
    let mut found = Vec::new();
    let lower = |marks: &mut [Option<Mark>], node: usize, low: usize| {
        if let Some(mark) = &mut marks[node] {
            mark.low = mark.low.min(low);
        }
    };
    for root in 0..next.len() {
        if marks[root].is_some() {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((node, child)) = path.pop() {
            let mark = *marks[node].get_or_insert_with(|| {
                open.push(node);
                count += 1;
                Mark { index: count, low: count, is_open: true }
            });
            if let Some(&to) = next[node].get(child) {
                path.push((node, child + 1));
                match marks[to] {
                    None => path.push((to, 0)),
                    Some(met) if met.is_open => lower(&mut marks, node, met.index),
                    Some(_) => {}
                }
                continue;
            }
            if let Some(&(parent, _)) = path.last() {
                lower(&mut marks, parent, mark.low);
            }
            if mark.low == mark.index {
                let start = open.iter().rposition(|other| *other == node).unwrap_or(0);
                let nodes = open.split_off(start);
                for &node in &nodes {
                    if let Some(mark) = &mut marks[node] {
                        mark.is_open = false;
                    }
                }
                found.push(nodes);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
