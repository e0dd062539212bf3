//! The strategy `pipeline`, and what every strategy falls back to.

use super::*;

/// Classifies, has each operator look once and be done, and concludes nothing.
fn plain(prompt: &Prompt) -> Line {
    if is_for(prompt, "classify") {
        act(json!({"intent": "investigation", "skills": ["shop", "bank", "moon"], "context": "the queue"}))
    } else if is_for(prompt, "synthesize") {
        act(json!({"intent": "conclude", "insights": []}))
    } else if prompt.messages.len() < 2 {
        act(json!({"intent": "execute", "code": "1 + 1"}))
    } else {
        act(json!({"intent": "done"}))
    }
}

/// ST-03: classify, gather with operators at once, synthesize.
#[tokio::test]
async fn the_pipeline_classifies_gathers_and_reports_on_top_of_the_checks() {
    let site = Site::scripted(plain);
    let outcome = site.pipeline().await;
    let report = outcome.report;
    the_checks_are_in(&report);
    assert_eq!((report.strategy.as_str(), &report.ended_by), ("pipeline", &EndedBy::Completion), "{report}");
    let model = report.model.as_ref().unwrap();
    assert_eq!(model.models, ["scripted/model"]);
    assert_eq!(model.unknown_skills, ["moon"], "a skill that there is none of is said to be unknown");
    let ended: Vec<_> = model.operators.iter().map(|of| (of.skill.as_str(), of.state, of.ended_by.clone())).collect();
    assert!(ended.contains(&("shop", HealthState::Warning, Some(EndedBy::Completion))), "{ended:?}");
    assert!(ended.contains(&("bank", HealthState::Healthy, Some(EndedBy::Completion))), "{ended:?}");
    assert_eq!(model.spent.requests, 5);
    assert!(model.spent.input_tokens >= 500 && model.spent.tool_calls == 2, "{:?}", model.spent);
    let (facts, wrong) = report.verify(&outcome.captures[0], &Sandbox::new(Limits::default()));
    assert_eq!((facts, wrong), (1, Vec::new()));
}

/// However many examine at once, each has its place in the end, and none loses what its checks found.
#[tokio::test]
async fn many_at_once_all_have_what_the_checks_found() {
    let site = Arc::new(Site::new(Settings::default()));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..4 * crate::sandbox::DEFAULT_CONCURRENCY {
        let site = Arc::clone(&site);
        running.spawn(async move { site.run(Order::new("slow").strategy(Strategy::Checks)).await.report });
    }
    while let Some(report) = running.join_next().await {
        let report = report.unwrap();
        the_checks_are_in(&report);
        assert_eq!((&report.ended_by, report.defects.len()), (&EndedBy::Completion, 0), "{report}");
    }
}

#[tokio::test]
async fn without_a_model_every_strategy_answers_what_the_checks_found() {
    for strategy in [Strategy::Pipeline, Strategy::AgentLoop] {
        let site = Site::new(Settings::default());
        let report = site.run(Order::new("slow").strategy(strategy.clone())).await.report;
        the_checks_are_in(&report);
        assert_eq!((report.strategy.as_str(), &report.ended_by), (strategy.name(), &EndedBy::NoModel));
        assert!(report.to_string().contains("ended by the lack of a model: configure one"), "{report}");
    }
}

/// CO-19, and defect 17: one error of the model neither hangs whoever waits nor loses what was found.
#[tokio::test]
async fn a_model_that_fails_leaves_the_checks_report_and_says_so() {
    for strategy in [Strategy::Pipeline, Strategy::AgentLoop] {
        let site = Site::scripted(|_| Line::fails(ErrorClass::Unauthorized));
        let report = site.run(Order::new("slow").strategy(strategy)).await.report;
        the_checks_are_in(&report);
        let EndedBy::ModelFailed { class, message } = &report.ended_by else { panic!("{report}") };
        assert_eq!((*class, message.as_str()), (ErrorClass::Unauthorized, "scripted: Unauthorized"));
        assert_eq!(spent(&report).requests, 1, "a wrong key is not tried again");
    }
}
