//! Where tasks wait, against the lines at which the tests made them wait. Needs tokio's hooks and its `taskdump`, so it is
//! empty without them.
#![cfg(all(tokio_unstable, feature = "trees", target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "tasks_unstable/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use std::future::pending;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use ask::{current_thread, try_ask, workers};
use serde_json::{Value, json};
use tokio::sync::{Barrier, Mutex, Notify, mpsc, oneshot};
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);

/// One question is asked at a time, as lens has it.
static TURN: StdMutex<()> = StdMutex::new(());

/// The rows about tasks whose place or name contains `site`, once `is_there` likes them: a task may not wait yet, and
/// reading line tables the first time may take longer than a question.
#[track_caller]
fn rows(site: &str, is_there: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let rows = try_ask("awaiting", &json!({"site": site})).unwrap().as_array().unwrap().clone();
        if is_there(&rows) {
            return rows;
        }
        assert!(Instant::now() < deadline, "{rows:#?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn has_trees(rows: &[Value]) -> bool {
    !rows.is_empty() && rows.iter().all(|row| !row["awaits"].as_array().unwrap().is_empty())
}

fn awaits(row: &Value) -> Vec<String> {
    row["awaits"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The end of a text about a line: `(lens-tokio/tests/trees_unstable.rs:41)`.
fn at(line: u32) -> String {
    format!("({}:{line})", file!())
}

async fn reserve() {
    tokio::time::sleep(HOUR).await;
}
const RESERVED: u32 = line!() - 2;

async fn order(depth: u32) {
    if depth > 0 {
        Box::pin(order(depth - 1)).await;
    } else {
        reserve().await;
    }
}
const DEEPER: u32 = line!() - 5;
const INNERMOST: u32 = line!() - 4;

#[test]
fn a_task_tells_the_line_at_which_it_waits_and_how_it_came_there() {
    let runtime = workers(2);
    let _entered = runtime.enter();
    let task = lens_tokio::spawn("trees/order", order(2));
    let rows = rows("trees/order", has_trees);
    let [row] = &rows[..] else { panic!("{rows:#?}") };
    assert_eq!((&row["count"], &row["state"], &row["name"]), (&1.into(), &"idle".into(), &"trees/order".into()));
    assert_eq!(row["tasks"], json!([task.id().to_string().parse::<u64>().unwrap()]));
    assert_eq!(row["future_bytes"], size_of_val(&order(2)));
    let place = format!("{}:{}:", file!(), line!() - 6);
    assert!(row["place"].as_str().unwrap().starts_with(&place), "{row}");
    let awaits = awaits(row);
    assert!(awaits.len() == 1 && awaits[0].ends_with(&at(RESERVED)), "{awaits:?}");
    let lines: Vec<_> = row["tree"].as_array().unwrap().iter().filter_map(|frame| frame["place"].as_str()).collect();
    let own: Vec<_> = lines.into_iter().filter(|place| place.starts_with(file!())).collect();
    let expected: Vec<_> = [DEEPER, DEEPER, INNERMOST, RESERVED].map(|line| format!("{}:{line}", file!())).into();
    assert_eq!(own, expected, "{row:#}");
    runtime.shutdown_background();
}

#[test]
fn tasks_that_wait_alike_are_one_row_with_their_count() {
    const MANY: usize = 300;
    let runtime = workers(2);
    let lock = Arc::new(Mutex::new(()));
    let guard = runtime.block_on(lock.lock());
    let _entered = runtime.enter();
    for _ in 0..MANY {
        let lock = Arc::clone(&lock);
        lens_tokio::spawn("alike/task", async move {
            drop(lock.lock().await);
        });
    }
    let locked = line!() - 3;
    lens_tokio::spawn("alike/other", reserve());
    let rows = rows("alike/", |rows| has_trees(rows) && rows[0]["count"] == MANY);
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert!(awaits(&rows[0])[0].ends_with(&at(locked)), "{rows:#?}");
    assert_eq!(rows[0]["tasks"].as_array().unwrap().len(), lens_tokio::tasks::MAX_NAMED);
    assert_eq!((&rows[1]["count"], awaits(&rows[1])[0].ends_with(&at(RESERVED))), (&1.into(), true));
    drop(guard);
    runtime.shutdown_background();
}

#[test]
fn every_branch_is_told() {
    let runtime = workers(2);
    let _entered = runtime.enter();
    let (_sender, mut receiver) = mpsc::channel::<()>(1);
    lens_tokio::spawn("branches", async move {
        tokio::select! {
            _ = async { receiver.recv().await } => {}
            () = reserve() => {}
        }
    });
    let received = line!() - 4;
    let rows = rows("branches", has_trees);
    let mut awaits = awaits(&rows[0]);
    // A select begins with any of its branches.
    awaits.sort_by_key(|text| text.ends_with(&at(RESERVED)));
    assert!(
        awaits.len() == 2 && awaits[0].ends_with(&at(received)) && awaits[1].ends_with(&at(RESERVED)),
        "{awaits:?}"
    );
    runtime.shutdown_background();
}

/// Blocks its thread until it may go on.
fn block(until: &std::sync::mpsc::Receiver<()>) {
    let _ = until.recv();
}
const BLOCKED: u32 = line!() - 2;

#[test]
fn a_task_that_runs_has_its_threads_stack_and_the_others_answer() {
    let runtime = workers(2);
    let _entered = runtime.enter();
    let (go_on, until) = std::sync::mpsc::channel();
    let idle = lens_tokio::spawn("beside/idle", reserve());
    lens_tokio::spawn("beside/blocked", async move { block(&until) });
    let rows = rows("beside/", |rows| has_trees(rows) && rows.iter().any(|row| row["state"] == "running"));
    let of = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    let place = format!("{}:{BLOCKED}", file!());
    let blocked = of("beside/blocked");
    assert!(blocked["tree"].as_array().unwrap().iter().any(|frame| frame["place"] == place), "{blocked:#}");
    assert_eq!(blocked["idle_ms"], Value::Null);
    assert_eq!(of("beside/idle")["state"], "idle");
    assert!(awaits(of("beside/idle"))[0].ends_with(&at(RESERVED)));
    drop(go_on);
    idle.abort();
    runtime.shutdown_background();
}

#[test]
fn while_no_worker_is_free_the_others_are_silent_and_go_on_afterwards() {
    let runtime = current_thread();
    let (go_on, until) = std::sync::mpsc::channel();
    let (done, is_done) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            let gate = Arc::new(Notify::new());
            let own = Arc::clone(&gate);
            let silent = lens_tokio::spawn("stuck/silent", async move { own.notified().await });
            tokio::task::yield_now().await;
            lens_tokio::spawn("stuck/blocked", async move { block(&until) }).await.unwrap();
            gate.notify_one();
            silent.await.unwrap();
            done.send(()).unwrap();
        });
    });
    let is_blocked = |rows: &[Value]| rows.iter().any(|row| row["state"] == "running");
    let rows = rows("stuck/", is_blocked);
    let silent = rows.iter().find(|row| row["name"] == "stuck/silent").unwrap();
    assert!(silent["note"].as_str().unwrap().starts_with("it did not answer within 250ms"), "{silent}");
    drop(go_on);
    is_done.recv_timeout(Duration::from_secs(60)).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_task_of_tokios_own_spawn_says_how_to_see_it() {
    let runtime = workers(1);
    let _entered = runtime.enter();
    let task = tokio::spawn(reserve());
    let place = format!("{}:{}:", file!(), line!() - 1);
    let polled = |rows: &[Value]| rows.iter().all(|row| !row["note"].as_str().unwrap().contains("not polled yet"));
    let rows = rows(&place, polled);
    assert_eq!(rows[0]["tasks"], json!([task.id().to_string().parse::<u64>().unwrap()]));
    assert!(rows[0]["note"].as_str().unwrap().contains("lens::spawn(name, future)"), "{rows:#?}");
    assert_eq!(rows[0]["tree"], json!([]));
    runtime.shutdown_background();
}

#[test]
fn one_task_is_asked_by_its_id_and_the_others_are_left_alone() {
    let runtime = workers(1);
    let _entered = runtime.enter();
    let polls = Arc::new(AtomicU32::new(0));
    let own = Arc::clone(&polls);
    let other = lens_tokio::spawn("by_id/other", async move {
        std::future::poll_fn(move |_| {
            own.fetch_add(1, Ordering::Relaxed);
            std::task::Poll::<()>::Pending
        })
        .await;
    });
    let task = lens_tokio::spawn("by_id/task", reserve());
    let id: u64 = task.id().to_string().parse().unwrap();
    rows("by_id/task", has_trees);
    let before = polls.load(Ordering::Relaxed);
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = try_ask("awaiting", &json!({"id": id})).unwrap();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["tasks"]), (1, &json!([id])));
    assert_eq!(polls.load(Ordering::Relaxed), before);
    // What is none of tokio's is polled, and cannot be told.
    let other = other.id().to_string().parse::<u64>().unwrap();
    let rows = try_ask("awaiting", &json!({"id": other})).unwrap();
    assert!(rows[0]["note"].as_str().unwrap().contains("none of tokio's own"), "{rows}");
    assert_eq!(polls.load(Ordering::Relaxed), before + 2);
    runtime.shutdown_background();
}

#[test]
fn being_asked_all_the_time_changes_nothing_of_what_tasks_do() {
    const TASKS: usize = 40;
    const ROUNDS: u32 = 200;
    let runtime = workers(2);
    let sum = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Is there to answer, however fast the others are.
    let last = lens_tokio::task::named("busy/last").spawn_on(reserve(), runtime.handle());
    let asker = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            let mut told = 0;
            while told == 0 || !is_over.load(Ordering::Relaxed) {
                let rows = try_ask("awaiting", &json!({"site": "busy/"})).unwrap();
                // Whose functions are not found yet has answered as well.
                let has_answered = |row: &&Value| {
                    row["tree"] != json!([]) || row["note"].as_str().unwrap().contains("functions were not found")
                };
                told += rows.as_array().unwrap().iter().filter(has_answered).count();
            }
            told
        }
    });
    runtime.block_on(async {
        let (mutex, barrier) = (Arc::new(Mutex::new(0_usize)), Arc::new(Barrier::new(TASKS)));
        let mut set = JoinSet::new();
        for index in 0..TASKS {
            let (mutex, barrier, sum) = (Arc::clone(&mutex), Arc::clone(&barrier), Arc::clone(&sum));
            let work = async move {
                for round in 0..ROUNDS {
                    *mutex.lock().await += 1;
                    let (sender, receiver) = oneshot::channel();
                    tokio::spawn(async move {
                        tokio::task::yield_now().await;
                        sender.send(1_usize).unwrap();
                    });
                    let one = receiver.await.unwrap();
                    sum.fetch_add(one, Ordering::Relaxed);
                    if round % 50 == 0 {
                        barrier.wait().await;
                        tokio::time::timeout(Duration::from_millis(1), pending::<()>()).await.unwrap_err();
                    }
                }
                index
            };
            lens_tokio::task::named("busy/worker").spawn_in(work, &mut set);
        }
        let mut done: Vec<_> = set.join_all().await;
        done.sort_unstable();
        assert_eq!(done, (0..TASKS).collect::<Vec<_>>());
        assert_eq!(*mutex.lock().await, TASKS * ROUNDS as usize);
    });
    is_over.store(true, Ordering::Relaxed);
    assert!(asker.join().unwrap() > 0, "somebody answered");
    last.abort();
    assert_eq!(sum.load(Ordering::Relaxed), TASKS * ROUNDS as usize);
}

#[test]
fn a_task_that_ended_or_was_aborted_is_dropped_with_all_that_it_had() {
    let runtime = workers(2);
    let _entered = runtime.enter();
    let kept = Arc::new(());
    let spawn = |ends: bool| {
        let kept = Arc::clone(&kept);
        lens_tokio::spawn("dropped/task", async move {
            if !ends {
                pending::<()>().await;
            }
            drop(kept);
        })
    };
    let tasks: Vec<_> = (0..100).map(|index| spawn(index % 2 == 0)).collect();
    rows("dropped/", |rows| rows.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>() == 50);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    rows("dropped/", <[Value]>::is_empty);
    let deadline = Instant::now() + Duration::from_secs(60);
    while Arc::strong_count(&kept) > 1 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[test]
fn groups_are_what_names_begin_with() {
    let runtime = workers(1);
    let _entered = runtime.enter();
    for _ in 0..3 {
        lens_tokio::spawn("shop/cart/reader", pending::<()>());
    }
    let done = lens_tokio::task::named("shop/cart/writer").spawn_on(async {}, runtime.handle());
    runtime.block_on(done).unwrap();
    let mut row = Value::Null;
    // tokio tells of a task's end after its handle is ready.
    ask::wait_until("one has ended", || {
        let rows = ask::ask("groups", &json!({}));
        row = rows.as_array().unwrap().iter().find(|row| row["group"] == "shop/cart").unwrap().clone();
        row["finished_total"] == 1
    });
    assert_eq!(row["names"], json!(["shop/cart/reader", "shop/cart/writer"]));
    assert_eq!((&row["live"], &row["spawned_total"], &row["finished_total"]), (&3.into(), &4.into(), &1.into()));
    let list = ask::ask("list", &json!({"site": "shop/cart/reader"}));
    let names: Vec<_> = list.as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["shop/cart/reader"; 3]);
    runtime.shutdown_background();
}

#[test]
fn a_saved_capture_answers_what_it_was_asked() {
    use lens_core::{Arguments, CallError, Capture, Recorder};

    let runtime = workers(1);
    let _entered = runtime.enter();
    lens_tokio::spawn("saved/task", reserve());
    rows("saved/task", has_trees);
    let registry = Arc::new(ask::registry());
    let live = Capture::live(&registry, &Arc::new(Recorder::new()));
    let ask = |capture: &Capture, site: &str| {
        let site = Arguments::named(vec![("site".to_owned(), site.into())]);
        capture.call("tasks", "awaiting", site).map(|answer| answer.to_json())
    };
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = ask(&live, "saved/task").unwrap();
    drop(turn);
    let mut file = Vec::new();
    live.save(&mut file).unwrap();
    let saved = Capture::open(&registry, &*file).unwrap();
    assert_eq!(ask(&saved, "saved/task").unwrap(), answer);
    assert!(matches!(ask(&saved, "other"), Err(CallError::Unavailable { .. })));
    runtime.shutdown_background();
}
