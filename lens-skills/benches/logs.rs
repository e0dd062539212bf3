//! What the layer costs the thread that logs, beside the layer that writes text to nowhere. CPU time of the thread; medians
//! of rounds that take turns. Run with `cargo bench -p lens-skills --features logs`.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::io;
use std::time::Duration;

use lens_core::{Metrics, Skill};
use lens_skills::logs::{DEFAULT_LEVEL, Logs, LogsSkill};
use tracing::Dispatch;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

const ROUNDS: usize = 15;
/// As many as a place may be kept in a second.
const KEPT: u32 = 16;
const STORM: u32 = 10_000;

fn main() {
    let logs = Logs::new(|| None);
    let skill = LogsSkill::new(logs.clone());
    let text = || tracing_subscriber::fmt::layer().with_writer(io::sink).with_filter(DEFAULT_LEVEL);
    let registries = [
        ("text to nowhere", Dispatch::new(tracing_subscriber::registry().with(text()))),
        ("lens", Dispatch::new(tracing_subscriber::registry().with(logs.layer(DEFAULT_LEVEL)))),
        ("both", Dispatch::new(tracing_subscriber::registry().with(text()).with(logs.layer(DEFAULT_LEVEL)))),
    ];
    for (title, events) in [("an event, text kept", KEPT), ("an event of a storm, counted", STORM)] {
        let mut times = vec![Vec::new(); registries.len()];
        for _ in 0..ROUNDS {
            for ((_, registry), times) in registries.iter().zip(&mut times) {
                // A new second: lens takes in what there is, and keeps each place again.
                tracing::dispatcher::with_default(registry, || skill.metrics(&mut Metrics::default()));
                times.push(tracing::dispatcher::with_default(registry, || events_cost(events)));
            }
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        println!("\n{title}");
        for ((name, _), median) in registries.iter().zip(&medians) {
            println!("{name:<20} {median:>8.0} ns   x{:.2}", median / medians[0]);
        }
    }
}

/// Nanoseconds of an event.
fn events_cost(events: u32) -> f64 {
    let started = cpu_time();
    for order in 0..events {
        tracing::info!(order, customer = "anna", "order is paid");
    }
    (cpu_time() - started).as_secs_f64() * 1e9 / f64::from(events)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The CPU time of the calling thread.
#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Wall time, where there is no clock of a thread's CPU time.
#[cfg(not(target_os = "linux"))]
fn cpu_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}
