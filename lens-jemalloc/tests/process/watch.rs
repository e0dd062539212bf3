//! Watches the test's own process as lens would: a registry with the skill, a recorder, one tick a second. The recorder's
//! clock can be put forward, jemalloc's cannot.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lens_core::{Arguments, CallError, Metrics, Recorder, Registry, RegistryBuilder, Timestamp};
use lens_jemalloc::HeapSkill;
use serde_json::Value;

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) struct Watch {
    registry: Arc<Registry>,
    recorder: Arc<Recorder>,
    metrics: Option<Metrics>,
    put_forward: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let mut builder = RegistryBuilder::new();
        builder.skill(HeapSkill::new()).unwrap();
        Self {
            registry: Arc::new(builder.build()),
            recorder: Arc::new(Recorder::new()),
            metrics: None,
            put_forward: Duration::ZERO,
        }
    }

    /// Records one second.
    pub(crate) fn tick(&mut self) {
        let now = self.now();
        let metrics = self.registry.get("heap").unwrap().metrics(self.metrics.take().unwrap_or_default()).unwrap();
        self.recorder.record("heap", now, &metrics);
        self.recorder.tick(now);
        self.metrics = Some(metrics);
    }

    /// Records `seconds` seconds as they pass.
    pub(crate) fn seconds(&mut self, seconds: u32) {
        for _ in 0..seconds {
            thread::sleep(Duration::from_secs(1));
            self.tick();
        }
    }

    /// Records `seconds` seconds that do not pass; in each, the service does `work`.
    pub(crate) fn seconds_put_forward(&mut self, seconds: u32, mut work: impl FnMut()) {
        for _ in 0..seconds {
            work();
            self.put_forward += Duration::from_secs(1);
            self.tick();
        }
    }

    pub(crate) fn ask(&self, function: &str) -> Value {
        self.ask_with(function, &[]).unwrap()
    }

    pub(crate) fn ask_with(&self, function: &str, arguments: &[(&str, Value)]) -> Result<Value, CallError> {
        let entry = self.registry.get("heap").unwrap();
        let state = entry.collect().unwrap();
        let named = arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let history = self.recorder.until(self.now());
        let answer = entry.call(function, &state, Timestamp::now(), &history, Arguments::named(named));
        answer.map(|answer| answer.to_json())
    }

    fn now(&self) -> Instant {
        Instant::now() + self.put_forward
    }
}

/// A field of a row that holds bytes.
pub(crate) fn bytes(row: &Value, field: &str) -> u64 {
    row[field].as_u64().unwrap_or_else(|| panic!("{field} in {row}"))
}

/// Whether `measured` is within 5 % of `known`.
pub(crate) fn assert_near(measured: u64, known: u64, context: &Value) {
    assert!(measured.abs_diff(known) * 20 <= known, "{measured} of {known}: {context:#}");
}
