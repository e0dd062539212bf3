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
