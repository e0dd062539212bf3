//! What the skill says on stable tokio of what only the unstable API knows.
#![cfg(not(tokio_unstable))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "runtime/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use ask::{Lens, two_workers};
use serde_json::{Value, json};

fn unavailable(row: &Value) -> Vec<&str> {
    let fields = row.as_object().unwrap().iter();
    let absent = fields.filter(|(_, value)| value["unavailable"] == "needs_tokio_unstable");
    absent.map(|(field, _)| field.as_str()).collect()
}

#[test]
fn what_stable_tokio_does_not_tell_reads_as_unavailable() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    assert_eq!(
        unavailable(&lens.one("stats")),
        [
            "blocking_queue_depth",
            "budget_forced_yield_count",
            "io_driver_fd_deregistered_count",
            "io_driver_fd_registered_count",
            "io_driver_ready_count",
            "num_blocking_threads",
            "num_idle_blocking_threads",
            "remote_schedule_count",
            "spawned_tasks_count",
        ]
    );
    assert_eq!(
        unavailable(&lens.ask("workers")[1]),
        [
            "poll_count_per_s",
            "worker_local_queue_depth",
            "worker_local_schedule_count",
            "worker_mean_poll_ms",
            "worker_noop_count",
            "worker_overflow_count",
            "worker_poll_count",
            "worker_steal_count",
            "worker_steal_operations",
            "worker_thread_id",
        ]
    );
    assert_eq!(
        unavailable(&lens.one("blocking_pool")),
        ["blocking_queue_depth", "busy_blocking_threads", "num_blocking_threads", "num_idle_blocking_threads"]
    );
    let interval = lens.wait_until("intervals", |rows| !rows.is_empty()).remove(0);
    assert_eq!(interval["total_polls_count"]["unavailable"], "needs_tokio_unstable");
    assert_eq!(interval["live_tasks_count"], 0);
    let error = lens.call("poll_times", &[]).unwrap_err().to_string();
    assert_eq!(error, "`runtime.poll_times` is unavailable: build the service with RUSTFLAGS=\"--cfg tokio_unstable\"");
}

#[test]
fn sources_say_which_of_them_are_live() {
    let runtime = two_workers();
    let lens = Lens::on("main", runtime.handle());
    let sources = lens.registry().get("runtime").unwrap().sources();
    let live: Vec<_> = sources.iter().map(|source| json!(source)["status"]["status"].clone()).collect();
    assert_eq!(live, ["live", "unavailable", "live", "unavailable", "live", "unavailable"]);
}
