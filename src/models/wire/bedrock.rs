//! Amazon Bedrock's Converse.

use lens_core::model::{Prompt, Role, Stop};
use serde_json::{Value, json};

use super::{Auth, Call, Client, Read, field_schema, joined, schema, set, system, turns, usage};

pub(super) fn call(client: &Client, prompt: &Prompt) -> Call {
    let messages: Vec<_> = turns(prompt)
        .into_iter()
        .map(|(role, text)| match role {
            Role::User => json!({"role": "user", "content": [{"text": text}]}),
            Role::Assistant => json!({"role": "assistant", "content": [{"text": text}]}),
        })
        .collect();
    let mut settings = json!({"maxTokens": prompt.max_tokens});
    set(&mut settings, "temperature", client.temperature);
    set(&mut settings, "topP", client.top_p);
    let mut body = json!({"messages": messages, "inferenceConfig": settings});
    let system = system(client, prompt);
    if !system.is_empty() {
        body["system"] = json!([{"text": system}]);
    }
    if let Some((name, schema)) = field_schema(client, prompt) {
        // The schema is text here.
        let structure = json!({"jsonSchema": {"name": name, "schema": schema::for_anthropic(schema).to_string()}});
        body["outputConfig"] = json!({"textFormat": {"type": "json_schema", "structure": structure}});
    }
    let path = vec!["model".to_owned(), client.model.clone(), "converse".to_owned()];
    Call { path, query: None, headers: Vec::new(), auth: Auth::Bearer, body }
}

pub(super) fn read(answer: &Value) -> Result<Read, String> {
    let parts = answer.pointer("/output/message/content").and_then(Value::as_array).ok_or("has no content")?;
    let stop = match answer.get("stopReason").and_then(Value::as_str) {
        Some("max_tokens" | "model_context_window_exceeded") => Stop::MaxTokens,
        Some("guardrail_intervened" | "content_filtered") => Stop::Refusal,
        Some(_) => Stop::End,
        None => return Err("does not say why it ends".to_owned()),
    };
    let text = joined(parts.iter());
    if text.is_empty() && stop == Stop::End {
        return Err("has no text".to_owned());
    }
    let count = |name: &str| answer.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
    let cached = count("cacheReadInputTokens").unwrap_or(0).saturating_add(count("cacheWriteInputTokens").unwrap_or(0));
    let usage = usage(count("inputTokens").map(|tokens| tokens.saturating_add(cached)), count("outputTokens"));
    Ok(Read { text, usage, stop })
}
