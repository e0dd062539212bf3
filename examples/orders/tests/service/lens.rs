//! What lens says about the service, compared with the truth of a fault.

#[cfg(tokio_unstable)]
mod findings;
mod heap;
mod logs;
mod model;
#[cfg(tokio_unstable)]
mod readme;
#[cfg(tokio_unstable)]
mod tasks;
#[cfg(all(tokio_unstable, target_os = "linux", target_arch = "x86_64"))]
mod trees;
#[cfg(tokio_unstable)]
mod waits;

use serde_json::{Value, json};

use crate::faults::{end, start, until_injected};
use crate::harness::{Service, until};

#[test]
fn lens_answers_at_its_own_address_and_nested_in_the_service() {
    let service = Service::start(&[]);
    let own = service.lens("GET", "/debug/lens", "");
    let nested = service.get("/debug/lens");
    assert_eq!((own.status, nested.status), (200, 200), "{own:?} {nested:?}");
    let names = |answer: &Value| answer["skills"].as_array().unwrap().len();
    assert_eq!(names(&own.body), names(&nested.body));
    let nested = service.request("POST", "/debug/lens/query", "1 + 1");
    assert_eq!((nested.status, &nested.body["value"]), (200, &json!(2)), "{nested:?}");
}

#[test]
fn every_worker_is_seen_to_make_no_progress_while_all_are_blocked() {
    let service = Service::start(&["--faults", "--load", "20"]);
    start(&service, "all_blocked?seconds=60");
    let states = || service.query("[worker.state for worker in runtime.workers()]");
    let states = until("no worker makes progress", || {
        let states = states();
        states.as_array().unwrap().iter().all(|state| state == "no_progress").then_some(states)
    });
    assert!(!states.as_array().unwrap().is_empty());
}

#[test]
fn one_worker_is_seen_to_make_no_progress_while_it_is_blocked() {
    let service = Service::start(&["--faults"]);
    let stuck = "len([worker for worker in runtime.workers() if worker.state == \"no_progress\"])";
    assert_eq!(service.query(stuck), 0);
    start(&service, "blocking_call");
    until("one worker makes no progress", || (service.query(stuck) == 1).then_some(()));
    end(&service, "blocking_call");
    until("all workers make progress", || (service.query(stuck) == 0).then_some(()));
}

#[test]
fn the_heap_grows_by_what_is_leaked() {
    let service = Service::start(&["--faults"]);
    let live = || service.query("heap.stats().live_bytes").as_u64().unwrap();
    let before = live();
    start(&service, "heap_leak?rate=5000&count=20000");
    until_injected(&service, "heap_leak", 20_000);
    let (leaked, grown) = (20_000 * 4_096, live() - before);
    // lens may just have read the line tables of a stall.
    assert!((leaked..leaked * 3 / 2).contains(&grown), "{grown} for {leaked}");
    end(&service, "heap_leak");
    assert!(live() < before + leaked / 4);
}

#[test]
fn pages_that_are_nearly_empty_are_active_and_not_live() {
    let service = Service::start(&["--faults"]);
    start(&service, "fragmentation?count=200000");
    until_injected(&service, "fragmentation", 200_000);
    let wasted = "heap.stats().active_bytes - heap.stats().live_bytes";
    let scattered = 200_000 / 16 * 15 * 256;
    until("the blocks between those that are kept are freed", || {
        (service.query(wasted).as_u64()? > scattered / 10 * 9).then_some(())
    });
    end(&service, "fragmentation");
}

#[cfg(not(tokio_unstable))]
#[test]
fn without_tokio_unstable_tasks_say_how_to_get_them() {
    let service = Service::start(&[]);
    let refused = service.lens("POST", "/debug/lens/query", "tasks.count()");
    assert!(refused.body.to_string().contains("--cfg tokio_unstable"), "{refused:?}");
}
