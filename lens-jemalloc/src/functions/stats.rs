//! `heap.stats()`: the process's totals. Separate because it is the first thing that anybody asks.

use schemars::JsonSchema;
use serde::Serialize;

use lens_core::skill::NoArguments;
use lens_core::{CallError, Functions, OrUnavailable, Reading, Span, Unavailable, View};

use crate::breakdown::Breakdown;
use crate::state::HeapState;

/// The heap in one row.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HeapStats {
    /// Bytes that the service holds: allocated, without what the caches of threads hold. Rounded up to size classes.
    pub live_bytes: u64,
    /// Bytes that jemalloc handed out, with those that wait in the caches of threads. `stats.allocated`.
    pub allocated_bytes: u64,
    /// Bytes in pages that hold allocations. `stats.active`.
    pub active_bytes: u64,
    /// Bytes of jemalloc's that are in memory at most: active, dirty and metadata; pages that were never touched count,
    /// muzzy ones do not. `stats.resident`.
    pub resident_bytes: u64,
    /// Bytes of the process that are in memory, jemalloc's and others', as the kernel counts.
    pub rss_bytes: OrUnavailable<u64>,
    /// Bytes of address space in use. `stats.mapped`.
    pub mapped_bytes: u64,
    /// Bytes of address space that were given back and are kept for later: no memory. `stats.retained`.
    pub retained_bytes: u64,
    /// Bytes that jemalloc uses itself. `stats.metadata`.
    pub metadata_bytes: u64,
    /// Bytes in the caches of threads.
    pub tcache_bytes: u64,
    /// Bytes in free pages that were not given back yet.
    pub dirty_bytes: u64,
    /// Bytes in free pages that the kernel may take when it needs them.
    pub muzzy_bytes: u64,
    /// Bytes that left the arenas a second, over the last minute. What a thread's cache serves does not count: what each
    /// task allocates does, in `tasks`.
    pub arena_allocated_bytes_per_s: OrUnavailable<f64>,
    /// Bytes that came back to the arenas a second, over the last minute.
    pub arena_deallocated_bytes_per_s: OrUnavailable<f64>,
    /// Bytes of dirty pages that jemalloc gave back a second, over the last minute.
    pub purged_bytes_per_s: OrUnavailable<f64>,
    /// Arenas that exist.
    pub arena_count: u64,
    /// Background threads that give pages back.
    pub background_thread_count: u64,
    /// jemalloc's version.
    pub version: String,
}

/// The window of the rates.
const RATES: Span = Span::seconds(60);

pub(super) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    to.record("stats", "The heap's totals in bytes, and how fast they turn over.", "heap.stats()", stats)
}

fn stats(view: &View<'_, HeapState>, _: NoArguments) -> Result<HeapStats, CallError> {
    let state = view.jemalloc("stats")?;
    let snapshot = &state.snapshot;
    let parts = Breakdown::of(snapshot, &state.classes);
    Ok(HeapStats {
        live_bytes: parts.live,
        allocated_bytes: snapshot.totals.allocated,
        active_bytes: snapshot.totals.active,
        resident_bytes: snapshot.totals.resident,
        rss_bytes: view.process.as_ref().map(|memory| memory.rss_bytes).map_err(Clone::clone).into(),
        mapped_bytes: snapshot.totals.mapped,
        retained_bytes: snapshot.totals.retained,
        metadata_bytes: snapshot.totals.metadata,
        tcache_bytes: parts.thread_caches,
        dirty_bytes: parts.dirty,
        muzzy_bytes: parts.muzzy,
        arena_allocated_bytes_per_s: rate(view, "arena_allocated_total").into(),
        arena_deallocated_bytes_per_s: rate(view, "arena_deallocated_total").into(),
        purged_bytes_per_s: rate(view, "purged_total").into(),
        arena_count: snapshot.arenas.len() as u64,
        background_thread_count: snapshot.background.num_threads,
        version: state.version.clone(),
    })
}

/// The mean rate of a counter over the last minute.
fn rate(view: &View<'_, HeapState>, counter: &str) -> Reading<f64> {
    let series = view.series(counter, RATES);
    series
        .map(|series| series.mean())
        .map_err(|_| Unavailable::NotYet { until: "lens has recorded two seconds in the last minute".into() })
}
