//! Numbers that the tests made.

use std::future::pending;
use std::time::Duration;

use lens_core::Skill as _;
use lens_tokio::{RuntimeSkill, RuntimeState};
use serde_json::{Value, json};
use tokio_metrics::TaskMonitor;

use crate::ask::{Blocked, Lens, number, two_workers};

#[test]
fn alive_tasks_are_those_of_the_service() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    assert_eq!(lens.one("stats")["num_alive_tasks"], 0);
    let tasks: Vec<_> = (0..7).map(|_| runtime.spawn(pending::<()>())).collect();
    assert_eq!(lens.one("stats")["num_alive_tasks"], 7);
    tasks[..3].iter().for_each(tokio::task::JoinHandle::abort);
    lens.wait_until("stats", |rows| rows[0]["num_alive_tasks"] == 4);
    let start = lens.series("runtime.alive_tasks");
    assert!(start.max() <= 7.0);
}

#[test]
fn global_queue_holds_what_was_spawned_from_outside() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let blocked = [Blocked::worker_of(runtime.handle()), Blocked::worker_of(runtime.handle())];
    for _ in 0..10 {
        runtime.spawn(async {});
    }
    assert_eq!(lens.one("stats")["global_queue_depth"], 10);
    // The canary joins them, and is not counted.
    let rows = lens.wait_until("stats", |rows| rows[0]["is_schedule_delay_open"] == true);
    assert_eq!(rows[0]["global_queue_depth"], 10);
    drop(blocked);
    lens.wait_until("stats", |rows| rows[0]["global_queue_depth"] == 0 && rows[0]["num_alive_tasks"] == 0);
}

#[test]
fn parks_are_counted_as_tokio_does() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let counts = |of: fn(&tokio::runtime::RuntimeMetrics, usize) -> u64| {
        let metrics = runtime.handle().metrics();
        (0..2).map(|worker| of(&metrics, worker)).collect::<Vec<_>>()
    };
    let rows = |field: &str| lens.ask("workers").iter().map(|row| row[field].as_u64().unwrap()).collect::<Vec<_>>();
    for (field, of) in [
        ("worker_park_count", tokio::runtime::RuntimeMetrics::worker_park_count as fn(&_, usize) -> u64),
        ("worker_park_unpark_count", tokio::runtime::RuntimeMetrics::worker_park_unpark_count),
    ] {
        // Counters only grow, so what lens read lies between two readings of the test's.
        let (before, between, after) = (counts(of), rows(field), counts(of));
        for worker in 0..2 {
            assert!((before[worker]..=after[worker]).contains(&between[worker]), "{field} of {worker}");
        }
    }
}

#[test]
fn registered_monitor_reads_as_its_tasks_were() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    assert!(lens.ask("task_monitors").is_empty());
    let monitor = TaskMonitor::builder().with_slow_poll_threshold(Duration::from_millis(20)).clone().build();
    assert!(lens.monitors.register("checkout", &monitor));
    let before = lens.one("task_monitors");
    assert_eq!((&before["instrumented_count"], &before["mean_poll_ms"]), (&0.into(), &Value::Null));

    runtime.block_on(async {
        for _ in 0..4 {
            tokio::spawn(monitor.instrument(tokio::task::yield_now())).await.unwrap();
        }
        let slow = async { std::thread::sleep(Duration::from_millis(30)) };
        tokio::spawn(monitor.instrument(slow)).await.unwrap();
    });
    let live = runtime.spawn(monitor.instrument(pending::<()>()));
    let row = &lens.wait_until("task_monitors", |rows| rows[0]["first_poll_count"] == 6)[0];
    assert_eq!(row["name"], "checkout");
    assert_eq!(row["instrumented_count"], 6);
    assert_eq!((&row["dropped_count"], &row["live_count"]), (&5.into(), &1.into()));
    assert_eq!(row["total_poll_count"], 10, "two for each that yielded, one for the two others");
    assert_eq!(number(row, "slow_poll_threshold_ms"), 20.0);
    assert!(number(row, "total_slow_poll_count") >= 1.0);
    assert!(number(row, "total_poll_ms") >= 30.0);
    live.abort();
    assert!(lens.monitors.remove("checkout"));
    assert!(lens.ask("task_monitors").is_empty());
}

#[test]
fn intervals_are_a_second_each_and_count_the_services_tasks() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    runtime.spawn(pending::<()>());
    let rows = lens.wait_until("intervals", |rows| rows.len() >= 2);
    let last = rows.last().unwrap();
    assert_eq!(last["live_tasks_count"], 1);
    assert!((900.0..5000.0).contains(&number(last, "elapsed_ms")), "{last:#}");
    // The canary wakes a worker once a second, but not once in each interval: neither waits for the other.
    let rows = lens.wait_until("intervals", |rows| rows.len() >= 4);
    let parks: f64 = rows.iter().map(|row| number(row, "total_park_count")).sum();
    assert!(parks >= 2.0, "{rows:#?}");
    let recent = lens.call("intervals", &[("last", "1s")]).unwrap();
    assert!(recent.len() <= 2, "{recent:#?}");
}

#[test]
fn state_reads_the_same_after_a_file() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    lens.wait_until("intervals", |rows| !rows.is_empty());
    let state = RuntimeSkill::new(lens.runtimes.clone()).collect().unwrap();
    let json = serde_json::to_value(&state).unwrap();
    let back: RuntimeState = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&back).unwrap(), json);
}

#[test]
fn series_have_a_workers_share() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    for name in ["busy_ratio", "max_worker_busy_ratio", "worker_busy_ratio[main/0]", "worker_busy_ratio[main/1]"] {
        let share = lens.series(&format!("runtime.{name}")).last();
        assert!((0.0..=1.0).contains(&share), "{name}: {share}");
    }
    assert_eq!(lens.series("runtime.runtimes").last(), 1.0);
}

#[test]
fn wrong_arguments_say_what_is_right() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let message = |arguments: &[(&str, &str)]| lens.call("workers", arguments).unwrap_err().to_string();
    assert_eq!(message(&[("runtime", "mian")]), "there is no runtime called `mian`; did you mean `main`?");
    assert_eq!(message(&[("last", "10ms")]), "`last` takes a length of at least 1s, not \"10ms\"");
    assert_eq!(
        message(&[("last", "2m")]),
        "`last` takes at most 1m here, not \"2m\"; ask series(\"runtime.busy_ratio\", last=\"2m\")"
    );
}

#[test]
fn without_a_runtime_the_skill_says_how_to_get_one() {
    let lens = Lens::new();
    assert!(lens.ask("stats").is_empty());
    let sources = json!(lens.registry().get("runtime").unwrap().sources());
    assert_eq!(sources[0]["status"]["status"], "unavailable");
}
