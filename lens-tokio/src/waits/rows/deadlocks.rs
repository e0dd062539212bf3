//! Rows about deadlocks: the [graph's](crate::waits::deadlock) answer in words.

use std::collections::{BTreeSet, HashMap, HashSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Names, holders};
use crate::waits::deadlock::{self, Assumption, Deadlock};
use crate::waits::state::{Kind, Operation, State, Wait};

/// How many of a deadlock's members are named in its summary, and of those that block one member.
const MAX_NAMED: usize = 32;

/// Parties that wait for each other.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(in crate::waits) struct DeadlockRow {
    /// The deadlock in one sentence; of very many members, the first 32.
    summary: String,
    /// Who is in it: each member waits for a later one, the last for an earlier one.
    members: Vec<Member>,
    /// How many are in it.
    member_count: u64,
    /// Others who can only go on if a member does.
    behind_count: u64,
    /// For how long nobody in it could go on.
    stuck_ms: f64,
    /// Whether it is a deadlock only if what `assumes` says is true.
    is_suspected: bool,
    /// What tokio does not tell and has to be true besides.
    assumes: Vec<String>,
}

/// A party of a deadlock.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(in crate::waits) struct Member {
    /// The task's id; none if it is a thread outside of tasks.
    task: Option<u64>,
    /// The thread's name, if it is no task.
    thread: Option<String>,
    /// The task's name, if it has one.
    name: Option<String>,
    /// Where the task was spawned, or the thread called `block_on`.
    place: Option<String>,
    /// What it does.
    operation: Operation,
    /// What it waits for.
    kind: Kind,
    /// The number of what it waits for.
    resource: Option<u64>,
    /// Where what it waits for was created.
    resource_place: Option<String>,
    /// For how long it has waited.
    waited_ms: f64,
    /// The members that keep it from going on; of very many, 32 and then `others`.
    blocked_by: Vec<String>,
}

/// Every deadlock.
pub(in crate::waits) fn deadlocks(state: &State) -> Vec<DeadlockRow> {
    let names = Names::of(state);
    let found = deadlock::find(state);
    let blockers = Blockers::of(state, &names, &found);
    let rows = found.into_iter().enumerate().map(|(number, deadlock)| {
        let members: Vec<Member> =
            deadlock.members.iter().filter_map(|&key| blockers.member(&names, number, key)).collect();
        let stuck_ms = members.iter().map(|member| member.waited_ms).fold(f64::INFINITY, f64::min);
        DeadlockRow {
            summary: summary(&names, &deadlock.members, &members),
            member_count: members.len() as u64,
            members,
            behind_count: deadlock.behind as u64,
            stuck_ms,
            is_suspected: !deadlock.assumptions.is_empty(),
            assumes: deadlock.assumptions.into_iter().map(|assumption| assumption.sentence().to_owned()).collect(),
        }
    });
    rows.collect()
}

/// Who keeps whom from going on, within each deadlock.
struct Blockers<'a> {
    /// The confirmed waits of the members, each with its place among all waits.
    waits: HashMap<u64, Vec<(usize, &'a Wait)>>,
    /// The members that hold a resource, by the deadlock's number and the resource's: their keys, ascending.
    holders: HashMap<(usize, u64), Vec<u64>>,
    /// The members that wait for it: where each begins to, and its key.
    queues: HashMap<(usize, u64), Vec<(usize, u64)>>,
}

impl<'a> Blockers<'a> {
    fn of(state: &'a State, names: &Names<'_>, found: &[Deadlock]) -> Self {
        let members = found.iter().enumerate();
        let numbers: HashMap<u64, usize> =
            members.flat_map(|(number, deadlock)| deadlock.members.iter().map(move |&key| (key, number))).collect();
        let mut blockers = Self { waits: HashMap::new(), holders: HashMap::new(), queues: HashMap::new() };
        for (&number, resource) in &names.resources {
            for (key, _) in holders(resource) {
                if let Some(&deadlock) = numbers.get(&key) {
                    blockers.holders.entry((deadlock, number)).or_default().push(key);
                }
            }
        }
        for keys in blockers.holders.values_mut() {
            keys.sort_unstable();
            keys.dedup();
        }
        let mut is_queued = HashSet::new();
        for (place, wait) in state.waits.iter().enumerate() {
            let Some(&deadlock) = numbers.get(&wait.party) else { continue };
            if wait.is_confirmed {
                blockers.waits.entry(wait.party).or_default().push((place, wait));
            }
            if let Some(resource) = wait.resource.filter(|&resource| is_queued.insert((resource, wait.party))) {
                blockers.queues.entry((deadlock, resource)).or_default().push((place, wait.party));
            }
        }
        blockers
    }

    fn member(&self, names: &Names<'_>, deadlock: usize, key: u64) -> Option<Member> {
        let waits = self.waits.get(&key)?;
        let blocked = waits.iter().map(|&(place, wait)| (wait, self.blockers(names, deadlock, place, wait)));
        // The wait that another member keeps from ending; a party may also wait behind the deadlock elsewhere.
        let (wait, blockers) =
            blocked.clone().find(|(_, blockers)| !blockers.is_empty()).or_else(|| blocked.clone().next())?;
        let party = names.party(key);
        let mut blocked_by: Vec<String> = blockers.iter().take(MAX_NAMED).map(|&key| names.label(key)).collect();
        if blockers.len() > MAX_NAMED {
            blocked_by.push("others".to_owned());
        }
        Some(Member {
            task: party.task,
            thread: party.thread,
            name: party.name,
            place: party.place,
            operation: wait.operation,
            kind: wait.kind,
            resource: wait.resource,
            resource_place: names.resource(wait.resource).and_then(|resource| resource.place.clone()),
            waited_ms: wait.waited_ms,
            blocked_by,
        })
    }

    /// The members that keep a wait from ending; of more than [`MAX_NAMED`], some of them.
    fn blockers(&self, names: &Names<'_>, deadlock: usize, place: usize, wait: &Wait) -> BTreeSet<u64> {
        let Some((number, resource)) = wait.resource.zip(names.resource(wait.resource)) else { return BTreeSet::new() };
        let holders = self.holders.get(&(deadlock, number)).into_iter().flatten();
        let mut keys: BTreeSet<u64> = holders.take(MAX_NAMED + 1).copied().collect();
        if resource.kind == Kind::RwLock && wait.operation == Operation::Read {
            let queue = self.queues.get(&(deadlock, number)).into_iter().flatten();
            let ahead = queue.take_while(|(other, _)| *other < place).take(MAX_NAMED + 1);
            keys.extend(ahead.map(|(_, key)| key));
        }
        keys
    }
}

fn summary(names: &Names<'_>, keys: &[u64], members: &[Member]) -> String {
    let mut parts: Vec<String> = keys
        .iter()
        .zip(members)
        .take(MAX_NAMED)
        .map(|(key, member)| {
            let place = member.resource_place.as_deref().unwrap_or("an unknown place");
            let blocked_by = member.blocked_by.join(" and ");
            format!("{} waits for the {} of {place}, which {blocked_by} has", names.label(*key), member.kind)
        })
        .collect();
    if members.len() > MAX_NAMED {
        parts.push(format!("and so on: {} more", members.len() - MAX_NAMED));
    }
    parts.join("; ")
}

impl Assumption {
    fn sentence(self) -> &'static str {
        match self {
            Self::GuardStays => "the owned guards are still with the tasks that acquired them",
            Self::PermitsStay => {
                "the semaphore's permits are still with the tasks that acquired them, and nobody adds permits"
            }
            Self::ReceiverStays => "the channel's receiver is still with the task that received from it so far",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waits::state::{Hold, Mode, Resource};

    /// A holder of a read lock, whose second read is behind a writer and `many` other readers: all of them are members.
    fn ring(many: u64) -> State {
        let hold = Hold { party: 0, mode: Mode::Read, count: 1, held_ms: 1.0, may_move: false, is_confirmed: true };
        let resource = Resource {
            number: 1,
            kind: Kind::RwLock,
            place: None,
            creator: None,
            permits: Some(64),
            is_known: true,
            foreign_total: 0,
            holds: vec![hold],
            receiver: None,
        };
        let wait = |(party, wanted): (u64, Option<u64>)| Wait {
            party,
            operation: if wanted.is_none() { Operation::Write } else { Operation::Read },
            kind: Kind::RwLock,
            resource: Some(1),
            wanted,
            obtained: 0,
            waited_ms: 1.0,
            is_confirmed: true,
        };
        let readers = (2..many).chain([0]).map(|party| (party, Some(1)));
        State {
            waits: std::iter::once((1, None)).chain(readers).map(wait).collect(),
            resources: vec![resource],
            ..State::default()
        }
    }

    #[test]
    fn members_name_who_blocks_them() {
        let rows = deadlocks(&ring(5));
        let blocked_by =
            |row: &DeadlockRow| row.members.iter().map(|member| member.blocked_by.len()).collect::<Vec<_>>();
        // 0 waits for itself and all others, the writer for 0, and each reader for 0 and those ahead.
        assert_eq!(rows.iter().map(blocked_by).collect::<Vec<_>>(), [[5, 1, 2, 3, 4]]);
    }

    #[test]
    fn a_deadlock_of_thousands_has_rows_of_a_size_that_can_be_read() {
        const MANY: u64 = 4_000;
        let row = deadlocks(&ring(MANY)).remove(0);
        assert_eq!(row.member_count, MANY);
        let longest = row.members.iter().map(|member| member.blocked_by.len()).max();
        assert!(longest <= Some(MAX_NAMED + 1), "{longest:?}");
        assert!(row.summary.len() < 200_000, "{}", row.summary.len());
    }
}
