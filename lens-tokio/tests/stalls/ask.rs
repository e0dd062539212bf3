//! How the tests ask: as a query would, through the registry.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lens_core::{Arguments, CallError, Recorder, Registry, RegistryBuilder, Timestamp};
use lens_tokio::stalls::Settings;
use lens_tokio::{Runtimes, TasksSkill, Watchdog};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// One test at a time: a machine that is busy with another one stalls as well.
static ALONE: Mutex<()> = Mutex::new(());

/// A watchdog and its skill.
pub(crate) struct Watched {
    _alone: MutexGuard<'static, ()>,
    registry: Registry,
    pub(crate) watchdog: Watchdog,
}

impl Watched {
    pub(crate) fn over(runtimes: &[&Handle]) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = Runtimes::new();
        for &handle in runtimes {
            watched.attach(None, handle.clone());
        }
        let watchdog = Watchdog::start(Settings::default(), watched).unwrap();
        let mut builder = RegistryBuilder::new();
        builder.skill(watchdog.skill()).unwrap();
        builder.skill(TasksSkill::new()).unwrap();
        Self { _alone: alone, registry: builder.build(), watchdog }
    }

    /// Asks `stalls.{function}` of a fresh state.
    #[track_caller]
    pub(crate) fn ask(&self, function: &str, arguments: &Value) -> Vec<Value> {
        self.call("stalls", function, arguments).as_array().unwrap().clone()
    }

    /// Asks a function of a skill of a fresh state.
    #[track_caller]
    pub(crate) fn call(&self, skill: &str, function: &str, arguments: &Value) -> Value {
        self.try_call(skill, function, arguments).unwrap()
    }

    /// The same, where the answer may not be there yet.
    #[track_caller]
    pub(crate) fn try_call(&self, skill: &str, function: &str, arguments: &Value) -> Result<Value, CallError> {
        let entry = self.registry.get(skill).unwrap();
        // Another test's stack may be looked up just now.
        let state = until(|| entry.collect().ok());
        let history = Arc::new(Recorder::new()).until(Instant::now());
        let named = arguments.as_object().unwrap().clone().into_iter().collect();
        let answer = entry.call(function, &state, Timestamp::now(), &history, Arguments::named(named))?;
        Ok(answer.to_json())
    }

    /// The rows of `now` that `is_it`, as soon as there are any.
    #[track_caller]
    pub(crate) fn now(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        until(|| self.ask("now", &json!({})).into_iter().find(&is_it))
    }

    /// The stalls that ended and that `is_it`, as soon as there are any and all their stacks are looked up.
    #[track_caller]
    pub(crate) fn ended(&self, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        until(|| {
            let mut rows = self.ask("recent", &json!({"limit": 1000}));
            rows.retain(&is_it);
            let is_open = |row: &Value| row["frames"]["unavailable"] == "not_yet";
            (!rows.is_empty() && !rows.iter().any(is_open)).then_some(rows)
        })
    }
}

/// Waits for what should happen.
#[track_caller]
pub(crate) fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "it should happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The place of the frame of `function`.
#[track_caller]
pub(crate) fn frame(row: &Value, function: &str) -> String {
    let frames = row["frames"].as_array().unwrap_or_else(|| panic!("a stack, not {row:#}"));
    let of = |frame: &&Value| frame["function"].as_str().unwrap().ends_with(function);
    let frame = frames.iter().find(of).unwrap_or_else(|| panic!("{function} in {row:#}"));
    frame["place"].as_str().unwrap().to_owned()
}
