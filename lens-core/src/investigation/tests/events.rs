//! The events of an investigation: which, by whom, in which order, with which values.

use super::*;

/// What happened, without what a test cannot know: when, how long, and how many bytes.
fn heard(listener: &mut Listener) -> Vec<Value> {
    let mut number = None;
    let happened = std::iter::from_fn(|| listener.try_next()).map(|happened| {
        assert!(number.is_none_or(|before| before + 1 == happened.number), "events are counted in order");
        number = Some(happened.number);
        let mut event = serde_json::to_value(&happened.event).unwrap();
        let fields = event.as_object_mut().unwrap();
        for (field, least) in [("elapsed_ms", 0.0), ("bytes", 1_000.0)] {
            if let Some(value) = fields.remove(field) {
                assert!(value.as_f64().unwrap() >= least, "{field}: {value}");
            }
        }
        fields.insert("by".to_owned(), json!(happened.actor));
        event
    });
    happened.collect()
}

/// A call of the model by `actor`, and its answer of `bytes`.
fn asks(by: &str, purpose: &str, action: &Value) -> [Value; 2] {
    let tokens = 100 + format!("{{\"action\":{action}}}").len().div_ceil(4);
    [
        json!({"by": by, "event": "model_started", "purpose": purpose}),
        json!({"by": by, "event": "model_stopped", "model": "scripted/model", "tokens": tokens}),
    ]
}

/// An action by `actor` that is refused or not, with what happens meanwhile.
fn acts(by: &str, action: &Value, meanwhile: impl IntoIterator<Item = Value>, is_refused: bool) -> Vec<Value> {
    let intent = &action["intent"];
    let mut events = asks(by, "reason", action).to_vec();
    events.push(json!({"by": by, "event": "action_chosen", "intent": intent}));
    events.extend(meanwhile);
    events.push(json!({"by": by, "event": "action_done", "intent": intent, "is_refused": is_refused}));
    events
}

fn assert_same(heard: &[Value], expected: &[Value]) {
    for (index, (heard, expected)) in heard.iter().zip(expected).enumerate() {
        assert_eq!(heard, expected, "event {index}");
    }
    assert_eq!(heard.len(), expected.len(), "{:#?}", heard.get(expected.len()..));
}

/// OP-05, TEL-llm, TEL-tool, TEL-operator, TEL-supervisor: a pipeline is told event by event: calls and their failures, skills
/// that there are not, actions, what an operator says, finds and is refused, and how it ends.
#[tokio::test]
async fn a_pipeline_is_told_event_by_event() {
    let sorted = json!({"intent": "investigation", "skills": ["shop", "moon"]});
    let lie = reports("queue_growth", &[("8 customers wait", "shop.queue().waiting")]);
    let truth = reports("queue_growth", &[("`till-a` has served 31 customers", "shop.tills()[0]")]);
    let state = json!({"intent": "set_state", "state": "critical", "reason": "so"});
    let done = json!({"intent": "done"});
    let concluded = json!({"intent": "conclude", "insights": [{"findings": ["f2", "f1"], "correlation": "temporal"}]});
    let given_up = json!({"intent": "conclude", "insights": []});
    let ill =
        ModelError { retry_after: Some(Duration::from_millis(2)), ..ModelError::new(ErrorClass::Unavailable, "ill") };
    let lines = [&lie, &truth, &state, &done, &concluded, &given_up].map(|action| act(action.clone()));
    let site = Site::lines([Line::errs(ill), act(sorted.clone())].into_iter().chain(lines));
    let mut listener = site.investigator.events().listen();
    let report = site.pipeline().await.report;
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");

    let coordinator = |event: &str| json!({"by": "coordinator", "event": event});
    let with = |mut event: Value, fields: Value| {
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event
    };
    let turn = |iteration: u32| json!({"by": "shop", "event": "iteration_started", "iteration": iteration});
    let mut expected = vec![
        with(coordinator("started"), json!({"strategy": "pipeline", "is_automatic": false})),
        with(coordinator("checked"), json!({"findings": 1})),
        with(coordinator("model_started"), json!({"purpose": "classify"})),
        with(coordinator("model_failed"), json!({"class": "unavailable", "retry_in_ms": 2.0})),
    ];
    expected.extend(asks("coordinator", "classify", &sorted));
    expected.push(with(coordinator("skills_unknown"), json!({"skills": ["moon"]})));
    expected.push(with(coordinator("classified"), json!({"is_question": false, "skills": ["shop"]})));
    expected.push(json!({"by": "shop", "event": "operator_started", "skill": "shop"}));
    expected.push(turn(1));
    let why = "its expression does not give \"8\"";
    expected.extend(acts("shop", &lie, [json!({"by": "shop", "event": "fact_refused", "why": why})], true));
    expected.push(turn(2));
    let summary = "`till-a` has served 31 customers";
    let found = json!({"by": "shop", "event": "finding_added", "id": "f2", "severity": "warning", "summary": summary});
    expected.extend(acts("shop", &truth, [found], false));
    expected.push(turn(3));
    let changed = json!({"by": "shop", "event": "state_changed", "from": "warning", "to": "critical"});
    expected.extend(acts("shop", &state, [changed], false));
    expected.push(turn(4));
    expected.extend(acts("shop", &done, [], false));
    let ended =
        json!({"by": "shop", "event": "operator_ended", "skill": "shop", "ended_by": "completion", "findings": 1});
    expected.push(ended);
    expected.extend(asks("coordinator", "reason", &concluded));
    expected.extend(asks("coordinator", "reason", &given_up));
    let tokens = spent(&report).tokens();
    let ended = json!({"ended_by": "completion", "status": "warning", "tokens": tokens});
    expected.push(with(coordinator("ended"), ended));
    assert_same(&heard(&mut listener), &expected);
}

/// TEL-coordinator: so is the loop: what is put together, what the model says that is no action, the turns that are used up,
/// and a follow-up.
#[tokio::test]
async fn a_loop_is_told_event_by_event() {
    let insight = json!({"intent": "produce_insight", "findings": ["f1"], "correlation": "temporal"});
    let schedule = json!({"intent": "schedule", "ms": 60_000, "reason": "look again"});
    let site = Site::lines([act(insight.clone()), Line::says("hm"), act(schedule.clone())]);
    let mut listener = site.investigator.events().listen();
    let mut order = Order::new("slow").strategy(Strategy::AgentLoop);
    order.chain_depth = 1;
    let outcome = site.run(order).await;
    let event = |event: &str, fields: Value| {
        let mut all = json!({"by": "coordinator", "event": event});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        all
    };
    let turn = |iteration: u32| event("iteration_started", json!({"iteration": iteration}));
    let mut expected = vec![
        event("started", json!({"strategy": "agent_loop", "is_automatic": true})),
        event("checked", json!({"findings": 1})),
        turn(1),
    ];
    expected.extend(acts("coordinator", &insight, [event("insight_produced", json!({"findings": ["f1"]}))], false));
    expected.push(turn(2));
    expected.push(event("model_started", json!({"purpose": "reason"})));
    expected.push(event("model_stopped", json!({"model": "scripted/model", "tokens": 101})));
    expected.push(event("invalid_output", json!({"why": "expected value at line 1 column 1"})));
    expected.push(turn(3));
    expected.extend(acts("coordinator", &schedule, [], false));
    let tokens = spent(&outcome.report).tokens();
    expected.push(event("ended", json!({"ended_by": "completion", "status": "warning", "tokens": tokens})));
    assert_same(&heard(&mut listener), &expected);

    let follow_up = outcome.follow_up.unwrap();
    let scheduled = Schedules::default().add(&follow_up, &outcome.report.capture).unwrap();
    site.investigator.announce_schedule(&outcome.report.capture, &scheduled, &follow_up);
    assert_eq!(heard(&mut listener), [event("scheduled", json!({"id": "next-1", "delay_ms": 60_000.0}))]);

    let site = Site::with(Scripted::lines([act(json!({"intent": "get_findings"}))]), |settings| {
        settings.budget.iterations = 1;
    });
    let mut listener = site.investigator.events().listen();
    site.agent().await;
    let all = heard(&mut listener);
    assert_eq!(all[all.len() - 2], event("budget_exhausted", json!({"resource": "iterations"})));
    assert_eq!(all[all.len() - 1]["ended_by"], json!({"budget": "iterations"}));
}

/// TEL-tool: what a question looks up is told as any action is.
#[tokio::test]
async fn what_a_question_looks_up_is_told_too() {
    let execute = json!({"intent": "execute", "code": "shop.queu()"});
    let answer = json!({"intent": "answer", "facts": []});
    let site = Site::lines([
        act(json!({"intent": "question", "skills": ["shop"]})),
        act(execute.clone()),
        act(answer.clone()),
    ]);
    let mut listener = site.investigator.events().listen();
    site.run(Order::question("how many?").strategy(Strategy::Pipeline)).await;
    let actions = heard(&mut listener).into_iter().filter(|event| event["event"].as_str().unwrap().contains("action"));
    let by = |event: Value| {
        let mut event = event;
        event.as_object_mut().unwrap().insert("by".to_owned(), json!("coordinator"));
        event
    };
    let expected = [
        json!({"event": "action_chosen", "intent": "execute"}),
        json!({"event": "action_done", "intent": "execute", "is_refused": true}),
        json!({"event": "action_chosen", "intent": "answer"}),
        json!({"event": "action_done", "intent": "answer", "is_refused": false}),
    ];
    assert_eq!(actions.collect::<Vec<_>>(), expected.map(by));
}
