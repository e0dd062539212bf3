//! The questions that can be asked of the tasks' state.

mod groups;
mod lints;
mod select;
mod tree;

use lens_core::skill::NoArguments;
use lens_core::{CallError, Functions, Span, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::table::entry::Row;

use super::awaiting::awaiting;
use super::rows::{Count, EndRow, SiteRow, TaskRow, TaskState, net};
use super::state::{Ended, Site, TaskList, TasksState};
use groups::groups;
use lints::lints;
use select::greatest;
use tree::tree;

pub(crate) fn add(to: Functions<TasksState>) -> Functions<TasksState> {
    to.record("count", "How many tasks there are, and what is not listed.", "tasks.count()", |state, NoArguments {}| {
        Ok(Count::of(state))
    })
    .lazy_rows("list", "The live tasks, oldest id first.", "tasks.list(limit=5)", list)
    .record("get", "One live task.", "tasks.get(tasks.list(limit=1)[0].id) if tasks.count().live else None", get)
    .lazy_rows("top", "The live tasks with the most of something, most first.", "tasks.top(limit=3, by=\"busy\")", top)
    .rows(
        "ended",
        "The tasks that ended last, the newest first: a site that spawns and loses tasks all the time shows here.",
        "tasks.ended(limit=5)",
        ended,
    )
    .rows("sites", "The places that tasks were spawned at, most first.", "tasks.sites(limit=5, by=\"live\")", sites)
    .rows(
        "tree",
        "Who spawned whom: each live task followed by what it spawned and is still alive.",
        "tasks.tree(depth=2, limit=10)",
        tree,
    )
    .rows(
        "awaiting",
        "Where tasks wait: those of one spawn place that are suspended at the same places make a row, the largest first. \
         A task that runs has its thread's stack. Only tasks of `lens::spawn` can be asked.",
        "tasks.awaiting(limit=20)",
        |state, arguments| awaiting(state, arguments),
    )
    .acts("wakes each task that can be asked, which is then polled two more times")
    .rows(
        "lints",
        "What is odd about single tasks: a first poll of a second, a later one of 10 ms, an aborted task whose poll does \
         not end, a future of 16 KiB. The last two are only known of tasks of `lens::task::named(…).watch(…)`.",
        "tasks.lints(limit=10)",
        lints,
    )
    .rows("groups", "Tasks by the group that their names begin with, most live first.", "tasks.groups()", groups)
}

/// Which tasks to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct List {
    /// How many rows at most.
    limit: u32,
    /// Only tasks whose spawn place or name contains this text: `"src/cart.rs"`, `"src/cart.rs:41:"`.
    site: Option<String>,
    /// Only running or only idle tasks.
    state: Option<TaskState>,
    /// Only tasks of at least this age.
    min_age: Option<Span>,
}

impl Default for List {
    fn default() -> Self {
        Self { limit: 100, site: None, state: None, min_age: None }
    }
}

/// Which task.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// The task's id.
    id: u64,
}

/// Which of the tasks that have ended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Ends {
    /// How many rows at most.
    limit: u32,
    /// Only tasks whose spawn place or name contains this text.
    site: Option<String>,
}

impl Default for Ends {
    fn default() -> Self {
        Self { limit: 20, site: None }
    }
}

/// Which tasks come first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Top {
    /// How many rows at most.
    limit: u32,
    /// What to compare.
    by: TopBy,
}

impl Default for Top {
    fn default() -> Self {
        Self { limit: 10, by: TopBy::Busy }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TopBy {
    /// Time in polls.
    Busy,
    /// Polls.
    Polls,
    /// The longest poll.
    LongestPoll,
    /// Time since the spawn.
    Age,
    /// Time since the last poll.
    Idle,
    /// Bytes that it allocated.
    Allocated,
    /// Bytes that it allocated and did not free.
    Net,
}

/// Which sites come first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Sites {
    /// How many rows at most.
    limit: u32,
    /// What to compare.
    by: SitesBy,
    /// Only sites whose place or name contains this text.
    site: Option<String>,
}

impl Default for Sites {
    fn default() -> Self {
        Self { limit: 50, by: SitesBy::Live, site: None }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SitesBy {
    /// Live tasks.
    Live,
    /// Tasks spawned.
    Spawned,
    /// Tasks ended.
    Finished,
    /// Time in polls.
    Busy,
    /// Polls.
    Polls,
    /// The longest poll.
    LongestPoll,
    /// Bytes that its tasks allocated.
    Allocated,
    /// Bytes that its tasks allocated and did not free.
    Net,
}

fn list(state: &View<'_, TasksState>, arguments: List) -> Result<TaskList, CallError> {
    let tasks = state.tasks();
    let site = arguments.site.as_deref();
    let wanted: Option<Vec<bool>> = site.map(|text| tasks.places.iter().map(|place| place.contains(text)).collect());
    let min_age_ms = arguments.min_age.map_or(0, |age| u64::try_from(age.0.as_millis()).unwrap_or(u64::MAX));
    let is_wanted = |task: &Row| {
        wanted.as_ref().is_none_or(|wanted| wanted.get(usize::from(task.origin.site())).is_some_and(|&is| is))
            && tasks.at_ms.saturating_sub(task.origin.spawned_ms()) >= min_age_ms
            && arguments
                .state
                .is_none_or(|wanted| (wanted == TaskState::Running) == tasks.running_since(task.id).is_some())
    };
    let wanted = tasks.placed().filter(|(_, task)| is_wanted(task));
    Ok(state.list(greatest(wanted.map(|(at, task)| (u64::MAX - task.id, at)), arguments.limit)))
}

fn get(state: &View<'_, TasksState>, Get { id }: Get) -> Result<TaskRow<'static>, CallError> {
    match state.tasks().iter().find(|task| task.id == id) {
        Some(task) => Ok(TaskRow::of(state.reader(), &task).into_owned()),
        None => Err(no_such_task(id)),
    }
}

fn ended(state: &View<'_, TasksState>, Ends { limit, site }: Ends) -> Result<Vec<EndRow>, CallError> {
    let tasks = state.tasks();
    let is_wanted = |origin| match (&site, tasks.place(origin)) {
        (None, _) => true,
        (Some(text), place) => place.is_some_and(|place| place.contains(text)),
    };
    let wanted = tasks.ended.iter().filter(|Ended(end)| is_wanted(end.origin));
    Ok(wanted.take(limit as usize).map(|Ended(end)| EndRow::of(state, end)).collect())
}

fn no_such_task(id: u64) -> CallError {
    CallError::NotFound {
        name: id.to_string(),
        message: format!(
            "there is no live task with the id {id}: it has ended, or is none that lens sees (see `tasks.count()`)"
        ),
        nearest: None,
    }
}

fn top(state: &View<'_, TasksState>, Top { limit, by }: Top) -> Result<TaskList, CallError> {
    need_bytes(state, "top", matches!(by, TopBy::Allocated | TopBy::Net))?;
    let tasks = state.tasks();
    let idle_ms = |task: &Row| match tasks.running_since(task.id) {
        Some(_) => 0,
        None => tasks.at_ms.saturating_sub(task.last_poll_ms),
    };
    let key = |task: &Row| match by {
        TopBy::Busy => task.busy_ns,
        TopBy::Polls => task.polls,
        // The bits of floats that are not negative are ordered as the floats are.
        TopBy::LongestPoll => task.longest_ns.to_bits().into(),
        TopBy::Age => tasks.at_ms.saturating_sub(task.origin.spawned_ms()),
        TopBy::Idle => idle_ms(task),
        TopBy::Allocated => task.allocated_bytes,
        TopBy::Net => order(net(task.allocated_bytes, task.freed_bytes)),
    };
    Ok(state.list(greatest(tasks.placed().map(|(at, task)| (key(&task), at)), limit)))
}

fn sites(state: &View<'_, TasksState>, arguments: Sites) -> Result<Vec<SiteRow>, CallError> {
    need_bytes(state, "sites", matches!(arguments.by, SitesBy::Allocated | SitesBy::Net))?;
    let key = |site: &Site| match arguments.by {
        SitesBy::Live => site.live,
        SitesBy::Spawned => site.spawned,
        SitesBy::Finished => site.finished,
        SitesBy::Busy => site.busy_ns,
        SitesBy::Polls => site.polls,
        SitesBy::LongestPoll => site.longest_ns.to_bits().into(),
        SitesBy::Allocated => site.allocated_bytes,
        SitesBy::Net => order(net(site.allocated_bytes, site.freed_bytes)),
    };
    let used = state.sites.iter().filter(|site| site.spawned > 0 || site.live > 0);
    let wanted = used.filter(|site| arguments.site.as_deref().is_none_or(|text| site.at.contains(text)));
    let most = greatest(wanted.map(|site| (key(site), site)), arguments.limit);
    Ok(most.into_iter().map(|site| SiteRow::of(state, site)).collect())
}

/// Numbers with a sign, ordered as they are.
fn order(number: i64) -> u64 {
    number.cast_unsigned() ^ 1 << 63
}

/// Refuses to sort by what is not counted.
fn need_bytes(state: &TasksState, function: &str, is_needed: bool) -> Result<(), CallError> {
    match &state.bytes {
        Err(reason) if is_needed => {
            Err(CallError::Unavailable { subject: format!("`tasks.{function}` by bytes"), reason: reason.clone() })
        }
        _ => Ok(()),
    }
}
