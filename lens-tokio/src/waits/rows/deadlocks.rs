//! Rows about deadlocks: the [graph's](crate::waits::deadlock) answer in words.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Names, holders};
use crate::waits::deadlock::{self, Assumption};
use crate::waits::state::{Kind, Operation, State, Wait};

/// Parties that wait for each other.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(in crate::waits) struct DeadlockRow {
    /// The deadlock in one sentence.
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
    /// The members that keep it from going on.
    blocked_by: Vec<String>,
}

/// Every deadlock.
pub(in crate::waits) fn deadlocks(state: &State) -> Vec<DeadlockRow> {
    let names = Names::of(state);
    let rows = deadlock::find(state).into_iter().map(|deadlock| {
        let members: Vec<Member> =
            deadlock.members.iter().filter_map(|key| member(state, &names, *key, &deadlock.members)).collect();
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

fn member(state: &State, names: &Names<'_>, key: u64, members: &[u64]) -> Option<Member> {
    // The wait that another member keeps from ending; a party may also wait behind the deadlock elsewhere.
    let waits = || state.waits.iter().filter(|wait| wait.party == key && wait.is_confirmed);
    let blockers = |wait: &Wait| -> Vec<u64> {
        let Some(resource) = names.resource(wait.resource) else { return Vec::new() };
        let mut keys: Vec<u64> = holders(resource).into_iter().map(|(key, _)| key).collect();
        let ahead = state.waits.iter().take_while(|other| !std::ptr::eq(*other, wait));
        let is_behind_queue = resource.kind == Kind::RwLock && wait.operation == Operation::Read;
        keys.extend(ahead.filter(|other| is_behind_queue && other.resource == wait.resource).map(|other| other.party));
        keys.retain(|key| members.contains(key));
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let wait = waits().find(|wait| !blockers(wait).is_empty()).or_else(|| waits().next())?;
    let party = names.party(key);
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
        blocked_by: blockers(wait).into_iter().map(|key| names.label(key)).collect(),
    })
}

fn summary(names: &Names<'_>, keys: &[u64], members: &[Member]) -> String {
    let parts: Vec<String> = keys
        .iter()
        .zip(members)
        .map(|(key, member)| {
            let place = member.resource_place.as_deref().unwrap_or("an unknown place");
            let blocked_by = member.blocked_by.join(" and ");
            format!("{} waits for the {} of {place}, which {blocked_by} has", names.label(*key), member.kind)
        })
        .collect();
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
