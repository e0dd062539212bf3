//! A real model: llama.cpp's server with one of 135 million parameters. It proves the wire, schemas, tokens, ends and
//! cancelling; nothing is asserted of its taste. A binary of its own, since it needs what `tests/protocol/llama.sh`
//! installs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "protocol/llama.rs"]
mod llama;

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use lens::models::{Client, Models, Provider, Settings};
use lens_core::model::{Completion, ErrorClass, Form, Message, Model, ModelError, Prompt, Purpose, Role, Stop};
use llama::Llama;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// One thread answers, so tests take turns.
static SERVER: LazyLock<Mutex<Llama>> =
    LazyLock::new(|| Mutex::new(Llama::start(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/protocol/llama_server.py"))));

fn client(llama: &Llama, provider: Provider) -> Client {
    Client::new("llama", provider, "smollm2-135m").base_url(&llama.url).key("none").timeout(Duration::from_secs(240))
}

fn with<T>(provider: Provider, run: impl AsyncFnOnce(Models) -> T) -> T {
    let server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let models = Settings::new().client(client(&server, provider)).build().unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(models))
}

fn ask(provider: Provider, prompt: &Prompt) -> Result<Completion, ModelError> {
    with(provider, async |models| models.answer(prompt).await)
}

fn prompt(text: &str, max_tokens: u32) -> Prompt {
    Prompt {
        system: "You look at a service and say what is wrong.".to_owned(),
        messages: vec![Message { role: Role::User, text: text.to_owned() }],
        form: None,
        max_tokens,
        purpose: Purpose::Reason,
        deadline: None,
    }
}

/// What an operator does, as strategies ask for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Envelope {
    action: Action,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    TakeSnapshot {},
    SetState {
        state: State,
        #[schemars(length(max = 40))]
        reason: String,
    },
    Look {
        #[schemars(length(max = 2))]
        skills: Vec<State>,
    },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Healthy,
    Critical,
}

#[test]
#[ignore = "needs what tests/protocol/llama.sh installs"]
fn a_question_is_answered_with_what_it_took() {
    for provider in [Provider::OpenAiGeneric, Provider::Anthropic] {
        let answer = ask(provider, &prompt("Is a queue of 31 tasks long?", 40)).unwrap();
        assert!(!answer.text.is_empty());
        let usage = answer.usage.unwrap();
        assert!(usage.input_tokens >= 15 && (1..=40).contains(&usage.output_tokens), "{usage:?}");
    }
}

#[test]
#[ignore = "needs what tests/protocol/llama.sh installs"]
fn an_answer_that_reaches_the_limit_says_so() {
    for provider in [Provider::OpenAiGeneric, Provider::Anthropic] {
        let answer = ask(provider, &prompt("Tell a long story of a mutex.", 5)).unwrap();
        assert_eq!((answer.stop, answer.usage.unwrap().output_tokens), (Stop::MaxTokens, 5));
    }
}

#[test]
#[ignore = "needs what tests/protocol/llama.sh installs"]
fn a_schema_is_enforced() {
    let form = Form { name: "envelope".to_owned(), schema: schemars::schema_for!(Envelope).to_value() };
    for question in ["Start.", "The queue is long: what is the state?", "Which skills do you want to look at?"] {
        let answer =
            ask(Provider::OpenAiGeneric, &Prompt { form: Some(form.clone()), ..prompt(question, 300) }).unwrap();
        assert_eq!(answer.stop, Stop::End, "{}", answer.text);
        let envelope: Envelope = serde_json::from_str(&answer.text).unwrap();
        match envelope.action {
            Action::TakeSnapshot {} => {}
            Action::SetState { state: State::Healthy | State::Critical, reason } => assert!(reason.len() <= 160),
            Action::Look { skills } => assert!(skills.len() <= 2),
        }
    }
}

#[test]
#[ignore = "needs what tests/protocol/llama.sh installs"]
fn a_prompt_that_does_not_fit_is_rejected() {
    let error = ask(Provider::OpenAiGeneric, &prompt(&"word ".repeat(12_000), 5)).unwrap_err();
    assert_eq!(error.class, ErrorClass::Rejected, "{error}");
}

#[test]
#[ignore = "needs what tests/protocol/llama.sh installs"]
fn a_call_that_is_dropped_frees_the_model() {
    with(Provider::OpenAiGeneric, async |models| {
        // At least 2400 tokens, whatever it wants to say: more than ten seconds of this model's time on a fast machine.
        let phrase = json!({"const": "one two three four five six seven eight"});
        let list = json!({"type": "array", "items": phrase, "minItems": 300, "maxItems": 300});
        let schema = json!({"type": "object", "properties": {"list": list}, "required": ["list"]});
        let form = Some(Form { name: "list".to_owned(), schema });
        let long = Prompt { form, ..prompt("Count.", 3_500) };
        let call = tokio::time::timeout(Duration::from_millis(500), models.answer(&long));
        assert!(call.await.is_err(), "the model is faster than this test thinks");
        // It has one place only: were the first call still there, this one would have to wait for its tokens.
        let started = std::time::Instant::now();
        models.answer(&prompt("Say yes.", 3)).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    });
}
