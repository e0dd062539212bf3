//! What the coordinator can do, one test a row of the parity list.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A model whose coordinator does `acts` one after the other, and whose operators do what `operator` says.
fn coordinated(acts: Vec<Value>, mut operator: impl FnMut(&Prompt) -> Line + Send + 'static) -> Scripted {
    let mut acts = acts.into_iter();
    Scripted::new(move |prompt| match is_for(prompt, "coordinator") {
        true => act(acts.next().unwrap_or_else(|| json!({"intent": "done"}))),
        false => operator(prompt),
    })
}

/// An operator that is done at once.
fn quick(_: &Prompt) -> Line {
    act(json!({"intent": "done"}))
}

/// An operator that never ends by itself.
fn slow(_: &Prompt) -> Line {
    Line::is_silent()
}

/// What the coordinator was told after its action number `index`, from 0.
fn told(site: &Site, index: usize) -> String {
    let prompts = site.asked();
    let own: Vec<&Prompt> = prompts.iter().filter(|prompt| is_for(prompt, "coordinator")).collect();
    last(own[index + 1]).to_owned()
}

async fn coordinate(acts: Vec<Value>, operator: impl FnMut(&Prompt) -> Line + Send + 'static) -> (Site, Outcome) {
    let site = Site::with(coordinated(acts, operator), |settings| settings.budget.deadline = Duration::from_secs(20));
    let outcome = site.agent().await;
    the_checks_are_in(&outcome.report);
    (site, outcome)
}

fn invoke(skills: &[&str]) -> Value {
    json!({"intent": "invoke_operators", "skills": skills, "context": "the queue"})
}

fn wait() -> Value {
    json!({"intent": "wait", "ms": 5_000})
}

/// CO-11, CO-13, CO-14, CO-22: operators are started once each, listed, and their end wakes who waits.
#[tokio::test]
async fn operators_are_started_listed_and_waited_for() {
    let started = Instant::now();
    let acts = vec![invoke(&["shop", "moon", "shop"]), json!({"intent": "get_operators"}), wait(), wait(), wait()];
    let (site, outcome) = coordinate(acts, quick).await;
    assert!(told(&site, 0).contains(r#""started":["shop"]"#) && told(&site, 0).contains(r#""unknown":["moon"]"#));
    assert!(told(&site, 1).contains(r#""skill":"shop""#), "{}", told(&site, 1));
    assert_eq!(outcome.report.ended_by, EndedBy::Completion, "{}", outcome.report);
    assert!(started.elapsed() < Duration::from_secs(16), "the end of an operator ends the wait");
    assert_eq!(outcome.report.model.as_ref().unwrap().operators.len(), 1);
}

/// The intents that a form offers.
fn offered(prompt: &Prompt) -> BTreeSet<String> {
    fn collect(schema: &Value, to: &mut BTreeSet<String>) {
        match schema {
            Value::Object(fields) => {
                to.extend(fields.get("intent").and_then(|intent| intent["const"].as_str()).map(str::to_owned));
                fields.values().for_each(|field| collect(field, to));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, to)),
            _ => {}
        }
    }
    let mut intents = BTreeSet::new();
    collect(&prompt.form.as_ref().unwrap().schema, &mut intents);
    intents
}

/// ST-02: the loop has its ten tools and the evidence of a finding, an operator its ten; each of them is offered, and does
/// what it is asked.
#[tokio::test]
async fn every_tool_is_offered_and_works() {
    let by_coordinator = vec![
        json!({"intent": "get_findings"}),
        json!({"intent": "get_evidence", "id": "f1"}),
        json!({"intent": "update_findings", "ids": ["f1"], "status": "acknowledged"}),
        json!({"intent": "produce_insight", "findings": ["f1"], "correlation": "temporal"}),
        invoke(&["shop"]),
        json!({"intent": "message_operator", "skill": "shop", "message": "well?"}),
        json!({"intent": "get_operators"}),
        json!({"intent": "think", "thought": "so it is"}),
        wait(),
        wait(),
        json!({"intent": "schedule", "ms": 60_000, "reason": "look again"}),
    ];
    let mut by_operator = vec![
        json!({"intent": "done"}),
        json!({"intent": "get_findings"}),
        reports("queue_growth", &[("`till-a` has served 31 customers", "shop.tills()[0]")]),
        json!({"intent": "set_state", "state": "critical", "reason": "so"}),
        json!({"intent": "execute", "code": "shop.queue()"}),
        json!({"intent": "get_snapshots"}),
        json!({"intent": "get_snapshot", "id": "s2"}),
        json!({"intent": "wait", "ms": 1}),
        json!({"intent": "take_snapshot"}),
        json!({"intent": "think", "thought": "let me see"}),
    ];
    let model = coordinated(by_coordinator, move |prompt| match last(prompt).contains("aside") {
        true => act(json!({"intent": "reply", "summary": "still looking"})),
        // Long enough to be asked something.
        false => act(by_operator.pop().unwrap()).after(Duration::from_millis(30)),
    });
    let site = Site::with(model, |_| {});
    let mut listener = site.investigator.events().listen();
    let mut done: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut hear = |listener: &mut Listener| {
        for happened in std::iter::from_fn(|| listener.try_next()) {
            if let Event::ActionDone { intent, is_refused, .. } = happened.event {
                assert!(!is_refused, "{}: {intent}", happened.actor);
                done.entry(happened.actor).or_default().insert(intent);
            }
        }
    };
    let outcome = site.agent().await;
    hear(&mut listener);
    assert_eq!((&outcome.report.ended_by, outcome.follow_up.is_some()), (&EndedBy::Completion, true));
    // The script is over, so the next one ends at once, the other way.
    assert_eq!(site.agent().await.report.ended_by, EndedBy::Completion);
    hear(&mut listener);
    let asked = site.asked();
    for (actor, who, count) in [("coordinator", "coordinator", 11), ("shop", "operator", 10)] {
        let prompt = asked.iter().find(|prompt| is_for(prompt, who)).unwrap();
        assert_eq!((&offered(prompt), done[actor].len()), (&done[actor], count), "{actor}");
    }
}

/// CO-14, defect 20: no wait is negative, not a number or past the deadline.
#[tokio::test]
async fn a_wait_is_bounded() {
    let acts = vec![json!({"intent": "wait", "ms": -1}), json!({"intent": "wait", "ms": 0})];
    let (site, outcome) = coordinate(acts, quick).await;
    assert!(told(&site, 0).contains("not -1"), "{}", told(&site, 0));
    assert_eq!(outcome.report.ended_by, EndedBy::Completion);
    let run = site.begin(Order::default());
    assert!(run.wait_for(f64::NAN).is_err() && run.wait_for(f64::INFINITY).is_err());
    assert!(run.wait_for(1e12).unwrap() <= Duration::from_secs(10), "half of the time that is left");
}

/// CO-09: done is refused while operators run, and says which. CO-15: so is a schedule.
#[tokio::test]
async fn the_end_is_refused_while_operators_run() {
    let acts = vec![
        invoke(&["shop"]),
        json!({"intent": "done"}),
        json!({"intent": "schedule", "ms": 60_000, "reason": "look again"}),
        json!({"intent": "think", "thought": "nothing"}),
    ];
    let model = coordinated(acts, |prompt| match prompt.messages.len() {
        1 => act(json!({"intent": "think", "thought": "slowly"})).after(Duration::from_millis(300)),
        _ => quick(prompt),
    });
    let site = Site::with(model, |_| {});
    let report = site.agent().await.report;
    assert!(told(&site, 1).contains("`done` is refused: operators of shop are running"), "{}", told(&site, 1));
    assert!(told(&site, 2).contains("`schedule` is refused"), "{}", told(&site, 2));
    assert!(matches!(report.ended_by, EndedBy::Completion | EndedBy::Repetition(_)), "{report}");
}

/// CO-03, CO-04, CO-05, CO-10: findings have states; ids that there are none of are said.
#[tokio::test]
async fn findings_are_listed_by_status_and_marked() {
    let acts = vec![
        json!({"intent": "update_findings", "ids": ["f1", "f9"], "status": "acknowledged"}),
        json!({"intent": "get_findings", "status": "unread"}),
        json!({"intent": "get_findings", "status": "acknowledged"}),
        json!({"intent": "get_findings"}),
        json!({"intent": "get_evidence", "id": "f1"}),
        json!({"intent": "get_evidence", "id": "f9"}),
        json!({"intent": "think", "thought": "so it is"}),
    ];
    let (site, _) = coordinate(acts, quick).await;
    assert!(told(&site, 0).contains(r#""unknown":["f9"],"updated":["f1"]"#), "{}", told(&site, 0));
    assert!(told(&site, 1).starts_with("[]"), "{}", told(&site, 1));
    assert!(told(&site, 2).contains("7 customers wait") && told(&site, 3).contains("7 customers wait"));
    assert!(told(&site, 4).contains(r#""expr":"shop.queue().waiting""#), "{}", told(&site, 4));
    assert!(told(&site, 5).contains("there is no finding"), "{}", told(&site, 5));
    assert!(told(&site, 6).contains("noted"));
}

/// CO-06, CO-07, CO-08: an insight resolves its findings; grounding and confidence are computed.
#[tokio::test]
async fn an_insight_resolves_its_findings() {
    let acts = vec![
        json!({"intent": "produce_insight", "findings": ["f1", "f1"], "correlation": "symptomatic",
            "hypothesis": "one till is closed"}),
        json!({"intent": "get_findings", "status": "resolved"}),
    ];
    let (site, outcome) = coordinate(acts, quick).await;
    assert!(told(&site, 0).contains("accepted"), "{}", told(&site, 0));
    assert!(told(&site, 1).contains("f1"), "{}", told(&site, 1));
    let insight = &outcome.report.insights[0];
    assert_eq!(insight.root().hypothesis.as_deref(), Some("one till is closed"));
    assert!(!insight.grounded);
}

/// CO-12, API-13: a running operator is asked without being disturbed, and the answer comes by itself.
#[tokio::test]
async fn a_running_operator_is_asked_on_a_copy_of_its_conversation() {
    let acts = vec![
        invoke(&["shop"]),
        json!({"intent": "wait", "ms": 200}),
        json!({"intent": "message_operator", "skill": "shop", "message": "anything?"}),
        json!({"intent": "message_operator", "skill": "bank", "message": "anything?"}),
        wait(),
        wait(),
    ];
    let (site, _) = coordinate(acts, |prompt| {
        if last(prompt).contains("aside") {
            return act(json!({"intent": "reply", "summary": "still looking", "concerns": ["the queue"]}));
        }
        match prompt.messages.len() {
            1 => act(json!({"intent": "think", "thought": "slowly"})),
            3 => act(json!({"intent": "execute", "code": "shop.queue()"})).after(Duration::from_secs(1)),
            _ => act(json!({"intent": "done"})),
        }
    })
    .await;
    assert!(told(&site, 2).contains("the answer comes by itself"), "{}", told(&site, 2));
    assert!(told(&site, 3).contains("no operator of \\\"bank\\\" is running"), "{}", told(&site, 3));
    assert!(told(&site, 3).contains("still looking") || told(&site, 4).contains("still looking"));
    let of_operator: Vec<Prompt> = site.asked().into_iter().filter(|prompt| is_for(prompt, "operator")).collect();
    let own = of_operator.last().unwrap();
    assert!(own.messages.iter().all(|message| !message.text.contains("anything?")), "it learns nothing of it");
}

/// CO-15, defect 22: a follow-up has bounds and a chain that ends; it is listed, and can be taken out once.
#[tokio::test]
async fn an_investigation_can_follow_within_bounds() {
    let schedule = |ms: f64| json!({"intent": "schedule", "ms": ms, "reason": "look again"});
    let (site, outcome) = coordinate(vec![schedule(-1.0), schedule(1e9), schedule(60_000.0)], quick).await;
    assert!(told(&site, 0).contains("in 10000 to 3600000 ms"), "{}", told(&site, 0));
    assert!(told(&site, 1).contains("in 10000 to 3600000 ms"), "{}", told(&site, 1));
    let follow_up = outcome.follow_up.unwrap();
    assert_eq!((follow_up.delay, follow_up.order.chain_depth), (Duration::from_secs(60), 1));

    let site = Site::with(coordinated(vec![schedule(60_000.0)], quick), |_| {});
    let mut order = Order::new("again").strategy(Strategy::AgentLoop);
    order.chain_depth = MAX_CHAIN_DEPTH;
    let outcome = site.run(order).await;
    assert!(outcome.follow_up.is_none() && told(&site, 0).contains("have followed each other"));

    let schedules = Schedules::default();
    let scheduled = schedules.add(&follow_up, "an-id").unwrap();
    assert_eq!(schedules.list().as_slice(), std::slice::from_ref(&scheduled));
    assert_eq!(schedules.take(&scheduled.id), Some(scheduled.clone()));
    assert_eq!((schedules.take(&scheduled.id), schedules.list().len()), (None, 0));
    let most = (0..MAX_SCHEDULES + 1).filter(|_| schedules.add(&follow_up, "an-id").is_some()).count();
    assert_eq!(most, MAX_SCHEDULES);
}

/// CO-16, defect 23: when the turns are used up, operators that run may still end, and a crashed one holds nothing up.
#[tokio::test]
async fn turns_that_are_used_up_end_it_when_the_operators_have_ended() {
    for crashes in [false, true] {
        let model = coordinated(vec![invoke(&["shop"])], move |_| match crashes {
            true => Line::panics("as asked"),
            false => act(json!({"intent": "done"})).after(Duration::from_millis(50)),
        });
        let site = Site::with(model, |settings| settings.budget.iterations = 1);
        let started = Instant::now();
        let report = site.agent().await.report;
        the_checks_are_in(&report);
        assert_eq!(report.ended_by, EndedBy::Budget(Resource::Iterations), "{report}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

/// CO-21: the coordinator hears that an operator crashed, and goes on.
#[tokio::test]
async fn a_crashed_operator_is_told_to_the_coordinator() {
    let (site, outcome) = coordinate(vec![invoke(&["shop"]), wait()], |_| Line::panics("as asked")).await;
    assert!(told(&site, 1).contains("operator_crashed"), "{}", told(&site, 1));
    let ended_by = outcome.report.ended_by;
    assert!(matches!(ended_by, EndedBy::Completion | EndedBy::Repetition(_)), "{ended_by}");
}

/// CO-23: with a reason and nothing found, somebody has to look before it is done.
#[tokio::test]
async fn done_is_refused_before_anybody_has_looked() {
    let model = Arc::new(coordinated(vec![json!({"intent": "done"}), invoke(&["bank"]), wait()], quick));
    let settings = Settings { model: Some(Arc::clone(&model) as Arc<dyn Model>), ..Settings::default() };
    let mut builder = RegistryBuilder::new();
    builder.skill(Bank).unwrap();
    let site = Site { model: Some(model), ..Site::of(builder, settings) };
    let report = site.agent().await.report;
    assert!(told(&site, 0).contains("start operators before you are done"), "{}", told(&site, 0));
    assert_eq!(report.ended_by, EndedBy::Completion);
}

/// CO-20, LLM-05: an unknown intent goes back with what there is; a second wrong answer in a row ends it.
#[tokio::test]
async fn invalid_output_goes_back_once_and_then_ends_it() {
    let site = Site::lines([Line::says(r#"{"action":{"intent":"resolve"}}"#), act(json!({"intent": "done"}))]);
    let report = site.agent().await.report;
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    assert!(told(&site, 0).contains("unknown variant `resolve`, expected one of"), "{}", told(&site, 0));
    let site = Site::lines([Line::says("shop.queue()"), Line::says("as I said: shop.queue()")]);
    let report = site.agent().await.report;
    the_checks_are_in(&report);
    assert!(matches!(report.ended_by, EndedBy::InvalidOutput(_)), "{report}");
}

/// The same action three times is told, four times ends it.
#[tokio::test]
async fn an_action_that_is_repeated_is_told_and_then_ends_it() {
    let site = Site::scripted(|_| act(json!({"intent": "think", "thought": "hm"})));
    let report = site.agent().await.report;
    the_checks_are_in(&report);
    assert_eq!(report.ended_by, EndedBy::Repetition("think".to_owned()));
    assert_eq!(site.asked().len(), 4);
    assert!(last(&site.asked()[3]).contains("3 times in a row"));
}

/// CO-24: the prompt is made from the skills that there are, custom ones included (defect 26).
#[tokio::test]
async fn the_coordinator_knows_every_skill_that_there_is() {
    let (site, _) = coordinate(vec![], quick).await;
    let system = &site.asked()[0].system;
    for line in ["- shop: A shop with customers", "- bank: Money in an account.", "- logs: What the service logs."] {
        assert!(system.contains(line), "{system}");
    }
}

/// API-16, defect 19: the skills of an order are a boundary, for operators, queries and facts.
#[tokio::test]
async fn the_skills_of_an_order_are_a_boundary() {
    let mut acts = vec![
        json!({"intent": "done"}),
        reports("other", &[("250 euros are in the account", "bank.account()")]),
        json!({"intent": "execute", "code": "bank.account()"}),
    ];
    let model = coordinated(vec![invoke(&["bank", "shop"]), wait(), wait()], move |_| act(acts.pop().unwrap()));
    let site = Site::with(model, |_| {});
    let order = Order::new("slow").strategy(Strategy::AgentLoop).skills(["shop"]);
    let report = site.run(order).await.report;
    the_checks_are_in(&report);
    assert!(told(&site, 0).contains(r#""unknown":["bank"]"#), "{}", told(&site, 0));
    assert!(stated(&report).is_empty());
    assert!(site.asked().iter().all(|prompt| !prompt.system.contains("- bank:")), "nobody is told of it");
    let said: Vec<String> = site.asked().iter().map(|prompt| last(prompt).to_owned()).collect();
    assert!(said.iter().any(|text| text.contains("`bank` is not among the skills")), "{said:?}");
    assert!(said.iter().all(|text| !text.contains("\"value\":250")), "{said:?}");
}

/// CO-17, CO-18, defect 18: the deadline and a cancellation end everything at once, with a report of what there is.
#[tokio::test]
async fn the_deadline_and_a_cancellation_end_it_at_once_with_a_report() {
    let mut acts = vec![invoke(&["shop"])];
    acts.extend(std::iter::repeat_n(wait(), 20));
    let site = Site::with(coordinated(acts, slow), |settings| {
        settings.budget.deadline = Duration::from_millis(400);
    });
    let started = Instant::now();
    let report = site.agent().await.report;
    the_checks_are_in(&report);
    assert_eq!(report.ended_by, EndedBy::Deadline);
    assert!(started.elapsed() < Duration::from_secs(10));
    let operators = &report.model.as_ref().unwrap().operators;
    assert_eq!((operators[0].skill.as_str(), &operators[0].ended_by), ("shop", &None), "it was still under way");

    let site = Site::scripted(|_| Line::is_silent());
    let run = site.begin(Order::new("slow").strategy(Strategy::AgentLoop));
    let cancel = Cancel::new();
    let told = cancel.clone();
    let mut listener = site.investigator.events().listen();
    let asked = async move {
        while listener.next().await.is_some_and(|happened| happened.event.word() != "model_started") {}
        told.cancel();
    };
    let (outcome, ()) = tokio::join!(site.investigator.conduct(&run, &cancel), asked);
    the_checks_are_in(&outcome.report);
    assert_eq!(outcome.report.ended_by, EndedBy::Cancellation);
}

/// ST-01: a strategy of the service's own asks and ends in the same report.
#[tokio::test]
async fn a_strategy_of_the_services_own_is_followed() {
    struct Own;
    impl Approach for Own {
        fn name(&self) -> &str {
            "own"
        }
        fn investigate<'a>(&'a self, run: &'a Run) -> Approaching<'a> {
            Box::pin(async move {
                assert_eq!(run.query("shop.queue().waiting").await, Ok(json!(7)));
                panic!("as asked")
            })
        }
    }
    let site = Site::new(Settings { strategy: Strategy::Own(Arc::new(Own)), ..Settings::default() });
    let report = site.run(Order::new("slow")).await.report;
    the_checks_are_in(&report);
    assert_eq!((report.strategy.as_str(), report.ended_by), ("own", EndedBy::Panic("as asked".to_owned())));
    let own = Strategy::Own(Arc::new(Own));
    assert_eq!(own.named("own").unwrap(), own);
    assert!(Strategy::Checks.named("agent").unwrap_err().contains("did you mean `agent_loop`?"));
}
