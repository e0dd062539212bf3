//! Stalls against what the tests blocked. Needs tokio's hooks, so it is empty without them. Slots are the process's, so
//! every test looks only at its own spawn places.
#![cfg(all(tokio_unstable, target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "stalls/ask.rs"]
mod ask;
#[path = "stalls/block.rs"]
mod block;
#[path = "stalls/undriven.rs"]
mod undriven;

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::Write;
use std::panic::Location;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lens_core::Timestamp;
use lens_tokio::builder::{Builder, Runtime};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use ask::{Watched, frame, until};
use block::LONG;

fn workers(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap()
}

/// The place of the line of the caller, `offset` lines further, without the column.
#[track_caller]
fn line(offset: u32) -> String {
    let here = Location::caller();
    format!("{}:{}", here.file(), here.line() + offset)
}

fn is_at<'a>(field: &'a str, place: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |row| row[field].as_str().is_some_and(|at| at == place || at.starts_with(&format!("{place}:")))
}

/// A stall that was seen while it lasted, and what was kept of it.
struct Seen {
    during: Value,
    after: Value,
}

/// Watches what `task` does, which was spawned at `place`, until it has ended; `let_go` ends it.
#[track_caller]
fn watch(watched: &Watched, place: &str, let_go: impl FnOnce()) -> Seen {
    let began = Instant::now();
    let during = watched.now(is_at("spawn_place", place));
    std::thread::sleep(LONG.saturating_sub(began.elapsed()));
    let_go();
    let mut after = watched.ended(is_at("spawn_place", place));
    assert_eq!(after.len(), 1, "{after:#?}");
    Seen { during, after: after.remove(0) }
}

impl Seen {
    #[track_caller]
    fn check(&self, function: &str, waits_in: Option<&str>) {
        let Self { during, after } = self;
        assert_eq!((&during["is_over"], &after["is_over"]), (&json!(false), &json!(true)));
        for row in [during, after] {
            assert_eq!(row["kind"], "poll");
            assert_eq!(row["is_first_poll"], true, "{row:#}");
            assert!(row["task_id"].is_u64(), "{row:#}");
            assert!(row["worker"].is_u64(), "{row:#}");
            assert_eq!(row["thread"], "tokio-rt-worker");
        }
        assert_eq!(during["task_id"], after["task_id"]);
        let ms = after["duration_ms"].as_f64().unwrap();
        assert!(ms > 300.0, "{ms} ms of {LONG:?}");
        assert_eq!(after["waits_in"].as_str(), waits_in, "{after:#}");
        assert_eq!(after["is_complete"], true, "{after:#}");
        assert!(after["function"].as_str().unwrap().ends_with(function), "{after:#}");
        let at = frame(after, function);
        assert_eq!(after["place"], at.as_str());
        if waits_in.is_some() {
            assert_eq!(at, block::place(function));
        } else {
            assert!(at.starts_with("lens-tokio/tests/stalls/block.rs:"), "{at}");
        }
    }
}

#[test]
fn a_sleep_is_seen_with_its_task_and_line() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let place = line(1);
    runtime.spawn(async { block::sleeps() });
    watch(&watched, &place, || {}).check("sleeps", Some("clock_nanosleep"));
}

#[test]
fn a_later_poll_is_not_taken_for_the_first() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let place = line(1);
    runtime.spawn(async {
        tokio::task::yield_now().await;
        block::sleeps();
    });
    let Seen { during, after } = watch(&watched, &place, || {});
    assert_eq!([&during["is_first_poll"], &after["is_first_poll"]], [false, false]);
}

#[test]
fn a_contended_lock_is_seen() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let lock = Arc::new(Mutex::new(()));
    let held = lock.lock().unwrap();
    let same = Arc::clone(&lock);
    let place = line(1);
    runtime.spawn(async move { block::locks(&same) });
    watch(&watched, &place, || drop(held)).check("locks", Some("futex"));
}

#[test]
fn a_computation_is_seen() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let check = |place: &str, function: &str| {
        let seen = watch(&watched, place, || {});
        let is_allowed = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap().trim() < "3";
        if is_allowed {
            seen.check(function, None);
        } else {
            assert_eq!(seen.after["frames"]["unavailable"], "not_enabled");
        }
    };
    let place = line(1);
    runtime.spawn(async { block::computes() });
    check(&place, "computes");
    let place = line(1);
    runtime.spawn(async { block::looks_up() });
    check(&place, "looks_up");
}

#[test]
fn the_processor_time_of_a_stall_is_what_its_thread_has_run() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let ran_ms = |work: fn()| {
        let now = || clock_gettime(ClockId::ThreadCPUTime);
        let before = now();
        work();
        Duration::try_from(now() - before).unwrap().as_secs_f64() * 1e3
    };
    let (tell, told) = channel();
    let place = line(1);
    let task = runtime.spawn(async move {
        tell.send(ran_ms(block::sleeps)).unwrap();
        tell.send(ran_ms(block::computes)).unwrap();
    });
    until(|| task.is_finished().then_some(()));
    let after = watched.ended(is_at("spawn_place", &place)).remove(0);
    let (slept, computed) = (told.recv().unwrap(), told.recv().unwrap());
    let counted = after["cpu_ms"].as_f64().unwrap();
    assert!(slept < 100.0 && counted <= slept + computed + 1.0, "{slept}, {computed}: {after:#}");
    // Less what it ran since the last look.
    assert!(counted > computed / 2.0, "{slept}, {computed}: {after:#}");
}

#[test]
fn blocking_reads_are_seen() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);

    let (mut pipe, mut into_pipe) = std::io::pipe().unwrap();
    let place = line(1);
    runtime.spawn(async move { block::reads_a_pipe(&mut pipe) });
    watch(&watched, &place, || into_pipe.write_all(&[1]).unwrap()).check("reads_a_pipe", Some("read"));

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let place = line(1);
    runtime.spawn(async move { block::reads_a_socket(&mut client) });
    watch(&watched, &place, || server.write_all(&[1]).unwrap()).check("reads_a_socket", Some("recvfrom"));

    let (mut file, mut into_file) = fifo();
    let place = line(1);
    runtime.spawn(async move { block::reads_a_file(&mut file) });
    watch(&watched, &place, || into_file.write_all(&[1]).unwrap()).check("reads_a_file", Some("read"));
}

/// A file that has nothing to read yet, and where to write it.
fn fifo() -> (File, File) {
    let path = std::env::temp_dir().join(format!("lens-stalls-{}", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let read = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    (read, both)
}

#[test]
fn block_in_place_is_told_apart_and_spawn_blocking_is_no_stall() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let place = line(1);
    let in_place = runtime.spawn(async { tokio::task::block_in_place(block::sleeps) });
    // A poll, until another thread has the worker.
    watched.now(|row| is_at("spawn_place", &place)(row) && row["kind"] == "block_in_place");
    runtime.block_on(in_place).unwrap();

    let blocking = runtime.spawn_blocking(block::sleeps);
    let waits = runtime.spawn(blocking);
    runtime.block_on(waits).unwrap().unwrap();
    until(|| watched.ask("now", &json!({})).iter().all(|row| row["kind"] != "block_in_place").then_some(()));
    // What blocked in its place is no stall that is kept, nor what a thread of the pool did.
    let slept = block::place("sleeps");
    let recent = watched.ask("recent", &json!({}));
    let is_of_it = |row: &Value| row["place"] == slept.as_str() || row["kind"] == "no_progress";
    assert!(!recent.iter().any(is_of_it), "{recent:#?}");
}

#[test]
fn what_a_thread_of_the_blocking_pool_waits_in_is_told() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let blocking = runtime.spawn_blocking(move || {
        tell.send(thread_id()).unwrap();
        block::reads_a_pipe(&mut reader);
    });
    let thread = told.recv().unwrap();
    // Until their functions are found, there is no answer.
    let of_thread = || {
        let rows = watched.try_call("stalls", "blocking_threads", &json!({})).ok()?;
        Some(rows.as_array().unwrap().iter().find(|row| row["thread_id"] == thread).cloned())
    };
    let row = until(|| of_thread()?.filter(|row| row["waits_in"] == "read"));
    assert!(row["function"].as_str().unwrap().ends_with("reads_a_pipe"), "{row:#}");
    assert_eq!(row["place"], block::place("reads_a_pipe"));
    assert_eq!(frame(&row, "reads_a_pipe"), block::place("reads_a_pipe"));

    (&writer).write_all(&[1]).unwrap();
    runtime.block_on(blocking).unwrap();
    until(|| of_thread()?.is_none().then_some(()));
    let recent = watched.ask("recent", &json!({}));
    assert!(!recent.iter().any(|row| row["thread_id"] == thread), "it is no stall: {recent:#?}");
}

#[test]
fn a_stall_inside_of_block_in_place_is_the_inner_tasks() {
    let outer = workers(2);
    let inner = Builder::new_current_thread().enable_all().build().unwrap();
    let watched = Watched::over(&[outer.handle(), inner.handle()]);
    let place = line(4);
    let task = outer.spawn(async move {
        tokio::task::block_in_place(move || {
            inner.block_on(async {
                tokio::spawn(async { block::sleeps() }).await.unwrap();
            });
        });
    });
    let row = watched.now(is_at("spawn_place", &place));
    assert_eq!(row["kind"], "poll");
    outer.block_on(task).unwrap();
    assert!(frame(&watched.ended(is_at("spawn_place", &place))[0], "sleeps").ends_with(&block::place("sleeps")));
}

/// The system's id of the calling thread.
fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

#[test]
fn a_worker_that_was_handed_over_is_stalled_once_and_in_its_new_thread() {
    let runtime = Builder::new_multi_thread().name("handed over").worker_threads(1).enable_all().build().unwrap();
    let watched = Watched::over(&[runtime.handle()]);
    let (first_place, second_place) = (line(3), line(11));
    let (old, new) = runtime.block_on(async {
        let task = tokio::spawn(async {
            let queued = tokio::spawn(async { (block::sleeps(), thread_id()).1 });
            tokio::task::block_in_place(|| std::thread::sleep(LONG / 2));
            // The worker's new thread polls the task before it has ever parked, and this one goes back to the pool.
            (thread_id(), queued)
        });
        let (old, queued) = task.await.unwrap();
        (old, queued.await.unwrap())
    });
    let again = runtime.block_on(runtime.spawn(async { (block::sleeps(), thread_id()).1 })).unwrap();
    assert_ne!(old, new);
    let mut rows = watched.ended(is_at("spawn_place", &second_place));
    rows.extend(watched.ended(is_at("spawn_place", &first_place)));
    let told = |row: &Value| (row["kind"].clone(), row["worker"].clone(), row["thread_id"].clone());
    let expected = |thread: u32| (json!("poll"), json!(0), json!(thread));
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), [expected(again), expected(new)], "{rows:#?}");
    // What the watchdog finds out last has ended by the next look.
    let rows =
        until(|| watched.ask("now", &json!({})).is_empty().then(|| watched.ask("recent", &json!({"limit": 1000}))));
    let of_it: Vec<_> = rows.iter().filter(|row| row["runtime"] == "handed over").map(told).collect();
    assert_eq!(of_it, [expected(again), expected(new)], "{rows:#?}");
}

#[test]
fn a_thread_that_drives_two_runtimes_in_turn_stalls_the_one_that_it_drives() {
    let one = Builder::new_current_thread().name("one").enable_all().build().unwrap();
    let other = Builder::new_current_thread().name("other").enable_all().build().unwrap();
    let watched = Watched::over(&[one.handle(), other.handle()]);
    let place = line(2);
    let stall = |runtime: &Runtime| {
        runtime.block_on(async { tokio::spawn(async { block::sleeps() }).await.unwrap() });
    };
    for runtime in [&one, &other, &one, &one, &other] {
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        stall(runtime);
    }
    stall(&one);
    let rows = until(|| Some(watched.ended(is_at("spawn_place", &place))).filter(|rows| rows.len() == 6));
    let told: Vec<_> = rows.iter().map(|row| (row["runtime"].as_str().unwrap(), row["worker"].as_u64())).collect();
    assert_eq!(told, ["one", "other", "one", "one", "other", "one"].map(|name| (name, Some(0))));
}

#[test]
fn stalls_are_grouped_by_spawn_place_and_by_stack() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let (one, other) = (line(2), line(3));
    for _ in 0..2 {
        runtime.block_on(runtime.spawn(async { std::thread::sleep(LONG / 4) })).unwrap();
        runtime.block_on(runtime.spawn(shared(Duration::ZERO))).unwrap();
    }
    let third = line(1);
    runtime.block_on(runtime.spawn(shared(LONG / 2))).unwrap();
    watched.ended(is_at("spawn_place", &third));

    let sites = watched.ask("by_site", &json!({}));
    let of = |place: &str| sites.iter().find(|row| is_at("spawn_place", place)(row)).unwrap();
    assert_eq!(of(&one)["count"], 2);
    assert_eq!(of(&other)["count"], 2);
    assert_eq!(of(&third)["count"], 1);
    assert!(of(&other)["sum_ms"].as_f64() > of(&one)["sum_ms"].as_f64());
    assert!(of(&third)["longest_ms"].as_f64() > of(&other)["longest_ms"].as_f64());

    let stacks = watched.ask("by_stack", &json!({}));
    let sleeps = block::place("sleeps");
    let shared: Vec<_> = stacks.iter().filter(|row| row["place"] == sleeps.as_str()).collect();
    let count: u64 = shared.iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!(count, 3, "{stacks:#?}");
}

#[expect(clippy::manual_async_fn, reason = "the block that blocks is what the test looks for in the stack")]
fn shared(more: Duration) -> impl Future<Output = ()> {
    async move {
        block::sleeps();
        std::thread::sleep(more);
    }
}

#[test]
fn recent_shows_only_what_ended_in_that_time() {
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    let place = line(1);
    runtime.block_on(runtime.spawn(async { block::sleeps() })).unwrap();
    let row = watched.ended(is_at("spawn_place", &place)).remove(0);
    let started: Timestamp = serde_json::from_value(row["started_at"].clone()).unwrap();
    let lasted = Duration::try_from_secs_f64(row["duration_ms"].as_f64().unwrap() / 1e3).unwrap();
    let ended = started.plus(lasted);
    let rows = |last: Duration| {
        let last = format!("{}ms", last.as_millis());
        watched
            .ask("recent", &json!({"limit": 100, "last": last}))
            .into_iter()
            .filter(|row| is_at("spawn_place", &place)(row))
            .count()
    };
    // Its end was seen a little later than it was.
    until(|| (rows(Timestamp::now().since(ended) / 2) == 0).then_some(()));
    // It began earlier than that.
    until(|| (rows(Timestamp::now().since(ended) + lasted / 2) == 1).then_some(()));
}

#[test]
fn an_idle_and_a_busy_healthy_runtime_have_no_stalls() {
    const BUSY: Duration = Duration::from_millis(1500);
    let runtime = workers(2);
    let watched = Watched::over(&[runtime.handle()]);
    std::thread::sleep(Duration::from_millis(500));
    let place = line(3);
    let mut tasks = Vec::new();
    for _ in 0..200 {
        tasks.push(runtime.spawn(async {
            let started = Instant::now();
            while started.elapsed() < BUSY {
                tokio::task::yield_now().await;
            }
        }));
    }
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    let rows = [watched.ask("now", &json!({})), watched.ask("recent", &json!({"limit": 1000}))].concat();
    assert!(!rows.iter().any(is_at("spawn_place", &place)), "{rows:#?}");
    assert!(!rows.iter().any(|row| row["kind"] == "no_progress"), "{rows:#?}");
}

#[test]
fn a_runtime_of_one_thread_whose_root_blocks_makes_no_progress() {
    let runtime = Builder::new_current_thread().name("alone").enable_all().build().unwrap();
    let watched = Watched::over(&[runtime.handle()]);
    let handle = runtime.handle().clone();
    let (blocked, is_blocked) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            blocked.send(()).unwrap();
            block::sleeps();
        });
    });
    is_blocked.recv().unwrap();
    // Something must wait for it: that nobody drives a runtime without work is no stall.
    let waiting = handle.spawn(async {});
    let row = watched.now(|row| row["runtime"] == "alone");
    assert_eq!((row["kind"].as_str(), &row["task_id"]), (Some("no_progress"), &Value::Null));
    thread.join().unwrap();
    drop(waiting);
}

#[test]
fn sources_and_stores_are_told() {
    let runtime = workers(1);
    let watched = Watched::over(&[runtime.handle()]);
    let skill = watched.watchdog.skill();
    let sources = lens_core::Skill::sources(&skill);
    let waiting = sources.iter().find(|source| source.name == "stacks of waiting threads").unwrap();
    assert_eq!(waiting.status, lens_core::SourceStatus::Live);
    let stores = lens_core::Skill::stores(&skill);
    assert!(stores.iter().all(|store| store.len_count <= store.cap_count), "{stores:?}");
    assert!(stores.iter().any(|store| store.name == "unwind tables" && store.memory_bytes > 10_000), "{stores:?}");
}
