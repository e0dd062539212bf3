//! What lens says about what the service logs and where it panics, compared with the truth of a fault. Separate because it
//! works in both flavours of tokio.

use serde_json::{Value, json};

use crate::faults::{injected, listed, start};
use crate::harness::{Service, until};

fn truth(service: &Service, name: &str, what: &str) -> Value {
    listed(service, name)["truth"][what].clone()
}

#[test]
fn the_line_that_panics_again_and_again_is_named() {
    let service = Service::start(&["--faults"]);
    start(&service, "panic_loop?rate=20");
    until("it has panicked", || (injected(&service, "panic_loop") > 5).then_some(()));
    let place = truth(&service, "panic_loop", "place");
    let group = until("the panics are seen", || {
        let groups = service.query("panics.groups()");
        (groups[0]["count_total"].as_u64()? > 5).then(|| groups[0].clone())
    });
    assert!(group["place"].as_str().unwrap().starts_with(&format!("{}:", place.as_str().unwrap())), "{group}");
    assert!(group["message"].as_str().unwrap().contains("the price list has a point in each price"), "{group}");
    assert!(service.query("panics.recent()[0].task").is_u64());
}

#[cfg(tokio_unstable)]
#[test]
fn the_task_that_panics_is_named_by_its_spawn_place() {
    let service = Service::start(&["--faults"]);
    start(&service, "panic_loop?rate=20");
    let spawned_at = &truth(&service, "panic_loop", "spawned_at")[0];
    let seen = until("a panic is seen", || {
        let seen = service.query("[panic.spawned_at for panic in panics.recent()]");
        seen.get(0).cloned()
    });
    assert!(seen.as_str().unwrap().starts_with(&format!("{}:", spawned_at.as_str().unwrap())), "{seen}");
}

#[test]
fn the_line_that_logs_errors_or_far_too_much_is_named() {
    let service = Service::start(&["--faults"]);
    for (name, level, message) in [
        ("error_burst", "error", "cannot write the ledger: no space left"),
        ("log_storm", "info", "still waiting for the label"),
    ] {
        start(&service, name);
        let place = truth(&service, name, "place");
        let script = format!("[place for place in logs.places(level={level:?}, limit=1000) if place.place == {place}]");
        let row = until("the place is seen", || {
            let rows = service.query(&script);
            (rows[0]["count_total"].as_u64()? > 20).then(|| rows[0].clone())
        });
        assert_eq!(row["message"], json!(message));
        assert!(row["fields"].as_str().unwrap().starts_with("order="), "{row}");
        let counted = || service.query(&format!("{script}[0].count_total")).as_u64().unwrap();
        let (before, seen) = (injected(&service, name), counted());
        let after = injected(&service, name);
        // What is injected is counted after it was logged.
        assert!(before <= seen && seen <= after + 1, "{before} <= {seen} <= {after}");
    }
}
