//! What can go wrong on purpose, so that what lens says about it can be compared with the truth. Every fault is started
//! and ended at run time, ends by itself, and is bounded in what it takes from the machine.

mod blocking;
mod context;
mod cpu;
mod downstream;
mod http;
mod locks;
mod memory;
mod process;
mod queues;
mod tasks;
mod traffic;
pub mod truth;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::app::App;
use crate::stop::Stop;
use context::{Context, Running};
pub use http::router;
use truth::Truth;

/// How long [`Zoo::stop`] waits for a fault to be gone.
pub const STOP_DEADLINE: Duration = Duration::from_secs(3);

/// Something that can go wrong.
#[derive(Debug)]
pub struct Fault {
    /// The name by which it is started.
    pub name: &'static str,
    /// What happens, in one line.
    pub about: &'static str,
    /// What a diagnosis must find.
    pub truth: Truth,
    /// Whether it can be ended over HTTP; otherwise it ends only by itself.
    pub removable: bool,
    /// How long it lasts, in seconds, unless it is ended before.
    pub seconds: Bound,
    /// How fast it goes, in `unit` a second, if it has a speed.
    pub rate: Option<Bound>,
    /// How many `unit` there are at most.
    pub count: Bound,
    /// What is counted.
    pub unit: &'static str,
    start: fn(Context),
}

/// A number that the caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// What it is unless chosen.
    pub default: u64,
    /// The most that can be chosen.
    pub max: u64,
}

/// How to start a fault; what is not said is the fault's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// How long it lasts.
    pub seconds: Option<u64>,
    /// How fast it goes.
    pub rate: Option<u64>,
    /// How many there are.
    pub count: Option<u64>,
}

/// Why a fault was not started or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such fault.
    Unknown,
    /// It goes on already.
    Running,
    /// It does not go on.
    NotRunning,
    /// It can only be waited for.
    NotRemovable,
    /// A number is not allowed, and why.
    Choice(String),
}

/// Every fault there is.
pub fn all() -> impl Iterator<Item = &'static Fault> {
    let families = [
        blocking::FAULTS,
        cpu::FAULTS,
        downstream::FAULTS,
        locks::FAULTS,
        memory::FAULTS,
        process::FAULTS,
        queues::FAULTS,
        tasks::FAULTS,
    ];
    families.into_iter().flatten()
}

/// The faults of a running service.
#[derive(Debug)]
pub struct Zoo {
    app: Arc<App>,
    process: Stop,
    running: Mutex<BTreeMap<&'static str, Running>>,
}

impl Zoo {
    /// Nothing is wrong yet. What is started ends with `process`.
    #[must_use]
    pub fn new(app: Arc<App>, process: Stop) -> Self {
        Self { app, process, running: Mutex::default() }
    }

    /// Starts the fault `name`.
    ///
    /// # Errors
    ///
    /// It is unknown, goes on already, or `choice` is not allowed.
    pub fn start(&self, name: &str, choice: Choice) -> Result<Progress, Refusal> {
        let fault = find(name)?;
        let seconds = fault.seconds.choose("seconds", choice.seconds)?;
        let rate = match (fault.rate, choice.rate) {
            (Some(bound), chosen) => Some(bound.choose("rate", chosen)?),
            (None, None) => None,
            (None, Some(_)) => return Err(Refusal::Choice(format!("`{name}` has no rate"))),
        };
        let count = fault.count.choose("count", choice.count)?;
        let mut running = self.lock();
        if running.get(fault.name).is_some_and(Running::goes_on) {
            return Err(Refusal::Running);
        }
        let (context, run) = context::start(&self.app, &self.process, Duration::from_secs(seconds), rate, count);
        let progress = context.progress();
        (fault.start)(context);
        running.insert(fault.name, run);
        Ok(progress)
    }

    /// Ends the fault `name` and waits until it is gone; false if that takes longer than [`STOP_DEADLINE`].
    ///
    /// # Errors
    ///
    /// It is unknown, does not go on, or cannot be ended.
    pub async fn stop(&self, name: &str) -> Result<bool, Refusal> {
        let fault = find(name)?;
        if !fault.removable {
            return Err(Refusal::NotRemovable);
        }
        let run = self.lock().get(fault.name).filter(|run| run.goes_on()).cloned().ok_or(Refusal::NotRunning)?;
        run.stop();
        let deadline = Instant::now() + STOP_DEADLINE;
        while run.goes_on() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(!run.goes_on())
    }

    /// How far the fault `name` has come, if it goes on.
    #[must_use]
    pub fn progress(&self, name: &str) -> Option<Progress> {
        self.lock().get(name).and_then(Running::progress)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a fault has come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// For how long it has gone on.
    pub age_ms: u64,
    /// When it ends by itself.
    pub ends_in_ms: u64,
    /// Its speed, if it has one.
    pub rate: Option<u64>,
    /// How many there are to be at most.
    pub count: u64,
    /// How many there are now.
    pub injected: u64,
}

impl Bound {
    pub(crate) const fn new(default: u64, max: u64) -> Self {
        Self { default, max }
    }

    fn choose(self, name: &str, chosen: Option<u64>) -> Result<u64, Refusal> {
        let chosen = chosen.unwrap_or(self.default);
        if (1..=self.max).contains(&chosen) {
            Ok(chosen)
        } else {
            Err(Refusal::Choice(format!("`{name}` must be 1 to {}", self.max)))
        }
    }
}

fn find(name: &str) -> Result<&'static Fault, Refusal> {
    all().find(|fault| fault.name == name).ok_or(Refusal::Unknown)
}
