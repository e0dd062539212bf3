//! lens does not keep runtimes open that have ended. Alone in its process, because it counts the process's descriptors.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "runtime/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use ask::{Lens, two_workers};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn ended_runtimes_leave_no_descriptors() {
    let lens = Lens::new();
    // What the first runtime opens for the process.
    drop(two_workers());
    let before = descriptors();
    let runtimes: Vec<_> = (0..20).map(|_| two_workers()).collect();
    for runtime in &runtimes {
        lens.runtimes.attach(None, runtime.handle().clone());
    }
    assert!(descriptors() >= before + 20, "each has at least one");
    drop(runtimes);
    lens.wait_until("ended", |rows| rows.len() == 20);
    assert_eq!(descriptors(), before);
}
