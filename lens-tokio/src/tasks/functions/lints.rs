//! What is odd about single tasks. Separate because each is a judgement over a row: what is odd about all the tasks of a
//! spawn place is for the checks `busy_loop` and `task_leak`.

use std::borrow::Cow;
use std::cmp::Reverse;

use lens_core::time::millis;
use lens_core::{CallError, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::console::NEVER_YIELDED;
use crate::stalls::THRESHOLD;
use crate::table::entry::Row;
use crate::tasks::rows::{Owner, TaskRow};
use crate::tasks::state::TasksState;

/// From this size on tokio moves a future into a box of its own when it is spawned (`BOX_FUTURE_THRESHOLD` of release
/// builds), after it was moved through the stack of each function that it was handed to.
const LARGE_FUTURE_BYTES: u64 = 16 * 1024;

/// What may be odd about a task, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TaskLint {
    /// Its first poll has lasted for a second: it has never yielded. It may be in a `block_in_place`, which keeps no
    /// worker: `stalls.now()` tells.
    NeverYielded,
    /// It was aborted, and goes on because its poll has lasted for 10 ms.
    CancelledButRunning,
    /// A later poll has lasted for 10 ms.
    LongPoll,
    /// Its future has 16 KiB or more.
    LargeFuture,
}

/// One thing about one task.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct TaskLintRow {
    /// What is odd.
    lint: TaskLint,
    /// The same with its figure, as a sentence.
    text: String,
    /// The task's id, as `tokio::task::Id` shows it.
    task_id: u64,
    /// Where it was spawned: `"src/cart.rs:41:9"`; null if there were too many spawn sites to tell apart.
    place: Option<String>,
    /// The name that the service gave it, if any.
    name: Option<String>,
}

/// How many of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Lints {
    /// How many rows at most.
    limit: u32,
}

impl Default for Lints {
    fn default() -> Self {
        Self { limit: 50 }
    }
}

/// The rows, the gravest lint first, and of one lint the one with the greatest figure.
pub(super) fn lints(state: &View<'_, TasksState>, Lints { limit }: Lints) -> Result<Vec<TaskLintRow>, CallError> {
    let mut found: Vec<(TaskLint, u64, TaskLintRow)> = Vec::new();
    // All that there is to say is of tasks that are polled and of those whose handles are known: few of many.
    let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
    for task in state.tasks().remarkable() {
        let row = TaskRow::of(state.reader(), &task);
        if row.owner == Owner::Lens {
            continue;
        }
        found.extend(of(state, &task, &row).into_iter().map(|(lint, figure, text)| {
            let at = TaskLintRow { lint, text, task_id: row.id, place: owned(&row.place), name: owned(&row.name) };
            (lint, figure, at)
        }));
    }
    found.sort_by_key(|(lint, figure, row)| (*lint, Reverse(*figure), row.task_id));
    Ok(found.into_iter().take(limit as usize).map(|(_, _, row)| row).collect())
}

/// What is odd about a task, each with what it is measured by.
fn of(state: &TasksState, task: &Row, row: &TaskRow<'_>) -> Vec<(TaskLint, u64, String)> {
    let mut found = Vec::new();
    let handle = state.tasks().handle(task.id);
    if let Some(ms) = row.running_ms {
        let is_long = ms >= millis(THRESHOLD);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "to sort by")]
        let figure = ms as u64;
        if row.polls_total <= 1 && ms >= millis(NEVER_YIELDED) {
            found.push((TaskLint::NeverYielded, figure, format!("its first poll has lasted for {ms:.0} ms")));
        } else if row.polls_total > 1 && is_long {
            found.push((TaskLint::LongPoll, figure, format!("its poll has lasted for {ms:.0} ms")));
        }
        if handle.is_some_and(|handle| handle.is_cancelled) && is_long {
            let text = format!("it was aborted, and its poll has lasted for {ms:.0} ms");
            found.push((TaskLint::CancelledButRunning, figure, text));
        }
    }
    if let Some(bytes) = handle.map(|handle| handle.future_bytes).filter(|&bytes| bytes >= LARGE_FUTURE_BYTES) {
        found.push((TaskLint::LargeFuture, bytes, format!("its future has {bytes} bytes")));
    }
    found
}
