//! How soon a worker that is blocked for 200 ms is seen, from the start of its poll to the answer that has the task's spawn
//! place and the line that blocks. A poll is a stall from 10 ms on, and the watchdog looks each 5 ms.
//!
//! `RUSTFLAGS="--cfg tokio_unstable" cargo bench -p lens-tokio --bench stalls [ROUNDS]`. The first stall of a process is
//! apart: lens reads the debug information then, and keeps it for 20 s.
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
    use ways::WAYS;

    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(21);
    let runtime = lens_tokio::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let watched = Watched::over(&[runtime.handle()]);
    println!("from the start of a poll that blocks to the answer that says where; {rounds} rounds\n");
    println!("{:<24}{:>12}", "the first of all", format!("{:.1?}", WAYS[0].seen_after(&runtime, &watched)));
    println!("\n{:<24}{:>12}{:>16}{:>12}", "", "median", "within 30 ms", "longest");
    let mut took = WAYS.each_ref().map(|_| Vec::new());
    for _ in 0..rounds {
        took.iter_mut().zip(&WAYS).for_each(|(took, way)| took.push(way.seen_after(&runtime, &watched)));
    }
    for (way, took) in WAYS.iter().zip(&mut took) {
        took.sort();
        let soon = took.partition_point(|&took| took <= Duration::from_millis(30));
        let [median, longest] = [took[took.len() / 2], took[took.len() - 1]].map(|took| format!("{took:.1?}"));
        println!("{:<24}{median:>12}{:>16}{longest:>12}", way.name, format!("{soon} of {}", took.len()));
    }
}
