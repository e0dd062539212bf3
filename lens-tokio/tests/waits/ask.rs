//! Asks the skill as a query does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lens_core::{Arguments, CallError, Capture, Recorder, Registry, RegistryBuilder};
use lens_tokio::{Waits, WaitsSkill};
use serde_json::Value;

/// Every function of the skill.
pub(crate) const FUNCTIONS: [&str; 5] = ["graph", "longest", "holders", "deadlocks", "resources"];

/// The skill in a registry.
pub(crate) struct Lens(Arc<Registry>);

impl Lens {
    pub(crate) fn of(waits: Waits) -> Self {
        let mut builder = RegistryBuilder::new();
        builder.skill(WaitsSkill::new(waits)).unwrap();
        Self(Arc::new(builder.build()))
    }

    pub(crate) fn capture(&self) -> Capture {
        Capture::live(&self.0, &Arc::new(Recorder::new()))
    }

    /// A function's answer now.
    pub(crate) fn call(&self, function: &str) -> Result<Vec<Value>, CallError> {
        let answer = self.capture().call("waits", function, Arguments::default())?;
        Ok(answer.to_json().as_array().unwrap().clone())
    }

    /// The rows of a function's answer that are about what was created at a place.
    pub(crate) fn rows(&self, function: &str, place: &str) -> Vec<Value> {
        let field = if function == "resources" { "place" } else { "resource_place" };
        let is_there = |row: &Value| row[field].as_str().is_some_and(|text| text.starts_with(place));
        self.call(function).unwrap().into_iter().filter(is_there).collect()
    }

    /// The rows of a function's answer that are about what was created at a place, once there are as many.
    #[track_caller]
    pub(crate) fn wait_for_rows(&self, count: usize, function: &str, place: &str) -> Vec<Value> {
        wait_until(|| {
            let rows = self.rows(function, place);
            (rows.len() == count).then_some(rows)
        })
    }
}

/// What `look` finds, as soon as it finds something.
#[track_caller]
pub(crate) fn wait_until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not happen in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}
