//! Models over the wire, each side made by somebody else: a mock of the providers, and in front of it a proxy that lets
//! through only what the providers' own SDKs would send. A binary of its own, since it needs what
//! `tests/protocol/setup.sh` installs: `tests/protocol/run.sh` does that, and runs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use lens::models::{Client, Models, Provider, Settings};
use lens_core::model::{Completion, ErrorClass, Form, Message, Model, ModelError, Prompt, Purpose, Role, Stop};
use lens_core::redact;
use serde_json::{Value, json};

/// The folder that setup.sh filled.
fn tools() -> PathBuf {
    std::env::var_os("LENS_PROTOCOL_TOOLS").expect("run this by tests/protocol/run.sh").into()
}

/// The mock, and the proxy in front of it: where they listen. They end when their input does, and so with the tests.
struct Wire {
    mock: String,
    proxy: String,
    _process: Child,
}

static WIRE: LazyLock<Wire> = LazyLock::new(Wire::start);

impl Wire {
    fn start() -> Self {
        let at = |path: &str| format!("{}/tests/protocol/{path}", env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new(tools().join("venv/bin/python"))
            .arg(at("validate_proxy.py"))
            .args([tools().join("node"), tools().join("node_modules/.bin/llmock")])
            .args(["-p", "0", "--strict", "-f", &at("fixtures")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut address = |of: &str| lines.find_map(|line| Some(line.strip_prefix(of)?.trim().to_owned()));
        let mock = address("MOCK ").expect("the proxy says where the mock listens");
        let proxy = address("PROXY ").expect("the proxy says where it listens");
        Self { mock, proxy, _process: process }
    }

    /// One client of every provider, and Vertex with a model of each publisher.
    fn clients(&self) -> Vec<Client> {
        let at = |path: &str| format!("http://{}{path}", self.proxy);
        let client = |provider, model, path| Client::new("c", provider, model).key("k-1").base_url(at(path));
        vec![
            client(Provider::Anthropic, "claude-x", "/v1"),
            client(Provider::OpenAi, "gpt-x", "/v1"),
            client(Provider::OpenAiGeneric, "m", "/v1/"),
            client(Provider::GoogleAi, "gemini-x", "/v1beta"),
            client(Provider::VertexAi, "gemini-x", "/v1").project("p-1").region("europe-west1"),
            client(Provider::VertexAi, "claude-x", "/v1").project("p-1"),
            client(Provider::AwsBedrock, "anthropic.claude-x-v1:0", ""),
            client(Provider::AzureOpenAi, "deployment", ""),
            client(Provider::AzureOpenAi, "deployment", "").api_version("2025-04-01-preview"),
            client(Provider::Ollama, "qwen3", "/v1"),
            client(Provider::OpenRouter, "qwen/qwen3", "/api/v1"),
        ]
    }
}

fn models(client: Client) -> Models {
    Settings::new().client(client.timeout(Duration::from_secs(60))).build().unwrap()
}

fn ask(client: Client, prompt: &Prompt) -> Result<Completion, ModelError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(models(client).answer(prompt))
}

fn prompt(text: &str) -> Prompt {
    Prompt {
        system: "You look at a service.".to_owned(),
        messages: vec![Message { role: Role::User, text: text.to_owned() }],
        form: None,
        max_tokens: 500,
        purpose: Purpose::Reason,
        deadline: None,
    }
}

/// An envelope as strategies have them, with what schemars makes of enums, options and bounds.
mod envelope {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
    pub(super) enum Action {
        /// Reads a skill.
        TakeSnapshot {},
        /// Says how bad it is.
        SetState { state: State, reason: Option<String> },
        /// Waits.
        Wait {
            #[schemars(range(min = 1, max = 1000))]
            ms: u32,
            #[schemars(length(max = 3))]
            skills: Vec<String>,
        },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum State {
        Healthy,
        Critical,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Envelope {
        /// What to do next.
        pub(super) action: Action,
        pub(super) hint: Option<State>,
    }
}

fn form() -> Form {
    Form { name: "envelope".to_owned(), schema: schemars::schema_for!(envelope::Envelope).to_value() }
}

fn raw(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}");
    write!(stream, "{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

/// LLM-01: what lens sends is what the providers' own SDKs would send.
#[test]
#[ignore = "needs what tests/protocol/run.sh installs"]
fn every_provider_takes_a_question() {
    for client in WIRE.clients() {
        let shown = format!("{client:?}");
        let answer = ask(client, &prompt("what is wrong?")).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!((answer.text.as_str(), answer.stop), ("Nothing is wrong.", Stop::End), "{shown}");
    }
}

#[test]
#[ignore = "needs what tests/protocol/run.sh installs"]
fn every_provider_takes_a_conversation_and_a_schema() {
    let say = |role, text: &str| Message { role, text: text.to_owned() };
    let mut conversation = prompt("which skill?");
    conversation.messages.extend([
        say(Role::Assistant, "{\"action\": {\"intent\": \"take_snapshot\"}}"),
        say(Role::User, "{\"snapshot\": {\"état\": \"lent – 31 %\"}}"),
        say(Role::User, "go on"),
    ]);
    conversation.form = Some(form());
    for client in WIRE.clients() {
        let shown = format!("{client:?}");
        let answer = ask(client, &conversation).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let envelope: envelope::Envelope = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(envelope.action, envelope::Action::TakeSnapshot {}, "{shown}");
    }
}

#[test]
#[ignore = "needs what tests/protocol/run.sh installs"]
fn bedrock_takes_a_schema_in_its_field() {
    let bedrock = WIRE.clients().remove(6).schema(lens::models::SchemaPlace::Field);
    let answer = ask(bedrock, &Prompt { form: Some(form()), ..prompt("go on") }).unwrap();
    assert!(answer.text.contains("take_snapshot"));
}

#[test]
#[ignore = "needs what tests/protocol/run.sh installs"]
fn an_answer_that_is_cut_off_says_so_on_every_wire() {
    for client in WIRE.clients() {
        let shown = format!("{client:?}");
        let answer = ask(client, &prompt("talk")).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(answer.stop, Stop::MaxTokens, "{shown}");
    }
}

#[test]
#[ignore = "needs what tests/protocol/run.sh installs"]
fn failures_are_classified_on_every_wire() {
    let chaos = [
        ("x-aimock-chaos-ratelimit", ErrorClass::RateLimited),
        ("x-aimock-chaos-drop", ErrorClass::Unavailable),
        ("x-aimock-chaos-malformed", ErrorClass::Malformed),
        ("x-aimock-chaos-disconnect", ErrorClass::Connection),
    ];
    for client in WIRE.clients() {
        for (header, class) in chaos {
            let shown = format!("{header}, {client:?}");
            let error = ask(client.clone().header(header, "1"), &prompt("what is wrong?")).expect_err(&shown);
            assert_eq!(error.class, class, "{shown}: {error}");
            assert_eq!(error.retry_after.is_some(), class == ErrorClass::RateLimited, "{shown}: {error:?}");
        }
    }
}

#[test]
#[ignore = "needs what tests/protocol/run.sh installs"]
fn a_slow_provider_is_left_on_every_wire() {
    for client in WIRE.clients() {
        let settings = client.header("x-aimock-chaos-latency", "20000").timeout(Duration::from_millis(300));
        let models = Settings::new().client(settings).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(models.answer(&prompt("what is wrong?"))).unwrap_err();
        assert_eq!(error.class, ErrorClass::Timeout, "{error}");
    }
}

#[test]
#[ignore = "needs what tests/protocol/run.sh installs"]
fn the_proxy_refuses_what_no_sdk_would_send() {
    let message = json!([{"role": "user", "content": "what is wrong?"}]);
    let contents = json!([{"role": "user", "parts": [{"text": "x"}]}]);
    let text = json!([{"role": "user", "content": [{"text": "x"}]}]);
    let loose = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let bearer = "authorization: Bearer k\r\n";
    let anthropic = "x-api-key: k\r\nanthropic-version: 2023-06-01\r\n";
    let google = "x-goog-api-key: k\r\n";
    let gemini = "/v1beta/models/m:generateContent";
    let wrong = [
        ("/v1/chat/completions", bearer, json!({"model": "m"})),
        ("/v1/chat/completions", bearer, json!({"model": "m", "messages": [{"role": "robot", "content": "x"}]})),
        ("/v1/chat/completions", bearer, json!({"model": "m", "messages": message, "max_words": 3})),
        ("/v1/chat/completions", "", json!({"model": "m", "messages": message})),
        (
            "/v1/chat/completions",
            bearer,
            json!({"model": "m", "messages": message, "response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": loose, "strict": true}}}),
        ),
        ("/openai/v1/chat/completions", bearer, json!({"model": "m", "messages": message})),
        ("/openai/deployments/d/chat/completions", "api-key: k\r\n", json!({"model": "m", "messages": message})),
        ("/v1/messages", anthropic, json!({"model": "m", "messages": message})),
        ("/v1/messages", anthropic, json!({"model": "m", "messages": message, "max_tokens": 5, "temperature": 0.5})),
        ("/v1/messages", "x-api-key: k\r\n", json!({"model": "m", "messages": message, "max_tokens": 5})),
        (
            "/v1/messages",
            anthropic,
            json!({"model": "m", "messages": message, "max_tokens": 5, "output_config": {"format": {"type": "json_schema", "schema": loose}}}),
        ),
        (gemini, google, json!({"contents": contents, "system": "x"})),
        (gemini, google, json!({"contents": contents, "generationConfig": {"maxTokens": 5}})),
        (gemini, "", json!({"contents": contents})),
        ("/model/m/converse", bearer, json!({"messages": text, "inferenceConfig": {"maxTokens": "5"}})),
        ("/model/m/converse", bearer, json!({"messages": text, "max_tokens": 5})),
        ("/model/m/converse", "", json!({"messages": text})),
    ];
    for (path, headers, body) in wrong {
        let (status, answer) = raw(&WIRE.proxy, "POST", path, headers, &body.to_string());
        assert_eq!(status, 400, "{path} {body}: {answer}");
        assert!(answer.contains("INVALID "), "{answer}");
    }
    assert_eq!(raw(&WIRE.proxy, "POST", "/v1/guess", bearer, "{}").0, 404);
}

#[test]
#[ignore = "needs what tests/protocol/run.sh installs"]
fn a_temperature_is_sent_where_it_was_asked_for_and_refused_by_anthropic() {
    let clients = WIRE.clients();
    let error = ask(clients[0].clone().temperature(0.5), &prompt("what is wrong?")).unwrap_err();
    assert_eq!(error.class, ErrorClass::Rejected);
    assert!(error.message.contains("temperature"), "{error}");
    ask(clients[1].clone().temperature(0.5).top_p(0.5), &prompt("what is wrong?")).unwrap();
}

/// Lines of a log with secrets of many kinds, made so that the oracle, which knows their exact forms, finds them.
fn secrets() -> Vec<String> {
    let letters = |seed: usize, length: usize, from: &str| -> String {
        let from: Vec<char> = from.chars().collect();
        (0..length).map(|place| from[(seed * 31 + place * 17 + place * place * 7) % from.len()]).collect()
    };
    const ALL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const HEX: &str = "0123456789abcdef";
    let mut secrets = Vec::new();
    for seed in 1..=5 {
        secrets.extend([
            format!("connecting to postgres://app:{}@db.internal:5432/orders", letters(seed, 14, ALL)),
            format!("GET https://anna:{}@example.com/private", letters(seed, 14, ALL)),
            format!("pushing with ghp_{}", letters(seed, 36, ALL)),
            format!(
                "posting with xoxb-{}-{}-{}",
                letters(seed, 11, "123456789"),
                letters(seed, 11, "123456789"),
                letters(seed, 24, ALL)
            ),
            format!("publishing with npm_{}", letters(seed, 36, ALL)),
            format!("AWS_SECRET_ACCESS_KEY = {}", letters(seed, 40, ALL)),
            format!("answering with sk-ant-api03-{}AA", letters(seed, 93, ALL)),
            format!("mailing with SG.{}.{}", letters(seed, 22, ALL), letters(seed, 43, ALL)),
            format!("storing for shpat_{}", letters(seed, 32, HEX)),
            format!(
                "signed by -----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
                letters(seed, 64, ALL)
            ),
        ]);
    }
    secrets
}

/// What `secretlint` says of everything that the mock got from the client with this key.
fn leaks(marker: &str) -> Vec<Value> {
    let (_, answer) = raw(&WIRE.mock, "GET", "/__aimock/journal", "", "");
    let journal = answer.split_once("\r\n\r\n").unwrap().1;
    let start = journal.find('[').unwrap();
    let end = journal.rfind(']').unwrap();
    let entries: Vec<Value> = serde_json::from_str(&journal[start..=end]).unwrap();
    let ours: Vec<_> = entries.iter().filter(|entry| entry.to_string().contains(marker)).collect();
    assert_eq!(ours.len(), 1, "{marker}");
    let folder = tempfile::tempdir().unwrap();
    // The lines as they were written, so that no escaping hides a secret.
    let text: Vec<_> = ours[0]["body"]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|message| message["content"].as_str())
        .collect();
    assert!(text.iter().any(|text| text.contains(marker)));
    std::fs::write(folder.path().join("sent.txt"), text.join("\n")).unwrap();
    let config = json!({"rules": [{"id": "@secretlint/secretlint-rule-preset-recommend"}]});
    std::fs::write(folder.path().join(".secretlintrc.json"), config.to_string()).unwrap();
    std::os::unix::fs::symlink(tools().join("node_modules"), folder.path().join("node_modules")).unwrap();
    let output = Command::new(tools().join("node"))
        .arg(tools().join("node_modules/secretlint/bin/secretlint.js"))
        .args(["--format", "json", "sent.txt"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {} {}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    });
    found[0]["messages"].as_array().unwrap().clone()
}

#[test]
#[ignore = "needs what tests/protocol/run.sh installs"]
fn what_is_redacted_has_no_secret_in_the_eyes_of_secretlint() {
    let secrets = secrets();
    assert!(secrets.len() >= 40);
    let openai = || WIRE.clients().remove(1);
    let log = secrets.join("\n");
    ask(openai(), &prompt(&format!("what is wrong? (as it is)\n{log}"))).unwrap();
    let seen = leaks("(as it is)");
    assert!(seen.len() >= 20, "the oracle sees only {}: {seen:?}", seen.len());
    ask(openai(), &prompt(&format!("what is wrong? (redacted)\n{}", redact::text(&log)))).unwrap();
    assert_eq!(leaks("(redacted)"), Vec::<Value>::new());
}
