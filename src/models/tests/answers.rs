//! Answers, failures and who is asked.

use lens_core::model::{ErrorClass, Stop, Usage};
use lens_core::redact::REDACTED;

use super::*;
use crate::models::Key;

#[test]
fn an_answer_has_its_text_usage_end_and_model() {
    let server = Server::start(vec![said("all is well")]);
    let usage = Some(Usage { input_tokens: 7, output_tokens: 3 });
    let expected = Completion {
        text: "all is well".to_owned(),
        usage,
        stop: Stop::End,
        model: "openai-generic/m".to_owned(),
        unanswered: 0,
    };
    assert_eq!(answer(&server.models()).unwrap(), expected);
    let request = server.requests.recv().unwrap();
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("authorization: Bearer {KEY}\r\n")), "{request}");
    for setting in ["temperature", "top_p"] {
        assert!(!request.contains(setting), "{request}");
    }
}

#[test]
fn every_status_has_its_class() {
    let classes = [
        ("400 Bad Request", ErrorClass::Rejected),
        ("401 Unauthorized", ErrorClass::Unauthorized),
        ("403 Forbidden", ErrorClass::Unauthorized),
        ("404 Not Found", ErrorClass::Rejected),
        ("408 Request Timeout", ErrorClass::Unavailable),
        ("409 Conflict", ErrorClass::Unavailable),
        ("422 Unprocessable Entity", ErrorClass::Rejected),
        ("429 Too Many Requests", ErrorClass::RateLimited),
        ("500 Internal Server Error", ErrorClass::Unavailable),
        ("503 Service Unavailable", ErrorClass::Unavailable),
        ("529 Overloaded", ErrorClass::Unavailable),
    ];
    for (status, class) in classes {
        let error = failure(reply(status, "", r#"{"error": {"message": "so it is"}}"#));
        assert_eq!(error.class, class, "{status}");
        assert!(error.message.starts_with("openai-generic/m (client `only`): "), "{error}");
        assert!(error.message.ends_with(": so it is"), "{error}");
    }
}

#[test]
fn an_error_with_status_200_is_a_failure_of_its_own_code() {
    assert_eq!(
        failure(reply("200 OK", "", r#"{"error": {"code": 429, "message": "x"}}"#)).class,
        ErrorClass::RateLimited
    );
    assert_eq!(failure(reply("200 OK", "", r#"{"error": {"message": "x"}}"#)).class, ErrorClass::Unavailable);
}

#[test]
fn no_wait_pays_a_bill() {
    let error =
        failure(reply("429 X", "retry-after: 1\r\n", r#"{"error": {"code": "insufficient_quota", "message": "x"}}"#));
    assert_eq!((error.class, error.retry_after), (ErrorClass::Rejected, None));
}

#[test]
fn the_provider_says_how_long_to_wait() {
    let waits = [
        ("retry-after: 7\r\n", "", Some(Duration::from_secs(7))),
        ("retry-after: 0.5\r\n", "", Some(Duration::from_millis(500))),
        ("retry-after-ms: 1500\r\nretry-after: 2\r\n", "", Some(Duration::from_millis(1500))),
        ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n", "", Some(Duration::ZERO)),
        ("retry-after: 99999999999\r\n", "", Some(crate::models::MAX_RETRY_AFTER)),
        ("retry-after: soon\r\n", "", None),
        ("retry-after: -1\r\n", "", None),
        ("", "", None),
        ("", r#", "details": [{"@type": "x"}, {"retryDelay": "31s"}]"#, Some(Duration::from_secs(31))),
    ];
    for (headers, more, wait) in waits {
        let error =
            failure(reply("429 Too Many Requests", headers, &format!(r#"{{"error": {{"message": "x"{more}}}}}"#)));
        assert_eq!(error.retry_after, wait, "{headers}{more}");
    }
}

#[test]
fn a_date_to_wait_for_is_counted_from_now() {
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_445_412_400);
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT".parse().unwrap());
    assert_eq!(crate::models::failure::retry_after(&headers, now), Some(Duration::from_secs(80)));
}

#[test]
fn what_is_no_answer_is_malformed() {
    let choice = |inner: &str| reply("200 OK", "", &format!(r#"{{"choices": [{inner}]}}"#));
    for act in [
        reply("200 OK", "", "<html>welcome</html>"),
        reply("200 OK", "", r#"{"choices": ["#),
        reply("200 OK", "", ""),
        reply("200 OK", "", "{}"),
        reply("200 OK", "", "[1]"),
        choice("{}"),
        choice(r#"{"message": {"content": "cut"}}"#),
        choice(r#"{"message": {"content": null}, "finish_reason": "stop"}"#),
    ] {
        assert_eq!(failure(act).class, ErrorClass::Malformed);
    }
}

#[test]
fn an_answer_that_is_too_large_is_malformed() {
    let error = failure(reply("200 OK", "", &"x".repeat(crate::models::MAX_ANSWER_BYTES + 1)));
    assert_eq!(error.class, ErrorClass::Malformed);
    assert!(error.message.ends_with("is larger than 4194304 bytes"), "{error}");
}

#[test]
fn a_broken_connection_and_none_at_all_can_be_tried_again() {
    let cut = failure(Act::Cut("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\"".to_owned()));
    assert_eq!((cut.class, cut.unanswered), (ErrorClass::Connection, 1), "{cut}");
    let silent = failure(Act::Cut(String::new()));
    assert_eq!((silent.class, silent.unanswered), (ErrorClass::Connection, 1), "{silent}");
    // A port that was free a moment ago.
    let url = format!("http://{}/v1", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let nobody = Client::new("only", Provider::OpenAiGeneric, "m").base_url(url);
    let error = answer(&Settings::new().client(nobody).build().unwrap()).unwrap_err();
    assert_eq!((error.class, error.unanswered), (ErrorClass::Connection, 0), "nobody was there: {error}");
}

#[test]
fn a_server_that_says_nothing_is_left_after_the_time_out() {
    let server = Server::start(vec![Act::Hang]);
    let client = server.client("only").timeout(Duration::from_millis(200));
    let error = answer(&Settings::new().client(client).build().unwrap()).unwrap_err();
    assert_eq!(error.class, ErrorClass::Timeout);
    assert!(error.message.ends_with("no answer after 200ms"), "{error}");
}

#[test]
fn a_redirection_is_not_followed() {
    let elsewhere = Server::start(vec![said("here")]);
    let error = failure(reply("307 Temporary Redirect", &format!("location: {}\r\n", elsewhere.url), ""));
    assert_eq!(error.class, ErrorClass::Rejected);
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn neither_errors_nor_debug_show_a_key() {
    let body =
        format!(r#"{{"error": {{"message": "Incorrect API key provided: {KEY}, or sk-proj-abcdefghij1234567890"}}}}"#);
    let server = Server::start(vec![
        reply("401 Unauthorized", "", &body),
        Act::Cut(format!("{KEY}\r\n\r\n")),
        reply("200 OK", "", KEY),
    ]);
    let client = server.client("only").header("x-team", KEY);
    let settings = Settings::new().client(client);
    let models = settings.clone().build().unwrap();
    let mut shown = vec![format!("{settings:?}"), format!("{settings:#?}"), format!("{models:?}"), models.name()];
    for _ in 0..3 {
        let error = answer(&models).unwrap_err();
        shown.extend([error.to_string(), format!("{error:?}"), serde_json::to_string(&error).unwrap()]);
    }
    for text in &shown {
        assert!(!text.contains(KEY) && !text.contains("sk-proj"), "{text}");
    }
    let quoted = format!("Incorrect API key provided: {REDACTED}, or {REDACTED}");
    assert!(shown.iter().any(|text| text.ends_with(&quoted)), "{shown:#?}");
}

#[test]
fn errors_do_not_show_values_of_headers() {
    let body = r#"{"error": {"message": "x-team: Gate zebra-crossing is unknown (zebra-crossing), try 1 of 11, K7"}}"#;
    let server = Server::start(vec![
        reply("401 Unauthorized", "", body),
        Act::Cut("zebra-crossing\r\n\r\n".to_owned()),
        reply("502 Bad Gateway", "", "<p>zebra-crossing"),
    ]);
    let client = server.client("only").header("x-team", "Gate zebra-crossing").header("x-try", "1").header("x-k", "K7");
    let models = Settings::new().client(client).build().unwrap();
    let shown: Vec<String> = (0..3).map(|_| answer(&models).unwrap_err().message).collect();
    assert!(shown.iter().all(|text| !text.contains("zebra")), "{shown:#?}");
    let quoted = "401 Unauthorized: x-team: [redacted] is unknown ([redacted]), try [redacted] of 11, [redacted]";
    assert!(shown[0].ends_with(quoted), "what is short is hidden where it stands alone: {shown:#?}");
}

/// LLM-01: each of the nine providers is named in a file, has its usual place, and is asked at the path and with the header
/// that its own reference says.
#[test]
fn every_provider_is_asked_in_its_own_way() {
    let vertex = "/v1/projects/p-1/locations/r-1/publishers/google/models/m:generateContent";
    let bearer = format!("authorization: Bearer {KEY}");
    let (anthropic, google) = (format!("x-api-key: {KEY}"), format!("x-goog-api-key: {KEY}"));
    let azure = format!("api-key: {KEY}");
    let cases = [
        ("anthropic", Some("https://api.anthropic.com/v1"), "/v1/messages", &anthropic),
        ("openai", Some("https://api.openai.com/v1"), "/v1/chat/completions", &bearer),
        ("openai-generic", None, "/v1/chat/completions", &bearer),
        (
            "google-ai",
            Some("https://generativelanguage.googleapis.com/v1beta"),
            "/v1/models/m:generateContent",
            &google,
        ),
        ("vertex-ai", Some("https://r-1-aiplatform.googleapis.com/v1"), vertex, &bearer),
        ("aws-bedrock", Some("https://bedrock-runtime.r-1.amazonaws.com"), "/v1/model/m/converse", &bearer),
        ("azure-openai", None, "/v1/openai/v1/chat/completions", &azure),
        ("ollama", Some("http://127.0.0.1:11434/v1"), "/v1/chat/completions", &bearer),
        ("openrouter", Some("https://openrouter.ai/api/v1"), "/v1/chat/completions", &bearer),
    ];
    assert_eq!(Provider::ALL.map(Provider::name), cases.map(|(name, ..)| name));
    for (name, place, path, header) in cases {
        let provider: Provider = name.parse().unwrap();
        assert_eq!(provider.default_base_url(Some("r-1")).as_deref(), place, "{name}");
        let server = Server::start(vec![reply("404 Not Found", "", r#"{"error": {"message": "no such model"}}"#)]);
        let text = format!(
            "[[clients]]\nname = 'a'\nprovider = '{name}'\nmodel = 'm'\nkey = '{KEY}'\nbase_url = '{}'\n\
             region = 'r-1'\nproject = 'p-1'",
            server.url
        );
        let error = answer(&Settings::from_toml(&text).unwrap().build().unwrap()).unwrap_err();
        let expected = format!("{name}/m (client `a`): 404 Not Found: no such model");
        assert_eq!((error.class, error.message), (ErrorClass::Rejected, expected));
        let request = server.requests.recv().unwrap();
        assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{name}: {request}");
        assert!(request.contains(&format!("\r\n{header}\r\n")), "{name}: {request}");
    }
}

/// LLM-04: a fallback asks the next one.
#[test]
fn a_fallback_asks_the_next_after_any_failure() {
    for refusal in ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "500 Internal Server Error"] {
        let (first, second) = (Server::start(vec![reply(refusal, "", "{}")]), Server::start(vec![said("second")]));
        let settings = Settings::new().client(first.client("a")).client(second.client("b"));
        let models = settings.fallback("any", ["a", "b"]).primary("any").build().unwrap();
        assert_eq!(answer(&models).unwrap().text, "second");
        assert_eq!((first.count(), second.count()), (1, 1));
    }
}

#[test]
fn a_fallback_that_fails_tells_all_and_whether_another_try_makes_sense() {
    let first = Server::start(vec![reply("401 Unauthorized", "", "{}")]);
    let second = Server::start(vec![reply("429 Too Many Requests", "retry-after: 3\r\n", "{}")]);
    let settings = Settings::new().client(first.client("a")).client(second.client("b"));
    let models = settings.fallback("any", ["a", "b"]).primary("any").build().unwrap();
    let error = answer(&models).unwrap_err();
    assert_eq!((error.class, error.retry_after), (ErrorClass::RateLimited, Some(Duration::from_secs(3))));
    assert!(error.message.contains("client `a`") && error.message.contains("client `b`"), "{error}");
}

/// LLM-04: whoever asks waits no longer than it says, and the next one is asked before. Without what it says, each may take
/// as long as its own time-out.
#[test]
fn those_that_hang_leave_the_last_one_time() {
    let hangs = || Server::start(vec![Act::Hang]);
    let (first, second, last) = (hangs(), hangs(), Server::start(vec![said("last")]));
    let clients = Settings::new()
        .client(first.client("a").timeout(crate::models::DEFAULT_TIMEOUT))
        .client(second.client("b").timeout(crate::models::DEFAULT_TIMEOUT))
        .client(last.client("c"));
    let flat = clients.clone().fallback("any", ["a", "b", "c"]);
    let nested = clients.fallback("both", ["a", "b"]).fallback("any", ["both", "c"]);
    for settings in [flat, nested] {
        let models = settings.primary("any").build().unwrap();
        let asked = Prompt { deadline: Some(Duration::from_secs(1)), ..prompt() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = runtime.block_on(async {
            // Far more than the deadline: the last one's answer may be late, for the machine's sake.
            tokio::time::timeout(Duration::from_secs(15), models.answer(&asked)).await
        });
        assert_eq!(answered.expect("they have hung for too long").unwrap().text, "last");
    }
}

#[test]
fn a_member_that_had_no_more_time_says_so() {
    let (first, second) = (Server::start(vec![Act::Hang]), Server::start(vec![reply("401 Unauthorized", "", "{}")]));
    let settings = Settings::new().client(first.client("a")).client(second.client("b"));
    let models = settings.fallback("any", ["a", "b"]).primary("any").build().unwrap();
    let asked = Prompt { deadline: Some(Duration::from_secs(2)), ..prompt() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(models.answer(&asked)).unwrap_err();
    assert_eq!(error.class, ErrorClass::Timeout);
    assert!(error.message.starts_with("openai-generic/m (client `a`): no answer after "), "{error}");
    assert!(
        error.message.contains("ms, its share of the call's time; then openai-generic/m (client `b`): 401"),
        "{error}"
    );
}

/// A request counts unless surely nobody read it, also if another one was answered, or failed in a way that costs nothing.
#[test]
fn what_was_asked_in_vain_is_told() {
    let malformed = || reply("200 OK", "", "{}");
    let busy = || reply("429 Too Many Requests", "", "{}");
    let asked = |first: Act, second: Act| {
        let (first, second) = (Server::start(vec![first]), Server::start(vec![second]));
        let settings =
            Settings::new().client(first.client("a").timeout(Duration::from_millis(500))).client(second.client("b"));
        answer(&settings.fallback("any", ["a", "b"]).primary("any").build().unwrap())
    };
    for (first, unanswered) in [(Act::Hang, 1), (malformed(), 1), (busy(), 0)] {
        assert_eq!(asked(first, said("x")).unwrap().unanswered, unanswered);
    }
    for (first, second, unanswered) in
        [(busy(), malformed(), 1), (malformed(), busy(), 1), (busy(), busy(), 0), (Act::Hang, malformed(), 2)]
    {
        assert_eq!(asked(first, second).unwrap_err().unanswered, unanswered);
    }
}

/// LLM-04: a round-robin asks one after the other.
#[test]
fn those_that_take_turns_do_so() {
    let (first, second) = (Server::start(vec![said("1")]), Server::start(vec![said("2")]));
    let settings = Settings::new().client(first.client("a")).client(second.client("b"));
    let models = settings.round_robin("both", ["a", "b"]).primary("both").build().unwrap();
    let texts: Vec<_> = (0..4).map(|_| answer(&models).unwrap().text).collect();
    assert_eq!(texts, ["1", "2", "1", "2"]);
}

/// CMP-03: shortening is a cheaper model's work, if there is one.
#[test]
fn a_cheaper_model_sorts_and_shortens() {
    let (good, cheap) = (Server::start(vec![said("good")]), Server::start(vec![said("cheap")]));
    let settings = Settings::new().client(good.client("good")).client(cheap.client("cheap"));
    let models = settings.primary("good").classify("cheap").compact("cheap").build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let of = |purpose| runtime.block_on(models.answer(&Prompt { purpose, ..prompt() })).unwrap().text;
    let texts = [Purpose::Classify, Purpose::Reason, Purpose::Compact, Purpose::Reply].map(of);
    assert_eq!(texts, ["cheap", "good", "cheap", "good"]);
}

#[test]
fn a_dropped_call_ends_its_connection() {
    let server = Server::start(vec![Act::Hang]);
    let models = server.models();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let prompt = prompt();
        let call = tokio::time::timeout(Duration::from_secs(2), models.answer(&prompt));
        assert!(call.await.is_err());
        assert!(server.requests.recv_timeout(Duration::from_secs(20)).unwrap().starts_with("POST "));
        let next = tokio::task::spawn_blocking(move || server.requests.recv_timeout(Duration::from_secs(20)));
        assert_eq!(next.await.unwrap().as_deref(), Ok(CLOSED));
    });
}

#[test]
fn a_key_can_be_renewed_between_calls() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first-key\n").unwrap();
    let server = Server::start(vec![said("x")]);
    let given = server.client("only").key_from(Key::file(file.path()));
    let models = Settings::new().client(given).build().unwrap();
    for key in ["first-key", "second-key"] {
        std::fs::write(file.path(), format!("{key}\n")).unwrap();
        answer(&models).unwrap();
        assert!(server.requests.recv().unwrap().contains(&format!("authorization: Bearer {key}\r\n")));
    }
    std::fs::write(file.path(), "").unwrap();
    assert_eq!(answer(&models).unwrap_err().class, ErrorClass::Unauthorized);
}

#[test]
fn a_function_gives_keys_and_says_why_not() {
    let server = Server::start(vec![said("x")]);
    let with = |key| Settings::new().client(server.client("only").key_from(key)).build().unwrap();
    answer(&with(Key::function(|| async { Ok("given".into()) }))).unwrap();
    assert!(server.requests.recv().unwrap().contains("authorization: Bearer given\r\n"));
    let error = answer(&with(Key::function(|| async { Err("the metadata server is away".to_owned()) }))).unwrap_err();
    assert_eq!(error.class, ErrorClass::Unauthorized);
    assert!(error.message.ends_with("there is no key: the metadata server is away"), "{error}");
}

/// A file that no read of comes back from: a pipe that nobody writes to.
#[cfg(unix)]
#[test]
fn a_keys_file_that_hangs_costs_the_call_and_not_the_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "first-key\n").unwrap();
    let server = Server::start(vec![said("x")]);
    let given = server.client("only").key_from(Key::file(&path)).timeout(Duration::from_millis(200));
    let models = Settings::new().client(given).build().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = std::time::Instant::now();
    for _ in 0..3 {
        let error = runtime.block_on(models.answer(&prompt())).unwrap_err();
        assert_eq!(error.class, ErrorClass::Timeout, "{error}");
    }
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    // Lets who still reads it go on.
    std::fs::write(&path, "second-key\n").unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "third-key\n").unwrap();
    runtime.block_on(models.answer(&prompt())).unwrap();
    assert!(server.requests.recv().unwrap().contains("authorization: Bearer third-key\r\n"));
}
