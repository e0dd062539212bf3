//! Budgets, retries, compaction and events.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;
use crate::model::Usage;

fn thinking() -> Scripted {
    let mut number = 0;
    Scripted::new(move |_| {
        number += 1;
        // Nobody counts its tokens, so they are estimated.
        Line::completes(Completion {
            text: json!({"action": {"intent": "think", "thought": format!("thought {number}")}}).to_string(),
            usage: None,
            stop: Stop::End,
            model: "scripted/model".to_owned(),
            unanswered: 0,
        })
    })
}

async fn ended_by(set: impl FnOnce(&mut Settings)) -> EndedBy {
    let site = Site::with(thinking(), set);
    let report = site.agent().await.report;
    the_checks_are_in(&report);
    report.ended_by
}

/// OP-04, LLM-07: every part of the budget ends it by its name.
#[tokio::test]
async fn each_part_of_the_budget_ends_it_and_is_named() {
    let budget = |resource| EndedBy::Budget(resource);
    assert_eq!(ended_by(|settings| settings.budget.iterations = 3).await, budget(Resource::Iterations));
    assert_eq!(ended_by(|settings| settings.budget.requests = 3).await, budget(Resource::Requests));
    assert_eq!(ended_by(|settings| settings.budget.tokens = 10_000).await, budget(Resource::Tokens));
    assert_eq!(ended_by(|settings| settings.quota.tokens_per_day = 10_000).await, budget(Resource::TokensPerDay));
    assert_eq!(ended_by(|settings| settings.quota.runs_per_hour = 0).await, budget(Resource::RunsPerHour));
}

/// No operator came to its end, so the pipeline has not, either.
#[tokio::test]
async fn a_pipeline_whose_operators_ran_out_of_their_budget_says_so() {
    let site = Site::with(
        Scripted::new(|prompt| {
            act(if is_for(prompt, "classify") {
                json!({"intent": "investigation", "skills": ["shop", "bank"]})
            } else {
                json!({"intent": "execute", "code": format!("{}", prompt.messages.len())})
            })
        }),
        |settings| settings.budget.iterations = 3,
    );
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    assert_eq!(report.ended_by, EndedBy::Budget(Resource::Iterations), "{report}");
}

/// What a refused fact's expression gives is told as long as actions may look.
#[tokio::test]
async fn refused_facts_are_actions_that_look() {
    let lie = reports("queue_growth", &[("8 customers wait", "shop.queue().waiting")]);
    let truth = reports("queue_growth", &[("31 customers were served", "shop.tills()[0].served")]);
    let actions = [json!({"intent": "investigation", "skills": ["shop"]}), lie.clone(), lie, truth];
    let lines = actions.into_iter().chain([json!({"intent": "done"}), json!({"intent": "conclude", "insights": []})]);
    let site = Site::with(Scripted::lines(lines.map(act)), |settings| settings.budget.tool_calls = 1);
    let report = site.pipeline().await.report;
    let prompts = site.asked();
    assert!(last(&prompts[2]).contains("the expression gives 7"), "{}", last(&prompts[2]));
    assert!(last(&prompts[3]).contains("the expression gives what is not told"), "{}", last(&prompts[3]));
    assert!(report.to_string().contains("31 customers were served"), "what is true may be said: {report}");
    assert_eq!(spent(&report).tool_calls, 1);
}

#[tokio::test]
async fn a_deadline_without_an_end_is_a_day() {
    let site = Site::with(Scripted::lines([act(json!({"intent": "done"}))]), |settings| {
        settings.budget.deadline = Duration::MAX;
    });
    assert_eq!(site.agent().await.report.ended_by, EndedBy::Completion);
}

#[tokio::test]
async fn no_call_is_made_past_the_budget_of_tokens() {
    let site = Site::with(thinking(), |settings| settings.budget.tokens = 10_000);
    let report = site.agent().await.report;
    assert!(spent(&report).tokens() <= 10_000, "{:?}", spent(&report));
    assert_eq!(spent(&report).requests as usize, site.asked().len());
}

/// The tool calls and rows that are used up are told to the model, which may still conclude.
#[tokio::test]
async fn actions_and_rows_that_are_used_up_are_told() {
    let execute = |code: &str| act(json!({"intent": "execute", "code": code}));
    let script = || {
        [
            act(json!({"intent": "question", "skills": ["shop"]})),
            execute("shop.tills()"),
            execute("shop.queue()"),
            act(json!({"intent": "answer", "facts": []})),
        ]
    };
    for (set, word) in [(1_u32, "tool_calls"), (100, "rows")] {
        let site = Site::with(Scripted::lines(script()), |settings| {
            settings.budget.tool_calls = set;
            settings.budget.rows = 2;
        });
        let report = site.run(Order::question("?").strategy(Strategy::Pipeline)).await.report;
        assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
        let told = site.asked()[3].messages.last().unwrap().text.clone();
        assert!(told.contains(&format!("the budget of {word} is used up")), "{told}");
    }
}

/// LLM-03, OP-18: what may pass is tried again, and counted; what cannot is not.
#[tokio::test]
async fn failures_are_tried_again_by_their_class() {
    for (class, tries) in [
        (ErrorClass::RateLimited, 4),
        (ErrorClass::Unavailable, 4),
        (ErrorClass::Connection, 4),
        (ErrorClass::Malformed, 4),
        (ErrorClass::Unauthorized, 1),
        (ErrorClass::Rejected, 1),
    ] {
        let error = ModelError { retry_after: Some(Duration::from_millis(2)), ..ModelError::new(class, "no") };
        let site = Site::scripted(move |_| Line::errs(error.clone()));
        let report = site.agent().await.report;
        assert_eq!((spent(&report).requests, spent(&report).retries), (tries, tries - 1), "{class:?}");
    }
    let once = Mutex::new(true);
    let site = Site::scripted(move |_| match std::mem::take(&mut *once.lock().unwrap()) {
        true => Line::fails(ErrorClass::Unavailable),
        false => act(json!({"intent": "done"})),
    });
    let report = site.agent().await.report;
    assert_eq!((report.ended_by.clone(), spent(&report).retries), (EndedBy::Completion, 1));
}

/// What is reserved for a call: bytes of the prompt by four, and the most that the answer may have.
fn reserved(prompt: &Prompt) -> u64 {
    let form = prompt.form.as_ref().map_or(0, |form| form.schema.to_string().len());
    let told: usize = prompt.messages.iter().map(|message| message.text.len()).sum();
    (prompt.system.len() + told + form).div_ceil(4) as u64 + u64::from(prompt.max_tokens)
}

/// Only a request that surely nobody read costs nothing, whatever its failure is called.
#[tokio::test]
async fn each_request_that_may_have_been_read_counts() {
    for class in [ErrorClass::Connection, ErrorClass::RateLimited, ErrorClass::Timeout] {
        for unanswered in [0, 1, 3] {
            let retry_after = Some(Duration::from_millis(2));
            let error = ModelError { class, message: "no".to_owned(), retry_after, unanswered };
            let site = Site::scripted(move |_| Line::errs(error.clone()));
            let report = site.agent().await.report;
            let each: u64 = site.asked().iter().map(reserved).sum();
            let expected = each * u64::from(unanswered);
            assert_eq!(spent(&report).tokens(), expected, "{class:?}, {unanswered} requests a call");
        }
    }
}

#[tokio::test]
async fn a_failure_counts_unless_it_is_a_refusal() {
    for (class, counts) in [
        (ErrorClass::RateLimited, false),
        (ErrorClass::Unauthorized, false),
        (ErrorClass::Rejected, false),
        (ErrorClass::Connection, true),
        (ErrorClass::Unavailable, true),
        (ErrorClass::Timeout, true),
        (ErrorClass::Malformed, true),
    ] {
        let mut lines = vec![Line::fails(class)].into_iter();
        let site = Site::scripted(move |_| lines.next().unwrap_or_else(|| Line::fails(ErrorClass::Rejected)));
        let report = site.agent().await.report;
        assert_eq!(spent(&report).tokens(), u64::from(counts) * reserved(&site.asked()[0]), "{class:?}");
    }
}

/// Those that were asked in vain before another one answered count too.
#[tokio::test]
async fn requests_before_the_answer_count() {
    let site = Site::lines([Line::completes(Completion {
        text: json!({"action": {"intent": "done"}}).to_string(),
        usage: Some(Usage { input_tokens: 10, output_tokens: 5 }),
        stop: Stop::End,
        model: "scripted/model".to_owned(),
        unanswered: 2,
    })]);
    let report = site.agent().await.report;
    let spent = spent(&report);
    assert_eq!((spent.input_tokens, spent.output_tokens), (10, 5));
    assert_eq!(spent.estimated_tokens, 2 * reserved(&site.asked()[0]));
}

/// No retry goes past the deadline: the provider's wish to wait longer ends it now, not then.
#[tokio::test]
async fn a_retry_past_the_deadline_is_not_waited_for() {
    let error = ModelError {
        retry_after: Some(Duration::from_secs(86_400)),
        ..ModelError::new(ErrorClass::RateLimited, "come back tomorrow")
    };
    let site = Site::scripted(move |_| Line::errs(error.clone()));
    let started = Instant::now();
    let report = site.agent().await.report;
    assert!(matches!(report.ended_by, EndedBy::ModelFailed { class: ErrorClass::RateLimited, .. }), "{report}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// An answer that was cut off is told, and never used.
#[tokio::test]
async fn what_was_cut_off_is_not_used() {
    let cut = Completion {
        text: r#"{"action":{"intent":"done"}}"#.to_owned(),
        usage: None,
        stop: Stop::MaxTokens,
        model: "scripted/model".to_owned(),
        unanswered: 0,
    };
    let site = Site::lines([Line::completes(cut), act(json!({"intent": "done"}))]);
    let report = site.agent().await.report;
    assert_eq!((report.ended_by.clone(), site.asked().len()), (EndedBy::Completion, 2));
    assert!(spent(&report).estimated_tokens > 0, "a call whose tokens nobody counted is estimated");
}

/// CMP-01, CMP-02, CMP-04, TEL-compaction: old payloads are left out first; only then is there a summary, by the same model; findings and
/// snapshots are said anew in each request.
#[tokio::test]
async fn a_long_conversation_is_shortened_payloads_first() {
    let mut number = 0;
    let model = Scripted::new(move |prompt| {
        if prompt.purpose == Purpose::Compact {
            return Line::says("it was long");
        }
        if is_for(prompt, "classify") {
            return act(json!({"intent": "investigation", "skills": ["shop"]}));
        }
        number += 1;
        match number {
            1..=12 => {
                act(json!({"intent": "execute", "code": format!("[\"{number}\" + \"x\" * 1500 for n in range(9)]")}))
            }
            13..=45 => act(json!({"intent": "think", "thought": format!("{number} {}", "y ".repeat(3_900))})),
            _ => act(json!({"intent": "done"})),
        }
    });
    let site = Site::with(model, |settings| {
        settings.budget.tokens = 10_000_000;
        settings.budget.iterations = 60;
    });
    let mut listener = site.investigator.events().listen();
    let report = site.pipeline().await.report;
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    let compacted: Vec<bool> = std::iter::from_fn(|| listener.try_next())
        .filter_map(|happened| match happened.event {
            Event::Compacted { before, after, is_summary } => {
                assert!(after < before);
                Some(is_summary)
            }
            _ => None,
        })
        .collect();
    assert_eq!(compacted.first(), Some(&false), "payloads first: {compacted:?}");
    assert!(compacted.contains(&true), "then a summary: {compacted:?}");
    assert_eq!(spent(&report).compactions as usize, compacted.len());
    let prompts = site.asked();
    let longest = prompts.iter().map(|prompt| prompt.messages.iter().map(|message| message.text.len()).sum::<usize>());
    assert!(longest.max().unwrap() < 130_000);
    let last_of = prompts.iter().rfind(|prompt| is_for(prompt, "operator")).unwrap();
    assert!(last_of.messages[0].text.contains("it was long"), "{}", last_of.messages[0].text);
    assert!(last(last_of).contains(r#""snapshots":["s1"]"#), "{}", last(last_of));
}

/// TEL: what is emitted is what is documented, all of it.
#[tokio::test]
async fn every_event_is_emitted_and_documented() {
    let mut seen: BTreeSet<&'static str> = BTreeSet::new();
    let mut see = async |site: &Site, order: Order| {
        let mut listener = site.investigator.events().listen();
        let outcome = site.run(order).await;
        seen.extend(std::iter::from_fn(|| listener.try_next()).map(|happened| happened.event.word()));
        outcome
    };
    // A pipeline in which a fact is refused, one is accepted, a state changes, and the model fails once and rambles once.
    let mut acts = vec![
        json!({"intent": "done"}),
        json!({"intent": "set_state", "state": "critical", "reason": "so"}),
        reports("queue_growth", &[("31 customers were served", "shop.tills()[0].served")]),
        reports("queue_growth", &[("8 customers wait", "shop.queue().waiting")]),
    ];
    let mut first = 0;
    let site = Site::scripted(move |prompt| {
        first += 1;
        if first == 1 {
            Line::fails(ErrorClass::Unavailable)
        } else if first == 2 {
            Line::says("well")
        } else if is_for(prompt, "classify") {
            act(json!({"intent": "investigation", "skills": ["shop", "moon"]}))
        } else if is_for(prompt, "synthesize") {
            act(json!({"intent": "conclude", "insights": [{"findings": ["f1"], "correlation": "temporal"}]}))
        } else {
            act(acts.pop().unwrap())
        }
    });
    see(&site, Order::new("slow").strategy(Strategy::Pipeline)).await;
    // A loop whose conversation is shortened until its turns are used up.
    let mut number = 0;
    let site = Site::with(
        Scripted::new(move |prompt| match prompt.purpose {
            Purpose::Compact => Line::says("short"),
            _ => {
                number += 1;
                act(json!({"intent": "think", "thought": format!("{number} {}", "z ".repeat(3_900))}))
            }
        }),
        |settings| settings.budget.tokens = 10_000_000,
    );
    see(&site, Order::new("slow").strategy(Strategy::AgentLoop)).await;
    let documented: BTreeSet<&'static str> = Event::ALL.iter().map(|(word, _)| *word).collect();
    // `scheduled` is announced by whoever keeps the schedules.
    let by_others = BTreeSet::from(["scheduled"]);
    assert_eq!(&seen | &by_others, documented);
    assert!(Event::ALL.iter().all(|(_, doc)| doc.trim().ends_with('.')));
}

/// What was sent can be read afterwards, without secrets; they are in no request either.
#[tokio::test]
async fn secrets_are_in_no_request_and_in_no_transcript() {
    let site = Site::with(
        Scripted::new(|prompt| match is_for(prompt, "classify") {
            true => act(json!({"intent": "question", "skills": ["shop"]})),
            false => act(json!({"intent": "answer", "facts": [], "hypothesis": "hunter2 is open"})),
        }),
        |settings| {
            settings.redactor =
                crate::redact::Redactor::new(|text: &mut String| *text = text.replace("hunter2", "[redacted]"))
        },
    );
    let outcome =
        site.run(Order::question("is hunter2 the word, and password=swordfish?").strategy(Strategy::Pipeline)).await;
    assert!(site.asked().iter().all(|prompt| !serde_json::to_string(prompt).unwrap().contains("hunter2")));
    assert!(site.asked().iter().all(|prompt| !serde_json::to_string(prompt).unwrap().contains("swordfish")));
    let kept = serde_json::to_string(&outcome.transcript).unwrap() + &serde_json::to_string(&outcome.report).unwrap();
    assert!(!kept.contains("hunter2") && !kept.contains("swordfish"), "{kept}");
    assert!(kept.contains("[redacted]"));
}

/// ST-04: a plain question is answered from what is measured, with no operator.
#[tokio::test]
async fn a_question_is_answered_with_facts_and_without_operators() {
    let site = Site::lines([
        act(json!({"intent": "question", "skills": ["shop"]})),
        act(json!({"intent": "execute", "code": "shop.tills()"})),
        act(json!({"intent": "answer", "facts": [{"text": "there are 2 tills", "expr": "len(shop.tills())"}]})),
    ]);
    let report = site.run(Order::question("how many tills?").strategy(Strategy::Pipeline)).await.report;
    let model = report.model.as_ref().unwrap();
    let answer = model.answer.as_ref().unwrap();
    assert_eq!((answer.facts[0].text.as_str(), &answer.facts[0].value), ("there are 2 tills", &json!(2)));
    assert_eq!((answer.question.as_str(), model.operators.len()), ("how many tills?", 0));
    let site = Site::lines([act(json!({"intent": "question", "skills": []}))]);
    let report = site.run(Order::question("what is love?").strategy(Strategy::Pipeline)).await.report;
    assert_eq!(report.model.unwrap().answer.unwrap().facts, Vec::new(), "no skill knows, and nothing is invented");
}
