//! The skill `panics`: where the process panicked, how often, and in which tasks. Separate from `logs` because a panic is
//! seen by a hook of the process and not by a tracing layer.

mod functions;
mod hook;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use lens_core::{About, Check, Functions, Metric, Metrics, Reading, Skill, Source, Store, Unavailable, Unit};

use state::Kept;

pub use functions::{PanicGroupRow, PanicRow, PanicStats};
pub use hook::{MAX_PLACES, MAX_QUEUED, MAX_RECENT_PER_SECOND, TaskOfThread};
pub use state::{MAX_RECENT, PanicsState};

static TOTAL: Metric = Metric::counter(
    "panics_total",
    Unit::Count,
    "Panics of the process, those that were caught too; its series is the rate per second.",
)
.bad_when_up();

const PROMPT: &str = "\
A panic in a task ends that task and nothing else: tokio catches it, and the service goes on with one task less. So look \
whether a place panics again and again (`panics.groups()`, rate_per_s), and what no longer happens because its task is \
gone (`tasks.sites()`: live below what it was). One panic of a place since the start is an input that nobody expected; \
several per second are a loop that starts a task which cannot work. A panic while a std::sync::Mutex is held poisons \
it: later panics at `.lock().unwrap()` are symptoms of the first one.";

/// Records panics, by a hook that calls the one that was there before.
///
/// The hook is added once in a process and stays; it records while a skill is alive. A hook that the service sets later
/// and that does not call the earlier one hides panics from it.
///
/// # Cost
///
/// Nothing until something panics; then about a microsecond in the thread that does, and no allocation but for the first
/// panic of a place.
#[derive(Debug)]
pub struct PanicsSkill {
    /// Only lens's thread for this skill takes it, so nobody waits.
    kept: Mutex<Kept>,
}

impl PanicsSkill {
    /// Adds the hook, if this process has none yet. `task` tells which task runs on the calling thread; it is called where
    /// a panic happens, so it must neither panic nor wait.
    ///
    /// # Errors
    ///
    /// This thread is panicking: hooks cannot be changed then.
    pub fn install(task: TaskOfThread) -> Reading<Self> {
        hook::install(task)?;
        Ok(Self { kept: Mutex::new(Kept::new()) })
    }

    /// Who the skill is, also where it is not enabled.
    #[must_use]
    pub fn about() -> About {
        About::new("panics", "Panics", "Where the process panicked, how often, and in which tasks.").prompt(PROMPT)
    }

    /// Why there are no panics to see unless the service asks for it.
    #[must_use]
    pub fn not_enabled() -> Unavailable {
        Unavailable::NotEnabled { how: "start lens with `Builder::record_panics`".into() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What it holds is history; one that a panic left half written is at worst an entry short.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Skill for PanicsSkill {
    type State = PanicsState;

    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        Self::about()
    }

    fn collect(&self) -> Reading<PanicsState> {
        let mut kept = self.kept();
        kept.take_in();
        Ok(kept.state())
    }

    fn functions(to: Functions<PanicsState>) -> Functions<PanicsState> {
        functions::add(to)
    }

    fn metrics(&self, out: &mut Metrics) {
        self.kept().take_in();
        hook::renew();
        out.record(&TOTAL, hook::total());
    }

    fn sources(&self) -> Vec<Source> {
        vec![Source::live(
            "std::panic hook",
            "every panic with message, place, thread and task",
            "nothing until something panics",
        )]
    }

    fn stores(&self) -> Vec<Store> {
        self.kept().stores()
    }

    fn checks() -> &'static [Check] {
        const { &[Check::new("panic_loop", include_str!("panics/checks/panic_loop.star"))] }
    }
}
