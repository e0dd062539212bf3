//! The skill `runtime`: what tokio's runtimes do, worker by worker. Separate from `tasks` because it needs nothing of how
//! the service builds its runtimes: a handle is enough, on stable tokio too.

mod canary;
pub(crate) mod counts;
mod functions;
mod interval;
mod monitors;
mod observed;
mod progress;
mod record;
pub mod rows;
mod runtimes;
mod state;
mod window;

use std::time::Instant;

use lens_core::{About, Check, Functions, Metrics, Reading, Skill, Source, Store, Unavailable};

use crate::flavour::metrics;

pub use canary::CANARY_INTERVAL;
pub(crate) use canary::Canary;
pub use monitors::{MAX_TASK_MONITORS, TaskMonitors};
pub use progress::{NO_PROGRESS_AFTER, WorkerState};
pub use record::{MAX_RUNTIME_SERIES, MAX_WORKER_SERIES};
pub use runtimes::{Attached, MAX_ENDED_RUNTIMES, MAX_RUNTIMES, Runtimes};
pub use state::{Flavor, RuntimeState};
pub use window::MAX_WINDOW;

/// What the runtimes of the process do, and whether their workers make progress.
///
/// # Cost
///
/// On lens's threads about 0.3 µs a second for each worker, and 4 µs a question; see [`Runtimes`] for what the service pays.
#[derive(Debug)]
pub struct RuntimeSkill {
    runtimes: Runtimes,
    monitors: TaskMonitors,
}

impl RuntimeSkill {
    /// The skill, which reads these runtimes. They must be [sampled](Runtimes::sample) every 100 ms or so for a worker
    /// without progress to be noticed as soon; without, it takes a second.
    #[must_use]
    pub fn new(runtimes: Runtimes) -> Self {
        Self { runtimes, monitors: TaskMonitors::new() }
    }

    /// The same skill, which also reads the service's own task monitors.
    #[must_use]
    pub fn task_monitors(mut self, monitors: TaskMonitors) -> Self {
        self.monitors = monitors;
        self
    }

    /// The name, title and prompt, for a registry that knows the skill but cannot read it.
    #[must_use]
    pub fn describe() -> About {
        About::new("runtime", "Runtime", "What tokio's runtimes and their workers do, and whether they make progress.")
            .prompt(PROMPT)
    }
}

const PROMPT: &str = "\
runtime.stats() first: no_progress_workers above 0 means that a worker is inside one poll that does not return (a blocking \
call, a long computation) or in a row of very long polls; runtime.workers() says which and since when. If all workers of a \
runtime are in that state, the service stands still. schedule_delay_ms is how long a ready task waits for its poll: below 1 \
is well, above 10 means that workers are overloaded or blocked. busy_ratio near 1 with a growing global_queue_depth is \
overload; a worker without progress counts as busy. blocking_queue_depth above 0 for seconds means that the blocking pool \
is exhausted. alive tasks that only grow are a leak: ask tasks.sites(). Counters of a worker are published only when it \
parks or after 61 polls, so do not read a rate of 0 as idle: read state.";

impl Skill for RuntimeSkill {
    type State = RuntimeState;

    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        Self::describe()
    }

    fn collect(&self) -> Reading<RuntimeState> {
        let (runtimes, ended) = self.runtimes.freeze();
        Ok(RuntimeState { runtimes, ended, task_monitors: self.monitors.read() })
    }

    fn functions(to: Functions<RuntimeState>) -> Functions<RuntimeState> {
        functions::add(to)
    }

    fn metrics(&self, out: &mut Metrics) {
        let now = Instant::now();
        self.runtimes.sample(now);
        self.runtimes.with(now, |inner, now_ns| record::record(inner, now_ns, out));
    }

    fn sources(&self) -> Vec<Source> {
        let (attached, histogram) = self.runtimes.with(Instant::now(), |inner, _| {
            let attached = if inner.observed.is_empty() {
                Err(Unavailable::NotEnabled {
                    how: "start lens inside the runtime, or name the runtime with `Builder::runtime`".into(),
                })
            } else {
                Ok(())
            };
            let histogram = inner.observed.iter().map(observed::Observed::has_poll_times).reduce(Result::or);
            (attached.clone(), histogram.unwrap_or(attached))
        });
        let monitors = if self.monitors.is_empty() {
            Err(Unavailable::NotEnabled {
                how: "register a `tokio_metrics::TaskMonitor` by name with `TaskMonitors`".into(),
            })
        } else {
            Ok(())
        };
        vec![
            self.runtimes
                .covered(Source::live(
                    "RuntimeMetrics",
                    "alive tasks, global queue, and which worker is parked, busy or without progress",
                    "nothing: tokio counts anyway, and lens's thread reads",
                ))
                .when(&attached),
            Source::live(
                "RuntimeMetrics (unstable)",
                "polls, steals and local queues of the workers, blocking pool, spawns, I/O driver",
                "`--cfg tokio_unstable` costs 11 to 14 ns a poll and 20 ns a spawn",
            )
            .when(&metrics::reading().and(attached.clone())),
            Source::live(
                "canary task",
                "how long a ready task waits for its poll, and when a runtime ends",
                "one task a runtime, woken once a second",
            )
            .when(&attached),
            Source::live("poll time histogram", "how long polls took", "about 50 ns a poll").when(&histogram),
            Source::live(
                "RuntimeMonitor",
                "what changed in each second, as tokio-metrics sees it",
                "nothing: lens's thread reads what tokio counts anyway",
            )
            .when(&attached),
            Source::live(
                "TaskMonitor",
                "polls, delays and idle times of the tasks that the service instruments",
                "about 190 ns a poll of those tasks",
            )
            .when(&monitors),
        ]
    }

    fn stores(&self) -> Vec<Store> {
        let mut stores = self.runtimes.stores();
        stores.push(self.monitors.store());
        stores
    }

    fn checks() -> &'static [Check] {
        const {
            &[
                Check::new("blocking_pool_exhausted", include_str!("runtime/checks/blocking_pool_exhausted.star")),
                Check::new("blocking_pool_place", include_str!("runtime/checks/blocking_pool_place.star")),
                Check::new("no_progress", include_str!("runtime/checks/no_progress.star")),
                Check::new("schedule_delay", include_str!("runtime/checks/schedule_delay.star")),
            ]
        }
    }
}
