//! Google's `generateContent`, of the Gemini API and of Vertex.

use lens_core::model::{Prompt, Role, Stop};
use serde_json::{Value, json};

use super::{Auth, Call, Client, Provider, Read, field_schema, joined, schema, set, system, turns, usage};

pub(super) fn call(client: &Client, prompt: &Prompt) -> Call {
    let contents: Vec<_> = turns(prompt)
        .into_iter()
        .map(|(role, text)| match role {
            Role::User => json!({"role": "user", "parts": [{"text": text}]}),
            Role::Assistant => json!({"role": "model", "parts": [{"text": text}]}),
        })
        .collect();
    let mut settings = json!({"maxOutputTokens": prompt.max_tokens});
    set(&mut settings, "temperature", client.temperature);
    set(&mut settings, "topP", client.top_p);
    if let Some((_, schema)) = field_schema(client, prompt) {
        settings["responseMimeType"] = "application/json".into();
        settings["responseJsonSchema"] = schema::for_gemini(schema);
    }
    let mut body = json!({"contents": contents, "generationConfig": settings});
    let system = system(client, prompt);
    if !system.is_empty() {
        body["systemInstruction"] = json!({"parts": [{"text": system}]});
    }
    match client.provider {
        Provider::VertexAi => {
            let path = vertex_path(client, "google", "generateContent");
            Call { path, query: None, headers: Vec::new(), auth: Auth::Bearer, body }
        }
        _ => {
            let path = vec!["models".to_owned(), format!("{}:generateContent", client.model)];
            Call { path, query: None, headers: Vec::new(), auth: Auth::Header("x-goog-api-key"), body }
        }
    }
}

/// Where a publisher's model is asked on Vertex.
pub(super) fn vertex_path(client: &Client, publisher: &str, method: &str) -> Vec<String> {
    let project = client.project.as_deref().unwrap_or_default();
    let region = client.region.as_deref().unwrap_or("global");
    let model = format!("{}:{method}", client.model);
    ["projects", project, "locations", region, "publishers", publisher, "models", &model].map(str::to_owned).to_vec()
}

pub(super) fn read(answer: &Value) -> Result<Read, String> {
    let count = |name: &str| answer.pointer(&format!("/usageMetadata/{name}")).and_then(Value::as_u64);
    // Thinking is paid for as the answer is, and not part of its count. An answer of no tokens has no count.
    let output = count("candidatesTokenCount").unwrap_or(0).saturating_add(count("thoughtsTokenCount").unwrap_or(0));
    let usage = usage(count("promptTokenCount"), Some(output));
    let Some(candidate) = answer.pointer("/candidates/0") else {
        let reason =
            answer.pointer("/promptFeedback/blockReason").and_then(Value::as_str).ok_or("has no candidates")?;
        return Ok(Read { text: format!("blocked: {reason}"), usage, stop: Stop::Refusal });
    };
    let stop = match candidate.get("finishReason").and_then(Value::as_str) {
        Some("STOP") => Stop::End,
        Some("MAX_TOKENS") => Stop::MaxTokens,
        Some("SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE") => Stop::Refusal,
        Some(other) => return Err(format!("ends with {other}")),
        None => return Err("does not say why it ends".to_owned()),
    };
    let parts = candidate.pointer("/content/parts").and_then(Value::as_array);
    let is_said = |part: &&Value| part.get("thought").and_then(Value::as_bool) != Some(true);
    let text = joined(parts.into_iter().flatten().filter(is_said));
    if text.is_empty() && stop == Stop::End {
        return Err("has no text".to_owned());
    }
    Ok(Read { text, usage, stop })
}
