//! The `tracing` spans of investigations, by the names of OpenTelemetry's conventions for generative AI. Separate because
//! those conventions are in development: all of their names are here, as of semantic-conventions-genai 0.1.0.
//!
//! `invoke_workflow` is an investigation, `invoke_agent` the coordinator or an operator, `chat` a call of the model and
//! `execute_tool` an action. No span holds what was said: that is in the transcript.

use tracing::{Span, field, info_span};

use crate::model::{Completion, ErrorClass, Stop};

/// The target of all spans.
pub const TARGET: &str = "lens::investigation";

/// The names of all spans, each with all of its attributes. No attribute is a text that somebody said, or a key.
///
/// `gen_ai.response.*` and `gen_ai.usage.*` are there when the model answered and counts, `error.type` when it did not.
pub const SPANS: &[(&str, &[&str])] = &[
    ("invoke_workflow", &["gen_ai.operation.name", "gen_ai.agent.name", "gen_ai.conversation.id", "lens.strategy"]),
    ("invoke_agent", &["gen_ai.operation.name", "gen_ai.agent.name", "gen_ai.conversation.id"]),
    (
        "chat",
        &[
            "gen_ai.operation.name",
            "gen_ai.provider.name",
            "gen_ai.request.model",
            "gen_ai.conversation.id",
            "gen_ai.response.model",
            "gen_ai.response.finish_reasons",
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            "error.type",
        ],
    ),
    ("execute_tool", &["gen_ai.operation.name", "gen_ai.tool.name", "gen_ai.tool.type", "gen_ai.conversation.id"]),
];

/// An investigation.
pub(super) fn workflow(strategy: &str, id: &str) -> Span {
    info_span!(
        target: TARGET, "invoke_workflow", gen_ai.operation.name = "invoke_workflow", gen_ai.agent.name = "lens",
        gen_ai.conversation.id = id, lens.strategy = strategy,
    )
}

/// The coordinator, or a skill's operator.
pub(super) fn agent(name: &str, id: &str) -> Span {
    info_span!(
        target: TARGET, "invoke_agent", gen_ai.operation.name = "invoke_agent", gen_ai.agent.name = name,
        gen_ai.conversation.id = id,
    )
}

/// A call of the model.
pub(super) fn chat(model: &str, id: &str) -> Span {
    let (provider, model) = model.split_once('/').unwrap_or(("unknown", model));
    info_span!(
        target: TARGET, "chat", gen_ai.operation.name = "chat", gen_ai.provider.name = provider,
        gen_ai.request.model = model, gen_ai.conversation.id = id, gen_ai.response.model = field::Empty,
        gen_ai.response.finish_reasons = field::Empty, gen_ai.usage.input_tokens = field::Empty,
        gen_ai.usage.output_tokens = field::Empty, error.type = field::Empty,
    )
}

/// An action.
pub(super) fn tool(name: &str, id: &str) -> Span {
    info_span!(
        target: TARGET, "execute_tool", gen_ai.operation.name = "execute_tool", gen_ai.tool.name = name,
        gen_ai.tool.type = "function", gen_ai.conversation.id = id,
    )
}

pub(super) fn answered(span: &Span, completion: &Completion) {
    span.record("gen_ai.response.model", &completion.model);
    let reason = match completion.stop {
        Stop::End => "stop",
        Stop::MaxTokens => "length",
        Stop::Refusal => "content_filter",
    };
    span.record("gen_ai.response.finish_reasons", reason);
    if let Some(usage) = completion.usage {
        span.record("gen_ai.usage.input_tokens", usage.input_tokens);
        span.record("gen_ai.usage.output_tokens", usage.output_tokens);
    }
}

pub(super) fn failed(span: &Span, class: ErrorClass) {
    let word = serde_json::to_value(class).unwrap_or_default();
    span.record("error.type", word.as_str().unwrap_or_default());
}
