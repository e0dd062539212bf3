//! What lens costs a poll and a spawn, as ratios to tokio alone built with the same flags.
//!
//! `RUSTFLAGS="--cfg tokio_unstable" cargo bench -p lens-tokio --bench tasks`. Every variant runs once a round, so that
//! a noisy neighbour hits all alike; a figure is the median of the rounds' processor time, all threads together.
#![expect(clippy::print_stdout, reason = "a bench is there to print")]
#![cfg_attr(tokio_unstable, expect(clippy::unwrap_used, reason = "a bench fails where it stands"))]

#[cfg(tokio_unstable)]
mod live;
#[cfg(tokio_unstable)]
mod measure;
#[cfg(tokio_unstable)]
mod variant;
#[cfg(tokio_unstable)]
mod work;

#[cfg(not(tokio_unstable))]
fn main() {
    println!("stable tokio has no task hooks to measure: RUSTFLAGS=\"--cfg tokio_unstable\"");
}

#[cfg(tokio_unstable)]
fn main() {
    use variant::{Flavor, Variant};

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["live", variant] => live::measure(Variant::named(variant)),
        // For a profiler: `… --bench tasks -- polls lens 100`.
        ["polls", variant, rounds] => measure::repeat(Variant::named(variant), rounds.parse().unwrap(), work::polls),
        ["spawns", variant, rounds] => measure::repeat(Variant::named(variant), rounds.parse().unwrap(), work::spawns),
        _ => {
            let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(9);
            println!(
                "median processor time of {rounds} interleaved rounds; in brackets the median ratio to the same round's plain\n"
            );
            for flavor in [Flavor::CurrentThread, Flavor::OneWorker, Flavor::TwoWorkers] {
                measure::table(flavor, "yield_now, 64 tasks, ns a poll", rounds, work::polls);
                measure::table(flavor, "spawn + join, batches of 100, ns a task", rounds, work::spawns);
                if flavor != Flavor::CurrentThread {
                    let title = "spawn + join by a task, batches of 100, ns a task";
                    measure::table(flavor, title, rounds, work::spawns_of_a_task);
                }
            }
            live::compare();
        }
    }
}
