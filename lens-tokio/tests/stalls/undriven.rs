//! Runtimes that no thread drives, on both flavours of tokio.

use std::time::{Duration, Instant};

use lens_tokio::builder::Builder;
use serde_json::{Value, json};

use crate::ask::{Watched, frame};
use crate::block;

#[test]
fn a_runtime_that_nobody_drives_is_stalled_only_while_a_task_waits_for_it() {
    let runtime = Builder::new_current_thread().name("set up").enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
    let is_it = |row: &Value| row["runtime"] == "set up";
    // From now on, lens's own task waits in its queue.
    let watched = Watched::over(&[runtime.handle()]);
    std::thread::sleep(Duration::from_secs(2));
    let rows = [watched.ask("now", &json!({})), watched.ask("recent", &json!({"limit": 1000}))].concat();
    assert!(!rows.iter().any(is_it), "{rows:#?}");

    let from = Instant::now();
    let waits = runtime.spawn(async {});
    let row = watched.now(is_it);
    assert_eq!(row["kind"], "no_progress");
    // Not for as long as nothing waited.
    let most_ms = (from.elapsed() + Duration::from_secs(1)).as_secs_f64() * 1e3;
    assert!(row["duration_ms"].as_f64().unwrap() < most_ms, "{most_ms} {row:#}");
    runtime.block_on(waits).unwrap();
}

/// Nobody waits for it, and lens's own task says nothing: its stack does.
#[test]
fn a_runtime_of_one_thread_that_blocks_itself_is_stalled_though_nothing_waits_for_it() {
    let runtime = Builder::new_current_thread().name("alone").enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
    let watched = Watched::over(&[runtime.handle()]);
    let is_it = |row: &Value| row["runtime"] == "alone";
    // The first stack's functions are looked up for longer than this blocks.
    let row = crate::ask::until(|| {
        runtime.block_on(async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            block::sleeps();
        });
        watched.ask("recent", &json!({"limit": 1000})).into_iter().find(is_it)
    });
    assert_eq!(row["kind"], "no_progress");
    assert_eq!(frame(&row, "sleeps"), block::place("sleeps"));
}
