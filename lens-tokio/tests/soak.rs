//! What must hold for long: memory is flat, the table agrees with tokio, and nothing is called a stall that is none. A
//! process of its own: it measures its memory. Seconds by default; `LENS_SOAK_SECONDS=600` with `--release` is the soak.
#![cfg(all(tokio_unstable, target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]
#![expect(clippy::print_stdout, reason = "the figures of a long run are to be read")]

#[path = "stalls/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use std::future::pending;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ask::{Watched, until};
use lens_core::Skill;
use lens_tokio::TasksSkill;
use lens_tokio::builder::{Builder, Runtime};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A setting from the environment.
fn setting<T: FromStr>(variable: &str, default: T) -> T {
    std::env::var(variable).ok().map_or(default, |text| text.parse().ok().expect("a number"))
}

fn soak() -> Duration {
    Duration::from_secs(setting("LENS_SOAK_SECONDS", 3))
}

fn workers(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap()
}

/// What the skill `tasks` says that its stores take.
fn stored_bytes() -> u64 {
    TasksSkill::new().stores().iter().map(|store| store.memory_bytes).sum()
}

/// The memory of the process that is not backed by files.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Live tasks, as the table has them.
fn live(watched: &Watched) -> u64 {
    watched.call("tasks", "count", &json!({}))["live"].as_u64().unwrap()
}

#[test]
fn memory_is_flat_and_the_table_agrees_with_tokio() {
    const BATCH: usize = 200;
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let (begun, mut rounds) = (Instant::now(), 0_u64);
    let mut warm = None;
    while begun.elapsed() < soak() {
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for number in 0..BATCH {
                tasks.spawn(async move {
                    match number % 4 {
                        0 => tokio::task::yield_now().await,
                        1 => tokio::time::sleep(Duration::from_millis(1)).await,
                        2 => pending().await,
                        _ => drop(tokio::spawn(tokio::task::yield_now()).await),
                    }
                });
            }
            for _ in 0..BATCH * 3 / 4 {
                tasks.join_next().await.unwrap().unwrap();
            }
            // A quiet instant: what is left waits for ever.
            assert_eq!(tasks.len(), BATCH / 4);
            until(|| {
                let alive = runtime.metrics().num_alive_tasks();
                // The watchdog has a task of its own in each runtime.
                let is_quiet = (BATCH / 4..=BATCH / 4 + 1).contains(&alive);
                (is_quiet && live(&watched) == alive as u64).then_some(())
            });
            tasks.shutdown().await;
        });
        rounds += 1;
        // What is kept once is there after a third of the time.
        if warm.is_none() && begun.elapsed() > soak() / 3 {
            warm = Some((stored_bytes(), resident_bytes()));
        }
    }
    let (stored, resident) = warm.unwrap();
    assert_eq!(stored_bytes(), stored, "after {rounds} rounds");
    // The allocator keeps what it likes; a byte for each task would be more than this in ten minutes.
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < 4 << 20, "{grown} bytes in {rounds} rounds");
    drop(runtime);
    assert_eq!(live(&watched), 0);
    println!("{rounds} rounds of {BATCH} tasks, {stored} bytes stored, {grown} bytes grown");
}

/// How many requests there are in this time at `rate` a second.
fn due(time: Duration, rate: u64) -> u64 {
    u64::try_from(time.as_millis()).unwrap() * rate / 1000
}

#[test]
fn short_requests_are_no_stalls() {
    let rate: u64 = setting("LENS_SOAK_RATE", 2000);
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let (served, end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, ended) = (Arc::clone(&served), Arc::clone(&end));
    let begun = Instant::now();
    let clients = runtime.spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        let mut sent = 0;
        while !ended.load(Ordering::Relaxed) {
            ticks.tick().await;
            let due = due(begun.elapsed(), rate);
            // A machine that fell behind does not make up for it with a poll that lasts.
            for _ in sent..due.min(sent + 200) {
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    std::hint::black_box((0..200_u64).sum::<u64>());
                    counted.fetch_add(1, Ordering::Relaxed);
                });
            }
            sent = due;
        }
    });
    std::thread::sleep(soak());
    end.store(true, Ordering::Relaxed);
    runtime.block_on(clients).unwrap();
    let took = begun.elapsed();
    drop(runtime);
    let stalls = watched.ask("recent", &json!({ "limit": 1000 }));
    // A machine that is given to others stops workers in the middle of polls: such a stall has no blocking line.
    let is_ours = |row: &&Value| row["spawn_place"].as_str().is_some_and(|place| place.contains("soak.rs"));
    let ours: Vec<_> = stalls.iter().filter(is_ours).collect();
    let (served, due) = (served.load(Ordering::Relaxed), due(took, rate));
    println!("{served} of {due} requests in {took:?}, {} stalls", stalls.len());
    // A machine that is given to others may leave out some.
    assert!(served > due / 2, "{served} of {due}");
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn the_live_count_is_exact_after_spawns_and_aborts_on_two_runtimes() {
    let each: usize = setting("LENS_SOAK_SPAWNS", 20_000);
    let runtimes = [workers(2), workers(1)];
    let watched = Watched::over(&[]);
    let begun = watched.call("tasks", "count", &json!({}));
    std::thread::scope(|scope| {
        for runtime in &runtimes {
            scope.spawn(move || {
                for number in 0..each {
                    let task = runtime.spawn(pending::<()>());
                    // Half of them end with the runtime.
                    if number % 2 == 0 {
                        task.abort();
                    }
                }
            });
        }
    });
    let half = (each / 2) as u64;
    // tokio tells the hooks of a task's end first, and counts it afterwards.
    let alive = || runtimes.iter().map(|runtime| runtime.metrics().num_alive_tasks()).sum::<usize>() as u64;
    until(|| (live(&watched) == 2 * half && alive() == 2 * half).then_some(()));
    drop(runtimes);
    assert_eq!(live(&watched), 0);
    let total =
        |name: &str| watched.call("tasks", "count", &json!({}))[name].as_u64().unwrap() - begun[name].as_u64().unwrap();
    assert_eq!((total("spawned_total"), total("finished_total")), (2 * each as u64, 2 * each as u64));
}
