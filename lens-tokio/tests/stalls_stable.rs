//! Stalls on stable tokio: workers without progress. Empty with tokio's hooks, where polls are seen instead.
#![cfg(all(not(tokio_unstable), target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "stalls/ask.rs"]
mod ask;
#[path = "stalls/block.rs"]
#[expect(dead_code, reason = "the other flavour's tests block in more ways")]
mod block;
#[path = "stalls/undriven.rs"]
mod undriven;

use std::time::{Duration, Instant};

use lens_core::SourceStatus;
use serde_json::{Value, json};

use ask::{Watched, frame};

fn is_runtimes(name: &'static str) -> impl Fn(&Value) -> bool {
    move |row| row["runtime"] == name
}

#[track_caller]
fn check(row: &Value) {
    assert_eq!(
        (row["kind"].as_str(), &row["task_id"], &row["spawn_place"]),
        (Some("no_progress"), &Value::Null, &Value::Null)
    );
    assert!(row["worker"].is_u64(), "{row:#}");
}

#[test]
fn a_sleep_on_an_instrumented_runtime_is_no_progress_with_its_stack() {
    let runtime =
        lens_tokio::Builder::new_multi_thread().name("instrumented").worker_threads(2).enable_all().build().unwrap();
    let watched = Watched::over(&[runtime.handle()]);
    let task = runtime.spawn(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        block::sleeps();
    });
    let during = watched.now(is_runtimes("instrumented"));
    assert_eq!(during["is_over"], false);
    check(&during);
    runtime.block_on(task).unwrap();
    let after = watched.ended(is_runtimes("instrumented")).remove(0);
    check(&after);
    assert_eq!(
        (after["thread"].as_str(), after["waits_in"].as_str()),
        (Some("tokio-rt-worker"), Some("clock_nanosleep"))
    );
    assert_eq!(frame(&after, "sleeps"), block::place("sleeps"));
    assert_eq!(after["place"], block::place("sleeps").as_str());
}

#[test]
fn a_sleep_on_a_plain_runtime_is_no_progress_with_the_one_stack_that_is_in_a_poll() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().name("plain").worker_threads(2).enable_all().build().unwrap();
    let watched = Watched::over(&[runtime.handle()]);
    let task = runtime.spawn(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        block::sleeps();
    });
    let during = watched.now(is_runtimes("plain"));
    check(&during);
    runtime.block_on(task).unwrap();
    let after = watched.ended(is_runtimes("plain")).remove(0);
    check(&after);
    assert_eq!(frame(&after, "sleeps"), block::place("sleeps"));
    assert!(after["thread_id"].is_u64());
}

#[test]
fn a_thread_that_drives_two_runtimes_in_turn_is_known_in_the_one_that_it_drives() {
    let build = |name: &str| lens_tokio::Builder::new_current_thread().name(name).enable_all().build().unwrap();
    let (one, other) = (build("one"), build("other"));
    let watched = Watched::over(&[one.handle(), other.handle()]);
    for runtime in [&one, &other] {
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
    }
    // Something must wait for it: that nobody drives a runtime without work is no stall.
    let waiting = other.spawn(async {});
    other.block_on(async { block::sleeps() });
    other.block_on(waiting).unwrap();
    let row = watched.ended(is_runtimes("other")).remove(0);
    check(&row);
    assert_eq!(row["waits_in"], "clock_nanosleep");
    assert_eq!(frame(&row, "sleeps"), block::place("sleeps"));
}

#[test]
fn an_idle_and_a_busy_healthy_runtime_make_progress() {
    const BUSY: Duration = Duration::from_millis(1500);
    let runtime =
        lens_tokio::Builder::new_multi_thread().name("healthy").worker_threads(2).enable_all().build().unwrap();
    let watched = Watched::over(&[runtime.handle()]);
    std::thread::sleep(Duration::from_millis(500));
    let mut tasks = Vec::new();
    for _ in 0..200 {
        tasks.push(runtime.spawn(async {
            let started = Instant::now();
            while started.elapsed() < BUSY {
                tokio::task::yield_now().await;
            }
        }));
    }
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    let rows = [watched.ask("now", &json!({})), watched.ask("recent", &json!({"limit": 1000}))].concat();
    assert!(!rows.iter().any(is_runtimes("healthy")), "{rows:#?}");
}

#[test]
fn the_coverage_says_that_tasks_are_not_known() {
    let runtime = lens_tokio::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let watched = Watched::over(&[runtime.handle()]);
    let sources = lens_core::Skill::sources(&watched.watchdog.skill());
    let of = |name: &str| &sources.iter().find(|source| source.name == name).unwrap().status;
    assert!(
        matches!(of("polls in progress"), SourceStatus::Unavailable(reason) if reason.code() == "needs_tokio_unstable")
    );
    let SourceStatus::Partial { missing } = of("RuntimeMetrics, frozen") else { panic!("it should be partial") };
    assert!(missing.contains("no progress"), "{missing}");
}
