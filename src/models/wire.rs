//! The providers' protocols: what a prompt is as a request, and what an answer says. Separate from the exchange because they
//! are pure; one file for each protocol, since several providers share one.

mod anthropic;
mod bedrock;
mod gemini;
mod openai;
mod schema;
#[cfg(test)]
mod tests;

use lens_core::model::{Prompt, Role, Stop, Usage};
use serde_json::Value;

use super::client::{Client, SchemaPlace};
use super::provider::Provider;

/// A request.
pub(super) struct Call {
    /// What comes behind the base URL, not yet encoded.
    pub(super) path: Vec<String>,
    pub(super) query: Option<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) auth: Auth,
    pub(super) body: Value,
}

/// How the key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Bearer,
    Header(&'static str),
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) text: String,
    pub(super) usage: Option<Usage>,
    pub(super) stop: Stop,
}

/// The request for a prompt.
pub(super) fn call(client: &Client, prompt: &Prompt) -> Call {
    match client.provider {
        Provider::Anthropic => anthropic::call(client, prompt),
        Provider::VertexAi if anthropic::is_model(client) => anthropic::call_on_vertex(client, prompt),
        Provider::GoogleAi | Provider::VertexAi => gemini::call(client, prompt),
        Provider::AwsBedrock => bedrock::call(client, prompt),
        Provider::OpenAi
        | Provider::OpenAiGeneric
        | Provider::AzureOpenAi
        | Provider::Ollama
        | Provider::OpenRouter => openai::call(client, prompt),
    }
}

/// What the answer says, or how it is not as the protocol wants it.
pub(super) fn read(client: &Client, answer: &Value) -> Result<Read, String> {
    match client.provider {
        Provider::Anthropic => anthropic::read(answer),
        Provider::VertexAi if anthropic::is_model(client) => anthropic::read(answer),
        Provider::GoogleAi | Provider::VertexAi => gemini::read(answer),
        Provider::AwsBedrock => bedrock::read(answer),
        Provider::OpenAi
        | Provider::OpenAiGeneric
        | Provider::AzureOpenAi
        | Provider::Ollama
        | Provider::OpenRouter => openai::read(answer),
    }
}

/// The system prompt, with the schema in it where it is not in a field.
fn system(client: &Client, prompt: &Prompt) -> String {
    match (&prompt.form, client.schema_place()) {
        (Some(form), SchemaPlace::Prompt) => format!(
            "{}\n\nAnswer with one JSON object and nothing else. It must satisfy this JSON schema:\n{}",
            prompt.system, form.schema
        ),
        _ => prompt.system.clone(),
    }
}

/// The schema for the request's field.
fn field_schema<'a>(client: &Client, prompt: &'a Prompt) -> Option<(&'a str, &'a Value)> {
    let form = prompt.form.as_ref().filter(|_| client.schema_place() == SchemaPlace::Field)?;
    Some((form.name.as_str(), &form.schema))
}

/// The conversation with what one side says in succession as one message: some providers refuse anything else, and empty
/// messages.
fn turns(prompt: &Prompt) -> Vec<(Role, String)> {
    let mut turns: Vec<(Role, String)> = Vec::new();
    for message in prompt.messages.iter().filter(|message| !message.text.trim().is_empty()) {
        match turns.last_mut() {
            Some((role, text)) if *role == message.role => {
                text.push_str("\n\n");
                text.push_str(&message.text);
            }
            _ => turns.push((message.role, message.text.clone())),
        }
    }
    turns
}

/// Sets a field if there is something to set.
fn set(body: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body[name] = value.into();
    }
}

/// Token counts, if both are there.
fn usage(input: Option<u64>, output: Option<u64>) -> Option<Usage> {
    Some(Usage { input_tokens: input?, output_tokens: output? })
}

/// The texts of parts, one after the other.
fn joined<'a>(parts: impl Iterator<Item = &'a Value>) -> String {
    parts.filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
}
