//! The questions of `logs`. Separate because they are all that a query sees of the skill: pure, over the state.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use lens_core::numbers::total;
use lens_core::skill::NoArguments;
use lens_core::{Functions, Timestamp, time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::levels::Level;
use super::state::{LogEvent, LogsState, PlaceCount};
use super::template::template;

/// How many rows a function gives unless asked for another number.
const ROWS: usize = 20;

fn rows() -> usize {
    ROWS
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Recent {
    /// The most rows to give.
    #[serde(default = "rows")]
    limit: usize,
    /// Only events of this level.
    #[serde(default)]
    level: Option<Level>,
    /// Only events whose target begins with this: `"orders::payment"`.
    #[serde(default)]
    target: Option<String>,
    /// Only events whose message, fields or spans contain this text, in any case.
    #[serde(default)]
    #[schemars(extend("x-lens-free-text" = true))]
    text: Option<String>,
}

/// What places are sorted by.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PlacesBy {
    /// Events per second in the last minute.
    #[default]
    Rate,
    /// Events since the layer was added.
    Count,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct PlacesTop {
    /// The most rows to give.
    #[serde(default = "rows")]
    limit: usize,
    /// What to sort by, greatest first.
    #[serde(default)]
    by: PlacesBy,
    /// Only places of this level.
    #[serde(default)]
    level: Option<Level>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Limit {
    /// The most rows to give.
    #[serde(default = "rows")]
    limit: usize,
}

/// How much is logged. The counts are exact.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogStats {
    /// Events at level ERROR since the layer was added.
    pub errors_total: u64,
    /// Events at level WARN.
    pub warnings_total: u64,
    /// Events at level INFO.
    pub infos_total: u64,
    /// Events at level DEBUG; the layer records none unless it is asked to.
    pub debugs_total: u64,
    /// Events at level TRACE; the layer records none unless it is asked to.
    pub traces_total: u64,
    /// Events at level ERROR per second, in the window; absent before there is one.
    pub errors_per_s: Option<f64>,
    /// Events of all levels per second, in the window; absent before there is one.
    pub events_per_s: Option<f64>,
    /// The window of rates: the last minute, or less if the layer is younger.
    pub window_ms: Option<f64>,
    /// Places that log.
    pub place_count: u64,
    /// Events at places beyond the most that are told apart; they are only counted by level.
    pub elsewhere_total: u64,
    /// Events that are counted, but not kept one by one.
    pub unlisted_total: u64,
}

/// One event.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogRow {
    /// When it was logged.
    pub at: Timestamp,
    /// How severe it is.
    pub level: Level,
    /// Its target, usually the module; absent for a place beyond the most that are told apart.
    pub target: Option<String>,
    /// The file and line that logged it.
    pub place: Option<String>,
    /// Its message, without secrets, at most 256 bytes.
    #[schemars(extend("x-lens-free-text" = true))]
    pub message: String,
    /// Its other fields, without secrets, at most 256 bytes: `order=17 customer="anna"`.
    #[schemars(extend("x-lens-free-text" = true))]
    pub fields: String,
    /// The names of the spans around it, the innermost first: `payment < request`.
    pub spans: String,
    /// tokio's id of the task that logged it; absent outside of tasks.
    pub task: Option<u64>,
    /// Where that task was spawned; absent on stable tokio.
    pub spawned_at: Option<String>,
}

/// A line of the source that logs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogPlaceRow {
    /// The file and line; absent if its events do not tell.
    pub place: Option<String>,
    /// How severe its events are.
    pub level: Level,
    /// Their target.
    pub target: String,
    /// How often it logged since the layer was added; exact.
    pub count_total: u64,
    /// How often per second, in the window of `logs.stats().window_ms`; absent before there is one.
    pub rate_per_s: Option<f64>,
    /// When it logged first.
    pub first_at: Timestamp,
    /// Its newest message that was kept.
    #[schemars(extend("x-lens-free-text" = true))]
    pub message: Option<String>,
    /// The fields of that one.
    #[schemars(extend("x-lens-free-text" = true))]
    pub fields: Option<String>,
    /// Where the task was spawned that logged that one.
    pub spawned_at: Option<String>,
}

/// What a target logs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogTargetRow {
    /// The target, usually a module.
    pub target: String,
    /// Events at level ERROR since the layer was added; exact.
    pub errors_total: u64,
    /// Events at level WARN.
    pub warnings_total: u64,
    /// Events of all levels.
    pub events_total: u64,
    /// Events of all levels per second, in the window; absent before there is one.
    pub rate_per_s: Option<f64>,
}

/// Recent events that differ only in their values.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogGroupRow {
    /// What they have in common: the message with `#` for numbers and ids.
    #[schemars(extend("x-lens-free-text" = true))]
    pub template: String,
    /// How severe they are.
    pub level: Level,
    /// The file and line that logged them.
    pub place: Option<String>,
    /// How many of the recent events are in the group. `logs.places()` has exact counts.
    pub recent_count: u64,
    /// When the oldest of them was logged.
    pub first_at: Timestamp,
    /// When the newest of them was logged.
    pub last_at: Timestamp,
    /// The newest one's message.
    #[schemars(extend("x-lens-free-text" = true))]
    pub example: String,
}

pub(super) fn add(to: Functions<LogsState>) -> Functions<LogsState> {
    to.record(
        "stats",
        "How much is logged at each level; the counts are exact.",
        "logs.stats()",
        |state, NoArguments {}| Ok(stats(state)),
    )
    .rows(
        "recent",
        "The last events, newest first, without secrets. Of a place that logs in a storm 16 are kept in a second.",
        "logs.recent(limit=5, level=\"error\")",
        |state, arguments: Recent| Ok(recent(state, arguments)),
    )
    .rows(
        "places",
        "The lines of the source that log, greatest rate first; the counts are exact.",
        "logs.places(limit=5)",
        |state, arguments: PlacesTop| Ok(places(state, arguments)),
    )
    .rows(
        "targets",
        "How much each target logs, most errors first; the counts are exact.",
        "logs.targets(limit=5)",
        |state, Limit { limit }| Ok(targets(state, limit)),
    )
    .rows(
        "groups",
        "The recent events, put together where they differ only in numbers, ids and quoted text; most frequent first.",
        "logs.groups(limit=5)",
        |state, Limit { limit }| Ok(groups(state, limit)),
    )
}

fn stats(state: &LogsState) -> LogStats {
    let rate = |counts: &dyn Fn(&PlaceCount) -> bool| {
        let window = state.window?.as_secs_f64();
        let events = total(state.places.iter().filter(|place| counts(place)).map(PlaceCount::in_window));
        per_second(events, window)
    };
    LogStats {
        errors_total: state.totals.of(Level::Error),
        warnings_total: state.totals.of(Level::Warn),
        infos_total: state.totals.of(Level::Info),
        debugs_total: state.totals.of(Level::Debug),
        traces_total: state.totals.of(Level::Trace),
        errors_per_s: rate(&|place| place.level == Level::Error),
        events_per_s: rate(&|_| true),
        window_ms: state.window.map(time::millis),
        place_count: state.places.len() as u64,
        elsewhere_total: state.elsewhere,
        unlisted_total: state.dropped,
    }
}

fn recent(state: &LogsState, Recent { limit, level, target, text }: Recent) -> Vec<LogRow> {
    let text = text.map(|text| text.to_lowercase());
    let is_asked_for = |event: &&LogEvent| {
        level.is_none_or(|level| event.level == level)
            && target
                .as_ref()
                .is_none_or(|asked| event.target.as_ref().is_some_and(|own| own.starts_with(asked.as_str())))
            && text.as_ref().is_none_or(|text| event.contains(text))
    };
    state.recent.iter().filter(is_asked_for).take(limit).map(LogRow::from).collect()
}

fn places(state: &LogsState, PlacesTop { limit, by, level }: PlacesTop) -> Vec<LogPlaceRow> {
    let mut places: Vec<_> =
        state.places.iter().filter(|place| level.is_none_or(|level| place.level == level)).collect();
    places.sort_by_key(|place| {
        let first = match by {
            PlacesBy::Rate => place.in_window(),
            PlacesBy::Count => place.count,
        };
        (Reverse(first), Reverse(place.count), &place.place)
    });
    places.into_iter().take(limit).map(|place| place_row(state, place)).collect()
}

fn place_row(state: &LogsState, place: &PlaceCount) -> LogPlaceRow {
    let is_its = |event: &&LogEvent| {
        event.place == place.place && event.level == place.level && event.target.as_deref() == Some(&place.target)
    };
    let newest = state.recent.iter().find(is_its);
    LogPlaceRow {
        place: place.place.clone(),
        level: place.level,
        target: place.target.clone(),
        count_total: place.count,
        rate_per_s: state.window.and_then(|window| per_second(place.in_window(), window.as_secs_f64())),
        first_at: place.first_at,
        message: newest.map(|event| event.message.clone()),
        fields: newest.map(|event| event.fields.clone()),
        spawned_at: newest.and_then(|event| event.spawned_at.clone()),
    }
}

fn targets(state: &LogsState, limit: usize) -> Vec<LogTargetRow> {
    let mut targets: BTreeMap<&str, Vec<&PlaceCount>> = BTreeMap::new();
    for place in &state.places {
        targets.entry(&place.target).or_default().push(place);
    }
    let of = |places: &[&PlaceCount], level: Option<Level>| -> u64 {
        total(places.iter().filter(|place| level.is_none_or(|level| place.level == level)).map(|place| place.count))
    };
    let row = |(target, places): (&str, Vec<&PlaceCount>)| LogTargetRow {
        target: target.to_owned(),
        errors_total: of(&places, Some(Level::Error)),
        warnings_total: of(&places, Some(Level::Warn)),
        events_total: of(&places, None),
        rate_per_s: state
            .window
            .and_then(|window| per_second(total(places.iter().map(|place| place.in_window())), window.as_secs_f64())),
    };
    let mut rows: Vec<_> = targets.into_iter().map(row).collect();
    rows.sort_by_key(|row| Reverse((row.errors_total, row.warnings_total, row.events_total)));
    rows.truncate(limit);
    rows
}

fn groups(state: &LogsState, limit: usize) -> Vec<LogGroupRow> {
    let mut groups: BTreeMap<(Level, Option<&str>, String), LogGroupRow> = BTreeMap::new();
    // Newest first, so the first of a group is its newest.
    for event in &state.recent {
        let template = template(&event.message);
        let group =
            groups.entry((event.level, event.place.as_deref(), template)).or_insert_with_key(|key| LogGroupRow {
                template: key.2.clone(),
                level: event.level,
                place: event.place.clone(),
                recent_count: 0,
                first_at: event.at,
                last_at: event.at,
                example: event.message.clone(),
            });
        group.recent_count += 1;
        group.first_at = event.at;
    }
    let mut rows: Vec<_> = groups.into_values().collect();
    rows.sort_by_key(|row| Reverse((row.recent_count, row.last_at)));
    rows.truncate(limit);
    rows
}

#[expect(clippy::cast_precision_loss, reason = "a rate is not exact beyond 2⁵³ events")]
fn per_second(events: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| events as f64 / seconds)
}

impl PlaceCount {
    fn in_window(&self) -> u64 {
        self.count.saturating_sub(self.before)
    }
}

impl LogEvent {
    fn contains(&self, text: &str) -> bool {
        [&self.message, &self.fields, &self.spans].into_iter().any(|own| own.to_lowercase().contains(text))
    }
}

impl From<&LogEvent> for LogRow {
    fn from(event: &LogEvent) -> Self {
        Self {
            at: event.at,
            level: event.level,
            target: event.target.clone(),
            place: event.place.clone(),
            message: event.message.clone(),
            fields: event.fields.clone(),
            spans: event.spans.clone(),
            task: event.task,
            spawned_at: event.spawned_at.clone(),
        }
    }
}
