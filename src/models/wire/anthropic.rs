//! Anthropic's messages, at Anthropic and on Vertex.

use lens_core::model::{Prompt, Role, Stop};
use serde_json::{Value, json};

use super::{Auth, Call, Client, Read, field_schema, joined, schema, set, system, turns, usage};

/// The version of the protocol that this is.
const VERSION: &str = "2023-06-01";
const VERSION_ON_VERTEX: &str = "vertex-2023-10-16";

/// Whether the model is one of Anthropic's.
pub(super) fn is_model(client: &Client) -> bool {
    client.model.starts_with("claude")
}

pub(super) fn call(client: &Client, prompt: &Prompt) -> Call {
    let mut body = body(client, prompt);
    body["model"] = client.model.as_str().into();
    Call {
        path: vec!["messages".to_owned()],
        query: None,
        headers: vec![("anthropic-version", VERSION)],
        auth: Auth::Header("x-api-key"),
        body,
    }
}

/// On Vertex, the model is in the path.
pub(super) fn call_on_vertex(client: &Client, prompt: &Prompt) -> Call {
    let mut body = body(client, prompt);
    body["anthropic_version"] = VERSION_ON_VERTEX.into();
    let path = super::gemini::vertex_path(client, "anthropic", "rawPredict");
    Call { path, query: None, headers: Vec::new(), auth: Auth::Bearer, body }
}

fn body(client: &Client, prompt: &Prompt) -> Value {
    let messages: Vec<_> = turns(prompt)
        .into_iter()
        .map(|(role, text)| match role {
            Role::User => json!({"role": "user", "content": text}),
            Role::Assistant => json!({"role": "assistant", "content": text}),
        })
        .collect();
    let mut body = json!({"max_tokens": prompt.max_tokens, "messages": messages});
    let system = system(client, prompt);
    set(&mut body, "system", (!system.is_empty()).then_some(system));
    set(&mut body, "temperature", client.temperature);
    set(&mut body, "top_p", client.top_p);
    if let Some((_, schema)) = field_schema(client, prompt) {
        body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema::for_anthropic(schema)}});
    }
    body
}

pub(super) fn read(answer: &Value) -> Result<Read, String> {
    let parts = answer.get("content").and_then(Value::as_array).ok_or("has no content")?;
    let stop = match answer.get("stop_reason").and_then(Value::as_str) {
        Some("max_tokens" | "model_context_window_exceeded") => Stop::MaxTokens,
        Some("refusal") => Stop::Refusal,
        Some(_) => Stop::End,
        None => return Err("does not say why it ends".to_owned()),
    };
    let is_text = |part: &&Value| part.get("type").and_then(Value::as_str) == Some("text");
    let text = joined(parts.iter().filter(is_text));
    if text.is_empty() && stop == Stop::End {
        return Err("has no text".to_owned());
    }
    let count = |name: &str| answer.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
    let cached =
        count("cache_creation_input_tokens").unwrap_or(0).saturating_add(count("cache_read_input_tokens").unwrap_or(0));
    let usage = usage(count("input_tokens").map(|tokens| tokens.saturating_add(cached)), count("output_tokens"));
    Ok(Read { text, usage, stop })
}
