//! A signature says what the Rust types say, and refuses what they would refuse.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::reading::OrUnavailable;
use crate::time::Span;

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Top {
    /// How many rows.
    limit: u32,
    /// The column to sort by.
    by: By,
    /// The window.
    last: Span,
    name: Option<String>,
}

impl Default for Top {
    fn default() -> Self {
        Self { limit: 10, by: By::Busy, last: Span::seconds(300), name: None }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    /// Time on the worker.
    Busy,
    /// Polls.
    Polls,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Get {
    /// The task's id.
    id: u64,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    zone: String,
    /// Time spent in polls.
    busy_ms: f64,
    parent: Option<u64>,
    steal_count: OrUnavailable<u64>,
    place: String,
}

fn top() -> FunctionReference {
    FunctionReference {
        name: "top".into(),
        doc: String::new(),
        parameters: parameters::<Top>(),
        returns: Given::rows::<Row>().returns,
        is_free_text: false,
        example: String::new(),
        effect: None,
    }
}

fn message(arguments: Arguments) -> String {
    top().bind("tasks", arguments).unwrap_err().to_string()
}

#[test]
fn parameters_stand_in_the_order_of_declaration_with_defaults() {
    assert_eq!(
        top().signature("tasks"),
        "tasks.top(limit: int = 10, by: \"busy\" | \"polls\" = \"busy\", last: span = \"5m\", name: str = None) -> list[row]"
    );
    assert_eq!(top().parameters[0].doc, "How many rows.");
    assert!(parameters::<Get>()[0].is_required());
}

#[test]
fn fields_stand_in_the_order_of_declaration_with_units_and_absence() {
    let top = top();
    let fields = top.fields();
    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["zone", "busy_ms", "parent", "steal_count", "place"]);
    assert_eq!(fields[1].unit.as_deref(), Some("ms"));
    assert_eq!(fields[1].doc, "Time spent in polls.");
    assert!(fields[2].is_optional);
    assert!(fields[3].may_be_unavailable);
    assert!(!fields[4].is_optional);
}

#[test]
fn arguments_bind_by_position_and_by_name() {
    let arguments =
        Arguments { positional: vec![json!(3)], named: vec![("by".into(), json!("polls"))], are_text: false };
    assert_eq!(top().bind("tasks", arguments).unwrap(), json!({"limit": 3, "by": "polls"}));
}

#[test]
fn texts_of_a_url_are_read_as_what_the_parameter_takes() {
    let arguments = Arguments::from_query([("limit".into(), "3".into()), ("last".into(), "90s".into())]);
    assert_eq!(top().bind("tasks", arguments).unwrap(), json!({"limit": 3, "last": "90s"}));
    let arguments = Arguments::from_query([("limit".into(), "many".into())]);
    assert_eq!(
        message(arguments),
        "the argument `limit` of `tasks.top` takes an integer between 0 and 4294967295, not \"many\""
    );
}

#[test]
fn wrong_arguments_are_named_with_what_is_right() {
    let one = |name: &str, value| Arguments::named(vec![(name.to_owned(), value)]);
    assert_eq!(message(one("limt", json!(1))), "`tasks.top` has no argument `limt`; did you mean `limit`?");
    assert_eq!(
        message(one("limit", json!(-1))),
        "the argument `limit` of `tasks.top` takes an integer between 0 and 4294967295, not -1"
    );
    assert_eq!(
        message(one("by", json!("size"))),
        "the argument `by` of `tasks.top` takes one of \"busy\", \"polls\", not \"size\""
    );
    let twice = Arguments { positional: vec![json!(1)], named: vec![("limit".into(), json!(2))], are_text: false };
    assert_eq!(message(twice), "the argument `limit` of `tasks.top` is given twice");
    let get = FunctionReference { name: "get".into(), parameters: parameters::<Get>(), ..top() };
    assert_eq!(
        get.bind("tasks", Arguments::default()).unwrap_err().to_string(),
        "`tasks.get` needs the argument `id`: an integer of at least 0"
    );
}

#[derive(Serialize, JsonSchema)]
struct Note {
    id: u64,
    #[schemars(extend("x-lens-free-text" = true))]
    text: String,
}

#[derive(Serialize, JsonSchema)]
#[expect(dead_code, reason = "only the schema is asked for")]
enum Event {
    Said(Note),
    Left { id: u64 },
}

#[derive(Serialize, JsonSchema)]
#[schemars(extend("x-lens-free-text" = true))]
struct Text(String);

#[derive(Serialize, JsonSchema)]
struct Page {
    number: u64,
    notes: BTreeMap<String, Note>,
    event: Option<Event>,
    #[schemars(extend("x-lens-free-text" = true))]
    title: String,
}

#[derive(Serialize, JsonSchema)]
struct Flat {
    number: u64,
    #[serde(flatten)]
    notes: BTreeMap<String, Note>,
}

#[derive(Serialize, JsonSchema)]
struct Mixed {
    #[schemars(extend("x-lens-free-text" = true))]
    title: String,
    #[serde(flatten)]
    event: Event,
}

#[derive(Serialize, JsonSchema)]
struct Thread {
    #[schemars(extend("x-lens-free-text" = true))]
    text: String,
    answers: Vec<Thread>,
}

/// What no field would withhold is withheld whole.
#[test]
fn free_text_is_found_wherever_a_schema_has_it() {
    for (given, is_beside) in [
        (Given::rows::<Note>(), false),
        (Given::record::<Note>(), false),
        (Given::record::<Page>(), false),
        (Given::value::<Note>(), false),
        (Given::value::<Vec<Note>>(), false),
        (Given::value::<Option<Vec<Option<Note>>>>(), false),
        (Given::value::<BTreeMap<String, u64>>(), false),
        (Given::rows::<Event>(), true),
        (Given::rows::<Vec<Note>>(), true),
        (Given::record::<Option<Event>>(), true),
        (Given::record::<Flat>(), true),
        (Given::record::<Mixed>(), true),
        (Given::rows::<Text>(), true),
        (Given::value::<Text>(), true),
        (Given::value::<Vec<Text>>(), true),
        (Given::value::<Event>(), true),
        (Given::value::<Vec<Event>>(), true),
        (Given::value::<BTreeMap<String, Note>>(), true),
        (Given::value::<Option<BTreeMap<String, Note>>>(), true),
        (Given::value::<(u64, Note)>(), true),
        (Given::value::<Mixed>(), true),
    ] {
        assert_eq!(given.is_free_text, is_beside, "{:?}", given.returns);
    }
    for given in [Given::rows::<Thread>(), Given::value::<Vec<Thread>>()] {
        let function = FunctionReference { returns: given.returns, is_free_text: given.is_free_text, ..top() };
        assert!(function.has_free_text(), "one that is within itself: {:?}", function.returns);
    }
}
