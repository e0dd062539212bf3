//! Who spawned whom, against a family that the test made.

use std::future::pending;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::ask::{ask, number, try_ask, wait_until, workers};

/// A grandparent with two children, the first of which has one child itself.
struct Relatives {
    grandparent: JoinHandle<()>,
    first: u64,
    second: u64,
    grandchild: u64,
}

async fn relatives() -> Relatives {
    let (tell, told) = oneshot::channel();
    let grandparent = tokio::spawn(async move {
        let (tell_grandchild, grandchild) = oneshot::channel();
        let first = tokio::spawn(async move {
            tell_grandchild.send(number(tokio::spawn(pending::<()>()).id())).unwrap();
            pending::<()>().await;
        });
        let second = tokio::spawn(pending::<()>());
        tell.send((number(first.id()), number(second.id()), grandchild.await.unwrap())).unwrap();
        pending::<()>().await;
    });
    let (first, second, grandchild) = told.await.unwrap();
    Relatives { grandparent, first, second, grandchild }
}

/// Depth, id, children, descendants and orphanhood of the rows.
fn family(arguments: &Value) -> Value {
    let rows = ask("tree", arguments);
    let row = |row: &Value| {
        json!([row["depth"], row["id"], row["children_count"], row["descendants_count"], row["is_orphan"]])
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn a_family_is_listed_depth_first_with_its_numbers() {
    let runtime = workers(2);
    let made = runtime.block_on(relatives());
    let root = number(made.grandparent.id());
    let whole = json!([
        [0, root, 2, 3, false],
        [1, made.first, 1, 1, false],
        [2, made.grandchild, 0, 0, false],
        [1, made.second, 0, 0, false],
    ]);
    assert_eq!(family(&json!({"root": root})), whole);
    assert_eq!(family(&json!({"root": root, "depth": 1})), json!([whole[0], whole[1], whole[3]]));
    assert_eq!(family(&json!({"root": root, "limit": 2})), json!([whole[0], whole[1]]));
    assert_eq!(
        family(&json!({"root": made.first})),
        json!([[0, made.first, 1, 1, false], [1, made.grandchild, 0, 0, false]])
    );
    let everybody = family(&json!({"limit": 1_000_000}));
    let start = everybody.as_array().unwrap().iter().position(|row| row[1] == root).unwrap();
    assert_eq!(everybody.as_array().unwrap()[start..start + 4], whole.as_array().unwrap()[..]);
}

#[test]
fn children_whose_parent_ended_are_orphans_and_roots() {
    let runtime = workers(2);
    let made = runtime.block_on(relatives());
    let root = number(made.grandparent.id());
    made.grandparent.abort();
    wait_until("the parent should be gone", || try_ask("get", &json!({"id": root})).is_err());
    let everybody = family(&json!({"limit": 1_000_000}));
    let rows: Vec<&Value> =
        everybody.as_array().unwrap().iter().filter(|row| row[1] == made.first || row[1] == made.second).collect();
    assert_eq!(rows, [&json!([0, made.first, 1, 1, true]), &json!([0, made.second, 0, 0, true])]);
    let gone = try_ask("tree", &json!({"root": root})).unwrap_err();
    assert!(gone.starts_with(&format!("there is no live task with the id {root}")), "{gone}");
}

#[test]
fn a_line_of_thousands_is_walked_to_its_end() {
    const LONG: u32 = 5_000;
    let runtime = workers(2);
    let (tell, told) = oneshot::channel();
    runtime.spawn(line_of(LONG, tell));
    let last = runtime.block_on(told).unwrap();
    let rows = ask("tree", &json!({"depth": LONG, "limit": 1_000_000}));
    let row = rows.as_array().unwrap().iter().find(|row| row["id"] == last).unwrap();
    assert_eq!(row["depth"], LONG);
}

/// A task that spawns a task that spawns a task …; the last one tells its id.
fn line_of(more: u32, tell: oneshot::Sender<u64>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match more {
            0 => tell.send(number(tokio::task::id())).unwrap(),
            _ => drop(tokio::spawn(line_of(more - 1, tell))),
        }
        pending::<()>().await;
    })
}

/// What is known of a task's handle.
fn handle(task: u64) -> Value {
    let rows = ask("tree", &json!({"root": task, "depth": 0}));
    json!([rows[0]["is_detached"], rows[0]["is_cancelled"], rows[0]["name"]])
}

#[test]
fn detached_tasks_and_those_that_were_aborted_and_go_on_are_told() {
    let runtime = workers(2);
    let _entered = runtime.enter();
    let named = lens_tokio::task::named("watched/one");

    let plain = tokio::spawn(pending::<()>());
    assert_eq!(handle(number(plain.id())), json!([null, null, null]), "tokio does not tell it");

    let here = crate::ask::line(1);
    let kept = named.watch(pending::<()>());
    assert_eq!(handle(number(kept.id())), json!([false, false, "watched/one"]));
    let row = ask("get", &json!({"id": number(kept.id())}));
    assert!(row["place"].as_str().unwrap().starts_with(&here), "{row}");

    let large = [7_u8; 3000];
    let detached = named.watch(async move {
        pending::<()>().await;
        std::hint::black_box(large);
    });
    let id = number(detached.id());
    drop(detached);
    assert_eq!(handle(id), json!([true, false, "watched/one"]));
    let rows = ask("tree", &json!({"root": id, "depth": 0}));
    assert!((3000..3100).contains(&rows[0]["future_bytes"].as_u64().unwrap()), "{rows}");

    // It does not look at whether it was aborted before it is told to go on.
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    let busy = named.watch(async move {
        begin.send(()).unwrap();
        let _ = told.recv();
        pending::<()>().await;
    });
    begun.recv().unwrap();
    let id = number(busy.id());
    assert_eq!(handle(id), json!([false, false, "watched/one"]));
    busy.abort();
    assert_eq!(handle(id), json!([false, true, "watched/one"]));
    assert!(!busy.is_finished());
    drop(go_on);
    assert!(runtime.block_on(busy).unwrap_err().is_cancelled());
    // Who waits for a task may be told before the table is.
    wait_until("it has ended", || try_ask("tree", &json!({"root": id})).is_err());

    kept.abort();
    assert!(runtime.block_on(kept).unwrap_err().is_cancelled());
    plain.abort();
}

#[test]
fn a_watch_ends_with_its_task_whoever_is_first() {
    let runtime = workers(2);
    let _entered = runtime.enter();
    let named = lens_tokio::task::named("watched/short");
    let watched = || {
        let rows = ask("tree", &json!({"limit": 1_000_000}));
        let is_ours = |row: &&Value| row["name"] == "watched/short" && !row["is_detached"].is_null();
        rows.as_array().unwrap().iter().filter(is_ours).count()
    };
    // Many end before their handle is known.
    for _ in 0..2000 {
        drop(named.watch(async {}));
    }
    let last = named.watch(async { 7 });
    assert_eq!(runtime.block_on(last).unwrap(), 7);
    wait_until("all have ended", || watched() == 0);
    let stores = lens_core::Skill::stores(&lens_tokio::TasksSkill::new());
    let store = stores.iter().find(|store| store.name == "handles of watched tasks").unwrap();
    assert!(store.len_count <= 8, "those of the other tests: {store:?}");
}
