//! The questions that can be asked of stalls. Separate because they are pure: rows in, rows out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use lens_core::skill::NoArguments;
use lens_core::{CallError, Functions, Span, Timestamp, View};
use schemars::JsonSchema;
use serde::Deserialize;

use super::rows::{SiteStallsRow, StackStallsRow, StallKind, StallRow, StallsState};
use crate::stack::{Frame, Origin};

#[derive(Deserialize, JsonSchema)]
struct Recent {
    /// The most rows.
    #[serde(default = "twenty")]
    limit: u32,
    /// Only those that ended in this time, however long they lasted; all that are kept if it is left out.
    last: Option<Span>,
}

fn twenty() -> u32 {
    20
}

pub(super) fn add(to: Functions<StallsState>) -> Functions<StallsState> {
    to.rows(
        "now",
        "The stalls that are going on, the longest first. Tasks that block legitimately (block_in_place) are listed too.",
        "stalls.now()",
        |state, NoArguments {}| Ok(state.now.clone()),
    )
    .rows(
        "recent",
        "The stalls that have ended, the newest first.",
        "stalls.recent(limit=10)",
        |state, Recent { limit, last }| {
            let from = last.map(|last| state.at().minus(last.0));
            let is_recent = |row: &&StallRow| from.is_none_or(|from| ended_at(row) >= from);
            Ok(state.past.iter().filter(is_recent).take(limit as usize).cloned().collect())
        },
    )
    .rows(
        "blocking_threads",
        "Threads of blocking pools that wait in a call, and where: stacks are taken when it is asked, of at most 12.",
        "stalls.blocking_threads()",
        |state, NoArguments {}| match state.blocking.get() {
            Ok(rows) => Ok(rows.clone()),
            Err(reason) => Err(CallError::Unavailable { subject: "`stalls.blocking_threads`".into(), reason }),
        },
    )
    .rows(
        "by_site",
        "All stalls that are known, grouped by where their tasks were spawned; the most time first.",
        "stalls.by_site()",
        |state, NoArguments {}| Ok(by_site(state)),
    )
    .rows(
        "by_stack",
        "All stalls that are known, grouped by where they were stuck and how that was called; the most time first.",
        "stalls.by_stack()",
        |state, NoArguments {}| Ok(by_stack(state)),
    )
}

/// When a stall ended.
fn ended_at(row: &StallRow) -> Timestamp {
    // A duration that was measured is neither negative nor endless.
    row.started_at.plus(Duration::try_from_secs_f64(row.duration_ms / 1e3).unwrap_or_default())
}

/// Stalls of both lists, those that go on first, then the newest.
fn all<'a>(state: &'a View<'_, StallsState>) -> impl Iterator<Item = &'a StallRow> {
    state.now.iter().chain(&state.past).filter(|row| row.kind != StallKind::BlockInPlace)
}

fn by_site(state: &View<'_, StallsState>) -> Vec<SiteStallsRow> {
    let mut sites: BTreeMap<Option<&str>, SiteStallsRow> = BTreeMap::new();
    for row in all(state) {
        let site = sites.entry(row.spawn_place.as_deref()).or_insert_with(|| SiteStallsRow {
            spawn_place: row.spawn_place.clone(),
            count: 0,
            stalled_now: 0,
            sum_ms: 0.0,
            longest_ms: 0.0,
            last_started_at: row.started_at,
            place: None,
        });
        site.count += 1;
        site.stalled_now += u64::from(!row.is_over);
        site.sum_ms += row.duration_ms;
        site.longest_ms = site.longest_ms.max(row.duration_ms);
        site.last_started_at = site.last_started_at.max(row.started_at);
        if site.place.is_none() {
            site.place.clone_from(&row.place);
        }
    }
    let mut sites: Vec<_> = sites.into_values().collect();
    sites.sort_by(|a, b| b.sum_ms.total_cmp(&a.sum_ms));
    sites
}

fn by_stack(state: &View<'_, StallsState>) -> Vec<StackStallsRow> {
    let mut stacks: BTreeMap<Vec<(&str, Option<&str>)>, StackStallsRow> = BTreeMap::new();
    for row in all(state) {
        let stack = match stacks.entry(way(row)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(StackStallsRow {
                place: row.place.clone(),
                function: row.function.clone(),
                waits_in: row.waits_in.clone(),
                count: 0,
                stalled_now: 0,
                sum_ms: 0.0,
                longest_ms: 0.0,
                last_started_at: row.started_at,
                spawn_places: Vec::new(),
                frames: row.frames.clone(),
            }),
        };
        stack.count += 1;
        stack.stalled_now += u64::from(!row.is_over);
        stack.sum_ms += row.duration_ms;
        stack.longest_ms = stack.longest_ms.max(row.duration_ms);
        stack.last_started_at = stack.last_started_at.max(row.started_at);
        if let Some(place) = row.spawn_place.as_ref().filter(|place| !stack.spawn_places.contains(place)) {
            stack.spawn_places.push(place.clone());
        }
    }
    let mut stacks: Vec<_> = stacks.into_values().collect();
    stacks.sort_by(|a, b| b.sum_ms.total_cmp(&a.sum_ms));
    stacks
}

/// How the stack got to the service's own line: below it, two samples of one loop differ. Of frames above, the functions
/// count and not the lines, which differ where a compiler merges code. Without a stack, where the task was spawned.
fn way(row: &StallRow) -> Vec<(&str, Option<&str>)> {
    let frames: &[Frame] = row.frames.0.as_deref().unwrap_or_default();
    let own = frames.iter().position(|frame| frame.origin == Origin::Service).unwrap_or(0);
    let line = |index: usize| frames[index].place.as_deref().filter(|_| index == own);
    if frames.is_empty() {
        return vec![("", row.spawn_place.as_deref())];
    }
    (own..frames.len()).map(|index| (frames[index].function.as_str(), line(index))).collect()
}

#[cfg(test)]
mod tests {
    use lens_core::{OrUnavailable, Unavailable};

    use super::super::log::Stall;
    use super::*;

    #[test]
    fn stalls_without_a_stack_are_not_stuck_at_one_place() {
        let of = |spawn_place: &str| {
            let stall = Stall::of(StallKind::Poll, Duration::from_secs(1));
            let row = StallRow::new(&stall, &Ok(()));
            StallRow { spawn_place: Some(spawn_place.to_owned()), ..row }
        };
        let (one, same, other) = (of("src/a.rs:1:1"), of("src/a.rs:1:1"), of("src/b.rs:1:1"));
        assert_eq!(one.frames, OrUnavailable(Err(Unavailable::NotYet { until: "the stack is taken".into() })));
        assert!(way(&one) == way(&same) && way(&one) != way(&other));
    }
}
