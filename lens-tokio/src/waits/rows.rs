//! What the functions of `waits` answer. Separate because the fields' comments are the reference that people read.

mod deadlocks;
mod holders;
mod sites;
mod waits;

use std::collections::HashMap;

use super::state::{Kind, MAX_HOLDERS, Party, Resource, State};

pub(super) use deadlocks::deadlocks;
pub(super) use holders::holds;
pub(super) use sites::{Limit, resources};
pub(super) use waits::{LimitAndTimers, Timers, graph, longest};

/// How many rows are given if nothing else is said.
const DEFAULT_LIMIT: u32 = 20;

fn default_limit() -> u32 {
    DEFAULT_LIMIT
}

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Who has what is waited for, and for how long: as many as are ever recorded, whatever a file says.
fn holders(resource: &Resource) -> Vec<(u64, Option<f64>)> {
    match resource.kind {
        Kind::Channel => resource.receiver.map(|receiver| (receiver, None)).into_iter().collect(),
        _ => resource.holds.iter().take(MAX_HOLDERS).map(|hold| (hold.party, Some(hold.held_ms))).collect(),
    }
}

/// Why nobody is named, or what is not certain.
fn note(kind: Kind, resource: Option<&Resource>) -> Option<String> {
    let note = match (kind, resource) {
        (Kind::Sleep | Kind::Interval, _) => return None,
        (_, None) => "it was created before the layer recorded, or as a constant: who holds it is not known",
        (Kind::Channel, Some(resource)) if resource.receiver.is_some() => {
            "the channel is full; named is the task that received so far"
        }
        (Kind::Channel, _) => "the channel is full; who receives from it is not known",
        (Kind::Oneshot, _) => "who has the other half is not known",
        (Kind::Barrier, _) => "it waits until enough tasks have arrived",
        (_, Some(resource)) => return resource_note(resource).map(str::to_owned),
    };
    Some(note.to_owned())
}

fn resource_note(resource: &Resource) -> Option<&'static str> {
    if !resource.is_known {
        Some("it was held while the layer did not record: there may be other holders")
    } else if resource.foreign_total > 0 && resource.kind == Kind::Semaphore {
        Some("permits were released by others than acquired them, or added: named are those who acquired")
    } else if resource.foreign_total > 0 {
        Some("guards of it were moved to other tasks: named is the task that acquired it")
    } else if resource.holds.is_empty() && resource.kind == Kind::Semaphore {
        Some("tokio does not tell who took permits with `try_acquire`")
    } else if resource.holds.is_empty() && resource.kind.has_holders() {
        Some("it was released and is about to go to the first who waits")
    } else {
        None
    }
}

/// Looks up parties and resources.
struct Names<'a> {
    parties: HashMap<u64, &'a Party>,
    resources: HashMap<u64, &'a Resource>,
}

impl<'a> Names<'a> {
    fn of(state: &'a State) -> Self {
        Self {
            parties: state.parties.iter().map(|party| (party.key, party)).collect(),
            resources: state.resources.iter().map(|resource| (resource.number, resource)).collect(),
        }
    }

    fn party(&self, key: u64) -> Party {
        self.parties.get(&key).map_or_else(|| Party { key, ..Party::default() }, |party| (*party).clone())
    }

    fn resource(&self, number: Option<u64>) -> Option<&'a Resource> {
        self.resources.get(&number?).copied()
    }

    /// `task 12`, with its name and place if it has them.
    fn label(&self, key: u64) -> String {
        let party = self.party(key);
        let mut label = match (party.task, party.thread) {
            (Some(task), _) => format!("task {task}"),
            (None, Some(thread)) if thread.is_empty() => "an unnamed thread".to_owned(),
            (None, Some(thread)) => format!("thread {thread}"),
            (None, None) => "an unknown thread".to_owned(),
        };
        if let Some(name) = party.name {
            label = format!("{label} \"{name}\"");
        }
        if let Some(place) = party.place {
            label = format!("{label} ({place})");
        }
        label
    }
}
