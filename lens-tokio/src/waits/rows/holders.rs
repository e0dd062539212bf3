//! Rows about who holds what.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Names, resource_note};
use crate::waits::state::{Hold, Kind, Mode, Resource, State};

/// A hold.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(in crate::waits) struct Holder {
    /// The holding task's id; none if a thread outside of tasks holds.
    task: Option<u64>,
    /// The holding thread's name, if it is no task.
    thread: Option<String>,
    /// The holding task's name, if it has one.
    name: Option<String>,
    /// Where the holding task was spawned; none if that was before the layer recorded.
    place: Option<String>,
    /// What it holds.
    kind: Kind,
    /// The number of what it holds.
    resource: u64,
    /// Where what it holds was created.
    resource_place: Option<String>,
    /// In which way.
    mode: Mode,
    /// Guards or permits.
    count: u64,
    /// For how long it has held the first of them.
    held_ms: f64,
    /// How many wait for the same resource.
    waiting_count: u64,
    /// For how long the first of them has waited; none if nobody does.
    longest_wait_ms: Option<f64>,
    /// What is not certain about it.
    note: Option<String>,
}

/// Who holds what, those whom most wait for first.
pub(in crate::waits) fn holds(state: &State) -> Vec<Holder> {
    let names = Names::of(state);
    let mut waiting: HashMap<u64, (u64, f64)> = HashMap::new();
    for wait in &state.waits {
        if let Some(resource) = wait.resource {
            let (count, longest) = waiting.entry(resource).or_default();
            *count += 1;
            *longest = longest.max(wait.waited_ms);
        }
    }
    let mut rows = Vec::new();
    for resource in &state.resources {
        let waits = waiting.get(&resource.number);
        for hold in &resource.holds {
            let holder = names.party(hold.party);
            rows.push(Holder {
                task: holder.task,
                thread: holder.thread,
                name: holder.name,
                place: holder.place,
                kind: resource.kind,
                resource: resource.number,
                resource_place: resource.place.clone(),
                mode: hold.mode,
                count: hold.count,
                held_ms: hold.held_ms,
                waiting_count: waits.map_or(0, |(count, _)| *count),
                longest_wait_ms: waits.map(|(_, longest)| *longest),
                note: hold_note(resource, hold),
            });
        }
    }
    rows.sort_by(|one, other| {
        let by_waiters = other.waiting_count.cmp(&one.waiting_count);
        by_waiters.then(other.held_ms.total_cmp(&one.held_ms)).then(one.resource.cmp(&other.resource))
    });
    rows
}

fn hold_note(resource: &Resource, hold: &Hold) -> Option<String> {
    let note = resource_note(resource).or_else(|| {
        (hold.may_move && hold.mode != Mode::Permits).then_some("its guard may have been moved to another task since")
    });
    note.map(str::to_owned)
}
