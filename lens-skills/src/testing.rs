//! Asks a skill's functions of a state that a test made, and runs its checks over one. Separate because the tests of every
//! skill ask alike, through the same path as a query.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lens_core::checks::Examination;
use lens_core::recorder::History;
use lens_core::registry::FrozenState;
use lens_core::sandbox::{Limits, Sandbox};
use lens_core::signature::Returns;
use lens_core::{
    About, Arguments, CallError, Capture, Checks, Metric, Metrics, Recorder, RegistryBuilder, Report, Skill, Timestamp,
    Unavailable,
};
use serde::Serialize;
use serde_json::{Value, json};

struct Frozen<S>(S);

impl<S: Serialize + Send + Sync + 'static> FrozenState for Frozen<S> {
    fn as_any(&self) -> &dyn Any {
        &self.0
    }

    fn to_json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.0)
    }
}

/// The answer of `function`, as JSON, to arguments that are a JSON object.
pub(crate) fn ask<S: Skill>(state: S::State, function: &str, arguments: Value) -> Result<Value, CallError> {
    ask_at::<S>(Timestamp::now(), state, function, arguments)
}

/// The same, of a capture at `at`.
pub(crate) fn ask_at<S: Skill>(
    at: Timestamp,
    state: S::State,
    function: &str,
    arguments: Value,
) -> Result<Value, CallError> {
    let mut builder = RegistryBuilder::new();
    builder.unread::<S>(About::new("asked", "", ""), Unavailable::NeedsTokioUnstable).unwrap();
    let registry = builder.build();
    let recorder = Arc::new(Recorder::new());
    let history = recorder.until(Instant::now());
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let arguments = Arguments::named(arguments.into_iter().collect());
    let state: lens_core::registry::State = Arc::new(Frozen(state));
    let entry = registry.get("asked").unwrap();
    entry.call(function, &state, at, &history, arguments).map(|answer| answer.to_json())
}

/// What of a skill is free text, which a model gets only where the service shares it: `recent.message` is a field,
/// `recent(text)` an argument.
pub(crate) fn free_text<S: Skill>() -> Vec<String> {
    let mut builder = RegistryBuilder::new();
    builder.unread::<S>(About::new("asked", "", ""), Unavailable::NeedsTokioUnstable).unwrap();
    let registry = builder.build();
    let mut free = Vec::new();
    for function in registry.get("asked").unwrap().functions() {
        let (Returns::Rows(fields) | Returns::Record(fields)) = &function.returns else { continue };
        let fields = fields.iter().filter(|field| field.is_free_text);
        free.extend(fields.map(|field| format!("{}.{}", function.name, field.name)));
        let arguments = function.parameters.iter().filter(|argument| argument.is_free_text);
        free.extend(arguments.map(|argument| format!("{}({})", function.name, argument.name)));
    }
    free.sort();
    free
}

/// What the checks of a skill find in the file of a capture: its `state`, and what `metric` was so many seconds after
/// `started_at`, the last of which is the capture's instant. Each fact is true in it.
pub(crate) fn examine<S: Skill>(
    about: About,
    state: &S::State,
    metric: &'static Metric,
    values: impl IntoIterator<Item = (u32, u32)>,
    started_at: Timestamp,
) -> Report {
    let skill = about.name.to_string();
    let mut builder = RegistryBuilder::for_captures();
    builder.unread::<S>(about, Unavailable::NeedsTokioUnstable).unwrap();
    let registry = Arc::new(builder.build());
    let recorder = Arc::new(Recorder::new());
    let mut file = Vec::new();
    Capture::frozen(&registry, &recorder).save(&mut file).unwrap();
    let mut file: Value = serde_json::from_slice(&file).unwrap();

    let start = Instant::now();
    let mut end = Duration::ZERO;
    for (second, value) in values {
        let mut metrics = Metrics::default();
        metrics.record(metric, value);
        end = Duration::from_secs(second.into());
        recorder.record(&skill, start + end, &metrics);
    }
    file["history"] = serde_json::to_value(recorder.until(start + end).save()).unwrap();
    file["history"]["started_at"] = json!(started_at);
    file["captured_at"] = json!(started_at.plus(end));
    file["skills"][skill]["state"] = json!({ "Ok": state });
    let open = || Arc::new(Capture::open(&registry, file.to_string().as_bytes()).unwrap());

    let sandbox = Sandbox::new(Limits::default());
    let checks = Checks::new(&registry, &[], &[]).unwrap();
    let report = Examination::new(&sandbox).run(&checks, &open(), None);
    let (_, wrong) = report.verify(&open(), &sandbox);
    assert_eq!(wrong, []);
    report
}

/// States like this one as somebody may write them into a file: with each integer alone as large as its type allows, and
/// with all of them.
pub(crate) fn greatest<S: Serialize + serde::de::DeserializeOwned>(state: &S) -> Vec<S> {
    let json = serde_json::to_value(state).unwrap();
    let mut places = Vec::new();
    integers(&json, String::new(), &mut places);
    let mut all = json.clone();
    let mut states = Vec::new();
    for place in &places {
        let with = |json: &Value, number: u64| {
            let mut json = json.clone();
            *json.pointer_mut(place).unwrap() = number.into();
            json
        };
        let fits = |number: &u64| serde_json::from_value::<S>(with(&json, *number)).is_ok();
        let most = [u64::MAX, i64::MAX as u64, u32::MAX.into()].into_iter().find(fits).unwrap();
        states.push(serde_json::from_value(with(&json, most)).unwrap());
        // Not all go together: a duration's nanoseconds carry over into its seconds.
        let more = with(&all, most);
        if serde_json::from_value::<S>(more.clone()).is_ok() {
            all = more;
        }
    }
    states.push(serde_json::from_value(all).unwrap());
    states
}

/// Where in `json` integers are.
fn integers(json: &Value, place: String, places: &mut Vec<String>) {
    match json {
        Value::Number(number) if !number.is_f64() => places.push(place),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| integers(item, format!("{place}/{index}"), places));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| integers(field, format!("{place}/{name}"), places));
        }
        _ => {}
    }
}

/// Asks every function of a skill of a state, without arguments.
pub(crate) fn ask_all<S: Skill>(state: S::State) {
    let mut builder = RegistryBuilder::new();
    builder.unread::<S>(About::new("asked", "", ""), Unavailable::NeedsTokioUnstable).unwrap();
    let registry = builder.build();
    let history = Arc::new(Recorder::new()).until(Instant::now());
    let state: lens_core::registry::State = Arc::new(Frozen(state));
    let entry = registry.get("asked").unwrap();
    for function in entry.functions() {
        let arguments = Arguments::named(std::iter::empty().collect());
        // An error that says why is an answer, too.
        match entry.call(&function.name, &state, Timestamp::now(), &history, arguments) {
            Ok(answer) => drop(answer.to_json()),
            Err(error) => assert!(!matches!(error, CallError::Panicked { .. }), "{error}"),
        }
    }
}

/// The same state after it was saved in a file and opened.
pub(crate) fn saved<S: Serialize + serde::de::DeserializeOwned>(state: &S) -> S {
    serde_json::from_value(serde_json::to_value(state).unwrap()).unwrap()
}

/// Waits until `claim` is true; fails the test with `what` after 10 seconds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut claim: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !claim() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
