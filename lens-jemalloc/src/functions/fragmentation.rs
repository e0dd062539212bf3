//! `heap.fragmentation()`: the process's memory by what it is used for. Separate because it is a sum that adds up, while the
//! diagnosis judges.

use schemars::JsonSchema;
use serde::Serialize;

use lens_core::skill::NoArguments;
use lens_core::{CallError, Functions, OrUnavailable, Reading, View};

use super::bins::share;
use crate::breakdown::{Breakdown, InMemory};
use crate::state::HeapState;

/// What memory is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryPart {
    /// The service holds it.
    Live,
    /// Free blocks in the caches of threads.
    ThreadCaches,
    /// Regions of slabs that hold nothing.
    Slabs,
    /// A page more than needed for each large block.
    LargePadding,
    /// Free pages that were not given back yet.
    Dirty,
    /// Free pages that were offered to the kernel, which has not taken them.
    Muzzy,
    /// jemalloc's own memory.
    Metadata,
    /// Address space that was given back and is kept for later.
    Retained,
    /// Memory that jemalloc counts and nobody touched yet.
    Untouched,
    /// Anonymous memory that is not jemalloc's: C code, mappings, stacks.
    Foreign,
    /// Pages of files: the program itself, libraries.
    Files,
    /// Memory shared with other processes.
    Shared,
}

/// One use of memory.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FragmentationRow {
    /// What it is used for.
    pub part: MemoryPart,
    /// Bytes.
    pub bytes: OrUnavailable<u64>,
    /// Their share of the process's memory; null where that is not known or they are not in memory.
    pub rss_ratio: Option<f64>,
    /// Whether they count as memory; `untouched` is what has to be taken off the sum of those that do.
    pub is_in_memory: bool,
    /// Whether they are of no use to the service.
    pub is_waste: bool,
}

pub(super) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    to.rows(
        "fragmentation",
        "The process's memory by what it is used for. What is in memory, less what is untouched, adds up to RSS and swap.",
        "heap.fragmentation()",
        fragmentation,
    )
}

fn fragmentation(view: &View<'_, HeapState>, _: NoArguments) -> Result<Vec<FragmentationRow>, CallError> {
    use MemoryPart::{
        Dirty, Files, Foreign, LargePadding, Live, Metadata, Muzzy, Retained, Shared, Slabs, ThreadCaches, Untouched,
    };
    let state = view.jemalloc("fragmentation")?;
    let parts = Breakdown::of(&state.snapshot, &state.classes);
    let process = view.process.as_ref().map_err(Clone::clone);
    let rss = process.as_ref().ok().map(|memory| memory.rss_bytes);
    let compared = process.clone().map(|memory| parts.in_memory(memory));
    let of = |of: fn(&InMemory) -> u64| compared.as_ref().map(of).map_err(Clone::clone);
    let row = |part, bytes: Reading<u64>, is_in_memory: bool, is_waste| FragmentationRow {
        part,
        rss_ratio: bytes.as_ref().ok().filter(|_| is_in_memory).and_then(|&bytes| share(bytes, rss?)),
        bytes: bytes.into(),
        is_in_memory,
        is_waste,
    };
    Ok(vec![
        row(Live, Ok(parts.live), true, false),
        row(ThreadCaches, Ok(parts.thread_caches), true, true),
        row(Slabs, Ok(parts.slab_waste), true, true),
        row(LargePadding, Ok(parts.large_padding), true, true),
        row(Dirty, Ok(parts.dirty), true, true),
        row(Muzzy, of(|compared| compared.muzzy), true, true),
        row(Metadata, Ok(parts.metadata_resident()), true, true),
        row(Foreign, of(|compared| compared.foreign), true, false),
        row(Files, process.clone().map(|memory| memory.file_bytes), true, false),
        row(Shared, process.map(|memory| memory.shared_bytes), true, false),
        row(Untouched, of(|compared| compared.untouched), false, false),
        row(Retained, Ok(parts.retained), false, false),
    ])
}
