//! What the watchdog does while there is nothing to see, alone in its process: every thread's polls are the watchdog's.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

use std::fs;
use std::time::{Duration, Instant};

use lens_tokio::stalls::{QUIET_TICK, Settings};
use lens_tokio::{Runtimes, Watchdog};

/// How often the watchdog's thread has gone to sleep; `None` if it does not run yet.
fn sleeps() -> Option<u64> {
    let read = |task: &fs::DirEntry, file| fs::read_to_string(task.path().join(file)).unwrap();
    let mut threads = fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap);
    let status = read(&threads.find(|task| read(task, "comm").starts_with("lens-watchdog"))?, "status");
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
}

#[test]
fn a_service_that_polls_nothing_is_looked_at_each_10_ms() {
    let runtime = lens_tokio::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let watched = Runtimes::new();
    watched.attach(None, runtime.handle().clone());
    let _watchdog = Watchdog::start(Settings::default(), watched).unwrap();
    let begun = Instant::now();
    while sleeps().is_none_or(|sleeps| sleeps < 20) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not look");
        std::thread::sleep(Duration::from_millis(10));
    }

    let (before, from) = (sleeps().unwrap(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let (looks, span) = (sleeps().unwrap() - before, from.elapsed());
    // A busy machine makes it fewer, and a worker that parks late a few more.
    let most = span.as_millis() / QUIET_TICK.as_millis() * 3 / 2;
    assert!(u128::from(looks) <= most, "{looks} looks in {span:?}");
    assert!(looks > 0);
}
