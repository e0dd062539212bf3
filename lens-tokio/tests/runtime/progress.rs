//! Which workers make progress, and how busy they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::ask::{Blocked, Lens, number, states, two_workers};

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

#[test]
fn blocked_worker_reads_as_no_progress_and_the_other_does_not() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let blocked = Blocked::worker_of(runtime.handle());

    let rows = lens.wait_until("workers", |rows| states(rows).contains(&"no_progress"));
    let elapsed = ms(blocked.since.elapsed());
    let row = &rows[blocked.index];
    assert_eq!(row["state"], "no_progress");
    assert_ne!(rows[1 - blocked.index]["state"], "no_progress");
    assert_eq!(row["index"], blocked.index);
    assert_eq!(row["is_parked"], false);
    // The test learns of the block a little after it began.
    let slack = 50.0;
    assert!((100.0..=elapsed + slack).contains(&number(row, "no_progress_ms")), "{row:#} of {elapsed}");

    let rows = lens.wait_until_with("workers", &[("last", "1s")], |rows| {
        rows[blocked.index]["busy_ratio"].as_f64().is_some_and(|busy| busy > 0.95)
    });
    assert_eq!(rows[blocked.index]["state"], "no_progress", "it is busy while it is blocked, not afterwards");

    drop(blocked);
    lens.wait_until("workers", |rows| !states(rows).contains(&"no_progress"));
    let row = lens.one("stats");
    assert_eq!(row["no_progress_workers"], 0);
}

#[test]
fn all_workers_blocked_read_as_no_progress_within_a_second() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let blocked = [Blocked::worker_of(runtime.handle()), Blocked::worker_of(runtime.handle())];
    lens.wait_until("workers", |rows| states(rows) == ["no_progress", "no_progress"]);
    let row = lens.one("stats");
    assert_eq!((&row["no_progress_workers"], &row["parked_workers"]), (&2.into(), &0.into()));
    let last = lens.series("runtime.no_progress_workers");
    assert!(last.max() <= 2.0);
    drop(blocked);
    lens.wait_until("stats", |rows| rows[0]["no_progress_workers"] == 0);
}

#[test]
fn worker_that_blocks_in_place_makes_progress_elsewhere() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let (entered, is_in) = channel();
    let (release, held) = channel::<()>();
    runtime.spawn(async move {
        tokio::task::block_in_place(|| {
            entered.send(()).unwrap();
            let _ = held.recv();
        });
    });
    is_in.recv().unwrap();
    // The worker goes on, on another thread: it parks.
    lens.wait_until("workers", |rows| states(rows) == ["parked", "parked"]);
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        let rows = lens.ask("workers");
        assert!(!states(&rows).contains(&"no_progress"), "{rows:#?}");
    }
    drop(release);
}

#[test]
fn idle_runtime_never_lacks_progress() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let end = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < end {
        let rows = lens.ask("workers");
        assert!(!states(&rows).contains(&"no_progress"), "{rows:#?}");
    }
    let row = lens.one("stats");
    assert!(number(&row, "busy_ratio") < 0.3, "{row:#}");
}

#[test]
fn yielding_tasks_keep_workers_busy_and_in_progress() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let is_over = Arc::new(AtomicBool::new(false));
    for _ in 0..8 {
        let is_over = Arc::clone(&is_over);
        runtime.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
        });
    }
    lens.wait_until_with("workers", &[("last", "1s")], |rows| {
        // What a worker spends in looking for I/O every 61 polls is not busy, and these polls are short.
        rows.iter().all(|row| row["busy_ratio"].as_f64().is_some_and(|busy| busy > 0.2))
    });
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        for row in lens.ask("workers") {
            // On a machine that is full, the system may leave a worker out for a while.
            assert!(row["no_progress_ms"].as_f64().is_none_or(|stuck| stuck < 1000.0), "{row:#}");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    lens.wait_until("workers", |rows| states(rows) == ["parked", "parked"]);
}

#[test]
fn schedule_delay_grows_while_nothing_is_polled_and_is_measured_after() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    lens.wait_until("stats", |rows| {
        rows[0]["schedule_delay_ms"].is_f64() && rows[0]["is_schedule_delay_open"] == false
    });
    let blocked = [Blocked::worker_of(runtime.handle()), Blocked::worker_of(runtime.handle())];
    let rows = lens.wait_until("stats", |rows| {
        rows[0]["is_schedule_delay_open"] == true && number(&rows[0], "schedule_delay_ms") > 300.0
    });
    let elapsed = ms(blocked[0].since.elapsed());
    assert!(number(&rows[0], "schedule_delay_ms") <= elapsed, "{rows:#?} of {elapsed}");
    drop(blocked);
    // Until the next question, the answer is what was measured.
    lens.wait_until("stats", |rows| {
        rows[0]["is_schedule_delay_open"] == false && number(&rows[0], "schedule_delay_ms") > 300.0
    });
    assert!(lens.series("runtime.schedule_delay_ms").max() > 0.0);
}

#[test]
fn blocked_current_thread_runtime_lacks_progress() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let lens = Lens::on("one", runtime.handle());
    let (entered, is_in) = channel();
    let (release, held) = channel::<()>();
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            // Once parked, as a service that has been up for a while.
            tokio::time::sleep(Duration::from_millis(10)).await;
            entered.send(()).unwrap();
            let _ = held.recv();
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
    });
    is_in.recv().unwrap();
    let rows = lens.wait_until("workers", |rows| states(rows) == ["no_progress"]);
    assert_eq!(rows[0]["busy_ratio"]["unavailable"], "failed", "nobody can know yet whether it is driven");
    let stats = lens.one("stats");
    assert_eq!((&stats["flavor"], &stats["num_workers"]), (&"current_thread".into(), &1.into()));

    lens.wait_until("workers", |rows| number(&rows[0], "no_progress_ms") > 1200.0);
    drop(release);
    let rows = lens.wait_until_with("workers", &[("last", "5s")], |rows| states(rows) == ["parked"]);
    // It was blocked for 1.2 s of at most 5.
    assert!(number(&rows[0], "busy_ratio") > 0.15, "{rows:#?}");
    drop(lens);
    // The runtime sleeps for long; the process does not wait for its thread.
    drop(thread);
}

#[test]
fn time_in_which_nobody_drives_a_current_thread_runtime_is_not_busy() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let lens = Lens::on("one", runtime.handle());
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
    lens.wait_until("workers", |rows| states(rows) == ["no_progress"] && number(&rows[0], "no_progress_ms") > 1500.0);
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(300)).await });
    let rows = lens.wait_until_with("workers", &[("last", "10s")], |rows| rows[0]["busy_ratio"].is_f64());
    assert!(number(&rows[0], "busy_ratio") < 0.5, "{rows:#?}");
}
