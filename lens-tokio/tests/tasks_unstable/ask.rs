//! How the tests ask: as a query would, through the registry.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lens_core::{Arguments, Recorder, Registry, RegistryBuilder, Timestamp};
use lens_tokio::TasksSkill;
use lens_tokio::builder::{Builder, Runtime};
use serde_json::{Value, json};

/// A multi-thread runtime.
pub(crate) fn workers(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap()
}

/// A current-thread runtime.
pub(crate) fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn registry() -> Registry {
    let mut builder = RegistryBuilder::new();
    builder.skill(TasksSkill::new()).unwrap();
    builder.build()
}

/// Asks `tasks.{function}` of a fresh state.
#[track_caller]
pub(crate) fn ask(function: &str, arguments: &Value) -> Value {
    try_ask(function, arguments).unwrap()
}

pub(crate) fn try_ask(function: &str, arguments: &Value) -> Result<Value, String> {
    ask_of(&registry(), function, arguments)
}

/// The same, of a registry that has been asked before.
pub(crate) fn ask_of(registry: &Registry, function: &str, arguments: &Value) -> Result<Value, String> {
    let entry = registry.get("tasks").unwrap();
    let state = entry.collect().map_err(|reason| reason.to_string())?;
    let recorder = Arc::new(Recorder::new());
    let history = recorder.until(Instant::now());
    let named = arguments.as_object().unwrap().clone().into_iter().collect();
    let answer = entry.call(function, &state, Timestamp::default(), &history, Arguments::named(named));
    answer.map(|answer| answer.to_json()).map_err(|error| error.to_string())
}

/// The place of the line of the caller, `offset` lines further, without the column: what a spawn there is found by.
#[track_caller]
pub(crate) fn line(offset: u32) -> String {
    let here = Location::caller();
    format!("{}:{}:", here.file(), here.line() + offset)
}

/// The one site whose place contains `place`.
#[track_caller]
pub(crate) fn site(place: &str) -> Value {
    let sites = ask("sites", &json!({"site": place, "limit": 1000}));
    let sites = sites.as_array().unwrap();
    assert_eq!(sites.len(), 1, "{place}: {sites:?}");
    sites[0].clone()
}

/// Waits until `claim` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut claim: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !claim() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// The clock ticks while this lives.
pub(crate) struct Ticking {
    stop: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

pub(crate) fn ticking() -> Ticking {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let mut ticker = lens_tokio::ticker();
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(2)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            ticker.tick();
        }
    });
    Ticking { stop: Some(stop), thread: Some(thread) }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.stop = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The number of a task's id.
pub(crate) fn number(id: tokio::task::Id) -> u64 {
    id.to_string().parse().unwrap()
}
