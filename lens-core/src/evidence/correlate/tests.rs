use super::*;
use crate::evidence::{Cause, Fact};
use crate::time::Timestamp;

fn finding(cause: Cause, skill: &str) -> Finding {
    let fact = Fact {
        text: format!("{cause}"),
        expr: String::new(),
        value: true.into(),
        skills: vec![skill.to_owned()],
        capture: String::new(),
        at: Timestamp::default(),
    };
    Finding {
        check: cause.to_string(),
        skill: skill.to_owned(),
        cause,
        severity: Severity::Warning,
        summary: cause.to_string(),
        place: None,
        spawned_at: Vec::new(),
        created_at: Vec::new(),
        tasks: Vec::new(),
        since: None,
        facts: vec![fact],
        hypothesis: None,
        remedy: String::new(),
    }
}

fn roots(insights: &[Insight]) -> Vec<Option<Cause>> {
    insights.iter().map(|insight| insight.root_cause).collect()
}

#[test]
fn one_incident_is_one_insight_with_its_symptoms_below_it() {
    let mut blocked = finding(Cause::BlockingCall, "stalls");
    blocked.place = Some("src/cart.rs:41".to_owned());
    blocked.since = Some(Timestamp::from_unix_millis(1_000));
    let mut delayed = finding(Cause::ScheduleDelay, "runtime");
    delayed.severity = Severity::Critical;
    delayed.since = Some(Timestamp::from_unix_millis(3_000));
    let stuck = finding(Cause::NoProgress, "runtime");
    let insights = correlate(vec![delayed, stuck, blocked]);
    assert_eq!(roots(&insights), [Some(Cause::BlockingCall)]);
    let insight = &insights[0];
    assert_eq!((insight.severity, insight.confidence, insight.grounded), (Severity::Critical, Confidence::High, true));
    assert_eq!(insight.since, Some(Timestamp::from_unix_millis(1_000)));
    assert_eq!(insight.correlation, Some(Correlation::Temporal), "the delay began with it");
    let symptoms: Vec<_> = insight.symptoms().map(|linked| linked.finding.cause).collect();
    assert_eq!(symptoms, [Cause::ScheduleDelay, Cause::NoProgress]);
    assert!(insight.symptoms().all(|linked| linked.link.as_ref().is_some_and(|link| link.explained_by == 0)));
}

#[test]
fn connections_of_requests_that_wait_are_a_symptom() {
    let insights = correlate(vec![finding(Cause::FdLeak, "os"), finding(Cause::BlockingPoolExhausted, "runtime")]);
    assert_eq!(roots(&insights), [Some(Cause::BlockingPoolExhausted)]);
    assert_eq!(insights[0].symptoms().next().map(|linked| linked.finding.cause), Some(Cause::FdLeak));
}

#[test]
fn two_faults_are_two_insights() {
    let insights = correlate(vec![finding(Cause::FdLeak, "os"), finding(Cause::BusyLoop, "tasks")]);
    assert_eq!(insights.len(), 2);
    let mut one = finding(Cause::BlockingCall, "stalls");
    one.place = Some("src/a.rs:1".to_owned());
    let mut other = one.clone();
    other.place = Some("src/b.rs:1".to_owned());
    assert_eq!(correlate(vec![one.clone(), other]).len(), 2);
    assert_eq!(correlate(vec![one.clone(), one]).len(), 1, "the same twice is one");
}

#[test]
fn an_effect_that_needs_a_common_subject_is_its_own_root_without() {
    let mut slow = finding(Cause::DownstreamSlow, "waits");
    slow.spawned_at = vec!["src/pay.rs:7:5".to_owned()];
    let mut pool = finding(Cause::PoolExhausted, "waits");
    pool.spawned_at = vec!["src/other.rs:9:5".to_owned()];
    assert_eq!(correlate(vec![slow.clone(), pool.clone()]).len(), 2);
    pool.spawned_at = vec!["src/pay.rs:7".to_owned()];
    let insights = correlate(vec![pool, slow]);
    assert_eq!(roots(&insights), [Some(Cause::DownstreamSlow)]);
    assert_eq!(insights[0].correlation, Some(Correlation::Causal));
    assert!(insights[0].findings[1].link.as_ref().unwrap().because.ends_with("both are about src/pay.rs:7"));
}

#[test]
fn symptoms_alone_are_inconclusive() {
    let insights = correlate(vec![finding(Cause::ScheduleDelay, "runtime")]);
    assert_eq!(roots(&insights), [None]);
    assert_eq!(insights[0].confidence, Confidence::Low);
}

#[test]
fn a_chain_hangs_on_its_root() {
    let mut deadlock = finding(Cause::Deadlock, "waits");
    deadlock.created_at = vec!["src/a.rs:1:1".to_owned()];
    let mut convoy = finding(Cause::LockConvoy, "waits");
    convoy.created_at = vec!["src/a.rs:1:1".to_owned()];
    convoy.tasks = vec![7];
    let mut consumer = finding(Cause::SlowConsumer, "waits");
    consumer.tasks = vec![7];
    let insights = correlate(vec![consumer, convoy, deadlock]);
    assert_eq!(roots(&insights), [Some(Cause::Deadlock)]);
    let links: Vec<_> = insights[0].symptoms().map(|linked| linked.link.as_ref().unwrap().explained_by).collect();
    assert_eq!(links, [0, 1]);
}

#[test]
fn no_cause_explains_itself_in_a_circle() {
    for cause in Cause::ALL {
        let mut seen = BTreeSet::from([*cause]);
        let mut open = vec![*cause];
        while let Some(next) = open.pop() {
            for rule in RULES.iter().filter(|rule| rule.cause == next) {
                assert_ne!(rule.effect, *cause, "{cause} explains itself");
                if seen.insert(rule.effect) {
                    open.push(rule.effect);
                }
            }
        }
    }
}

#[test]
fn what_one_check_sees_is_of_the_place_that_another_tells() {
    let grows = finding(Cause::HeapLeak, "heap");
    let mut here = finding(Cause::HeapLeak, "heap");
    here.place = Some("src/cache.rs:3".to_owned());
    here.facts[0].text = "it is here".to_owned();
    let insights = correlate(vec![grows.clone(), here]);
    assert_eq!(insights.len(), 1);
    assert_eq!((insights[0].place.as_deref(), insights[0].root().facts.len()), (Some("src/cache.rs:3"), 2));
    let mut elsewhere = finding(Cause::HeapLeak, "tasks");
    elsewhere.place = Some("src/a.rs:1".to_owned());
    assert_eq!(correlate(vec![grows, elsewhere]).len(), 2, "another skill may mean something else");
}

#[test]
fn tasks_that_go_wrong_alike_at_unknown_places_are_not_one() {
    let of = |task: u64, place: Option<&str>| {
        let mut finding = finding(Cause::CpuHog, "stalls");
        finding.place = place.map(str::to_owned);
        finding.tasks = vec![task];
        finding.spawned_at = vec![format!("src/main.rs:{task}:5")];
        finding
    };
    assert_eq!(correlate(vec![of(1, None), of(2, None)]).len(), 2);
    assert_eq!(correlate(vec![of(1, None), of(2, Some("src/cart.rs:3"))]).len(), 2);
    assert_eq!(correlate(vec![of(1, None), of(1, None)]).len(), 1);
    let one = correlate(vec![of(1, None), of(1, Some("src/cart.rs:3"))]);
    assert_eq!((one.len(), one[0].place.as_deref()), (1, Some("src/cart.rs:3")));
}
