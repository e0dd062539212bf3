//! Rounds, medians, and the table.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use crate::variant::{ALL, Flavor, Spawner, Variant};

/// The processor time of this process, all threads together.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Measures `work`, which gives how many operations it did, for every variant, and prints a line for each.
pub(crate) fn table(flavor: Flavor, title: &str, rounds: usize, work: fn(&Runtime, &Spawner) -> u64) {
    let mut figures = ALL.map(|_| Vec::new());
    // The first round warms up.
    for round in 0..=rounds {
        for (variant, figures) in ALL.iter().zip(&mut figures) {
            let (runtime, beside) = variant.runtime(flavor);
            let before = cpu_time();
            let operations = work(&runtime, &beside.spawner);
            let took = cpu_time() - before;
            if round > 0 {
                figures.push(took.as_secs_f64() * 1e9 / f64::from(u32::try_from(operations).unwrap()));
            }
        }
    }
    println!("{}: {title}", flavor.name());
    // A machine that is shared is faster in one round than in the next, for all variants alike.
    let plain = figures[0].clone();
    for (variant, figures) in ALL.iter().zip(&mut figures) {
        let mut ratios: Vec<f64> = figures.iter().zip(&plain).map(|(figure, plain)| figure / plain).collect();
        let (median, ratio) = (median(figures), median(&mut ratios));
        println!("  {:<18} {median:7.1}  ({ratio:.2})   least {:7.1}", variant.name(), figures[0]);
    }
    println!();
}

/// Sorts the values and gives the middle one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Works for this many rounds, for a profiler to watch.
pub(crate) fn repeat(variant: Variant, rounds: u32, work: fn(&Runtime, &Spawner) -> u64) {
    let (runtime, beside) = variant.runtime(Flavor::CurrentThread);
    for _ in 0..rounds {
        work(&runtime, &beside.spawner);
    }
}
