//! Locks, deadlocks and convoys in a runtime with several workers. It owns the process: worker threads only see a global
//! subscriber. Each test tells its own locks by their places.
#![cfg(all(tokio_unstable, feature = "waits"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "waits/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ask::{Lens, wait_until};
use lens_tokio::{Waits, waits_layer};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::{Barrier, Mutex, Notify, RwLock, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing_subscriber::layer::SubscriberExt;

/// The start of every source place in the line of this macro's call.
macro_rules! place {
    () => {
        format!("{}:{}:", file!(), line!())
    };
}

static INSTALLED: LazyLock<()> = LazyLock::new(|| {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(waits_layer())).unwrap();
});

/// The skill, and a runtime that it sees.
fn start() -> (Lens, Runtime) {
    LazyLock::force(&INSTALLED);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    (Lens::of(Waits::global()), runtime)
}

fn id<T>(task: &JoinHandle<T>) -> u64 {
    task.id().to_string().parse().unwrap()
}

/// The deadlock in which a task is.
fn deadlock_of(lens: &Lens, task: u64) -> Value {
    wait_until(|| {
        let rows = lens.call("deadlocks").unwrap();
        rows.into_iter().find(|row| row["members"].as_array().unwrap().iter().any(|member| member["task"] == task))
    })
}

/// A deadlock's members as (task, spawn place, place of what it waits for), by task.
fn members(deadlock: &Value) -> Vec<(u64, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let member = |row: &Value| (row["task"].as_u64().unwrap(), text(&row["place"]), text(&row["resource_place"]));
    let mut members: Vec<_> = deadlock["members"].as_array().unwrap().iter().map(member).collect();
    members.sort();
    members
}

/// Locks one, meets the others, and locks the other.
async fn lock_both(first: Arc<Mutex<()>>, second: Arc<Mutex<()>>, meet: Arc<Barrier>) {
    let _first = first.lock().await;
    meet.wait().await;
    let _second = second.lock().await;
}

#[test]
fn two_locks_in_two_orders_are_a_deadlock_with_tasks_and_places() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let meet = Arc::new(Barrier::new(2));
    let (one, one_place) = (Arc::new(Mutex::new(())), place!());
    let (two, two_place) = (Arc::new(Mutex::new(())), place!());
    let first = lock_both(Arc::clone(&one), Arc::clone(&two), Arc::clone(&meet));
    let (first, first_place) = (tokio::spawn(first), place!());
    let second = lock_both(Arc::clone(&two), Arc::clone(&one), meet);
    let (second, second_place) = (tokio::spawn(second), place!());

    let deadlock = deadlock_of(&lens, id(&first));
    let column = |line: &str, column| format!("{line}{column}");
    let expected_first = (id(&first), column(&first_place, 33), column(&two_place, 38));
    let expected_second = (id(&second), column(&second_place, 35), column(&one_place, 38));
    assert_eq!(members(&deadlock), [expected_first, expected_second]);
    assert_eq!(deadlock["is_suspected"], false, "{deadlock}");
    assert_eq!(deadlock["behind_count"], 0);
    let summary = deadlock["summary"].as_str().unwrap();
    let sentence = format!("task {} ({second_place}35) waits for the mutex of {one_place}38", id(&second));
    assert!(summary.contains(&sentence), "{summary}");

    // Who comes later is behind it, and not in it.
    let behind = tokio::spawn(async move { drop(one.lock().await) });
    wait_until(|| (deadlock_of(&lens, id(&first))["behind_count"] == 1).then_some(()));
    assert_eq!(members(&deadlock_of(&lens, id(&first))).len(), 2);

    // An aborted member ends it, and the others go on.
    first.abort();
    runtime.block_on(async { (second.await.unwrap(), behind.await.unwrap()) });
    assert!(lens.rows("graph", &one_place).is_empty());
}

#[test]
fn three_in_a_ring_are_one_deadlock() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let meet = Arc::new(Barrier::new(3));
    let locks: Vec<_> = (0..3).map(|_| Arc::new(Mutex::new(()))).collect();
    let place = format!("{}:{}:", file!(), line!() - 1);
    let spawn = |index: usize| {
        let (own, next) = (Arc::clone(&locks[index]), Arc::clone(&locks[(index + 1) % 3]));
        tokio::spawn(lock_both(own, next, Arc::clone(&meet)))
    };
    let spawn_place = format!("{}:{}:9", file!(), line!() - 2);
    let tasks = [spawn(0), spawn(1), spawn(2)];

    let deadlock = deadlock_of(&lens, id(&tasks[0]));
    let mut ids: Vec<_> = tasks.iter().map(id).collect();
    ids.sort_unstable();
    assert_eq!(members(&deadlock).iter().map(|member| member.0).collect::<Vec<_>>(), ids);
    // Each is followed by the one that it waits for.
    let order: Vec<_> =
        deadlock["members"].as_array().unwrap().iter().map(|row| row["task"].as_u64().unwrap()).collect();
    for (at, member) in deadlock["members"].as_array().unwrap().iter().enumerate() {
        let blocker = format!("task {} ", order[(at + 1) % 3]);
        assert!(member["blocked_by"][0].as_str().unwrap().starts_with(&blocker), "{deadlock}");
        assert!(member["resource_place"].as_str().unwrap().starts_with(&place), "{deadlock}");
        assert_eq!(member["place"], spawn_place, "{deadlock}");
    }
    // The locks share a place, and are told apart by their numbers.
    let mut numbers: Vec<_> =
        deadlock["members"].as_array().unwrap().iter().map(|row| row["resource"].as_u64()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 3);
    runtime.shutdown_background();
}

#[test]
fn readers_that_want_to_write_are_a_deadlock() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (lock, lock_place) = (Arc::new(RwLock::new(())), place!());
    let meet = Arc::new(Barrier::new(2));
    let upgrade = |lock: Arc<RwLock<()>>, meet: Arc<Barrier>| async move {
        let _reader = lock.read().await;
        meet.wait().await;
        let _writer = lock.write().await;
    };
    let (one, one_place) = (tokio::spawn(upgrade(Arc::clone(&lock), Arc::clone(&meet))), place!());
    let (other, other_place) = (tokio::spawn(upgrade(lock, meet)), place!());

    let both_wait = || (lens.rows("longest", &lock_place).len() == 2).then_some(());
    wait_until(both_wait);
    let deadlock = deadlock_of(&lens, id(&one));
    let members = members(&deadlock);
    assert_eq!(members.iter().map(|member| member.0).collect::<Vec<_>>(), [id(&one), id(&other)]);
    assert!(members.iter().all(|member| member.2.starts_with(&lock_place)), "{deadlock}");
    for (member, place) in members.iter().zip([one_place, other_place]) {
        assert!(member.1.starts_with(&place), "{deadlock}");
    }
    assert_eq!(deadlock["is_suspected"], false);
    runtime.shutdown_background();
}

#[test]
fn a_second_read_behind_a_writer_is_a_deadlock() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (lock, lock_place) = (Arc::new(RwLock::new(())), place!());
    let go_on = Arc::new(Notify::new());
    let (lock_, go_on_) = (Arc::clone(&lock), Arc::clone(&go_on));
    let reader = tokio::spawn(async move {
        let _first = lock_.read().await;
        go_on_.notified().await;
        let _second = lock_.read().await;
    });
    lens.wait_for_rows(1, "holders", &lock_place);
    let writer = tokio::spawn(async move { drop(lock.write().await) });
    lens.wait_for_rows(1, "longest", &lock_place);
    assert!(lens.call("deadlocks").unwrap().iter().all(|row| !row.to_string().contains(&lock_place)));
    go_on.notify_one();

    let tasks: Vec<_> = members(&deadlock_of(&lens, id(&reader))).into_iter().map(|member| member.0).collect();
    let mut expected = [id(&reader), id(&writer)];
    expected.sort_unstable();
    assert_eq!(tasks, expected);
    runtime.shutdown_background();
}

#[test]
fn a_semaphore_that_waits_for_itself_is_found_with_what_it_assumes() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (semaphore, semaphore_place) = (Arc::new(Semaphore::new(3)), place!());
    let task = async move {
        let _two = semaphore.acquire_many(2).await.unwrap();
        let _more = semaphore.acquire_many(2).await.unwrap();
    };
    let (task, task_place) = (tokio::spawn(task), place!());

    let deadlock = deadlock_of(&lens, id(&task));
    let members = members(&deadlock);
    assert_eq!((members.len(), members[0].0), (1, id(&task)));
    assert!(members[0].1.starts_with(&task_place) && members[0].2.starts_with(&semaphore_place), "{deadlock}");
    assert_eq!(deadlock["is_suspected"], true);
    assert!(deadlock["assumes"][0].as_str().unwrap().contains("nobody adds permits"), "{deadlock}");
    runtime.shutdown_background();
}

#[test]
fn permits_that_others_hold_and_can_release_are_no_deadlock() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (semaphore, place) = (Arc::new(Semaphore::new(2)), place!());
    let go_on = Arc::new(Notify::new());
    let (semaphore_, go_on_) = (Arc::clone(&semaphore), Arc::clone(&go_on));
    let other = tokio::spawn(async move {
        let _one = semaphore_.acquire().await.unwrap();
        go_on_.notified().await;
    });
    lens.wait_for_rows(1, "holders", &place);
    let task = tokio::spawn(async move {
        let _one = semaphore.acquire().await.unwrap();
        let _other = semaphore.acquire().await.unwrap();
    });
    let edges = lens.wait_for_rows(2, "graph", &place);
    let mut holders: Vec<_> = edges.iter().map(|edge| edge["holder_task"].as_u64().unwrap()).collect();
    holders.sort_unstable();
    assert_eq!(holders, [id(&other), id(&task)]);
    assert!(lens.call("deadlocks").unwrap().iter().all(|row| !row.to_string().contains(&place)));
    go_on.notify_one();
    runtime.block_on(async { (other.await.unwrap(), task.await.unwrap()) });
}

#[test]
fn permits_moved_into_other_tasks_are_no_deadlock_once_one_came_back() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (semaphore, place) = (Arc::new(Semaphore::new(2)), place!());
    // As servers limit their connections: acquired here, released there.
    let (done, mut ends) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
    let acceptor = tokio::spawn(async move {
        loop {
            let permit = Arc::clone(&semaphore).acquire_owned().await.unwrap();
            let (end, ended) = oneshot::channel();
            done.send(end).unwrap();
            tokio::spawn(async move {
                let _ = ended.await;
                drop(permit);
            });
        }
    });
    let first = runtime.block_on(ends.recv()).unwrap();
    let waits = || lens.rows("longest", &place);
    wait_until(|| (waits().len() == 1).then_some(()));
    first.send(()).unwrap();
    let held = runtime.block_on(async { (ends.recv().await.unwrap(), ends.recv().await.unwrap()) });
    wait_until(|| waits().first().is_some_and(|row| !row["note"].is_null()).then_some(()));
    assert!(lens.call("deadlocks").unwrap().iter().all(|row| !row.to_string().contains(&place)));
    drop((held, acceptor));
    runtime.shutdown_background();
}

#[test]
fn a_convoy_is_no_deadlock_and_its_holder_is_named() {
    const WAITERS: usize = 50;
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (lock, lock_place) = (Arc::new(Mutex::new(0_usize)), place!());
    let go_on = Arc::new(Notify::new());
    let (lock_, go_on_) = (Arc::clone(&lock), Arc::clone(&go_on));
    let (holder, holder_place) = (
        tokio::spawn(async move {
            let _guard = lock_.lock().await;
            go_on_.notified().await;
        }),
        format!("{}:{}:", file!(), line!() - 4),
    );
    lens.wait_for_rows(1, "holders", &lock_place);
    let waiters: Vec<_> = (0..WAITERS)
        .map(|_| {
            let lock = Arc::clone(&lock);
            tokio::spawn(async move { *lock.lock().await += 1 })
        })
        .collect();

    for edge in lens.wait_for_rows(WAITERS, "graph", &lock_place) {
        assert_eq!(edge["holder_task"], id(&holder));
        assert!(edge["holder_place"].as_str().unwrap().starts_with(&holder_place), "{edge}");
        assert_eq!(edge["operation"], "lock");
        assert!(edge["held_ms"].as_f64().unwrap() >= edge["waited_ms"].as_f64().unwrap(), "{edge}");
    }
    let holds = lens.rows("holders", &lock_place);
    assert_eq!((holds.len(), &holds[0]["waiting_count"]), (1, &WAITERS.into()));
    let sites = lens.rows("resources", &lock_place);
    assert_eq!(sites[0]["contended_total"], WAITERS);
    assert_eq!(sites[0]["acquired_total"], 1);
    assert!(lens.call("deadlocks").unwrap().iter().all(|row| !row.to_string().contains(&lock_place)));

    go_on.notify_one();
    runtime.block_on(async {
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(*lock.lock().await, WAITERS);
    });
    assert!(lens.rows("graph", &lock_place).is_empty());
    let sites = lens.rows("resources", &lock_place);
    assert_eq!(sites[0]["acquired_total"], WAITERS + 2);
    assert!(sites[0]["mean_wait_ms"].as_f64().unwrap() > 0.0, "{sites:?}");
}

#[test]
fn under_contention_no_deadlock_is_claimed_and_nothing_is_left_over() {
    const LOCKS: usize = 4;
    const TASKS: usize = 16;
    const ROUNDS: usize = 3_000;
    let (lens, runtime) = start();
    let locks: Arc<Vec<_>> = Arc::new((0..LOCKS).map(|_| Mutex::new(0_usize)).collect());
    let place = format!("{}:{}:", file!(), line!() - 1);
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (is_over, place) = (Arc::clone(&is_over), place.clone());
        let lens = Lens::of(Waits::global());
        move || {
            let mut readings = 0;
            while !is_over.load(Ordering::Relaxed) {
                let holds = lens.rows("holders", &place);
                let mut numbers: Vec<_> = holds.iter().map(|row| row["resource"].as_u64()).collect();
                numbers.sort_unstable();
                numbers.dedup();
                assert_eq!(numbers.len(), holds.len(), "a mutex has one holder: {holds:?}");
                let deadlocks = lens.call("deadlocks").unwrap();
                assert!(deadlocks.iter().all(|row| !row.to_string().contains(&place)), "{deadlocks:?}");
                readings += 1;
            }
            readings
        }
    });
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|seed| {
                let locks = Arc::clone(&locks);
                tokio::spawn(async move {
                    let mut at = seed;
                    for _ in 0..ROUNDS {
                        // In one order, so that there is no deadlock; some are given up, some only tried.
                        at = at.wrapping_mul(25).wrapping_add(13) % 997;
                        let first = at % (LOCKS - 1);
                        let mut one = locks[first].lock().await;
                        *one += 1;
                        if at % 3 == 0 {
                            drop(tokio::time::timeout(Duration::from_micros(10), locks[first + 1].lock()).await);
                        } else if at % 3 == 1 {
                            drop(locks[first + 1].try_lock());
                        } else {
                            tokio::task::yield_now().await;
                            drop(locks[first + 1].lock().await);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    is_over.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 0);
    let sum: usize = runtime.block_on(async { locks.iter().map(|lock| *lock.try_lock().unwrap()).sum() });
    assert_eq!(sum, TASKS * ROUNDS);
    assert!(lens.rows("holders", &place).is_empty());
    assert!(lens.rows("longest", &place).is_empty());
}

#[test]
fn a_wait_that_was_given_up_is_gone_and_the_next_begins_anew() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (lock, lock_place) = (Arc::new(Mutex::new(())), place!());
    let guard = runtime.block_on(lock.lock());
    let go_on = Arc::new(Notify::new());
    let task = tokio::spawn({
        let (lock, go_on) = (Arc::clone(&lock), Arc::clone(&go_on));
        async move {
            tokio::select! {
                _ = lock.lock() => unreachable!("it is held"),
                () = go_on.notified() => {}
            }
            go_on.notified().await;
            let given_up = tokio::time::timeout(Duration::from_millis(1), lock.lock()).await;
            given_up.expect_err("it is held");
            go_on.notified().await;
            drop(lock.lock().await);
        }
    });
    let first = lens.wait_for_rows(1, "longest", &lock_place);
    assert_eq!(first[0]["task"], id(&task));
    go_on.notify_one();
    lens.wait_for_rows(0, "longest", &lock_place);
    go_on.notify_one();
    let contended = || lens.rows("resources", &lock_place)[0]["contended_total"].as_u64();
    wait_until(|| (contended() == Some(2)).then_some(()));
    lens.wait_for_rows(0, "longest", &lock_place);
    let before_third = std::time::Instant::now();
    go_on.notify_one();
    let third = lens.wait_for_rows(1, "longest", &lock_place);
    let waited = third[0]["waited_ms"].as_f64().unwrap();
    assert!(waited <= before_third.elapsed().as_secs_f64() * 1e3, "{third:?}");
    drop(guard);
    runtime.block_on(task).unwrap();
}

#[test]
fn what_an_aborted_task_held_and_waited_for_is_released() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (lock, lock_place) = (Arc::new(Mutex::new(())), place!());
    let hold = |lock: Arc<Mutex<()>>| async move {
        let _guard = lock.lock().await;
        std::future::pending::<()>().await;
    };
    let holder = tokio::spawn(hold(Arc::clone(&lock)));
    lens.wait_for_rows(1, "holders", &lock_place);
    let waiter = tokio::spawn(hold(Arc::clone(&lock)));
    lens.wait_for_rows(1, "longest", &lock_place);
    let next = tokio::spawn(hold(lock));
    lens.wait_for_rows(2, "longest", &lock_place);

    waiter.abort();
    let rows = lens.wait_for_rows(1, "longest", &lock_place);
    assert_eq!(rows[0]["task"], id(&next));
    holder.abort();
    let is_next = |row: &Value| row["task"] == id(&next);
    wait_until(|| lens.rows("holders", &lock_place).first().is_some_and(is_next).then_some(()));
    next.abort();
    lens.wait_for_rows(0, "holders", &lock_place);
}

#[test]
fn whoever_tried_and_got_the_lock_holds_it() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (lock, lock_place) = (Arc::new(Mutex::new(())), place!());
    let go_on = Arc::new(Notify::new());
    let (lock_, go_on_) = (Arc::clone(&lock), Arc::clone(&go_on));
    let task = tokio::spawn(async move {
        let _guard = lock_.try_lock().unwrap();
        lock_.try_lock().expect_err("it is held");
        go_on_.notified().await;
    });
    let holds = lens.wait_for_rows(1, "holders", &lock_place);
    assert_eq!((&holds[0]["task"], &holds[0]["count"]), (&id(&task).into(), &1.into()));
    lock.try_lock().expect_err("it is held");
    assert_eq!(lens.rows("holders", &lock_place).len(), 1);
    go_on.notify_one();
    runtime.block_on(task).unwrap();
    assert!(lens.rows("holders", &lock_place).is_empty());
}

#[test]
fn a_guard_moved_to_another_task_makes_a_suspicion_only() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (lock, lock_place) = (Arc::new(Mutex::new(())), place!());
    let go_on = Arc::new(Notify::new());
    let task = tokio::spawn({
        let go_on = Arc::clone(&go_on);
        async move {
            let guard = Arc::clone(&lock).lock_owned().await;
            // Nothing tells that the guard leaves.
            let elsewhere = tokio::spawn(async move {
                go_on.notified().await;
                drop(guard);
            });
            drop(lock.lock().await);
            elsewhere.await.unwrap();
        }
    });
    lens.wait_for_rows(1, "longest", &lock_place);
    let deadlock = deadlock_of(&lens, id(&task));
    assert_eq!(deadlock["is_suspected"], true);
    assert!(deadlock["assumes"][0].as_str().unwrap().contains("owned guards"), "{deadlock}");
    go_on.notify_one();
    runtime.block_on(task).unwrap();
}

#[test]
fn threads_outside_of_tasks_wait_and_hold_by_name() {
    let (lens, runtime) = start();
    let (lock, lock_place) = (Arc::new(Mutex::new(())), place!());
    let guard = runtime.block_on(lock.lock());
    let waiter = std::thread::Builder::new().name("till".into()).spawn({
        let lock = Arc::clone(&lock);
        move || drop(lock.blocking_lock())
    });
    let edges = lens.wait_for_rows(1, "graph", &lock_place);
    assert_eq!(edges[0]["waiter_task"], Value::Null);
    assert_eq!(edges[0]["waiter_thread"], "till");
    assert_eq!(edges[0]["holder_thread"], std::thread::current().name().unwrap());
    drop(guard);
    waiter.unwrap().join().unwrap();
}

#[test]
fn channels_oneshots_barriers_and_timers_are_waited_for() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (sender, mut receiver) = mpsc::channel::<u8>(1);
    let (_kept, once) = oneshot::channel::<u8>();
    let once_place = format!("{}:{}:", file!(), line!() - 1);
    let (barrier, barrier_place) = (Barrier::new(2), place!());
    let pause = Duration::from_secs(3600);

    let taker = tokio::spawn(async move {
        receiver.recv().await;
        receiver.recv().await;
        std::future::pending::<()>().await;
    });
    let send = tokio::spawn(async move {
        for value in 0..9 {
            sender.send(value).await.unwrap();
        }
    });
    let receive = tokio::spawn(async move { once.await.unwrap() });
    let arrive = tokio::spawn(async move { barrier.wait().await.is_leader() });
    let sleep = tokio::spawn(async move { tokio::time::sleep(pause).await });
    let sleep_place = format!("{}:{}:", file!(), line!() - 1);
    let tick =
        tokio::spawn(async move { tokio::time::interval_at(tokio::time::Instant::now() + pause, pause).tick().await });

    let find = |task: u64| {
        wait_until(|| {
            let answer = lens.capture().call("waits", "longest", timers()).unwrap().to_json();
            let rows = answer.as_array().unwrap().clone();
            rows.into_iter().find(|row| row["task"] == task)
        })
    };
    let row = wait_until(|| {
        let row = find(id(&send));
        (row["held_by"].as_array().unwrap().len() == 1).then_some(row)
    });
    assert_eq!((&row["operation"], &row["kind"]), (&"send".into(), &"channel".into()));
    let taken_by = format!("task {} ", id(&taker));
    assert!(row["held_by"][0].as_str().unwrap().starts_with(&taken_by), "{row}");
    let is_at = |row: &Value, field: &str, place: &str| row[field].as_str().unwrap().starts_with(place);
    let row = find(id(&receive));
    assert!(row["operation"] == "receive" && is_at(&row, "resource_place", &once_place), "{row}");
    let row = find(id(&arrive));
    assert!(row["operation"] == "arrive" && is_at(&row, "resource_place", &barrier_place), "{row}");
    let row = find(id(&sleep));
    assert!(row["kind"] == "sleep" && is_at(&row, "place", &sleep_place), "{row}");
    assert!(is_at(&row, "resource_place", &sleep_place), "{row}");
    assert_eq!(find(id(&tick))["kind"], "interval");
    // Waits for time are left out unless they are asked for.
    let kinds = lens.call("longest").unwrap();
    assert!(kinds.iter().all(|row| row["kind"] != "sleep" && row["kind"] != "interval"), "{kinds:?}");
    runtime.shutdown_background();
}

fn timers() -> lens_core::Arguments {
    lens_core::Arguments::named(vec![("timers".to_owned(), true.into()), ("limit".to_owned(), 1000.into())])
}

#[test]
fn a_deadlock_through_a_full_channel_is_a_suspicion() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let (lock, lock_place) = (Arc::new(Mutex::new(())), place!());
    let (sender, mut receiver) = mpsc::channel::<u8>(1);
    let taker = tokio::spawn({
        let lock = Arc::clone(&lock);
        async move {
            receiver.recv().await;
            drop(lock.lock().await);
            receiver.recv().await;
        }
    });
    let giver = tokio::spawn(async move {
        let _guard = lock.lock().await;
        for value in 0..4 {
            sender.send(value).await.unwrap();
        }
    });
    let deadlock = deadlock_of(&lens, id(&taker));
    let mut expected = [id(&taker), id(&giver)];
    expected.sort_unstable();
    let mut found: Vec<_> =
        deadlock["members"].as_array().unwrap().iter().map(|member| member["task"].as_u64().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(deadlock["is_suspected"], true);
    assert!(deadlock["summary"].as_str().unwrap().contains(&lock_place), "{deadlock}");
    runtime.shutdown_background();
}

#[test]
fn metrics_count_waiting_tasks_and_deadlocks() {
    let (lens, runtime) = start();
    let _entered = runtime.enter();
    let lock = Mutex::new(());
    let task = tokio::spawn(async move {
        let _guard = lock.lock().await;
        let _again = lock.lock().await;
    });
    deadlock_of(&lens, id(&task));
    let recorder = Arc::new(lens_core::Recorder::new());
    let skill = lens_tokio::WaitsSkill::new(Waits::global());
    let mut builder = lens_core::RegistryBuilder::new();
    builder.skill(skill).unwrap();
    let registry = Arc::new(builder.build());
    let latest = |name: &str| {
        let metrics = registry.get("waits").unwrap().metrics(lens_core::Metrics::default()).unwrap();
        let now = std::time::Instant::now();
        recorder.record("waits", now, &metrics);
        let capture = lens_core::Capture::live(&registry, &recorder);
        capture.series(&format!("waits.{name}"), lens_core::Span::seconds(60)).unwrap().last()
    };
    wait_until(|| (latest("deadlocks") >= 1.0).then_some(()));
    assert!(latest("waiting_tasks") >= 1.0);
    assert!(latest("longest_wait_ms") >= 1000.0);
    runtime.shutdown_background();
}
