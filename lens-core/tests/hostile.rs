//! Scripts that want to hurt the process, which none may, neither when it is run nor when it is checked. A test of its own
//! because an overflow of the stack or a failed allocation ends the whole process: the test then fails as such, and
//! `LENS_HOSTILE=NAME` runs the one script.
//!
//! Without the variable a part of the corpus is run, chosen evenly; `LENS_HOSTILE=all` runs all of it.

#[path = "hostile/corpus.rs"]
mod corpus;
#[path = "hostile/further.rs"]
mod further;
#[path = "hostile/service.rs"]
mod service;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use lens_core::sandbox::{Limits, QueryError, QueryErrorKind, Sandbox};

/// How many scripts are run when nothing is said.
const SOME: usize = 300;

fn limits() -> Limits {
    let mut limits = Limits::default();
    // A debug build needs seconds to make what the scripts are after.
    limits.wall = Duration::from_millis(if cfg!(debug_assertions) { 3000 } else { 1000 });
    limits
}

#[test]
fn no_script_hurts_the_process() {
    let chosen = std::env::var("LENS_HOSTILE").unwrap_or_default();
    let all = || corpus::all().into_iter().chain(further::all());
    let scripts: Vec<corpus::Script> = match chosen.as_str() {
        "" => {
            let step = all().count() / SOME + 1;
            all().step_by(step).collect()
        }
        "all" => all().collect(),
        name => all().filter(|script| script.name.starts_with(name)).collect(),
    };
    assert!(!scripts.is_empty(), "there is such a script");
    let queue = Mutex::new(scripts.into_iter());
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let sandbox = Sandbox::new(limits());
                loop {
                    let Some(script) = queue.lock().unwrap().next() else { return };
                    let run = || sandbox.run(&script.source, service::capture()).err();
                    // What is wrong with it is for other tests to say.
                    let check = || sandbox.check(&script.source, service::capture().registry()).err();
                    let asked: [(&str, &dyn Fn() -> Option<QueryError>); 2] = [("run", &run), ("check", &check)];
                    for (what, ask) in asked {
                        if let Some(fault) = fault(&sandbox, ask) {
                            faults.lock().unwrap().push(format!("{}, {what}: {fault}", script.name));
                        }
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} scripts misbehaved:\n{}", faults.len(), faults.join("\n"));
}

/// How the sandbox misbehaves when it is asked.
fn fault(sandbox: &Sandbox, ask: &dyn Fn() -> Option<QueryError>) -> Option<String> {
    let started = Instant::now();
    let error = ask();
    let took = started.elapsed();
    // A hanging thread, a panic or a defect of the guard; all else is an answer. On a busy machine a thread gets no
    // processor for longer than the grace: it is late, but it ends.
    let is_fault = |error: &QueryError| {
        let is_late = error.message.contains("did not end within");
        error.kind == QueryErrorKind::Internal || is_late && !ends(sandbox)
    };
    match error.filter(is_fault) {
        Some(error) => Some(error.to_string()),
        // Generous: other tests run beside this one.
        None => (took > limits().wall * 2 + Duration::from_secs(2)).then(|| format!("it took {took:?}")),
    }
}

/// Whether the sandbox's threads end, sooner or later.
fn ends(sandbox: &Sandbox) -> bool {
    let deadline = Instant::now() + limits().wall;
    while sandbox.abandoned().len_count > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    sandbox.abandoned().len_count == 0
}

#[test]
fn a_thousand_queries_at_once_are_shed_and_the_rest_answered() {
    let sandbox = Sandbox::new(limits());
    let (answer, answers) = std::sync::mpsc::channel();
    let mut running = Vec::new();
    let mut refused = 0;
    for index in 0..1000 {
        let answer = answer.clone();
        let source = format!("x = {index}\nsum([x for i in range(1000)])");
        match sandbox.start(&source, service::capture(), move |result| answer.send((index, result)).unwrap()) {
            Ok(query) => running.push(query),
            Err(error) => {
                assert_eq!(error.kind, QueryErrorKind::Overloaded);
                refused += 1;
            }
        }
    }
    drop(answer);
    let answered: Vec<_> = answers.iter().collect();
    assert_eq!(answered.len() + refused, 1000);
    assert_eq!(sandbox.store().dropped_total, refused as u64);
    for (index, result) in answered {
        assert_eq!(result.unwrap().value, index * 1000);
    }
}

#[test]
fn dropped_query_ends_at_once() {
    let sandbox = Sandbox::new(limits());
    let (answer, answers) = std::sync::mpsc::channel();
    let endless = "for a in range(1000000):\n for b in range(1000000): pass";
    let query = sandbox.start(endless, service::capture(), move |result| answer.send(result).unwrap()).unwrap();
    drop(query);
    let error = answers.recv_timeout(limits().wall / 2).unwrap().unwrap_err();
    assert_eq!(error.kind, QueryErrorKind::Cancelled);
    assert_eq!(sandbox.store().len_count, 0);
}
