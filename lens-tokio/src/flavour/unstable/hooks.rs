//! The task hooks, of lens and of the service. tokio has one place for each, so lens's closure calls the service's.
//!
//! A hook of the service that panics does what it would do without lens. Before a poll it is called first: if it
//! unwinds, lens has not noted a poll that nothing would end. Everywhere else lens's comes first.

use std::sync::Arc;

use lens_core::Reading;
use tokio::runtime::TaskMeta;

use crate::instrument::local::known_slot;
use crate::instrument::name::take_name;
use crate::instrument::{BuilderNumber, TABLE, bytes, number_of, with_slot};
use crate::table::sites::Site;

/// A hook of a task.
type TaskHook = Arc<dyn Fn(&TaskMeta<'_>) + Send + Sync>;

/// The service's own task hooks.
#[derive(Clone, Default)]
pub(crate) struct TaskHooks {
    pub(crate) spawn: Option<TaskHook>,
    pub(crate) before_poll: Option<TaskHook>,
    pub(crate) after_poll: Option<TaskHook>,
    pub(crate) terminate: Option<TaskHook>,
}

impl TaskHooks {
    /// Sets lens's hooks and these.
    pub(crate) fn install(&self, builder: &mut tokio::runtime::Builder, number: BuilderNumber) {
        match self.spawn.clone() {
            None => builder.on_task_spawn(move |task| spawned(task, number)),
            Some(own) => builder.on_task_spawn(move |task| {
                spawned(task, number);
                own(task);
            }),
        };
        match self.before_poll.clone() {
            None => builder.on_before_task_poll(poll_starts),
            Some(own) => builder.on_before_task_poll(move |task| {
                own(task);
                poll_starts(task);
            }),
        };
        match self.after_poll.clone() {
            None => builder.on_after_task_poll(poll_ends),
            Some(own) => builder.on_after_task_poll(move |task| {
                poll_ends(task);
                own(task);
            }),
        };
        match self.terminate.clone() {
            None => builder.on_task_terminate(ended),
            Some(own) => builder.on_task_terminate(move |task| {
                ended(task);
                own(task);
            }),
        };
    }
}

/// Whether there are task hooks.
pub(crate) fn reading() -> Reading<()> {
    Ok(())
}

fn spawned(task: &TaskMeta<'_>, number: BuilderNumber) {
    // Inside this hook, and this one only, the current task is the one that spawns.
    let parent = tokio::task::try_id().map_or(0, |id| number_of(&id));
    let site = Site { place: task.spawned_at(), name: take_name() };
    with_slot(|slot| {
        bytes::uncounted(slot, || TABLE.spawned(slot, number_of(&task.id()), parent, &site, number.0));
    });
}

/// Calls nothing and saves no registers where nothing but counting is to be done, which is nearly always.
#[inline(always)]
fn poll_starts(task: &TaskMeta<'_>) {
    let id = number_of(&task.id());
    match known_slot() {
        Some(slot) if TABLE.simple_poll_starts(slot, id) => bytes::first_poll_started(slot),
        _ => any_poll_starts(id),
    }
}

#[inline(never)]
fn any_poll_starts(id: u64) {
    with_slot(|slot| {
        TABLE.any_poll_starts(slot, id);
        bytes::poll_started(slot);
    });
}

#[inline(always)]
fn poll_ends(_task: &TaskMeta<'_>) {
    match known_slot() {
        Some(slot) if bytes::are_none(slot) && TABLE.simple_poll_ends(slot) => {}
        _ => any_poll_ends(),
    }
}

#[inline(never)]
fn any_poll_ends() {
    with_slot(|slot| {
        bytes::poll_ends(slot);
        TABLE.any_poll_ends(slot);
    });
}

fn ended(task: &TaskMeta<'_>) {
    with_slot(|slot| bytes::uncounted(slot, || TABLE.ended(slot, number_of(&task.id()))));
}
