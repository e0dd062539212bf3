//! The skill `waits`: which task waits for which lock, semaphore, channel or timer, since when, and who holds it.
//! Separate from `tasks` because it needs tokio's tracing events, through a layer that the service adds to its registry.

mod deadlock;
#[cfg(feature = "waits")]
mod live;
#[cfg(not(feature = "waits"))]
mod off;
mod rows;
mod state;

#[cfg(feature = "waits")]
mod check;
#[cfg(feature = "waits")]
mod fields;
#[cfg(feature = "waits")]
mod here;
#[cfg(feature = "waits")]
mod layer;
#[cfg(feature = "waits")]
mod places;
#[cfg(feature = "waits")]
mod read;
#[cfg(feature = "waits")]
mod recorder;
#[cfg(feature = "waits")]
mod resource;
#[cfg(feature = "waits")]
mod shards;

use std::time::Duration;

use lens_core::skill::NoArguments;
use lens_core::time::millis;
use lens_core::{About, Check, Functions, Metric, Metrics, Reading, Skill, Source, Store, Unit};

#[cfg(feature = "waits")]
use live::Inner;
#[cfg(not(feature = "waits"))]
use off::Inner;

#[cfg(feature = "waits")]
pub use live::waits_layer;
#[cfg(feature = "waits")]
pub use places::MAX_PLACES;
#[cfg(feature = "waits")]
pub use read::{MAX_LISTED_RESOURCES, MAX_LISTED_WAITS};
#[cfg(feature = "waits")]
pub use recorder::{MAX_RESOURCES, MAX_TASKS, MAX_THREADS, MAX_WAITS};
pub use state::{Hold, Kind, MAX_HOLDERS, Mode, Operation, Party, Resource, Site, State, Wait};

/// How long somebody must have waited before the metric `deadlocks` looks for deadlocks.
pub const DEADLOCK_AGE: Duration = Duration::from_secs(1);

static WAITING_TASKS: Metric = Metric::gauge(
    "waiting_tasks",
    Unit::Count,
    "Tasks that wait for a lock, a permit, room in a channel or a value; timers are left out.",
)
.bad_when_up();
static LONGEST_WAIT: Metric =
    Metric::gauge("longest_wait_ms", Unit::Milliseconds, "For how long the first of these has waited.").bad_when_up();
static DEADLOCKS: Metric = Metric::gauge(
    "deadlocks",
    Unit::Count,
    "Deadlocks that are certain; looked for while somebody has waited for a second.",
)
.bad_when_up();

/// What is waited for at an instant.
struct Load {
    waiting: u64,
    longest: Duration,
}

/// Records who waits for what: the handle of a [`layer`](Self::layer).
///
/// The layer records from the start, since it never learns of locks and tasks that were created while it did not.
/// [`disable`](Self::disable) leaves only the cost of tokio's own tracing.
#[derive(Clone, Debug)]
pub struct Waits {
    inner: Inner,
}

impl Waits {
    /// A recorder of its own, for a program with several registries. Most have one: [`global`](Self::global).
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a second recorder is rarely what a service wants")]
    pub fn new() -> Self {
        Self { inner: Inner::new() }
    }

    /// The process's recorder, which `waits_layer` feeds and the skill reads.
    #[must_use]
    pub fn global() -> Self {
        Self { inner: Inner::global() }
    }

    /// Whether it records. It does from the start.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.is_enabled()
    }

    /// Records from now on. What was created before stays unknown, and who holds a lock is known once it was acquired
    /// again; the answers say so.
    ///
    /// Cost: every callsite of the process is asked once, 10 µs for a hundred of them.
    pub fn enable(&self) {
        self.inner.enable();
    }

    /// Records nothing from now on. Locks and tasks of before cost as much as ever while they last; new ones cost
    /// nothing.
    ///
    /// Cost: every callsite of the process is asked once, 10 µs for a hundred of them.
    pub fn disable(&self) {
        self.inner.disable();
    }

    /// Whether the layer sees what tokio does. A lock is created to try it, which layers of the service that record
    /// tokio's own spans see too.
    ///
    /// # Errors
    ///
    /// Why it sees nothing, and the fix: the feature `waits`, the cfg `tokio_unstable`, tokio's feature `tracing`, a
    /// static level of tracing, a layer that was not added, a registry that is not the default, a filter in front of it,
    /// or it is switched off.
    pub fn check(&self) -> Reading<()> {
        self.inner.check()
    }
}

/// The skill `waits`.
#[derive(Clone, Debug)]
pub struct WaitsSkill {
    waits: Waits,
}

impl WaitsSkill {
    /// The skill that reads `waits`: [`Waits::global`] for a service that uses `waits_layer`.
    #[must_use]
    pub fn new(waits: Waits) -> Self {
        Self { waits }
    }

    /// Who the skill is, also where it cannot be read.
    #[must_use]
    pub fn about() -> About {
        About::new(
            "waits",
            "Waits",
            "Which task waits for which lock, semaphore, channel or timer, since when, and who holds it.",
        )
        .prompt(PROMPT)
    }
}

const PROMPT: &str = "\
Start with `waits.deadlocks()`: a row that is not suspected is a fact, and only a restart or an abort of a member ends \
it; the remedy is one order of locking, or a narrower guard. A suspected row is one only if its `assumes` is true: look \
into the code of the places. A member that also awaits something that tokio does not trace (a socket, a join handle, \
`recv`, `Notify`) in another branch of a `select!` or `join!` can still go on.
Then `waits.longest()`: waits above 100 ms on a mutex in a request's path are a convoy. `waits.holders()` names who \
everybody waits for: compare `held_ms` with `tasks` and `stalls`, since a guard that is held across an await of I/O, or \
by a task whose worker is blocked, makes a convoy. `waits.resources()` ranks the places: `contended_total` near \
`acquired_total` with many waiting is a lock that is too wide; a semaphore's long waits are a pool that is too small, or \
a downstream that is too slow. Senders that wait for a channel are a slow consumer.
A convoy is no deadlock: the holder goes on.";

impl Skill for WaitsSkill {
    type State = State;

    fn about(&self) -> About {
        Self::about()
    }

    fn collect(&self) -> Reading<State> {
        self.waits.inner.read()
    }

    fn functions(to: Functions<State>) -> Functions<State> {
        to.rows(
            "graph",
            "The wait graph: a row for each waiter and each party that holds what it waits for, the longest wait first.",
            "waits.graph()",
            |state, rows::Timers { timers }| Ok(rows::graph(state, timers)),
        )
        .rows(
            "longest",
            "The longest waits that have not ended, with who holds what is waited for.",
            "waits.longest(limit=5)",
            |state, arguments: rows::LimitAndTimers| Ok(rows::longest(state, arguments)),
        )
        .rows(
            "holders",
            "Who holds what, those whom most wait for first.",
            "waits.holders()",
            |state, NoArguments {}| Ok(rows::holds(state)),
        )
        .rows(
            "deadlocks",
            "Tasks that wait for each other and cannot go on, with every member's task, place, and what it waits for. \
             Tokio does not tell about sockets, join handles, `recv` or `Notify`: a member that also awaits one of \
             these in another branch of a `select!` or `join!` can still go on.",
            "waits.deadlocks()",
            |state, NoArguments {}| Ok(rows::deadlocks(state)),
        )
        .rows(
            "resources",
            "Locks, semaphores, channels and timers by the place that created them: how many exist, are held and \
             waited for, and how often somebody had to wait. The most waited for come first.",
            "waits.resources(limit=5)",
            |state, rows::Limit { limit }| Ok(rows::resources(state, limit)),
        )
    }

    fn metrics(&self, out: &mut Metrics) {
        let Some(load) = self.waits.inner.load() else { return };
        let is_waited_for_long = load.waiting > 0 && load.longest >= DEADLOCK_AGE;
        let deadlocks = if is_waited_for_long { self.waits.inner.deadlocks() } else { 0 };
        out.record(&WAITING_TASKS, load.waiting);
        out.record(&LONGEST_WAIT, if load.waiting > 0 { millis(load.longest) } else { 0.0 });
        out.record(&DEADLOCKS, deadlocks);
    }

    fn sources(&self) -> Vec<Source> {
        let mut source = Source::live(
            "tokio's tracing events",
            "who waits for which lock, semaphore, channel or timer, and who holds it",
            "0.6 µs for a lock and unlock, 30 ns for a poll, 0.4 µs for a spawn, beside tokio's own tracing: 0.1 µs for a \
             lock, also while it is switched off",
        );
        source.status = self.waits.inner.status();
        vec![source]
    }

    fn stores(&self) -> Vec<Store> {
        self.waits.inner.stores()
    }

    fn checks() -> &'static [Check] {
        const {
            &[
                Check::new("deadlock", include_str!("waits/checks/deadlock.star")),
                Check::new("lock_convoy", include_str!("waits/checks/lock_convoy.star")),
                Check::new("pool_exhausted", include_str!("waits/checks/pool_exhausted.star")),
                Check::new("slow_consumer", include_str!("waits/checks/slow_consumer.star")),
            ]
        }
    }
}
