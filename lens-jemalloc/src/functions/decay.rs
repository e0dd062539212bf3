//! `heap.decay()`: how each arena gives free pages back. Separate because it is asked when RSS does not fall.

use schemars::JsonSchema;
use serde::Serialize;

use lens_core::skill::NoArguments;
use lens_core::{CallError, Functions, OrUnavailable, Unavailable, View};

use crate::state::HeapState;

/// The free pages of one arena.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DecayRow {
    /// Its index.
    pub arena: u64,
    /// Bytes in free pages that were not given back yet.
    pub dirty_bytes: u64,
    /// Bytes in free pages that the kernel may take when it needs them.
    pub muzzy_bytes: u64,
    /// Milliseconds in which dirty pages are given back; null is never.
    pub dirty_decay_ms: Option<f64>,
    /// Milliseconds in which muzzy pages are given back; null is never.
    pub muzzy_decay_ms: Option<f64>,
    /// Whether nothing was allocated from it or freed to it over the last minute: without background threads it then
    /// gives nothing back.
    pub is_idle: OrUnavailable<bool>,
    /// Sweeps that gave dirty pages back. `dirty_npurge`.
    pub dirty_purges_total: u64,
    /// Calls to the kernel that did. `dirty_nmadvise`.
    pub dirty_madvises_total: u64,
    /// Bytes of dirty pages that were given back.
    pub dirty_purged_bytes: u64,
    /// Bytes of muzzy pages that were given back.
    pub muzzy_purged_bytes: u64,
}

pub(super) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    to.rows("decay", "Free pages of each arena, and how they are given back.", "heap.decay()", decay)
}

fn decay(view: &View<'_, HeapState>, _: NoArguments) -> Result<Vec<DecayRow>, CallError> {
    let state = view.jemalloc("decay")?;
    let page = state.classes.page_bytes;
    let rows = state.snapshot.arenas.iter().map(|arena| DecayRow {
        arena: arena.index,
        dirty_bytes: arena.readings.pdirty.saturating_mul(page),
        muzzy_bytes: arena.readings.pmuzzy.saturating_mul(page),
        dirty_decay_ms: milliseconds(arena.decay.dirty_decay_ms),
        muzzy_decay_ms: milliseconds(arena.decay.muzzy_decay_ms),
        is_idle: state
            .history
            .is_idle(arena.index)
            .ok_or(Unavailable::NotYet { until: "lens has recorded two seconds".into() })
            .into(),
        dirty_purges_total: arena.readings.dirty_npurge,
        dirty_madvises_total: arena.readings.dirty_nmadvise,
        dirty_purged_bytes: arena.readings.dirty_purged.saturating_mul(page),
        muzzy_purged_bytes: arena.readings.muzzy_purged.saturating_mul(page),
    });
    Ok(rows.collect())
}

fn milliseconds(setting: i64) -> Option<f64> {
    u32::try_from(setting).ok().map(f64::from)
}
