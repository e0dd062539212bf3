//! The skill `stalls`: polls that keep a worker for too long, seen while they last. Separate from [`tasks`](crate::tasks)
//! because somebody has to look: a thread of lens, the [`Watchdog`], looks at what every thread polls every few
//! milliseconds, and takes the stack of one that does not move on.

mod blocking;
mod functions;
mod log;
mod looker;
mod patience;
mod polls;
mod rows;
mod watchdog;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lens_core::time::millis;
use lens_core::{About, Check, Functions, Metric, Metrics, Reading, Skill, Source, Store, Unavailable, Unit};

use crate::flavour::hooks;

pub use blocking::{BlockingThreadRow, MAX_LOOKED_AT};
pub use rows::{SiteStallsRow, StackStallsRow, StallKind, StallRow, StallsState};
pub use watchdog::{Settings, Watchdog, WatchedRuntime, WatchedRuntimes};

/// A poll that lasts longer is a stall, unless [`Settings::threshold`] says otherwise. It counts from when it was first seen,
/// so one that is not longer by a [`TICK`], or by a [`QUIET_TICK`] where nothing was polled before, may be missed. Less
/// finds more, down to the tick; more finds only what hurts more.
pub const THRESHOLD: Duration = Duration::from_millis(10);

/// How often the watchdog looks while something is polled. Durations of stalls are up to this much short where they end.
pub const TICK: Duration = Duration::from_millis(5);

/// How often it looks while nothing is polled, as of the last look. Durations of stalls are up to this much short where
/// they begin: a poll is only known to have begun when it was first seen.
pub const QUIET_TICK: Duration = Duration::from_millis(10);

/// How often it looks at most: when a poll is about to become a stall, and while the stack of a stall is being taken.
pub const ALERT_TICK: Duration = Duration::from_millis(1);

/// A worker whose counters stand still for this long, though it is not parked, makes no progress. tokio publishes them
/// every 61 polls, so many polls in a row, each of a third of a millisecond, look the same: hence the careful name.
pub const NO_PROGRESS: Duration = Duration::from_millis(20);

/// How many past stalls are kept, the newest. Each takes some hundred bytes, and its stack a few kilobytes.
pub const MAX_PAST: usize = 256;

static STALLED_NOW: Metric =
    Metric::gauge("stalled_now", Unit::Count, "Workers that are stalled at this moment.").bad_when_up();
static STALLS: Metric = Metric::counter("stalls_total", Unit::Count, "Stalls that have ended.").bad_when_up();
static LONGEST: Metric = Metric::gauge(
    "longest_ms",
    Unit::Milliseconds,
    "The longest stall that is going on or ended in the last second; 0 if there was none.",
)
.bad_when_up();
static STARVED: Metric = Metric::counter(
    "starved_total",
    Unit::Count,
    "Polls that lasted as long as a stall because their thread got no processor.",
)
.bad_when_up();

/// The skill `stalls`, made by [`Watchdog::skill`].
///
/// Source: tokio's task hooks ([`instrument`](crate::instrument())) for polls; `RuntimeMetrics` for workers without;
/// [`stack`](crate::stack) for where they are.
#[derive(Debug, Default)]
pub struct StallsSkill {
    shared: Option<Arc<watchdog::Shared>>,
}

impl Skill for StallsSkill {
    type State = StallsState;

    fn about(&self) -> About {
        About::new("stalls", "Stalls", "Polls that keep a worker from its other tasks, and where they are stuck.")
            .prompt(PROMPT)
    }

    fn collect(&self) -> Reading<StallsState> {
        Ok(StallsState::freeze(self.shared()?))
    }

    fn functions(to: Functions<StallsState>) -> Functions<StallsState> {
        functions::add(to)
    }

    fn metrics(&self, out: &mut Metrics) {
        const RECENT: Duration = Duration::from_secs(1);
        let Ok(shared) = self.shared() else { return };
        let log = shared.log();
        out.record(&STALLED_NOW, log.stalled_now());
        out.record(&STALLS, log.stalls_total);
        out.record(&LONGEST, millis(log.longest(Instant::now(), RECENT)));
        out.record(&STARVED, log.starved_total);
    }

    fn sources(&self) -> Vec<Source> {
        let watchdog = self.shared().map(|_| ());
        let polls = Source::live(
            "polls in progress",
            "which task and spawn place a thread is stuck in",
            "nothing beyond the task hooks; the watchdog itself 0.3 to 0.9 % of a core, mostly for waking up",
        )
        .when(&watchdog)
        .when(&crate::tasks::reading());
        let workers = Source::live(
            "RuntimeMetrics, frozen",
            "workers that are not parked and whose counters stand still",
            "some nanoseconds a tick",
        )
        .when(&watchdog);
        let workers = match hooks::reading() {
            Ok(()) => workers,
            Err(_) => workers.partial(
                "says 'no progress' after 20 ms, without the task; build with --cfg tokio_unstable to see polls and tasks",
            ),
        };
        let stacks = |name, gives, cost, reading: fn(&watchdog::Shared) -> Reading<()>| {
            let reading = self.shared().and_then(|shared| reading(shared));
            Source::live(name, gives, cost).when(&reading)
        };
        vec![
            polls,
            workers,
            stacks(
                "stacks of waiting threads",
                "where a thread waits in the kernel",
                "nothing for the thread, 50 us of the watchdog a stall",
                |shared| shared.waiting.clone(),
            ),
            stacks(
                "stacks of running threads",
                "where a thread computes",
                "one interrupt of the thread a stall, about 10 us; 60 ns of each switch between threads for a minute after a long poll",
                watchdog::Shared::running,
            ),
            stacks(
                "line tables of the executable",
                "the line of the service's own code that a thread is at",
                "nothing until there is a stack; then some 40 ms of a thread of lens and some ten megabytes, by the size of the debug information, until 20 s after the last one",
                |shared| shared.lines.clone(),
            ),
        ]
    }

    fn stores(&self) -> Vec<Store> {
        self.shared().map(|shared| shared.stores()).unwrap_or_default()
    }

    fn checks() -> &'static [Check] {
        const {
            &[
                Check::new("blocking_call", include_str!("stalls/checks/blocking_call.star")),
                Check::new("cpu_hog", include_str!("stalls/checks/cpu_hog.star")),
            ]
        }
    }
}

impl StallsSkill {
    fn shared(&self) -> Reading<&Arc<watchdog::Shared>> {
        let shared = self.shared.as_ref();
        let shared = shared.ok_or(Unavailable::NotEnabled { how: "start lens in this process".into() })?;
        shared.reading()?;
        Ok(shared)
    }
}

const PROMPT: &str = "\
A worker polls one task at a time; while a poll lasts, no other task of that worker runs. A stall is a poll of more than \
10 ms (one of less than 20 ms may be missed). `now()` shows those going on, `recent()` those that ended, `by_stack()` groups both by where they were stuck: start \
there. `place` is the line of the service's own code, `waits_in` the system call: clock_nanosleep is a std::thread::sleep, \
futex a std or parking_lot lock (who holds it?), read, write, fsync or openat a blocking file, recvfrom or connect a \
blocking socket; a stack and no `waits_in` is computation, and so is a `cpu_ms` near the duration. Remedies: tokio's \
own sleep, lock or socket; spawn_blocking; yield in long computations. kind=block_in_place is legitimate: the worker was handed over; listed only while it lasts. \
kind=no_progress is what can be seen without task hooks, or in the future of block_on: it may also be many polls of \
milliseconds each. A high cpu_wait_ms means that the thread got no processor: look at the load and at cgroup throttling.";
