//! Investigations that ask a model, over HTTP and from Rust. The model is scripted; what is asked of it is in lens-core's
//! tests.

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lens::evidence::EndedBy;
use lens::investigation::{Approach, Approaching, Order, Run, Strategy};
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

/// CO-18: whoever waited and is gone wants no report any more.
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

/// CO-18: a client that goes ends its question, and what was found until then is kept.
#[test]
fn a_client_that_goes_ends_its_question() {
    let service = Service::start_with(|builder| builder.model(Scripted::new(|_| Line::is_silent())));
    let mut listener = service.lens().events();
    let mut client = std::net::TcpStream::connect(service.address()).unwrap();
    write!(client, "POST /debug/lens/ask HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nwhy?").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while listener.try_next().is_none_or(|happened| happened.event.word() != "model_started") {
        assert!(Instant::now() < deadline, "the model is not asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    let running = service.get("/investigations").json()[0].clone();
    assert_eq!(running["status"], "running", "{running}");
    drop(client);
    let report = ended(&service, running["href"].as_str().unwrap())["report"].clone();
    assert_eq!((&report["reason"], &report["ended_by"]), (&json!("why?"), &json!("cancellation")), "{report:#}");
    assert!(report["checked_count"].as_u64().unwrap() > 0);
}

#[test]
fn without_a_model_the_checks_answer_and_the_report_says_what_is_missing() {
    let service = Service::start();
    let report = service.lens().investigate_with(Order::new("").strategy(Strategy::AgentLoop)).unwrap().wait().unwrap();
    assert_eq!((report.strategy.as_str(), &report.ended_by), ("agent_loop", &EndedBy::NoModel));
    assert!(report.checked_count > 0);
}

fn answering(prompt: &Prompt) -> Line {
    let action = if prompt.system.contains("You sort requests") {
        json!({"intent": "question", "skills": ["lens"]})
    } else {
        let fact = json!({"text": "the version of lens is \"0.1.0\"", "expr": "lens.cost().version"});
        json!({"intent": "answer", "facts": [fact], "hypothesis": "it may be old"})
    };
    Line::acts(&action)
}

/// WEB-08: a question is answered with facts, and kept with what was sent.
#[test]
fn a_question_in_words_is_answered_with_facts() {
    let service = Service::start_with(|builder| builder.model(Scripted::new(answering)));
    let answer = post_text(&service, "/ask", "which version is this?");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    assert_eq!(json["text"], "the version of lens is \"0.1.0\".", "{json:#}");
    assert_eq!((&json["facts"][0]["value"], &json["hypothesis"]), (&json!("0.1.0"), &json!("it may be old")));
    assert_eq!(post_text(&service, "/ask?format=text", "which?").body, "the version of lens is \"0.1.0\".\n");
    let kept = ask(service.address(), "GET", json["href"].as_str().unwrap(), &[], b"").json();
    assert_eq!(kept["report"]["model"]["answer"]["question"], "which version is this?");
    assert_eq!(post_text(&service, "/ask", " ").code(), "body");
    let from_rust = service.lens().ask("which?").unwrap().wait().unwrap();
    assert_eq!(from_rust.model.unwrap().answer.unwrap().facts.len(), 1);
}

fn post_text(service: &Service, path: &str, text: &str) -> Reply {
    ask(service.address(), "POST", &format!("/debug/lens{path}"), &[], text.as_bytes())
}

#[test]
fn without_a_model_nobody_answers_and_the_fix_is_said() {
    let service = Service::start();
    let answer = post_text(&service, "/ask", "which version is this?");
    assert_eq!((answer.status, answer.code().as_str()), (501, "no_model"));
    assert!(answer.body.contains("Builder::model"), "{}", answer.body);
}

/// TEL-API: the stream says what happens, in order, with an id to go on from.
#[test]
fn events_are_streamed_as_they_happen() {
    let service = Service::start_with(|builder| builder.model(Scripted::new(answering)));
    let mut stream = std::net::TcpStream::connect(service.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /debug/lens/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "content-type: text/event-stream"));
    assert!(lines.any(|line| line == ": lens"));
    let mut listener = service.lens().events();
    post_text(&service, "/ask", "which version is this?");
    let mut heard = Vec::new();
    while heard.last().is_none_or(|event| event != "ended") {
        let line = lines.next().unwrap();
        heard.extend(line.strip_prefix("event: ").map(str::to_owned));
    }
    assert_eq!((heard[0].as_str(), heard[1].as_str()), ("started", "checked"), "{heard:?}");
    let same: Vec<&str> = std::iter::from_fn(|| listener.try_next()).map(|happened| happened.event.word()).collect();
    assert_eq!(heard, same, "Rust hears the same");
}

/// CO-15, defect 22: what is to follow is listed; an investigation by hand leaves it where it is, and its id cancels it.
#[test]
fn what_is_to_follow_is_listed_and_cancelled() {
    let model = Scripted::new(|_| Line::acts(&json!({"intent": "schedule", "ms": 60_000, "reason": "look again"})));
    let service = Service::start_with(|builder| builder.model(model));
    let report = service.lens().investigate_with(Order::new("slow").strategy(Strategy::AgentLoop)).unwrap();
    let report = report.wait().unwrap();
    let waiting = service.get("/schedules").json();
    assert_eq!((&waiting[0]["reason"], &waiting[0]["follows"]), (&json!("look again"), &json!(report.capture)));
    assert_eq!(report.model.unwrap().follow_up.as_deref(), waiting[0]["id"].as_str());
    let by_hand = service.lens().investigate_with(Order::new("by hand").strategy(Strategy::Checks)).unwrap();
    assert_eq!(by_hand.wait().unwrap().ended_by, EndedBy::Completion);
    assert_eq!(service.get("/schedules").json(), waiting);
    let href = format!("/debug/lens/schedules/{}", waiting[0]["id"].as_str().unwrap());
    assert_eq!(ask(service.address(), "DELETE", &href, &[], b"").status, 204);
    assert_eq!(service.get("/schedules").json(), json!([]));
    assert_eq!(ask(service.address(), "DELETE", &href, &[], b"").code(), "not_found");
}

/// API-13: an operator that runs is asked over HTTP, and goes on.
#[test]
fn a_running_operator_is_asked_over_http() {
    let model = Scripted::new(|prompt| {
        let last = &prompt.messages.last().unwrap().text;
        if last.contains("aside") {
            return Line::acts(&json!({"intent": "reply", "summary": "still looking"}));
        }
        if prompt.system.contains("You sort requests") {
            return Line::acts(&json!({"intent": "investigation", "skills": ["lens"]}));
        }
        Line::acts(&json!({"intent": "think", "thought": "slowly"})).after(Duration::from_millis(700))
    });
    let service = Service::start_with(|builder| builder.model(model));
    let investigation = service.lens().investigate_with(Order::new("slow").strategy(Strategy::Pipeline)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let question = json!({"question": "so?", "investigation": investigation.id(), "operator": "lens"}).to_string();
    let say = || {
        let json = &[("content-type", "application/json")];
        ask(service.address(), "POST", "/debug/lens/ask", json, question.as_bytes())
    };
    let mut answer = say();
    while answer.status != 200 {
        assert!(Instant::now() < deadline, "{}", answer.body);
        std::thread::sleep(Duration::from_millis(20));
        answer = say();
    }
    assert_eq!(answer.json()["summary"], "still looking");
    investigation.cancel();
    assert_eq!(investigation.wait().unwrap().ended_by, EndedBy::Cancellation);
}

/// CO-01, OP-19: several run at once; one more is refused, and nothing waits in a queue without an end.
#[test]
fn several_investigations_run_at_once_and_one_more_is_refused() {
    let service = Service::start_with(|builder| builder.model(Scripted::new(|_| Line::is_silent())));
    let order = || Order::new("slow").strategy(Strategy::AgentLoop);
    let running: Vec<_> =
        (0..lens::MAX_MODEL_INVESTIGATIONS).map(|_| service.lens().investigate_with(order()).unwrap()).collect();
    let refused = service.lens().investigate_with(order()).unwrap_err().to_string();
    assert!(refused.contains("an investigation is running") && refused.contains(running[0].id()), "{refused}");
    let over_http = post(&service, "/investigations?strategy=agent_loop", &json!({}));
    assert_eq!((over_http.status, over_http.code().as_str()), (409, "running"));
    // The checks have a place of their own.
    assert!(service.lens().investigate("and without a model").checked_count > 0);
    for investigation in running {
        investigation.cancel();
        assert_eq!(investigation.wait().unwrap().ended_by, EndedBy::Cancellation);
    }
}

/// WEB-09, defect 26: what a model says, or a page's reader wrote, is text on the page and never markup.
#[test]
fn what_a_model_says_is_text_on_the_page() {
    let model = Scripted::new(|_| Line::says("<script>alert(1)</script> is no action"));
    let service = Service::start_with(|builder| builder.model(model));
    let order = Order::new("<img src=x onerror=alert(2)>").strategy(Strategy::AgentLoop);
    let investigation = service.lens().investigate_with(order).unwrap();
    let href = format!("/debug/lens/investigations/{}", investigation.id());
    assert!(matches!(investigation.wait().unwrap().ended_by, EndedBy::InvalidOutput(_)));
    let page = ask(service.address(), "GET", &href, &[("accept", "text/html")], b"");
    assert!(page.body.contains("&lt;script&gt;alert(1)"), "the transcript is shown: {}", page.body);
    for markup in ["<script>alert", "<img src"] {
        assert!(!page.body.contains(markup), "{markup}: {}", page.body);
    }
}

/// API-16, defect 19: what an order over HTTP may use is honoured, and can only be less than what the service allows.
#[test]
fn a_budget_over_http_is_honoured_and_cannot_be_raised() {
    let mut number = 0;
    let model = Scripted::new(move |_| {
        number += 1;
        Line::acts(&json!({"intent": "think", "thought": format!("thought {number}")}))
    });
    let mut most = lens::investigation::Budget::default();
    most.iterations = 4;
    let service = Service::start_with(|builder| builder.model(model).budget(most));
    let spent = |budget: Value| {
        let started = post(&service, "/investigations?strategy=agent_loop", &json!({"budget": budget}));
        let report = ended(&service, started.header("location").unwrap())["report"].clone();
        assert_eq!(report["ended_by"], json!({"budget": "iterations"}), "{report:#}");
        report["model"]["spent"]["iterations"].clone()
    };
    assert_eq!(spent(json!({"iterations": 2})), 2);
    assert_eq!(spent(json!({"iterations": 1_000})), 4);
    // What cannot be set for one investigation is refused, and not ignored.
    for wrong in [json!({"budget": {"dollars": 3}}), json!({"max_iterations": 2}), json!({"client_registry": {}})] {
        let refused = post(&service, "/investigations", &wrong);
        assert_eq!((refused.status, refused.code().as_str()), (400, "body"), "{wrong}");
    }
}

/// Asks the service one thing, without a model.
struct Threads(AtomicBool);

impl Approach for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn investigate<'a>(&'a self, run: &'a Run) -> Approaching<'a> {
        Box::pin(async move {
            let threads = run.query("lens.cost().thread_count").await;
            self.0.store(threads.is_ok_and(|threads| threads.as_u64() > Some(0)), Ordering::Relaxed);
            Ok(())
        })
    }
}

#[test]
fn a_strategy_of_the_services_own_runs_for_one_investigation_and_without_a_model() {
    let service = Service::start();
    let own = Arc::new(Threads(AtomicBool::new(false)));
    let order = Order::new("how many threads").strategy(Strategy::Own(Arc::clone(&own) as Arc<dyn Approach>));
    let report = service.lens().investigate_with(order).unwrap().wait().unwrap();
    assert_eq!((report.strategy.as_str(), report.ended_by), ("threads", EndedBy::Completion));
    assert!(own.0.load(Ordering::Relaxed), "it asked");
}

#[test]
fn a_wrong_request_is_told_what_is_wrong_with_it() {
    let service = Service::start();
    let unknown = post(&service, "/investigations", &json!({"skills": ["taskz"]}));
    assert_eq!(unknown.status, 400, "{}", unknown.body);
    assert!(unknown.json()["detail"].as_str().unwrap().contains("there is no skill \"taskz\""), "{}", unknown.body);
    let long = post(&service, "/investigations", &json!({"reason": "x".repeat(20_000)}));
    assert_eq!(long.status, 413, "{}", long.body);
    assert!(!long.body.contains("script"), "it is none: {}", long.body);
    let wrong = ask(service.address(), "DELETE", "/debug/lens/investigations/x/capture", &[], b"");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET")));
    // More time than a lens allows is as much as it allows, not less than usual.
    let started = post(&service, "/investigations", &json!({"deadline_ms": 900_000}));
    assert_eq!(started.status, 202, "{}", started.body);
    let report = &ended(&service, started.header("location").unwrap())["report"];
    assert_eq!(report["ended_by"], "completion", "{report:#}");
}
