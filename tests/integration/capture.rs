//! A capture over HTTP is a file that answers as the process did.

use serde_json::json;

use crate::custom_skill::Counter;
use crate::support::Service;

#[test]
fn a_downloaded_capture_answers_as_it_did_live() {
    let service = Service::start_with(|builder| builder.skill(Counter::named("counter")));
    service.wait_until("1", |_| service.get("/series?name=runtime.alive_tasks").status == 200);
    let file = service.get("/capture");
    assert_eq!(file.status, 200);
    assert!(file.header("content-disposition").unwrap().starts_with("attachment; filename=\"lens-"));

    let incident = lens::Builder::new().skill(Counter::named("counter")).open(file.body.as_bytes()).unwrap();
    let ask = |script: &str| incident.query(script).unwrap().value;
    assert_eq!(ask("counter.row(plus=1).collected_total"), json!(2));
    assert_eq!(ask("len(runtime.workers())"), json!(2));
    assert_eq!(ask("os.process().pid"), json!(std::process::id()));
    assert_eq!(ask("series(\"counter.count\").last"), json!(42.0));
    assert_eq!(ask("capture.at"), file.json()["captured_at"]);
}

#[test]
fn a_truncated_capture_says_so() {
    let service = Service::start();
    let file = service.get("/capture").body;
    let refused = lens::Builder::new().open(&file.as_bytes()[..file.len() / 2]).unwrap_err();
    assert!(refused.to_string().starts_with("the capture is truncated"), "{refused}");
}
