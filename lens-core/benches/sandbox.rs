//! What the guard costs: the same scripts in the sandbox and in the bare interpreter, as ratios of medians of interleaved
//! rounds; and what a query over many rows takes. Run with `cargo bench -p lens-core --bench sandbox`.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "../tests/hostile/service.rs"]
mod service;

use std::time::{Duration, Instant};

use lens_core::sandbox::{Limits, Sandbox, worker};
use starlark::environment::{Globals, LibraryExtension, Module};
use starlark::eval::Evaluator;
use starlark::syntax::{AstModule, Dialect};

const ROUNDS: usize = 21;

/// Scripts that mean the same in both.
const SCRIPTS: &[(&str, &str)] = &[
    ("1 + 1", "1 + 1"),
    (
        "a loop of 100 000 turns",
        "def main():\n    x = 0\n    for i in range(100000):\n        x += i & 7\n    return x\nmain()",
    ),
    ("a comprehension of 100 000", "len([i * 2 for i in range(100000)])"),
    ("a filter of 100 000", "len([i for i in range(100000) if i % 3 == 0])"),
    ("100 000 calls", "def f(x): return x\ndef main():\n    for i in range(100000): f(i)\nmain()"),
    (
        "counting 100 000 into a dict",
        "def main():\n    d = {}\n    for i in range(100000):\n        k = i % 100\n        d[k] = d.get(k, 0) + 1\n    return len(d)\nmain()",
    ),
    (
        "appending 100 000",
        "def main():\n    l = []\n    for i in range(100000): l.append(i)\n    return len(l)\nmain()",
    ),
    ("sorting 50 000 by a key", "sorted(range(50000), key=lambda x: -x)[0]"),
    ("20 000 texts", "len([\"%s-%s\" % (i, i) for i in range(20000)])"),
];

const FILTER: &str = "[t.id for t in tasks.list(limit=100000) if t.busy_ms > 12000]";

/// A report as a person would write it, of about 50 lines.
const REPORT: &str = include_str!("report.star");

fn main() {
    worker();
    let globals =
        Globals::extended_by(&[LibraryExtension::Map, LibraryExtension::Filter, LibraryExtension::StructType]);
    let sandbox = Sandbox::new(roomy());

    println!("{:<34} {:>12} {:>12} {:>8}", "inside, median of interleaved", "bare ms", "guarded ms", "ratio");
    for (name, script) in SCRIPTS {
        let (mut plain, mut guarded) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            plain.push(bare(script, &globals));
            guarded.push(run(&sandbox, script));
        }
        let (plain, guarded) = (median(plain), median(guarded));
        println!(
            "{name:<34} {:>12.3} {:>12.3} {:>8.2}",
            millis(plain),
            millis(guarded),
            millis(guarded) / millis(plain)
        );
    }

    println!("\n{:<58} {:>12}", "over 100 000 rows, inside", "median ms");
    for (name, script) in [
        ("the skill makes the rows", "len(tasks.list(limit=100000))"),
        ("filter, rows included", FILTER),
        ("report of 50 lines, rows included", REPORT),
    ] {
        let times = (0..ROUNDS).map(|_| run(&sandbox, script)).collect();
        println!("{name:<58} {:>12.3}", millis(median(times)));
    }

    println!("\n{:<58} {:>12}", "`1 + 1` with its thread or process", "median ms");
    let isolated = Sandbox::new(roomy()).isolated();
    for (name, sandbox) in [("here", Some(&sandbox)), ("in a process of its own", isolated.as_ref().ok())] {
        let Some(sandbox) = sandbox else { continue };
        let times = (0..ROUNDS).map(|_| whole(sandbox, "1 + 1")).collect();
        println!("{name:<58} {:>12.3}", millis(median(times)));
    }
    let capture = service::capture();
    let checked = |_| {
        let started = Instant::now();
        let wrong = sandbox.check(REPORT, capture.registry());
        assert_eq!(wrong.as_deref(), Ok([].as_slice()), "the report is right");
        started.elapsed()
    };
    println!("{:<58} {:>12.3}", "checking the report", millis(median((0..ROUNDS).map(checked).collect())));
}

/// The default limits, but for time and memory: a bench measures, it is not stopped.
fn roomy() -> Limits {
    let mut limits = Limits::default();
    limits.wall = Duration::from_secs(30);
    limits.heap_bytes = 512 << 20;
    limits
}

fn bare(script: &str, globals: &Globals) -> Duration {
    let dialect = Dialect { enable_top_level_stmt: true, ..Dialect::Standard };
    let started = Instant::now();
    let module = Module::new();
    let mut evaluator = Evaluator::new(&module);
    let value = AstModule::parse("query", script.to_owned(), &dialect)
        .and_then(|ast| evaluator.eval_module(ast, globals))
        .map(|value| value.to_str());
    assert!(value.is_ok(), "{script}: {value:?}");
    started.elapsed()
}

/// From the first look at the script to its answer.
fn run(sandbox: &Sandbox, script: &str) -> Duration {
    match sandbox.run(script, service::capture()) {
        Ok(outcome) => outcome.cost.elapsed,
        Err(error) => panic!("{error}"),
    }
}

/// With everything around it.
fn whole(sandbox: &Sandbox, script: &str) -> Duration {
    let started = Instant::now();
    run(sandbox, script);
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
