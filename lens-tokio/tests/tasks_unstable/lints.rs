//! What is odd about a task.

use std::future::pending;
use std::sync::mpsc::channel;

use serde_json::json;

use crate::ask::{ask, number, ticking, wait_until, workers};

/// What `tasks.lints()` says of a task.
fn lints_of(id: u64) -> Vec<String> {
    let rows = ask("lints", &json!({"limit": 1000}));
    let of = rows.as_array().unwrap().iter().filter(|row| row["task_id"] == id);
    of.map(|row| format!("{}: {}", row["lint"].as_str().unwrap(), row["text"].as_str().unwrap())).collect()
}

#[test]
fn a_task_that_never_yields_is_told_from_one_whose_later_poll_is_long() {
    let _ticking = ticking();
    let runtime = workers(3);
    let [(let_go_first, first), (let_go_later, later)] = [(); 2].map(|()| channel::<()>());
    let never = runtime.spawn(async move { assert!(first.recv().is_err()) });
    let long = runtime.spawn(async move {
        tokio::task::yield_now().await;
        assert!(later.recv().is_err());
    });
    let sound = runtime.spawn(pending::<()>());
    let [never_id, long_id] = [&never, &long].map(|task| number(task.id()));
    wait_until("the first poll should have lasted for a second", || {
        lints_of(never_id).iter().any(|lint| lint.starts_with("never_yielded: its first poll has lasted for 1"))
    });
    assert!(lints_of(long_id)[0].starts_with("long_poll: its poll has lasted for "), "{:?}", lints_of(long_id));
    assert_eq!(lints_of(number(sound.id())), [""; 0]);
    drop((let_go_first, let_go_later));
    runtime.block_on(async { (never.await, long.await) }).0.unwrap();
    // Who waits for a task may be told before the table is.
    wait_until("it has ended", || lints_of(never_id).is_empty());
}

#[test]
fn large_futures_and_aborted_tasks_that_go_on_are_told() {
    let _ticking = ticking();
    let runtime = workers(2);
    let _in = runtime.enter();
    let large = [1_u8; 16 * 1024];
    let future = async move {
        pending::<()>().await;
        std::hint::black_box(large)
    };
    let bytes = size_of_val(&future);
    let kept = lens_tokio::task::named("large").watch(future);
    assert_eq!(lints_of(number(kept.id())), [format!("large_future: its future has {bytes} bytes")]);
    let (let_go, waits) = channel::<()>();
    let aborted = lens_tokio::task::named("aborted").watch(async move { assert!(waits.recv().is_err()) });
    let id = number(aborted.id());
    wait_until("it should run", || ask("get", &json!({"id": id}))["state"] == "running");
    assert_eq!(lints_of(id), [""; 0]);
    aborted.abort();
    wait_until("its poll should be long", || {
        lints_of(id)
            .iter()
            .any(|lint| lint.starts_with("cancelled_but_running: it was aborted, and its poll has lasted for "))
    });
    drop(let_go);
    wait_until("its poll should end", || lints_of(id).is_empty());
}
