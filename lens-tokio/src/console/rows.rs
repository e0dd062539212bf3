//! What the functions of `console` answer. Separate because the fields' comments are the reference that people read.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use lens_core::{OrUnavailable, Reading, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lints::Lint;
use super::state::{Activity, Operation, Resource, State, Task, TaskKind};

/// How many rows are given if nothing else is said.
const DEFAULT_LIMIT: u32 = 20;

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Which tasks come first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tasks {
    /// How many rows at most.
    limit: u32,
    /// What to compare, the most first.
    by: By,
    /// Only tasks whose spawn place or name contains this text.
    site: Option<String>,
    /// With those that tokio spawns itself: its workers.
    internal: bool,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, by: By::Busy, site: None, internal: false }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    /// Time in polls.
    Busy,
    /// Time between a wake and the poll after it.
    Scheduled,
    /// Time since the spawn.
    Age,
    /// Polls.
    Polls,
    /// Wakes.
    Wakes,
    /// Wakes from its own polls.
    SelfWakes,
    /// Wakers that exist.
    Wakers,
    /// The size of the future.
    FutureBytes,
}

/// The arguments of functions that take a number of rows.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limit {
    /// How many rows at most.
    limit: u32,
}

impl Default for Limit {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT }
    }
}

/// A task, as tokio-console sees it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TaskRow {
    /// tokio's id of it, as in `tasks`.
    pub id: Option<u64>,
    /// The name that it was spawned with.
    pub name: Option<String>,
    /// How it was spawned.
    pub kind: TaskKind,
    /// Where it was spawned.
    pub place: Option<String>,
    /// What it does. A task that yielded is told as idle until its poll.
    pub state: Activity,
    /// Time since its spawn.
    pub age_ms: f64,
    /// Time in polls, the one that goes on included.
    pub busy_ms: f64,
    /// Time between a wake and the poll after it. Null for `block_on`, whose wakes tokio does not tell.
    pub scheduled_ms: Option<f64>,
    /// The rest of its time. Null for `block_on`.
    pub idle_ms: Option<f64>,
    /// Polls.
    pub polls_total: u64,
    /// Wakes, while the layer was switched on.
    pub wakes_total: u64,
    /// Those of them that came from its own poll; `yield_now` wakes after the poll, and is none.
    pub self_wakes_total: u64,
    /// Wakers of it that exist. Not known of a task that was there while the layer was switched off.
    pub wakers_count: OrUnavailable<u64>,
    /// Wakers that were cloned.
    pub waker_clones_total: u64,
    /// Wakers that were dropped, or used up by a wake.
    pub waker_drops_total: u64,
    /// Time since the last wake; null if there was none.
    pub last_wake_ms: Option<f64>,
    /// The size of its future.
    pub future_bytes: Option<u64>,
    /// The size that its future had before tokio put it in a box; null if it did not.
    pub boxed_from_bytes: Option<u64>,
    /// What may be wrong with it.
    pub lints: Vec<Lint>,
}

impl TaskRow {
    fn of(task: &Task) -> Self {
        let idle = |scheduled: f64| (task.age_ms - task.busy_ms - scheduled).max(0.0);
        Self {
            id: task.id,
            name: task.name.clone(),
            kind: task.kind,
            place: task.place.clone(),
            state: task.activity,
            age_ms: task.age_ms,
            busy_ms: task.busy_ms,
            scheduled_ms: task.scheduled_ms,
            idle_ms: task.scheduled_ms.map(idle),
            polls_total: task.polls,
            wakes_total: task.wakes,
            self_wakes_total: task.self_wakes,
            wakers_count: wakers(task).into(),
            waker_clones_total: task.waker_clones,
            waker_drops_total: task.waker_drops,
            last_wake_ms: task.last_wake_ms,
            future_bytes: task.future_bytes,
            boxed_from_bytes: task.boxed_from_bytes,
            lints: Lint::of(task),
        }
    }
}

fn wakers(task: &Task) -> Reading<u64> {
    if task.has_gap {
        let how = "keep the console's layer switched on: this task was there while it was off".into();
        return Err(Unavailable::NotEnabled { how });
    }
    Ok(task.waker_clones.saturating_sub(task.waker_drops))
}

/// The tasks with the most of something.
pub(super) fn tasks(state: &State, arguments: &Tasks) -> Vec<TaskRow> {
    let is_meant = |task: &&Task| {
        let has = |text: &Option<String>, part: &String| text.as_ref().is_some_and(|text| text.contains(part));
        let is_there = arguments.site.as_ref().is_none_or(|part| has(&task.place, part) || has(&task.name, part));
        // Another process may keep what has ended for an hour.
        is_there && (arguments.internal || !task.is_internal) && task.activity != Activity::Ended
    };
    let mut rows: Vec<TaskRow> = state.tasks.iter().filter(is_meant).map(TaskRow::of).collect();
    let whole = |ms: f64| Reverse((ms.max(0.0) * 1e6).to_bits());
    rows.sort_by_key(|row| match arguments.by {
        By::Busy => whole(row.busy_ms),
        By::Scheduled => whole(row.scheduled_ms.unwrap_or_default()),
        By::Age => whole(row.age_ms),
        By::Polls => Reverse(row.polls_total),
        By::Wakes => Reverse(row.wakes_total),
        By::SelfWakes => Reverse(row.self_wakes_total),
        // Those that are not known come last.
        By::Wakers => Reverse(row.wakers_count.0.as_ref().map_or(0, |&count| count.saturating_add(1))),
        By::FutureBytes => Reverse(row.future_bytes.unwrap_or_default()),
    });
    rows.truncate(count(arguments.limit));
    rows
}

/// A lock, semaphore, channel or timer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ResourceRow {
    /// The number that operations name it by.
    pub id: u64,
    /// The resource that it is a part of.
    pub parent: Option<u64>,
    /// `"Sync"` or `"timer"`.
    pub kind: String,
    /// tokio's name of its type: `"Mutex"`. A bounded channel is told as its inner `"Semaphore"`; an unbounded channel, a
    /// `watch`, a `broadcast` and a `Notify` are not told.
    pub concrete_type: String,
    /// Where it was created; null for channels and what is inside of others.
    pub place: Option<String>,
    /// Whether it is a part of tokio's implementation.
    pub is_internal: bool,
    /// Time since it was created.
    pub age_ms: f64,
    /// Operations on it that have not ended.
    pub operations_count: u64,
    /// What tokio tells of its state. Left out is whether a lock is held, since tokio tells that after the next one has
    /// it: see `waits.holders()`.
    pub attributes: BTreeMap<String, String>,
    /// What is to be known about the attributes; null if they are right.
    pub caution: Option<String>,
}

/// The resources with most operations.
pub(super) fn resources(state: &State, limit: Limit) -> Vec<ResourceRow> {
    let mut operations: HashMap<u64, u64> = HashMap::new();
    for resource in state.operations.iter().filter_map(|operation| operation.resource) {
        *operations.entry(resource).or_default() += 1;
    }
    let row = |resource: &Resource| ResourceRow {
        id: resource.span,
        parent: resource.parent,
        kind: resource.kind.clone(),
        concrete_type: resource.concrete_type.clone(),
        place: resource.place.clone(),
        is_internal: resource.is_internal,
        age_ms: resource.age_ms,
        operations_count: operations.get(&resource.span).copied().unwrap_or_default(),
        attributes: resource.attributes.clone(),
        caution: caution(resource).map(str::to_owned),
    };
    let mut rows: Vec<ResourceRow> = state.resources.iter().filter(|resource| !resource.is_ended).map(row).collect();
    rows.sort_by_key(|row| (row.is_internal, Reverse(row.operations_count), row.id));
    rows.truncate(count(limit.limit));
    rows
}

fn caution(resource: &Resource) -> Option<&'static str> {
    resource.attributes.contains_key("permits").then_some(
        "tokio tells of permits that are given back, and not of those that `try_` methods took or `forget` kept: \
         `permits` is too high where these are used",
    )
}

/// An operation that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct OperationRow {
    /// Its number.
    pub id: u64,
    /// The operation that it is a part of.
    pub parent: Option<u64>,
    /// tokio's name of the method: `"Mutex::lock"`. Timers' operations are not told.
    pub source: String,
    /// The resource's number; see `console.resources()`.
    pub resource: Option<u64>,
    /// The resource's type.
    pub concrete_type: Option<String>,
    /// Where the resource was created.
    pub resource_place: Option<String>,
    /// The task that polled it last, by tokio's id.
    pub task: Option<u64>,
    /// The task's name.
    pub name: Option<String>,
    /// Where the task was spawned.
    pub place: Option<String>,
    /// Time since it began.
    pub age_ms: f64,
    /// Time in its polls.
    pub busy_ms: f64,
    /// Its polls.
    pub polls_total: u64,
    /// What tokio tells of its progress.
    pub attributes: BTreeMap<String, String>,
}

/// The operations that have lasted longest.
pub(super) fn operations(state: &State, limit: Limit) -> Vec<OperationRow> {
    let tasks: HashMap<u64, &Task> = state.tasks.iter().map(|task| (task.span, task)).collect();
    let resources: HashMap<u64, &Resource> = state.resources.iter().map(|resource| (resource.span, resource)).collect();
    let row = |operation: &Operation| {
        let task = operation.task.and_then(|span| tasks.get(&span));
        let resource = operation.resource.and_then(|span| resources.get(&span));
        OperationRow {
            id: operation.span,
            parent: operation.parent,
            source: operation.source.clone(),
            resource: operation.resource,
            concrete_type: resource.map(|resource| resource.concrete_type.clone()),
            resource_place: resource.and_then(|resource| resource.place.clone()),
            task: task.and_then(|task| task.id),
            name: task.and_then(|task| task.name.clone()),
            place: task.and_then(|task| task.place.clone()),
            age_ms: operation.age_ms,
            busy_ms: operation.busy_ms,
            polls_total: operation.polls,
            attributes: operation.attributes.clone(),
        }
    };
    let mut rows: Vec<OperationRow> = state.operations.iter().map(row).collect();
    rows.sort_by(|one, other| other.age_ms.total_cmp(&one.age_ms));
    rows.truncate(count(limit.limit));
    rows
}

/// Something that may be wrong with a task.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LintRow {
    /// What.
    pub lint: Lint,
    /// What was seen, as a sentence.
    pub text: String,
    /// Whether the task can be sound all the same: look into its code.
    pub is_suspected: bool,
    /// The task, by tokio's id.
    pub task: Option<u64>,
    /// Its name.
    pub name: Option<String>,
    /// Where it was spawned.
    pub place: Option<String>,
}

/// What may be wrong with tasks, the gravest first.
pub(super) fn lints(state: &State, limit: Limit) -> Vec<LintRow> {
    let of = |task: &Task| {
        let row = |lint: Lint| LintRow {
            lint,
            text: lint.text(task),
            is_suspected: lint.is_suspected(),
            task: task.id,
            name: task.name.clone(),
            place: task.place.clone(),
        };
        Lint::of(task).into_iter().map(row).collect::<Vec<_>>()
    };
    let mut rows: Vec<LintRow> = state.tasks.iter().flat_map(of).collect();
    rows.sort_by_key(|row| Lint::ALL.iter().position(|lint| *lint == row.lint));
    rows.truncate(count(limit.limit));
    rows
}

/// How much there is, and what is missing.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SummaryRow {
    /// The address of the console server; null for this process.
    pub address: Option<String>,
    /// Tasks that are listed.
    pub tasks_count: u64,
    /// Resources that are listed.
    pub resources_count: u64,
    /// Operations that are listed.
    pub operations_count: u64,
    /// Tasks for which there was no room, since the layer was added.
    pub missing_tasks_total: OrUnavailable<u64>,
    /// Resources for which there was no room, since the layer was added.
    pub missing_resources_total: OrUnavailable<u64>,
    /// Operations for which there was no room, since the layer was added.
    pub missing_operations_total: OrUnavailable<u64>,
    /// What found the server's queue full: tasks, resources, operations and polls of these. Of another process, since
    /// somebody last asked it.
    pub missing_events_total: u64,
}

pub(super) fn summary(state: &State) -> SummaryRow {
    let own = |number: Option<u64>| {
        let elsewhere =
            || Unavailable::NotEnabled { how: "ask lens in that process, if it is there: it counts them".into() };
        number.ok_or_else(elsewhere).into()
    };
    SummaryRow {
        address: state.address.clone(),
        tasks_count: state.tasks.iter().filter(|task| !task.is_internal && task.activity != Activity::Ended).count()
            as u64,
        resources_count: state.resources.iter().filter(|resource| !resource.is_ended).count() as u64,
        operations_count: state.operations.len() as u64,
        missing_tasks_total: own(state.missing.tasks),
        missing_resources_total: own(state.missing.resources),
        missing_operations_total: own(state.missing.operations),
        missing_events_total: state.missing.events,
    }
}
