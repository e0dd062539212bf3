//! The skill's metrics. Separate because each is a definition that others refer to by name.

use std::time::Duration;

use lens_core::metric::MetricValue as _;
use lens_core::{Metric, Metrics, Reading, Unit};

use super::counts::RuntimeCounts;
use super::observed::Observed;
use super::progress::WorkerState;
use super::runtimes::Inner;

/// The most workers that have a series of their own, those of the runtimes attached first.
pub const MAX_WORKER_SERIES: usize = 16;

/// The most runtimes that have series of their own: those that were not the only one all the time.
pub const MAX_RUNTIME_SERIES: usize = 4;

/// The window of a recorded share.
const SECOND: Duration = Duration::from_secs(1);

static RUNTIMES: Metric = Metric::gauge("runtimes", Unit::Count, "Runtimes that are alive.");
static ENDED: Metric = Metric::counter("ended_total", Unit::Count, "Runtimes that have shut down.");
static ALIVE_TASKS: Metric =
    Metric::gauge("alive_tasks", Unit::Count, "Tasks that have not ended, without lens's own.").bad_when_up();
static GLOBAL_QUEUE: Metric =
    Metric::gauge("global_queue_depth", Unit::Count, "Ready tasks in the queue that all workers share.").bad_when_up();
static BUSY: Metric = Metric::ratio(
    "busy_ratio",
    "The share of the last second that a worker spent on tasks, the mean over the workers. A worker without progress is busy.",
)
.bad_when_up();
static MAX_BUSY: Metric = Metric::ratio("max_worker_busy_ratio", "The busy ratio of the busiest worker.").bad_when_up();
static WORKER_BUSY: Metric =
    Metric::ratio("worker_busy_ratio", "The busy ratio of one worker: `runtime/index`.").bad_when_up();
static NO_PROGRESS: Metric = Metric::gauge(
    "no_progress_workers",
    Unit::Count,
    "Workers that are not parked and have published nothing for 100 ms.",
)
.bad_when_up();
static SCHEDULE_DELAY: Metric = Metric::gauge(
    "schedule_delay_ms",
    Unit::Milliseconds,
    "How long a task that was woken waited for its poll, the longest of the runtimes; while it waits, how long by now. \
     Runtimes of one thread that make no progress are left out while no task of the service waits for them.",
)
.bad_when_up();
static PARKS: Metric = Metric::counter("park_count_total", Unit::Count, "Times that a worker parked.");
static POLLS: Metric = Metric::counter("polls_total", Unit::Count, "Polls of tasks.");
static SPAWNED: Metric = Metric::counter("spawned_tasks_total", Unit::Count, "Tasks that were spawned.");
static REMOTE: Metric =
    Metric::counter("remote_schedule_total", Unit::Count, "Wakes and spawns from outside the runtimes.");
static FORCED_YIELDS: Metric =
    Metric::counter("budget_forced_yield_total", Unit::Count, "Yields of tasks that had used up their budget.");
static IO_READY: Metric = Metric::counter("io_driver_ready_total", Unit::Count, "Readiness events of the I/O drivers.");
static BLOCKING_QUEUE: Metric =
    Metric::gauge("blocking_queue_depth", Unit::Count, "`spawn_blocking` calls that wait for a thread.").bad_when_up();
static BLOCKING_THREADS: Metric =
    Metric::gauge("num_blocking_threads", Unit::Count, "Threads of the blocking pools.").bad_when_up();
static BUSY_BLOCKING_THREADS: Metric =
    Metric::gauge("busy_blocking_threads", Unit::Count, "Threads of the blocking pools that work.").bad_when_up();

/// Records all of it. Without a runtime that is alive, only that.
pub(super) fn record(inner: &Inner, now_ns: u64, out: &mut Metrics) {
    let observed = inner.observed.as_slice();
    out.record(&RUNTIMES, observed.len());
    out.record(&ENDED, inner.ended_total);
    if observed.is_empty() {
        return;
    }
    let sum = |count: fn(&Observed) -> usize| observed.iter().map(count).sum::<usize>();
    out.record(&ALIVE_TASKS, sum(Observed::num_alive_tasks));
    out.record(&GLOBAL_QUEUE, sum(Observed::global_queue_depth));
    out.record(&NO_PROGRESS, observed.iter().map(|runtime| stuck(runtime, now_ns)).sum::<usize>());
    out.record_reading(
        &SCHEDULE_DELAY,
        observed.iter().filter_map(|runtime| delay(runtime, now_ns)).reduce(f64::max).ok_or_else(nothing),
    );
    out.record(&PARKS, observed.iter().map(Observed::park_count).sum::<u64>());
    load(observed, now_ns, out);
    unstable(observed, out);
    for runtime in observed.iter().filter(|runtime| runtime.is_one_of_several).take(MAX_RUNTIME_SERIES) {
        let label = runtime.identity.label.as_str();
        out.record_for(&ALIVE_TASKS, label, runtime.num_alive_tasks());
        out.record_for(&GLOBAL_QUEUE, label, runtime.global_queue_depth());
        out.record_for(&NO_PROGRESS, label, stuck(runtime, now_ns));
        if let Some(delay) = delay(runtime, now_ns) {
            out.record_for(&SCHEDULE_DELAY, label, delay);
        }
        if let Some(mean) = mean((0..runtime.num_workers()).filter_map(|worker| busy(runtime, worker, now_ns))) {
            out.record_for(&BUSY, label, mean);
        }
    }
}

/// The workers' busy ratios: their mean, the greatest, and each.
fn load(observed: &[Observed], now_ns: u64, out: &mut Metrics) {
    let workers = observed.iter().flat_map(|runtime| (0..runtime.num_workers()).map(move |worker| (runtime, worker)));
    let ratios = workers.clone().filter_map(|(runtime, worker)| busy(runtime, worker, now_ns));
    out.record_reading(&BUSY, mean(ratios.clone()).ok_or_else(nothing));
    out.record_reading(&MAX_BUSY, ratios.reduce(f64::max).ok_or_else(nothing));
    for (runtime, worker) in workers.take(MAX_WORKER_SERIES) {
        if let Some(ratio) = busy(runtime, worker, now_ns) {
            out.record_for(&WORKER_BUSY, &runtime.worker_labels[worker], ratio);
        }
    }
}

/// What only the unstable API counts; nothing where it is not there.
fn unstable(observed: &[Observed], out: &mut Metrics) {
    let sum = |count: fn(&RuntimeCounts) -> u64| {
        observed.iter().map(|runtime| runtime.unstable().map(|counts| count(&counts))).sum::<Reading<u64>>()
    };
    out.record_reading(&POLLS, observed.iter().map(Observed::poll_count).sum::<Reading<u64>>());
    out.record_reading(&SPAWNED, sum(|counts| counts.spawned_tasks_count));
    out.record_reading(&REMOTE, sum(|counts| counts.remote_schedule_count));
    out.record_reading(&FORCED_YIELDS, sum(|counts| counts.budget_forced_yield_count));
    out.record_reading(&IO_READY, sum(|counts| counts.io_driver_ready_count));
    out.record_reading(&BLOCKING_QUEUE, sum(|counts| counts.blocking_queue_depth as u64));
    out.record_reading(&BLOCKING_THREADS, sum(|counts| counts.num_blocking_threads as u64));
    out.record_reading(
        &BUSY_BLOCKING_THREADS,
        sum(|counts| counts.num_blocking_threads.saturating_sub(counts.num_idle_blocking_threads) as u64),
    );
}

fn stuck(runtime: &Observed, now_ns: u64) -> usize {
    runtime.count(WorkerState::NoProgress, now_ns)
}

fn delay(runtime: &Observed, now_ns: u64) -> Option<f64> {
    if runtime.is_left_alone(now_ns) {
        return None;
    }
    let (delay, _) = runtime.canary_reading().delay_ns()?;
    Some(lens_core::time::millis(Duration::from_nanos(delay)))
}

fn busy(runtime: &Observed, worker: usize, now_ns: u64) -> Option<f64> {
    runtime.busy_ratio(worker, now_ns, SECOND).ok()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count.into_f64())
}

/// The reason of a gap, which nobody reads.
fn nothing() -> lens_core::Unavailable {
    lens_core::Unavailable::NotYet { until: "there is something to record".into() }
}
