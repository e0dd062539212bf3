//! Secrets of every kind, planted; and text that has to stay as it is.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Where a secret stands, what it is, and how the text reads without it.
const PLANTED: &[(&str, &str, &str)] = &[
    ("login of anna with password=hunter2 failed", "hunter2", "login of anna with password=[redacted] failed"),
    (r#"{"api_key": "abc", "user": 7}"#, "abc", r#"{"api_key": [redacted], "user": 7}"#),
    (r#"body={\"password\":\"hunter2\",\"n\":1}"#, "hunter2", r#"body={\"password\":[redacted],\"n\":1}"#),
    (r#"Login { user: "anna", password: "hun\"ter2" }"#, "hun", r#"Login { user: "anna", password: [redacted] }"#),
    ("DB_PASSWORD: s3cr3t, retry in 5 s", "s3cr3t", "DB_PASSWORD: [redacted], retry in 5 s"),
    ("pwd='open sesame' user=anna", "sesame", "pwd=[redacted] user=anna"),
    ("GET /login?user=anna&token=q1w2&next=/", "q1w2", "GET /login?user=anna&token=[redacted]&next=/"),
    ("SENTRY_DSN=https://abc@sentry.example/1 set", "abc", "SENTRY_DSN=[redacted] set"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPx", "wJalr", "aws_secret_access_key = [redacted]"),
    ("AccountKey=Zm9vYmFy;EndpointSuffix=x", "Zm9v", "AccountKey=[redacted];EndpointSuffix=x"),
    ("clientSecret => s3", "s3", "clientSecret => [redacted]"),
    ("session_id=9f8e7d", "9f8e7d", "session_id=[redacted]"),
    ("otp: 482913", "482913", "otp: [redacted]"),
    ("Authorization: Bearer abc123def456", "abc123def456", "Authorization: [redacted]"),
    ("Authorization: Basic YW5uYTpwdw==", "YW5u", "Authorization: [redacted]"),
    ("authorization: token 0123abcd", "0123abcd", "authorization: [redacted]"),
    ("Authorization: AWS4-HMAC-SHA256 Credential=A/1, Signature=9f", "Signature", "Authorization: [redacted]"),
    ("sent `Bearer abc123def456`", "abc123def456", "sent `Bearer [redacted]`"),
    ("Cookie: a=1; session=q7\r\nHost: x", "q7", "Cookie: [redacted]\r\nHost: x"),
    ("set-cookie: sid=q7; HttpOnly", "q7", "set-cookie: [redacted]"),
    ("X-Api-Key: k-1", "k-1", "X-Api-Key: [redacted]"),
    ("postgres://app:pw@db:5432/orders", "pw@", "postgres://[redacted]@db:5432/orders"),
    ("postgres://app:p@w@db:5432/orders", "p@w", "postgres://[redacted]@db:5432/orders"),
    ("redis://:pw@cache/0", "pw@", "redis://[redacted]@cache/0"),
    ("amqp://guest:guest@mq", "guest", "amqp://[redacted]@mq"),
    ("clone https://0123456789abcdef0123@git.example/x", "0123456789", "clone https://[redacted]@git.example/x"),
    (
        "GET https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature=9f8e",
        "9f8e",
        "GET https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature=[redacted]",
    ),
    ("PUT https://a.blob.example/c?sv=1&sig=a%2Fb", "a%2Fb", "PUT https://a.blob.example/c?sv=1&sig=[redacted]"),
    (
        "POST https://hooks.slack.com/services/T00/B00/abcdefghijklmnop",
        "abcdef",
        "POST https://hooks.slack.com/services/[redacted]",
    ),
    (
        "POST https://discord.com/api/webhooks/1234/abcdefghijklmnopqrst",
        "abcdef",
        "POST https://discord.com/api/webhooks/[redacted]",
    ),
    ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl back", "eyJ", "got [redacted] back"),
    (
        "key -----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY----- read",
        "MIIE",
        "key [redacted] read",
    ),
    ("-----BEGIN PRIVATE KEY-----\nMIIEv cut", "MIIE", "[redacted]"),
    ("-----BEGIN PGP PRIVATE KEY BLOCK-----\\nlQ\\n-----END PGP PRIVATE KEY BLOCK-----!", "lQ", "[redacted]!"),
    ("as AKIAIOSFODNN7EXAMPLE now", "AKIA", "as [redacted] now"),
    ("as ASIAIOSFODNN7EXAMPLE now", "ASIA", "as [redacted] now"),
    ("with ghp_abcdefghijklmnop1234", "ghp_", "with [redacted]"),
    ("with github_pat_11ABCDEFG0_abcdefghijklmnop", "github_pat_", "with [redacted]"),
    ("with glpat-abcdefghij_klmnop12", "glpat-", "with [redacted]"),
    ("with xoxb-123456789012-abcdef", "xoxb", "with [redacted]"),
    ("with xapp-1-A0-123-abcdef", "xapp", "with [redacted]"),
    ("key sk_live_51Habcdefghijklmnop used", "sk_live", "key [redacted] used"),
    ("key sk-ant-api03-abcdefgh-ijkl used", "sk-ant", "key [redacted] used"),
    ("key sk-proj-abcdefghij1234567890 used", "sk-proj", "key [redacted] used"),
    ("key AIzaSyA-abcdefghijklmnopqrstuv used", "AIza", "key [redacted] used"),
    ("by ya29.a0AfH6SMBabcdefghij", "ya29", "by [redacted]"),
    ("publish npm_abcdefghijklmnopqrstuvwxyz0123456789", "npm_", "publish [redacted]"),
    ("model hf_abcdefghijklmnopqrstuvwx", "hf_", "model [redacted]"),
    ("mail SG.abcdefghijklmnopqrst.abcdefghijklmnopqrst", "SG.", "mail [redacted]"),
    ("vault hvs.abcdefghijklmnopqrstuvwx", "hvs", "vault [redacted]"),
    ("bot 123456789:AAabcdefghijklmnopqrstuvwxyz-_01234", "AAabc", "bot [redacted]"),
    ("mail to anna.b+x@example.co.uk bounced", "anna", "mail to [redacted] bounced"),
    ("card 4111 1111 1111 1111 declined", "4111", "card [redacted] declined"),
    ("card 5500-0055-5555-5559 declined", "5500", "card [redacted] declined"),
    ("nonce q7Rk2LmP9xZc4VbN8tYw1HsD6 seen", "q7Rk2", "nonce [redacted] seen"),
    ("got wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE9a1 back", "wJalr", "got [redacted] back"),
    (r#"Config { password: Some("hunter2"), n: 1 }"#, "hunter2", "Config { password: [redacted], n: 1 }"),
    (r#"Config { api_key: ApiKey("k-123") }"#, "k-123", "Config { api_key: [redacted] }"),
    (r#"api_key: Secret(Some("hunter2")), n: 1"#, "hunter2", "api_key: [redacted], n: 1"),
    (r#"api_key: Secret { inner: "hun}ter2" }, n: 1"#, "ter2", "api_key: [redacted], n: 1"),
    (r#"{"passwords": ["hunter2","x]y"], "n": 1}"#, "hunter2", r#"{"passwords": [redacted], "n": 1}"#),
    (
        r#"{"credentials": {"user": "u", "pass": "hunter2"}, "n": 1}"#,
        "hunter2",
        r#"{"credentials": [redacted], "n": 1}"#,
    ),
    (r#"{"user": "u", "pass": "hunter2"}"#, "hunter2", r#"{"user": "u", "pass": [redacted]}"#),
    (r#"Login { user: "u", pass: Some("hunter2") }"#, "hunter2", r#"Login { user: "u", pass: [redacted] }"#),
    (
        "Config {\n    password: Some(\n        \"hunter2\",\n    ),\n    n: 1,\n}",
        "hunter2",
        "Config {\n    password: [redacted],\n    n: 1,\n}",
    ),
    (
        r#"Url { scheme: "https", username: "u", password: Some("hunter2"), port: None }"#,
        "hunter2",
        r#"Url { scheme: "https", username: "u", password: [redacted], port: None }"#,
    ),
    (r#"body={\"password\":\"hun\\\"ter2\",\"n\":1}"#, "ter2", r#"body={\"password\":[redacted],\"n\":1}"#),
    (r#"body={\\\"password\\\":\\\"hunter2\\\"}"#, "hunter2", r#"body={\\\"password\\\":[redacted]}"#),
    (r#"body={\"passwords\":[\"hun]ter2\",\"x\"],\"n\":1}"#, "ter2", r#"body={\"passwords\":[redacted],\"n\":1}"#),
    (r#"fields="Config { password: Some(\"hunter2\") }""#, "hunter2", r#"fields="Config { password: [redacted] }""#),
    (r#"password: b"hunter2", n: 1"#, "hunter2", "password: [redacted], n: 1"),
    (r#"password: Some(b"hunter2"), n: 1"#, "hunter2", "password: [redacted], n: 1"),
    ("password: [104, 117], n: 1", "104", "password: [redacted], n: 1"),
    (r#"password: Some("hunter2 and then the text is cut"#, "hunter2", "password: [redacted]"),
    ("{'passwords': {'a': 'hun}ter2'}, 'n': 1}", "ter2", "{'passwords': [redacted], 'n': 1}"),
    (r#"password == "hunter2" is wrong"#, "hunter2", "password == [redacted] is wrong"),
    ("password=hun(ter)2 failed", "ter", "password=[redacted] failed"),
    (r#"Request { cookie: Some("sid=q7"), n: 1 }"#, "q7", "Request { cookie: [redacted], n: 1 }"),
    (r#"{"cookie": "sid=q7", "n": 1}"#, "q7", r#"{"cookie": [redacted], "n": 1}"#),
    (r#"Authorization: Digest username="anna", response="9f""#, "9f", "Authorization: [redacted]"),
    (r#"got {"access_tokens": ["abc"], "n": 1}"#, "abc", r#"got {"access_tokens": [redacted], "n": 1}"#),
    (r#"secret_bytes="abc" n=1"#, "abc", "secret_bytes=[redacted] n=1"),
    ("Key { secret_bytes: [104, 117] }", "104", "Key { secret_bytes: [redacted] }"),
    ("DB_PASS=hunter2", "hunter2", "DB_PASS=[redacted]"),
    ("DB_PASS=123456", "123456", "DB_PASS=[redacted]"),
    (r#"pass: b"hunter2", n: 1"#, "hunter2", "pass: [redacted], n: 1"),
    (r#"pass: secrecy::Secret("hunter2"), n: 1"#, "hunter2", "pass: [redacted], n: 1"),
    ("pass=hunter2 user=anna", "hunter2", "pass=[redacted] user=anna"),
    (r#"{"smtpPass": "hunter2", "n": 1}"#, "hunter2", r#"{"smtpPass": [redacted], "n": 1}"#),
    (r#"{"privateKey": "hunter2", "n": 1}"#, "hunter2", r#"{"privateKey": [redacted], "n": 1}"#),
    ("signingKey=hunter2 encryption-key=hunter2", "hunter2", "signingKey=[redacted] encryption-key=[redacted]"),
];

const HARMLESS: &[&str] = &[
    "",
    "basic authentication is off",
    "bearer tokens are refused",
    "order 4111111111111112 is late",
    "at 1790000000008 ms since 1970",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736 ended",
    "id 67e55044-10b1-426f-9247-bb680e5fe0c8 is gone",
    "build 3f786850e387550fdab836ed7e6dc881de23001b",
    "sha256 b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "examples/orders/src/faults/process.rs:98:18",
    "lens-core/src/token.rs:41:9",
    "src/auth/password.rs:7",
    "tokio_util::sync::cancellation_token::CancellationToken::cancel",
    "<secrecy::SecretBox<str> as core::fmt::Debug>::fmt",
    "_ZN4core3ops8function6FnOnce40call_once17h0123456789abcdefE",
    "called `Result::unwrap()` on an `Err` value: ParseFloatError { kind: Invalid }",
    "GET http://127.0.0.1:3000/orders/17 took 31 ms",
    "GET https://example.com/a/b?page=2#top 200",
    "connecting to postgres://db.internal:5432/orders",
    "fetch ssh://git@example.com/x.git",
    "http://host:3000/orders?at=12:30 and later @noon",
    "max_tokens=800, total_tokens: 1303, token_count=7",
    "password_length=12 was too short",
    r#"{"input_tokens": 1170, "output_tokens": 133}"#,
    "worker 2 makes no progress; queue depth 31",
    "(len([w for w in runtime.workers() if w.state == \"no_progress\"]), len(runtime.workers()))",
    "tasks.top(limit=5, by=\"busy\")[0].spawned_at == \"src/cart.rs:41:9\"",
    "2026-11-24T14:28:12.782Z WARN orders::payment: slow",
    "x86_64-unknown-linux-gnu rustc 1.95.0 (59807616e 2026-03-21)",
    "ask-the-disk-for-a-very-long-name-of-a-task",
    "sk-some-long-name-in-small-letters",
    "-----BEGIN CERTIFICATE-----",
    "all checks pass: 5",
    "all checks pass: yes",
    "PASS: tests of orders",
    "PASS: Orders and tests(of carts)",
    "12 passed: 3 passes, bypass=on, keyspace: orders",
    "pass_count: 3, pass_rate: 0.97, pass_through=true",
    "maxTokens: 800, tokenCount=7, tokens: Some(12), tokens: None",
    r#"{"prompt_tokens": 12, "token_count": "5"}"#,
    "token_ms=12.5ms, tokens: 12/50, password_bytes=3KiB",
    "Result { compass: \"north\", monkey: \"m\", passenger: \"anna\" }",
    "überfällig: 3 Aufträge – très lent ✓",
];

/// What fields are made of: put together, they are whole, broken or none.
const PIECES: &[&str] = &[
    "password",
    "DB_PASS",
    "pass",
    "tokens",
    "cookie",
    "authorization",
    "name",
    ".rs",
    ":",
    "=",
    " ",
    "\n",
    "\"",
    "'",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "Some",
    "b",
    "12",
    "a=1;",
    "basic ",
    "digest ",
    "[redacted]",
];

#[test]
fn planted_secrets_are_taken_out_and_the_rest_stays() {
    for (written, secret, kept) in PLANTED {
        assert!(written.contains(secret), "{written}");
        assert_eq!(text(written), *kept, "{written}");
        assert!(!kept.contains(secret), "{kept}");
    }
    assert!(PLANTED.len() >= 40);
}

#[test]
fn what_is_no_secret_stays() {
    for written in HARMLESS {
        assert_eq!(text(written), *written);
    }
}

#[test]
fn planted_secrets_are_taken_out_of_json_at_any_depth() {
    for (written, secret, _) in PLANTED {
        let mut value = json!([{"line": {"message": written, (*written): [1]}}]);
        super::json(&mut value);
        assert!(!value.to_string().contains(secret), "{value}");
    }
}

#[test]
fn ordinary_json_stays() {
    let ordinary = json!({
        "place": "src/cart.rs:41:9",
        "busy_ratio": 0.25,
        "input_tokens": 1170,
        "at_ms": 1_790_000_000_008_u64,
        "rows": [null, true, -3, {"state": "no_progress"}],
    });
    let mut value = ordinary.clone();
    json(&mut value);
    assert_eq!(value, ordinary);
}

#[test]
fn what_stands_under_a_secret_name_is_replaced_whatever_it_is() {
    let mut value =
        json!({"password": 4711, "credentials": {"user": "anna"}, "tokens": 7, "token": null, "Cookie": ["a"]});
    json(&mut value);
    let left = json!({"password": REDACTED, "credentials": REDACTED, "tokens": 7, "token": null, "Cookie": REDACTED});
    assert_eq!(value, left);
}

#[test]
fn a_name_that_measures_lets_only_numbers_stay() {
    let mut value = json!({
        "prompt_tokens": 12,
        "token_count": "5",
        "tokens": 1.5,
        "has_secret_count": true,
        "access_tokens": ["abc"],
        "secret_bytes": "abc",
        "key": {"secret_bytes": [104, 117]},
        "pass": 5,
        "pass_count": 3,
    });
    let mut left = value.clone();
    left["access_tokens"] = json!(REDACTED);
    left["secret_bytes"] = json!(REDACTED);
    left["key"]["secret_bytes"] = json!(REDACTED);
    json(&mut value);
    assert_eq!(value, left);
}

#[test]
fn a_pass_is_secret_in_json_unless_it_counts() {
    let mut value =
        json!({"user": "u", "pass": "hunter2", "smtp": {"pass": "123456"}, "DB_PASS": 123_456, "passed": "a"});
    json(&mut value);
    assert_eq!(
        value,
        json!({"user": "u", "pass": REDACTED, "smtp": {"pass": REDACTED}, "DB_PASS": REDACTED, "passed": "a"})
    );
}

#[test]
fn secrets_that_are_names_do_not_push_each_other_out() {
    let mut value = json!({"AKIAIOSFODNN7EXAMPLE": 1, "ASIAIOSFODNN7EXAMPLE": 2, "plain": 3});
    json(&mut value);
    assert_eq!(value, json!({"[redacted]": 1, "[redacted] (2)": 2, "plain": 3}));
}

#[test]
fn json_that_is_too_deep_is_replaced() {
    let mut value = json!("password=deep");
    for _ in 0..MAX_DEPTH + 10 {
        value = json!([value]);
    }
    json(&mut value);
    let text = value.to_string();
    assert!(text.contains(REDACTED) && !text.contains("deep"), "{text}");
}

#[test]
fn secret_names_are_found_in_any_case_and_place() {
    for name in [
        "dbPassword",
        "AUTHORIZATION",
        "x-api-key",
        "SENTRY_DSN",
        "otp",
        "user.jwt",
        "access_token",
        "sessionId",
        "clientSecret",
        "privateKey",
        "signingKey",
        "encryptionKey",
        "private_key",
        "signing_key",
        "encryption_key",
        "SIGNING-KEY",
        "apiKey",
        "DB_PASS",
        "db.pass",
        "dbPass",
        "DBPass",
        "userJwt",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "order",
        "tokens",
        "max_tokens",
        "token_count",
        "adsnap",
        "laptop",
        "password_length",
        "place",
        "maxTokens",
        "passed",
        "bypass",
        "BYPASS",
        "passes",
        "passenger",
        "compass",
        "keyspace",
        "pass_count",
        "private",
        "key",
        "all checks pass",
        "TOTPS",
        "",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
}

#[test]
fn the_hook_is_called_after_the_known_secrets_are_out() {
    let redactor = Redactor::new(|text| {
        assert!(!text.contains("hunter2"));
        *text = text.replace("Project Falcon", "[project]");
    });
    assert_eq!(redactor.text("Project Falcon: password=hunter2"), "[project]: password=[redacted]");
    let mut value = json!({"Project Falcon": ["of Project Falcon"]});
    redactor.json(&mut value);
    assert_eq!(value, json!({"[project]": ["of [project]"]}));
}

#[test]
fn a_hook_that_panics_leaves_nothing() {
    let redactor = Redactor::new(|_| panic!("no"));
    assert_eq!(redactor.text("Project Falcon"), REDACTED);
}

/// A kind that looked back would need hours for these.
#[test]
fn hostile_text_is_done_in_one_pass_a_kind() {
    const LENGTH: usize = 50_000;
    for part in [
        "://a:",
        "token",
        "token=",
        "token:\"",
        "eyJ",
        "a@",
        "a@a.",
        "4 ",
        "-----BEGIN PRIVATE KEY-----",
        "\\\"",
        "A1a",
        "Bearer ",
        "token=[",
        "tokens=[1,",
        "tokens: Some(",
        "token: T {",
        "token=\\",
        "token=(\\",
        "token=('",
        "tokens=1",
        "pass:",
        "pass:a",
    ] {
        let hostile = part.repeat(LENGTH / part.len());
        assert!(text(&hostile).len() <= hostile.len() * 3);
    }
}

proptest! {
    #[test]
    fn what_is_left_has_nothing_more_to_take_out(words in proptest::collection::vec(0..PLANTED.len() + HARMLESS.len(), 0..6)) {
        let words = words.iter().map(|number| PLANTED.get(*number).map_or_else(|| HARMLESS[number - PLANTED.len()], |planted| planted.0));
        let once = text(&words.collect::<Vec<_>>().join("\n"));
        prop_assert_eq!(text(&once), once);
    }

    /// Each time that a text is written as a part of another, its quotes and backslashes get backslashes.
    #[test]
    fn a_value_is_taken_out_whole_however_it_is_written(around in ".{0,12}", quotes in r#"["'\\\\(){}\[\]:=, \n]{0,8}"#, depth in 0..4) {
        let secret = format!("{quotes}{around}hunter2{quotes}hunter2{around}");
        let values = [
            format!("{secret:?}"),
            format!("{:?}", Some(Some(&secret))),
            format!("{:#?}", Some(&secret)),
            format!("{:?}", [("user", &secret), ("pass", &secret)]),
            format!("{:#?}", [("user", &secret)]),
            format!("Secret {{ inner: {secret:?} }}"),
            json!({"a": [secret, {"b": secret}]}).to_string(),
        ];
        for value in values {
            let mut written = format!("n: 1, password: {value}, n: 2");
            let mut left = "n: 1, password: [redacted], n: 2".to_owned();
            for _ in 0..depth {
                (written, left) = (format!("{written:?}"), format!("{left:?}"));
            }
            prop_assert_eq!(text(&written), left, "{}", written);
        }
    }

    #[test]
    fn pieces_of_fields_leave_nothing_more_to_take_out(pieces in proptest::collection::vec(0..PIECES.len(), 0..24)) {
        let once = text(&pieces.iter().map(|piece| PIECES[*piece]).collect::<String>());
        prop_assert_eq!(text(&once), once);
    }

    #[test]
    fn any_text_is_survived(any in ".{0,300}") {
        let _ = text(&any);
    }
}
