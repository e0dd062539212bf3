//! What is found without a model: over HTTP, from Rust and from a file, with checks of the service's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Service, ask};

/// States that lens runs, which is true of every service.
const RUNS: &str = "\
# lens runs.
#
# skills: lens

LEAST_MS = 0  # It takes no time to start.

def main():
    if lens.cost().uptime_ms < LEAST_MS:
        return []
    shown = fact(f\"lens has run for {lens.cost().uptime_ms:.0f} ms\", \"lens.cost().uptime_ms\")
    return [finding(\"other\", \"info\", [shown], \"leave it on\", place=\"src/main.rs:7:5\", hypothesis=\"somebody started it\")]
";

/// States what is not true.
const LIES: &str = "\
# Nothing runs.
#
# skills: lens

def main():
    return [finding(\"other\", \"critical\", [fact(\"no thread runs\", \"lens.cost().thread_count == 0\")], \"panic\")]
";

const LOOPS: &str = "\
# It does not end.
#
# skills: lens

def main():
    return [x for x in range(1000000) for y in range(1000000)]
";

const DIVIDES: &str = "\
# It divides by zero.
#
# skills: lens

def main():
    return [1 / (lens.cost().thread_count - lens.cost().thread_count)]
";

fn with_checks() -> Service {
    Service::start_with(|builder| {
        builder.check("runs", RUNS).check("lies", LIES).check("loops", LOOPS).check("divides", DIVIDES)
    })
}

fn of<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    let findings =
        report["insights"].as_array().unwrap().iter().flat_map(|insight| insight["findings"].as_array().unwrap());
    findings.filter(|finding| finding["check"] == check).collect()
}

#[test]
fn a_services_own_check_is_found_and_broken_ones_are_reported_beside_it() {
    let service = with_checks();
    let report = service.get("/findings").json();
    let [runs] = of(&report, "runs")[..] else { panic!("{report:#}") };
    assert_eq!(
        (&runs["cause"], &runs["severity"], &runs["skill"]),
        (&json!("other"), &json!("info"), &json!("service"))
    );
    assert_eq!(runs["facts"][0]["capture"], report["capture"]);
    assert_eq!(of(&report, "lies"), Vec::<&Value>::new(), "{report:#}");
    let why = |check: &str| {
        let defects = report["defects"].as_array().unwrap();
        let defect = defects.iter().find(|defect| defect["check"] == check);
        defect.unwrap_or_else(|| panic!("{report:#}"))["why"].as_str().unwrap().to_owned()
    };
    assert!(why("lies").contains("it is False"), "{}", why("lies"));
    assert!(why("loops").contains("too slow"), "{}", why("loops"));
    assert!(why("divides").contains("zero"), "{}", why("divides"));
    assert_eq!(report["defects"].as_array().unwrap().len(), 3, "{report:#}");
    assert_eq!(report["status"], "unknown", "a defective check may have missed something");
    assert_eq!(service.get("").json()["health"]["status"], "unknown");

    let from_rust = service.lens().findings();
    assert_eq!(from_rust.findings().filter(|finding| finding.check == "runs").count(), 1);
    assert_eq!(from_rust.defects.len(), 3);
}

#[test]
fn a_threshold_that_the_service_sets_decides() {
    let service = Service::start_with(|builder| builder.check("runs", RUNS).threshold("runs.LEAST_MS", 1e9));
    let report = service.get("/findings").json();
    assert_eq!(of(&report, "runs"), Vec::<&Value>::new());
    let checks = service.get("/checks").json();
    let runs = checks.as_array().unwrap().iter().find(|check| check["name"] == "runs").unwrap();
    assert_eq!(runs["doc"], "lens runs.");
    assert_eq!(runs["thresholds"][0]["value"], 1e9);
    assert_eq!(runs["thresholds"][0]["default"], 0.0);
    let file = service.get("/capture").body;
    let error = lens::Builder::new().threshold("runs.LEAST_MS", 1.0).open(file.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("there is no threshold `runs.LEAST_MS`"), "{error}");
}

#[test]
fn every_shipped_check_is_evaluated_or_says_why_not() {
    let service = Service::start();
    let report = service.get("/findings").json();
    assert_eq!(report["defects"], json!([]), "{report:#}");
    let checks = service.get("/checks").json().as_array().unwrap().len();
    let not_checked = report["not_checked"].as_array().unwrap();
    assert_eq!(report["checked_count"].as_u64().unwrap() + not_checked.len() as u64, checks as u64, "{report:#}");
    assert!(not_checked.iter().all(|missing| !missing["because"].as_str().unwrap().is_empty()));
    let panics = not_checked.iter().find(|missing| missing["check"] == "panic_loop").unwrap();
    assert!(panics["because"].as_str().unwrap().contains("record_panics"), "{panics}");
}

#[test]
fn a_report_is_json_text_and_a_page() {
    let service = with_checks();
    let text = service.get("/findings?format=text");
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    for part in [
        "lens has run for",
        "where     src/main.rs:7:5",
        "do        leave it on",
        "(hypothesis)",
        "defective check: lies",
    ] {
        assert!(text.body.contains(part), "{part}: {}", text.body);
    }
    let page = service.get_with("/findings", &[("accept", "text/html")]);
    for part in
        ["lens has run for", "src/main.rs:7:5", "what to do", "leave it on", "may be wrong: somebody started it"]
    {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    for path in ["/checks", "/investigations"] {
        let page = service.get_with(path, &[("accept", "text/html")]);
        assert_eq!(page.status, 200);
        assert!(page.body.contains("</html>"), "{path}");
    }
    assert_eq!(service.get("/findings?format=xml").code(), "format");
}

#[test]
fn an_investigation_is_started_listed_and_read_and_its_facts_are_true_in_its_capture() {
    let service = Service::start_with(|builder| builder.check("runs", RUNS));
    let order = json!({"reason": "orders <b>are</b> slow"}).to_string();
    let started = ask(service.address(), "POST", "/debug/lens/investigations", &[], order.as_bytes());
    assert_eq!(started.status, 202, "{}", started.body);
    let href = started.header("location").unwrap().to_owned();
    let read = || ask(service.address(), "GET", &href, &[], b"").json();
    let mut answer = read();
    while answer["status"] == "running" {
        std::thread::sleep(Duration::from_millis(10));
        answer = read();
    }
    assert_eq!(answer["reason"], "orders <b>are</b> slow");
    assert_eq!(answer["report"]["ended_by"], "completion");
    let page = ask(service.address(), "GET", &href, &[("accept", "text/html")], b"");
    assert!(page.body.contains("orders &lt;b&gt;are&lt;/b&gt; slow"), "a reason is data: {}", page.body);

    let file = ask(service.address(), "GET", answer["capture"].as_str().unwrap(), &[], b"");
    let report: lens::Report = serde_json::from_value(answer["report"].clone()).unwrap();
    let replay = lens::Builder::new().check("runs", RUNS).open(file.body.as_bytes()).unwrap();
    let (facts, wrong) = replay.verify(&report);
    assert!(facts >= 1 && wrong.is_empty(), "{wrong:?}");
    let shown = |report: &lens::Report| report.insights.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&replay.findings()), shown(&report));

    let from_rust = service.lens().investigate("asked from Rust");
    let list = service.get("/investigations").json();
    assert_eq!(list[0]["id"], from_rust.capture, "the newest first: {list:#}");
    assert_eq!(list[1]["href"], href);
    let stores = service.value("[s.len_count for s in lens.stores() if s.store == \"investigations\"]");
    assert_eq!(stores, json!([2]));
    let stores = service.value("[s.store for s in lens.stores() if s.skill == \"lens\"]");
    let stores: Vec<&str> = stores.as_array().unwrap().iter().filter_map(serde_json::Value::as_str).collect();
    for place in ["queries", "checks", "queries of models", "checks of investigations", "work of investigations"] {
        let ended_late = format!("{place} that did not end");
        assert!(stores.contains(&place) && stores.contains(&&*ended_late), "{place}: {stores:?}");
    }
}

#[test]
fn investigations_are_cancelled_one_at_a_time_and_bounded() {
    let slow = |name: &'static str| (name, LOOPS);
    let service = Service::start_with(|builder| {
        ["loops_a", "loops_b", "loops_c"]
            .into_iter()
            .map(slow)
            .fold(builder, |builder, (name, source)| builder.check(name, source))
    });
    let post = |body: &[u8]| ask(service.address(), "POST", "/debug/lens/investigations", &[], body);
    let href = post(b"").header("location").unwrap().to_owned();
    let second = post(b"");
    assert_eq!((second.status, second.code().as_str()), (409, "running"));
    assert_eq!(second.json()["href"], href.as_str());
    assert_eq!(ask(service.address(), "DELETE", &href, &[], b"").status, 202);
    let read = || ask(service.address(), "GET", &href, &[], b"").json();
    while read()["status"] == "running" {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(read()["report"]["ended_by"], "cancellation");
    assert_eq!(ask(service.address(), "DELETE", &href, &[], b"").code(), "ended");
    assert_eq!(service.get("/investigations/nonsense").code(), "not_found");
    let wrong = post(b"{\"why\": 1}");
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "body"));

    let hurried = post(b"{\"deadline_ms\": 1}").header("location").unwrap().to_owned();
    let read = || ask(service.address(), "GET", &hurried, &[], b"").json();
    while read()["status"] == "running" {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(read()["report"]["ended_by"], "deadline");
}

#[test]
fn a_task_that_blocks_its_worker_is_found_with_its_line() {
    let service = Service::start();
    let (release, held) = channel::<()>();
    let (entered, blocked) = channel();
    let line = line!() + 3;
    service.runtime().spawn(async move {
        entered.send(()).unwrap();
        let _ = held.recv_timeout(Duration::from_secs(60));
    });
    blocked.recv_timeout(Duration::from_secs(10)).unwrap();
    // One of two workers; the other gets work so that the runtime goes on.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let blocking =
        |report: &lens::Report| report.findings().find(|finding| finding.cause == lens::Cause::BlockingCall).cloned();
    let finding = loop {
        service.runtime().spawn(async {});
        let report: lens::Report = serde_json::from_value(service.get("/findings").json()).unwrap();
        if let Some(found) = blocking(&report).filter(|finding| finding.place.is_some()) {
            break found;
        }
        assert!(std::time::Instant::now() < deadline, "{report:#?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(finding.place.unwrap().contains(&format!("tests/integration/findings.rs:{line}")), "{:?}", finding.facts);

    // The same stall a moment earlier: its line has not been looked up yet.
    let mut file = service.get("/capture").json();
    drop(release);
    forget_lines(&mut file);
    let earlier = blocking(&lens::Builder::new().open(file.to_string().as_bytes()).unwrap().findings());
    // Stable tokio does not tell where the task was spawned: without its line nothing is known of this stall.
    let expected = (!finding.spawned_at.is_empty()).then_some((None, finding.spawned_at));
    assert_eq!(earlier.map(|finding| (finding.place, finding.spawned_at)), expected);
}

/// The stalls in a capture: those that go on (`"now"`), or those that ended (`"past"`).
fn stalls<'a>(capture: &'a mut Value, which: &str) -> &'a mut Vec<Value> {
    capture["skills"]["stalls"]["state"]["Ok"][which].as_array_mut().unwrap()
}

/// Takes the lines from all stalls in a capture.
fn forget_lines(capture: &mut Value) {
    for which in ["now", "past"] {
        for row in stalls(capture, which) {
            row["place"] = Value::Null;
            row["function"] = Value::Null;
        }
    }
}

/// Waits until a finding of `check` has a fact that begins so.
#[track_caller]
fn until_fact(service: &Service, check: &str, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let report = service.get("/findings").json();
        assert_eq!(report["defects"], json!([]), "{report:#}");
        let mut facts = of(&report, check).into_iter().flat_map(|finding| finding["facts"].as_array().unwrap());
        if facts.any(|fact| fact["text"].as_str().unwrap().starts_with(text)) {
            return;
        }
        assert!(Instant::now() < deadline, "{report:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_task_that_never_yields_is_told_with_its_stall() {
    // Only tokio's hooks tell the task, and only there can stacks be taken.
    if !lens_tokio::TOKIO_UNSTABLE || !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return;
    }
    const NEVER: &str = "1 of these tasks had not yielded once";
    let service = Service::start();
    let (release, held) = channel::<()>();
    service.runtime().spawn(async move { assert!(held.recv().is_err()) });
    until_fact(&service, "blocking_call", NEVER);
    drop(release);
    let is_over = Arc::new(AtomicBool::new(false));
    let same = Arc::clone(&is_over);
    let place = format!("tests/integration/findings.rs:{}:", line!() + 1);
    service.runtime().spawn(async move { while !same.load(Ordering::Relaxed) {} });
    until_fact(&service, "cpu_hog", NEVER);
    let capture = service.get("/capture").json();
    is_over.store(true, Ordering::Relaxed);
    computes_without_a_line(&capture, &place);
}

/// What is found in a capture of a task that computes, spawned at `place`, where its stack or its line is not known.
fn computes_without_a_line(capture: &Value, place: &str) {
    let hogs = |edit: &dyn Fn(&mut Vec<Value>, usize)| {
        let mut capture = capture.clone();
        forget_lines(&mut capture);
        let now = stalls(&mut capture, "now");
        let hog =
            now.iter().position(|row| row["spawn_place"].as_str().unwrap_or_default().starts_with(place)).unwrap();
        edit(now, hog);
        let report = lens::Builder::new().open(capture.to_string().as_bytes()).unwrap().findings();
        report.findings().filter(|finding| finding.cause == lens::Cause::CpuHog).cloned().collect::<Vec<_>>()
    };
    for fix in [None, Some("allow it")] {
        let found = hogs(&|now, hog| now[hog]["place_fix"] = fix.into());
        let [hog] = &found[..] else { panic!("one task computes, the other waits: {found:#?}") };
        assert_eq!((&hog.place, hog.tasks.len(), hog.spawned_at.len()), (&None, 1, 1));
        assert!(hog.spawned_at[0].starts_with(place), "{:?}", hog.spawned_at);
        assert!(hog.summary.starts_with(&format!("a task spawned at {place}")), "{}", hog.summary);
        assert_eq!(hog.remedy.split_once("; to see its line, ").map(|(_, fix)| fix), fix);
    }
    // It has waited for something, or nobody knows.
    for cpu_ms in [json!(5), json!(null)] {
        assert_eq!(hogs(&|now, hog| now[hog]["cpu_ms"] = cpu_ms.clone()), []);
    }
    // Two tasks that compute are two findings, whether the place of one is known or not.
    for known in [json!(null), json!("src/cart.rs:41")] {
        let found = hogs(&|now, hog| {
            let mut other = now[hog].clone();
            (other["task_id"], other["spawn_place"], other["place"]) =
                (json!(1), json!("src/main.rs:7:5"), known.clone());
            now.push(other);
        });
        let mut places: Vec<_> = found.iter().map(|finding| (&finding.place, &finding.spawned_at[..])).collect();
        places.sort_by_key(|(_, spawned_at)| spawned_at[0] == "src/main.rs:7:5");
        let [(None, [own]), (other, [main])] = places[..] else { panic!("two: {found:#?}") };
        assert!(own.starts_with(place) && main == "src/main.rs:7:5" && json!(other) == known, "{found:#?}");
    }
}
