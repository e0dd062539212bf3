//! Queries in processes of their own: the same answers and errors, killed in time, and nothing of them stays. It has a
//! `main` of its own because that is where a query's process begins.

#[path = "hostile/grammar.rs"]
mod grammar;
#[path = "hostile/service.rs"]
mod service;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use lens_core::Error;
use lens_core::sandbox::{Limits, Outcome, QueryError, QueryErrorKind, Sandbox, worker};

#[expect(clippy::print_stdout, reason = "a harness of its own says how it went")]
fn main() {
    let too_early = Sandbox::new(Limits::default()).isolated();
    worker();
    assert!(matches!(too_early, Err(Error::NoWorker { .. })), "without `worker` a second process would be the service");
    answers_and_errors_are_the_same();
    random_scripts_mean_the_same();
    an_endless_query_is_killed_in_time();
    a_dropped_query_is_killed_at_once();
    the_kernel_stops_what_the_guard_is_told_not_to();
    rows_that_are_too_many_for_a_process_are_not_made();
    what_is_withheld_is_noted_where_it_is_read();
    println!("queries in processes of their own: ok");
}

fn sandbox(set: impl FnOnce(&mut Limits)) -> Sandbox {
    // A debug build's process takes a while to start on a busy machine.
    let mut limits = Limits::default();
    limits.wall = Duration::from_secs(3);
    set(&mut limits);
    Sandbox::new(limits).isolated().expect("`worker` was called")
}

/// An outcome's value, columns, prints and what it touched.
type Told = (serde_json::Value, Vec<String>, Vec<String>, Vec<String>);

/// All of a result but what it took.
fn told(result: Result<Outcome, QueryError>) -> Result<Told, QueryError> {
    result.map(|outcome| (outcome.value, outcome.columns, outcome.printed, outcome.touched))
}

fn answers_and_errors_are_the_same() {
    let isolated = sandbox(|_| {});
    let here = Sandbox::new(isolated.limits().clone());
    for script in [
        "1 + 1",
        "print(\"a\", 1)\nprint(\"b\")\n[0.1, None, True, \"é\", {\"z\": [1], \"a\": -5}]",
        "tasks.list(limit=3)",
        "tasks.list()[1]",
        "[(t.id, t.name, t.place.line, t.tags[0]) for t in tasks.list(2)]",
        "[available(t.parks) for t in tasks.list(limit=4)]",
        "tasks.list(limit=4)[1].parks + 1",
        "top(tasks.list(limit=1000), 2, by=\"busy_ms\")",
        "table(tasks.list(limit=2), \"name\", \"id\")",
        "dir(tasks.list()[0])",
        "capture.at != \"\"",
        "len(tasks.list(limit=20000))",
        "tasks.lst()",
        "tasks.list(lmit=1)",
        "tasks.list(limit=\"many\")",
        "tasks.list()[0].nmae",
        "absent.x()",
        "series(\"tasks.none\", last=\"5m\").max()",
        "1 +",
        "x = 1\nx.y",
        "print(\"before\")\nfail(\"why\")",
        "[x for x in range(2000000)]",
        "def f(): f()\nf()",
        "\"a\" * 100000000",
    ] {
        assert_eq!(
            told(isolated.run(script, service::capture())),
            told(here.run(script, service::capture())),
            "{script}"
        );
    }
}

fn random_scripts_mean_the_same() {
    let isolated = sandbox(|_| {});
    let here = Sandbox::new(isolated.limits().clone());
    for seed in 0..60 {
        let script = grammar::script(seed, grammar::Kind::Plain);
        assert_eq!(
            told(isolated.run(&script, service::capture())),
            told(here.run(&script, service::capture())),
            "{script}"
        );
    }
}

const ENDLESS: &str = "for a in range(1000000):\n for b in range(1000000): pass";

fn an_endless_query_is_killed_in_time() {
    let isolated = sandbox(|limits| limits.wall = Duration::from_millis(600));
    let here = Sandbox::new(isolated.limits().clone());
    let started = Instant::now();
    let run = |sandbox: &Sandbox| sandbox.run(ENDLESS, service::capture()).expect_err("it has no end").message;
    let isolated_run = run(&isolated);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    // On a busy machine the watcher may answer for either.
    let is_same = (0..5).any(|_| run(&isolated) == run(&here));
    assert!(is_same, "{isolated_run}");
    no_process_is_left();
}

fn a_dropped_query_is_killed_at_once() {
    let isolated = sandbox(|limits| limits.wall = Duration::from_secs(20));
    let (answer, answers) = channel();
    let query = isolated.start(ENDLESS, service::capture(), move |result| {
        // The test waits for it.
        let _ = answer.send(result);
    });
    let query = query.expect("there is a place");
    std::thread::sleep(Duration::from_millis(200));
    drop(query);
    let result = answers.recv_timeout(Duration::from_secs(5)).expect("long before its deadline");
    assert_eq!(result.expect_err("it was dropped").kind, QueryErrorKind::Cancelled);
    no_process_is_left();
}

fn the_kernel_stops_what_the_guard_is_told_not_to() {
    let isolated = sandbox(|limits| {
        limits.heap_bytes = 1 << 40;
        limits.rows = usize::MAX / 64;
        limits.wall = Duration::from_secs(20);
    });
    let error = isolated.run("[0] * 500000000", service::capture()).expect_err("there is no such memory");
    assert_eq!(error.kind, QueryErrorKind::Limit);
    assert!(error.message.starts_with("the query's process ended without an answer"), "{error}");
    no_process_is_left();
    assert_eq!(isolated.run("6 * 7", service::capture()).expect("the next one is not harmed").value, 42);
}

fn what_is_withheld_is_noted_where_it_is_read() {
    let isolated = sandbox(|_| {});
    let here = Sandbox::new(isolated.limits().clone());
    let withheld = Arc::new(BTreeSet::from(["tasks".to_owned()]));
    for (script, read) in [
        ("[t.id for t in tasks.list(limit=3)]", None),
        ("[(t.id, dir(t)) for t in top(tasks.list(limit=9), 2, by=\"busy_ms\")]", None),
        ("[t.id for t in tasks.list(limit=3) if not available(t.name)]", Some("name")),
        ("tasks.list(limit=1)", Some("name")),
        ("len(str(tasks.list(limit=1)[0]))", Some("name")),
    ] {
        for sandbox in [&isolated, &here] {
            let view = Arc::new(service::capture().withholding(&withheld));
            sandbox.run(script, Arc::clone(&view)).expect("it has an answer");
            assert_eq!(view.read_withheld(), read, "{script}");
        }
    }
}

fn no_process_is_left() {
    let children = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
    assert!(matches!(children, Err(rustix::io::Errno::CHILD)), "{children:?}");
}

fn rows_that_are_too_many_for_a_process_are_not_made() {
    let small = sandbox(|limits| limits.heap_bytes = 8 << 20);
    let error = small.run("len(tasks.list(limit=200000))", service::capture()).expect_err("they take some 100 MiB");
    assert!(error.message.contains("the rows of `tasks.list` take more than 32 MiB"), "{error}");
    let outcome = small.run("len(tasks.list(limit=2000))", service::capture()).expect("they take some 2 MiB");
    assert_eq!(outcome.value, 2000);
}
