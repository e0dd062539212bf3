//! Who a task is: place, parent, runtime, state.

use std::cell::Cell;
use std::future::pending;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lens_tokio::builder::Builder;
use serde_json::json;

use crate::ask::{ask, current_thread, line, number, site, try_ask, wait_until, workers};

#[test]
fn a_task_is_listed_with_its_place_until_it_ends() {
    let runtime = workers(2);
    let place = line(1);
    let task = runtime.spawn(pending::<()>());
    let rows = ask("list", &json!({"site": place}));
    assert_eq!(rows.as_array().unwrap().len(), 1);
    let row = &rows[0];
    assert_eq!(row["id"].to_string(), task.id().to_string());
    assert!(row["place"].as_str().unwrap().starts_with(&place), "{row}");
    assert_eq!(row["parent"], json!(null));
    assert_eq!(row["owner"], "service");

    let id = row["id"].clone();
    task.abort();
    wait_until("the task should be gone", || try_ask("get", &json!({"id": id})).is_err());
    let gone = try_ask("get", &json!({"id": id})).unwrap_err();
    assert!(gone.starts_with(&format!("there is no live task with the id {id}")), "{gone}");
}

#[test]
fn a_nested_spawn_has_its_spawner_as_parent() {
    let runtime = workers(2);
    let (outer, inner) = runtime.block_on(async {
        tokio::spawn(async {
            let inner = tokio::spawn(pending::<()>());
            (tokio::task::id(), inner)
        })
        .await
        .unwrap()
    });
    let row = ask("get", &json!({"id": number(inner.id())}));
    assert_eq!(row["parent"].to_string(), outer.to_string());
}

#[test]
fn a_task_is_running_while_it_is_polled_and_idle_otherwise() {
    let runtime = workers(1);
    let (started, wait) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let place = line(1);
    let task = runtime.spawn(async move {
        started.send(()).unwrap();
        held.recv().unwrap();
        pending::<()>().await;
    });
    wait.recv().unwrap();
    let row = &ask("list", &json!({"site": place, "state": "running"}))[0];
    assert_eq!(row["id"].to_string(), task.id().to_string());
    assert_eq!(row["idle_ms"], json!(null));
    assert!(row["running_ms"].is_f64());
    // Also while nothing ticks.
    wait_until("its poll should be long", || ask("get", &json!({"id": row["id"]}))["running_ms"].as_f64() > Some(20.0));

    release.send(()).unwrap();
    wait_until("the poll should end", || ask("list", &json!({"site": place}))[0]["state"] == "idle");
    let row = &ask("list", &json!({"site": place, "state": "idle"}))[0];
    assert_eq!(row["running_ms"], json!(null));
    assert_eq!(row["polls_total"], 1);
    assert_eq!(ask("list", &json!({"site": place, "min_age": "1h"})), json!([]));
}

#[test]
fn a_poll_inside_of_a_poll_is_told_apart() {
    let outer_runtime = workers(2);
    let inner_runtime = current_thread();
    let (started, wait) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let outer_place = line(1);
    let outer = outer_runtime.spawn(async move {
        tokio::task::block_in_place(move || {
            let inner = inner_runtime.spawn(async move {
                started.send(tokio::task::id()).unwrap();
                held.recv().unwrap();
            });
            inner_runtime.block_on(inner).unwrap();
        });
        tokio::task::yield_now().await;
        pending::<()>().await;
    });
    let inner = number(wait.recv().unwrap());
    assert_eq!(ask("get", &json!({"id": inner}))["state"], "running");
    let row = &ask("list", &json!({"site": outer_place}))[0];
    assert_eq!(row["state"], "running");
    // tokio's `spawn` of a task inside of a task: also across runtimes.
    assert_eq!(ask("get", &json!({"id": inner}))["parent"], row["id"]);

    release.send(()).unwrap();
    let id = number(outer.id());
    wait_until("the outer task should be polled twice", || ask("get", &json!({"id": id}))["polls_total"] == 2);
    wait_until("the outer task should wait", || ask("get", &json!({"id": id}))["state"] == "idle");
    assert!(try_ask("get", &json!({"id": inner})).is_err());
}

#[test]
fn spawn_blocking_is_not_a_task_of_the_table() {
    let runtime = workers(2);
    let place = line(1);
    runtime.block_on(async { tokio::task::spawn_blocking(|| ()).await.unwrap() });
    assert_eq!(ask("sites", &json!({"site": place})), json!([]));
    wait_until("its end should be counted", || ask("count", &json!({}))["unknown_ends_total"].as_u64().unwrap() > 0);
}

#[test]
fn a_task_names_its_runtime() {
    let runtime = Builder::new_multi_thread().worker_threads(1).name("web").enable_all().build().unwrap();
    let place = line(1);
    let _task = runtime.spawn(pending::<()>());
    wait_until("the worker should start", || ask("list", &json!({"site": place}))[0]["runtime"] == "web");
}

#[test]
fn the_top_comes_first_by_every_measure() {
    let runtime = current_thread();
    let place = line(2);
    let spawn = |polls: u32| {
        runtime.spawn(async move {
            for _ in 1..polls {
                tokio::task::yield_now().await;
            }
            pending::<()>().await;
        })
    };
    let _tasks = [spawn(3), spawn(30), spawn(300)];
    runtime.block_on(async {
        for _ in 0..400 {
            tokio::task::yield_now().await;
        }
    });
    let mine = ask("list", &json!({"site": place}));
    let polls: Vec<_> = mine.as_array().unwrap().iter().map(|row| row["polls_total"].as_u64().unwrap()).collect();
    assert_eq!(polls, [3, 30, 300]);
    let fields = [
        ("busy", "busy_ms"),
        ("polls", "polls_total"),
        ("longest_poll", "longest_poll_ms"),
        ("age", "age_ms"),
        ("idle", "idle_ms"),
    ];
    for (by, field) in fields {
        let rows = ask("top", &json!({"limit": 100_000, "by": by}));
        let values: Vec<f64> = rows.as_array().unwrap().iter().map(|row| row[field].as_f64().unwrap_or(0.0)).collect();
        assert!(values.is_sorted_by(|before, after| before >= after), "{by}: {values:?}");
    }
    assert_eq!(site(&place)["polls_total"], 333);
}

#[test]
fn the_tasks_that_ended_last_are_listed_the_newest_first() {
    let runtime = current_thread();
    let spawned = Cell::new(Vec::new());
    let place = line(3);
    let run = |polls: u64| {
        runtime.block_on(async {
            let task = tokio::spawn(async move {
                for _ in 1..polls {
                    tokio::task::yield_now().await;
                }
            });
            let id = number(task.id());
            task.await.unwrap();
            let mut ids = spawned.take();
            ids.push((id, polls));
            spawned.set(ids);
        });
    };
    (1..=70).for_each(&run);
    let rows = ask("ended", &json!({"site": place, "limit": 1000}));
    let rows = rows.as_array().unwrap();
    let ended: Vec<_> =
        rows.iter().map(|row| (row["id"].as_u64().unwrap(), row["polls_total"].as_u64().unwrap())).collect();
    // The thread remembers 64; the others are gone, the oldest first.
    let truth: Vec<_> = spawned.take().into_iter().rev().take(64).collect();
    assert_eq!(ended, truth);
    assert!(rows[0]["ended_ago_ms"].as_f64().unwrap() <= rows[63]["ended_ago_ms"].as_f64().unwrap());
    assert_eq!(ask("ended", &json!({"site": "no such place"})), json!([]));
}

#[test]
fn an_ended_task_lived_as_long_as_it_did() {
    let mut ticker = lens_tokio::tasks::ticker();
    let runtime = current_thread();
    let place = line(4);
    runtime.block_on(async {
        ticker.tick();
        let started = Instant::now();
        let task = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(60)).await;
            ticker.tick();
        });
        task.await.unwrap();
        let longest = started.elapsed().as_secs_f64() * 1e3 + 20.0;
        let lived = ask("ended", &json!({"site": place}))[0]["lifetime_ms"].as_f64().unwrap();
        assert!((50.0..=longest).contains(&lived), "{lived} ms of 60 to {longest}");
    });
}
