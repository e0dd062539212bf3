//! How long conversations become, and what shortening them costs.

use super::*;

/// CMP-03: a summary is asked for as what a cheaper model can do; one that never comes holds up its own operator only, and
/// no longer than the time that operators have.
#[tokio::test]
async fn a_summary_that_never_comes_holds_nobody_else_up() {
    let mut number = 0;
    let model = Scripted::new(move |prompt| {
        if prompt.purpose == Purpose::Compact {
            return Line::is_silent();
        }
        if is_for(prompt, "classify") {
            return act(json!({"intent": "investigation", "skills": ["shop", "bank"]}));
        }
        if is_for(prompt, "synthesize") {
            return act(json!({"intent": "conclude", "insights": []}));
        }
        if prompt.system.contains("# bank") {
            return match prompt.messages.len() {
                1 => act(reports("other", &[("250 euros are in the account", "bank.account()")]))
                    .after(Duration::from_millis(300)),
                _ => act(json!({"intent": "done"})),
            };
        }
        number += 1;
        act(json!({"intent": "think", "thought": format!("{number} {}", "y ".repeat(3_900))}))
    });
    let site = Site::with(model, |settings| settings.budget.deadline = Duration::from_secs(3));
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    assert_eq!(
        stated(&report).iter().map(|finding| finding.summary.as_str()).collect::<Vec<_>>(),
        ["250 euros are in the account"]
    );
    let operators = &report.model.as_ref().unwrap().operators;
    let ended = |skill: &str| &operators.iter().find(|operated| operated.skill == skill).unwrap().ended_by;
    assert_eq!((ended("bank"), ended("shop")), (&Some(EndedBy::Completion), &None));
    let asked = site.asked();
    let summaries: Vec<&Prompt> = asked.iter().filter(|prompt| prompt.purpose == Purpose::Compact).collect();
    assert_eq!(summaries.len(), 1, "it was asked for once");
    assert_eq!((spent(&report).requests as usize, spent(&report).compactions), (asked.len(), 0));
}

/// The tokens that a window must have for a request and its answer, by the estimate.
fn window(prompt: &Prompt) -> u64 {
    let told: usize = prompt.messages.iter().map(|message| message.text.len()).sum();
    let form = prompt.form.as_ref().map_or(0, |form| form.schema.to_string().len());
    super::super::talk::estimate(prompt.system.len() + told + form) + u64::from(prompt.max_tokens)
}

/// CMP-05: nobody has to say how large a model's window is: with the longest answers of actions, the longest errors and the
/// longest answers of the model, each request and its answer fit into 32 768 tokens.
#[tokio::test]
async fn no_request_is_larger_than_a_small_window() {
    let rows = "[\"x\" * 2000 for n in range(8)]";
    let error = "fail(\"e\" * 300000)";
    let text = "\"t\" * 1000000";
    let mut number = 0;
    let model = Scripted::new(move |prompt| {
        if prompt.purpose == Purpose::Compact {
            return Line::says("s".repeat(3_200));
        }
        if is_for(prompt, "classify") {
            return act(json!({"intent": "investigation", "skills": ["shop"]}));
        }
        number += 1;
        let code = [rows, error, text][number % 3];
        let action = json!({"action": {"intent": "execute", "code": format!("{code} # {number}")}});
        Line::says(format!("{} {action}", "w".repeat(20_000)))
    });
    let site = Site::with(model, |settings| {
        settings.budget.tokens = 10_000_000;
        settings.budget.iterations = 30;
    });
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    assert!(spent(&report).compactions >= 2, "{:?}", spent(&report));
    assert_eq!(spent(&report).tool_calls, 30);
    let largest = site.asked().iter().map(window).max().unwrap();
    assert!(largest > COMPACT_TOKENS / 2 && largest <= 32_768, "{largest}");
}
