//! Settings: what is read, and what is said of those that are wrong.

use super::*;

const FILE: &str = r#"
primary = "any"
classify = "cheap"

[[clients]]
name = "good"
provider = "anthropic"
model = "claude-sonnet-4-5"
key_env = "MY_KEY"
timeout = "30s"

[[clients]]
name = "cheap"
provider = "openai-generic"
model = "qwen3"
base_url = "http://127.0.0.1:8080/v1"
temperature = 0
schema = "prompt"
headers = { x-team = "orders" }

[[clients]]
name = "any"
provider = "fallback"
strategy = ["good", "turns"]

[[clients]]
name = "turns"
provider = "round-robin"
strategy = ["cheap", "good"]
"#;

fn built(settings: Settings, variables: &[(&str, &str)]) -> Result<String, String> {
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    settings.build_with(&variable).map(|models| models.name()).map_err(|error| error.to_string())
}

fn of_toml(text: &str) -> Result<String, String> {
    let settings = Settings::from_toml(text).map_err(|error| error.to_string())?;
    built(settings, &[("MY_KEY", "k-1"), ("OPENAI_API_KEY", "k-2")])
}

fn of_variables(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
    let all: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let settings = Settings::from_variables(&all).map_err(|error| error.to_string())?;
    settings.map(|settings| built(settings, variables)).transpose()
}

/// LLM-02, LLM-04: a file has clients, those that stand by and those that take turns, and says who answers.
#[test]
fn a_file_gives_clients_and_those_that_stand_by() {
    let name = "any (anthropic/claude-sonnet-4-5, turns (openai-generic/qwen3, anthropic/claude-sonnet-4-5))";
    assert_eq!(of_toml(FILE).as_deref(), Ok(name));
}

#[test]
fn one_client_needs_no_primary() {
    assert_eq!(of_toml("[[clients]]\nname='a'\nprovider='ollama'\nmodel='qwen3'").as_deref(), Ok("ollama/qwen3"));
}

/// LLM-02: what is wrong in a file is named, and never ignored.
#[test]
fn what_is_wrong_in_a_file_is_named() {
    let client = |more: &str| format!("[[clients]]\nname='a'\nprovider='openai'\nmodel='m'\n{more}");
    let cases = [
        ("primry = 'a'".to_owned(), "primry: there is no such field; did you mean `primary`?"),
        (client("modle = 'x'"), "clients[0].modle: there is no such field; did you mean `model`?"),
        // Which failures are tried again, and how often, is nothing that one client has.
        (
            client("retry_policy = 'x'"),
            "clients[0].retry_policy: there is no such field; there are name, provider, model, key, key_env, key_file, \
             base_url, timeout, temperature, top_p, schema, region, project, api_version, headers",
        ),
        (client("timeout = 60"), "clients[0].timeout: is no text; put it in quotes"),
        (client("timeout = 'soon'"), "clients[0].timeout: is no duration such as \"60s\""),
        (client("timeout = '0s'"), "clients[0].timeout: is no duration such as \"60s\""),
        (
            client("timeout = '18446744073709551615s 1000000000ns'"),
            "clients[0].timeout: is no duration such as \"60s\"",
        ),
        (client("temperature = 'hot'"), "clients[0].temperature: is no number"),
        (client("temperature = 3"), "client `a`, temperature: is not from 0 to 2"),
        (client("schema = 'both'"), "clients[0].schema: is neither \"field\" nor \"prompt\""),
        (client("key = 'a'\nkey_env = 'b'"), "clients[0].key_env: is one key too many"),
        (client("key_env = 'NO_KEY'"), "client `a`, key: is missing: the environment variable NO_KEY is not set"),
        (client("base_url = 'localhost:80'"), "client `a`, base_url: is no http or https URL"),
        (
            client("base_url = 'http://a:pw@b/'"),
            "client `a`, base_url: has credentials, a query or a fragment; give the key as `key`",
        ),
        (client("headers = { 'x y' = '1' }"), "client `a`, headers.x y: is no name of a header"),
        (
            client("[[clients]]\nname='a'\nprovider='openai'\nmodel='m'"),
            "clients: two are called `a`; give one of them another name",
        ),
        (
            client("[[clients]]\nname='b'\nprovider='openai'\nmodel='m'"),
            "primary: is missing; say which client answers",
        ),
        (client("[[clients]]\nname='b'\nprovider='openai'"), "clients[1].model: is missing"),
        (
            "[[clients]]\nname='a'\nprovider='antropic'\nmodel='m'".to_owned(),
            "clients[0].provider: there is no provider `antropic`; did you mean `anthropic`?",
        ),
        (
            "[[clients]]\nname='a'\nprovider='vertex-ai'\nmodel='m'".to_owned(),
            "client `a`, project: is missing; set it, or GOOGLE_CLOUD_PROJECT",
        ),
        (
            "[[clients]]\nname='a'\nprovider='aws-bedrock'\nmodel='m'".to_owned(),
            "client `a`, region: is missing; set it, or AWS_REGION",
        ),
        (
            "[[clients]]\nname='a'\nprovider='azure-openai'\nmodel='m'\nkey='k'".to_owned(),
            "client `a`, base_url: is missing; azure-openai has no usual place",
        ),
        (
            "[[clients]]\nname='a'\nprovider='anthropic'\nmodel='m'".to_owned(),
            "client `a`, key: is missing; set it, or the environment variable ANTHROPIC_API_KEY",
        ),
        (
            format!("primary='f'\n{}", client("[[clients]]\nname='f'\nprovider='fallback'\nstrategy=['b']")),
            "client `f`, strategy: there is no client `b`; did you mean `a`?",
        ),
        (
            "primary='f'\n[[clients]]\nname='f'\nprovider='fallback'\nstrategy=['f']".to_owned(),
            "client `f`, strategy: `f` stands for itself, by way of f",
        ),
        (
            format!("primary='f'\n{}", client("[[clients]]\nname='f'\nprovider='fallback'\nstrategy=['a', 'f']")),
            "client `f`, strategy: `f` stands for itself, by way of f",
        ),
        ("primary = 'a'".to_owned(), "clients: there is none; add one"),
        ("clients = 1".to_owned(), "clients: is no list of tables: write `[[clients]]`"),
    ];
    for (text, what) in cases {
        assert_eq!(of_toml(&text), Err(format!("the model's settings are wrong: {what}")), "{text}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_quoted_by_line_only() {
    let error = of_toml(&format!("primary = \"a\"\nkey = \"{KEY}\n")).unwrap_err();
    assert!(error.starts_with("the model's settings are wrong: line 2: this is no TOML: "), "{error}");
    assert!(!error.contains(KEY), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Settings::from_file("/nowhere/models.toml").unwrap_err();
    assert_eq!(error.to_string(), "the model's settings cannot be read from /nowhere/models.toml");
}

#[test]
fn the_environment_names_a_model_and_a_cheaper_one() {
    assert_eq!(of_variables(&[("HOME", "/root"), ("LENS_MODEL", "")]), Ok(None));
    let key = ("ANTHROPIC_API_KEY", "k-1");
    let named = of_variables(&[("LENS_MODEL", "anthropic/claude-haiku-4-5"), key]);
    assert_eq!(named, Ok(Some("anthropic/claude-haiku-4-5".to_owned())));
    let routed =
        of_variables(&[("LENS_MODEL", "openrouter/qwen/qwen3"), ("LENS_MODEL_KEY", "k"), ("LENS_MODEL_TIMEOUT", "9s")]);
    assert_eq!(routed, Ok(Some("openrouter/qwen/qwen3".to_owned())));
    let cheap = of_variables(&[("LENS_MODEL", "anthropic/a"), ("LENS_MODEL_CHEAP", "ollama/b"), key]);
    assert_eq!(cheap, Ok(Some("anthropic/a".to_owned())));
}

#[test]
fn what_is_wrong_in_the_environment_is_named() {
    let model = ("LENS_MODEL", "ollama/m");
    let cases: [(&[(&str, &str)], &str); 8] = [
        (
            &[("LENS_MODEL_CHEEP", "ollama/m"), model],
            "LENS_MODEL_CHEEP: there is no such variable; did you mean LENS_MODEL_CHEAP?",
        ),
        (&[("LENS_MODEL", "gpt-5")], "LENS_MODEL: is not `provider/model`, such as anthropic/claude-haiku-4-5"),
        (&[("LENS_MODEL", "olama/m")], "LENS_MODEL: there is no provider `olama`; did you mean `ollama`?"),
        (&[("LENS_MODEL_CHEAP", "ollama/m")], "LENS_MODEL_CHEAP: is set, and LENS_MODEL is not"),
        (&[model, ("LENS_MODEL_TIMEOUT", "x")], "LENS_MODEL_TIMEOUT: is no duration such as 60s"),
        (&[model, ("LENS_MODEL_FILE", "x")], "LENS_MODEL: is set, and LENS_MODEL_FILE too; unset one of them"),
        (
            &[("LENS_MODEL", "openai/m")],
            "client `primary`, key: is missing; set it, or the environment variable OPENAI_API_KEY",
        ),
        (
            &[("LENS_MODEL", "openai-generic/m")],
            "client `primary`, base_url: is missing; openai-generic has no usual place",
        ),
    ];
    for (variables, what) in cases {
        assert_eq!(of_variables(variables), Err(format!("the model's settings are wrong: {what}")), "{variables:?}");
    }
}

#[test]
fn the_environment_names_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), FILE).unwrap();
    let path = file.path().to_str().unwrap();
    let named = of_variables(&[("LENS_MODEL_FILE", path), ("MY_KEY", "k")]).unwrap().unwrap();
    assert!(named.starts_with("any (anthropic/"), "{named}");
    std::fs::write(file.path(), "clientz = 1").unwrap();
    let error = of_variables(&[("LENS_MODEL_FILE", path)]).unwrap_err();
    let what =
        format!("the model's settings are wrong: {path}, clientz: there is no such field; did you mean `clients`?");
    assert_eq!(error, what);
}
