//! What lens says about who waits for whom. Separate because tokio tells of it only when it is built with
//! `--cfg tokio_unstable`.

use serde_json::Value;

use crate::faults::{end, injected, listed, start, until_injected};
use crate::harness::{Service, until};

/// The places of a fault's truth, each as lens writes it but for the column.
fn places(service: &Service, fault: &str, which: &str) -> Vec<String> {
    let truth = listed(service, fault)["truth"][which].clone();
    truth.as_array().unwrap().iter().map(|place| format!("{}:", place.as_str().unwrap())).collect()
}

fn is_at(place: &Value, expected: &str) -> bool {
    place.as_str().is_some_and(|place| place.starts_with(expected))
}

/// The rows of a function of `waits` that are about what was created there.
fn rows(service: &Service, call: &str, place: &str) -> Vec<Value> {
    let script = format!("[row for row in waits.{call} if (row.resource_place or \"\").startswith(\"{place}\")]");
    service.query(&script).as_array().unwrap().clone()
}

#[test]
fn a_deadlock_is_told_with_its_tasks_and_locks_and_ends_with_it() {
    let service = Service::start(&["--faults", "--load", "50"]);
    assert_eq!(service.query("waits.deadlocks()"), Value::Array(Vec::new()));
    start(&service, "deadlock");
    let deadlock = until("the deadlock is told", || service.query("waits.deadlocks()").get(0).cloned());

    let (spawned, created) = (places(&service, "deadlock", "spawned_at"), places(&service, "deadlock", "created_at"));
    let members = deadlock["members"].as_array().unwrap();
    assert_eq!((members.len(), spawned.len(), created.len()), (2, 2, 2));
    // Each waits for the lock that the other took first: there for the south's, back for the north's.
    for (spawned, awaited) in [(&spawned[0], &created[1]), (&spawned[1], &created[0])] {
        let member = members.iter().find(|member| is_at(&member["place"], spawned));
        assert!(is_at(&member.unwrap()["resource_place"], awaited), "{deadlock}");
    }
    // The tasks could still be ended by a `select!`, which tokio does not tell; of the locks themselves all is known.
    assert_eq!(deadlock["is_suspected"], false);
    // Its tasks are those that the skill `tasks` knows.
    let ids: Vec<_> = members.iter().map(|member| member["task"].as_u64().unwrap()).collect();
    for (id, place) in ids.iter().zip(members.iter().map(|member| &member["place"])) {
        assert_eq!(&service.query(&format!("tasks.get({id}).place")), place);
    }
    // There is no series before lens has recorded for a second.
    let series = "series(\"waits.deadlocks\", last=\"1m\").last";
    until("it is a metric", || {
        let answer = service.lens("POST", "/debug/lens/query", series);
        (answer.status == 200 && answer.body["value"] == 1.0).then_some(())
    });
    end(&service, "deadlock");
    until("it has ended", || (service.query("waits.deadlocks()") == Value::Array(Vec::new())).then_some(()));
}

#[test]
fn a_convoy_is_told_at_its_lock_and_is_no_deadlock() {
    let service = Service::start(&["--faults", "--load", "50"]);
    start(&service, "lock_convoy?count=100");
    let [ledger] = &places(&service, "lock_convoy", "created_at")[..] else { panic!("one lock") };
    let [task] = &places(&service, "lock_convoy", "spawned_at")[..] else { panic!("one place") };
    let holder = until("everybody but one waits", || {
        let holders = rows(&service, "holders()", ledger);
        holders.into_iter().find(|holder| holder["waiting_count"].as_u64().unwrap() >= 98)
    });
    assert!(is_at(&holder["place"], task), "{holder}");
    assert_eq!(holder["kind"], "mutex");
    for row in rows(&service, "longest(limit=1000)", ledger) {
        assert!(is_at(&row["place"], task), "{row}");
    }
    let top = service.query("waits.resources(limit=1)[0]");
    assert!(is_at(&top["place"], ledger), "{top}");
    for _ in 0..20 {
        assert_eq!(service.query("waits.deadlocks()"), Value::Array(Vec::new()));
    }
    end(&service, "lock_convoy");
}

#[test]
fn whoever_keeps_the_permits_is_named_by_those_who_wait_for_them() {
    let service = Service::start(&["--faults", "--load", "50"]);
    start(&service, "semaphore_exhausted");
    until_injected(&service, "semaphore_exhausted", 8);
    let [permits] = &places(&service, "semaphore_exhausted", "created_at")[..] else { panic!("one semaphore") };
    let [task] = &places(&service, "semaphore_exhausted", "spawned_at")[..] else { panic!("one place") };
    let keeper = until("a payment waits for the one who keeps all", || {
        let edges = rows(&service, "graph()", permits);
        edges.into_iter().find(|edge| is_at(&edge["holder_place"], task))
    });
    assert_eq!((&keeper["operation"], &keeper["kind"]), (&"acquire".into(), &"semaphore".into()));
    assert!(keeper["waiter_task"].is_u64(), "{keeper}");
    let holds = rows(&service, "holders()", permits);
    assert!(holds.iter().any(|hold| is_at(&hold["place"], task) && hold["count"] == 8), "{holds:?}");
    assert_eq!(service.query("waits.deadlocks()"), Value::Array(Vec::new()));
    end(&service, "semaphore_exhausted");
}

#[test]
fn senders_wait_for_the_task_that_receives() {
    let service = Service::start(&["--faults", "--load", "50"]);
    // The dispatcher has received something, so that it is known as the one who does.
    until("something was dispatched", || (service.get("/health").body["requests_total"].as_u64()? > 50).then_some(()));
    start(&service, "channel_full");
    let [dispatcher] = &places(&service, "channel_full", "spawned_at")[..] else { panic!("one place") };
    let script = "[row for row in waits.graph() if row.kind == \"channel\"]";
    let edge = until("senders wait for the dispatcher", || {
        let edges = service.query(script);
        edges.as_array()?.iter().find(|edge| is_at(&edge["holder_place"], dispatcher)).cloned()
    });
    assert_eq!(edge["operation"], "send");
    assert!(injected(&service, "channel_full") > 0);
    end(&service, "channel_full");
}

#[test]
fn a_healthy_service_has_neither_long_waits_nor_deadlocks() {
    let service = Service::start(&["--load", "200"]);
    until("it has worked", || (service.get("/health").body["requests_total"].as_u64()? > 400).then_some(()));
    for _ in 0..20 {
        assert_eq!(service.query("waits.deadlocks()"), Value::Array(Vec::new()));
        let locks = service.query("[row for row in waits.longest() if row.kind in (\"mutex\", \"rwlock\")]");
        assert_eq!(locks, Value::Array(Vec::new()));
    }
    let status = service.query("[row.status for row in lens.coverage() if row.skill == \"waits\"]");
    assert_eq!(status, Value::Array(vec!["live".into()]));
}
