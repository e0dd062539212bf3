//! Watches the test's own process as lens would: a registry with the skill, a recorder, one tick a second.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lens_core::{Arguments, CallError, Capture, Metrics, Recorder, Registry, RegistryBuilder};
use lens_jemalloc::HeapSkill;
use serde_json::Value;

pub(crate) struct Watch {
    registry: Arc<Registry>,
    recorder: Arc<Recorder>,
    metrics: Option<Metrics>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self::with(HeapSkill::new())
    }

    pub(crate) fn with(skill: HeapSkill) -> Self {
        let mut builder = RegistryBuilder::new();
        builder.skill(skill).unwrap();
        Self { registry: Arc::new(builder.build()), recorder: Arc::new(Recorder::new()), metrics: None }
    }

    /// Records one second.
    pub(crate) fn tick(&mut self) {
        let now = Instant::now();
        let metrics = self.registry.get("heap").unwrap().metrics(self.metrics.take().unwrap_or_default()).unwrap();
        self.recorder.record("heap", now, &metrics);
        self.recorder.tick(now);
        self.metrics = Some(metrics);
    }

    /// Records `seconds` seconds as they pass; before each, the service does `work`.
    pub(crate) fn seconds(&mut self, seconds: u32, mut work: impl FnMut()) {
        for _ in 0..seconds {
            work();
            thread::sleep(Duration::from_secs(1));
            self.tick();
        }
    }

    pub(crate) fn capture(&self) -> Capture {
        Capture::live(&self.registry, &self.recorder)
    }

    pub(crate) fn ask(&self, function: &str) -> Value {
        self.try_ask(function, &[]).unwrap()
    }

    pub(crate) fn try_ask(&self, function: &str, arguments: &[(&str, Value)]) -> Result<Value, CallError> {
        let named = arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.capture().call("heap", function, Arguments::named(named)).map(|answer| answer.to_json())
    }
}
