//! Events that real registries dispatch, against what the tests logged. Separate because it is long.

use std::fmt;
use std::time::Duration;

use lens_core::{Arguments, Capture, Cause, Recorder, RegistryBuilder, Timestamp};
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

use super::levels::ByLevel;
use super::state::{LogEvent, PlaceCount};
use super::*;
use crate::testing::{ask, ask_all, examine, free_text, greatest, saved};

fn no_task() -> Option<(u64, Option<&'static std::panic::Location<'static>>)> {
    None
}

/// Calls `log` with a layer at `level` as the thread's default, and gives what was recorded.
fn recorded(level: LevelFilter, log: impl FnOnce()) -> (Logs, LogsState) {
    let logs = Logs::new(no_task);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(logs.layer(level)), log);
    let state = LogsSkill::new(logs.clone()).collect().unwrap();
    (logs, state)
}

fn asked(state: &LogsState, function: &str, arguments: Value) -> Value {
    ask::<LogsSkill>(saved(state), function, arguments).unwrap()
}

fn here(line: u32) -> String {
    format!("{}:{line}", file!())
}

#[test]
fn an_event_is_kept_with_level_place_fields_and_spans() {
    let before = Timestamp::now();
    let (_, state) = recorded(LevelFilter::INFO, || {
        let _request = tracing::info_span!("request").entered();
        let _payment = tracing::info_span!("payment").entered();
        tracing::warn!(order = 17, customer = "anna", "payment is late"); // this line
    });
    let line = line!() - 2;
    let rows = asked(&state, "recent", json!({}));
    let at: Timestamp = serde_json::from_value(rows[0]["at"].clone()).unwrap();
    assert!(before.since(at).as_millis() == 0 && Timestamp::now().since(before).as_secs() < 10);
    assert_eq!(
        rows,
        json!([{
            "at": rows[0]["at"], "level": "warn", "target": "lens_skills::logs::tests", "place": here(line),
            "message": "payment is late", "fields": "order=17 customer=anna", "spans": "payment < request",
            "task": null, "spawned_at": null,
        }])
    );
}

#[test]
fn the_newest_event_is_first_and_filters_choose() {
    let (_, state) = recorded(LevelFilter::INFO, || {
        tracing::error!("first");
        tracing::info!(target: "shop::cart", "Second one");
        tracing::error!(target: "shop::till", "third");
    });
    let messages = |arguments| {
        let rows = asked(&state, "recent", arguments);
        rows.as_array().unwrap().iter().map(|row| row["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(messages(json!({})), ["third", "Second one", "first"]);
    assert_eq!(messages(json!({"limit": 1})), ["third"]);
    assert_eq!(messages(json!({"level": "error"})), ["third", "first"]);
    assert_eq!(messages(json!({"target": "shop"})), ["third", "Second one"]);
    assert_eq!(messages(json!({"text": "second"})), ["Second one"]);
}

#[test]
fn counts_are_exact_in_a_storm_and_what_is_not_listed_is_counted() {
    const THREADS: u64 = 4;
    const EACH: u64 = 5_000;
    let logs = Logs::new(no_task);
    let registry = tracing::Dispatch::new(tracing_subscriber::registry().with(logs.layer(LevelFilter::INFO)));
    let storm = || {
        for order in 0..EACH {
            tracing::info!(order, "again"); // the storm's line
        }
        tracing::error!("once in each thread");
    };
    let line = line!() - 4;
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| tracing::dispatcher::with_default(&registry, storm));
        }
    });
    let state = LogsSkill::new(logs).collect().unwrap();
    let stats = asked(&state, "stats", json!({}));
    assert_eq!(stats["infos_total"], json!(THREADS * EACH));
    assert_eq!(stats["errors_total"], json!(THREADS));
    assert_eq!(stats["unlisted_total"], json!(THREADS * EACH - u64::from(MAX_RECENT_PER_SECOND)));
    let places = asked(&state, "places", json!({"by": "count", "limit": 1}));
    assert_eq!(places[0]["place"], json!(here(line)));
    assert_eq!(places[0]["count_total"], json!(THREADS * EACH));
    assert_eq!(places[0]["rate_per_s"], Value::Null, "no window yet");
    // The storm has not pushed out what was rare.
    let errors = asked(&state, "recent", json!({"level": "error"}));
    assert_eq!(errors.as_array().unwrap().len() as u64, THREADS);
}

#[test]
fn a_rate_is_that_of_the_window() {
    let place = |count, before| state::PlaceCount {
        level: Level::Error,
        target: "shop".into(),
        place: Some("src/till.rs:3".into()),
        count,
        before,
        first_at: Timestamp::now(),
    };
    let state = LogsState {
        totals: levels::ByLevel([130, 0, 0, 0, 0]),
        dropped: 0,
        elsewhere: 0,
        recent: Vec::new(),
        places: vec![place(130, 100)],
        window: Some(std::time::Duration::from_secs(60)),
    };
    assert_eq!(asked(&state, "places", json!({}))[0]["rate_per_s"], json!(0.5));
    assert_eq!(asked(&state, "stats", json!({}))["errors_per_s"], json!(0.5));
    assert_eq!(asked(&state, "targets", json!({}))[0]["errors_total"], json!(130));
}

#[test]
fn the_samples_of_a_minute_give_the_count_at_its_start() {
    let logs = Logs::new(no_task);
    let log = || tracing::error!("failed");
    let registry = tracing::Dispatch::new(tracing_subscriber::registry().with(logs.layer(LevelFilter::INFO)));
    let start = Timestamp::now();
    let mut rates = rates::Rates::default();
    for second in 0..=100_u64 {
        // One more event each second.
        tracing::dispatcher::with_default(&registry, log);
        rates.tick(&logs.recorder, start.plus(std::time::Duration::from_secs(second)));
    }
    let (window, before) = rates.window(start.plus(std::time::Duration::from_secs(100))).unwrap();
    assert_eq!(window.as_secs(), 60);
    // Sampled at second 40, after the event of that second.
    assert_eq!(before.iter().sum::<u64>(), 41);
}

#[test]
fn events_that_differ_in_values_are_one_group() {
    let (_, state) = recorded(LevelFilter::INFO, || {
        for order in [3, 14, 159] {
            tracing::error!("order {order} failed"); // one line, three messages
        }
        tracing::error!("disk full");
    });
    let groups = asked(&state, "groups", json!({}));
    assert_eq!(groups.as_array().unwrap().len(), 2);
    assert_eq!(groups[0]["template"], json!("order # failed"));
    assert_eq!(groups[0]["recent_count"], json!(3));
    assert_eq!(groups[0]["example"], json!("order 159 failed"));
}

#[test]
fn secrets_are_not_kept() {
    let (_, state) = recorded(LevelFilter::INFO, || {
        tracing::error!(password = "canary-1", url = "postgres://app:canary-2@db/orders", "token=canary-3 refused");
    });
    let rows = asked(&state, "recent", json!({}));
    assert!(!rows.to_string().contains("canary"), "{rows}");
    assert_eq!(rows[0]["message"], json!("token=[redacted] refused"));
    assert!(!serde_json::to_string(&state).unwrap().contains("canary"), "a saved capture has them neither");
}

#[test]
fn a_value_that_panics_when_it_is_shown_does_not_panic_in_the_service() {
    struct Broken;
    impl fmt::Debug for Broken {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("cannot be shown")
        }
    }
    let (_, state) = recorded(LevelFilter::INFO, || tracing::error!(value = ?Broken, "went on"));
    assert_eq!(asked(&state, "stats", json!({}))["errors_total"], json!(1));
}

#[test]
fn a_value_without_end_is_cut_off() {
    struct Endless;
    impl fmt::Debug for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("on and on ")?;
            }
        }
    }
    let (_, state) = recorded(LevelFilter::INFO, || tracing::error!(value = ?Endless, "went on"));
    let row = &asked(&state, "recent", json!({}))[0];
    assert_eq!(row["message"], json!("went on"));
    assert_eq!(row["fields"].as_str().unwrap().len(), record::FIELDS + "…".len());
}

#[test]
fn the_layer_enables_no_more_than_its_level() {
    let (_, state) = recorded(LevelFilter::INFO, || {
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        tracing::debug!("not recorded");
        tracing::info!("recorded");
    });
    let stats = asked(&state, "stats", json!({}));
    assert_eq!((&stats["debugs_total"], &stats["infos_total"]), (&json!(0), &json!(1)));
    let (_, state) = recorded(LevelFilter::DEBUG, || tracing::debug!("recorded"));
    assert_eq!(asked(&state, "stats", json!({}))["debugs_total"], json!(1));
}

#[test]
fn without_a_layer_the_skill_says_how_to_add_it() {
    let skill = LogsSkill::new(Logs::new(no_task));
    let reason = skill.collect().unwrap_err();
    assert!(reason.to_string().contains("lens::logs_layer()"), "{reason}");
    assert_eq!(skill.sources()[0].status(), "unavailable");
}

#[test]
fn every_store_is_counted() {
    let (logs, _) = recorded(LevelFilter::INFO, || tracing::error!("one"));
    let skill = LogsSkill::new(logs);
    let _ = skill.collect().unwrap();
    let stores = skill.stores();
    assert_eq!(stores[0].cap_count, (MAX_URGENT + MAX_RECENT) as u64);
    assert_eq!(stores[1].len_count, 1);
}

#[test]
fn what_was_logged_is_told_to_nobody_with_whom_it_is_not_shared() {
    assert_eq!(
        free_text::<LogsSkill>(),
        [
            "groups.example",
            "groups.template",
            "places.fields",
            "places.message",
            "recent(text)",
            "recent.fields",
            "recent.message"
        ]
    );
    let logs = Logs::new(no_task);
    let registry = tracing_subscriber::registry().with(logs.layer(LevelFilter::INFO));
    tracing::subscriber::with_default(registry, || tracing::error!(customer = "Wintergreen", "Wintergreen"));
    let mut builder = RegistryBuilder::new();
    builder.skill(LogsSkill::new(logs)).unwrap();
    let whole = Capture::live(&Arc::new(builder.build()), &Arc::new(Recorder::new()));
    let told = whole.withholding(&Arc::new(["logs".to_owned()].into()));
    for function in ["recent", "places", "groups"] {
        let ask = |capture: &Capture| capture.call("logs", function, Arguments::default()).unwrap().to_json();
        assert!(ask(&whole).to_string().contains("Wintergreen"), "{function}");
        let rows = ask(&told);
        assert!(!rows.to_string().contains("Wintergreen"), "{function}: {rows}");
        assert_eq!((&rows[0]["level"], &rows[0]["place"]), (&json!("error"), &ask(&whole)[0]["place"]), "{rows}");
    }
}

/// A service with many lines that log often, in which `src/till.rs:7` has logged 20 errors in the last ten seconds.
fn burst(started_at: Timestamp) -> LogsState {
    let place = |place: String, level, count| PlaceCount {
        level,
        target: "shop".to_owned(),
        place: Some(place),
        count,
        before: 0,
        first_at: started_at,
    };
    let busy = (0..300).map(|line| place(format!("src/cart.rs:{line}"), Level::Info, 1000));
    let error = |number: u64| LogEvent {
        number,
        at: started_at.plus(Duration::from_millis(1_000 + number * 450)),
        level: Level::Error,
        target: Some("shop".to_owned()),
        place: Some("src/till.rs:7".to_owned()),
        message: "no coins".to_owned(),
        fields: String::new(),
        spans: String::new(),
        task: Some(3),
        spawned_at: None,
    };
    LogsState {
        totals: ByLevel::default(),
        dropped: 0,
        elsewhere: 0,
        recent: (0..20).rev().map(error).collect(),
        places: busy.chain([place("src/till.rs:7".to_owned(), Level::Error, 20)]).collect(),
        window: None,
    }
}

fn bursts(state: &LogsState, started_at: Timestamp) -> Vec<lens_core::Finding> {
    let errors = (0..=10).map(|second| (second, 2 * second));
    let report = examine::<LogsSkill>(LogsSkill::about(), state, &ERRORS, errors, started_at);
    assert_eq!(report.defects, []);
    report.findings().filter(|finding| finding.cause == Cause::ErrorBurst).cloned().collect()
}

#[test]
fn a_burst_is_found_among_many_places_that_log_more() {
    let started_at = Timestamp::now();
    let found = bursts(&burst(started_at), started_at);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.place.as_deref(), Some("src/till.rs:7"));
    let facts: Vec<_> = finding.facts.iter().map(|fact| fact.text.as_str()).collect();
    assert_eq!(
        facts,
        ["src/till.rs:7 has logged 20 errors", "the service logs 2.0 errors a second", "the last one says: no coins"]
    );
    assert_eq!((finding.since, &finding.tasks[..]), (Some(started_at), &[3][..]));
}

#[test]
fn a_burst_of_a_place_that_is_not_counted_any_more_is_found() {
    let started_at = Timestamp::now();
    let mut state = burst(started_at);
    state.places.pop();
    let found = bursts(&state, started_at);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.place.as_deref(), Some("src/till.rs:7"));
    assert_eq!(finding.facts.len(), 2);
}

#[test]
fn the_greatest_counts_of_a_file_are_summed_up_to_the_greatest_number() {
    let place = |level, line| PlaceCount {
        level,
        target: "shop".to_owned(),
        place: Some(here(line)),
        count: u64::MAX,
        before: 0,
        first_at: Timestamp::default(),
    };
    let state = LogsState {
        totals: ByLevel([u64::MAX; 5]),
        dropped: u64::MAX,
        elsewhere: u64::MAX,
        recent: Vec::new(),
        places: vec![place(Level::Error, 1), place(Level::Error, 2), place(Level::Info, 3)],
        window: Some(Duration::from_secs(1)),
    };
    let stats = asked(&state, "stats", json!({}));
    for field in ["errors_per_s", "events_per_s"] {
        assert_eq!(stats[field], 2_f64.powi(64), "{field}");
    }
    let targets = asked(&state, "targets", json!({}));
    assert_eq!((&targets[0]["errors_total"], &targets[0]["events_total"]), (&json!(u64::MAX), &json!(u64::MAX)));
    greatest(&state).into_iter().for_each(ask_all::<LogsSkill>);
}
