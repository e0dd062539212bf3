//! The number of live tasks stays exact through aborts, several runtimes and their end.

use std::future::pending;
use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::ask::{ask, current_thread, line, site, wait_until, workers};

#[test]
fn the_live_count_is_exact_after_many_spawns_and_aborts_on_two_runtimes() {
    const EACH: usize = 100_000;
    let runtimes = [workers(2), current_thread()];
    let place = line(9);
    thread::scope(|scope| {
        for runtime in &runtimes {
            scope.spawn(|| {
                let mut kept = Vec::new();
                runtime.block_on(async {
                    for n in 0..EACH {
                        let abort = n % 3;
                        // Some end by themselves, some are aborted, some stay.
                        let task = tokio::spawn(async move {
                            if abort != 0 {
                                pending::<()>().await
                            }
                        });
                        match abort {
                            0 => task.await.unwrap(),
                            1 => task.abort(),
                            _ => kept.push(task),
                        }
                    }
                    // A current-thread runtime ends aborted tasks only while it runs.
                    while runtime.metrics().num_alive_tasks() > kept.len() {
                        tokio::task::yield_now().await;
                    }
                });
                drop(kept);
            });
        }
    });
    let stay = (0..EACH).filter(|n| n % 3 == 2).count() * 2;
    wait_until("aborted tasks should end", || site(&place)["live"] == stay);
    let alive: usize = runtimes.iter().map(|runtime| runtime.metrics().num_alive_tasks()).sum();
    assert_eq!(alive, stay);
    let row = site(&place);
    assert_eq!(row["spawned_total"], 2 * EACH);
    assert_eq!(row["finished_total"], 2 * EACH - stay);

    drop(runtimes);
    let row = site(&place);
    assert_eq!((row["live"].as_u64(), row["finished_total"].as_u64()), (Some(0), Some(2 * EACH as u64)));
}

#[test]
fn a_spawn_onto_a_runtime_that_is_gone_leaves_no_task() {
    for runtime in [workers(1), current_thread()] {
        let handle = runtime.handle().clone();
        drop(runtime);
        let place = line(2);
        for _ in 0..10 {
            drop(handle.spawn(pending::<()>()));
        }
        let row = site(&place);
        assert_eq!(row["live"], 0);
        assert_eq!(row["spawned_total"], row["finished_total"]);
    }
}

#[test]
fn spawns_while_a_runtime_shuts_down_leave_no_task() {
    let place = line(11);
    for _ in 0..200 {
        let runtime = workers(1);
        let together = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..2 {
                let handle = runtime.handle().clone();
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    for _ in 0..50 {
                        drop(handle.spawn(pending::<()>()));
                    }
                });
            }
            together.wait();
            drop(runtime);
        });
    }
    let row = site(&place);
    assert_eq!((row["live"].as_u64(), row["spawned_total"].as_u64()), (Some(0), Some(20_000)));
    assert_eq!(row["finished_total"], 20_000);
}

#[test]
fn a_runtime_in_a_thread_local_ends_with_its_thread() {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = current_thread();
    }
    let place = line(3);
    thread::spawn(|| {
        RUNTIME.with(|runtime| {
            let _kept = runtime.spawn(pending::<()>());
            runtime.block_on(tokio::task::yield_now());
        });
    })
    .join()
    .unwrap();
    let row = site(&place);
    assert_eq!((row["live"].as_u64(), row["finished_total"].as_u64()), (Some(0), Some(1)));
    assert!(ask("count", &json!({}))["untracked_total"] == 0);
}
