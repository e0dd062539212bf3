//! A service with one skill, whose answers are as the scripts expect them.

use std::sync::Arc;

use lens_core::{
    About, Capture, Functions, OrUnavailable, Reading, Recorder, RegistryBuilder, Rows, Skill, Unavailable,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

struct Tasks;

#[derive(Serialize, Deserialize)]
struct State;

#[derive(Serialize, JsonSchema)]
struct Row {
    /// Its number.
    id: u64,
    /// Its name.
    #[schemars(extend("x-lens-free-text" = true))]
    name: String,
    /// What it does.
    state: &'static str,
    /// How long it ran.
    busy_ms: f64,
    /// How often it was parked.
    parks: OrUnavailable<u64>,
    /// Where it was spawned.
    place: Place,
    /// Its tags.
    tags: Vec<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct Place {
    /// The file.
    file: &'static str,
    /// The line.
    line: u64,
}

#[derive(Deserialize, JsonSchema)]
struct List {
    /// How many.
    #[serde(default = "ten")]
    limit: u32,
}

fn ten() -> u32 {
    10
}

impl Skill for Tasks {
    type State = State;
    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        About::new("tasks", "Tasks", "What runs.")
    }

    fn collect(&self) -> Reading<State> {
        Ok(State)
    }

    fn functions(to: Functions<State>) -> Functions<State> {
        to.lazy_rows("list", "All tasks.", "tasks.list()", |_, List { limit }| {
            Ok(Listed((0..limit.min(200_000)).map(row).collect()))
        })
    }
}

/// Rows of which a float is quickly known, as the many ones of a real skill.
struct Listed(Vec<Row>);

impl Rows for Listed {
    type Row<'a> = &'a Row;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn row(&self, at: usize) -> Option<&Row> {
        self.0.get(at)
    }

    fn quick_float(&self, at: usize, field: &str) -> Option<f64> {
        self.0.get(at).filter(|_| field == "busy_ms").map(|row| row.busy_ms)
    }

    fn row_bytes(&self) -> usize {
        self.0.row_bytes()
    }
}

fn row(index: u32) -> Row {
    let parks = if index.is_multiple_of(2) { Ok(index.into()) } else { Err(Unavailable::NeedsTokioUnstable) };
    Row {
        id: u64::MAX - u64::from(index),
        name: format!("task {index}"),
        state: ["idle", "running", "scheduled"][index as usize % 3],
        busy_ms: f64::from(index) / 8.0,
        parks: parks.into(),
        place: Place { file: "src/main.rs", line: index.into() },
        tags: vec!["a", "b"],
    }
}

/// A capture of that service.
pub(crate) fn capture() -> Arc<Capture> {
    let mut builder = RegistryBuilder::new();
    builder.skill(Tasks).expect("the name is free");
    let off = Unavailable::FeatureOff { feature: "absent".into() };
    builder.absent(About::new("absent", "Absent", "Not there."), off).expect("the name is free");
    let registry = Arc::new(builder.build());
    Arc::new(Capture::live(&registry, &Arc::new(Recorder::new())))
}
