//! A lens without its face: the skill, the registry, the recorder, and a thread that drives them as the facade does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lens_core::{Arguments, CallError, Capture, Metrics, Recorder, Registry, RegistryBuilder, Series, Span};
use lens_tokio::{RuntimeSkill, Runtimes, TaskMonitors};
use serde_json::Value;
use tokio::runtime::{Builder, Handle, Runtime};

/// The longest that a test waits for anything.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Lens {
    pub(crate) runtimes: Runtimes,
    pub(crate) monitors: TaskMonitors,
    registry: Arc<Registry>,
    recorder: Arc<Recorder>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lens {
    pub(crate) fn new() -> Self {
        let (runtimes, monitors) = (Runtimes::new(), TaskMonitors::new());
        let mut registry = RegistryBuilder::new();
        registry.skill(RuntimeSkill::new(runtimes.clone()).task_monitors(monitors.clone())).unwrap();
        let (registry, recorder) = (Arc::new(registry.build()), Arc::new(Recorder::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = {
            let (runtimes, registry) = (runtimes.clone(), Arc::clone(&registry));
            let (recorder, is_over) = (Arc::clone(&recorder), Arc::clone(&is_over));
            std::thread::spawn(move || {
                let mut metrics = Metrics::default();
                let mut next_second = Instant::now();
                while !is_over.load(Ordering::Relaxed) {
                    let now = Instant::now();
                    runtimes.sample(now);
                    if now >= next_second {
                        next_second += Duration::from_secs(1);
                        metrics = registry.get("runtime").unwrap().metrics(std::mem::take(&mut metrics)).unwrap();
                        recorder.record("runtime", now, &metrics);
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            })
        };
        Self { runtimes, monitors, registry, recorder, is_over, thread: Some(thread) }
    }

    /// A lens that watches one runtime.
    pub(crate) fn on(name: &str, runtime: &Handle) -> Self {
        let lens = Self::new();
        lens.runtimes.attach(Some(name), runtime.clone());
        lens
    }

    pub(crate) fn capture(&self) -> Capture {
        Capture::live(&self.registry, &self.recorder)
    }

    pub(crate) fn call(&self, function: &str, arguments: &[(&str, &str)]) -> Result<Vec<Value>, CallError> {
        let named = arguments.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let answer = self.capture().call("runtime", function, Arguments::named(named))?;
        Ok(answer.to_json().as_array().unwrap().clone())
    }

    pub(crate) fn ask(&self, function: &str) -> Vec<Value> {
        self.call(function, &[]).unwrap()
    }

    /// The only row.
    pub(crate) fn one(&self, function: &str) -> Value {
        let mut rows = self.ask(function);
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    /// The rows, once they are as they should be.
    #[track_caller]
    pub(crate) fn wait_until(&self, function: &str, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        self.wait_until_with(function, &[], is_so)
    }

    #[track_caller]
    pub(crate) fn wait_until_with(
        &self,
        function: &str,
        arguments: &[(&str, &str)],
        is_so: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let rows = self.call(function, arguments).unwrap();
            if is_so(&rows) {
                return rows;
            }
            assert!(start.elapsed() < DEADLINE, "still {rows:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A metric's last minute, once it has a point.
    #[track_caller]
    pub(crate) fn series(&self, name: &str) -> Series {
        let start = Instant::now();
        loop {
            match self.capture().series(name, Span::seconds(60)) {
                Ok(series) => return series,
                Err(error) => assert!(start.elapsed() < DEADLINE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a metric, which is recorded once a second, has a value.
    #[track_caller]
    pub(crate) fn wait_for_last(&self, name: &str, value: f64) {
        let start = Instant::now();
        while self.series(name).last() != value {
            assert!(start.elapsed() < DEADLINE, "still {:?}", self.series(name));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Drop for Lens {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A runtime of two workers.
pub(crate) fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A worker that waits, in a task, until this is dropped.
pub(crate) struct Blocked {
    /// Which worker it is.
    pub(crate) index: usize,
    pub(crate) since: Instant,
    _release: Sender<()>,
}

impl Blocked {
    pub(crate) fn worker_of(runtime: &Handle) -> Self {
        let (release, held) = channel::<()>();
        let (enter, entered): (_, Receiver<(usize, Instant)>) = channel();
        runtime.spawn(async move {
            enter.send((tokio::runtime::worker_index().unwrap(), Instant::now())).unwrap();
            // Ends with an error, when the sender is dropped.
            let _ = held.recv_timeout(DEADLINE);
        });
        let (index, since) = entered.recv_timeout(DEADLINE).unwrap();
        Self { index, since, _release: release }
    }
}

pub(crate) fn states(workers: &[Value]) -> Vec<&str> {
    workers.iter().map(|worker| worker["state"].as_str().unwrap()).collect()
}

pub(crate) fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap_or_else(|| panic!("{field} is {}", row[field]))
}
