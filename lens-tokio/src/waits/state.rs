//! What the `waits` skill reads: who waits for what, who holds it, at one instant. Plain data, without tracing, so that a
//! saved capture answers in a build without the feature.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many parties are told apart that hold one resource at once; more only count.
pub const MAX_HOLDERS: usize = 128;

/// Everything that was being waited for or held at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// For how long the layer has been recording, in milliseconds.
    pub on_for_ms: f64,
    /// Whether it has recorded since it was created; if not, what was created or acquired earlier is not known.
    pub is_whole: bool,
    /// The waits, in the order in which they began.
    pub waits: Vec<Wait>,
    /// Waits that are not in the list because it was full.
    pub left_out_count: u64,
    /// The resources that are held or waited for.
    pub resources: Vec<Resource>,
    /// Held resources that are not in the list because it was full.
    pub resources_left_out_count: u64,
    /// All resources that exist, by the place that created them.
    pub sites: Vec<Site>,
    /// The tasks and threads that wait or hold.
    pub parties: Vec<Party>,
    /// Tasks, resources and waits that could not be recorded because a store was full, since the start.
    pub dropped_total: u64,
}

impl State {
    /// The parties that cannot go on, because everybody who could let them is among them: those in a deadlock, and those
    /// behind one. By their [`Party::key`].
    #[must_use]
    pub fn stuck(&self) -> Vec<u64> {
        super::deadlock::stuck(self)
    }
}

/// A task or thread waits for something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// Who waits: a [`Party::key`].
    pub party: u64,
    /// What it does there.
    pub operation: Operation,
    /// What it waits for.
    pub kind: Kind,
    /// Which one: a [`Resource::number`]; none if it was created before the layer recorded.
    pub resource: Option<u64>,
    /// How many permits it wants; none where it wants all of them (a writer) or there are none.
    pub wanted: Option<u64>,
    /// How many of them it was already given.
    pub obtained: u64,
    /// For how long it has waited, in milliseconds.
    pub waited_ms: f64,
    /// Whether it was there before and after the reading, so that all such waits and holds were true at one instant.
    pub is_confirmed: bool,
}

/// Something that can be held or waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its number; never used again.
    pub number: u64,
    /// What it is.
    pub kind: Kind,
    /// Where it was created.
    pub place: Option<String>,
    /// Who created it: a [`Party::key`].
    pub creator: Option<u64>,
    /// How many permits there are in all.
    pub permits: Option<u64>,
    /// Whether everybody who holds it is in the list.
    pub is_known: bool,
    /// Guards or permits that were released by another party than acquired them, or permits that were added.
    pub foreign_total: u64,
    /// Who holds it.
    pub holds: Vec<Hold>,
    /// Who receives from this channel, as far as is known: a [`Party::key`].
    pub receiver: Option<u64>,
}

/// One party's share of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Who holds it: a [`Party::key`].
    pub party: u64,
    /// In which way.
    pub mode: Mode,
    /// Guards or permits.
    pub count: u64,
    /// For how long, in milliseconds.
    pub held_ms: f64,
    /// Whether the guard can have left the task that acquired it.
    pub may_move: bool,
    /// Whether it was there before and after the reading.
    pub is_confirmed: bool,
}

/// A task or a thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Party {
    /// What it is called in the rest of the state.
    pub key: u64,
    /// The task's id.
    pub task: Option<u64>,
    /// The thread's name, if it is no task.
    pub thread: Option<String>,
    /// The task's name.
    pub name: Option<String>,
    /// Where it was spawned.
    pub place: Option<String>,
}

/// All resources that one place created and that still exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// What they are.
    pub kind: Kind,
    /// The place.
    pub place: Option<String>,
    /// How many there are.
    pub count: u64,
    /// How many are held.
    pub held_count: u64,
    /// Acquisitions so far.
    pub acquired_total: u64,
    /// Acquisitions that had to wait so far.
    pub contended_total: u64,
    /// Time spent in waits that ended, in milliseconds.
    pub waited_ms: f64,
}

/// What can be held or waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// `tokio::sync::Mutex`.
    Mutex,
    /// `tokio::sync::RwLock`.
    #[serde(rename = "rwlock")]
    RwLock,
    /// `tokio::sync::Semaphore`.
    Semaphore,
    /// A bounded `tokio::sync::mpsc` channel.
    Channel,
    /// `tokio::sync::oneshot`.
    Oneshot,
    /// `tokio::sync::Barrier`.
    Barrier,
    /// `tokio::time::Sleep`, as in `sleep` and `timeout`.
    Sleep,
    /// `tokio::time::Interval`.
    Interval,
    /// Something that this lens does not know.
    Other,
}

impl Kind {
    /// Whether time alone ends the wait.
    #[must_use]
    pub fn is_timer(self) -> bool {
        matches!(self, Self::Sleep | Self::Interval)
    }

    /// Whether somebody holds it, whom the others wait for.
    #[must_use]
    pub fn has_holders(self) -> bool {
        matches!(self, Self::Mutex | Self::RwLock | Self::Semaphore)
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RwLock => "rwlock",
            Self::Semaphore => "semaphore",
            Self::Channel => "channel",
            Self::Oneshot => "oneshot",
            Self::Barrier => "barrier",
            Self::Sleep => "sleep",
            Self::Interval => "interval",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a waiting party does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// `Mutex::lock`.
    Lock,
    /// `RwLock::read`.
    Read,
    /// `RwLock::write`.
    Write,
    /// `Semaphore::acquire` and its variants.
    Acquire,
    /// `mpsc::Sender::send` or `reserve`.
    Send,
    /// A `oneshot::Receiver` is awaited.
    Receive,
    /// `oneshot::Sender::closed`.
    Closed,
    /// `Barrier::wait`.
    Arrive,
    /// A timer.
    Sleep,
    /// Something that this lens does not know.
    Other,
}

/// In which way something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// Alone: a mutex's guard or a writer's.
    Exclusive,
    /// With other readers.
    Read,
    /// Some of a semaphore's permits.
    Permits,
}
