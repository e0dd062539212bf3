//! Rows about the places that create locks, semaphores, channels and timers.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Names, count, default_limit};
use crate::waits::state::{Kind, State};

/// The arguments of [`resources`].
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(in crate::waits) struct Limit {
    /// How many rows to give.
    #[serde(default = "default_limit")]
    pub(in crate::waits) limit: u32,
}

/// All resources of one place.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(in crate::waits) struct SiteRow {
    /// What they are.
    kind: Kind,
    /// Where they were created; tokio does not tell it for channels.
    place: Option<String>,
    /// How many of them exist.
    alive_count: u64,
    /// How many of them are held.
    held_count: u64,
    /// How many wait for one of them.
    waiting_count: u64,
    /// For how long the first of these has waited; none if nobody does.
    longest_wait_ms: Option<f64>,
    /// Acquisitions of those that exist, so far.
    acquired_total: u64,
    /// How often somebody had to wait for one of those that exist, so far.
    contended_total: u64,
    /// The mean of the waits that ended; none if there was none.
    mean_wait_ms: Option<f64>,
}

/// All resources by place, the most waited for first.
pub(in crate::waits) fn resources(state: &State, limit: u32) -> Vec<SiteRow> {
    let names = Names::of(state);
    let mut waiting: HashMap<(Kind, Option<&str>), (u64, f64)> = HashMap::new();
    for wait in &state.waits {
        if let Some(resource) = names.resource(wait.resource) {
            let (count, longest) = waiting.entry((resource.kind, resource.place.as_deref())).or_default();
            *count += 1;
            *longest = longest.max(wait.waited_ms);
        }
    }
    let mut rows: Vec<SiteRow> = state
        .sites
        .iter()
        .map(|site| {
            let waits = waiting.get(&(site.kind, site.place.as_deref()));
            let waiting_count = waits.map_or(0, |(count, _)| *count);
            let ended = site.contended_total.saturating_sub(waiting_count);
            SiteRow {
                kind: site.kind,
                place: site.place.clone(),
                alive_count: site.count,
                held_count: site.held_count,
                waiting_count,
                longest_wait_ms: waits.map(|(_, longest)| *longest),
                acquired_total: site.acquired_total,
                contended_total: site.contended_total,
                mean_wait_ms: (ended > 0).then(|| site.waited_ms / lossy(ended)),
            }
        })
        .collect();
    rows.sort_by(|one, other| {
        let key = |row: &SiteRow| (row.kind.is_timer(), std::cmp::Reverse((row.waiting_count, row.contended_total)));
        key(one).cmp(&key(other)).then(other.alive_count.cmp(&one.alive_count)).then(one.place.cmp(&other.place))
    });
    rows.truncate(count(limit));
    rows
}

#[expect(clippy::cast_precision_loss, reason = "the mean of 2^53 waits is out of reach")]
fn lossy(count: u64) -> f64 {
    count as f64
}
