//! How soon a worker that is blocked for 200 ms is seen, from the start of its poll to the answers that have the task's spawn
//! place, and its stack with the function and the line that block; asked for each millisecond. A poll is a stall from 10 ms
//! on, and the watchdog looks each 10 ms while nothing is polled, and each 5 ms or 1 ms once something is.
//!
//! `RUSTFLAGS="--cfg tokio_unstable" cargo bench -p lens-tokio --bench stalls [ROUNDS]`. The first stall of a process is
//! apart: lens reads the debug information then, and keeps it for 20 s. So are loops after more than a minute without any:
//! the system is ready for samples until then.
#![expect(clippy::print_stdout, reason = "a bench is there to print")]
#![cfg_attr(
    all(tokio_unstable, target_os = "linux", target_arch = "x86_64"),
    expect(clippy::unwrap_used, reason = "a bench fails where it stands")
)]

#[cfg(not(all(tokio_unstable, target_os = "linux", target_arch = "x86_64")))]
fn main() {
    println!("stable tokio has no task hooks that tell a poll: RUSTFLAGS=\"--cfg tokio_unstable\", on Linux on x86-64");
}

#[cfg(all(tokio_unstable, target_os = "linux", target_arch = "x86_64"))]
#[path = "../tests/stalls/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

#[cfg(all(tokio_unstable, target_os = "linux", target_arch = "x86_64"))]
#[path = "stalls/ways.rs"]
mod ways;

#[cfg(all(tokio_unstable, target_os = "linux", target_arch = "x86_64"))]
fn main() {
    use std::time::Duration;

    use ask::Watched;
    use ways::{Seen, WAYS};

    const ROUNDS: u32 = 21;
    /// The threshold of 10 ms, and 20 ms in which it is to be seen.
    const SOON: Duration = Duration::from_millis(30);
    const LATE: u32 = 3;
    /// Longer than the system is kept ready.
    const REST: Duration = Duration::from_secs(65);

    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let runtime = lens_tokio::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let watched = Watched::over(&[runtime.handle()]);
    let text = |took: Option<Duration>| took.map_or("not seen".to_owned(), |took| format!("{took:.1?}"));

    println!("from the start of a poll that blocks; {rounds} rounds\n");
    let first = WAYS[0].seen(&runtime, &watched);
    println!(
        "the first stall of all: seen after {}, with its stack {}\n",
        text(first.with_place),
        text(first.with_stack)
    );
    println!("{:<20}{:>38}{:>38}", "", "seen, with its spawn place", "with the function and the line");
    let figures = |median: &str, soon: &str, longest: &str| format!("{median:>12}{soon:>14}{longest:>12}");
    let header = figures("median", "within 30 ms", "longest");
    println!("{:<20}{header}{header}", "");
    let mut took = WAYS.each_ref().map(|_| Vec::new());
    for round in 0..rounds {
        for (way, took) in WAYS.iter().zip(&mut took) {
            // The watchdog is to be anywhere between two looks.
            std::thread::sleep(Duration::from_millis(50) + Duration::from_micros(1700) * (round % 11));
            took.push(way.seen(&runtime, &watched));
        }
    }
    for (way, took) in WAYS.iter().zip(&took) {
        let of = |told: fn(&Seen) -> Option<Duration>| {
            let mut took: Vec<_> = took.iter().map(told).collect();
            // What was not seen comes last.
            took.sort_by_key(|took| took.unwrap_or(Duration::MAX));
            let soon = took.iter().filter(|took| took.is_some_and(|took| took <= SOON)).count();
            let [median, longest] = [took.get(took.len() / 2), took.last()].map(|took| text(took.copied().flatten()));
            figures(&median, &format!("{soon} of {}", took.len()), &longest)
        };
        println!("{:<20}{}{}", way.name, of(|seen| seen.with_place), of(|seen| seen.with_stack));
    }
    println!("\nloops, each after a minute without a thread that computed:");
    let [sleeps, _, computes, ..] = &WAYS;
    for _ in 0..LATE {
        std::thread::sleep(REST);
        // What is told first is read from the debug information by then, as above.
        sleeps.seen(&runtime, &watched);
        let seen = computes.seen(&runtime, &watched);
        println!("seen after {}, with the function and the line {}", text(seen.with_place), text(seen.with_stack));
    }
}
