//! Which runtimes are watched, under which names, and until when.

use std::time::Duration;

use lens_core::SourceStatus;
use lens_tokio::runtime::{Attached, MAX_RUNTIMES};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::ask::{Blocked, Lens, states, two_workers};

fn small() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["runtime"].as_str().unwrap()).collect()
}

#[test]
fn two_runtimes_are_told_apart_by_name() {
    let (web, batch) = (two_workers(), two_workers());
    let lens = Lens::on("web", web.handle());
    lens.runtimes.attach(Some("batch"), batch.handle().clone());
    let _tasks: Vec<_> = (0..3).map(|_| batch.spawn(std::future::pending::<()>())).collect();
    let blocked = Blocked::worker_of(web.handle());

    let rows = lens.wait_until("stats", |rows| rows[0]["no_progress_workers"] == 1);
    assert_eq!(names(&rows), ["web", "batch"]);
    assert_eq!((&rows[0]["num_alive_tasks"], &rows[1]["num_alive_tasks"]), (&json!(1), &json!(3)));
    assert_eq!(rows[1]["no_progress_workers"], 0);
    let rows = lens.call("workers", &[("runtime", "batch")]).unwrap();
    assert_eq!(names(&rows), ["batch", "batch"]);
    assert!(!states(&rows).contains(&"no_progress"));
    lens.wait_for_last("runtime.alive_tasks[batch]", 3.0);
    drop(blocked);
}

#[test]
fn a_runtime_keeps_its_series_when_the_other_one_ends() {
    let (web, batch) = (two_workers(), two_workers());
    let lens = Lens::on("web", web.handle());
    lens.runtimes.attach(Some("batch"), batch.handle().clone());
    assert_eq!(lens.series("runtime.alive_tasks[web]").last(), 0.0);
    drop(batch);
    lens.wait_until("ended", |rows| names(rows) == ["batch"]);
    let _tasks: Vec<_> = (0..3).map(|_| web.spawn(std::future::pending::<()>())).collect();
    lens.wait_for_last("runtime.alive_tasks[web]", 3.0);
}

#[test]
fn runtimes_without_a_name_are_numbered_and_a_name_is_given_once() {
    let (first, second, third) = (small(), small(), small());
    let own = Builder::new_current_thread().name("own").build().unwrap();
    let lens = Lens::new();
    assert_eq!(lens.runtimes.attach(None, first.handle().clone()), Attached::Yes);
    assert_eq!(lens.runtimes.attach(Some("own"), second.handle().clone()), Attached::Yes);
    assert_eq!(lens.runtimes.attach(None, own.handle().clone()), Attached::Yes);
    assert_eq!(lens.runtimes.attach(None, third.handle().clone()), Attached::Yes);
    assert_eq!(names(&lens.ask("stats")), ["runtime-1", "own", "own-2", "runtime-4"]);
    assert_eq!(lens.ask("stats")[2]["name"], "own");

    assert_eq!(lens.runtimes.attach(Some("main"), first.handle().clone()), Attached::Already);
    assert_eq!(lens.runtimes.attach(Some("other"), second.handle().clone()), Attached::Already);
    assert_eq!(names(&lens.ask("stats")), ["main", "own", "own-2", "runtime-4"]);
}

#[test]
fn local_runtime_is_watched_until_it_ends() {
    let lens = Lens::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    assert_eq!(lens.runtimes.attach(Some("local"), runtime.handle().clone()), Attached::Yes);
    runtime.block_on(async {
        let task = tokio::task::spawn_local(std::future::pending::<()>());
        assert_eq!(lens.one("stats")["num_alive_tasks"], 1);
        task.abort();
    });
    drop(runtime);
    lens.wait_until("ended", |rows| names(rows) == ["local"]);
}

#[test]
fn ended_runtime_is_remembered_and_not_watched() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let id = lens.one("stats")["id"].clone();
    drop(runtime);
    let rows = lens.wait_until("ended", |rows| !rows.is_empty());
    assert_eq!((&rows[0]["runtime"], &rows[0]["id"], &rows[0]["num_workers"]), (&json!("main"), &id, &json!(2)));
    assert!(lens.ask("stats").is_empty());
    let error = lens.call("stats", &[("runtime", "main")]).unwrap_err().to_string();
    assert!(error.starts_with("the runtime `main` has shut down by "), "{error}");
    assert_eq!(lens.series("runtime.ended_total").unit, lens_core::Unit::PerSecond);
}

#[test]
fn runtime_whose_worker_is_blocked_ends_when_that_returns() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let blocked = Blocked::worker_of(runtime.handle());
    runtime.shutdown_background();
    drop(blocked);
    lens.wait_until("ended", |rows| names(rows) == ["main"]);
}

#[test]
fn runtime_that_is_over_already_is_not_watched() {
    let runtime = two_workers();
    let handle = runtime.handle().clone();
    runtime.shutdown_timeout(Duration::from_secs(10));
    let lens = Lens::on("late", &handle);
    drop(handle);
    assert!(lens.ask("stats").is_empty());
    assert_eq!(names(&lens.ask("ended")), ["late"]);
}

#[test]
fn more_runtimes_than_can_be_watched_are_refused_and_counted() {
    let lens = Lens::new();
    let runtimes: Vec<_> = (0..MAX_RUNTIMES).map(|_| small()).collect();
    for runtime in &runtimes {
        assert_eq!(lens.runtimes.attach(None, runtime.handle().clone()), Attached::Yes);
    }
    let extra = small();
    assert_eq!(lens.runtimes.attach(None, extra.handle().clone()), Attached::TooMany);
    let sources = lens.registry().get("runtime").unwrap().sources();
    assert!(matches!(sources[0].status, SourceStatus::Partial { .. }), "{:?}", sources[0]);
    let stores = lens.registry().get("runtime").unwrap().stores();
    assert_eq!((stores[0].len_count, stores[0].dropped_total), (MAX_RUNTIMES as u64, 1));
}
