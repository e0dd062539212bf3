//! `heap.bins()` and `heap.large()`: the heap by size class. Separate because this is where fragmentation and growth have a
//! size.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use lens_core::{CallError, Functions, OrUnavailable, Reading, Unavailable, View};

use crate::state::{HeapState, JemallocState};

/// How many rows there are by default.
pub const DEFAULT_LIMIT: u32 = 10;

/// Arguments of `heap.bins()`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BinsArguments {
    /// What comes first.
    pub sort_by: BinOrder,
    /// The most rows.
    pub limit: u32,
}

impl Default for BinsArguments {
    fn default() -> Self {
        Self { sort_by: BinOrder::Waste, limit: DEFAULT_LIMIT }
    }
}

/// The orders of `heap.bins()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BinOrder {
    /// Most bytes lost in slabs first.
    Waste,
    /// Most bytes in use first.
    Used,
    /// Fastest growth first.
    Growth,
    /// Smallest size first.
    Size,
}

/// One small size class, all arenas merged.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BinRow {
    /// Bytes of a region: what requests of this class are rounded up to.
    pub size_bytes: u64,
    /// Regions in use, with those in the caches of threads.
    pub used_count: u64,
    /// Regions that the slabs have room for.
    pub region_count: u64,
    /// The share of the regions that is in use; null without slabs.
    pub util_ratio: Option<f64>,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Bytes of slabs that hold nothing.
    pub waste_bytes: u64,
    /// Slabs. `curslabs`.
    pub slab_count: u64,
    /// Slabs with room. `nonfull_slabs`.
    pub nonfull_slab_count: u64,
    /// By how many bytes a second the class grew, over the last minute.
    pub growth_bytes_per_s: OrUnavailable<f64>,
    /// Allocations that were asked for since the start; those that a thread's cache serves are added now and then.
    pub requests_total: u64,
}

/// Arguments of a function with nothing but a limit.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitArgument {
    /// The most rows.
    pub limit: u32,
}

impl Default for LimitArgument {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT }
    }
}

impl LimitArgument {
    pub(super) fn rows(self) -> usize {
        self.limit as usize
    }
}

/// One large size class, all arenas merged.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LargeRow {
    /// Bytes of the largest block of the class. jemalloc 5.3.1 rounds blocks up to pages, 5.3.0 to this.
    pub largest_bytes: u64,
    /// Blocks in use. `curlextents`.
    pub block_count: u64,
    /// Bytes that they have at most.
    pub at_most_bytes: u64,
    /// Bytes that are lost because each block starts at another cache line: a page for each.
    pub padding_bytes: u64,
    /// Allocations since the start.
    pub requests_total: u64,
}

pub(super) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    to.rows(
        "bins",
        "Small size classes: regions in use, slabs, bytes lost in them, growth.",
        "heap.bins(sort_by=\"waste\", limit=5)",
        bins,
    )
    .rows("large", "Large size classes with most bytes in use first.", "heap.large(limit=5)", large)
}

fn bins(view: &View<'_, HeapState>, arguments: BinsArguments) -> Result<Vec<BinRow>, CallError> {
    let state = view.jemalloc("bins")?;
    let growth = growth(state);
    let mut rows: Vec<BinRow> = state
        .snapshot
        .bins
        .iter()
        .zip(&state.classes.small)
        .enumerate()
        .map(|(at, (bin, class))| BinRow {
            size_bytes: class.size,
            used_count: bin.curregs,
            region_count: class.regions(bin),
            util_ratio: share(bin.curregs, class.regions(bin)),
            used_bytes: bin.curregs.saturating_mul(class.size),
            waste_bytes: class.waste_bytes(bin),
            slab_count: bin.curslabs,
            nonfull_slab_count: bin.nonfull_slabs,
            growth_bytes_per_s: growth.clone().map(|growth| growth.get(at).copied().unwrap_or(0.0)).into(),
            requests_total: bin.nrequests,
        })
        .collect();
    match arguments.sort_by {
        BinOrder::Waste => rows.sort_by_key(|row| std::cmp::Reverse(row.waste_bytes)),
        BinOrder::Used => rows.sort_by_key(|row| std::cmp::Reverse(row.used_bytes)),
        BinOrder::Growth => rows.sort_by(|a, b| {
            let per_s = |row: &BinRow| row.growth_bytes_per_s.0.as_ref().copied().unwrap_or(0.0);
            per_s(b).total_cmp(&per_s(a))
        }),
        BinOrder::Size => {}
    }
    rows.truncate(arguments.limit as usize);
    Ok(rows)
}

/// Bytes a second by which each class grew between the first point of the last minute and now.
#[expect(clippy::cast_precision_loss, reason = "bytes of a heap are far below 2^53")]
fn growth(state: &JemallocState) -> Reading<Vec<f64>> {
    let not_yet = || Unavailable::NotYet { until: "lens has recorded two seconds".into() };
    let (Some(first), Some(last)) = (state.history.seconds.front(), state.history.seconds.back()) else {
        return Err(not_yet());
    };
    let elapsed = last.at.since(first.at).as_secs_f64();
    if elapsed <= 0.0 {
        return Err(not_yet());
    }
    let pairs = first.small_bytes.iter().zip(&last.small_bytes);
    Ok(pairs.map(|(&before, &after)| (after as f64 - before as f64) / elapsed).collect())
}

fn large(view: &View<'_, HeapState>, arguments: LimitArgument) -> Result<Vec<LargeRow>, CallError> {
    let state = view.jemalloc("large")?;
    let page = if state.configuration.value("cache_oblivious") == Some("false") { 0 } else { state.classes.page_bytes };
    let mut rows: Vec<LargeRow> = state
        .snapshot
        .large
        .iter()
        .map(|large| {
            let size = state.classes.large_size(large);
            LargeRow {
                largest_bytes: size,
                block_count: large.readings.curlextents,
                at_most_bytes: large.readings.curlextents.saturating_mul(size),
                padding_bytes: large.readings.curlextents.saturating_mul(page),
                requests_total: large.readings.nrequests,
            }
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.at_most_bytes));
    rows.truncate(arguments.rows());
    Ok(rows)
}

/// `part / whole`; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 16 digits")]
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
