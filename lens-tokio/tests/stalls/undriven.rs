//! Runtimes that no thread drives, on both flavours of tokio.

use std::time::Duration;

use lens_tokio::builder::Builder;
use serde_json::{Value, json};

use crate::ask::Watched;

#[test]
fn a_runtime_that_nobody_drives_is_stalled_only_while_a_task_waits_for_it() {
    let runtime = Builder::new_current_thread().name("set up").enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
    let is_it = |row: &Value| row["runtime"] == "set up";
    // From now on, lens's own task waits in its queue.
    let watched = Watched::over(&[runtime.handle()]);
    std::thread::sleep(Duration::from_millis(300));
    let rows = [watched.ask("now", &json!({})), watched.ask("recent", &json!({"limit": 1000}))].concat();
    assert!(!rows.iter().any(is_it), "{rows:#?}");

    let waits = runtime.spawn(async {});
    assert_eq!(watched.now(is_it)["kind"], "no_progress");
    runtime.block_on(waits).unwrap();
}
