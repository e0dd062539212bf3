//! A part of an investigation fails: the others go on, and the report says which.

use super::*;

/// The skill whose operator fails, and how.
type Failing = (&'static str, fn() -> Line);

/// Looks into the shop and the bank; the operator of the shop states a finding, each of `failing` does what it says.
async fn investigated(failing: &'static [Failing]) -> Report {
    let site = Site::scripted(move |prompt| {
        if is_for(prompt, "classify") {
            return act(json!({"intent": "investigation", "skills": ["shop", "bank"]}));
        }
        if is_for(prompt, "synthesize") {
            return act(json!({"intent": "conclude", "insights": []}));
        }
        let failing = failing.iter().find(|(skill, _)| prompt.system.contains(&format!("\n# {skill}: ")));
        match (failing, prompt.messages.len()) {
            (Some((_, fail)), _) => fail(),
            (None, 1) => act(reports("other", &[("31 customers were served", "shop.tills()[0].served")])),
            (None, _) => act(json!({"intent": "done"})),
        }
    });
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    report
}

fn ended(report: &Report, skill: &str) -> Option<EndedBy> {
    let operators = &report.model.as_ref().unwrap().operators;
    operators.iter().find(|operated| operated.skill == skill).unwrap().ended_by.clone()
}

#[tokio::test]
async fn an_operator_whose_model_fails_is_named_and_the_others_go_on() {
    let report = investigated(&[("bank", || Line::fails(ErrorClass::Rejected))]).await;
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    assert_eq!(stated(&report)[0].facts[0].text, "31 customers were served");
    let message = "scripted: Rejected".to_owned();
    assert_eq!(ended(&report, "bank"), Some(EndedBy::ModelFailed { class: ErrorClass::Rejected, message }));
    assert_eq!(ended(&report, "shop"), Some(EndedBy::Completion));
    let line = "looked into bank: healthy, 0 findings, the model, which gave no answer: scripted: Rejected";
    assert!(report.to_string().contains(line), "{report}");
}

#[tokio::test]
async fn an_operator_that_panics_is_named_and_the_others_go_on() {
    let report = investigated(&[("bank", || Line::panics("no more money"))]).await;
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    assert_eq!(stated(&report)[0].facts[0].text, "31 customers were served");
    assert_eq!(ended(&report, "bank"), Some(EndedBy::Panic("the operator of `bank` panicked".to_owned())));
}

#[tokio::test]
async fn a_model_that_fails_every_operator_ends_the_investigation() {
    let fails: fn() -> Line = || Line::fails(ErrorClass::Rejected);
    let report = investigated(Box::leak(Box::new([("bank", fails), ("shop", fails)]))).await;
    let EndedBy::ModelFailed { class, .. } = &report.ended_by else { panic!("{report}") };
    assert_eq!(*class, ErrorClass::Rejected);
    assert!(stated(&report).is_empty(), "{report}");
}
