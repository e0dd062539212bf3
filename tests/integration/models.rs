//! Investigations that ask a model, over HTTP and from Rust. The model is scripted; what is asked of it is in lens-core's
//! tests.

use std::time::{Duration, Instant};

use lens::evidence::EndedBy;
use lens::investigation::{Order, Strategy};
use lens::model::{ErrorClass, Line, Prompt, Scripted};
use serde_json::{Value, json};

use crate::support::{Reply, Service, ask};

/// Looks at lens's own skill, states one thing that is true and one that is not.
fn honest_and_not(prompt: &Prompt) -> Line {
    let action = if prompt.system.contains("You sort requests") {
        json!({"intent": "investigation", "skills": ["lens"]})
    } else if prompt.system.contains("You conclude") {
        json!({"intent": "conclude", "insights": []})
    } else {
        match prompt.messages.len() {
            1 => finding("lens runs 9999 threads", "lens.cost().thread_count"),
            3 => finding("the version of lens is \"0.1.0\"", "lens.cost().version"),
            _ => json!({"intent": "done"}),
        }
    };
    Line::acts(&action)
}

fn finding(text: &str, expr: &str) -> Value {
    json!({
        "intent": "report_finding", "cause": "other", "severity": "info",
        "facts": [{"text": text, "expr": expr}], "snapshot": "s1",
    })
}

fn post(service: &Service, path: &str, body: &Value) -> Reply {
    ask(service.address(), "POST", &format!("/debug/lens{path}"), &[], body.to_string().as_bytes())
}

fn ended(service: &Service, href: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ask(service.address(), "GET", href, &[], b"").json();
        if answer["status"] != "running" {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:#}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_pipeline_started_over_http_has_a_report_with_true_facts_and_a_transcript() {
    let service = Service::start_with(|builder| builder.model(Scripted::new(honest_and_not)));
    let started = post(&service, "/investigations?strategy=pipeline", &json!({"reason": "how is lens"}));
    assert_eq!(started.status, 202, "{}", started.body);
    let answer = ended(&service, started.header("location").unwrap());
    let report = &answer["report"];
    assert_eq!((&report["strategy"], &report["ended_by"]), (&json!("pipeline"), &json!("completion")), "{report:#}");
    let text = report.to_string();
    assert!(text.contains("the version of lens is"), "{report:#}");
    assert!(!report["insights"].to_string().contains("9999"), "what is not true is in no report: {report:#}");
    assert_eq!(report["model"]["spent"]["refused_facts"], 1);
    let transcript = answer["transcript"]["entries"].as_array().unwrap();
    let steps: Vec<&str> = transcript.iter().map(|entry| entry["step"].as_str().unwrap()).collect();
    for step in ["instructed", "told", "asked", "said", "refused"] {
        assert!(steps.contains(&step), "{steps:?}");
    }
    let file = ask(service.address(), "GET", answer["capture"].as_str().unwrap(), &[], b"");
    let report: lens::Report = serde_json::from_value(report.clone()).unwrap();
    let (facts, wrong) = lens::Builder::new().open(file.body.as_bytes()).unwrap().verify(&report);
    assert!(facts >= 1 && wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_model_that_fails_is_said_over_http_and_the_checks_report_is_there() {
    let model = Scripted::new(|_| Line::fails(ErrorClass::Unauthorized));
    let service = Service::start_with(|builder| builder.model(model).strategy(Strategy::Pipeline));
    let started = post(&service, "/investigations", &json!({}));
    let answer = ended(&service, started.header("location").unwrap());
    assert_eq!(answer["report"]["ended_by"]["model_failed"]["class"], "unauthorized", "{answer:#}");
    assert!(answer["report"]["checked_count"].as_u64().unwrap() > 0);
    let wrong = post(&service, "/investigations?strategy=pipline", &json!({}));
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "argument"));
    assert!(wrong.body.contains("did you mean `pipeline`?"), "{}", wrong.body);
}

#[test]
fn dropping_an_investigation_cancels_it_and_stopping_lens_ends_it() {
    let service = Service::start_with(|builder| builder.model(Scripted::new(|_| Line::is_silent())));
    let order = || Order::new("").strategy(Strategy::AgentLoop);
    let investigation = service.lens().investigate_with(order()).unwrap();
    let href = format!("/debug/lens/investigations/{}", investigation.id());
    drop(investigation);
    assert_eq!(ended(&service, &href)["report"]["ended_by"], "cancellation");
    let investigation = service.lens().investigate_with(order()).unwrap();
    drop(service);
    assert!(investigation.wait().is_err_and(|error| error.to_string() == "lens has stopped"));
}

#[test]
fn without_a_model_the_checks_answer_and_the_report_says_what_is_missing() {
    let service = Service::start();
    let report = service.lens().investigate_with(Order::new("").strategy(Strategy::AgentLoop)).unwrap().wait().unwrap();
    assert_eq!((report.strategy.as_str(), &report.ended_by), ("agent_loop", &EndedBy::NoModel));
    assert!(report.checked_count > 0);
}
