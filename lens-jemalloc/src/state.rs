//! What the skill `heap` freezes when it is collected. Separate because its shape is what a saved capture holds.

use serde::{Deserialize, Serialize};

use lens_core::{CallError, OnDemand, Reading};

use crate::config::Configuration;
use crate::history::HeapHistory;
use crate::process::{CHeap, ProcessMemory};
use crate::profile::HeapProfile;
use crate::snapshot::{Mutexes, SizeClasses, Snapshot};

/// The heap at one instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeapState {
    /// What jemalloc says; why not, where it is not Rust's allocator.
    pub jemalloc: Reading<JemallocState>,
    /// What the C library's allocator says of itself; only where the service allowed to ask.
    pub c_heap: Reading<CHeap>,
    /// What the kernel says.
    pub process: Reading<ProcessMemory>,
    /// Who holds the heap's bytes: read when somebody asks, for it writes a profile.
    pub profile: OnDemand<HeapProfile>,
}

/// Everything that jemalloc says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JemallocState {
    /// jemalloc's version, as it writes it.
    pub version: String,
    /// The size classes.
    pub classes: SizeClasses,
    /// The statistics.
    pub snapshot: Snapshot,
    /// jemalloc's own locks, read right after the statistics.
    pub mutexes: Mutexes,
    /// How jemalloc was built and set up.
    pub configuration: Configuration,
    /// The last minute and hour of each class and arena.
    pub history: HeapHistory,
}

impl HeapState {
    /// The profile, or the error of a function that needs it.
    pub(crate) fn profile(&self, function: &str) -> Result<&HeapProfile, CallError> {
        self.profile.get().map_err(|reason| CallError::Unavailable { subject: format!("`heap.{function}`"), reason })
    }

    /// jemalloc's part, or the error of a function that needs it.
    pub(crate) fn jemalloc(&self, function: &str) -> Result<&JemallocState, CallError> {
        self.jemalloc
            .as_ref()
            .map_err(|reason| CallError::Unavailable { subject: format!("`heap.{function}`"), reason: reason.clone() })
    }
}
