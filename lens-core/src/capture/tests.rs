//! A capture is one instant: frozen, and the same from a file.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::*;
use crate::answer::Cell;
use crate::error::Error;
use crate::metric::{Metric, Metrics, Unit};
use crate::registry::RegistryBuilder;
use crate::skill::{About, Functions, NoArguments, Skill};

static DEPTH: Metric = Metric::gauge("depth", Unit::Count, "Items.");

/// Counts how often it was collected.
#[derive(Default)]
struct Counting(AtomicU64);

#[derive(Serialize, Deserialize)]
struct Collected {
    times: u64,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    times: u64,
    at: Timestamp,
    depth: f64,
}

impl Skill for Counting {
    type State = Collected;

    fn about(&self) -> About {
        About::new("counting", "", "")
    }

    fn collect(&self) -> Reading<Collected> {
        Ok(Collected { times: self.0.fetch_add(1, Ordering::Relaxed) + 1 })
    }

    fn functions(to: Functions<Collected>) -> Functions<Collected> {
        to.record("row", "A row.", "counting.row()", |view, NoArguments {}| {
            let depth = view.series("depth", Span::seconds(60))?.last();
            Ok(Row { times: view.times, at: view.at(), depth })
        })
        .value("wake", "Wakes it.", "counting.wake()", |view, NoArguments {}| Ok(view.times))
        .acts("wakes it")
    }
}

fn registry() -> Arc<Registry> {
    let mut builder = RegistryBuilder::new();
    builder.skill(Counting::default()).unwrap();
    builder.unread::<Counting>(About::new("unread", "", ""), Unavailable::NeedsTokioUnstable).unwrap();
    Arc::new(builder.build())
}

#[test]
fn what_acts_on_the_service_is_refused_to_checks_and_models() {
    let registry = registry();
    let recorder = Arc::new(Recorder::new());
    let ask = |capture: Capture, function: &str| {
        let answer = capture.call("counting", function, Arguments::named(Vec::new()));
        answer.map(|answer| answer.to_json()).map_err(|error| error.to_string())
    };
    assert_eq!(ask(Capture::live(&registry, &recorder), "wake"), Ok(1.into()));
    let refused = ask(Capture::frozen(&registry, &recorder), "wake").unwrap_err();
    assert!(refused.contains("ask `counting.wake` in a query of your own: it acts on the service"), "{refused}");
    let wrong = ask(Capture::frozen(&registry, &recorder), "wale").unwrap_err();
    assert!(wrong.contains("wake"), "a wrong name is told as before: {wrong}");
}

fn capture(registry: &Arc<Registry>) -> Capture {
    let recorder = Arc::new(Recorder::new());
    let mut metrics = Metrics::default();
    metrics.record(&DEPTH, 41.5);
    recorder.record("counting", Instant::now(), &metrics);
    Capture::live(registry, &recorder)
}

fn row(capture: &Capture) -> Value {
    capture.call("counting", "row", Arguments::default()).unwrap().to_json()
}

fn saved(capture: &Capture) -> Vec<u8> {
    let mut bytes = Vec::new();
    capture.save(&mut bytes).unwrap();
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    Capture::open(&registry(), bytes).unwrap_err().to_string()
}

#[test]
fn a_skill_is_read_once_and_only_when_it_is_asked() {
    let registry = registry();
    let first = capture(&registry);
    assert!(first.touched().is_empty());
    assert_eq!(row(&first)["times"], 1);
    assert_eq!(row(&first)["times"], 1, "the state is frozen");
    assert_eq!(first.touched(), ["counting"]);
    assert_eq!(row(&capture(&registry))["times"], 2);
}

#[test]
fn a_file_answers_as_the_live_capture_did() {
    let live = capture(&registry());
    let before = row(&live);
    assert_eq!(before["depth"], 41.5);
    let opened = Capture::open(&registry(), &saved(&live)[..]).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(row(&opened), before);
    assert!(!opened.is_live());
    let call = |capture: &Capture| capture.call("unread", "row", Arguments::default()).unwrap_err().to_string();
    assert_eq!(call(&opened), call(&live));
    assert_eq!(call(&opened), "`unread.row` is unavailable: build the service with RUSTFLAGS=\"--cfg tokio_unstable\"");
}

#[test]
fn truncated_foreign_and_newer_files_say_what_they_are() {
    let whole = saved(&capture(&registry()));
    for end in [30, whole.len() / 2, whole.len() - 3] {
        let refused = refusal(&whole[..end]);
        assert_eq!(
            refused,
            format!(
                "the capture is truncated: it ends after {end} bytes, in the middle of line 1; copy or download it again"
            )
        );
    }
    assert_eq!(refusal(b""), "the capture is truncated: it is empty; copy or download it again");
    assert_eq!(refusal(b"\x00\xff\xfe"), "this is not a lens capture: it is not text");
    assert_eq!(refusal(b"hello"), "this is not a lens capture: it is not JSON");
    assert_eq!(refusal(b"{\"a\": 1}"), "this is not a lens capture: it is JSON without a format");
    assert_eq!(refusal(b"[\"lens-capture\", 1]"), "this is not a lens capture: it is JSON without a format");
    assert_eq!(refusal(b"{\"format\":\"x\",\"version\":1}"), "this is not a lens capture: its format is \"x\"");
    assert_eq!(
        refusal(b"{\"format\":\"lens-capture\",\"version\":2,\"more\":[]}"),
        "the capture has format 2, this lens reads up to 1; open it with a newer lens"
    );
    assert!(matches!(
        Capture::open(&registry(), &b"{\"format\":\"lens-capture\",\"version\":1}\n"[..]),
        Err(Error::ForeignCapture { .. })
    ));
}

#[test]
fn a_skill_that_the_file_lacks_says_so() {
    let mut builder = RegistryBuilder::new();
    builder.absent(About::new("other", "", ""), Unavailable::NeedsTokioUnstable).unwrap();
    let bytes = saved(&Capture::live(&Arc::new(builder.build()), &Arc::new(Recorder::new())));
    let opened = Capture::open(&registry(), &bytes[..]).unwrap();
    let error = opened.call("counting", "row", Arguments::default()).unwrap_err();
    assert_eq!(error.to_string(), "`counting.row` is unavailable: the skill `counting` is not in this capture");
}

/// Keeps notes that somebody wrote.
struct Notes;

#[derive(Serialize, JsonSchema)]
struct Note {
    id: u64,
    #[schemars(extend("x-lens-free-text" = true))]
    text: String,
    #[schemars(extend("x-lens-free-text" = true))]
    answer: Option<String>,
    tags: Vec<Tag>,
}

#[derive(Serialize, JsonSchema)]
enum Event {
    Written(Note),
    #[expect(dead_code, reason = "an enum has more than one variant")]
    Burnt,
}

#[derive(Serialize, JsonSchema)]
struct Tag {
    #[schemars(extend("x-lens-free-text" = true))]
    word: String,
}

#[derive(Deserialize, JsonSchema)]
struct Search {
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    #[schemars(extend("x-lens-free-text" = true))]
    text: Option<String>,
}

fn note() -> Note {
    Note { id: 7, text: "hunter2".to_owned(), answer: None, tags: vec![Tag { word: "anna".to_owned() }] }
}

impl Skill for Notes {
    type State = ();
    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        About::new("notes", "", "")
    }

    fn collect(&self) -> Reading<()> {
        Ok(())
    }

    fn functions(to: Functions<()>) -> Functions<()> {
        let is_meant = |text: &Option<String>| text.as_ref().is_none_or(|text| note().text.contains(text));
        to.rows("search", "Notes.", "notes.search()", move |_, Search { limit, text }| {
            let found = Some(note()).filter(|_| limit != Some(0) && is_meant(&text));
            Ok(found.into_iter().collect::<Vec<_>>())
        })
        .record("first", "The first.", "notes.first()", |_, NoArguments {}| Ok(note()))
        .value("all", "All of them.", "notes.all()", |_, NoArguments {}| Ok(vec![note()]))
        .value("by_id", "Each by its id.", "notes.by_id()", |_, NoArguments {}| Ok(BTreeMap::from([("7", note())])))
        .rows("events", "What happened.", "notes.events()", |_, NoArguments {}| Ok(vec![Event::Written(note())]))
        .record("last", "What happened last.", "notes.last()", |_, NoArguments {}| Ok(Event::Written(note())))
    }
}

#[test]
fn free_text_that_is_not_shared_is_absent_from_every_form_of_an_answer() {
    let mut builder = RegistryBuilder::new();
    builder.skill(Notes).unwrap().skill(Counting::default()).unwrap();
    let whole = Capture::live(&Arc::new(builder.build()), &Arc::new(Recorder::new()));
    let told = whole.withholding(&Arc::new(["notes".to_owned()].into()));
    let ask = |capture: &Capture, function| capture.call("notes", function, Arguments::default()).unwrap();
    let is_withheld = serde_json::json!({
        "unavailable": "not_shared",
        "fix": "share the free text of `notes` with models: `Builder::share_text(\"notes\")`",
    });
    let row = serde_json::json!({"id": 7, "text": is_withheld, "answer": null, "tags": is_withheld});
    assert_eq!(ask(&told, "search").to_json(), serde_json::json!([row]));
    assert_eq!(ask(&told, "first").to_json(), row);
    assert_eq!(ask(&told, "all").to_json(), serde_json::json!([row]));
    let Answer::Rows(table) = ask(&told, "search") else { panic!("rows were made") };
    let reason = Unavailable::NotShared { skill: "notes".to_owned() };
    assert_eq!(table.cell(0, "text"), Some(Cell::unavailable(&reason)));
    assert_eq!(table.cell(0, "tags"), Some(Cell::unavailable(&reason)));
    assert_eq!((table.cell(0, "answer"), table.cell(0, "id")), (Some(Cell::Null), Some(Cell::Int(7))));

    assert_eq!(ask(&whole, "first").to_json()["text"], "hunter2", "who is told all still is");
    assert_eq!(row_of(&told), row_of(&whole), "and so are other skills, of the same reading");
    assert_eq!(told.id(), whole.id());
}

#[test]
fn a_view_notes_that_what_it_withholds_was_read() {
    let mut builder = RegistryBuilder::new();
    builder.skill(Notes).unwrap();
    let whole = Capture::live(&Arc::new(builder.build()), &Arc::new(Recorder::new()));
    let withheld = Arc::new(["notes".to_owned()].into());
    let reads = |capture: &Capture, read: &dyn Fn(&Answer)| {
        read(&capture.call("notes", "search", Arguments::default()).unwrap());
        capture.read_withheld().map(str::to_owned)
    };
    let cell = |field: &'static str| {
        move |answer: &Answer| match answer {
            Answer::Rows(table) => assert!(table.cell(0, field).is_some()),
            other => panic!("{other:?}"),
        }
    };
    let view = || whole.withholding(&withheld);
    assert_eq!(reads(&view(), &cell("id")), None);
    assert_eq!(reads(&view(), &cell("answer")), None, "there is no text");
    assert_eq!(reads(&view(), &cell("tags")).as_deref(), Some("tags"));
    assert_eq!(reads(&view(), &|answer| drop(answer.to_json())).as_deref(), Some("text"));
    assert_eq!(reads(&whole, &|answer| drop(answer.to_json())), None, "nothing is withheld there");
    let refused = |function, arguments| {
        let view = view();
        assert!(view.call("notes", function, arguments).is_err());
        view.read_withheld().map(str::to_owned)
    };
    let named = Arguments::named(vec![("text".to_owned(), "hunter".into())]);
    assert_eq!(refused("search", named).as_deref(), Some("notes.search(text=…)"));
    assert_eq!(refused("by_id", Arguments::default()).as_deref(), Some("notes.by_id"));
    let value = view();
    assert!(value.call("notes", "all", Arguments::default()).is_ok());
    assert_eq!(value.read_withheld(), Some("text"));
}

#[test]
fn an_answer_is_withheld_whole_where_its_free_text_is_in_no_field() {
    let mut builder = RegistryBuilder::new();
    builder.skill(Notes).unwrap();
    let whole = Capture::live(&Arc::new(builder.build()), &Arc::new(Recorder::new()));
    let told = whole.withholding(&Arc::new(["notes".to_owned()].into()));
    for function in ["by_id", "events", "last"] {
        let ask = |capture: &Capture| capture.call("notes", function, Arguments::default());
        assert!(ask(&whole).unwrap().to_json().to_string().contains("hunter2"), "{function}");
        let refused = ask(&told).unwrap_err().to_string();
        let why = format!("`notes.{function}` is unavailable: share the free text of `notes`");
        assert!(refused.starts_with(&why), "{refused}");
    }
}

fn row_of(capture: &Capture) -> Value {
    capture
        .call("counting", "row", Arguments::default())
        .map_or_else(|error| error.to_string().into(), |row| row.to_json())
}

#[test]
fn what_looks_for_text_that_is_not_shared_is_refused_however_it_is_asked() {
    let mut builder = RegistryBuilder::new();
    builder.skill(Notes).unwrap();
    let whole = Capture::live(&Arc::new(builder.build()), &Arc::new(Recorder::new()));
    let told = whole.withholding(&Arc::new(["notes".to_owned()].into()));
    let search = |capture: &Capture, arguments| {
        let answer = capture.call("notes", "search", arguments);
        answer.map(|answer| answer.to_json()[0]["id"].clone()).map_err(|error| error.to_string())
    };
    let named = |name: &str, value: Value| Arguments::named(vec![(name.to_owned(), value)]);
    let placed = Arguments { positional: vec![3.into(), "hunter".into()], ..Arguments::default() };
    for arguments in [named("text", "hunter".into()), placed] {
        assert_eq!(search(&whole, arguments.clone()), Ok(7.into()));
        let refused = search(&told, arguments).unwrap_err();
        assert!(refused.starts_with("`notes.search(text=…)` is unavailable: share the free text of"), "{refused}");
    }
    assert_eq!(search(&told, named("text", Value::Null)), Ok(7.into()));
    assert_eq!(search(&told, named("limit", 3.into())), Ok(7.into()));
}
