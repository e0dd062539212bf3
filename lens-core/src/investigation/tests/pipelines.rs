//! The strategy `pipeline`, and what every strategy falls back to.

use tokio::sync::Barrier;

use super::*;
use crate::evidence::Correlation;
use crate::model::Answering;

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

/// A model that answers the first question of an operator only when two of them ask.
struct Together {
    script: Scripted,
    both: Barrier,
}

impl Model for Together {
    fn name(&self) -> String {
        self.script.name()
    }

    fn answer<'a>(&'a self, prompt: &'a Prompt) -> Answering<'a> {
        Box::pin(async move {
            if is_for(prompt, "operator") && prompt.messages.len() == 1 {
                self.both.wait().await;
            }
            self.script.answer(prompt).await
        })
    }
}

/// ST-03, OP-01: operators look at once: each gets on only because the other one asks too.
#[tokio::test]
async fn operators_look_at_once() {
    let model = Together { script: Scripted::new(plain), both: Barrier::new(2) };
    let report = Site::new(Settings { model: Some(Arc::new(model)), ..Settings::default() }).pipeline().await.report;
    the_checks_are_in(&report);
    let operators = &report.model.as_ref().unwrap().operators;
    assert_eq!(operators.len(), 2);
    assert!(operators.iter().all(|operated| operated.ended_by == Some(EndedBy::Completion)), "{operators:?}");
}

/// ST-04, CO-06, defect 26: what the pipeline puts together is announced and is in the report as far as it holds: the claim
/// that goes too far is told once, and corrected.
#[tokio::test]
async fn what_a_pipeline_puts_together_is_announced_and_shown() {
    let concludes = |correlation: &str| {
        let insight = json!({"findings": ["f1", "f2"], "correlation": correlation, "hypothesis": "the till is slow"});
        act(json!({"intent": "conclude", "insights": [insight]}))
    };
    let site = Site::lines([
        act(json!({"intent": "investigation", "skills": ["bank"]})),
        act(reports("heap_leak", &[("250 euros are in the account", "bank.account()")])),
        act(json!({"intent": "done"})),
        concludes("causal"),
        concludes("symptomatic"),
    ]);
    let mut listener = site.investigator.events().listen();
    let report = site.pipeline().await.report;
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    assert!(last(&site.asked()[4]).contains("f1 and f2 are symptomatic, not causal"), "{}", last(&site.asked()[4]));
    let produced: Vec<Event> = std::iter::from_fn(|| listener.try_next())
        .map(|happened| happened.event)
        .filter(|event| event.word() == "insight_produced")
        .collect();
    assert_eq!(produced, [Event::InsightProduced { findings: vec!["f1".to_owned(), "f2".to_owned()] }]);
    let [insight] = report.insights.as_slice() else { panic!("{report}") };
    assert_eq!(
        (insight.root().cause, insight.root().hypothesis.as_deref()),
        (Cause::QueueGrowth, Some("the till is slow"))
    );
    let other = &insight.findings[1];
    assert_eq!(
        (other.finding.cause, other.link.as_ref().unwrap().correlation),
        (Cause::HeapLeak, Correlation::Symptomatic)
    );
    assert!(insight.grounded, "facts of two skills");
}

/// ST-05, defect 26: whoever sorts requests knows every skill that there is, the service's own included, and of an order's
/// skills only those.
#[tokio::test]
async fn requests_are_sorted_among_the_skills_that_there_are() {
    let listed = async |order: Order| {
        let site = Site::scripted(plain);
        site.run(order.strategy(Strategy::Pipeline)).await;
        let system = site.asked().remove(0).system;
        assert!(system.contains("You sort requests"), "{system}");
        let (_, skills) = system.split_once("Skills:\n").unwrap();
        skills.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (shop, bank) = ("- shop: A shop with customers, a queue and tills.", "- bank: Money in an account.");
    assert_eq!(listed(Order::new("slow")).await, [bank, "- logs: What the service logs.", shop]);
    assert_eq!(listed(Order::new("slow").skills(["shop"])).await, [shop]);
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

/// ST-06: by the checks alone, nobody asks the model that there is.
#[tokio::test]
async fn the_checks_alone_ask_no_model() {
    let site = Site::scripted(|_| Line::panics("it is asked"));
    let report = site.run(Order::new("slow").strategy(Strategy::Checks)).await.report;
    the_checks_are_in(&report);
    assert_eq!((report.strategy.as_str(), &report.ended_by), ("checks", &EndedBy::Completion));
    assert_eq!((site.asked().len(), spent(&report).requests), (0, 0));
}

/// A site whose operator of `shop` states a finding, with the sandbox in which that is evaluated.
fn stating(fact: (&'static str, &'static str)) -> (Site, Sandbox) {
    let mut acts = vec![json!({"intent": "done"}), reports("other", &[fact])];
    let model = Arc::new(Scripted::new(move |prompt| {
        if is_for(prompt, "classify") {
            act(json!({"intent": "investigation", "skills": ["shop"]}))
        } else if is_for(prompt, "synthesize") {
            act(json!({"intent": "conclude", "insights": []}))
        } else {
            act(acts.pop().unwrap())
        }
    }));
    let mut builder = RegistryBuilder::new();
    builder.skill(Shop).unwrap();
    let (registry, recorder) = (Arc::new(builder.build()), Arc::new(Recorder::new()));
    let checks = Arc::new(Checks::new(&registry, &[], &[]).unwrap());
    let queries = Sandbox::new(Limits::default());
    let settings = Settings { model: Some(Arc::clone(&model) as Arc<dyn Model>), ..Settings::default() };
    let investigator = Investigator::new(settings, &registry, &recorder, &checks, &queries);
    (Site { investigator, registry, recorder, model: Some(model) }, queries)
}

/// What cannot be evaluated yet is not false.
#[tokio::test]
async fn a_fact_waits_for_a_place_where_the_sandbox_is_full() {
    let (site, queries) = stating(("`till-a` has served 31 customers", "shop.tills()[0]"));
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    for _ in 0..queries.limits().concurrency {
        let released = Arc::clone(&released);
        // Until the other side is dropped.
        queries.start_work(move || released.lock().unwrap().recv(), drop).unwrap();
    }
    let refused = queries.store().dropped_total;
    let (report, ()) = tokio::join!(async { site.pipeline().await.report }, async {
        while queries.store().dropped_total == refused {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(release);
    });
    the_checks_are_in(&report);
    assert_eq!(stated(&report).len(), 1, "{:?}", last(site.asked().last().unwrap()));
    assert_eq!(spent(&report).refused_facts, 0);
    assert!(site.investigator.stores().iter().all(|store| store.dropped_total == 0), "it is late, not lost");
}

/// Else whoever comes next would find the sandbox full.
#[tokio::test]
async fn a_query_keeps_its_place_until_it_has_ended_though_nobody_waits_for_it() {
    let (site, queries) = stating(("", ""));
    let run = site.begin(Order::default());
    let places = Arc::clone(&run.0.service.places);
    let all = places.available_permits();
    let forever = "[n for n in range(10000) for m in range(10000) if m < 0]";
    let mut query = Box::pin(run.query(forever));
    tokio::select! {
        biased;
        ended = &mut query => panic!("{ended:?}"),
        () = std::future::ready(()) => {}
    }
    drop(query);
    let is_running = || queries.store().len_count > 0;
    while is_running() {
        let free = places.available_permits();
        assert!(free < all || !is_running(), "it still runs");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while places.available_permits() < all {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What the service allows for a query, checks may use, too; and whoever looks sees where they run.
#[tokio::test]
async fn checks_run_within_the_limits_of_queries_in_places_that_are_listed() {
    let mut builder = RegistryBuilder::new();
    builder.skill(Shop).unwrap();
    let (registry, recorder) = (Arc::new(builder.build()), Arc::new(Recorder::new()));
    let checks = Arc::new(Checks::new(&registry, &[], &[]).unwrap());
    let limits = Limits { steps: 3, concurrency: 2, abandoned: 5, ..Limits::default() };
    let queries = Sandbox::new(limits);
    let investigator = Investigator::new(Settings::default(), &registry, &recorder, &checks, &queries);
    let listed: Vec<(String, u64)> =
        investigator.stores().into_iter().map(|store| (store.name.to_string(), store.cap_count)).collect();
    let (usual, ended_late) = (crate::sandbox::DEFAULT_CONCURRENCY as u64, crate::sandbox::DEFAULT_ABANDONED as u64);
    let wanted = [
        ("queries of models", 2),
        ("queries of models that did not end", 5),
        ("checks of investigations", usual),
        ("checks of investigations that did not end", 5),
        ("work of investigations", usual),
        ("work of investigations that did not end", ended_late),
    ];
    assert_eq!(listed, wanted.map(|(name, cap)| (name.to_owned(), cap)));
    let site = Site { investigator, registry, recorder, model: None };
    let report = site.run(Order::new("slow").strategy(Strategy::Checks)).await.report;
    assert!(report.defects[0].why.contains("its limit of 3 steps"), "{report}");
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

/// Defect 17: an investigation whose model failed keeps none that comes after it from running.
#[tokio::test]
async fn after_a_failure_the_next_investigation_runs() {
    let mut is_first = true;
    let site = Site::scripted(move |prompt| match std::mem::take(&mut is_first) {
        true => Line::fails(ErrorClass::Rejected),
        false => plain(prompt),
    });
    assert!(matches!(site.pipeline().await.report.ended_by, EndedBy::ModelFailed { .. }));
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    assert_eq!((&report.ended_by, report.model.as_ref().unwrap().operators.len()), (&EndedBy::Completion, 2));
}
