//! Rows about waits: each with who holds what is waited for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Names, count, default_limit, holders, note};
use crate::waits::state::{Kind, Operation, State, Wait};

/// The arguments of [`graph`].
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(in crate::waits) struct Timers {
    /// Whether to list waits for time (`sleep`, `timeout`, `interval`) too.
    #[serde(default)]
    pub(in crate::waits) timers: bool,
}

/// The arguments of [`longest`].
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(in crate::waits) struct LimitAndTimers {
    /// How many rows to give.
    #[serde(default = "default_limit")]
    pub(in crate::waits) limit: u32,
    /// Whether to list waits for time (`sleep`, `timeout`, `interval`) too.
    #[serde(default)]
    pub(in crate::waits) timers: bool,
}

/// A waiter, what it waits for, and one who holds it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(in crate::waits) struct Edge {
    /// The waiting task's id; none if a thread outside of tasks waits.
    waiter_task: Option<u64>,
    /// The waiting thread's name, if it is no task.
    waiter_thread: Option<String>,
    /// The waiting task's name, if it has one.
    waiter_name: Option<String>,
    /// Where the waiting task was spawned, or the thread called `block_on`; none if that was before the layer recorded.
    waiter_place: Option<String>,
    /// What the waiter does.
    operation: Operation,
    /// What it waits for.
    kind: Kind,
    /// The number of what it waits for: two locks of one place have two numbers; none if it was created before the layer
    /// recorded.
    resource: Option<u64>,
    /// Where what it waits for was created; tokio does not tell it for channels.
    resource_place: Option<String>,
    /// For how long it has waited.
    waited_ms: f64,
    /// The id of a task that holds it. A waiter has a row for each holder.
    holder_task: Option<u64>,
    /// The name of the thread that holds it, if that is no task.
    holder_thread: Option<String>,
    /// The holding task's name, if it has one.
    holder_name: Option<String>,
    /// Where the holding task was spawned.
    holder_place: Option<String>,
    /// For how long it has been held.
    held_ms: Option<f64>,
    /// Why there is no holder, or what is not certain about it.
    note: Option<String>,
}

/// A wait.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(in crate::waits) struct Longest {
    /// The waiting task's id; none if a thread outside of tasks waits.
    task: Option<u64>,
    /// The waiting thread's name, if it is no task.
    thread: Option<String>,
    /// The waiting task's name, if it has one.
    name: Option<String>,
    /// Where the waiting task was spawned, or the thread called `block_on`; none if that was before the layer recorded.
    place: Option<String>,
    /// What it does.
    operation: Operation,
    /// What it waits for.
    kind: Kind,
    /// The number of what it waits for; none if it was created before the layer recorded.
    resource: Option<u64>,
    /// Where what it waits for was created; tokio does not tell it for channels.
    resource_place: Option<String>,
    /// For how long it has waited.
    waited_ms: f64,
    /// How many permits it wants of a semaphore.
    wanted_count: Option<u64>,
    /// Who holds what it waits for.
    held_by: Vec<String>,
    /// Why nobody is named, or what is not certain about it.
    note: Option<String>,
}

/// The edges of the wait graph, the longest wait first.
pub(in crate::waits) fn graph(state: &State, timers: bool) -> Vec<Edge> {
    let names = Names::of(state);
    let mut edges = Vec::new();
    for wait in oldest_first(state, timers) {
        let waiter = names.party(wait.party);
        let resource = names.resource(wait.resource);
        let edge = Edge {
            waiter_task: waiter.task,
            waiter_thread: waiter.thread,
            waiter_name: waiter.name,
            waiter_place: waiter.place,
            operation: wait.operation,
            kind: wait.kind,
            resource: wait.resource,
            resource_place: resource.and_then(|resource| resource.place.clone()),
            waited_ms: wait.waited_ms,
            holder_task: None,
            holder_thread: None,
            holder_name: None,
            holder_place: None,
            held_ms: None,
            note: note(wait.kind, resource),
        };
        let holders = resource.map(holders).unwrap_or_default();
        if holders.is_empty() {
            edges.push(edge);
            continue;
        }
        edges.extend(holders.into_iter().map(|(key, held_ms)| {
            let holder = names.party(key);
            Edge {
                holder_task: holder.task,
                holder_thread: holder.thread,
                holder_name: holder.name,
                holder_place: holder.place,
                held_ms,
                ..edge.clone()
            }
        }));
    }
    edges
}

/// The longest waits.
pub(in crate::waits) fn longest(state: &State, LimitAndTimers { limit, timers }: LimitAndTimers) -> Vec<Longest> {
    let names = Names::of(state);
    let rows = oldest_first(state, timers).into_iter().take(count(limit)).map(|wait| {
        let waiter = names.party(wait.party);
        let resource = names.resource(wait.resource);
        Longest {
            task: waiter.task,
            thread: waiter.thread,
            name: waiter.name,
            place: waiter.place,
            operation: wait.operation,
            kind: wait.kind,
            resource: wait.resource,
            resource_place: resource.and_then(|resource| resource.place.clone()),
            waited_ms: wait.waited_ms,
            wanted_count: wait.wanted.filter(|_| wait.kind == Kind::Semaphore),
            held_by: resource.map(holders).unwrap_or_default().iter().map(|(key, _)| names.label(*key)).collect(),
            note: note(wait.kind, resource),
        }
    });
    rows.collect()
}

fn oldest_first(state: &State, timers: bool) -> Vec<&Wait> {
    let mut waits: Vec<&Wait> = state.waits.iter().filter(|wait| timers || !wait.kind.is_timer()).collect();
    waits.sort_by(|one, other| other.waited_ms.total_cmp(&one.waited_ms));
    waits
}
