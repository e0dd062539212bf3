//! Many investigations with a model that does anything: each is answered, and nothing stays behind.

use std::hash::{BuildHasher, RandomState};

use super::*;

/// How many investigations, unless `LENS_SOAK` says: 1 000 are what a release has to stand.
const DEFAULT_RUNS: usize = 60;

/// Anything that a model may do, by a number.
fn anything(number: u64) -> Line {
    let line = match number % 19 {
        0 => Line::fails(ErrorClass::Rejected),
        1 => Line::errs(ModelError {
            class: ErrorClass::Unavailable,
            message: "ill".to_owned(),
            retry_after: Some(Duration::from_millis(1)),
        }),
        2 => Line::is_silent(),
        3 => Line::panics("as asked"),
        4 => Line::says("no idea"),
        5 => Line::says(r#"{"action":{"intent":"resolve"}}"#),
        6 => act(json!({"intent": "investigation", "skills": ["shop", "bank", "moon"]})),
        7 => act(json!({"intent": "question", "skills": ["shop"]})),
        8 => act(json!({"intent": "invoke_operators", "skills": ["shop", "bank"]})),
        9 => act(json!({"intent": "wait", "ms": 2})),
        10 => act(json!({"intent": "execute", "code": "[x for x in range(1000)]"})),
        11 => act(json!({"intent": "execute", "code": "fail()"})),
        12 => act(reports("queue_growth", &[("8 customers wait", "shop.queue().waiting")])),
        13 => act(reports("queue_growth", &[("31 customers were served", "shop.tills()[0].served")])),
        14 => act(json!({"intent": "produce_insight", "findings": ["f1"], "correlation": "causal"})),
        15 => act(json!({"intent": "answer", "facts": [{"text": "7 wait", "expr": "shop.queue().waiting"}]})),
        16 => act(json!({"intent": "conclude", "insights": []})),
        17 => act(json!({"intent": "take_snapshot"})),
        _ => act(json!({"intent": "done"})),
    };
    if number.is_multiple_of(5) { line.after(Duration::from_millis(3)) } else { line }
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn whatever_a_model_does_every_investigation_is_answered_and_nothing_stays() {
    let runs = std::env::var("LENS_SOAK").ok().and_then(|runs| runs.parse().ok()).unwrap_or(DEFAULT_RUNS);
    let random = RandomState::new();
    let mut number = 0_u64;
    let site = Site::with(
        Scripted::new(move |_| {
            number += 1;
            anything(random.hash_one(number))
        }),
        |settings| {
            settings.budget.deadline = Duration::from_millis(700);
            settings.quota.runs_per_hour = usize::MAX;
            settings.quota.tokens_per_day = u64::MAX;
        },
    );
    let metrics = tokio::runtime::Handle::current().metrics();
    let tasks = metrics.num_alive_tasks();
    let random = RandomState::new();
    let mut after_the_first_tenth = None;
    let mut ends: std::collections::BTreeMap<&'static str, usize> = std::collections::BTreeMap::new();
    for index in 0..runs {
        let strategy = if index % 2 == 0 { Strategy::Pipeline } else { Strategy::AgentLoop };
        let run = site.begin(Order::new("slow").strategy(strategy));
        let cancel = Cancel::new();
        let chance = random.hash_one(index) % 4;
        let hurry = async {
            // Anywhere in the conversation, but after the checks, whose findings are then in the report.
            while run.checked().is_none() || chance != 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(random.hash_one(index + 1) % 30)).await;
            cancel.cancel();
            std::future::pending::<()>().await;
        };
        let conducted = site.investigator.conduct(&run, &cancel);
        let bounded = tokio::time::timeout(Duration::from_secs(30), async {
            tokio::select! { outcome = conducted => outcome, () = hurry => unreachable!() }
        });
        let outcome = bounded.await.expect("every investigation is answered");
        the_checks_are_in(&outcome.report);
        for fact in outcome.report.findings().flat_map(|finding| &finding.facts) {
            assert!(!fact.text.contains('8'), "{}", outcome.report);
        }
        *ends.entry(outcome.report.ended_by.word()).or_default() += 1;
        if index == runs / 10 {
            after_the_first_tenth = Some(memory_kib());
        }
    }
    assert!(ends.len() >= 3, "it ends in many ways: {ends:?}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while metrics.num_alive_tasks() > tasks {
        assert!(Instant::now() < deadline, "{} tasks stay", metrics.num_alive_tasks() - tasks);
        tokio::task::yield_now().await;
    }
    // The script's own record of prompts is in this process too, so the bound is a loose one.
    let grown = memory_kib().saturating_sub(after_the_first_tenth.unwrap());
    assert!(grown < 100 * 1024 + 400 * runs as u64, "{grown} KiB more after {runs} investigations");
}
