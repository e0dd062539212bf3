//! A million live tasks: what they take, and how long the questions take. Each variant is a process of its own, because
//! memory that one has freed may stay with the process.

use std::future::pending;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use lens_core::{Arguments, Capture, Recorder, RegistryBuilder};
use lens_tokio::TasksSkill;
use lens_tokio::tasks::MAX_SPAWN_SITES;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::measure::cpu_time;
use crate::variant::{Flavor, Variant};

const TASKS: u32 = 1_000_000;

/// Runs this bench again for each variant.
pub(crate) fn compare() {
    println!("{TASKS} live tasks");
    for variant in [Variant::Plain, Variant::Lens] {
        let status = Command::new(std::env::current_exe().unwrap()).args(["live", variant.name()]).status().unwrap();
        assert!(status.success());
    }
}

pub(crate) fn measure(variant: Variant) {
    let (runtime, _beside) = variant.runtime(Flavor::TwoWorkers);
    let (resident, cpu) = (resident_bytes(), cpu_time());
    let tasks: Vec<_> = (0..TASKS).map(|_| runtime.spawn(pending::<()>())).collect();
    // All have been polled when the last has, and a few more.
    runtime.block_on(async {
        for _ in 0..1_000 {
            tokio::spawn(tokio::task::yield_now()).await.unwrap();
        }
    });
    let each = |total: f64| total / f64::from(TASKS);
    let grown = resident_bytes().saturating_sub(resident);
    #[expect(clippy::cast_precision_loss, reason = "less than 2^53 bytes")]
    let bytes = each(grown as f64);
    let nanos = each((cpu_time() - cpu).as_secs_f64() * 1e9);
    println!("  {:<8} {bytes:6.1} bytes and {nanos:6.1} ns a task", variant.name());
    if variant == Variant::Lens {
        let sites = spawn_at_many_sites(&runtime);
        ask();
        drop(sites);
    }
    drop(tasks);
    runtime.shutdown_background();
}

/// A task for each name: `sites` then has as many as a large service.
fn spawn_at_many_sites(runtime: &Runtime) -> Vec<JoinHandle<()>> {
    let _entered = runtime.enter();
    let name = |site: usize| -> &'static str { format!("site {site}").leak() };
    (0..MAX_SPAWN_SITES - 10).map(|site| lens_tokio::spawn(name(site), pending())).collect()
}

/// Asks as a query does.
fn ask() {
    let mut registry = RegistryBuilder::new();
    registry.skill(TasksSkill::new()).unwrap();
    let (registry, recorder) = (Arc::new(registry.build()), Arc::new(Recorder::new()));
    for function in ["count", "top", "sites", "list"] {
        let took = |capture: &Capture| {
            let from = Instant::now();
            let answer = capture.call("tasks", function, Arguments::default()).unwrap();
            drop(answer);
            from.elapsed()
        };
        let mut rounds: Vec<_> = (0..9)
            .map(|_| {
                let capture = Capture::live(&registry, &recorder);
                (took(&capture), took(&capture))
            })
            .collect();
        rounds.sort();
        let (first, again) = rounds[rounds.len() / 2];
        println!("    tasks.{function}() {first:9.2?}, in the same capture {again:9.2?}");
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * u64::try_from(rustix::param::page_size()).unwrap()
}
