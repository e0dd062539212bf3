//! `OpenAI`'s chat completions, which many others speak.

use lens_core::model::{Prompt, Role, Stop};
use serde_json::{Value, json};

use super::{Auth, Call, Client, Provider, Read, field_schema, schema, set, system, turns, usage};

pub(super) fn call(client: &Client, prompt: &Prompt) -> Call {
    let mut messages = Vec::new();
    let system = system(client, prompt);
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    messages.extend(turns(prompt).into_iter().map(|(role, text)| {
        let role = match role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        json!({"role": role, "content": text})
    }));
    let mut body = json!({"model": client.model, "messages": messages, "stream": false});
    // The newer name is the only one that models that think take, and only these providers know.
    let limit = match client.provider {
        Provider::OpenAi | Provider::AzureOpenAi => "max_completion_tokens",
        _ => "max_tokens",
    };
    body[limit] = prompt.max_tokens.into();
    set(&mut body, "temperature", client.temperature);
    set(&mut body, "top_p", client.top_p);
    if let Some((name, schema)) = field_schema(client, prompt) {
        let form = match client.provider {
            // Servers of one's own enforce bounds of lists and texts, which small models need.
            Provider::OpenAiGeneric | Provider::Ollama => json!({"name": name, "schema": schema::plain(schema)}),
            _ => {
                let (schema, is_strict) = schema::for_openai(schema);
                json!({"name": name, "schema": schema, "strict": is_strict})
            }
        };
        body["response_format"] = json!({"type": "json_schema", "json_schema": form});
    }
    let path = match (client.provider, &client.api_version) {
        (Provider::AzureOpenAi, None) => ["openai", "v1", "chat", "completions"].map(str::to_owned).to_vec(),
        (Provider::AzureOpenAi, Some(_)) => {
            ["openai", "deployments", &client.model, "chat", "completions"].map(str::to_owned).to_vec()
        }
        _ => ["chat", "completions"].map(str::to_owned).to_vec(),
    };
    let (query, auth) = match client.provider {
        Provider::AzureOpenAi => {
            (client.api_version.clone().map(|version| ("api-version", version)), Auth::Header("api-key"))
        }
        _ => (None, Auth::Bearer),
    };
    Call { path, query, headers: Vec::new(), auth, body }
}

pub(super) fn read(answer: &Value) -> Result<Read, String> {
    let choice = answer.pointer("/choices/0").ok_or("has no choices")?;
    let message = choice.get("message").ok_or("has no message")?;
    let stop = match choice.get("finish_reason").and_then(Value::as_str) {
        Some("length") => Stop::MaxTokens,
        Some("content_filter") => Stop::Refusal,
        Some("error") => return Err("was broken off by an error".to_owned()),
        Some(_) => Stop::End,
        None => return Err("does not say why it ends".to_owned()),
    };
    let count = |name: &str| answer.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
    let usage = usage(count("prompt_tokens"), count("completion_tokens"));
    let refusal = message.get("refusal").and_then(Value::as_str).filter(|text| !text.is_empty());
    let (text, stop) = match (message.get("content").and_then(Value::as_str), refusal) {
        (_, Some(refusal)) => (refusal, Stop::Refusal),
        (Some(text), None) => (text, stop),
        // All tokens went into thinking, or all was withheld.
        (None, None) if stop != Stop::End => ("", stop),
        (None, None) => return Err("has no text".to_owned()),
    };
    Ok(Read { text: text.to_owned(), usage, stop })
}
