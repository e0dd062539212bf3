//! `heap.mutexes()`: how contended jemalloc's own locks are. Separate because it is a question of time, not of bytes.

use schemars::JsonSchema;
use serde::Serialize;

use lens_core::{CallError, Functions, View};

use super::bins::LimitArgument;
use crate::snapshot::MutexSite;
use crate::state::HeapState;

/// One of jemalloc's locks; where each arena has one, all of them merged. Everything counts from the start of the process.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MutexRow {
    /// jemalloc's name for it: `ctl`, `extents_dirty`; `bin` for that of a size class.
    pub lock: String,
    /// `process`, `arena` or `bin`.
    pub level: MutexLevel,
    /// Bytes of the size class that it guards, for a bin's.
    pub size_bytes: Option<u64>,
    /// Acquisitions.
    pub num_ops: u64,
    /// Acquisitions that had to wait.
    pub num_wait: u64,
    /// Acquisitions that succeeded after spinning.
    pub num_spin_acq: u64,
    /// Acquisitions by another thread than the one before.
    pub num_owner_switch: u64,
    /// Time that threads waited for it, all together.
    pub total_wait_ms: f64,
    /// The longest wait.
    pub max_wait_ms: f64,
    /// The most threads that waited at once.
    pub max_num_thds: u64,
}

/// How many there are of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MutexLevel {
    /// One.
    Process,
    /// One in each arena.
    Arena,
    /// One for each size class in each arena.
    Bin,
}

pub(super) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    to.rows("mutexes", "jemalloc's own locks with the longest waits first.", "heap.mutexes(limit=5)", mutexes)
}

fn mutexes(view: &View<'_, HeapState>, arguments: LimitArgument) -> Result<Vec<MutexRow>, CallError> {
    let state = view.jemalloc("mutexes")?;
    let mut rows: Vec<MutexRow> = state
        .mutexes
        .0
        .iter()
        .map(|(site, name, readings)| MutexRow {
            lock: name.clone(),
            level: match site {
                MutexSite::Process => MutexLevel::Process,
                MutexSite::Arena => MutexLevel::Arena,
                MutexSite::Bin { .. } => MutexLevel::Bin,
            },
            size_bytes: if let MutexSite::Bin { size } = site { Some(*size) } else { None },
            num_ops: readings.num_ops,
            num_wait: readings.num_wait,
            num_spin_acq: readings.num_spin_acq,
            num_owner_switch: readings.num_owner_switch,
            total_wait_ms: nanoseconds(readings.total_wait_time),
            max_wait_ms: nanoseconds(readings.max_wait_time),
            max_num_thds: readings.max_num_thds,
        })
        .collect();
    rows.sort_by(|a, b| b.total_wait_ms.total_cmp(&a.total_wait_ms).then(b.num_ops.cmp(&a.num_ops)));
    rows.truncate(arguments.rows());
    Ok(rows)
}

fn nanoseconds(count: u64) -> f64 {
    lens_core::time::millis(std::time::Duration::from_nanos(count))
}
