//! The questions that can be asked of the runtimes' state.

use std::time::Duration;

use lens_core::numbers::total;
use lens_core::skill::NoArguments;
use lens_core::time::millis;
use lens_core::{CallError, Functions, OrUnavailable, Reading, Span, Unavailable, View};
use schemars::JsonSchema;
use serde::Deserialize;

use super::counts::{IntervalCounts, RuntimeCounts, WorkerCounts};
use super::observed::busy_ratio;
use super::progress::WorkerState;
use super::rows::{BlockingPoolRow, IntervalRow, PollTimesRow, StatsRow, WorkerRow};
use super::state::{Flavor, Runtime, RuntimeState, Worker};
use super::window::MAX_WINDOW;

pub(super) fn add(to: Functions<RuntimeState>) -> Functions<RuntimeState> {
    to.rows(
        "stats",
        "The runtimes that are alive, a row each: tasks, queues, load, schedule delay.",
        "runtime.stats()",
        stats,
    )
    .rows(
        "workers",
        "The workers, a row each: parked, busy or without progress, and the share of the window they were busy. The thread that called `block_on` of a multi_thread runtime, as `#[tokio::main]` does, is no worker.",
        "runtime.workers(last=\"10s\")",
        workers,
    )
    .rows("blocking_pool", "The threads that `spawn_blocking` uses, a row a runtime.", "runtime.blocking_pool()", pool)
    .rows(
        "poll_times",
        "How long polls took, as a histogram since the runtime's start, if its builder enabled that.",
        "runtime.poll_times()",
        poll_times,
    )
    .rows(
        "intervals",
        "What changed in each of the last seconds, as tokio-metrics sees it, oldest first.",
        "runtime.intervals(last=\"5s\")",
        intervals,
    )
    .rows(
        "task_monitors",
        "The task monitors that the service registered, by name.",
        "runtime.task_monitors()",
        |state, NoArguments {}| Ok(state.task_monitors.clone()),
    )
    .rows(
        "ended",
        "The runtimes that have shut down, oldest first; the last 64 are remembered.",
        "runtime.ended()",
        |state, NoArguments {}| Ok(state.ended.clone()),
    )
}

/// Which runtimes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Which {
    /// Only the runtime of this name.
    runtime: Option<String>,
}

/// Which runtimes, and how far back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Recent {
    /// The window, at most a minute.
    last: Span,
    /// Only the runtime of this name.
    runtime: Option<String>,
}

/// The same, the other way round.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Stats {
    /// Only the runtime of this name.
    runtime: Option<String>,
    /// The window of the busy ratio, at most a minute.
    last: Span,
}

impl Default for Recent {
    fn default() -> Self {
        Self { last: Span::seconds(10), runtime: None }
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self { runtime: None, last: Span::seconds(10) }
    }
}

/// The length of a window that can be looked back.
fn window(last: Span) -> Result<Duration, CallError> {
    if last.0 < Duration::from_secs(1) {
        return Err(CallError::argument("last", format!("`last` takes a length of at least 1s, not \"{last}\"")));
    }
    if last.0 > MAX_WINDOW {
        return Err(CallError::argument(
            "last",
            format!(
                "`last` takes at most 1m here, not \"{last}\"; ask series(\"runtime.busy_ratio\", last=\"{last}\")"
            ),
        ));
    }
    Ok(last.0)
}

/// The runtime of a name, or all.
fn chosen<'a>(state: &'a RuntimeState, name: Option<&str>) -> Result<Vec<&'a Runtime>, CallError> {
    let Some(name) = name else { return Ok(state.runtimes.iter().collect()) };
    if let Some(found) = state.runtimes.iter().find(|runtime| runtime.identity.label == name) {
        return Ok(vec![found]);
    }
    if let Some(ended) = state.ended.iter().rev().find(|ended| ended.runtime == name) {
        let message = format!("the runtime `{name}` has shut down by {}; see runtime.ended()", ended.ended_at);
        return Err(CallError::NotFound { name: name.to_owned(), message, nearest: None });
    }
    let known = state.runtimes.iter().map(|runtime| runtime.identity.label.as_str());
    Err(CallError::not_found("runtime called", name, known))
}

/// One value of several that are known together or not at all.
fn part<T, U>(whole: &OrUnavailable<T>, part: impl FnOnce(&T) -> U) -> OrUnavailable<U> {
    OrUnavailable(whole.0.as_ref().map(part).map_err(Clone::clone))
}

fn ms(nanos: u64) -> f64 {
    millis(Duration::from_nanos(nanos))
}

impl Runtime {
    fn busy_ratio(&self, index: usize, last: Duration) -> Reading<f64> {
        let worker = &self.workers[index].progress;
        busy_ratio(self.identity.flavor, index, worker, &self.window, self.now_ns, last)
    }

    fn mean_busy_ratio(&self, last: Duration) -> Reading<f64> {
        let sum: f64 = (0..self.workers.len()).map(|index| self.busy_ratio(index, last)).sum::<Reading<f64>>()?;
        #[expect(clippy::cast_precision_loss, reason = "there are no 2^53 workers")]
        let count = self.workers.len().max(1) as f64;
        Ok(sum / count)
    }

    fn count(&self, state: WorkerState) -> u64 {
        self.workers.iter().filter(|worker| worker.progress.state(self.now_ns) == state).count() as u64
    }
}

fn stats(view: &View<'_, RuntimeState>, Stats { runtime, last }: Stats) -> Result<Vec<StatsRow>, CallError> {
    let last = window(last)?;
    let row = |runtime: &Runtime| {
        let counts = |field: fn(&RuntimeCounts) -> u64| part(&runtime.unstable, field);
        let delay = runtime.canary.delay_ns();
        StatsRow {
            runtime: runtime.identity.label.clone(),
            id: runtime.identity.id,
            name: runtime.identity.name.clone(),
            flavor: runtime.identity.flavor,
            attached_at: runtime.identity.attached_at,
            num_workers: runtime.identity.num_workers as u64,
            num_alive_tasks: runtime.num_alive_tasks as u64,
            global_queue_depth: runtime.global_queue_depth as u64,
            busy_ratio: runtime.mean_busy_ratio(last).into(),
            parked_workers: runtime.count(WorkerState::Parked),
            no_progress_workers: runtime.count(WorkerState::NoProgress),
            schedule_delay_ms: delay
                .map(|(delay, _)| ms(delay))
                .ok_or(Unavailable::NotYet { until: "the canary task has been woken".into() })
                .into(),
            is_schedule_delay_open: delay.is_some_and(|(_, is_open)| is_open),
            spawned_tasks_count: counts(|counts| counts.spawned_tasks_count),
            remote_schedule_count: counts(|counts| counts.remote_schedule_count),
            budget_forced_yield_count: counts(|counts| counts.budget_forced_yield_count),
            num_blocking_threads: counts(|counts| counts.num_blocking_threads as u64),
            num_idle_blocking_threads: counts(|counts| counts.num_idle_blocking_threads as u64),
            blocking_queue_depth: counts(|counts| counts.blocking_queue_depth as u64),
            io_driver_fd_registered_count: counts(|counts| counts.io_driver_fd_registered_count),
            io_driver_fd_deregistered_count: counts(|counts| counts.io_driver_fd_deregistered_count),
            io_driver_ready_count: counts(|counts| counts.io_driver_ready_count),
        }
    };
    Ok(chosen(view, runtime.as_deref())?.into_iter().map(row).collect())
}

fn workers(view: &View<'_, RuntimeState>, Recent { last, runtime }: Recent) -> Result<Vec<WorkerRow>, CallError> {
    let last = window(last)?;
    let rows = chosen(view, runtime.as_deref())?.into_iter().flat_map(|runtime| {
        let row = move |(index, worker)| worker_row(view, runtime, index, worker, last);
        runtime.workers.iter().enumerate().map(row)
    });
    Ok(rows.collect())
}

fn worker_row(
    view: &View<'_, RuntimeState>,
    runtime: &Runtime,
    index: usize,
    worker: &Worker,
    last: Duration,
) -> WorkerRow {
    let progress = &worker.progress;
    let published = progress.published;
    let state = progress.state(runtime.now_ns);
    let stuck =
        (state == WorkerState::NoProgress).then(|| Duration::from_nanos(progress.unpublished_ns(runtime.now_ns)));
    let begin = runtime.window.since(index, runtime.now_ns, last);
    let per_s = |now: u64, before: u64, length: Duration| {
        #[expect(clippy::cast_precision_loss, reason = "a count above 2^53 is not reached")]
        let count = now.saturating_sub(before) as f64;
        count / length.as_secs_f64()
    };
    let counts = |field: fn(&WorkerCounts) -> u64| part(&worker.unstable, field);
    let polls = counts(|counts| counts.poll_count).0;
    let poll_rate = polls.clone().and_then(|now| {
        let (before, length) = begin.clone()?;
        let before = before.poll_count.ok_or_else(|| Unavailable::failed("the window has no polls"))?;
        Ok(per_s(now, before, length))
    });
    WorkerRow {
        runtime: runtime.identity.label.clone(),
        index: index as u64,
        state,
        no_progress_ms: stuck.map(millis),
        no_progress_since: stuck.map(|stuck| view.at().minus(stuck)),
        busy_ratio: runtime.busy_ratio(index, last).into(),
        window_ms: begin.clone().map(|(_, length)| millis(length)).into(),
        is_parked: state == WorkerState::Parked,
        worker_park_count: published.park_count,
        worker_park_unpark_count: published.park_unpark_count,
        park_count_per_s: begin.map(|(before, length)| per_s(published.park_count, before.park_count, length)).into(),
        worker_total_busy_ms: ms(published.busy_ns),
        worker_thread_id: part(&worker.unstable, |counts| counts.thread_id.clone()),
        worker_local_queue_depth: counts(|counts| counts.local_queue_depth as u64),
        worker_poll_count: polls.into(),
        poll_count_per_s: poll_rate.into(),
        worker_mean_poll_ms: mean_poll(runtime.identity.flavor, worker).into(),
        worker_noop_count: counts(|counts| counts.noop_count),
        worker_steal_count: counts(|counts| counts.steal_count),
        worker_steal_operations: counts(|counts| counts.steal_operations),
        worker_local_schedule_count: counts(|counts| counts.local_schedule_count),
        worker_overflow_count: counts(|counts| counts.overflow_count),
    }
}

/// Tokio's estimate, where there is one: a worker that has polled nothing has tokio's guess.
fn mean_poll(flavor: Flavor, worker: &Worker) -> Reading<f64> {
    let counts = worker.unstable.0.as_ref().map_err(Clone::clone)?;
    if flavor == Flavor::CurrentThread {
        return Err(Unavailable::failed("tokio estimates it in multi_thread runtimes only"));
    }
    if counts.poll_count == 0 {
        return Err(Unavailable::NotYet { until: "the worker has polled something".into() });
    }
    Ok(ms(counts.mean_poll_ns))
}

fn pool(view: &View<'_, RuntimeState>, Which { runtime }: Which) -> Result<Vec<BlockingPoolRow>, CallError> {
    let row = |runtime: &Runtime| {
        let counts = |field: fn(&RuntimeCounts) -> usize| part(&runtime.unstable, |counts| field(counts) as u64);
        BlockingPoolRow {
            runtime: runtime.identity.label.clone(),
            num_blocking_threads: counts(|counts| counts.num_blocking_threads),
            num_idle_blocking_threads: counts(|counts| counts.num_idle_blocking_threads),
            busy_blocking_threads: counts(|counts| {
                counts.num_blocking_threads.saturating_sub(counts.num_idle_blocking_threads)
            }),
            blocking_queue_depth: counts(|counts| counts.blocking_queue_depth),
        }
    };
    Ok(chosen(view, runtime.as_deref())?.into_iter().map(row).collect())
}

fn poll_times(view: &View<'_, RuntimeState>, Which { runtime }: Which) -> Result<Vec<PollTimesRow>, CallError> {
    let chosen = chosen(view, runtime.as_deref())?;
    let known: Vec<_> =
        chosen.iter().filter_map(|runtime| Some((runtime, runtime.poll_times.0.as_ref().ok()?))).collect();
    if let (true, Some(Err(reason))) = (known.is_empty(), chosen.first().map(|runtime| &runtime.poll_times.0)) {
        return Err(CallError::Unavailable { subject: "`runtime.poll_times`".into(), reason: reason.clone() });
    }
    let rows = known.into_iter().flat_map(|(runtime, buckets)| {
        let all = total(buckets.iter().map(|bucket| bucket.count));
        #[expect(clippy::cast_precision_loss, reason = "a count above 2^53 is not reached")]
        let ratio = move |count: u64| (all > 0).then(|| count as f64 / all as f64);
        buckets.iter().map(move |bucket| PollTimesRow {
            runtime: runtime.identity.label.clone(),
            from_ms: ms(bucket.start_ns),
            below_ms: bucket.end_ns.map(ms),
            polls_total: bucket.count,
            polls_ratio: ratio(bucket.count),
        })
    });
    Ok(rows.collect())
}

fn intervals(view: &View<'_, RuntimeState>, Recent { last, runtime }: Recent) -> Result<Vec<IntervalRow>, CallError> {
    let last = window(last)?;
    let rows = chosen(view, runtime.as_deref())?.into_iter().flat_map(|runtime| {
        let is_recent = move |at_ns: u64| Duration::from_nanos(runtime.now_ns.saturating_sub(at_ns)) < last;
        runtime.intervals.iter().filter(move |interval| is_recent(interval.at_ns)).map(|interval| {
            let counts = |field: fn(&IntervalCounts) -> u64| part(&interval.unstable, field);
            let sizes = |field: fn(&IntervalCounts) -> usize| part(&interval.unstable, |counts| field(counts) as u64);
            let durations = |index: usize| {
                part(&interval.unstable, |counts| counts.poll_durations_ns.map(|durations| ms(durations[index])))
            };
            IntervalRow {
                runtime: runtime.identity.label.clone(),
                at: interval.at,
                elapsed_ms: ms(interval.elapsed_ns),
                live_tasks_count: interval.live_tasks_count as u64,
                global_queue_depth: interval.global_queue_depth as u64,
                no_progress_workers: interval.no_progress_workers as u64,
                total_park_count: interval.total_park_count,
                max_park_count: interval.max_park_count,
                min_park_count: interval.min_park_count,
                total_busy_ms: ms(interval.total_busy_ns),
                max_busy_ms: ms(interval.max_busy_ns),
                min_busy_ms: ms(interval.min_busy_ns),
                mean_poll_ms: durations(0),
                min_mean_poll_ms: durations(1),
                max_mean_poll_ms: durations(2),
                total_polls_count: counts(|counts| counts.total_polls_count),
                max_polls_count: counts(|counts| counts.max_polls_count),
                min_polls_count: counts(|counts| counts.min_polls_count),
                mean_polls_per_park: part(&interval.unstable, |counts| counts.mean_polls_per_park),
                total_noop_count: counts(|counts| counts.total_noop_count),
                total_steal_count: counts(|counts| counts.total_steal_count),
                total_steal_operations: counts(|counts| counts.total_steal_operations),
                num_remote_schedules: counts(|counts| counts.num_remote_schedules),
                total_local_schedule_count: counts(|counts| counts.total_local_schedule_count),
                total_overflow_count: counts(|counts| counts.total_overflow_count),
                total_local_queue_depth: sizes(|counts| counts.total_local_queue_depth),
                max_local_queue_depth: sizes(|counts| counts.max_local_queue_depth),
                min_local_queue_depth: sizes(|counts| counts.min_local_queue_depth),
                blocking_queue_depth: sizes(|counts| counts.blocking_queue_depth),
                blocking_threads_count: sizes(|counts| counts.blocking_threads_count),
                idle_blocking_threads_count: sizes(|counts| counts.idle_blocking_threads_count),
                budget_forced_yield_count: counts(|counts| counts.budget_forced_yield_count),
                io_driver_ready_count: counts(|counts| counts.io_driver_ready_count),
            }
        })
    });
    Ok(rows.collect())
}
