//! What can make a process bigger than its live data. Separate because these words are what rules and people match on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A reason why memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeapCause {
    /// Live data grows without end: a leak, or a cache without bound.
    Leak,
    /// Slabs are kept by few regions each: long-lived small blocks between freed ones.
    SparseSlabs,
    /// Free pages were not given back within their time.
    UndecayedDirty,
    /// Free pages lie in arenas that nobody allocates from any more.
    IdleArenas,
    /// Free pages were offered to the kernel, which has not taken them.
    Muzzy,
    /// The caches of threads hold free blocks.
    ThreadCaches,
    /// Each large block has a page more than it needs.
    LargePadding,
    /// jemalloc's own memory.
    Metadata,
    /// Memory that jemalloc does not know: C code, mappings, stacks.
    ForeignMemory,
    /// Pages of files.
    FilePages,
    /// Memory shared with other processes.
    SharedMemory,
    /// Huge pages that are used in part.
    HugePages,
    /// Free chunks of the C library's allocator.
    FreeChunks,
    /// Memory that was allocated and never touched. It costs address space only.
    UntouchedPages,
}

/// One cause that was found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CauseRow {
    /// Its word.
    pub cause: HeapCause,
    /// Bytes that it costs; for a leak, those that were added in the window.
    pub bytes: u64,
    /// Their share of the process's memory; null where that is not known.
    pub rss_ratio: Option<f64>,
    /// Whether they are in memory. Address space costs nothing.
    pub is_in_memory: bool,
    /// The figures that show it.
    pub evidence: String,
    /// What to do about it.
    pub remedy: String,
}
