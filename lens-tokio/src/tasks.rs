//! The skill `tasks`: every live task of the instrumented runtimes and what each spawn site did. Separate from the
//! [table](crate::instrument) because everything here runs in lens's threads, over a frozen copy.

mod awaiting;
mod copied;
mod current;
mod functions;
pub(crate) mod place;
mod rates;
mod rows;
mod state;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lens_core::{About, Check, Functions, Metric, Metrics, Reading, Skill, Source, Store, Unavailable, Unit};

use crate::flavour::{hooks, trace};
use crate::instrument::{BUILDERS, TABLE, bytes};
use crate::table::Ticker;
use crate::table::pages::{MAX_PAGES, PAGE};
use crate::table::sites::MAX_SITES;
use crate::task::WATCHED;
use crate::trees::SEATS;

use rates::Samples;

pub use awaiting::{AwaitingRow, MAX_ASKED, MAX_NAMED, TreeFrame};
pub use current::{CurrentTask, current_task};
pub use rows::{Count, EndRow, Owner, SiteRow, TaskRow, TaskState, TreeRow};
pub use state::TasksState;

pub use crate::trees::MAX_TRACED;

/// The most tasks with consecutive ids that are tracked; tasks beyond are counted as untracked. More would cost 57 bytes
/// each, as soon as there are that many.
pub const MAX_TASKS: usize = MAX_PAGES * PAGE;

/// The most spawn sites that are told apart. Tasks of further sites are listed without a place.
pub const MAX_SPAWN_SITES: usize = MAX_SITES - 1;

/// The window that rates of spawn sites are over.
pub const RATE_WINDOW: Duration = Duration::from_secs(RATE_SECONDS as u64);
const RATE_SECONDS: u32 = 10;

/// How to have the hooks set.
const HOW: &str =
    "start the runtime with #[tokio::main(crate = \"lens\")] or call lens::instrument(&mut builder) before building it";

static LIVE: Metric = Metric::gauge("live", Unit::Count, "Tasks that were spawned and have not ended.").bad_when_up();
static SPAWNED: Metric = Metric::counter("spawned_total", Unit::Count, "Tasks spawned.");
static FINISHED: Metric = Metric::counter("finished_total", Unit::Count, "Tasks ended, aborted ones too.");
static POLLS: Metric = Metric::counter("polls_total", Unit::Count, "Polls of tasks.");
static BUSY: Metric =
    Metric::counter("busy_ms_total", Unit::Milliseconds, "Time that threads spent in polls.").bad_when_up();
static LONGEST_RUNNING: Metric = Metric::gauge(
    "longest_running_ms",
    Unit::Milliseconds,
    "How long the longest poll lasts that is going on, at least.",
)
.bad_when_up();
static UNTRACKED: Metric =
    Metric::counter("untracked_total", Unit::Count, "Tasks for which the table had no room.").bad_when_up();

/// A ticker of the clock that tasks' times are read from. lens's own thread calls [`Ticker::tick`] every few
/// milliseconds; when it is dropped, hooks read the time themselves, at about 10 ns a poll.
#[must_use]
pub fn ticker() -> Ticker {
    TABLE.ticker()
}

/// The skill `tasks`.
///
/// Source: tokio's task hooks, see [`instrument`](crate::instrument()). Not seen are tasks of a `LocalSet`, the future
/// that `block_on` runs, `spawn_blocking`, and tasks of runtimes that are not instrumented.
#[derive(Debug, Default)]
pub struct TasksSkill {
    samples: Mutex<Samples>,
}

impl TasksSkill {
    /// The tasks of this process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Skill for TasksSkill {
    type State = TasksState;

    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        About::new("tasks", "Tasks", "Every live task: where it was spawned, by whom, its polls and what they cost.")
            .prompt(PROMPT)
    }

    fn collect(&self) -> Reading<TasksState> {
        reading()?;
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(TasksState::freeze(&TABLE, &samples, Instant::now()))
    }

    fn functions(to: Functions<TasksState>) -> Functions<TasksState> {
        functions::add(to)
    }

    fn metrics(&self, out: &mut Metrics) {
        if reading().is_err() {
            return;
        }
        let now_ms = TABLE.clock.exact_ms();
        let counts = TABLE.all_counts();
        let longest_running_ms = TABLE
            .slots
            .iter()
            .filter_map(|slot| TABLE.clock.begun_by(slot.running().last()?.started_ms))
            .map(|by_ms| now_ms.saturating_sub(by_ms))
            .max()
            .unwrap_or(0);
        out.record(&LIVE, counts.spawned.saturating_sub(counts.finished));
        out.record(&SPAWNED, counts.spawned);
        out.record(&FINISHED, counts.finished);
        out.record(&POLLS, counts.polls);
        out.record(&BUSY, counts.busy_ns / 1_000_000);
        out.record(&LONGEST_RUNNING, longest_running_ms);
        out.record(&UNTRACKED, TABLE.pages().untracked());
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).take(&TABLE, Instant::now());
    }

    fn sources(&self) -> Vec<Source> {
        let hooks = Source::live(
            "task hooks",
            "every task of the instrumented runtimes, except those of a LocalSet and the future of block_on",
            "about 8 ns a poll, 35 ns a spawn, 60 bytes a live task",
        );
        let clock = Source::live(
            "task clock",
            "ages, last polls, and unmeasured polls longer than 10 ms, 15 ms after a pause",
            "a load a poll",
        );
        let clock = if TABLE.clock.is_ticking() {
            clock
        } else {
            clock.partial("nothing ticks: polls of less than 500 ns are only sampled, and each poll costs 10 ns more; hold lens's handle")
        };
        vec![
            hooks.when(&reading()),
            clock.when(&reading()),
            Source::live("thread hooks", "which thread of the system is which worker", "about 5 ns a park")
                .when(&installed()),
            trees(),
            Source::live(
                "the allocator's counters",
                "bytes that tasks and spawn sites allocate and free in their polls, since lens was started; those of \
                 spawn_blocking, of a LocalSet's tasks and of the future of block_on are nobody's: wrap that in \
                 lens::track_allocations",
                "two loads at a poll's start and two at its end",
            )
            .when(&reading().and_then(|()| bytes::reading())),
        ]
    }

    fn stores(&self) -> Vec<Store> {
        let slots = TABLE.slots.iter();
        let memory: usize = slots.map(|slot| size_of_val(slot) + slot.stats.memory_bytes()).sum();
        let counts = TABLE.all_counts();
        vec![
            Store {
                name: "tasks".into(),
                len_count: counts.spawned.saturating_sub(counts.finished),
                cap_count: MAX_TASKS as u64,
                memory_bytes: TABLE.pages().memory_bytes() as u64,
                dropped_total: TABLE.pages().untracked(),
            },
            Store {
                name: "spawn sites".into(),
                len_count: TABLE.sites.len() as u64,
                cap_count: MAX_SPAWN_SITES as u64,
                memory_bytes: size_of_val(&TABLE.sites) as u64,
                dropped_total: TABLE.sites.refused(),
            },
            Store {
                name: "threads".into(),
                len_count: TABLE.slots.iter().filter(|slot| slot.thread().is_alive()).count() as u64,
                cap_count: MAX_THREADS,
                memory_bytes: memory as u64,
                dropped_total: 0,
            },
            SEATS.store(),
            WATCHED.store(),
            Store { name: "symbols of await trees".into(), ..awaiting::symbolizer().store() },
        ]
    }

    fn checks() -> &'static [Check] {
        const {
            &[
                Check::new("alloc_churn", include_str!("tasks/checks/alloc_churn.star")),
                Check::new("busy_loop", include_str!("tasks/checks/busy_loop.star")),
                Check::new("retry_storm", include_str!("tasks/checks/retry_storm.star")),
                Check::new("task_leak", include_str!("tasks/checks/task_leak.star")),
                Check::new("timer_storm", include_str!("tasks/checks/timer_storm.star")),
            ]
        }
    }
}

/// Whether tasks can be asked where they wait.
fn trees() -> Source {
    let source = Source::live(
        "await trees",
        "where the tasks of lens::spawn are suspended",
        "tokio's feature taskdump: about 9 ns a yield; a load a poll, 130 bytes a task; two polls when asked",
    );
    let traced = SEATS.len() as u64;
    let counts = TABLE.all_counts();
    let live = counts.spawned.saturating_sub(counts.finished);
    let source = if traced < live {
        let missing = format!(
            "{traced} of {live} live tasks can be asked: those of `lens::spawn(name, future)` that were polled, and none \
             of `tokio::spawn`"
        );
        source.partial(missing)
    } else {
        source
    };
    source.when(&reading().and_then(|()| trace::reading()))
}

/// The most threads that Linux gives a system (`PID_MAX_LIMIT`): there are as many slots as there were threads at once
/// that ran a hook.
const MAX_THREADS: u64 = 4_194_304;

/// Whether tasks are seen.
pub(crate) fn reading() -> Reading<()> {
    hooks::reading()?;
    installed()
}

/// Whether lens's hooks are set on any builder.
fn installed() -> Reading<()> {
    if BUILDERS.is_empty() { Err(Unavailable::NotEnabled { how: HOW.into() }) } else { Ok(()) }
}

const PROMPT: &str = "\
A task is what tokio::spawn starts. `sites()` groups tasks by where they were spawned: start there. A site whose `live` \
only grows leaks tasks (compare spawned_per_s with finished_per_s). `top(by=\"busy\")` shows who uses the workers, \
`top(by=\"longest_poll\")` who blocks them: a poll should take less than 100 us; above 10 ms other tasks of that worker \
wait noticeably. Many polls with little time each at one task are a busy loop. `lints()` names tasks that never yielded, hang in a poll, or have a very large future. `top(by=\"idle\")` shows tasks that were \
not polled for long: usually fine (a listener), suspicious if the task should have finished. busy_ms of sites with polls \
below 500 ns is estimated from samples. `top(by=\"allocated\")` and `sites(by=\"net\")` show who allocates and who keeps; \
net_bytes counts what is handed on to other tasks as kept. Tasks of a LocalSet, the future of block_on (the body of main) and \
spawn_blocking are not listed.";
