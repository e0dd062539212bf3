//! The rows that the skill's functions give. Separate because their field comments are the reference that people and
//! models read.

use std::borrow::Cow;

use lens_core::numbers::total;
use lens_core::{Cell, OrUnavailable, Reading, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::table::ends::End;
use crate::table::entry::Row;
use crate::table::stats::{FIRST_POLL_BITS, POLL_BUCKETS};
use crate::task::KnownHandle;

use super::state::{Reader, Site, Tasks, TasksState};

/// A live task.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TaskRow<'a> {
    /// The task's id, as `tokio::task::Id` shows it.
    pub id: u64,
    /// The task that spawned it, which may have ended since; null if no task did (the body of main, another thread).
    pub parent: Option<u64>,
    /// Where it was spawned: `"src/cart.rs:41:9"`; null if there were too many spawn sites to tell apart.
    pub place: Option<Cow<'a, str>>,
    /// The name that the service gave it, if any.
    pub name: Option<Cow<'a, str>>,
    /// The name of its runtime, if it has one.
    pub runtime: Option<Cow<'a, str>>,
    /// Whose it is: `lens` spawns a few itself.
    pub owner: Owner,
    /// Whether a thread was polling it.
    pub state: TaskState,
    /// How long the poll lasts that is going on, at least: since the clock's first tick in it, or since 10 ms after the one
    /// before where that is long ago; null while idle.
    pub running_ms: Option<f64>,
    /// Time since it was spawned, as exact as the clock's tick.
    pub age_ms: f64,
    /// Time since its last poll, or since it was spawned if it was not polled yet; null while running.
    pub idle_ms: Option<f64>,
    /// How often it was polled: exact.
    pub polls_total: u64,
    /// Time in finished polls. Measured for each poll at sites where polls take 500 ns or more, else estimated from
    /// random samples.
    pub busy_ms: f64,
    /// The longest poll that was measured; null before the first.
    pub longest_poll_ms: Option<f64>,
    /// Bytes that were allocated in its polls, rounded up to size classes: exact. The task itself is its spawner's.
    pub allocated_bytes: OrUnavailable<u64>,
    /// Bytes that were freed in its polls, whoever allocated them.
    pub freed_bytes: OrUnavailable<u64>,
    /// The difference. A task that hands its data on seems to grow, and one that receives some to shrink.
    pub net_bytes: OrUnavailable<i64>,
}

/// A task that has ended. Each thread that polls tasks remembers the last 64 that ended in it. One that several threads
/// polled is left out once a thread has forgotten how often it did.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EndRow {
    /// The task's id, as `tokio::task::Id` shows it. What panicked has the same one in `panics.recent()`.
    pub id: u64,
    /// Where it was spawned: `"src/cart.rs:41:9"`; null if there were too many spawn sites to tell apart.
    pub place: Option<String>,
    /// The name that the service gave it, if any.
    pub name: Option<String>,
    /// The name of its runtime, if it has one.
    pub runtime: Option<String>,
    /// Whose it was: `lens` spawns a few itself.
    pub owner: Owner,
    /// How long ago it ended, as exact as the clock's tick.
    pub ended_ago_ms: f64,
    /// How long it lived, as exact as the clock's tick.
    pub lifetime_ms: f64,
    /// How often it was polled: exact.
    pub polls_total: u64,
}

/// A live task in the tree of who spawned whom. Rows come depth first, children by id.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TreeRow {
    /// How many generations below the first of its line that is shown; 0 for that one.
    pub depth: u32,
    /// The task's id, as `tokio::task::Id` shows it.
    pub id: u64,
    /// The task that spawned it; null if no task did (the body of main, another thread).
    pub parent: Option<u64>,
    /// Whether the task that spawned it has ended while this one goes on. That is usual for a task that serves a
    /// connection and a leak for one that works for its spawner.
    pub is_orphan: bool,
    /// Whether its handle was dropped, so that nobody waits for it and nobody can abort it. Null for a task that was not
    /// spawned with `lens::task::named(…).watch(…)`: tokio does not tell it.
    pub is_detached: Option<bool>,
    /// Whether its handle has aborted it while it goes on, because its poll does not end. Null as above.
    pub is_cancelled: Option<bool>,
    /// The size of its future. Null as above.
    pub future_bytes: Option<u64>,
    /// Live tasks that it spawned itself.
    pub children_count: u64,
    /// Live tasks that it and its live children spawned, those included that depth or limit cut off.
    pub descendants_count: u64,
    /// Where it was spawned: `"src/cart.rs:41:9"`; null if there were too many spawn sites to tell apart.
    pub place: Option<String>,
    /// The name that the service gave it, if any.
    pub name: Option<String>,
    /// Whose it is: `lens` spawns a few itself.
    pub owner: Owner,
    /// Whether a thread was polling it.
    pub state: TaskState,
    /// Time since it was spawned, as exact as the clock's tick.
    pub age_ms: f64,
    /// How often it was polled: exact.
    pub polls_total: u64,
    /// Time in finished polls; see `tasks.top` for how exact it is.
    pub busy_ms: f64,
}

impl TreeRow {
    pub(crate) fn new(
        task: TaskRow<'_>,
        handle: Option<&KnownHandle>,
        depth: u32,
        is_orphan: bool,
        children_count: u64,
        descendants_count: u64,
    ) -> Self {
        Self {
            is_detached: handle.map(|handle| handle.is_detached),
            is_cancelled: handle.map(|handle| handle.is_cancelled),
            future_bytes: handle.map(|handle| handle.future_bytes),
            depth,
            id: task.id,
            parent: task.parent,
            is_orphan,
            children_count,
            descendants_count,
            place: task.place.map(Cow::into_owned),
            name: task.name.map(Cow::into_owned),
            owner: task.owner,
            state: task.state,
            age_ms: task.age_ms,
            polls_total: task.polls_total,
            busy_ms: task.busy_ms,
        }
    }
}

/// Whose a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The service's, or a library's that it uses.
    Service,
    /// Lens's own.
    Lens,
}

/// Whether a task was being polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// A thread was polling it.
    Running,
    /// It was waiting: for something, or for a worker.
    Idle,
}

/// What happened at one spawn site since the start, and in the last seconds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SiteRow {
    /// The place: `"src/cart.rs:41:9"`; null for all sites for which there was no room together.
    pub place: Option<String>,
    /// The name that the service gave the tasks, if any.
    pub name: Option<String>,
    /// Whose the tasks are.
    pub owner: Owner,
    /// Tasks that are alive.
    pub live: u64,
    /// Tasks spawned.
    pub spawned_total: u64,
    /// Tasks ended, aborted ones too.
    pub finished_total: u64,
    /// Tasks spawned per second over the last 10 s.
    pub spawned_per_s: OrUnavailable<f64>,
    /// Tasks ended per second over the last 10 s.
    pub finished_per_s: OrUnavailable<f64>,
    /// Polls: exact.
    pub polls_total: u64,
    /// Polls per second over the last 10 s.
    pub polls_per_s: OrUnavailable<f64>,
    /// Time in finished polls; see `tasks.top` for how exact it is.
    pub busy_ms: f64,
    /// Milliseconds spent in polls per second over the last 10 s: 1000 is one core.
    pub busy_ms_per_s: OrUnavailable<f64>,
    /// The mean length of a poll; null before the first measured one.
    pub mean_poll_ms: Option<f64>,
    /// Half of the polls took less than this, to the next power of two; null before the first measured one.
    pub poll_p50_ms: Option<f64>,
    /// 99 of 100 polls took less than this, to the next power of two; null before the first measured one.
    pub poll_p99_ms: Option<f64>,
    /// The longest poll that was measured; null before the first.
    pub longest_poll_ms: Option<f64>,
    /// Half of the ended tasks lived less than this, to the next power of two; null before the first ended.
    pub lifetime_p50_ms: Option<f64>,
    /// 99 of 100 ended tasks lived less than this, to the next power of two; null before the first ended.
    pub lifetime_p99_ms: Option<f64>,
    /// Bytes that were allocated in polls of its tasks, rounded up to size classes: exact, ended tasks included.
    pub allocated_bytes: OrUnavailable<u64>,
    /// Bytes that were freed in polls of its tasks, whoever allocated them.
    pub freed_bytes: OrUnavailable<u64>,
    /// The difference. What its tasks hand on to others counts here, and is freed elsewhere.
    pub net_bytes: OrUnavailable<i64>,
    /// Bytes allocated per second, over the last 10 seconds.
    pub allocated_bytes_per_s: OrUnavailable<f64>,
    /// Bytes freed per second, over the last 10 seconds.
    pub freed_bytes_per_s: OrUnavailable<f64>,
}

/// How many tasks there are.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Count {
    /// Tasks that are alive, lens's own among them.
    pub live: u64,
    /// Those of them that are lens's own.
    pub own: u64,
    /// Those of them that were being polled.
    pub running: u64,
    /// Tasks spawned since the start.
    pub spawned_total: u64,
    /// Tasks ended, aborted ones too.
    pub finished_total: u64,
    /// Polls since the start.
    pub polls_total: u64,
    /// Time in finished polls.
    pub busy_ms: f64,
    /// Ends of tasks that are not in the table: `spawn_blocking`, tokio's own threads, untracked tasks.
    pub unknown_ends_total: u64,
    /// Tasks for which there was no room: they are in no list.
    pub untracked_total: u64,
    /// Spawns at sites for which there was no room: these tasks are listed without a place.
    pub unplaced_total: u64,
}

impl<'a> TaskRow<'a> {
    pub(crate) fn of(reader: Reader<'a>, task: &Row) -> Self {
        let tasks = reader.tasks;
        let place = tasks.place(task.origin);
        let since = tasks.running_since(task.id);
        let until_now = |from: u64| millis(tasks.at_ms.saturating_sub(from));
        Self {
            id: task.id,
            parent: Some(task.parent).filter(|&parent| parent != 0),
            place: place.and_then(|place| place.place.as_deref()).map(Cow::Borrowed),
            name: place.and_then(|place| place.name.as_deref()).map(Cow::Borrowed),
            runtime: reader.runtime(task.origin).map(Cow::Borrowed),
            owner: owner(place.is_some_and(|place| place.is_lens)),
            state: if since.is_some() { TaskState::Running } else { TaskState::Idle },
            running_ms: since.map(until_now),
            age_ms: until_now(task.origin.spawned_ms()),
            idle_ms: if since.is_some() { None } else { Some(until_now(task.last_poll_ms)) },
            polls_total: task.polls,
            busy_ms: nanos(task.busy_ns),
            longest_poll_ms: longest(task.longest_ns),
            allocated_bytes: counted(reader.bytes, task.allocated_bytes),
            freed_bytes: counted(reader.bytes, task.freed_bytes),
            net_bytes: counted(reader.bytes, net(task.allocated_bytes, task.freed_bytes)),
        }
    }

    /// The same, borrowing nothing.
    pub(crate) fn into_owned(self) -> TaskRow<'static> {
        let owned = |text: Option<Cow<'a, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        TaskRow { place: owned(self.place), name: owned(self.name), runtime: owned(self.runtime), ..self }
    }
}

/// One of the fields that many tasks are filtered by, as the task's row has it, if it is a float.
#[inline]
pub(crate) fn float(tasks: &Tasks, task: impl FnOnce() -> Option<Row>, field: &str) -> Option<f64> {
    let until_now = |from: u64| millis(tasks.at_ms.saturating_sub(from));
    match field {
        "busy_ms" => Some(nanos(task()?.busy_ns)),
        "age_ms" => Some(until_now(task()?.origin.spawned_ms())),
        "idle_ms" => {
            let task = task()?;
            tasks.running_since(task.id).is_none().then(|| until_now(task.last_poll_ms))
        }
        "running_ms" => tasks.running_since(task()?.id).map(until_now),
        _ => None,
    }
}

/// The others of these fields.
#[inline]
pub(crate) fn cell(tasks: &Tasks, task: impl Fn() -> Option<Row>, field: &str) -> Option<Cell> {
    let since = |task: Row| tasks.running_since(task.id);
    Some(match field {
        "id" => task()?.id.into(),
        "place" => match tasks.place(task()?.origin).and_then(|place| place.place.clone()) {
            Some(place) => Cell::Text(place),
            None => Cell::Null,
        },
        "state" => Cell::Text(if since(task()?).is_some() { "running" } else { "idle" }.to_owned()),
        // One of them is null, the other a float.
        "idle_ms" | "running_ms" if (field == "idle_ms") == since(task()?).is_some() => Cell::Null,
        "polls_total" => task()?.polls.into(),
        _ => return None,
    })
}

impl EndRow {
    pub(crate) fn of(state: &TasksState, end: &End) -> Self {
        let tasks = state.tasks();
        let place = tasks.place(end.origin);
        Self {
            id: end.id,
            place: place.and_then(|place| place.place.clone()),
            name: place.and_then(|place| place.name.clone()),
            runtime: state.reader().runtime(end.origin).map(str::to_owned),
            owner: owner(place.is_some_and(|place| place.is_lens)),
            ended_ago_ms: millis(tasks.at_ms.saturating_sub(end.ended_ms)),
            lifetime_ms: millis(end.ended_ms.saturating_sub(end.origin.spawned_ms())),
            polls_total: end.polls,
        }
    }
}

/// A figure that there is only where bytes are counted.
fn counted<T>(reading: &Reading<()>, bytes: T) -> OrUnavailable<T> {
    reading.clone().map(|()| bytes).into()
}

/// What was allocated and not freed.
pub(crate) fn net(allocated: u64, freed: u64) -> i64 {
    allocated.checked_signed_diff(freed).unwrap_or(if allocated > freed { i64::MAX } else { i64::MIN })
}

impl SiteRow {
    pub(crate) fn of(state: &TasksState, site: &Site) -> Self {
        let rate = |of: fn(&super::state::Rates) -> f64| {
            let reading = site.rates.as_ref().map(of);
            reading.ok_or(Unavailable::NotYet { until: "lens has recorded for a second".into() }).into()
        };
        let byte_rate = |of| match &state.bytes {
            Ok(()) => rate(of),
            Err(reason) => Err(reason.clone()).into(),
        };
        let polls_measured = total(site.poll_times.iter().copied());
        Self {
            place: site.at.place.clone(),
            name: site.at.name.clone(),
            owner: owner(site.at.is_lens),
            live: site.live,
            spawned_total: site.spawned,
            finished_total: site.finished,
            spawned_per_s: rate(|rates| rates.spawned_per_s),
            finished_per_s: rate(|rates| rates.finished_per_s),
            polls_total: site.polls,
            polls_per_s: rate(|rates| rates.polls_per_s),
            busy_ms: nanos(site.busy_ns),
            busy_ms_per_s: rate(|rates| rates.busy_ms_per_s),
            #[expect(clippy::cast_precision_loss, reason = "a mean of fewer than 2^53 polls")]
            mean_poll_ms: (polls_measured > 0).then(|| nanos(site.busy_ns) / polls_measured as f64),
            poll_p50_ms: quantile(&site.poll_times, 50).and_then(poll_bucket_end_ms),
            poll_p99_ms: quantile(&site.poll_times, 99).and_then(poll_bucket_end_ms),
            longest_poll_ms: longest(site.longest_ns),
            lifetime_p50_ms: quantile(&site.lifetimes, 50).map(lifetime_bucket_end_ms),
            lifetime_p99_ms: quantile(&site.lifetimes, 99).map(lifetime_bucket_end_ms),
            allocated_bytes: counted(&state.bytes, site.allocated_bytes),
            freed_bytes: counted(&state.bytes, site.freed_bytes),
            net_bytes: counted(&state.bytes, net(site.allocated_bytes, site.freed_bytes)),
            allocated_bytes_per_s: byte_rate(|rates| rates.allocated_bytes_per_s),
            freed_bytes_per_s: byte_rate(|rates| rates.freed_bytes_per_s),
        }
    }
}

impl Count {
    pub(crate) fn of(state: &TasksState) -> Self {
        Self {
            live: state.totals.spawned.saturating_sub(state.totals.finished),
            own: total(state.sites.iter().filter(|site| site.at.is_lens).map(|site| site.live)),
            running: state.totals.running,
            spawned_total: state.totals.spawned,
            finished_total: state.totals.finished,
            polls_total: state.totals.polls,
            busy_ms: nanos(state.totals.busy_ns),
            unknown_ends_total: state.totals.unknown_ends,
            untracked_total: state.totals.untracked,
            unplaced_total: state.totals.unplaced,
        }
    }
}

fn owner(is_lens: bool) -> Owner {
    if is_lens { Owner::Lens } else { Owner::Service }
}

/// The bucket in which a share of `percent` of the distribution is reached; `None` for an empty one.
fn quantile(buckets: &[u64], percent: u64) -> Option<usize> {
    let total: u128 = buckets.iter().copied().map(u128::from).sum();
    let wanted = (total * u128::from(percent)).div_ceil(100);
    let mut sum = 0;
    buckets.iter().position(|&count| {
        sum += u128::from(count);
        sum >= wanted && total > 0
    })
}

/// Where a bucket of poll times ends; the last one does not.
pub(crate) fn poll_bucket_end_ms(bucket: usize) -> Option<f64> {
    let bits = FIRST_POLL_BITS + u32::try_from(bucket).ok()?;
    (bucket + 1 < POLL_BUCKETS).then(|| nanos(1 << bits))
}

/// Where a bucket of lifetimes ends.
pub(crate) fn lifetime_bucket_end_ms(bucket: usize) -> f64 {
    millis(u32::try_from(bucket).ok().and_then(|bits| 1_u64.checked_shl(bits)).unwrap_or(u64::MAX))
}

fn longest(ns: f32) -> Option<f64> {
    (ns > 0.0).then(|| f64::from(ns) / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ns are 104 days of busy time")]
pub(crate) fn nanos(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ms are 285 000 years")]
pub(crate) fn millis(ms: u64) -> f64 {
    ms as f64
}
