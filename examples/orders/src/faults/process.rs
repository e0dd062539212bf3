//! Faults that show in the process rather than in the runtime: open files, panics, the log.

use std::fs::{self, File};

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault};

const OPENED: Place = here!("fd_leak" in "process.rs");
const OPENER: Place = here!("fd_leak task" in "process.rs");
const PANICS: Place = here!("panic_loop" in "process.rs");
const PANICKER: Place = here!("panic_loop task" in "process.rs");
const ERROR: Place = here!("error_burst" in "process.rs");
const FAILING: Place = here!("error_burst task" in "process.rs");
const LINE: Place = here!("log_storm" in "process.rs");
const TALKER: Place = here!("log_storm task" in "process.rs");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "fd_leak",
        about: "files are opened and not closed, up to four fifths of what the process may open",
        truth: Truth::new(Cause::FdLeak, OPENED).spawned_at(&[OPENER]),
        removable: true,
        seconds: Bound::new(600, 3_600),
        rate: Some(Bound::new(20, 1_000)),
        count: Bound::new(2_000, 10_000),
        unit: "open files",
        start: |context| drop(tokio::spawn(leak_files(context))), // here: fd_leak task
    },
    Fault {
        name: "panic_loop",
        about: "a task panics, and is started again",
        truth: Truth::new(Cause::PanicLoop, PANICS).spawned_at(&[PANICKER]),
        removable: true,
        seconds: Bound::new(120, 600),
        rate: Some(Bound::new(5, 50)),
        count: Bound::new(10_000, 10_000),
        unit: "panics",
        start: |context| drop(tokio::spawn(restart(context))),
    },
    Fault {
        name: "error_burst",
        about: "one line logs an error again and again",
        truth: Truth::new(Cause::ErrorBurst, ERROR).spawned_at(&[FAILING]),
        removable: true,
        seconds: Bound::new(60, 600),
        rate: Some(Bound::new(50, 500)),
        count: Bound::new(100_000, 100_000),
        unit: "errors logged",
        start: |context| drop(tokio::spawn(fail_to_write(context))), // here: error_burst task
    },
    Fault {
        name: "log_storm",
        about: "one line logs thousands of times a second that all is well",
        truth: Truth::new(Cause::LogStorm, LINE).spawned_at(&[TALKER]),
        removable: true,
        seconds: Bound::new(60, 600),
        rate: Some(Bound::new(5_000, 20_000)),
        count: Bound::new(1_000_000, 1_000_000),
        unit: "events logged",
        start: |context| drop(tokio::spawn(talk(context))), // here: log_storm task
    },
];

async fn leak_files(context: Context) {
    let mut files = Vec::new();
    let room = most_files();
    let open = || {
        if files.len() >= room {
            return false;
        }
        let file = File::open("/dev/null"); // here: fd_leak
        let is_open = file.is_ok();
        files.extend(file.ok());
        is_open
    };
    context.pace(open).await;
}

/// Four fifths of the files that the process may open; a few where that is not known.
fn most_files() -> usize {
    const UNKNOWN: usize = 200;
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft: Option<usize> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.map_or(UNKNOWN, |soft| soft / 5 * 4)
}

async fn restart(context: Context) {
    let start = || {
        tokio::spawn(read_prices("1,99")); // here: panic_loop task
        true
    };
    context.pace(start).await;
}

async fn read_prices(list: &str) -> f64 {
    list.parse().expect("the price list has a point in each price") // here: panic_loop
}

async fn fail_to_write(context: Context) {
    let mut order = 0;
    let fail = || {
        order += 1;
        tracing::error!(order, "cannot write the ledger: no space left"); // here: error_burst
        true
    };
    context.pace(fail).await;
}

async fn talk(context: Context) {
    let mut order = 0;
    let say = || {
        order += 1;
        tracing::info!(order, "still waiting for the label"); // here: log_storm
        true
    };
    context.pace(say).await;
}
