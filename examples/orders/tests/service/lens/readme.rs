//! The questions that the project's README asks of this service, asked. Separate because the README is the truth here:
//! what it prints is compared with what a reader gets.

use serde_json::Value;

use crate::faults::start;
use crate::harness::{Service, until};

const README: &str = include_str!("../../../../../README.md");

/// The questions of a shell block, each with the answer that is printed below it.
fn questions(first_line: &str) -> Vec<(String, Value)> {
    let (_, after) = README.split_once(first_line).unwrap();
    let (block, _) = after.split_once("```").unwrap();
    let lines: Vec<&str> = block.lines().collect();
    let question = |pair: &[&str]| {
        let script = pair[0].strip_prefix("curl -d '")?.strip_suffix("' http://127.0.0.1:6670/debug/lens/query")?;
        let answer = pair[1].strip_prefix("# ").and_then(|answer| serde_json::from_str(answer).ok());
        Some((script.to_owned(), answer.unwrap_or_else(|| panic!("{script} has no answer"))))
    };
    lines.windows(2).filter_map(question).collect()
}

/// A value with every number and amount made alike, for those differ from run to run.
fn shape(value: &Value) -> Value {
    match value {
        Value::Number(_) => "a number".into(),
        Value::String(text) if text.ends_with(" MiB") => "some MiB".into(),
        Value::Array(items) => items.iter().map(shape).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_five_questions_are_answered_as_printed() {
    let service = Service::start(&["--load", "50"]);
    let questions = questions("# Which spawn sites have most live tasks?\n");
    assert_eq!(questions.len(), 5);
    for (script, printed) in questions {
        until(&format!("{script} is answered as the README prints it"), || {
            // A series begins with the first second.
            let answer = service.lens("POST", "/debug/lens/query", &script);
            (answer.status == 200 && shape(&answer.body["value"]) == shape(&printed)).then_some(())
        });
    }
}

#[test]
fn the_blocked_workers_are_where_the_readme_says() {
    let service = Service::start(&["--faults"]);
    let questions = questions("curl -X POST 'http://127.0.0.1:3000/faults/all_blocked?seconds=10'\n");
    let [(script, printed)] = &questions[..] else { panic!("{questions:?}") };
    start(&service, "all_blocked?seconds=60");
    let place = &printed[0][1];
    until(&format!("every worker is at {place}"), || {
        // There is a worker for each processor, however many the README's machine had.
        let answer = service.lens("POST", "/debug/lens/query", script);
        let workers = answer.body["value"].as_array()?;
        workers.iter().all(|worker| worker == &printed[0]).then_some(())
    });
}

#[test]
fn the_leaking_line_is_the_one_that_the_readme_shows() {
    let service = Service::start(&["--faults"]);
    let first = "curl -X POST 'http://127.0.0.1:3000/faults/heap_leak?rate=5000'\n";
    let questions = questions(first);
    let [(script, printed)] = &questions[..] else { panic!("{questions:?}") };
    assert_eq!(service.lens("POST", "/debug/lens/pprof/heap?seconds=300", "").status, 202);
    start(&service, "heap_leak?rate=5000");
    until("the line is named", || {
        let answer = service.lens("POST", "/debug/lens/query", script);
        (answer.status == 200 && answer.body["value"][0][0] == printed[0][0]).then_some(())
    });
}
