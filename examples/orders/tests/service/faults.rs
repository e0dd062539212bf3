//! Faults are started and ended, and do what their truth says.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Service, until};

fn listed(service: &Service, name: &str) -> Value {
    let list = service.get("/faults").body;
    list.as_array().unwrap().iter().find(|fault| fault["name"] == name).unwrap().clone()
}

/// The line that a place names, without its indentation.
fn line_at(place: &Value) -> String {
    let (file, line) = place.as_str().unwrap().rsplit_once(':').unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let source = fs::read_to_string(root.join(file)).unwrap();
    source.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap().trim().to_owned()
}

fn start(service: &Service, fault: &str) {
    let answer = service.post(&format!("/faults/{fault}"));
    assert_eq!(answer.status, 202, "{answer:?}");
}

fn end(service: &Service, name: &str) {
    let answer = service.request("DELETE", &format!("/faults/{name}"), "");
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(listed(service, name)["running"], Value::Null);
}

fn injected(service: &Service, name: &str) -> u64 {
    listed(service, name)["running"]["injected"].as_u64().unwrap()
}

fn until_injected(service: &Service, name: &str, count: u64) {
    until(&format!("{name} has come to {count}"), || (injected(service, name) == count).then_some(()));
}

fn resident_bytes(service: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn without_the_flag_there_are_no_faults() {
    let service = Service::start(&[]);
    assert_eq!(service.get("/faults").status, 404);
    assert_eq!(service.post("/faults/task_leak").status, 404);
    assert_eq!(service.request("DELETE", "/faults/task_leak", "").status, 404);
}

#[test]
fn what_cannot_be_started_or_ended_is_a_problem() {
    let service = Service::start(&["--faults"]);
    let problem = |method: &str, path: &str| {
        let answer = service.request(method, path, "");
        assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        (answer.status, answer.body["detail"].as_str().unwrap().to_owned())
    };
    let (status, detail) = problem("POST", "/faults/gremlin");
    assert_eq!(status, 404);
    assert!(detail.starts_with("there is no fault `gremlin`; there are blocking_call, all_blocked"), "{detail}");
    let too_many = (400, "`count` must be 1 to 100000".to_owned());
    assert_eq!(problem("POST", "/faults/task_leak?count=100001"), too_many);
    assert_eq!(problem("POST", "/faults/all_blocked?seconds=61"), (400, "`seconds` must be 1 to 60".to_owned()));
    assert_eq!(problem("POST", "/faults/deadlock?rate=1"), (400, "`deadlock` has no rate".to_owned()));
    assert_eq!(problem("POST", "/faults/deadlock?speed=1").0, 400);
    assert_eq!(problem("DELETE", "/faults/deadlock"), (409, "`deadlock` does not go on".to_owned()));
    assert_eq!(problem("DELETE", "/faults/all_blocked").0, 409);
    start(&service, "deadlock");
    assert_eq!(problem("POST", "/faults/deadlock"), (409, "`deadlock` goes on already".to_owned()));
}

#[test]
fn every_place_names_the_line_that_is_marked_for_it() {
    let service = Service::start(&["--faults"]);
    let list = service.get("/faults").body;
    for fault in list.as_array().unwrap() {
        let name = fault["name"].as_str().unwrap();
        let place = line_at(&fault["truth"]["place"]);
        assert!(place.contains("; // here: ") || place.contains(", // here: "), "{name}: {place}");
        for spawned_at in fault["truth"]["spawned_at"].as_array().unwrap() {
            assert!(line_at(spawned_at).contains("spawn"), "{name}: {spawned_at}");
        }
    }
    let place = |name: &str| line_at(&listed(&service, name)["truth"]["place"]);
    assert_eq!(place("blocking_call"), "thread::sleep(SLICE); // here: blocking_call");
    assert_eq!(place("all_blocked"), "thread::sleep(SLICE); // here: blocking_call");
    assert_eq!(place("deadlock"), "let mut to = to.lock().await; // here: deadlock");
    assert_eq!(place("task_leak"), "tokio::spawn(wait_for_answer(context.clone())); // here: task_leak");
    assert_eq!(place("heap_leak"), "receipts.push(vec![0xa5_u8; BLOCK]); // here: heap_leak");
}

#[test]
fn every_removable_fault_is_started_ended_and_started_again() {
    let service = Service::start(&["--faults"]);
    let list = service.get("/faults").body;
    for fault in list.as_array().unwrap().iter().filter(|fault| fault["removable"] == true) {
        let name = fault["name"].as_str().unwrap();
        for _ in 0..2 {
            start(&service, name);
            until(&format!("{name} does something"), || (injected(&service, name) > 0).then_some(()));
            end(&service, name);
        }
    }
    assert_eq!(service.get("/health").body["status"], "ok");
}

#[test]
fn task_leak_leaks_as_many_tasks_as_it_says() {
    let service = Service::start(&["--faults"]);
    start(&service, "task_leak?rate=2000&count=300");
    until_injected(&service, "task_leak", 300);
    end(&service, "task_leak");
}

#[test]
fn heap_leak_keeps_as_much_memory_as_it_says() {
    let service = Service::start(&["--faults"]);
    let before = resident_bytes(&service);
    start(&service, "heap_leak?rate=5000&count=10000");
    until_injected(&service, "heap_leak", 10_000);
    let kept = resident_bytes(&service) - before;
    assert!((10_000 * 4_096..10_000 * 4_096 * 2).contains(&kept), "{kept}");
    end(&service, "heap_leak");
}

#[test]
fn blocking_call_leaves_the_other_workers() {
    let service = Service::start(&["--faults"]);
    start(&service, "blocking_call");
    until_injected(&service, "blocking_call", 1);
    for _ in 0..20 {
        assert_eq!(service.get("/health").status, 200);
    }
    end(&service, "blocking_call");
}

#[test]
fn all_blocked_stops_everything_for_as_long_as_it_says() {
    let service = Service::start(&["--faults", "--load", "50"]);
    let requests = || service.get("/health").body["requests_total"].as_u64().unwrap();
    let before = requests();
    start(&service, "all_blocked?seconds=1");
    // No answer comes before the end of the fault, and all of them after it.
    let listed = until("all workers are free again", || {
        let fault = listed(&service, "all_blocked");
        (fault["running"] == Value::Null).then_some(fault)
    });
    assert_eq!(listed["removable"], false);
    until("the load goes on", || (requests() > before + 50).then_some(()));
}

#[test]
fn semaphore_exhausted_refuses_payments_until_it_ends() {
    let service = Service::start(&["--faults"]);
    let place = || {
        let order = json!({"customer": "ada", "items": [{"sku": "tea", "quantity": 1}]}).to_string();
        let id = service.request("POST", "/orders", &order).body["id"].as_u64().unwrap();
        format!("/orders/{id}/pay")
    };
    start(&service, "semaphore_exhausted");
    until_injected(&service, "semaphore_exhausted", 8);
    let order = place();
    let refused = service.post(&order);
    assert_eq!(refused.status, 503, "{refused:?}");
    end(&service, "semaphore_exhausted");
    assert_eq!(service.post(&order).status, 200);
}
