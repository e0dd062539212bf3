//! The skill `console`: what tokio-console shows (tasks with their wakes and wakers, resources, operations on them, its
//! five lints), of this process or of another one's console server. Separate from `tasks` and `waits`, which are always on
//! and see more of what they see: this one is for wakers and for those who know tokio-console, and has its price.

mod lints;
mod rows;
mod state;

#[cfg(feature = "console")]
mod budget;
#[cfg(feature = "console")]
mod callsites;
#[cfg(feature = "console")]
mod check;
#[cfg(feature = "console")]
mod decode;
#[cfg(feature = "console")]
mod layer;
#[cfg(feature = "console")]
mod live;
#[cfg(not(feature = "console"))]
mod off;
#[cfg(feature = "console")]
mod remote;
#[cfg(feature = "console")]
mod server;

use std::time::Duration;

use lens_core::skill::NoArguments;
use lens_core::{About, Functions, Reading, Skill, Source, Store};

#[cfg(feature = "console")]
use live::Inner;
#[cfg(not(feature = "console"))]
use off::Inner;

pub use lints::Lint;
#[cfg(feature = "console")]
pub use live::console_layer;
#[cfg(feature = "console")]
pub use remote::read_server;
pub use rows::{LintRow, OperationRow, ResourceRow, SummaryRow, TaskRow};
pub use state::{Activity, Missing, Operation, Resource, State, Task, TaskKind};

/// The most live tasks that are recorded; those beyond are counted. More would make snapshots that take too long, and that
/// `console-subscriber` drops, at 4 MiB.
pub const MAX_TASKS: usize = 4096;

/// The most resources that are recorded while they exist; those beyond are counted.
pub const MAX_RESOURCES: usize = 4096;

/// The most operations that are recorded while they last; those beyond are counted.
pub const MAX_OPERATIONS: usize = 4096;

/// How many events may wait to be read; those beyond are counted and lost. `console-subscriber` reads them when half of
/// this is used, or after [`PUBLISH_INTERVAL`]. A higher number loses less in bursts and takes more memory in them: 4 KiB
/// for each task that was spawned in one.
pub const QUEUE_CAPACITY: usize = 8192;

/// How often `console-subscriber` throws away what has ended. A higher number wakes its thread less often, and keeps more
/// that has ended.
pub const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

/// How long a snapshot may take.
pub const READ_DEADLINE: Duration = Duration::from_secs(2);

/// How long another process's console server may take to answer.
pub const REMOTE_DEADLINE: Duration = Duration::from_secs(5);

/// The largest answer of another process's console server that is read. None sends more than 4 MiB.
pub const MAX_REMOTE_BYTES: usize = 8 << 20;

/// What a task takes in memory, as far as it is recorded: 4 KiB of it are two histograms, as small as
/// `console-subscriber` makes them.
pub const TASK_BYTES: usize = 5 << 10;

/// [`Lint::SelfWakes`]: the share of wakes from a task's own polls that is too high.
pub const SELF_WAKES_RATIO: f64 = 0.5;

/// [`Lint::NeverYielded`]: for how long a first poll may last.
pub const NEVER_YIELDED: Duration = Duration::from_secs(1);

/// [`Lint::LargeFuture`]: the size of a future that is too large.
pub const LARGE_FUTURE_BYTES: u64 = 1024;

/// Records tokio-console's state: the handle of a [`layer`](Self::layer), which is switched off until
/// [`enable`](Self::enable).
#[derive(Clone, Debug)]
pub struct Console {
    inner: Inner,
}

impl Console {
    /// A recorder of its own, for a program with several registries. Most have one: [`global`](Self::global).
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a second recorder is rarely what a service wants")]
    pub fn new() -> Self {
        Self { inner: Inner::new() }
    }

    /// The process's recorder, which `console_layer` feeds and the skill reads.
    #[must_use]
    pub fn global() -> Self {
        Self { inner: Inner::global() }
    }

    /// Whether it is switched on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.is_enabled()
    }

    /// Records from now on. Tasks, locks and channels that exist already are never seen: call it before the runtime
    /// starts to see them all. The first call starts the thread `lens-console`.
    ///
    /// Cost: about that of `console-subscriber` itself, of which 0.5 µs for a poll, 24 µs for a spawn, 9 µs for a lock and
    /// unlock and 5 µs for a channel's message were measured, but 5 KiB a task instead of 51 KB; up to [`MAX_TASKS`],
    /// [`MAX_RESOURCES`] and [`MAX_OPERATIONS`] are recorded at a time. `cargo bench -p lens-tokio --features
    /// waits,console --bench waits` measures it. The other
    /// layers of the service are asked for each event of tokio's, instead of once, as long as the thread lives.
    ///
    /// # Errors
    ///
    /// The reason why it sees nothing all the same: see [`check`](Self::check).
    pub fn enable(&self) -> Reading<()> {
        self.inner.enable()
    }

    /// Records nothing new from now on. What was recorded and still lives costs as much as before until it ends, and its
    /// wakes and wakers are not counted until [`enable`](Self::enable).
    pub fn disable(&self) {
        self.inner.disable();
    }

    /// Whether the layer sees what tokio does. A lock is created to try it.
    ///
    /// # Errors
    ///
    /// Why it sees nothing, and the fix: the feature `console`, the cfg `tokio_unstable`, a static level of tracing, a
    /// layer that was not added or is switched off, a registry that is not the default, a filter in front of it, or
    /// another layer of `console-subscriber` beside it.
    pub fn check(&self) -> Reading<()> {
        self.inner.check()
    }
}

/// The skill `console`.
#[derive(Clone, Debug)]
pub struct ConsoleSkill {
    origin: Origin,
}

/// Where the skill reads from.
#[derive(Clone, Debug)]
enum Origin {
    Live(Console),
    Read(State),
}

impl ConsoleSkill {
    /// The skill that reads `console`: [`Console::global`] for a service that uses `console_layer`.
    #[must_use]
    pub fn new(console: Console) -> Self {
        Self { origin: Origin::Live(console) }
    }

    /// A skill that answers from a state that was read, of this or another process.
    #[must_use]
    pub fn of(state: State) -> Self {
        Self { origin: Origin::Read(state) }
    }
}

const PROMPT: &str = "\
tokio-console's view, for development and for wakers: `tasks`, `stalls` and `waits` see more of polls, stacks and holders \
at a fraction of its cost. It knows what was created since it was switched on, and nothing that has ended.
Start with `console.lints()`: a row with `is_suspected` may be a sound task. `lost_waker` means that the task can only \
go on if somebody polls it for another reason: look for a future that returns `Pending` without keeping the waker. \
`self_wakes` above half is a task that polls itself: look at `tasks.top(by=\"polls\")`.
`console.tasks(by=\"scheduled\")` with `scheduled_ms` near `busy_ms` or above is a runtime that is too busy, or a worker \
that is blocked: see `stalls.now()`. `console.operations()` lists what tasks wait for, and `waits.holders()` who has it.";

impl Skill for ConsoleSkill {
    type State = State;

    fn about(&self) -> About {
        About::new("console", "Console", "tokio-console's tasks, wakers, resources, operations and lints.")
            .prompt(PROMPT)
    }

    fn collect(&self) -> Reading<State> {
        match &self.origin {
            Origin::Live(console) => console.inner.read(),
            Origin::Read(state) => Ok(state.clone()),
        }
    }

    fn functions(to: Functions<State>) -> Functions<State> {
        to.rows(
            "tasks",
            "The live tasks with the most of something: their polls, wakes, self-wakes and wakers.",
            "console.tasks(limit=5, by=\"wakes\")",
            |state, arguments| Ok(rows::tasks(state, &arguments)),
        )
        .rows(
            "resources",
            "Locks, semaphores, channels and timers that exist, those with most operations first.",
            "console.resources(limit=5)",
            |state, limit| Ok(rows::resources(state, limit)),
        )
        .rows(
            "operations",
            "What tasks do with locks, semaphores and channels at this instant, the longest first.",
            "console.operations(limit=5)",
            |state, limit| Ok(rows::operations(state, limit)),
        )
        .rows(
            "lints",
            "What may be wrong with tasks, by tokio-console's rules, the gravest first.",
            "console.lints()",
            |state, limit| Ok(rows::lints(state, limit)),
        )
        .record(
            "summary",
            "How much is listed, and what is missing.",
            "console.summary()",
            |state, NoArguments {}| Ok(rows::summary(state)),
        )
    }

    fn sources(&self) -> Vec<Source> {
        let mut source = Source::live(
            "console-subscriber",
            "wakes, wakers, resources and operations as tokio-console shows them",
            "while it is switched on: up to 0.5 µs for a poll, 24 µs for a spawn, 9 µs for a lock and unlock, 5 KiB a task; \
             else that of tokio's own tracing: 0.1 µs for a lock",
        );
        if let Origin::Live(console) = &self.origin {
            source.status = console.inner.status();
        }
        vec![source]
    }

    fn stores(&self) -> Vec<Store> {
        match &self.origin {
            Origin::Live(console) => console.inner.stores(),
            Origin::Read(_) => Vec::new(),
        }
    }
}
