//! What the skill `console` reads: tokio-console's tasks, resources and operations at one instant. Plain data, without the
//! wire format, so that a saved capture answers in a build without the feature.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that a console server knew at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The address of the server, if it is another process's.
    pub address: Option<String>,
    /// The tasks, by the order of their spawns as far as ids tell.
    pub tasks: Vec<Task>,
    /// Locks, semaphores, channels and timers.
    pub resources: Vec<Resource>,
    /// Operations on them that have begun and not been dropped.
    pub operations: Vec<Operation>,
    /// What is not in the lists.
    pub missing: Missing,
}

/// What a console server left out, since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Tasks that found [`MAX_TASKS`](super::MAX_TASKS) of them. `None` for another process.
    pub tasks: Option<u64>,
    /// Resources that found [`MAX_RESOURCES`](super::MAX_RESOURCES) of them. `None` for another process.
    pub resources: Option<u64>,
    /// Operations that found [`MAX_OPERATIONS`](super::MAX_OPERATIONS) of them. `None` for another process.
    pub operations: Option<u64>,
    /// Tasks, resources, operations and their polls that found the server's queue full. Of another process: since
    /// somebody last asked it.
    pub events: u64,
}

/// A task, as tokio-console sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The id of its tracing span, which operations name.
    pub span: u64,
    /// tokio's id of it.
    pub id: Option<u64>,
    /// The name that it was spawned with.
    pub name: Option<String>,
    /// How it was spawned.
    pub kind: TaskKind,
    /// Where it was spawned.
    pub place: Option<String>,
    /// Whether that is in tokio itself.
    pub is_internal: bool,
    /// What it does.
    pub activity: Activity,
    /// Time since its spawn, until its end.
    pub age_ms: f64,
    /// Time in polls, the one that goes on included.
    pub busy_ms: f64,
    /// Time between a wake and the poll after it; `None` for `block_on`, whose wakes tokio does not tell.
    pub scheduled_ms: Option<f64>,
    /// Polls.
    pub polls: u64,
    /// Wakes.
    pub wakes: u64,
    /// Those of them that came from its own poll.
    pub self_wakes: u64,
    /// Wakers that were cloned.
    pub waker_clones: u64,
    /// Wakers that were dropped, or used up by a wake.
    pub waker_drops: u64,
    /// Time since the last wake.
    pub last_wake_ms: Option<f64>,
    /// Whether it was woken since its last poll began.
    pub is_woken: bool,
    /// The size of its future.
    pub future_bytes: Option<u64>,
    /// The size that the future had before tokio put it in a box.
    pub boxed_from_bytes: Option<u64>,
    /// Whether it was there while the layer was switched off: its wakes and wakers of that time are not counted. Not known
    /// of another process, whose layer cannot be switched off.
    #[serde(default)]
    pub has_gap: bool,
}

/// How a task was spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// `tokio::spawn` and its kind.
    Task,
    /// `spawn_local`.
    Local,
    /// `spawn_blocking`; tokio's workers are such tasks, too.
    Blocking,
    /// The future of `block_on`.
    BlockOn,
    /// Something that this version of lens does not know.
    Other,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// It is being polled.
    Running,
    /// It was woken and waits for its poll.
    Scheduled,
    /// It waits for a wake. A task that yielded is told as idle, too, until its poll.
    Idle,
    /// It has ended.
    Ended,
}

/// A lock, semaphore, channel or timer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// The id of its tracing span.
    pub span: u64,
    /// The resource that it is a part of.
    pub parent: Option<u64>,
    /// `"Sync"` or `"timer"`.
    pub kind: String,
    /// tokio's name of its type: `"Mutex"`.
    pub concrete_type: String,
    /// Where it was created; tokio does not tell it for channels.
    pub place: Option<String>,
    /// Whether it is a part of tokio's implementation: the semaphore inside of a mutex, or of a bounded channel.
    pub is_internal: bool,
    /// Time since it was created, until its end.
    pub age_ms: f64,
    /// Whether it was dropped.
    pub is_ended: bool,
    /// What tokio tells of its state, but for what is known to be wrong.
    pub attributes: BTreeMap<String, String>,
}

/// An operation on a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The id of its tracing span.
    pub span: u64,
    /// The operation that it is a part of.
    pub parent: Option<u64>,
    /// The resource's span.
    pub resource: Option<u64>,
    /// The span of the task that polled it last.
    pub task: Option<u64>,
    /// tokio's name of the method: `"Mutex::lock"`.
    pub source: String,
    /// Time since it began.
    pub age_ms: f64,
    /// Time in its polls.
    pub busy_ms: f64,
    /// Its polls.
    pub polls: u64,
    /// What tokio tells of its progress.
    pub attributes: BTreeMap<String, String>,
}
