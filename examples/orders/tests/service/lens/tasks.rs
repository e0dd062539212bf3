//! What lens says about tasks. Separate because tokio tells of them only when it is built with `--cfg tokio_unstable`.

use serde_json::Value;

use crate::faults::{end, injected, listed, start, until_injected};
use crate::harness::{Service, until};

/// The site with this place, as `tasks.sites` gives it.
fn site(service: &Service, place: &Value) -> Option<Value> {
    let place = place.as_str().unwrap();
    let script = format!("[site for site in tasks.sites(limit=1000) if (site.place or \"\").startswith(\"{place}:\")]");
    let sites = service.query(&script);
    assert!(sites.as_array().unwrap().len() <= 1, "{sites}");
    sites.get(0).cloned()
}

#[test]
fn leaked_tasks_are_counted_at_the_line_that_spawns_them() {
    let service = Service::start(&["--faults", "--load", "50"]);
    start(&service, "task_leak?rate=2000&count=300");
    until_injected(&service, "task_leak", 300);
    let place = &listed(&service, "task_leak")["truth"]["place"];
    assert_eq!(site(&service, place).unwrap()["live"], 300);
    let top = service.query("tasks.sites(limit=1, by=\"live\")[0].place");
    assert!(top.as_str().unwrap().starts_with(place.as_str().unwrap()), "{top}");
    end(&service, "task_leak");
    until("all have ended", || (site(&service, place).unwrap()["live"] == 0).then_some(()));
}

#[test]
fn an_orphan_names_the_import_that_spawned_it() {
    let service = Service::start(&["--faults"]);
    start(&service, "orphaned_tasks?rate=100&count=20");
    until_injected(&service, "orphaned_tasks", 20);
    let place = &listed(&service, "orphaned_tasks")["truth"]["place"];
    until("all are spawned", || (site(&service, place)?["live"] == 20).then_some(()));
    let orphans = format!("tasks.list(site=\"{}:\", limit=1000)", place.as_str().unwrap());
    let parents = service.query(&format!("[task.parent for task in {orphans}]"));
    let mut parents: Vec<_> = parents.as_array().unwrap().iter().map(|parent| parent.as_u64().unwrap()).collect();
    parents.sort_unstable();
    parents.dedup();
    assert_eq!(parents.len(), 20, "each import has spawned one");
    end(&service, "orphaned_tasks");
}

#[test]
fn every_spawn_place_is_the_one_that_tokio_names() {
    let service = Service::start(&["--faults"]);
    let list = service.get("/faults").body;
    // Tokio's hooks don't tell of tasks on the blocking pool, and nothing answers while all workers are blocked.
    let untold = ["blocking_pool_exhausted", "all_blocked"];
    for fault in list.as_array().unwrap() {
        let name = fault["name"].as_str().unwrap();
        if untold.contains(&name) {
            continue;
        }
        start(&service, name);
        until("something is injected", || (injected(&service, name) > 0).then_some(()));
        for place in fault["truth"]["spawned_at"].as_array().unwrap() {
            let spawned = || site(&service, place)?["spawned_total"].as_u64();
            until(&format!("{name} spawns at {place}"), || spawned().filter(|&spawned| spawned > 0));
        }
        end(&service, name);
    }
}
