//! What tasks and spawn sites are charged, against what the test allocates. Only with tokio's hooks, which tell of polls.

use std::future::pending;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::service::{Service, until};

/// Bytes of the size class of the blocks that tests allocate.
const CLASS: u64 = 10_240;

fn block() -> Vec<u8> {
    black_box(vec![1; 10_000])
}

fn runtime(workers: usize) -> lens::runtime::Runtime {
    lens::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

fn task(service: &Service, id: tokio::task::Id) -> Value {
    service.query(&format!("tasks.get({id})"))
}

/// The row of the site in this file at `line`.
fn site(service: &Service, line: u32) -> Value {
    service.query(&format!("tasks.sites(site=\"tests/heap/tasks.rs:{line}:\")[0]"))
}

fn number(row: &Value, field: &str) -> u64 {
    row[field].as_u64().unwrap_or_else(|| panic!("{field} of {row}"))
}

#[test]
fn bytes_are_exact_over_ten_thousand_polls_on_changing_workers() {
    const TASKS: u64 = 50;
    const SLEEPS: u64 = 220;
    let service = Service::start();
    let runtime = runtime(4);
    let (moves, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let spawn = |_| {
        let (moves, done) = (Arc::clone(&moves), Arc::clone(&done));
        runtime.spawn(async move {
            let mut last = std::thread::current().id();
            for _ in 0..SLEEPS {
                let held = block();
                // The timer wakes it on whatever worker is free, which frees what another one allocated.
                tokio::time::sleep(Duration::from_millis(1)).await;
                drop(held);
                let now = std::thread::current().id();
                moves.fetch_add(u64::from(now != last), Ordering::Relaxed);
                last = now;
            }
            done.fetch_add(1, Ordering::Relaxed);
            pending::<()>().await;
        })
    };
    let line = line!() - 15;
    let tasks: Vec<_> = (0..TASKS).map(spawn).collect();
    until("all are done", || done.load(Ordering::Relaxed) == TASKS);
    until("all wait", || tasks.iter().all(|spawned| task(&service, spawned.id())["state"] == "idle"));

    for spawned in &tasks {
        let row = task(&service, spawned.id());
        assert_eq!(number(&row, "allocated_bytes"), SLEEPS * CLASS, "{row}");
        assert_eq!(number(&row, "freed_bytes"), SLEEPS * CLASS, "{row}");
        assert_eq!(row["net_bytes"], 0);
    }
    let row = site(&service, line);
    assert_eq!(number(&row, "allocated_bytes"), TASKS * SLEEPS * CLASS, "{row}");
    assert_eq!(number(&row, "freed_bytes"), TASKS * SLEEPS * CLASS, "{row}");
    assert!(number(&row, "polls_total") > 10_000);
    assert!(moves.load(Ordering::Relaxed) > 100, "{moves:?} polls were on another worker than the last one");
}

#[test]
fn who_hands_memory_on_keeps_it_and_who_receives_it_frees_it() {
    const BLOCKS: usize = 100;
    let service = Service::start();
    let runtime = runtime(2);
    let shelf = Arc::new(Mutex::new(Vec::with_capacity(BLOCKS)));
    let (producers, consumers) = (Arc::clone(&shelf), Arc::clone(&shelf));
    let producer = runtime.spawn(async move {
        for _ in 0..BLOCKS {
            let made = block();
            producers.lock().unwrap().push(made);
            tokio::time::sleep(Duration::from_micros(10)).await;
        }
        pending::<()>().await;
    });
    until("all are made", || shelf.lock().unwrap().len() == BLOCKS);
    let consumer = runtime.spawn(async move {
        consumers.lock().unwrap().clear();
        pending::<()>().await;
    });
    until("all are gone", || shelf.lock().unwrap().is_empty());
    until("both wait", || [producer.id(), consumer.id()].iter().all(|id| task(&service, *id)["state"] == "idle"));
    let all = BLOCKS as u64 * CLASS;
    let (made, gone) = (task(&service, producer.id()), task(&service, consumer.id()));
    assert_eq!((number(&made, "allocated_bytes"), made["net_bytes"].as_u64()), (all, Some(all)), "{made}");
    assert_eq!((number(&gone, "freed_bytes"), number(&gone, "allocated_bytes")), (all, 0), "{gone}");
    assert_eq!(gone["net_bytes"].as_i64(), Some(-all.cast_signed()), "{gone}");
}

#[test]
fn a_site_keeps_what_its_ended_tasks_allocated_in_their_last_polls() {
    let service = Service::start();
    let runtime = runtime(2);
    for _ in 0..10 {
        runtime.block_on(runtime.spawn(async { black_box(block()).len() })).unwrap();
    }
    let line = line!() - 2;
    until("the last one is counted", || number(&site(&service, line), "allocated_bytes") == 10 * CLASS);
    until("it is freed too", || number(&site(&service, line), "freed_bytes") >= 10 * CLASS);
}

#[test]
fn who_allocates_most_is_on_top_and_rates_tell_how_fast() {
    let service = Service::start();
    let runtime = runtime(2);
    let spawned = runtime.spawn(async {
        let mut kept = Vec::with_capacity(1_000_000);
        loop {
            kept.push(block());
            drop((block(), block()));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let id = spawned.id().to_string().parse().ok();
    until("it is on top", || service.query("tasks.top(by=\"allocated\", limit=1)[0].id").as_u64() == id);
    until("it keeps most", || service.query("tasks.top(by=\"net\", limit=1)[0].id").as_u64() == id);
    until("there is a rate", || {
        let row = service.query("tasks.sites(by=\"net\", limit=1)[0]");
        // Three blocks a turn, of which two are freed.
        let (allocated, freed) = (row["allocated_bytes_per_s"].as_f64(), row["freed_bytes_per_s"].as_f64());
        matches!((allocated, freed), (Some(allocated), Some(freed)) if freed > 0.0 && (allocated / freed - 1.5).abs() < 0.1)
    });
}

#[test]
fn a_spawner_is_charged_its_tasks_and_nothing_of_what_lens_keeps_of_them() {
    const TASKS: u64 = 20_000;
    let service = Service::start();
    let runtime = runtime(2);
    let spawner = runtime.spawn(async {
        (0..TASKS).for_each(|_| drop(tokio::spawn(pending::<()>())));
        pending::<()>().await;
    });
    until("all are spawned", || service.query(&format!("tasks.get({}).state", spawner.id())) == "idle");
    let row = task(&service, spawner.id());
    let allocated = number(&row, "allocated_bytes");
    // The table took some 60 bytes more for each task, in chunks of pages: no multiple of the number of tasks.
    assert_eq!(allocated % TASKS, 0, "each task takes the same: {row}");
    assert!(
        service.query("[s.memory_bytes for s in lens.stores() if s.store == \"tasks\"][0]").as_u64().unwrap()
            > TASKS * 56
    );
}
