//! `heap.arenas()`: jemalloc's arenas one by one. Separate because an arena is where free pages stay behind.

use schemars::JsonSchema;
use serde::Serialize;

use lens_core::skill::NoArguments;
use lens_core::{CallError, Functions, View};

use crate::state::HeapState;

/// One arena.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ArenaRow {
    /// Its index.
    pub arena: u64,
    /// Threads that allocate from it now.
    pub thread_count: u64,
    /// Bytes that it handed out, with those in the caches of threads.
    pub allocated_bytes: u64,
    /// Bytes in pages that hold allocations.
    pub active_bytes: u64,
    /// Bytes in free pages that were not given back yet.
    pub dirty_bytes: u64,
    /// Bytes in free pages that the kernel may take when it needs them.
    pub muzzy_bytes: u64,
    /// Bytes that are in memory at most.
    pub resident_bytes: u64,
    /// Bytes of address space in use.
    pub mapped_bytes: u64,
    /// Bytes of address space that were given back and are kept for later.
    pub retained_bytes: u64,
    /// Bytes that jemalloc uses itself for this arena.
    pub metadata_bytes: u64,
    /// Bytes in the caches of the threads that allocate from it.
    pub tcache_bytes: u64,
    /// Allocations that were asked of it since the start; those that a thread's cache serves are added now and then.
    pub requests_total: u64,
}

pub(super) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    to.rows("arenas", "Every arena: threads, bytes by use, requests.", "heap.arenas()", arenas)
}

fn arenas(view: &View<'_, HeapState>, _: NoArguments) -> Result<Vec<ArenaRow>, CallError> {
    let state = view.jemalloc("arenas")?;
    let page = state.classes.page_bytes;
    let rows = state.snapshot.arenas.iter().map(|arena| ArenaRow {
        arena: arena.index,
        thread_count: arena.readings.nthreads,
        allocated_bytes: arena.blocks.small_allocated.saturating_add(arena.blocks.large_allocated),
        active_bytes: arena.readings.pactive.saturating_mul(page),
        dirty_bytes: arena.readings.pdirty.saturating_mul(page),
        muzzy_bytes: arena.readings.pmuzzy.saturating_mul(page),
        resident_bytes: arena.readings.resident,
        mapped_bytes: arena.readings.mapped,
        retained_bytes: arena.readings.retained,
        metadata_bytes: arena.readings.base.saturating_add(arena.readings.internal),
        tcache_bytes: arena.readings.tcache_bytes,
        requests_total: arena.blocks.small_nrequests.saturating_add(arena.blocks.large_nrequests),
    });
    Ok(rows.collect())
}
