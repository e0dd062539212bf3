//! What lens finds by itself, compared with the truth of a fault. Separate from the zoo, which measures all of them: these
//! are the few that show that nothing between a check and the answer is broken.

use serde_json::Value;

use crate::faults::{end, listed, start};
use crate::harness::{Service, until};

/// The insights whose root cause is the fault's.
fn of(service: &Service, truth: &Value) -> Vec<Value> {
    let report = service.lens("GET", "/debug/lens/findings", "").body;
    assert_eq!(report["defects"], Value::Array(Vec::new()), "{report:#}");
    let insights = report["insights"].as_array().unwrap().clone();
    insights.into_iter().filter(|insight| insight["root_cause"] == truth["cause"]).collect()
}

/// Whether `place` is one of those that the truth has under `which`; lens may add a column.
fn is_one(place: &Value, truth: &Value, which: &str) -> bool {
    let right: Vec<&Value> = truth[which].as_array().map_or_else(|| vec![&truth[which]], |list| list.iter().collect());
    let place = place.as_str().unwrap_or_default();
    right
        .iter()
        .filter_map(|right| right.as_str())
        .any(|right| place.strip_prefix(right).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')))
}

/// Starts a fault and waits until lens finds it: once, with its cause and at its place.
fn is_found(fault: &str, which: &str) {
    let service = Service::start(&["--faults", "--load", "50"]);
    let truth = listed(&service, fault)["truth"].clone();
    assert_eq!(of(&service, &truth), Vec::<Value>::new());
    start(&service, fault);
    // A stall is found by its spawn place until its line is looked up.
    until("the fault is found at its place", || {
        let [insight] = &of(&service, &truth)[..] else { return None };
        is_one(&insight["place"], &truth, which).then_some(())
    });
    end(&service, fault);
}

#[test]
fn a_blocking_call_is_found_at_its_line() {
    is_found("blocking_call", "place");
}

#[test]
fn a_busy_loop_is_found_where_it_was_spawned() {
    is_found("busy_loop", "spawned_at");
}

#[test]
fn a_deadlock_is_found_where_its_tasks_were_spawned() {
    is_found("deadlock", "spawned_at");
}

#[test]
fn a_panic_loop_is_found_at_its_line() {
    is_found("panic_loop", "place");
}
