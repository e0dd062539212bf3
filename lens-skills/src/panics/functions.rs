//! The questions of `panics`. Separate because they are all that a query sees of the skill: pure, over the state.

use std::cmp::Reverse;

use lens_core::skill::NoArguments;
use lens_core::{CallError, Functions, Span, Timestamp, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::{Panic, PanicsState, PlaceCount};

/// How many rows a function gives unless asked for another number.
const ROWS: usize = 20;

fn rows() -> usize {
    ROWS
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Limit {
    /// The most rows to give.
    #[serde(default = "rows")]
    limit: usize,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Recent {
    /// The most rows to give.
    #[serde(default = "rows")]
    limit: usize,
    /// Only those at places that contain this text: `"src/cart.rs"`.
    #[serde(default)]
    place: Option<String>,
}

/// All panics of the process.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PanicStats {
    /// Panics since lens has recorded them, those that were caught too.
    pub panics_total: u64,
    /// Panics per second in the last minute; absent until there is a series of it.
    pub panics_per_s: Option<f64>,
    /// Places that panicked.
    pub place_count: u64,
    /// Panics at places beyond the most that are told apart, which are only counted here.
    pub elsewhere_total: u64,
    /// Panics that are counted, but not listed one by one by `panics.recent()`.
    pub unlisted_total: u64,
    /// When the last one that is listed happened.
    pub last_at: Option<Timestamp>,
}

/// One panic.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PanicRow {
    /// When it happened.
    pub at: Timestamp,
    /// Where: the file, line and column of the panic; absent for a place beyond the most that are told apart.
    pub place: Option<String>,
    /// The panic's message, without secrets, at most 320 bytes.
    #[schemars(extend("x-lens-free-text" = true))]
    pub message: String,
    /// The thread's name.
    pub thread: Option<String>,
    /// tokio's id of the task that panicked; absent outside of tasks.
    pub task: Option<u64>,
    /// Where that task was spawned; absent on stable tokio.
    pub spawned_at: Option<String>,
}

/// A place that panicked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PanicGroupRow {
    /// The file, line and column.
    pub place: String,
    /// How often it panicked since lens has recorded panics.
    pub count_total: u64,
    /// When it panicked first.
    pub first_at: Timestamp,
    /// When it panicked last, of those that were kept one by one; absent while none was taken in yet.
    pub last_at: Option<Timestamp>,
    /// The last one's message, without secrets.
    #[schemars(extend("x-lens-free-text" = true))]
    pub message: Option<String>,
    /// Where the last one's task was spawned; absent outside of tasks and on stable tokio.
    pub spawned_at: Option<String>,
}

pub(super) fn add(to: Functions<PanicsState>) -> Functions<PanicsState> {
    to.record("stats", "How many panics there were, and at how many places.", "panics.stats()", stats)
        .rows(
            "recent",
            "The last panics, newest first. Of a place that panics in a loop 16 are kept in a second.",
            "panics.recent(limit=5)",
            recent,
        )
        .rows(
            "groups",
            "The places that panicked, those that did most often first; the counts are exact.",
            "panics.groups(limit=5)",
            |state, Limit { limit }| Ok(groups(state, limit)),
        )
}

fn stats(view: &View<'_, PanicsState>, NoArguments {}: NoArguments) -> Result<PanicStats, CallError> {
    Ok(PanicStats {
        panics_total: view.total,
        panics_per_s: view.series("panics_total", Span::seconds(60)).map(|series| series.mean()).ok(),
        place_count: view.places.len() as u64,
        elsewhere_total: view.elsewhere,
        unlisted_total: view.dropped,
        last_at: view.recent.first().map(|panic| panic.at),
    })
}

fn recent(view: &View<'_, PanicsState>, Recent { limit, place }: Recent) -> Result<Vec<PanicRow>, CallError> {
    let is_asked_for = |panic: &&Panic| {
        place.as_ref().is_none_or(|asked| panic.place.as_ref().is_some_and(|place| place.contains(asked.as_str())))
    };
    Ok(view.recent.iter().filter(is_asked_for).take(limit).map(PanicRow::from).collect())
}

fn groups(state: &PanicsState, limit: usize) -> Vec<PanicGroupRow> {
    let mut places: Vec<&PlaceCount> = state.places.iter().collect();
    places.sort_by_key(|place| (Reverse(place.count), place.place.clone()));
    places.into_iter().take(limit).map(PanicGroupRow::from).collect()
}

impl From<&Panic> for PanicRow {
    fn from(panic: &Panic) -> Self {
        Self {
            at: panic.at,
            place: panic.place.clone(),
            message: panic.message.clone(),
            thread: panic.thread.clone(),
            task: panic.task,
            spawned_at: panic.spawned_at.clone(),
        }
    }
}

impl From<&PlaceCount> for PanicGroupRow {
    fn from(place: &PlaceCount) -> Self {
        let last = place.last.as_ref();
        Self {
            place: place.place.clone(),
            count_total: place.count,
            first_at: place.first_at,
            last_at: last.map(|panic| panic.at),
            message: last.map(|panic| panic.message.clone()),
            spawned_at: last.and_then(|panic| panic.spawned_at.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
