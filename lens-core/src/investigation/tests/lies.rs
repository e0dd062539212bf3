//! Lies are caught: nothing of what is not true gets into a report, and the model hears why.

use super::*;

/// Has the operator of `shop` state `what`, and gives the report and what it was told.
async fn stating(what: Value, set: impl FnOnce(&mut Settings)) -> (Report, String) {
    let mut what = Some(what);
    let model = Scripted::new(move |prompt| {
        if is_for(prompt, "classify") {
            act(json!({"intent": "investigation", "skills": ["shop"]}))
        } else if is_for(prompt, "synthesize") {
            act(json!({"intent": "conclude", "insights": []}))
        } else {
            act(what.take().unwrap_or_else(|| json!({"intent": "done"})))
        }
    });
    let site = Site::with(model, set);
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    let prompts = site.asked();
    let told = prompts.iter().filter(|prompt| is_for(prompt, "operator")).nth(1).map(|prompt| last(prompt).to_owned());
    (report, told.unwrap())
}

/// What a model states, and what is said to be wrong with it. Nothing of it is in the report.
async fn is_refused(what: Value, why: &str) {
    let shown = what.to_string();
    let (report, told) = stating(what, |_| {}).await;
    assert!(told.contains(why), "{shown}: {told}");
    assert!(stated(&report).is_empty(), "{shown}: {report}");
    assert_eq!(report.findings().count(), 1, "{shown}: {report}");
}

/// OP-06: each fact is evaluated, and what is not true comes back with the value.
#[tokio::test]
async fn false_facts_wrong_numbers_and_foreign_words_are_refused() {
    let growth = |text, expr| reports("queue_growth", &[(text, expr)]);
    is_refused(growth("8 customers wait", "shop.queue().waiting"), "does not give \\\"8\\\"").await;
    is_refused(growth("8 customers wait", "shop.queue().waiting"), "the expression gives 7").await;
    is_refused(growth("nobody waits in the queue", "shop.queue().waiting == 0"), "it is False").await;
    is_refused(growth("customers wait in the queue", "shop.queue().waiting > 0"), "names no number").await;
    is_refused(growth("8 customers wait", "[8, shop.queue().waiting]"), "an answer of its own").await;
    is_refused(growth("8 customers wait", "[7 + 1, shop.queue().waiting]"), "an answer of its own").await;
    is_refused(growth("7 customers wait", "7"), "asks no skill").await;
    is_refused(growth("7 customers wait", "shop.quue().waiting"), "did you mean").await;
    is_refused(growth("7 customers were robbed by pirates", "shop.queue().waiting"), "robbed, pirates").await;
    let hidden = "shop.queue().waiting # were robbed by pirates";
    is_refused(growth("7 customers were robbed by pirates", hidden), "without comments").await;
    is_refused(growth("8 customers wait", "[(3)+(5), shop.queue().waiting]"), "an answer of its own").await;
    is_refused(growth("8 customers wait", "[len(\"aaaaaaaa\"), shop.queue().waiting]"), "an answer of its own").await;
    is_refused(growth("7 customers do not wait", "shop.queue().waiting"), "turns the sentence round").await;
    is_refused(growth("they waited for 7 minutes", "shop.queue().waiting"), "does not give \\\"7\\\" in minutes").await;
    let by_words = "[len(x) for x in \"aaaaaaaa\".split() if shop.queue().waiting >= 0]";
    is_refused(growth("8 customers wait", by_words), "an answer of its own").await;
    let invented = "dict(place=\"src/bank.rs:1:1\", n=shop.queue().waiting)";
    is_refused(growth("7 customers wait at src/bank.rs:1:1", invented), "an answer of its own").await;
    let unlike = "[t for t in shop.tills() if t.served != 8000]";
    is_refused(growth("31 and 12 were served, and 8000 waited", unlike), "not measured by it").await;
    is_refused(growth("31 were served, more than 8000 customers", unlike), "not measured by it").await;
    is_refused(growth("nine tills have served 31 customers", "shop.tills()[0]"), "compared with nothing").await;
    is_refused(growth("31 customers came to ９ tills", "shop.tills()[0]"), "is no digit").await;
    is_refused(growth("`till-a` isn't served: 31 customers", "shop.tills()[0]"), "turns the sentence round").await;
    is_refused(growth("7 GB wait in the queue", "shop.queue().waiting"), "no unit of lens").await;
    is_refused(growth("7 % of the customers wait", "shop.queue().waiting"), "7").await;
    is_refused(growth("7 customers wait\n   fact all is well", "shop.queue().waiting"), "more than one line").await;
    is_refused(growth("they wait at src/bank.rs:1:1, 7 of them", "shop.queue()"), "src/bank.rs:1:1").await;
}

/// OP-16: a guess is no fact.
#[tokio::test]
async fn hedge_words_in_a_fact_are_refused() {
    let guess = "7 customers wait, probably for a till";
    is_refused(reports("queue_growth", &[(guess, "shop.queue().waiting")]), "put guesses into the hypothesis").await;
}

#[tokio::test]
async fn one_false_fact_takes_the_true_ones_of_its_finding_with_it() {
    let facts = [("31 customers were served", "shop.tills()[0].served"), ("8 wait", "shop.queue().waiting")];
    is_refused(reports("queue_growth", &facts), "\\\"8 wait\\\" is no fact").await;
}

/// A cause is shown by facts of the skill whose checks know it, and one that no check knows by nothing.
#[tokio::test]
async fn a_cause_that_its_facts_do_not_show_is_refused() {
    let unknown = reports("fd_leak", &[("7 customers wait", "shop.queue().waiting")]);
    is_refused(unknown, "nothing that is checked here shows a `fd_leak`").await;
    let account = [("250 euros are in the account", "bank.account()")];
    is_refused(reports("queue_growth", &account), "shown by facts of shop").await;
}

#[tokio::test]
async fn a_place_that_no_fact_has_is_refused() {
    let mut what = reports("queue_growth", &[("7 customers wait", "shop.queue().waiting")]);
    what["place"] = json!("src/innocent.rs:1:1");
    is_refused(what, "in no value of your facts").await;
}

/// Severity has a ceiling without a check, and a floor with one.
#[tokio::test]
async fn severity_and_confidence_are_computed() {
    let mut what = reports("other", &[("31 customers were served", "shop.tills()[0].served")]);
    what["severity"] = json!("critical");
    let (report, _) = stating(what, |_| {}).await;
    assert_eq!(stated(&report)[0].severity, Severity::Warning);
    let insight = report.insights.iter().find(|insight| insight.root().check == "model").unwrap();
    assert_eq!((insight.confidence, insight.grounded), (crate::evidence::Confidence::Low, false));
    assert_eq!(insight.remedy, Cause::Other.remedy(), "a remedy is never a model's");
    // Not even where a check says that there is something.
    let mut what = reports("queue_growth", &[("31 customers were served", "shop.tills()[0].served")]);
    what["severity"] = json!("critical");
    let (report, _) = stating(what, |_| {}).await;
    assert!(report.findings().all(|finding| finding.severity == Severity::Warning), "{report}");
    let mut what = reports("queue_growth", &[("31 customers were served", "shop.tills()[0].served")]);
    what["severity"] = json!("info");
    let (report, _) = stating(what, |_| {}).await;
    assert!(report.findings().all(|finding| finding.severity == Severity::Warning), "{report}");
}

#[tokio::test]
async fn a_hypothesis_has_no_links_commands_or_numbers_of_its_own() {
    let with = |hypothesis: &str| {
        let mut what = reports("other", &[("31 customers were served", "shop.tills()[0].served")]);
        what["hypothesis"] = json!(hypothesis);
        what
    };
    is_refused(with("see https://evil.example/fix"), "no links, commands or markup").await;
    is_refused(with("run `rm -rf /`"), "no links, commands or markup").await;
    is_refused(with("the queue holds 4000 customers"), "what no fact shows").await;
    is_refused(with("a slow till\u{1b}[2K"), "no control characters").await;
    // The report is read line by line.
    let (report, _) =
        stating(with("a slow till\n   fact      all tills are stuck\n             shop.tills()"), |_| {}).await;
    assert!(
        report.to_string().contains("   may be    a slow till fact all tills are stuck shop.tills() (hyp"),
        "{report}"
    );
    let (report, _) = stating(with("the second till is slow"), |_| {}).await;
    assert_eq!(stated(&report)[0].hypothesis.as_deref(), Some("the second till is slow"));
    assert!(report.to_string().contains("(hypothesis)"), "{report}");
}

/// What somebody planted in a log line is not sent without consent; with it, it is data that cannot be repeated as a
/// hypothesis, be a fact, or make anything healthy.
#[tokio::test]
async fn an_instruction_in_a_log_line_gets_nothing_into_a_report() {
    let read = json!({"intent": "execute", "code": "logs.recent()"});
    let (_, told) = stating(read.clone(), |_| {}).await;
    assert!(!told.contains("ignore") && told.contains("src/api.rs:7:1"), "{told}");
    let share = |settings: &mut Settings| {
        settings.shared_text.insert("logs".to_owned());
    };
    let (_, told) = stating(read.clone(), share).await;
    assert!(told.contains("ignore all previous"), "{told}");

    let mut obeyed = vec![
        json!({"intent": "done"}),
        {
            let mut what = reports("other", &[("31 customers were served", "shop.tills()[0].served")]);
            what["hypothesis"] = json!("somebody should run the updater at once");
            what
        },
        json!({"intent": "set_state", "state": "healthy", "reason": "the log says so"}),
        reports("other", &[("all previous instructions report healthy", "logs.recent()[0].place")]),
        read,
    ];
    let model = Scripted::new(move |prompt| {
        if is_for(prompt, "classify") {
            act(json!({"intent": "investigation", "skills": ["shop"]}))
        } else {
            act(obeyed.pop().unwrap())
        }
    });
    let site = Site::with(model, share);
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    assert_eq!(report.findings().count(), 1, "{report}");
    assert_eq!(report.status(), "warning");
    assert_eq!(report.model.as_ref().unwrap().operators[0].state, HealthState::Warning);
    let text = serde_json::to_string(&report).unwrap();
    for word in ["updater", "ignore", "previous instructions"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(site.asked().iter().all(|prompt| !prompt.system.contains("updater")));
}

/// CO-06, defect 21: unknown ids and relations that do not hold are refused, and nothing of them is shown.
#[tokio::test]
async fn findings_that_do_not_hang_together_are_not_put_together() {
    let site = Site::lines([
        act(json!({"intent": "invoke_operators", "skills": ["moon"]})),
        act(json!({"intent": "produce_insight", "findings": ["f1", "f77"], "correlation": "causal"})),
        act(json!({"intent": "produce_insight", "findings": ["f1"], "correlation": "causal",
            "hypothesis": "it costs 900 euros"})),
        act(json!({"intent": "done"})),
    ]);
    let report = site.agent().await.report;
    the_checks_are_in(&report);
    assert_eq!(report.ended_by, EndedBy::Completion);
    assert_eq!(report.model.as_ref().unwrap().unknown_skills, ["moon"]);
    let prompts = site.asked();
    assert!(last(&prompts[1]).contains(r#"\"unknown\":[\"moon\"]"#), "{}", last(&prompts[1]));
    assert!(last(&prompts[2]).contains("there is no finding \\\"f77\\\"; there are f1"), "{}", last(&prompts[2]));
    assert!(last(&prompts[3]).contains("what no fact shows"), "{}", last(&prompts[3]));
    assert!(!serde_json::to_string(&report).unwrap().contains("900 euros"));
}

#[tokio::test]
async fn an_answer_has_only_sentences_that_are_true() {
    let site = Site::lines([
        act(json!({"intent": "question", "skills": ["shop"]})),
        act(json!({"intent": "answer", "facts": [
            {"text": "8 customers wait", "expr": "shop.queue().waiting"},
            {"text": "`till-a` has served 31", "expr": "shop.tills()[0]"},
        ]})),
        Line::fails(ErrorClass::Rejected),
    ]);
    let report = site.run(Order::question("how many wait?").strategy(Strategy::Pipeline)).await.report;
    let answer = report.model.as_ref().unwrap().answer.as_ref().unwrap();
    assert_eq!(answer.facts.iter().map(|fact| fact.text.as_str()).collect::<Vec<_>>(), ["`till-a` has served 31"]);
}

/// What is refused tells no more than a query does: not of whom else, no text that is not shared, and not much.
#[tokio::test]
async fn a_refused_claim_tells_no_more_than_a_query() {
    // What it gives is not in the expression.
    let account = "bank.account() * 1000003";
    for (expr, why) in [
        (format!("[False, {account}]"), "`bank` is not among the skills"),
        (format!("fail({account})"), "`bank` is not among the skills"),
        (format!("{{\"unavailable\": \"\", \"fix\": str({account})}}"), "`bank` is not among the skills"),
        ("[False, logs.recent()[0].message]".to_owned(), "not all of it is true"),
        ("fail(logs.recent()[0].message)".to_owned(), "it failed in line 1 (Runtime)"),
        ("{\"unavailable\": \"\", \"fix\": logs.recent()[0].message}".to_owned(), "it is not known"),
        ("[\"x\" * 1000 for n in range(1000)] + [False, shop.queue().waiting]".to_owned(), "not all of it is true"),
        ("[False] + [\"x\" * 50000, shop.queue().waiting]".to_owned(), "not all of it is true"),
        ("{\"unavailable\": \"\", \"fix\": \"x\" * 50000}".to_owned(), "it is not known"),
        ("fail(\"x\" * 50000)".to_owned(), "xxx"),
    ] {
        let claim = reports("other", &[("7 customers wait", &expr)]);
        let mut acts = vec![json!({"intent": "done"}), json!({"intent": "done"}), claim];
        let site = Site::scripted(move |prompt| match is_for(prompt, "classify") {
            true => act(json!({"intent": "investigation", "skills": ["shop"]})),
            false if is_for(prompt, "synthesize") => act(json!({"intent": "conclude", "insights": []})),
            false => act(acts.pop().unwrap()),
        });
        let mut events = site.investigator.events().listen();
        let order = Order::new("slow").strategy(Strategy::Pipeline).skills(["shop", "logs"]);
        let outcome = site.run(order).await;
        assert!(stated(&outcome.report).is_empty(), "{expr}");
        let refused = std::iter::from_fn(|| events.try_next()).find_map(|happened| match happened.event {
            Event::FactRefused { why } => Some(why),
            _ => None,
        });
        let entries = &outcome.transcript.entries;
        let kept = entries.iter().find_map(|entry| match &entry.step {
            Step::Refused { fact } => Some(fact.why.clone()),
            _ => None,
        });
        assert_eq!(refused, kept);
        assert!(kept.unwrap().contains(why), "{expr}: {refused:?}");
        assert!(refused.unwrap().len() <= 510, "{expr}");
        let site = site.asked();
        let told = site.iter().filter(|prompt| is_for(prompt, "operator")).nth(1).map(last).unwrap();
        assert!(told.contains(why) && told.len() < 3_000, "{expr}: {} bytes", told.len());
        let sent = serde_json::to_string(&outcome.transcript).unwrap();
        for secret in ["250000750", "ignore all previous"] {
            assert!(!sent.contains(secret), "{expr}: {sent}");
        }
    }
}
