//! What the skill says of what only tokio's unstable API knows.
#![cfg(tokio_unstable)]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "runtime/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use std::future::pending;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use ask::{Blocked, Lens, two_workers};
use serde_json::{Value, json};
use tokio::runtime::{Builder, RuntimeMetrics};

fn whole(row: &Value, field: &str) -> u64 {
    row[field].as_u64().unwrap_or_else(|| panic!("{field} is {}", row[field]))
}

#[test]
fn spawns_are_counted_exactly_and_without_the_canary() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    assert_eq!(whole(&lens.one("stats"), "spawned_tasks_count"), 0);
    let tasks: Vec<_> = (0..9).map(|_| runtime.spawn(pending::<()>())).collect();
    assert_eq!(whole(&lens.one("stats"), "spawned_tasks_count"), 9);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    lens.wait_until("stats", |rows| rows[0]["num_alive_tasks"] == 0);
    assert_eq!(whole(&lens.one("stats"), "spawned_tasks_count"), 9);
}

#[test]
fn blocking_pool_is_counted_exactly() {
    let runtime = Builder::new_multi_thread().worker_threads(2).max_blocking_threads(3).enable_all().build().unwrap();
    let lens = Lens::on("main", runtime.handle());
    // Workers wait in the pool's queue until they have started, and are not of the pool afterwards.
    let pool = lens.wait_until("blocking_pool", |rows| rows[0]["blocking_queue_depth"] == 0).remove(0);
    assert_eq!(pool["num_blocking_threads"], 0);
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for _ in 0..8 {
        let held = Arc::clone(&held);
        runtime.spawn_blocking(move || {
            let _ = held.lock().unwrap().recv();
        });
    }
    lens.wait_until("blocking_pool", |rows| {
        rows[0]["busy_blocking_threads"] == 3 && rows[0]["blocking_queue_depth"] == 5
    });
    assert_eq!(lens.one("blocking_pool")["num_blocking_threads"], 3);
    assert_eq!(lens.one("blocking_pool")["num_idle_blocking_threads"], 0);
    drop(release);
    lens.wait_until("blocking_pool", |rows| {
        rows[0]["num_idle_blocking_threads"] == 3 && rows[0]["blocking_queue_depth"] == 0
    });
}

#[test]
fn histogram_of_poll_times_holds_every_poll() {
    let runtime = Builder::new_current_thread().enable_all().enable_metrics_poll_time_histogram().build().unwrap();
    let lens = Lens::on("main", runtime.handle());
    let mut before = 0;
    runtime.block_on(async {
        tokio::spawn(async {
            for _ in 0..499 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        tokio::spawn(async { std::thread::sleep(std::time::Duration::from_millis(20)) }).await.unwrap();
        before = 501;
        // Parks, which publishes what was counted.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    });
    let rows = lens.ask("poll_times");
    let polls: u64 = rows.iter().map(|row| whole(row, "polls_total")).sum();
    assert_eq!(polls, whole(&lens.ask("workers")[0], "worker_poll_count"));
    // The tasks', and a few of the canary.
    assert!((before..before + 50).contains(&polls), "{polls}");
    let is_long = |row: &&Value| row["below_ms"].as_f64().is_none_or(|below| below > 20.0);
    let long: u64 = rows.iter().filter(is_long).map(|row| whole(row, "polls_total")).sum();
    // A busy machine may make a few others long.
    assert!((1..=9).contains(&long), "{rows:?}");
    assert_eq!(rows.last().unwrap()["below_ms"], Value::Null);
}

#[test]
fn without_a_histogram_the_answer_names_the_builders_method() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let error = lens.call("poll_times", &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "`runtime.poll_times` is unavailable: call `enable_metrics_poll_time_histogram()` on the runtime's builder"
    );
    let sources = lens.registry().get("runtime").unwrap().sources();
    let live: Vec<_> = sources.iter().map(|source| json!(source)["status"]["status"].clone()).collect();
    assert_eq!(live, ["live", "live", "live", "unavailable", "live", "unavailable"]);
}

#[test]
fn workers_thread_and_queue_are_those_of_the_test() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lens = Lens::on("main", runtime.handle());
    let (enter, entered) = channel();
    let (release, held) = channel::<()>();
    runtime.spawn(async move {
        for _ in 0..5 {
            tokio::spawn(pending::<()>());
        }
        enter.send(format!("{:?}", std::thread::current().id())).unwrap();
        let _ = held.recv();
    });
    let thread = entered.recv().unwrap();
    let row = lens.ask("workers").remove(0);
    assert_eq!(row["worker_thread_id"], thread);
    assert_eq!(row["worker_local_queue_depth"], 4, "the fifth is in the LIFO slot");
    drop(release);
    lens.wait_until("workers", |rows| rows[0]["worker_local_queue_depth"] == 0);
}

#[test]
fn counters_are_those_of_tokio() {
    type OfWorker = fn(&RuntimeMetrics, usize) -> u64;
    type OfRuntime = fn(&RuntimeMetrics) -> u64;
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    for _ in 0..50 {
        runtime.spawn(tokio::task::yield_now());
    }
    // Counters only grow, so what lens read lies between two readings of the test's.
    let of_a_worker: [(&str, OfWorker); 6] = [
        ("worker_poll_count", RuntimeMetrics::worker_poll_count),
        ("worker_noop_count", RuntimeMetrics::worker_noop_count),
        ("worker_steal_count", RuntimeMetrics::worker_steal_count),
        ("worker_steal_operations", RuntimeMetrics::worker_steal_operations),
        ("worker_local_schedule_count", RuntimeMetrics::worker_local_schedule_count),
        ("worker_overflow_count", RuntimeMetrics::worker_overflow_count),
    ];
    let metrics = runtime.handle().metrics();
    for (field, of) in of_a_worker {
        let read = || [of(&metrics, 0), of(&metrics, 1)];
        let (before, rows, after) = (read(), lens.ask("workers"), read());
        for worker in 0..2 {
            assert!((before[worker]..=after[worker]).contains(&whole(&rows[worker], field)), "{field} of {worker}");
        }
    }
    let of_a_runtime: [(&str, OfRuntime); 5] = [
        ("remote_schedule_count", RuntimeMetrics::remote_schedule_count),
        ("budget_forced_yield_count", RuntimeMetrics::budget_forced_yield_count),
        ("io_driver_fd_registered_count", RuntimeMetrics::io_driver_fd_registered_count),
        ("io_driver_fd_deregistered_count", RuntimeMetrics::io_driver_fd_deregistered_count),
        ("io_driver_ready_count", RuntimeMetrics::io_driver_ready_count),
    ];
    for (field, of) in of_a_runtime {
        let (before, row, after) = (of(&metrics), lens.one("stats"), of(&metrics));
        assert!((before..=after).contains(&whole(&row, field)), "{field}");
    }
    lens.wait_until("workers", |rows| rows.iter().map(|row| whole(row, "worker_poll_count")).sum::<u64>() >= 100);
}

#[test]
fn task_that_uses_up_its_budget_is_made_to_yield() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let task = runtime.spawn(async {
        for _ in 0..1000 {
            tokio::task::consume_budget().await;
        }
    });
    runtime.block_on(task).unwrap();
    // A budget is 128.
    assert_eq!(lens.one("stats")["budget_forced_yield_count"], 1000 / 128);
}

#[test]
fn polls_of_the_last_seconds_are_in_the_intervals() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    for _ in 0..200 {
        runtime.spawn(async {});
    }
    let rows =
        lens.wait_until("intervals", |rows| rows.iter().map(|row| whole(row, "total_polls_count")).sum::<u64>() >= 200);
    let polls: u64 = rows.iter().map(|row| whole(row, "total_polls_count")).sum();
    let canary = 2 * rows.len() as u64 + 2;
    assert!(polls <= 200 + canary, "{polls}");
    assert!(rows.iter().any(|row| row["mean_poll_ms"].is_f64()), "{rows:#?}");
    assert_eq!(rows.last().unwrap()["blocking_threads_count"], 0);
}

#[test]
fn mean_poll_time_is_known_where_tokio_measures_it() {
    let (many, one) = (two_workers(), Builder::new_current_thread().enable_all().build().unwrap());
    let lens = Lens::on("many", many.handle());
    lens.runtimes.attach(Some("one"), one.handle().clone());
    let blocked = Blocked::worker_of(many.handle());
    let index = blocked.index;
    lens.wait_until("workers", |rows| rows[index]["state"] == "no_progress");
    drop(blocked);
    let rows =
        lens.wait_until("workers", |rows| rows[index]["worker_mean_poll_ms"].as_f64().is_some_and(|mean| mean > 1.0));
    assert_eq!(rows[2]["worker_mean_poll_ms"]["unavailable"], "failed");
}
