//! Where the service's tasks wait, as lens says, compared with the line of a fault's truth.

use serde_json::Value;

use crate::faults::{end, injected, listed, start};
use crate::harness::{Service, until};

/// The lines in the tree of the one task with this name.
fn tree(service: &Service, name: &str) -> Option<Vec<Value>> {
    let rows = service.query(&format!("tasks.awaiting(site=\"{name}\")"));
    let [row] = &rows.as_array()?[..] else { panic!("one task: {rows}") };
    let tree = row["tree"].as_array()?;
    (!tree.is_empty()).then(|| tree.iter().map(|frame| frame["place"].clone()).collect())
}

#[test]
fn a_jammed_dispatcher_waits_at_the_line_that_prints() {
    let service = Service::start(&["--faults", "--load", "50"]);
    start(&service, "channel_full");
    let place = listed(&service, "channel_full")["truth"]["place"].clone();
    until("the dispatcher waits for the printer", || {
        let tree = tree(&service, "workers/dispatcher");
        tree.filter(|tree| tree.contains(&place))
    });
    assert!(injected(&service, "channel_full") > 0);

    // The same as text, with all other tasks.
    let live = || service.query("tasks.count().live - tasks.count().own").as_u64().unwrap();
    let before = live();
    let text = service.lens("GET", "/debug/lens/tasks?debug=1", "");
    let after = live();
    let text = text.body.as_str().unwrap().to_owned();
    assert!(text.starts_with("tasks: "), "{text}");
    let groups: Vec<&str> = text.split("\n\n").collect();
    let dispatcher = groups.iter().find(|group| group.contains("\"workers/dispatcher\"")).unwrap();
    assert!(dispatcher.starts_with("1 idle") && dispatcher.contains(place.as_str().unwrap()), "{dispatcher}");
    let counts = groups[1..].iter().map(|group| group.split(' ').next().unwrap().parse::<u64>().unwrap());
    let (least, most) = (before.min(after).saturating_sub(10), before.max(after) + 10);
    assert!((least..=most).contains(&counts.sum::<u64>()), "connections come and go: {before}, {after}, {text}");
    end(&service, "channel_full");
    until("the dispatcher goes on", || tree(&service, "workers/dispatcher").filter(|tree| !tree.contains(&place)));
}

#[test]
fn a_level_that_there_is_not_is_refused() {
    let service = Service::start(&[]);
    let refused = service.lens("GET", "/debug/lens/tasks?debug=2", "");
    assert_eq!((refused.status, &refused.body["code"]), (400, &"argument".into()));
}
