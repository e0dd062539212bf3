//! Whom the command asks: a service over HTTP, or a capture in a file. Separate because everything above treats both
//! alike.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use lens_core::sandbox::QueryErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};

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
        let answer = self.fetch("/query?check=true", Some(script))?;
        let errors = answer["errors"].as_array().into_iter().flatten();
        Ok(errors.filter_map(|error| error["rendered"].as_str().map(str::to_owned)).collect())
    }

    fn reference(&self) -> Result<Reference, Failure> {
        read(self.fetch("/reference?format=json", None)?)
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    let newer = |error| Failure::Service(format!("the service answers as another version of lens does: {error}"));
    serde_json::from_value(answer).map_err(newer)
}

/// The URL of lens's first page that a person meant: a port, a host, or the whole.
fn full(given: &str) -> Result<String, Failure> {
    let given = given.trim().trim_end_matches('/');
    if given.starts_with("https://") {
        return Err(Failure::Command(
            "lens speaks plain HTTP, and so does this command; ask through a tunnel, as in `ssh -L 6670:127.0.0.1:6670 host`"
                .to_owned(),
        ));
    }
    let rest = given.strip_prefix("http://").unwrap_or(given);
    let is_port = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    let rest = if is_port { format!("127.0.0.1:{rest}") } else { rest.to_owned() };
    if rest.is_empty() || rest.contains(char::is_whitespace) {
        return Err(Failure::Command(format!("{given:?} is no address; write it as in `lens 127.0.0.1:6670`")));
    }
    let (host, path) = rest.split_once('/').map_or((rest.as_str(), "debug/lens"), |(host, path)| (host, path));
    let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
    let port = if has_port { "" } else { ":6670" };
    Ok(format!("http://{host}{port}/{path}"))
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
        assert!(full("https://a").contains("plain HTTP"));
        assert!(full("").contains("no address"));
    }
}
