//! What an operator can do, one test a row of the parity list.

use std::sync::Mutex;

use super::*;

/// Classifies for one skill, and has its operator do `acts` one after the other, then be done.
fn operator(skill: &'static str, acts: Vec<Value>) -> Scripted {
    let mut acts = acts.into_iter();
    Scripted::new(move |prompt| {
        if is_for(prompt, "classify") {
            act(json!({"intent": "investigation", "skills": [skill]}))
        } else if is_for(prompt, "synthesize") {
            act(json!({"intent": "conclude", "insights": []}))
        } else {
            act(acts.next().unwrap_or_else(|| json!({"intent": "done"})))
        }
    })
}

/// What the operator was told after its action number `index`, from 0.
fn told(site: &Site, index: usize) -> String {
    let prompts = site.asked();
    let operators: Vec<&Prompt> = prompts.iter().filter(|prompt| is_for(prompt, "operator")).collect();
    last(operators[index + 1]).to_owned()
}

async fn operated(skill: &'static str, acts: Vec<Value>) -> (Site, Report) {
    let site = Site::with(operator(skill, acts), |_| {});
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    (site, report)
}

fn state_of(report: &Report, skill: &str) -> HealthState {
    report.model.as_ref().unwrap().operators.iter().find(|operated| operated.skill == skill).unwrap().state
}

/// OP-02, OP-05: four states, and none better than what the checks found.
#[tokio::test]
async fn an_operator_cannot_claim_health_against_what_the_checks_found() {
    let set = |state: &str| json!({"intent": "set_state", "state": state, "reason": "all is well"});
    let (site, report) = operated("shop", vec![set("healthy")]).await;
    assert_eq!(state_of(&report, "shop"), HealthState::Warning);
    assert!(told(&site, 0).contains("the state cannot be healthy"), "{}", told(&site, 0));
    let (site, report) = operated("shop", vec![set("critical")]).await;
    assert_eq!(state_of(&report, "shop"), HealthState::Critical);
    assert!(told(&site, 0).contains(r#""state":"critical""#), "an action always has an answer");
    let (_, report) = operated("bank", vec![set("observing")]).await;
    assert_eq!(state_of(&report, "bank"), HealthState::Observing);
}

/// OP-06, OP-15: a finding needs a known snapshot, and has facts with their values.
#[tokio::test]
async fn a_finding_is_accepted_with_true_facts_of_a_known_snapshot() {
    let mut unknown = reports("queue_growth", &[("7 customers wait", "shop.queue().waiting")]);
    unknown["snapshot"] = json!("s9");
    let good = reports("queue_growth", &[("`till-a` has served 31 customers", "shop.tills()[0]")]);
    let (site, report) = operated("shop", vec![unknown, good.clone(), good]).await;
    assert!(told(&site, 0).contains("there is no snapshot \\\"s9\\\"; there are s1"), "{}", told(&site, 0));
    assert!(told(&site, 1).contains(r#""accepted":"f2""#), "{}", told(&site, 1));
    assert!(told(&site, 2).contains("it is stated already, as f2"), "{}", told(&site, 2));
    // One incident with the checks' finding, whose remedy it has.
    let facts: Vec<_> = report.findings().flat_map(|finding| &finding.facts).collect();
    let fact = facts.iter().find(|fact| fact.text.contains("till-a")).unwrap();
    assert_eq!((&fact.value["served"], fact.capture.as_str()), (&json!(31), report.capture.as_str()));
    assert!(report.findings().all(|finding| finding.remedy == "open a till"));
}

/// OP-07, OP-08, OP-09, OP-10: findings and snapshots can be read again.
#[tokio::test]
async fn findings_and_snapshots_are_read_by_id() {
    let acts = vec![
        json!({"intent": "get_findings"}),
        json!({"intent": "take_snapshot"}),
        json!({"intent": "get_snapshot", "id": "s2"}),
        json!({"intent": "get_snapshot", "id": "nonsense"}),
        json!({"intent": "get_snapshots", "limit": 1, "offset": 1}),
    ];
    let (site, _) = operated("shop", acts).await;
    assert!(told(&site, 0).contains("7 customers wait"), "{}", told(&site, 0));
    assert!(told(&site, 1).contains(r#""snapshot":"s2""#), "{}", told(&site, 1));
    assert!(told(&site, 2).contains(r#""snapshot":"s2""#), "{}", told(&site, 2));
    assert!(told(&site, 3).contains("there is no snapshot"), "{}", told(&site, 3));
    assert!(told(&site, 4).contains(r#"[{"captured_at""#) && told(&site, 4).contains("s2"), "{}", told(&site, 4));
}

/// OP-11: queries run in the sandbox; an error is the answer of the action, with the nearest name.
#[tokio::test]
async fn a_query_gives_its_value_or_its_error() {
    let execute = |code: &str| json!({"intent": "execute", "code": code});
    let acts = vec![execute("[t.served for t in shop.tills()]"), execute("shop.queu()"), execute("bank.account()")];
    let (site, report) = operated("shop", acts).await;
    assert!(told(&site, 0).contains(r#""value":[31,12]"#), "{}", told(&site, 0));
    assert!(told(&site, 1).contains("did you mean `queue`?"), "{}", told(&site, 1));
    assert!(told(&site, 2).contains(r#""value":250"#), "{}", told(&site, 2));
    assert_eq!((spent(&report).tool_calls, spent(&report).rows), (3, 3));
}

/// OP-12, defect 20: waiting is bounded, takes a fresh capture, and forgets nothing.
#[tokio::test]
async fn waiting_takes_a_fresh_capture_and_keeps_what_was_said() {
    let wait = |ms: f64| json!({"intent": "wait", "ms": ms});
    let fresh = json!({
        "intent": "report_finding", "cause": "queue_growth", "severity": "warning", "snapshot": "s2",
        "facts": [{"text": "7 customers wait in the queue", "expr": "shop.queue().waiting"}],
    });
    let site = Site::with(operator("shop", vec![wait(-5.0), wait(1.0), fresh]), |_| {});
    let outcome = site.pipeline().await;
    assert!(told(&site, 0).contains("one can wait 1 to 60000 ms, not -5"), "{}", told(&site, 0));
    assert!(told(&site, 1).contains(r#""snapshot":"s2""#), "{}", told(&site, 1));
    let after = site.asked().iter().filter(|prompt| is_for(prompt, "operator")).nth(2).unwrap().clone();
    assert!(after.messages[0].text.contains("customers complain"), "the reason is still there: {:?}", after.messages);
    assert_eq!(outcome.captures.len(), 2);
    let sandbox = Sandbox::new(Limits::default());
    for capture in &outcome.captures {
        let (facts, wrong) = outcome.report.verify(capture, &sandbox);
        assert_eq!((facts, wrong), (1, Vec::new()), "each capture has its own facts");
    }
}

/// OP-12: there are only as many captures as the budget has.
#[tokio::test]
async fn captures_are_bounded() {
    let wait = |ms: f64| json!({"intent": "wait", "ms": ms});
    let site = Site::with(operator("shop", vec![wait(1.0), wait(2.0)]), |settings| settings.budget.captures = 2);
    let outcome = site.pipeline().await;
    assert_eq!(outcome.captures.len(), 2);
    assert!(told(&site, 1).contains("there may be 2 captures"), "{}", told(&site, 1));
}

/// OP-13, OP-14: a thought is noted; the end without a look is asked about once.
#[tokio::test]
async fn an_operator_that_has_looked_at_nothing_is_asked_once_whether_it_is_done() {
    let acts = vec![json!({"intent": "think", "thought": "hm"}), json!({"intent": "done"}), json!({"intent": "done"})];
    let (site, _) = operated("bank", acts).await;
    assert!(told(&site, 0).contains("noted"), "{}", told(&site, 0));
    assert!(told(&site, 1).contains("you have looked at nothing"), "{}", told(&site, 1));
}

/// OP-03, OP-16, OP-17: each request says the state anew; the system prompt has the order of the work, the skill's functions,
/// what is no fact, and no data.
#[tokio::test]
async fn the_prompt_has_the_functions_and_data_is_json_of_the_user_only() {
    let (site, _) = operated("shop", vec![json!({"intent": "execute", "code": "shop.queue()"})]).await;
    for prompt in site.asked() {
        assert!(!prompt.system.contains("customers complain"), "the reason is data");
        assert!(!prompt.system.contains("7 customers") && !prompt.system.contains("src/shop.rs:12:5"));
        assert!(prompt.form.is_some() && prompt.messages.last().unwrap().role == Role::User);
        for message in prompt.messages.iter().filter(|message| message.role == Role::User) {
            for line in message.text.lines() {
                serde_json::from_str::<Value>(line).unwrap();
            }
        }
    }
    let prompts = site.asked();
    let of_operator = prompts.iter().find(|prompt| is_for(prompt, "operator")).unwrap();
    assert!(of_operator.system.contains("shop.queue()") && of_operator.system.contains("queue_growth"));
    assert!(last(of_operator).contains(r#""state":"warning""#));
    let work = ["read the snapshot", "evaluate queries", "report each finding", "set the state", "end with `done`"];
    let places = work.map(|step| of_operator.system.find(step).unwrap_or_else(|| panic!("{step}")));
    assert!(places.is_sorted(), "{places:?}");
    assert!(of_operator.system.contains("A sentence with \"probably\", \"may\" or \"not\" is refused"));
}

/// OP-01, OP-18, OP-20, defect 24: an operator that panics or whose model fails is one operator's end, and its findings stay.
#[tokio::test]
async fn an_operator_that_fails_leaves_the_others_and_its_findings() {
    let stated = Mutex::new(false);
    let site = Site::scripted(move |prompt| {
        if is_for(prompt, "classify") {
            return act(json!({"intent": "investigation", "skills": ["shop", "bank"]}));
        }
        if is_for(prompt, "synthesize") {
            return act(json!({"intent": "conclude", "insights": []}));
        }
        if prompt.system.contains("# bank") {
            let mut stated = stated.lock().unwrap();
            if !*stated {
                *stated = true;
                return act(reports("other", &[("250 euros are in the account", "bank.account()")]));
            }
            return Line::fails(ErrorClass::Rejected);
        }
        match prompt.messages.len() {
            1 => act(json!({"intent": "execute", "code": "shop.tills()"})),
            _ => act(json!({"intent": "done"})),
        }
    });
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    assert_eq!(stated_texts(&report), ["250 euros are in the account"]);
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    let operators = &report.model.as_ref().unwrap().operators;
    let ended = |skill: &str| operators.iter().find(|operated| operated.skill == skill).unwrap().ended_by.clone();
    assert_eq!(ended("shop"), Some(EndedBy::Completion));
    assert!(matches!(ended("bank"), Some(EndedBy::ModelFailed { class: ErrorClass::Rejected, .. })), "{report}");
}

fn stated_texts(report: &Report) -> Vec<&str> {
    stated(report).iter().map(|finding| finding.summary.as_str()).collect()
}
