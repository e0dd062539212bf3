//! More tasks, locks and operations at once than the skill `console` keeps. A process of its own: nothing else may use
//! up the room.
#![cfg(all(tokio_unstable, feature = "console"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "console/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use std::sync::atomic::{AtomicUsize, Ordering};

use ask::{Lens, wait_until};
use lens_core::Skill;
use lens_tokio::console::{MAX_OPERATIONS, MAX_RESOURCES, MAX_TASKS};
use lens_tokio::{Console, ConsoleSkill, console_layer};
use serde_json::json;
use tokio::sync::Semaphore;
use tracing_subscriber::layer::SubscriberExt;

/// How many of the tasks were polled.
static POLLED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn what_has_no_room_is_counted_and_the_rest_is_whole() {
    const TASKS: usize = 10_000;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(console_layer())).unwrap();
    Console::global().enable().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let lens = Lens::of(Console::global());
    // Without optimization, and beside other tests, it may take longer than a skill may.
    let summary = || wait_until(|| lens.call("summary", json!({})).ok());
    let number = |field: &str| usize::try_from(summary()[field].as_u64().unwrap()).unwrap();

    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let named = tokio::task::Builder::new();
            let name = format!("burst/a-name-as-long-as-names-of-tasks-usually-are-{number}");
            let wait = async {
                POLLED.fetch_add(1, Ordering::Relaxed);
                Semaphore::new(0).acquire().await.map(drop)
            };
            named.name(&name).spawn_on(wait, runtime.handle()).unwrap()
        })
        .collect();
    runtime.block_on(async {
        while POLLED.load(Ordering::Relaxed) < TASKS {
            tokio::task::yield_now().await;
        }
    });

    // The future of `block_on` has ended by now, but had its place while the tasks were spawned, or not.
    let listed = number("tasks_count");
    assert_eq!(listed, MAX_TASKS);
    let missing = number("missing_tasks_total");
    assert!((TASKS - MAX_TASKS..=TASKS - MAX_TASKS + 1).contains(&missing), "{missing}");
    assert_eq!(number("missing_events_total"), 0, "{}", summary());
    // Of each task there are a semaphore in a semaphore, and an acquisition in an acquisition.
    assert_eq!(number("resources_count"), MAX_RESOURCES);
    let beyond = number("missing_resources_total");
    // tokio's runtime has one of its own.
    assert!((2 * TASKS - MAX_RESOURCES..=2 * TASKS - MAX_RESOURCES + 1).contains(&beyond), "{beyond}");
    let operations = number("operations_count");
    assert!(operations <= MAX_OPERATIONS && operations > MAX_OPERATIONS / 2, "{operations}");
    let rows = wait_until(|| lens.call("tasks", json!({ "limit": TASKS })).ok());
    assert_eq!(rows.as_array().unwrap().iter().filter(|row| row["polls_total"] == 1).count(), MAX_TASKS);
    assert_eq!(ConsoleSkill::new(Console::global()).sources()[0].status(), "partial");
    for store in ConsoleSkill::new(Console::global()).stores() {
        assert!(store.len_count <= store.cap_count && store.memory_bytes > 0, "{store:?}");
    }

    for task in &tasks {
        task.abort();
    }
    runtime.block_on(async {
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
    wait_until(|| (number("tasks_count") == 0 && number("resources_count") <= 1).then_some(()));
    let spawned =
        tokio::task::Builder::new().name("after").spawn_on(std::future::pending::<()>(), runtime.handle()).unwrap();
    let rows = wait_until(|| lens.call("tasks", json!({ "site": "after" })).ok());
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert!(!spawned.is_finished());
}
