//! Faults of tasks that nobody ends.

use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time;

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault};

const LEAKED: Place = here!("task_leak" in "tasks.rs");
const ORPHANED: Place = here!("orphaned_tasks" in "tasks.rs");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "task_leak",
        about: "tasks are spawned that wait for an answer that never comes",
        truth: Truth::new(Cause::TaskLeak, LEAKED).spawned_at(&[LEAKED]),
        removable: true,
        seconds: Bound::new(600, 3_600),
        rate: Some(Bound::new(50, 5_000)),
        count: Bound::new(10_000, 100_000),
        unit: "live tasks",
        start: |context| drop(tokio::spawn(leak_tasks(context))),
    },
    Fault {
        name: "orphaned_tasks",
        about: "imports are cancelled, but the tasks that they had spawned go on",
        truth: Truth::new(Cause::TaskLeak, ORPHANED).spawned_at(&[ORPHANED]),
        removable: true,
        seconds: Bound::new(600, 3_600),
        rate: Some(Bound::new(20, 1_000)),
        count: Bound::new(4_000, 20_000),
        unit: "live orphans",
        start: |context| drop(tokio::spawn(cancel_imports(context))),
    },
];

async fn leak_tasks(context: Context) {
    let spawn = || {
        tokio::spawn(wait_for_answer(context.clone())); // here: task_leak
        true
    };
    context.pace(spawn).await;
}

/// The answer comes only when the fault ends.
async fn wait_for_answer(context: Context) {
    context.over().await;
}

/// How often an orphan looks for more to import.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts one import after the other, and gives each up as soon as the next one comes. An import ends then; the task
/// that it had spawned does not.
async fn cancel_imports(context: Context) {
    let mut last: Option<AbortHandle> = None;
    let start = || {
        let import = tokio::spawn(import(context.clone()));
        if let Some(last) = last.replace(import.abort_handle()) {
            last.abort();
        }
        true
    };
    context.pace(start).await;
    last.iter().for_each(AbortHandle::abort);
}

async fn import(context: Context) {
    let part = tokio::spawn(import_part(context.clone())); // here: orphaned_tasks
    // Dropping the handle of a task does not end the task.
    let _ = part.await;
}

async fn import_part(context: Context) {
    while context.until_over(time::sleep(LOOK_EVERY)).await.is_some() {}
}
