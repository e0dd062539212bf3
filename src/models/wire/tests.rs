//! Requests and answers of each protocol, against what the providers' references say.

use lens_core::model::{Form, Message, Prompt, Purpose, Role, Stop, Usage};
use serde_json::{Value, json};

use super::*;
use crate::models::SchemaPlace;

fn message(role: Role, text: &str) -> Message {
    Message { role, text: text.to_owned() }
}

fn prompt() -> Prompt {
    let messages =
        [(Role::User, "a"), (Role::User, "b"), (Role::Assistant, " "), (Role::Assistant, "c"), (Role::User, "d")];
    Prompt {
        system: "S".to_owned(),
        messages: messages.into_iter().map(|(role, text)| message(role, text)).collect(),
        form: Some(Form { name: "verdict".to_owned(), schema: schema() }),
        max_tokens: 100,
        purpose: Purpose::Reason,
        deadline: None,
    }
}

/// As schemars writes them.
fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Envelope",
        "type": "object",
        "properties": {
            "action": {"description": "What to do.", "$ref": "#/$defs/Action"},
            "note": {"type": ["string", "null"], "maxLength": 40},
        },
        "required": ["action"],
        "additionalProperties": false,
        "$defs": {"Action": {"oneOf": [
            {"type": "object", "properties": {"intent": {"type": "string", "const": "done"}}, "required": ["intent"], "additionalProperties": false},
            {
                "type": "object",
                "properties": {
                    "intent": {"type": "string", "const": "wait"},
                    "ms": {"type": "integer", "format": "uint32", "minimum": 0, "maximum": 9},
                    "skills": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
                },
                "required": ["intent", "ms", "skills"],
                "additionalProperties": false,
            },
        ]}},
    })
}

fn client(provider: Provider, model: &str) -> Client {
    Client::new("c", provider, model).project("p-1").region("r-1")
}

fn path(call: &Call) -> String {
    call.path.join("/")
}

#[test]
fn openai_gets_chat_completions_with_a_strict_schema() {
    let call = call(&client(Provider::OpenAi, "m"), &prompt());
    let strict = json!({
        "type": "object",
        "properties": {"action": {"$ref": "#/$defs/Action"}, "note": {"type": ["string", "null"], "description": "{maxLength: 40}"}},
        "required": ["action", "note"],
        "additionalProperties": false,
        "$defs": {"Action": {"anyOf": [
            {"type": "object", "properties": {"intent": {"type": "string", "const": "done"}}, "required": ["intent"], "additionalProperties": false},
            {
                "type": "object",
                "properties": {
                    "intent": {"type": "string", "const": "wait"},
                    "ms": {"type": "integer", "minimum": 0, "maximum": 9},
                    "skills": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
                },
                "required": ["intent", "ms", "skills"],
                "additionalProperties": false,
            },
        ]}},
    });
    let expected = json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "a\n\nb"},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "d"},
        ],
        "max_completion_tokens": 100,
        "stream": false,
        "response_format": {"type": "json_schema", "json_schema": {"name": "verdict", "schema": strict, "strict": true}},
    });
    assert_eq!(call.body, expected);
    assert_eq!((path(&call).as_str(), call.query, call.auth), ("chat/completions", None, Auth::Bearer));
}

#[test]
fn a_schema_that_leaves_something_open_is_not_called_strict() {
    let mut open = prompt();
    let schemas = [
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": [], "additionalProperties": false}),
        json!({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false}),
        json!({"type": "object", "properties": {"a": true}, "required": ["a"], "additionalProperties": false}),
        json!({"anyOf": [{"type": "object", "properties": {}, "required": [], "additionalProperties": false}]}),
    ];
    for schema in schemas {
        open.form.as_mut().unwrap().schema = schema;
        let body = call(&client(Provider::OpenAi, "m"), &open).body;
        assert_eq!(body["response_format"]["json_schema"]["strict"], json!(false), "{body}");
    }
}

#[test]
fn servers_of_ones_own_get_the_schema_with_its_bounds() {
    for provider in [Provider::OpenAiGeneric, Provider::Ollama] {
        let call = call(&client(provider, "m"), &prompt());
        assert_eq!(call.body["max_tokens"], 100);
        let form = &call.body["response_format"]["json_schema"];
        assert_eq!(form["schema"]["properties"]["note"]["maxLength"], 40);
        assert_eq!(form["schema"]["$defs"]["Action"]["oneOf"][1]["properties"]["skills"]["maxItems"], 3);
        assert_eq!(form["strict"], Value::Null);
    }
}

#[test]
fn azure_is_asked_at_the_new_path_or_with_a_version_at_the_old() {
    let new = call(&client(Provider::AzureOpenAi, "d"), &prompt());
    assert_eq!(
        (path(&new).as_str(), new.query, new.auth),
        ("openai/v1/chat/completions", None, Auth::Header("api-key"))
    );
    assert_eq!(new.body["model"], "d");
    let old = call(&client(Provider::AzureOpenAi, "d").api_version("2025-01-01"), &prompt());
    assert_eq!(path(&old), "openai/deployments/d/chat/completions");
    assert_eq!(old.query, Some(("api-version", "2025-01-01".to_owned())));
}

#[test]
fn anthropic_gets_messages() {
    let call = call(&client(Provider::Anthropic, "claude-x"), &prompt());
    assert_eq!((path(&call).as_str(), call.auth), ("messages", Auth::Header("x-api-key")));
    assert_eq!(call.headers, [("anthropic-version", "2023-06-01")]);
    let schema = call.body["output_config"]["format"]["schema"].clone();
    let wait = &schema["$defs"]["Action"]["anyOf"][1]["properties"];
    assert_eq!(wait["intent"], json!({"const": "wait"}));
    assert_eq!(wait["ms"], json!({"type": "integer", "description": "{maximum: 9, minimum: 0}"}));
    assert_eq!(wait["skills"]["description"], "{maxItems: 3}");
    assert_eq!(schema["properties"]["action"], json!({"$ref": "#/$defs/Action"}));
    let note = json!({"anyOf": [{"type": "string", "description": "{maxLength: 40}"}, {"type": "null"}]});
    assert_eq!(schema["properties"]["note"], note);
    let expected = json!({
        "model": "claude-x",
        "max_tokens": 100,
        "system": "S",
        "messages": [
            {"role": "user", "content": "a\n\nb"},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "d"},
        ],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    });
    assert_eq!(call.body, expected);
}

#[test]
fn vertex_has_models_of_two_publishers() {
    let google = call(&client(Provider::VertexAi, "gemini-x"), &prompt());
    let at = "projects/p-1/locations/r-1/publishers";
    assert_eq!(path(&google), format!("{at}/google/models/gemini-x:generateContent"));
    assert_eq!(google.auth, Auth::Bearer);
    let anthropic = call(&client(Provider::VertexAi, "claude-x"), &prompt());
    assert_eq!(path(&anthropic), format!("{at}/anthropic/models/claude-x:rawPredict"));
    assert_eq!(
        (&anthropic.body["anthropic_version"], &anthropic.body["model"]),
        (&json!("vertex-2023-10-16"), &Value::Null)
    );
}

#[test]
fn gemini_gets_contents() {
    let call = call(&client(Provider::GoogleAi, "gemini-x"), &prompt());
    assert_eq!((path(&call).as_str(), call.auth), ("models/gemini-x:generateContent", Auth::Header("x-goog-api-key")));
    let schema = call.body["generationConfig"]["responseJsonSchema"].clone();
    assert_eq!(
        schema["$defs"]["Action"]["anyOf"][0]["properties"]["intent"],
        json!({"type": "string", "enum": ["done"]})
    );
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "S"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "a\n\nb"}]},
            {"role": "model", "parts": [{"text": "c"}]},
            {"role": "user", "parts": [{"text": "d"}]},
        ],
        "generationConfig": {"maxOutputTokens": 100, "responseMimeType": "application/json", "responseJsonSchema": schema},
    });
    assert_eq!(call.body, expected);
}

#[test]
fn bedrock_gets_the_schema_in_the_prompt_unless_it_may_be_a_field() {
    let bedrock = client(Provider::AwsBedrock, "anthropic.claude:0");
    let call_ = call(&bedrock, &prompt());
    assert_eq!((path(&call_).as_str(), call_.auth), ("model/anthropic.claude:0/converse", Auth::Bearer));
    assert_eq!(call_.body["inferenceConfig"], json!({"maxTokens": 100}));
    let system = call_.body["system"][0]["text"].as_str().unwrap();
    assert!(system.starts_with("S\n\nAnswer with one JSON object") && system.contains("\"maxLength\":40"), "{system}");
    assert_eq!(call_.body.get("outputConfig"), None);

    let field = call(&bedrock.schema(SchemaPlace::Field), &prompt());
    assert_eq!(field.body["system"][0]["text"], "S");
    assert!(field.body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].is_string());
}

#[test]
fn sampling_is_sent_only_if_it_is_set() {
    for provider in Provider::ALL {
        for model in ["m", "claude-x"] {
            let plain = client(provider, model);
            let body = call(&plain, &prompt()).body.to_string();
            assert!(
                ["temperature", "top_p", "topP", "top_k", "seed"].iter().all(|word| !body.contains(word)),
                "{body}"
            );
            let body = call(&plain.temperature(0.5).top_p(0.25), &prompt()).body.to_string();
            assert!(body.contains("\"temperature\":0.5") && body.contains(":0.25"), "{body}");
        }
    }
}

#[test]
fn a_prompt_without_a_form_sends_no_schema() {
    let plain = Prompt { form: None, system: String::new(), ..prompt() };
    for provider in Provider::ALL {
        let body = call(&client(provider, "m"), &plain).body.to_string();
        assert!(["schema", "Schema", "response_format", "system"].iter().all(|word| !body.contains(word)), "{body}");
    }
}

#[test]
fn answers_say_what_they_took_and_why_they_end() {
    let usage = |input_tokens, output_tokens| Some(Usage { input_tokens, output_tokens });
    let text = |text: &str, usage, stop| Ok(Read { text: text.to_owned(), usage, stop });
    let openai =
        |content: Value, reason: &str| json!({"choices": [{"message": {"content": content}, "finish_reason": reason}]});
    let refused = json!({"choices": [{"message": {"content": null, "refusal": "no"}, "finish_reason": "stop"}]});
    let claude = |reason: &str| {
        json!({
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "stop_reason": reason,
            "usage": {"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20},
        })
    };
    let gemini = |reason: &str| {
        json!({
            "candidates": [{"content": {"parts": [{"text": "hm", "thought": true}, {"text": "a"}]}, "finishReason": reason}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 40},
        })
    };
    let bedrock = |reason: &str| {
        json!({
            "output": {"message": {"role": "assistant", "content": [{"text": "a"}]}},
            "stopReason": reason,
            "usage": {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8},
        })
    };
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}});
    let cases = [
        (Provider::OpenAi, openai(json!("a"), "stop"), text("a", None, Stop::End)),
        (Provider::OpenAi, openai(json!("a"), "length"), text("a", None, Stop::MaxTokens)),
        (Provider::OpenAi, openai(Value::Null, "length"), text("", None, Stop::MaxTokens)),
        (Provider::OpenAi, openai(json!("a"), "content_filter"), text("a", None, Stop::Refusal)),
        (Provider::OpenAi, refused, text("no", None, Stop::Refusal)),
        (Provider::OpenRouter, openai(json!("a"), "error"), Err("was broken off by an error".to_owned())),
        (Provider::Anthropic, claude("end_turn"), text("ab", usage(125, 3), Stop::End)),
        (Provider::Anthropic, claude("max_tokens"), text("ab", usage(125, 3), Stop::MaxTokens)),
        (Provider::Anthropic, claude("refusal"), text("ab", usage(125, 3), Stop::Refusal)),
        (Provider::Anthropic, json!({"content": [], "stop_reason": "end_turn"}), Err("has no text".to_owned())),
        (Provider::GoogleAi, gemini("STOP"), text("a", usage(5, 43), Stop::End)),
        (Provider::GoogleAi, gemini("MAX_TOKENS"), text("a", usage(5, 43), Stop::MaxTokens)),
        (Provider::GoogleAi, gemini("SAFETY"), text("a", usage(5, 43), Stop::Refusal)),
        (Provider::GoogleAi, gemini("MALFORMED_FUNCTION_CALL"), Err("ends with MALFORMED_FUNCTION_CALL".to_owned())),
        (Provider::GoogleAi, blocked, text("blocked: SAFETY", usage(5, 0), Stop::Refusal)),
        (Provider::AwsBedrock, bedrock("end_turn"), text("a", usage(5, 3), Stop::End)),
        (Provider::AwsBedrock, bedrock("max_tokens"), text("a", usage(5, 3), Stop::MaxTokens)),
        (Provider::AwsBedrock, bedrock("guardrail_intervened"), text("a", usage(5, 3), Stop::Refusal)),
    ];
    for (provider, answer, expected) in cases {
        assert_eq!(read(&client(provider, "m"), &answer), expected, "{provider}: {answer}");
    }
}

#[test]
fn an_answer_that_does_not_say_why_it_ends_is_none() {
    for provider in Provider::ALL {
        for answer in
            [json!({}), json!([]), json!({"choices": []}), json!({"content": [{"type": "text", "text": "a"}]})]
        {
            assert!(read(&client(provider, "m"), &answer).is_err(), "{provider}: {answer}");
        }
    }
}
