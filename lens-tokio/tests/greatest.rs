//! Functions over a capture's file whose numbers are as large as they can be. A file of its own because it needs no
//! runtime and runs on every flavour.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;

use lens_core::{About, Arguments, Capture, Recorder, RegistryBuilder, Skill, Unavailable};
use lens_tokio::{RuntimeSkill, TasksSkill};
use serde_json::{Value, json};

/// A capture out of a file in which `state` is that of the skill.
fn opened<S: Skill>(name: &'static str, state: Value) -> Capture {
    let mut builder = RegistryBuilder::for_captures();
    builder.unread::<S>(About::new(name, "", ""), Unavailable::NeedsTokioUnstable).unwrap();
    let registry = Arc::new(builder.build());
    let mut file = Vec::new();
    Capture::frozen(&registry, &Arc::new(Recorder::new())).save(&mut file).unwrap();
    let mut file: Value = serde_json::from_slice(&file).unwrap();
    file["skills"][name]["state"] = json!({ "Ok": state });
    Capture::open(&registry, file.to_string().as_bytes()).unwrap()
}

fn asked(capture: &Capture, skill: &str, function: &str) -> Value {
    capture.call(skill, function, Arguments::named(Vec::new())).unwrap().to_json()
}

#[test]
fn the_greatest_counts_of_tasks_are_summed_up_to_the_greatest_number() {
    const MOST: u64 = u64::MAX;
    let site = |line: u32, is_lens: bool| {
        json!({
            "place": format!("src/a.rs:{line}:1"), "name": "shop/cart", "is_lens": is_lens,
            "live": MOST, "spawned": MOST, "finished": MOST, "polls": MOST, "busy_ns": MOST, "longest_ns": 1.0,
            "allocated_bytes": MOST, "freed_bytes": MOST, "poll_times": [MOST, MOST], "lifetimes": vec![MOST; 200],
            "rates": null,
        })
    };
    let state = json!({
        "tasks": {"at_ms": MOST, "rows": [], "running": [], "places": []},
        "sites": [site(1, false), site(2, false), site(3, true), site(4, true)],
        "runtimes": [],
        "totals": {
            "spawned": MOST, "finished": 0, "running": MOST, "polls": MOST, "busy_ns": MOST, "unknown_ends": MOST,
            "untracked": MOST, "unplaced": MOST,
        },
        "bytes": {"Ok": null},
    });
    let capture = opened::<TasksSkill>("tasks", state);
    let groups = asked(&capture, "tasks", "groups");
    assert_eq!(groups.as_array().unwrap().len(), 1);
    for field in ["live", "spawned_total", "finished_total", "polls_total"] {
        assert_eq!(groups[0][field], MOST, "{field}");
    }
    let count = asked(&capture, "tasks", "count");
    assert_eq!((&count["live"], &count["own"]), (&json!(MOST), &json!(MOST)));
    let sites = asked(&capture, "tasks", "sites");
    // All polls lie in two buckets in equal parts, all lifetimes in 200.
    let site = &sites[0];
    assert!(site["poll_p50_ms"].as_f64().unwrap() < site["poll_p99_ms"].as_f64().unwrap(), "{site}");
    assert_eq!(site["lifetime_p99_ms"], 2_f64.powi(64));
}

#[test]
fn the_greatest_times_of_a_runtime_have_shares() {
    const MOST: u64 = u64::MAX;
    let absent = json!({"unavailable": "needs_tokio_unstable", "fix": "build so"});
    let bucket = json!({"start_ns": MOST, "end_ns": MOST, "count": MOST});
    let frame = |at_ns: u64, busy_ns: u64| json!({"at_ns": at_ns, "workers": [{"busy_ns": busy_ns, "park_count": MOST, "poll_count": MOST}]});
    let worker = json!({
        "progress": {"published": {"park_count": MOST, "park_unpark_count": 0, "busy_ns": MOST}, "since_ns": 0},
        "unstable": absent,
    });
    let runtime = json!({
        "identity": {
            "label": "main", "id": MOST, "name": null, "flavor": "multi_thread", "num_workers": MOST,
            "attached_at": "2026-01-01T00:00:00Z",
        },
        "now_ns": MOST, "num_alive_tasks": MOST, "global_queue_depth": MOST, "unstable": absent,
        "canary": {"answered_ns": MOST, "waiting_ns": MOST},
        "workers": [worker],
        "window": [frame(0, 0), frame(MOST, MOST), frame(MOST - 1, 0), frame(MOST, MOST)],
        "poll_times": [bucket, bucket],
        "intervals": [],
    });
    let state = json!({"runtimes": [runtime], "ended": [], "task_monitors": []});
    let capture = opened::<RuntimeSkill>("runtime", state);
    let buckets = asked(&capture, "runtime", "poll_times");
    assert_eq!((&buckets[0]["polls_ratio"], &buckets[1]["polls_ratio"]), (&json!(1.0), &json!(1.0)));
    let workers = asked(&capture, "runtime", "workers");
    assert_eq!(workers[0]["busy_ratio"], 1.0);
    let stats = asked(&capture, "runtime", "stats");
    assert_eq!(stats[0]["busy_ratio"], 1.0);
}
