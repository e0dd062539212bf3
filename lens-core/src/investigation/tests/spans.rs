//! The spans of an investigation, as a subscriber of the service gets them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::*;

/// A span as it was recorded.
#[derive(Clone, Debug, Default)]
struct Seen {
    id: u64,
    parent: Option<u64>,
    name: &'static str,
    attributes: BTreeMap<&'static str, String>,
    is_closed: bool,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.attributes.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.attributes.insert(field.name(), value.to_owned());
    }
}

/// Records the spans of investigations, and everything that is said at their target.
#[derive(Clone, Debug, Default)]
struct Recorded(Arc<Mutex<Vec<Seen>>>);

impl Recorded {
    fn change(&self, id: &Id, change: impl FnOnce(&mut Seen)) {
        let mut spans = self.0.lock().unwrap();
        if let Some(span) = spans.iter_mut().find(|span| span.id == id.into_u64()) {
            change(span);
        }
    }

    /// The investigation's spans, each with the names of those that it is in, the innermost first.
    fn spans(&self) -> Vec<(Seen, Vec<&'static str>)> {
        let spans = self.0.lock().unwrap();
        let around = |span: &Seen| {
            let mut names = Vec::new();
            let mut above = span.parent;
            while let Some(outer) = above.and_then(|id| spans.iter().find(|span| span.id == id)) {
                names.push(outer.name);
                above = outer.parent;
            }
            names
        };
        spans.iter().map(|span| (span.clone(), around(span))).collect()
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorded {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() != TARGET {
            return;
        }
        let parent = context.span(id).and_then(|span| span.parent().map(|parent| parent.id().into_u64()));
        let name = attributes.metadata().name();
        let mut seen = Seen { id: id.into_u64(), parent, name, ..Seen::default() };
        attributes.record(&mut seen);
        self.0.lock().unwrap().push(seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.change(id, |span| values.record(span));
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.change(&id, |span| span.is_closed = true);
    }
}

/// What nobody may find in an attribute: words of the reason, the prompts, the model's answers, its errors, and keys.
const SAID: [&str; 6] = ["sesame", "customers", "till-a", "sk-ant-api03-hush", "rambling", "quota"];

/// A model that fails once and rambles once, whose coordinator starts one operator and whose operator states a fact.
fn talkative() -> Scripted {
    let mut coordinator = vec![
        json!({"intent": "done"}),
        json!({"intent": "wait", "ms": 5_000}),
        json!({"intent": "invoke_operators", "skills": ["shop"], "context": "the till-a of sesame"}),
    ];
    let mut operator = vec![
        json!({"intent": "done"}),
        reports("queue_growth", &[("`till-a` has served 31 customers", "shop.tills()[0]")]),
    ];
    let mut number = 0;
    Scripted::new(move |prompt| {
        number += 1;
        match number {
            1 => Line::errs(ModelError {
                retry_after: Some(Duration::from_millis(1)),
                ..ModelError::new(ErrorClass::RateLimited, "no quota for sk-ant-api03-hush")
            }),
            2 => Line::says("rambling"),
            _ if is_for(prompt, "classify") => act(json!({"intent": "investigation", "skills": ["shop"]})),
            _ if is_for(prompt, "synthesize") => act(json!({"intent": "conclude", "insights": []})),
            _ if is_for(prompt, "coordinator") => act(coordinator.pop().unwrap()),
            _ if is_for(prompt, "answer") => match prompt.messages.len() {
                1 => act(json!({"intent": "execute", "code": "shop.tills() # sesame"})),
                _ => act(
                    json!({"intent": "answer", "facts": [{"text": "there are 2 tills", "expr": "len(shop.tills())"}]}),
                ),
            },
            _ => act(operator.pop().unwrap()),
        }
    })
}

/// An investigation's spans, and its id.
async fn recorded(order: Order) -> (Vec<(Seen, Vec<&'static str>)>, String) {
    let recorded = Recorded::default();
    // Of a single subscriber, whoever meets a span first decides whether it is of interest: that may be another test's
    // thread, which has none.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::registry().with(recorded.clone());
    let _guard = subscriber.set_default();
    let outcome = Site::with(talkative(), |_| {}).run(order).await;
    the_checks_are_in(&outcome.report);
    assert_eq!(outcome.report.ended_by, EndedBy::Completion, "{}", outcome.report);
    (recorded.spans(), outcome.report.capture)
}

/// TEL-API: a strategy's spans have the documented names and attributes, all of them and no others; they are one tree; and
/// none of them holds what was said.
#[tokio::test]
async fn spans_are_as_documented_and_hold_nothing_that_was_said() {
    let mut emitted: BTreeMap<&'static str, BTreeSet<&'static str>> = BTreeMap::new();
    let question = Order::question("how many tills has the sesame?").strategy(Strategy::Pipeline);
    for order in [
        Order::new("customers of sesame complain").strategy(Strategy::Pipeline),
        Order::new("customers of sesame complain").strategy(Strategy::AgentLoop),
        question,
    ] {
        let strategy = order.strategy.clone().unwrap();
        let (spans, id) = recorded(order).await;
        for (span, around) in &spans {
            emitted.entry(span.name).or_default().extend(span.attributes.keys());
            assert!(span.is_closed, "{span:?}");
            assert_eq!(span.attributes["gen_ai.conversation.id"], id, "{span:?}");
            assert_eq!(span.attributes["gen_ai.operation.name"], span.name, "{span:?}");
            match span.name {
                "invoke_workflow" => {
                    assert_eq!((around.is_empty(), span.attributes["lens.strategy"].as_str()), (true, strategy.name()))
                }
                _ => assert_eq!(around.last(), Some(&"invoke_workflow"), "{span:?} is in {around:?}"),
            }
            for (name, value) in &span.attributes {
                for said in SAID {
                    assert!(!value.contains(said), "{name} of {}: {value}", span.name);
                }
            }
        }
    }
    let documented: BTreeMap<&'static str, BTreeSet<&'static str>> =
        SPANS.iter().map(|(name, attributes)| (*name, attributes.iter().copied().collect())).collect();
    assert_eq!(emitted, documented);
}

/// TEL-llm, TEL-tool: each call of the model and each action has a span, in its agent's, with what it took and how it ended.
#[tokio::test]
async fn each_call_and_each_action_has_a_span_in_its_agents() {
    let (spans, _) = recorded(Order::new("slow").strategy(Strategy::AgentLoop)).await;
    let named = |name: &str| -> Vec<&(Seen, Vec<&'static str>)> {
        spans.iter().filter(|(span, _)| span.name == name).collect()
    };
    let of = |span: &Seen, attribute: &str| span.attributes.get(attribute).cloned().unwrap_or_default();
    let agents: Vec<_> = named("invoke_agent").iter().map(|(span, _)| of(span, "gen_ai.agent.name")).collect();
    assert_eq!(agents, ["coordinator", "shop"]);
    let tools: Vec<_> = named("execute_tool").iter().map(|(span, _)| of(span, "gen_ai.tool.name")).collect();
    assert_eq!(tools, ["invoke_operators", "wait", "report_finding", "done", "done"]);
    let calls = named("chat");
    let ends: Vec<_> =
        calls.iter().map(|(span, _)| (of(span, "error.type"), of(span, "gen_ai.response.finish_reasons"))).collect();
    let answered = || (String::new(), "stop".to_owned());
    assert_eq!(ends[0], ("rate_limited".to_owned(), String::new()));
    assert_eq!(ends[1..], vec![answered(); 6]);
    for (span, _) in &calls[1..] {
        assert_eq!(
            (of(span, "gen_ai.provider.name").as_str(), of(span, "gen_ai.request.model").as_str()),
            ("scripted", "model")
        );
        assert_eq!(of(span, "gen_ai.response.model"), "scripted/model");
        assert_eq!(of(span, "gen_ai.usage.input_tokens"), "100");
    }
    // "rambling" has 8 bytes, and 4 make a token.
    assert_eq!(of(&calls[1].0, "gen_ai.usage.output_tokens"), "2");
    for (span, around) in named("chat").into_iter().chain(named("execute_tool")) {
        assert_eq!(around[0], "invoke_agent", "{span:?} is in {around:?}");
    }
}
