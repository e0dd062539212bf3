//! Whom the command asks: a service over HTTP, or a capture in a file. Separate because everything above treats both
//! alike.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use lens_core::sandbox::QueryErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::builder::{UNSENDABLE, is_sendable};
use crate::replay::Replay;
use lens_core::reference::Reference;

/// How long a service may take to answer: longer than any of its own limits.
const DEADLINE: Duration = Duration::from_secs(40);

/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// Whoever answers queries.
pub(super) trait Target {
    /// The answer to a script.
    fn ask(&self, script: &str) -> Result<Reply, Failure>;

    /// What is wrong with a script, as it is shown to people.
    fn check(&self, script: &str) -> Result<Vec<String>, Failure>;

    /// What can be asked.
    fn reference(&self) -> Result<Reference, Failure>;
}

/// An answer, with what belongs to it.
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    pub(super) value: Value,
    #[serde(default)]
    pub(super) columns: Vec<String>,
    pub(super) printed: Vec<String>,
    pub(super) cost: Value,
    pub(super) captured_at: String,
    /// What the answer could not see.
    #[serde(default)]
    pub(super) coverage: Vec<Value>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The query: what is wrong with it, as it is shown.
    Query(String),
    /// The command, or a file that it names.
    Command(String),
    /// The service is not there, or refuses.
    Service(String),
}

impl Failure {
    /// The process's exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Query(_) => 1,
            Self::Command(_) => 2,
            Self::Service(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(text) => f.write_str(text),
            Self::Command(text) | Self::Service(text) => write!(f, "error: {text}"),
        }
    }
}

/// A running service.
pub(super) struct Remote {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Remote {
    pub(super) fn new(url: &str, token: Option<String>) -> Result<Self, Failure> {
        let base = full(url)?;
        let token = token.filter(|token| !token.is_empty());
        if token.as_deref().is_some_and(|token| !is_sendable(token)) {
            return Err(Failure::Command(format!("the token {UNSENDABLE}")));
        }
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(DEADLINE))
            .timeout_connect(Some(Duration::from_secs(5)))
            .proxy(None)
            .build()
            .into();
        Ok(Self { base, token, agent })
    }

    /// Where it is, for a person.
    pub(super) fn name(&self) -> String {
        self.base.clone()
    }

    fn fetch(&self, path: &str, body: Option<&str>) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.base);
        let unreachable = |error: ureq::Error| {
            Failure::Service(format!(
                "{url} does not answer: {error}\n = help: is the service running, with lens started? give its address, as \
                 in `lens 127.0.0.1:6670`"
            ))
        };
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let response = match body {
            Some(body) => {
                let request = self.agent.post(&url).header("accept", "application/json");
                let request = request.header("content-type", "text/plain");
                let request = match &bearer {
                    Some(bearer) => request.header("authorization", bearer),
                    None => request,
                };
                request.send(body)
            }
            None => {
                let request = self.agent.get(&url).header("accept", "application/json");
                let request = match &bearer {
                    Some(bearer) => request.header("authorization", bearer),
                    None => request,
                };
                request.call()
            }
        };
        let mut response = response.map_err(unreachable)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string().map_err(unreachable)?;
        let no_lens =
            |_| Failure::Service(format!("{url} answers {status}, but not as lens does; is the address right?"));
        let answer: Value = serde_json::from_str(&text).map_err(no_lens)?;
        if status == 200 { Ok(answer) } else { Err(refused(&answer, status)) }
    }
}

/// The failure that a problem stands for.
fn refused(problem: &Value, status: u16) -> Failure {
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    if let Some(rendered) = text("rendered") {
        return Failure::Query(rendered);
    }
    let detail = text("detail").unwrap_or_else(|| format!("the service answers {status}"));
    Failure::Service(match text("fix") {
        Some(fix) => format!("{detail}\n = help: {fix}"),
        None => detail,
    })
}

impl Target for Remote {
    fn ask(&self, script: &str) -> Result<Reply, Failure> {
        let answer = self.fetch("/query", Some(script))?;
        read(answer)
    }

    fn check(&self, script: &str) -> Result<Vec<String>, Failure> {
        let checked: Checked = read(self.fetch("/query?check=true", Some(script))?)?;
        if checked.ok != checked.errors.is_empty() {
            return Err(another("`ok` and `errors` contradict each other"));
        }
        Ok(checked.errors.into_iter().map(|error| error.rendered).collect())
    }

    fn reference(&self) -> Result<Reference, Failure> {
        read(self.fetch("/reference?format=json", None)?)
    }
}

/// What is wrong with a script, as the service says it.
#[derive(Deserialize)]
struct Checked {
    ok: bool,
    errors: Vec<Wrong>,
}

#[derive(Deserialize)]
struct Wrong {
    rendered: String,
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    // A list would be read as the fields in their order.
    if !answer.is_object() {
        return Err(another("the answer is no object"));
    }
    serde_json::from_value(answer).map_err(another)
}

fn another(why: impl fmt::Display) -> Failure {
    Failure::Service(format!("the service answers as another version of lens does: {why}"))
}

/// The URL of lens's first page that a person meant: a port, a host, or the whole.
fn full(given: &str) -> Result<String, Failure> {
    let wrong = |why: &str| {
        Err(Failure::Command(format!("{given:?} is no address: {why}; write it as in `lens 127.0.0.1:6670`")))
    };
    let given = given.trim();
    let (scheme, rest) = given.split_once("://").unwrap_or(("http", given));
    if scheme.eq_ignore_ascii_case("https") {
        return Err(Failure::Command(
            "lens speaks plain HTTP, and so does this command; ask through a tunnel, as in `ssh -L 6670:127.0.0.1:6670 host`"
                .to_owned(),
        ));
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return wrong("lens speaks plain HTTP only");
    }
    let rest = rest.trim_end_matches('/');
    let is_port = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    let rest = if is_port { format!("127.0.0.1:{rest}") } else { rest.to_owned() };
    if rest.contains(char::is_whitespace) {
        return wrong("it has a blank in it");
    }
    let (place, path) = rest.split_once('/').map_or((rest.as_str(), "debug/lens"), |(place, path)| (place, path));
    let (host, port) = match place.rsplit_once(':') {
        // These colons are the host's own.
        Some((_, end)) if end.ends_with(']') => (place, None),
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    if host.is_empty() {
        return wrong("it has no host");
    }
    if host.contains(':') && !host.starts_with('[') {
        return wrong("an IPv6 address stands in brackets, as in `[::1]:6670`");
    }
    let port = port.unwrap_or("6670");
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    if !is_port {
        return wrong("its port is no number from 1 to 65535");
    }
    let url = format!("http://{host}:{port}/{path}");
    if url.parse::<ureq::http::Uri>().is_err() {
        return wrong("it is no URL");
    }
    Ok(url)
}

/// A capture in this process: one that was saved, or what a console server told.
pub(super) struct Local(Replay);

impl Local {
    pub(super) fn open(file: &Path) -> Result<Self, Failure> {
        let why = |error: &dyn std::error::Error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            Failure::Command(format!("{} cannot be opened: {error}{cause}", file.display()))
        };
        let opened = std::fs::File::open(file).map_err(|error| why(&error))?;
        crate::Builder::new().open(std::io::BufReader::new(opened)).map(Self).map_err(|error| why(&error))
    }
}

#[cfg(feature = "console")]
impl Local {
    pub(super) fn console(address: &str) -> Result<Self, Failure> {
        crate::Builder::new().open_console(address).map(Self).map_err(|error| Failure::Service(error.to_string()))
    }
}

impl Target for Local {
    fn ask(&self, script: &str) -> Result<Reply, Failure> {
        let outcome = self.0.query(script).map_err(|error| Failure::Query(error.to_string()))?;
        Ok(Reply {
            value: outcome.value,
            columns: outcome.columns,
            printed: outcome.printed,
            cost: json!({
                "elapsed_ms": lens_core::time::millis(outcome.cost.elapsed),
                "steps": outcome.cost.steps,
                "heap_bytes": outcome.cost.heap_bytes,
            }),
            captured_at: self.0.capture().at().to_string(),
            coverage: Vec::new(),
        })
    }

    fn check(&self, script: &str) -> Result<Vec<String>, Failure> {
        match self.0.check(script) {
            Ok(errors) => Ok(errors.iter().map(ToString::to_string).collect()),
            Err(error) if error.kind == QueryErrorKind::Overloaded => Err(Failure::Service(error.to_string())),
            Err(error) => Err(Failure::Query(error.to_string())),
        }
    }

    fn reference(&self) -> Result<Reference, Failure> {
        Ok(Reference::of(self.0.capture().registry()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_a_host_and_a_whole_url_are_addresses() {
        let full = |given: &str| full(given).unwrap_or_else(|failure| failure.to_string());
        assert_eq!(full("7000"), "http://127.0.0.1:7000/debug/lens");
        assert_eq!(full("box"), "http://box:6670/debug/lens");
        assert_eq!(full("[::1]:80/"), "http://[::1]:80/debug/lens");
        assert_eq!(full("[::1]"), "http://[::1]:6670/debug/lens");
        assert_eq!(full("http://a:1/internal/lens/"), "http://a:1/internal/lens");
        assert_eq!(full("HTTP://a:1"), "http://a:1/debug/lens");
        for given in ["https://a", "HTTPS://a", "ftp://a"] {
            assert!(full(given).contains("plain HTTP"), "{given}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (given, why) in [
            ("", "it has no host"),
            ("http://", "it has no host"),
            ("a b", "it has a blank in it"),
            ("::1", "an IPv6 address stands in brackets, as in `[::1]:6670`"),
            ("99999", "its port is no number from 1 to 65535"),
            ("a:99999", "its port is no number from 1 to 65535"),
            ("a:0", "its port is no number from 1 to 65535"),
            ("a:", "its port is no number from 1 to 65535"),
            ("a:+1", "its port is no number from 1 to 65535"),
            ("a{", "it is no URL"),
        ] {
            let failure = full(given).unwrap_err();
            let expected = format!("error: {given:?} is no address: {why}; write it as in `lens 127.0.0.1:6670`");
            assert_eq!((failure.code(), failure.to_string()), (2, expected));
        }
    }

    #[test]
    fn a_token_that_no_header_holds_is_refused() {
        for token in ["a\nb", " a", "a ", "\u{e9}"] {
            let failure = Remote::new("a", Some(token.to_owned())).err().unwrap();
            assert_eq!(failure.code(), 2, "{token:?}");
            assert_eq!(failure.to_string(), format!("error: the token {UNSENDABLE}"), "{token:?}");
        }
        assert!(Remote::new("a", Some("correct horse".to_owned())).is_ok());
    }
}
