//! `heap.profile()` and `heap.sampling()`: who holds the heap's bytes. Separate because these are estimates, which say how
//! good they are.

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use lens_core::skill::NoArguments;
use lens_core::stack::{Frame, Origin};
use lens_core::{CallError, Functions, OrUnavailable, Reading, Timestamp, Unavailable, View};

use super::{DEFAULT_LIMIT, share};
use crate::profile::{HeapProfile, Site, StackUse, sites};
use crate::state::HeapState;

/// How many frames of a site's stack are shown.
const FRAMES: usize = 12;

/// What `heap.profile` is sorted by.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileOrder {
    /// What is alive.
    #[default]
    Live,
    /// What has come since the base, less what has gone.
    Growth,
}

/// Arguments of `heap.profile`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileArguments {
    /// The most rows.
    pub limit: u32,
    /// What comes first: `live` or `growth`.
    pub by: ProfileOrder,
}

impl Default for ProfileArguments {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, by: ProfileOrder::Live }
    }
}

/// What one call site holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProfileRow {
    /// The line that allocates, `"src/cart.rs:41"`: the innermost of the service's own, else of a dependency's. Absent
    /// without line tables.
    pub place: Option<String>,
    /// The function that the line is in.
    pub function: Option<String>,
    /// Whose line it is: `plumbing` is the standard library's, tokio's, the allocator's or lens's own.
    pub origin: Option<Origin>,
    /// What the line called, in which most of it was allocated: `alloc::vec::from_elem`,
    /// `tokio::sync::mpsc::unbounded::UnboundedSender<T>::send`; without its path where it was inlined and the service is
    /// built with line tables only. Absent where the line itself allocates.
    pub called: Option<String>,
    /// The line of that function, `"tokio-1.54.1/src/sync/mpsc/unbounded.rs:580"`.
    pub called_at: Option<String>,
    /// Bytes that are alive.
    pub live_bytes: u64,
    /// Allocations that are alive.
    pub live_count: u64,
    /// What share of all live bytes of the profile that is; absent while nothing is alive.
    pub live_ratio: Option<f64>,
    /// Bytes that have come since the base of `heap.sampling()`, less those that have gone.
    pub growth_bytes: i64,
    /// Bytes that were ever allocated here while it was sampled.
    pub allocated_bytes: OrUnavailable<u64>,
    /// How many samples the live bytes are estimated from.
    pub sample_count: u64,
    /// By how much the live bytes are off, as a share of them: one standard deviation. Absent without samples.
    pub error_ratio: Option<f64>,
    /// The stack that holds most of it, innermost first, without the standard library and the runtime.
    pub stack: Vec<String>,
}

/// How allocations are sampled.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SamplingRow {
    /// Whether they are sampled now.
    pub is_on: bool,
    /// When lens switched it on the last time; absent if it never did.
    pub since: Option<Timestamp>,
    /// When it ends or ended; absent while the service itself has it on, or if it never was.
    pub until: Option<Timestamp>,
    /// How often lens switched it on.
    pub windows_total: u64,
    /// One allocation is taken in this many bytes, on average.
    pub sample_bytes: u64,
    /// Since when growth is measured.
    pub base_at: Option<Timestamp>,
    /// Live bytes of all stacks.
    pub live_bytes: u64,
    /// Stacks of which something is alive.
    pub stack_count: u64,
    /// Stacks that are left out because there are too many.
    pub left_out_count: u64,
    /// Live bytes of those.
    pub left_out_bytes: u64,
}

pub(super) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    to.rows(
        "profile",
        "Who holds the heap's bytes, by the line that allocated them: estimates from samples, with their error.",
        "heap.profile(limit=5)",
        profile,
    )
    .record(
        "sampling",
        "How the allocations are sampled that heap.profile() shows, and since when.",
        "heap.sampling()",
        sampling,
    )
}

fn profile(view: &View<'_, HeapState>, arguments: ProfileArguments) -> Result<Vec<ProfileRow>, CallError> {
    let profile = view.profile("profile")?;
    let live = profile.live().bytes;
    let mut sites = sites(profile);
    // By name among equals, so that the order of two answers is the same.
    sites.sort_by_key(|site| {
        let amount = match arguments.by {
            ProfileOrder::Live => i64::try_from(site.live.bytes).unwrap_or(i64::MAX),
            ProfileOrder::Growth => growth(site),
        };
        (Reverse(amount), site.frame.map(|frame| (&frame.place, &frame.function)))
    });
    Ok(sites.iter().take(arguments.limit as usize).map(|site| row(profile, site, live)).collect())
}

fn growth(site: &Site<'_>) -> i64 {
    site.live.bytes.checked_signed_diff(site.base.bytes).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a share of samples")]
fn row(profile: &HeapProfile, site: &Site<'_>, live: u64) -> ProfileRow {
    let allocated: Reading<u64> = site.total.map(|total| total.bytes).ok_or_else(|| Unavailable::NotEnabled {
        how: "start the service with jemalloc's option `prof_accum:true`, as in \
              `lens::heap_profiles!(\"prof_accum:true\")`; its memory grows with the number of call sites"
            .into(),
    });
    let called = called(profile, site);
    ProfileRow {
        place: site.frame.and_then(|frame| frame.place.clone()),
        function: site.frame.map(|frame| frame.function.clone()),
        origin: site.frame.map(|frame| frame.origin),
        called: called.map(|frame| frame.function.clone()),
        called_at: called.and_then(|frame| frame.place.clone()),
        live_bytes: site.live.bytes,
        live_count: site.live.count,
        live_ratio: share(site.live.bytes, live),
        growth_bytes: growth(site),
        allocated_bytes: allocated.into(),
        sample_count: site.sample_count,
        error_ratio: (site.sample_count > 0).then(|| (site.sample_count as f64).sqrt().recip()),
        stack: shown(profile, site.largest),
    }
}

/// The frame inside the site's own in the stack that holds most.
fn called<'a>(profile: &'a HeapProfile, site: &Site<'a>) -> Option<&'a Frame> {
    let own = site.frame?;
    profile.frames_of(site.largest).take_while(|frame| *frame != own).last()
}

/// The frames of a stack that tell something.
fn shown(profile: &HeapProfile, stack: &StackUse) -> Vec<String> {
    let frame = |frame: &Frame| match &frame.place {
        Some(place) => format!("{} ({place})", frame.function),
        None => frame.function.clone(),
    };
    let telling = |frame: &&Frame| matches!(frame.origin, Origin::Service | Origin::Dependency);
    profile.frames_of(stack).filter(telling).take(FRAMES).map(frame).collect()
}

fn sampling(view: &View<'_, HeapState>, _: NoArguments) -> Result<SamplingRow, CallError> {
    let profile = view.profile("sampling")?;
    let sampling = profile.sampling;
    Ok(SamplingRow {
        is_on: sampling.is_on,
        since: sampling.since,
        until: sampling.until,
        windows_total: sampling.windows_total,
        sample_bytes: sampling.sample_bytes,
        base_at: profile.base_at,
        live_bytes: profile.live().bytes,
        stack_count: profile.stacks.iter().filter(|stack| stack.live.bytes > 0).count() as u64,
        left_out_count: profile.left_out.stack_count,
        left_out_bytes: profile.left_out.live.bytes,
    })
}
