//! What the skill `console` tells of tasks, locks and operations that the test made. A process of its own: it owns the
//! global tracing subscriber, since tokio's workers have no other.
#![cfg(all(tokio_unstable, feature = "console"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "console/ask.rs"]
mod ask;

use std::future::{pending, poll_fn};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex as StdMutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use ask::{FUNCTIONS, Lens, wait_until};
use lens_tokio::{Console, console_layer};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Barrier, Mutex, RwLock, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing_subscriber::layer::SubscriberExt;

/// The service: a registry with the layer, which is switched on, and a runtime after it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let registry = tracing_subscriber::registry().with(console_layer());
    tracing::subscriber::set_global_default(registry).unwrap();
    Console::global().enable().unwrap();
    Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
});

fn lens() -> Lens {
    LazyLock::force(&RUNTIME);
    Lens::of(Console::global())
}

fn spawn<F: Future<Output: Send + 'static> + Send + 'static>(name: &str, future: F) -> JoinHandle<F::Output> {
    tokio::task::Builder::new().name(name).spawn_on(future, RUNTIME.handle()).unwrap()
}

/// The task of a name, once it is as it should be.
#[track_caller]
fn task(name: &str, is_ready: impl Fn(&Value) -> bool) -> Value {
    let lens = lens();
    wait_until(|| lens.named("tasks", "name", name).into_iter().find(&is_ready))
}

#[test]
fn wakes_self_wakes_polls_and_wakers_are_those_that_were_made() {
    const SELF_WAKES: usize = 10;
    const OTHER_WAKES: usize = 3;
    let polls = Arc::new(AtomicUsize::new(0));
    let waker: Arc<StdMutex<Option<Waker>>> = Arc::default();
    let (counted, kept) = (Arc::clone(&polls), Arc::clone(&waker));
    let future = poll_fn(move |context| {
        if counted.fetch_add(1, Ordering::SeqCst) < SELF_WAKES {
            context.waker().wake_by_ref();
        } else {
            kept.lock().unwrap().get_or_insert_with(|| context.waker().clone());
        }
        Poll::<()>::Pending
    });
    let bytes = size_of_val(&future);
    let task_of_it = spawn("known-wakes", future);
    for woken in 0..=OTHER_WAKES {
        wait_until(|| (polls.load(Ordering::SeqCst) == SELF_WAKES + 1 + woken).then_some(()));
        // The poll has ended where the state is idle.
        let row = task("known-wakes", |row| row["state"] == "idle" && row["polls_total"] == SELF_WAKES + 1 + woken);
        assert_eq!(row["wakes_total"], SELF_WAKES + woken, "{row}");
        assert_eq!(row["self_wakes_total"], SELF_WAKES, "{row}");
        assert_eq!(row["waker_clones_total"], 1, "{row}");
        assert_eq!(row["waker_drops_total"], 0, "{row}");
        assert_eq!(row["wakers_count"], 1, "{row}");
        if woken < OTHER_WAKES {
            waker.lock().unwrap().as_ref().unwrap().wake_by_ref();
        }
    }
    let row = task("known-wakes", |_| true);
    assert_eq!(row["id"], task_of_it.id().to_string().parse::<u64>().unwrap());
    assert_eq!(row["kind"], "task");
    assert_eq!(row["future_bytes"], bytes, "{row}");
    assert_eq!(row["boxed_from_bytes"], Value::Null);
    assert_eq!(row["lints"], json!(["self_wakes"]));
    assert!(row["place"].as_str().unwrap().starts_with("lens-tokio/tests/console_unstable.rs:"), "{row}");
    task_of_it.abort();
    wait_until(|| lens().named("tasks", "name", "known-wakes").is_empty().then_some(()));
}

#[test]
fn the_poll_that_goes_on_counts_as_busy() {
    let end = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&end);
    let spinning = spawn("spins", async move {
        while !ended.load(Ordering::Relaxed) {
            spin_loop();
        }
    });
    let row = task("spins", |row| row["busy_ms"].as_f64().unwrap() >= 1000.0);
    assert_eq!(row["state"], "running");
    assert_eq!(row["polls_total"], 1);
    assert_eq!(row["lints"], json!(["never_yielded"]));
    let busy = row["busy_ms"].as_f64().unwrap();
    assert!(busy <= row["age_ms"].as_f64().unwrap(), "{row}");
    let later = task("spins", |row| row["busy_ms"].as_f64().unwrap() >= busy + 5.0);
    assert_eq!(later["state"], "running");
    end.store(true, Ordering::Relaxed);
    RUNTIME.block_on(spinning).unwrap();
}

#[test]
fn each_lint_is_found_where_it_was_made() {
    let lost = spawn("loses-its-waker", pending::<()>());
    let large = spawn("is-large", async {
        let bytes = [0_u8; 20_000];
        pending::<()>().await;
        std::hint::black_box(&bytes);
    });
    let lens = lens();
    let of = |name: &str| {
        let rows = lens.named("lints", "name", name);
        rows.iter()
            .map(|row| (row["lint"].as_str().unwrap().to_owned(), row["is_suspected"] == true))
            .collect::<Vec<_>>()
    };
    task("loses-its-waker", |row| row["polls_total"] == 1 && row["state"] == "idle");
    assert_eq!(of("loses-its-waker"), [("lost_waker".to_owned(), true)]);
    let row = task("is-large", |row| row["polls_total"] == 1 && row["state"] == "idle");
    // The waker is lost there, too: `pending` keeps none. What tokio boxed is small itself.
    assert_eq!(of("is-large"), [("lost_waker".to_owned(), true), ("auto_boxed_future".to_owned(), false)]);
    assert!(row["boxed_from_bytes"].as_u64().unwrap() >= 20_000, "{row}");
    assert_eq!(row["future_bytes"], size_of::<usize>());
    lost.abort();
    large.abort();
}

#[test]
fn who_waits_for_which_lock_is_told_with_places() {
    let line = line!() + 1;
    let lock = Arc::new(Mutex::new(()));
    let place = format!("lens-tokio/tests/console_unstable.rs:{line}:");
    let guard = Arc::clone(&lock).try_lock_owned().unwrap();
    let waiting = Arc::clone(&lock);
    let waiter = spawn("waits-for-a-lock", async move { drop(waiting.lock().await) });
    let lens = lens();
    let is_here = |row: &&Value, field: &str| row[field].as_str().is_some_and(|text| text.starts_with(&place));
    let row = wait_until(|| {
        let rows = lens.rows("operations");
        rows.iter().find(|row| is_here(row, "resource_place") && row["name"] == "waits-for-a-lock").cloned()
    });
    assert_eq!(row["source"], "Mutex::lock");
    assert_eq!(row["concrete_type"], "Mutex");
    assert_eq!(row["task"], waiter.id().to_string().parse::<u64>().unwrap());
    assert_eq!(row["parent"], Value::Null);
    assert_eq!(row["polls_total"], 1, "{row}");
    let resources = lens.rows("resources");
    let resource = resources.iter().find(|row| is_here(row, "place")).unwrap();
    assert_eq!(resource["id"], row["resource"]);
    assert_eq!(resource["operations_count"], 1);
    assert_eq!(resource["attributes"], json!({}), "tokio tells wrongly whether it is locked");
    drop(guard);
    RUNTIME.block_on(waiter).unwrap();
    wait_until(|| lens.named("operations", "name", "waits-for-a-lock").is_empty().then_some(()));
    drop(lock);
    wait_until(|| lens.rows("resources").iter().all(|row| !is_here(&row, "place")).then_some(()));
}

#[test]
fn permits_are_told_with_a_caution() {
    let line = line!() + 1;
    let semaphore = Arc::new(Semaphore::new(5));
    let permits = RUNTIME.block_on(async { semaphore.acquire_many(2).await.unwrap() });
    let place = format!("lens-tokio/tests/console_unstable.rs:{line}:");
    let rows = lens().rows("resources");
    let row = rows.iter().find(|row| row["place"].as_str().is_some_and(|text| text.starts_with(&place))).unwrap();
    assert_eq!(row["attributes"]["permits"], "3", "{row}");
    assert!(row["caution"].as_str().unwrap().contains("try_"), "{row}");
    drop(permits);
}

#[test]
fn block_on_has_no_scheduled_time_and_workers_are_internal() {
    let lens = lens();
    let rows = RUNTIME.block_on(async {
        tokio::task::yield_now().await;
        lens.call("tasks", json!({ "limit": 1_000_000, "internal": true })).unwrap()
    });
    let rows = rows.as_array().unwrap();
    let blocked_on: Vec<_> = rows.iter().filter(|row| row["kind"] == "block_on").collect();
    assert!(!blocked_on.is_empty());
    assert!(blocked_on.iter().all(|row| row["scheduled_ms"].is_null() && row["idle_ms"].is_null()), "{blocked_on:?}");
    let shown = lens.rows("tasks");
    let is_worker = |row: &&Value| row["kind"] == "blocking" && row["place"].as_str().unwrap().starts_with("tokio-1");
    assert!(rows.iter().filter(is_worker).count() >= 2, "{rows:?}");
    assert_eq!(shown.iter().filter(is_worker).count(), 0);
}

#[test]
fn every_kind_of_lock_and_channel_can_be_used() {
    // `console-subscriber` 0.5.0 aborts the process at the 33rd of tokio's callsites of a kind.
    RUNTIME.block_on(async {
        let lock = Arc::new(Mutex::new((1, 2)));
        drop(lock.lock().await);
        drop(lock.try_lock().unwrap());
        drop(Arc::clone(&lock).lock_owned().await);
        drop(Arc::clone(&lock).try_lock_owned().unwrap());
        drop(tokio::sync::MutexGuard::map(lock.lock().await, |pair| &mut pair.0));
        drop(tokio::sync::OwnedMutexGuard::map(Arc::clone(&lock).lock_owned().await, |pair| &mut pair.0));
        let lock = Arc::new(RwLock::new((1, 2)));
        drop(lock.read().await);
        drop(lock.try_read().unwrap());
        drop(lock.write().await);
        drop(lock.try_write().unwrap());
        drop(Arc::clone(&lock).read_owned().await);
        drop(Arc::clone(&lock).try_read_owned().unwrap());
        drop(Arc::clone(&lock).write_owned().await);
        drop(Arc::clone(&lock).try_write_owned().unwrap());
        drop(lock.write().await.downgrade());
        drop(Arc::clone(&lock).write_owned().await.downgrade());
        drop(tokio::sync::OwnedRwLockWriteGuard::downgrade_map(Arc::clone(&lock).write_owned().await, |pair| &pair.0));
        drop(tokio::sync::RwLockWriteGuard::downgrade_map(lock.write().await, |pair| &pair.0));
        drop(tokio::sync::RwLockWriteGuard::map(lock.write().await, |pair| &mut pair.0));
        drop(tokio::sync::OwnedRwLockWriteGuard::map(Arc::clone(&lock).write_owned().await, |pair| &mut pair.0));
        drop(RwLock::with_max_readers((), 3).write().await);
        let semaphore = Arc::new(Semaphore::new(4));
        drop(semaphore.acquire().await.unwrap());
        drop(semaphore.acquire_many(2).await.unwrap());
        drop(Arc::clone(&semaphore).acquire_owned().await.unwrap());
        drop(Arc::clone(&semaphore).acquire_many_owned(2).await.unwrap());
        drop(semaphore.try_acquire().unwrap());
        semaphore.add_permits(1);
        semaphore.close();
        let (sender, receiver) = oneshot::channel();
        sender.send(()).unwrap();
        receiver.await.unwrap();
        let (sender, mut receiver) = oneshot::channel::<()>();
        receiver.close();
        drop((sender, receiver));
        let (sender, mut receiver) = mpsc::channel(1);
        sender.send(()).await.unwrap();
        receiver.recv().await.unwrap();
        Barrier::new(1).wait().await;
        let mut sleep = Box::pin(tokio::time::sleep(Duration::from_millis(1)));
        sleep.as_mut().await;
        sleep.as_mut().reset(tokio::time::Instant::now());
        sleep.await;
        tokio::time::interval(Duration::from_millis(1)).tick().await;
        let _ = tokio::time::timeout(Duration::from_millis(1), pending::<()>()).await;
    });
    for function in FUNCTIONS {
        lens().call(function, json!({})).unwrap();
    }
}
