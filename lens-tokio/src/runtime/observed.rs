//! One runtime that is watched. Separate because all that keeps the runtime's handle is in here: dropping it lets go of
//! the runtime.

use std::time::{Duration, Instant};

use lens_core::{Reading, Timestamp, Unavailable};
use tokio::runtime::{Handle, RuntimeFlavor, RuntimeMetrics};
use tokio_metrics::RuntimeMonitor;

use super::canary::{CANARY_INTERVAL, Canary, CanaryReading};
use super::counts::{RuntimeCounts, nanos};
use super::interval::Intervals;
use super::progress::{Progress, Published, WorkerState};
use super::rows::EndedRow;
use super::state::{Flavor, Identity, Runtime, Worker};
use super::window::{Mark, Window};
use crate::flavour::metrics;

/// A runtime, what reads it, and what was read in the last minute.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) identity: Identity,
    /// Whether the label was made up.
    pub(super) is_unnamed: bool,
    /// Whether it has series of its own: since there was another one, and until it ends.
    pub(super) is_one_of_several: bool,
    /// The labels of the workers' series.
    pub(super) worker_labels: Vec<String>,
    metrics: RuntimeMetrics,
    canary: Canary,
    asked_ns: u64,
    workers: Vec<Progress>,
    window: Window,
    intervals: Intervals,
}

impl Observed {
    pub(super) fn new(label: String, is_unnamed: bool, handle: &Handle, start: Instant) -> Self {
        let metrics = handle.metrics();
        let num_workers = metrics.num_workers();
        let now_ns = nanos(start.elapsed());
        let flavor = match handle.runtime_flavor() {
            RuntimeFlavor::CurrentThread => Flavor::CurrentThread,
            RuntimeFlavor::MultiThread => Flavor::MultiThread,
            _ => Flavor::Other,
        };
        let mut observed = Self {
            identity: Identity {
                label: String::new(),
                id: id(handle),
                name: handle.name().map(str::to_owned),
                flavor,
                num_workers,
                attached_at: Timestamp::now(),
            },
            is_unnamed,
            is_one_of_several: false,
            worker_labels: Vec::new(),
            workers: (0..num_workers).map(|worker| Progress::new(published(&metrics, worker), now_ns)).collect(),
            canary: Canary::spawn(handle, start),
            asked_ns: now_ns,
            window: Window::default(),
            intervals: Intervals::new(RuntimeMonitor::new(handle).intervals()),
            metrics,
        };
        observed.rename(label, is_unnamed);
        observed.keep_frame(now_ns);
        observed
    }

    pub(super) fn rename(&mut self, label: String, is_unnamed: bool) {
        self.worker_labels = (0..self.workers.len()).map(|worker| format!("{label}/{worker}")).collect();
        self.identity.label = label;
        self.is_unnamed = is_unnamed;
    }

    pub(super) fn metrics(&self) -> &RuntimeMetrics {
        &self.metrics
    }

    pub(super) fn is_over(&self) -> bool {
        self.canary.is_over()
    }

    pub(super) fn ended(&self) -> EndedRow {
        let Identity { label, id, name, flavor, num_workers, attached_at } = self.identity.clone();
        EndedRow {
            runtime: label,
            id,
            name,
            flavor,
            num_workers: num_workers as u64,
            attached_at,
            ended_at: Timestamp::now(),
        }
    }

    /// Looks at the workers.
    pub(super) fn observe(&mut self, now_ns: u64) {
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let published = published(&self.metrics, index);
            let Some(before) = worker.observe(published, now_ns) else { continue };
            // Only now is it known whether the thread of a `current_thread` runtime was in a poll or elsewhere.
            let unpublished_ns = before.unpublished_ns(now_ns);
            let grown_ns = published.busy_ns.saturating_sub(before.published.busy_ns);
            if self.identity.flavor == Flavor::CurrentThread && grown_ns < unpublished_ns / 2 {
                self.window.retract(index, before.since_ns, before.published.busy_ns);
            }
        }
    }

    /// Looks at the workers, and every second wakes the canary and keeps what there is.
    pub(super) fn sample(&mut self, now_ns: u64) {
        self.observe(now_ns);
        let is_due = Duration::from_nanos(now_ns.saturating_sub(self.asked_ns)) >= CANARY_INTERVAL;
        if is_due && self.canary.ask() {
            self.asked_ns = now_ns;
        }
        if self.window.is_due(now_ns) {
            self.keep_frame(now_ns);
            self.intervals.advance(now_ns, self.count(WorkerState::NoProgress, now_ns));
        }
    }

    fn keep_frame(&mut self, now_ns: u64) {
        let metrics = &self.metrics;
        let marks = self.workers.iter().enumerate().map(|(index, worker)| Mark {
            busy_ns: worker.busy_ns(now_ns),
            park_count: worker.published.park_count,
            poll_count: metrics::poll_count(metrics, index).ok(),
        });
        self.window.push(now_ns, marks);
    }

    pub(super) fn num_workers(&self) -> usize {
        self.workers.len()
    }

    /// How many workers are in a state.
    pub(super) fn count(&self, state: WorkerState, now_ns: u64) -> usize {
        self.workers.iter().filter(|worker| worker.state(now_ns) == state).count()
    }

    /// The service's tasks that have not ended.
    pub(super) fn num_alive_tasks(&self) -> usize {
        // The canary is alive, or this runtime would be over.
        self.metrics.num_alive_tasks().saturating_sub(1)
    }

    /// The service's tasks in the global queue, as far as it is known whether the canary waits there too.
    pub(super) fn global_queue_depth(&self) -> usize {
        let depth = self.metrics.global_queue_depth();
        // A worker may take out several tasks and keep them, but hardly one that has published nothing since.
        let is_stuck = |worker: &Progress| !worker.is_parked() && worker.since_ns <= self.asked_ns;
        let is_canary_in = self.identity.flavor == Flavor::CurrentThread || self.workers.iter().all(is_stuck);
        if is_canary_in { self.canary.left_out_of(depth) } else { depth }
    }

    /// Whether it makes no progress and no task of the service waits for that: the thread of a `current_thread` runtime may
    /// then be elsewhere, for good.
    pub(super) fn is_left_alone(&self, now_ns: u64) -> bool {
        let is_idle = self.count(WorkerState::NoProgress, now_ns) > 0 && self.global_queue_depth() == 0;
        self.identity.flavor == Flavor::CurrentThread && is_idle
    }

    pub(super) fn unstable(&self) -> Reading<RuntimeCounts> {
        metrics::runtime(&self.metrics)
            .map(|counts| RuntimeCounts { spawned_tasks_count: counts.spawned_tasks_count.saturating_sub(1), ..counts })
    }

    pub(super) fn park_count(&self) -> u64 {
        self.workers.iter().map(|worker| worker.published.park_count).sum()
    }

    pub(super) fn poll_count(&self) -> Reading<u64> {
        (0..self.workers.len()).map(|worker| metrics::poll_count(&self.metrics, worker)).sum()
    }

    pub(super) fn has_poll_times(&self) -> Reading<()> {
        metrics::has_poll_times(&self.metrics)
    }

    /// What its canary says.
    pub(super) fn canary_reading(&self) -> CanaryReading {
        self.canary.read()
    }

    pub(super) fn canary(&self) -> &Canary {
        &self.canary
    }

    /// A worker's busy ratio over `last`.
    pub(super) fn busy_ratio(&self, worker: usize, now_ns: u64, last: Duration) -> Reading<f64> {
        busy_ratio(self.identity.flavor, worker, &self.workers[worker], &self.window, now_ns, last)
    }

    pub(super) fn freeze(&self, now_ns: u64) -> Runtime {
        let worker = |(index, progress): (usize, &Progress)| Worker {
            progress: *progress,
            unstable: metrics::worker(&self.metrics, index).into(),
        };
        Runtime {
            identity: self.identity.clone(),
            now_ns,
            num_alive_tasks: self.num_alive_tasks(),
            global_queue_depth: self.global_queue_depth(),
            unstable: self.unstable().into(),
            canary: self.canary.read(),
            workers: self.workers.iter().enumerate().map(worker).collect(),
            window: self.window.clone(),
            poll_times: metrics::poll_times(&self.metrics).into(),
            intervals: self.intervals.kept().cloned().collect(),
        }
    }

    pub(super) fn frames(&self) -> usize {
        self.window.len()
    }

    pub(super) fn intervals(&self) -> usize {
        self.intervals.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let labels: usize = self.worker_labels.iter().map(|label| label.capacity() + size_of::<String>()).sum();
        let workers = self.workers.capacity() * size_of::<Progress>();
        size_of::<Self>() + labels + workers + self.window.memory_bytes() + self.intervals.memory_bytes()
    }
}

/// The number that tokio shows as a runtime's id.
pub(super) fn id(handle: &Handle) -> u64 {
    // An id is a number inside; should tokio ever show it otherwise, 0 is no runtime's id.
    handle.id().to_string().parse().unwrap_or_default()
}

fn published(metrics: &RuntimeMetrics, worker: usize) -> Published {
    Published {
        park_count: metrics.worker_park_count(worker),
        park_unpark_count: metrics.worker_park_unpark_count(worker),
        busy_ns: nanos(metrics.worker_total_busy_duration(worker)),
    }
}

/// A worker's busy ratio over `last`.
pub(super) fn busy_ratio(
    flavor: Flavor,
    index: usize,
    worker: &Progress,
    window: &Window,
    now_ns: u64,
    last: Duration,
) -> Reading<f64> {
    if flavor == Flavor::CurrentThread && worker.state(now_ns) == WorkerState::NoProgress {
        let for_ms = Duration::from_nanos(worker.unpublished_ns(now_ns)).as_millis();
        return Err(Unavailable::failed(format!(
            "the runtime has made no progress for {for_ms} ms: its thread is in one poll, or not in `block_on`"
        )));
    }
    window.busy_ratio(index, now_ns, worker.busy_ns(now_ns), last)
}
