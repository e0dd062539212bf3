//! Asks the skill as a query does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lens_core::{Arguments, CallError, Capture, Recorder, Registry, RegistryBuilder};
use lens_tokio::{Console, ConsoleSkill};
use serde_json::{Value, json};

/// Every function of the skill.
pub(crate) const FUNCTIONS: [&str; 5] = ["tasks", "resources", "operations", "lints", "summary"];

/// The skill in a registry.
pub(crate) struct Lens(Arc<Registry>);

impl Lens {
    pub(crate) fn of(console: Console) -> Self {
        let mut builder = RegistryBuilder::new();
        builder.skill(ConsoleSkill::new(console)).unwrap();
        Self(Arc::new(builder.build()))
    }

    /// A function's answer now, with arguments by name.
    pub(crate) fn call(&self, function: &str, arguments: Value) -> Result<Value, CallError> {
        let named = arguments.as_object().unwrap().clone();
        let arguments = Arguments { named: named.into_iter().collect(), ..Arguments::default() };
        let answer = Capture::live(&self.0, &Arc::new(Recorder::new())).call("console", function, arguments)?;
        Ok(answer.to_json())
    }

    /// All rows of a function.
    pub(crate) fn rows(&self, function: &str) -> Vec<Value> {
        self.call(function, json!({ "limit": 1_000_000 })).unwrap().as_array().unwrap().clone()
    }

    /// The rows of a function in which a field is a text.
    pub(crate) fn named(&self, function: &str, field: &str, text: &str) -> Vec<Value> {
        self.rows(function).into_iter().filter(|row| row[field] == text).collect()
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
