//! What the skill freezes: plain numbers, of which the functions make rows. Separate because a capture's file holds exactly
//! this.

use lens_core::{OrUnavailable, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::canary::CanaryReading;
use super::counts::{PollTimeBucket, RuntimeCounts, WorkerCounts};
use super::interval::Interval;
use super::progress::Progress;
use super::rows::{EndedRow, TaskMonitorRow};
use super::window::Window;

/// The runtimes at one instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuntimeState {
    pub(super) runtimes: Vec<Runtime>,
    pub(super) ended: Vec<EndedRow>,
    pub(super) task_monitors: Vec<TaskMonitorRow>,
}

/// Which of tokio's schedulers a runtime has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// One thread, which is the one that calls `block_on`.
    CurrentThread,
    /// Workers of the runtime's own.
    MultiThread,
    /// One that this lens does not know.
    Other,
}

/// Who a runtime is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) label: String,
    pub(super) id: u64,
    pub(super) name: Option<String>,
    pub(super) flavor: Flavor,
    pub(super) num_workers: usize,
    pub(super) attached_at: Timestamp,
}

/// A runtime that is alive. Instants are nanoseconds since the registry was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Runtime {
    pub(super) identity: Identity,
    pub(super) now_ns: u64,
    pub(super) num_alive_tasks: usize,
    pub(super) global_queue_depth: usize,
    pub(super) unstable: OrUnavailable<RuntimeCounts>,
    pub(super) canary: CanaryReading,
    pub(super) workers: Vec<Worker>,
    pub(super) window: Window,
    pub(super) poll_times: OrUnavailable<Vec<PollTimeBucket>>,
    pub(super) intervals: Vec<Interval>,
}

/// A worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Worker {
    pub(super) progress: Progress,
    pub(super) unstable: OrUnavailable<WorkerCounts>,
}
