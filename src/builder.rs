//! How a service starts lens. Separate because it is the one place where settings are checked and skills are chosen.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use lens_core::investigation::{Budget, Quota, Settings, Strategy};
use lens_core::sandbox::Limits;
use lens_core::{Check, Model, RegistryBuilder, Skill};
use lens_tokio::TaskMonitors;

use crate::error::Error;
use crate::handle::{self, Lens};
use crate::queries::Place;
use crate::replay::Replay;

/// Where lens listens unless [`Builder::address`] says otherwise: loopback only.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6670);

/// The environment variable that [`Builder::new`] takes the token from.
pub const TOKEN_VARIABLE: &str = "LENS_TOKEN";

type AddSkill = Box<dyn FnOnce(&mut RegistryBuilder) -> Result<(), lens_core::Error> + Send>;

/// Settings with which lens is started.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), lens::Error> {
/// let _lens = lens::Builder::new().address(([127, 0, 0, 1], 0)).start()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "lens does not run until `start` is called"]
pub struct Builder {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) token: Option<String>,
    /// The environment has a token that is no text.
    is_token_unreadable: bool,
    pub(crate) limits: Limits,
    pub(crate) is_isolated: bool,
    pub(crate) queries: Vec<(String, Place)>,
    pub(crate) skills: Vec<AddSkill>,
    pub(crate) runtimes: Vec<(String, tokio::runtime::Handle)>,
    pub(crate) task_monitors: TaskMonitors,
    pub(crate) asks_glibc: bool,
    pub(crate) records_panics: bool,
    pub(crate) checks: Vec<Check>,
    pub(crate) thresholds: Vec<(String, f64)>,
    pub(crate) investigations: Settings,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("address", &self.address)
            .field("has_token", &self.token.is_some())
            .field("limits", &self.limits)
            .field("own_skills", &self.skills.len())
            .field("queries", &self.queries.len())
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The default settings: every skill that is compiled in, listening on [`DEFAULT_ADDRESS`], with the token of
    /// [`TOKEN_VARIABLE`] if that is set.
    pub fn new() -> Self {
        Self::with_token_of(std::env::var_os(TOKEN_VARIABLE))
    }

    /// The default settings, with what the environment says of a token.
    fn with_token_of(variable: Option<OsString>) -> Self {
        let token = variable.filter(|token| !token.is_empty()).map(OsString::into_string).transpose();
        Self {
            address: Some(DEFAULT_ADDRESS),
            is_token_unreadable: token.is_err(),
            token: token.unwrap_or_default(),
            limits: Limits::default(),
            is_isolated: false,
            queries: Vec::new(),
            skills: Vec::new(),
            runtimes: Vec::new(),
            task_monitors: TaskMonitors::new(),
            asks_glibc: false,
            records_panics: false,
            checks: Vec::new(),
            thresholds: Vec::new(),
            investigations: Settings::default(),
        }
    }

    /// Listens on `address` instead of [`DEFAULT_ADDRESS`]; port 0 takes any free one, which [`Lens::address`] tells.
    ///
    /// Whatever the address, a peer that is not on this machine needs a token: see [`token`](Self::token).
    pub fn address(mut self, address: impl Into<SocketAddr>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Listens nowhere. Ask through [`Lens::query`] and [`Lens::router`].
    pub fn no_listener(mut self) -> Self {
        self.address = None;
        self
    }

    /// Sets the bearer token that lets requests in which do not come from this machine: those of a peer that is not
    /// loopback, those that a proxy says it forwarded, and those for a `Host` that is not local. Without one they are
    /// refused. A proxy on this machine that says nothing and changes the `Host` cannot be told from a person: keep lens's
    /// routes from it, or have it send `X-Forwarded-For`.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self.is_token_unreadable = false;
        self
    }

    /// Sets the limits of queries.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Runs each query in a process of its own, for scripts that nobody vouches for: what a model wrote, or anyone who may
    /// reach the service. The process is this program again, limited by the kernel and killed at the deadline, so that not
    /// even a defect of the interpreter can hurt the service. A query then takes some milliseconds longer; its answers and
    /// errors are the same. Saved queries are trusted and run here.
    ///
    /// [`worker`](crate::worker) must come first in `main`, so that the second process becomes a query and not the service.
    ///
    /// # Examples
    ///
    /// ```
    /// fn main() -> Result<(), lens::Error> {
    ///     lens::worker();
    ///     let lens = lens::Builder::new().no_listener().isolate_queries().start()?;
    ///     # drop(lens);
    ///     Ok(())
    /// }
    /// ```
    pub fn isolate_queries(mut self) -> Self {
        self.is_isolated = true;
        self
    }

    /// Saves a query: `GET /debug/lens/queries/{name}` answers `script`, as JSON or, with `?format=table`, as a table. The
    /// comment that the script begins with says what it is for. It is read and checked when lens starts, so a wrong one is
    /// an error of [`start`](Self::start).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), lens::Error> {
    /// let builder = lens::Builder::new().address(([127, 0, 0, 1], 0));
    /// let _lens = builder.query("stuck", "# Workers that make no progress.\nwhere(runtime.workers(), lambda w: w.state == \"no_progress\")").start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn query(mut self, name: impl Into<String>, script: impl Into<String>) -> Self {
        self.queries.push((name.into(), Place::Text(script.into())));
        self
    }

    /// Saves the query in a file, as [`query`](Self::query) does. The file is read once, when lens starts.
    pub fn query_file(mut self, name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.queries.push((name.into(), Place::File(file.into())));
        self
    }

    /// Adds a skill of the service's own. It gets all that the built-in ones have: queries, HTTP, series, reference.
    pub fn skill(mut self, skill: impl Skill) -> Self {
        self.skills.push(Box::new(move |registry| registry.skill(skill).map(|_| ())));
        self
    }

    /// Watches another runtime than the one in which [`start`](Self::start) is called.
    pub fn runtime(mut self, name: impl Into<String>, handle: tokio::runtime::Handle) -> Self {
        self.runtimes.push((name.into(), handle));
        self
    }

    /// Shows the service's own `tokio_metrics::TaskMonitor`s, which it registers there by name, as
    /// `runtime.task_monitors()`.
    pub fn task_monitors(mut self, monitors: &TaskMonitors) -> Self {
        self.task_monitors = monitors.clone();
        self
    }

    /// Lets the skill `heap` (feature `heap`) ask the C library how much of its own heap is free, whenever the skill is
    /// read. Off by default: `mallinfo2` holds the C library's locks for up to 130 ms on a large, fragmented heap, and
    /// whoever allocates through it waits.
    pub fn ask_glibc(mut self) -> Self {
        self.asks_glibc = true;
        self
    }

    /// Records panics, for the skill `panics` (feature `skills`). Off by default, because it adds a panic hook to the
    /// process, which calls the one that was there before. It stays when lens ends, and is added once. A hook that the
    /// service sets later should call the earlier one, or lens sees no more panics.
    pub fn record_panics(mut self) -> Self {
        self.records_panics = true;
        self
    }

    /// Adds a check of the service's own: a script that says what is wrong, in the form of [`checks`](crate::checks). It
    /// may ask every skill, the service's own included.
    ///
    /// # Examples
    ///
    /// ```
    /// let check = r#"
    /// ## More tasks are alive than this service ever needs.
    /// ##
    /// ## skills: runtime
    ///
    /// MOST = 500  # Ten for each of the fifty tenants.
    ///
    /// def main():
    ///     alive = sum([r.num_alive_tasks for r in runtime.stats()])
    ///     if alive <= MOST:
    ///         return []
    ///     shown = fact(f"{alive} tasks are alive", "sum([r.num_alive_tasks for r in runtime.stats()])")
    ///     return [finding("task_leak", "warning", [shown], "look for jobs that hang")]
    /// "#;
    /// # let check = check.trim_start();
    /// let lens = lens::Builder::new().no_listener().check("tenants", check).start()?;
    /// assert!(lens.findings().findings().all(|finding| finding.check != "tenants"));
    /// # Ok::<(), lens::Error>(())
    /// ```
    pub fn check(mut self, name: impl Into<Cow<'static, str>>, source: impl Into<Cow<'static, str>>) -> Self {
        self.checks.push(Check { name: name.into(), source: source.into() });
        self
    }

    /// Overrides a threshold of a check: `.threshold("blocking_call.MIN_MS", 250.0)`. What there is, its defaults and
    /// their reasons are listed at `/debug/lens/checks`.
    pub fn threshold(mut self, name: impl Into<String>, value: impl Into<f64>) -> Self {
        self.thresholds.push((name.into(), value.into()));
        self
    }

    /// Lets investigations ask a language model. It is asked on a thread of lens's own, within [`budget`](Self::budget), and
    /// only for the strategies that need one; nothing else of lens asks it.
    ///
    /// Without one, every investigation answers what the checks found.
    pub fn model(mut self, model: impl Model) -> Self {
        self.investigations.model = Some(Arc::new(model));
        self
    }

    /// How investigations are done that do not say so themselves: by [`Strategy::Checks`] unless set.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.investigations.strategy = strategy;
        self
    }

    /// What an investigation by a model may use that does not say so itself.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.investigations.budget = budget;
        self
    }

    /// What all investigations by a model may use together.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.investigations.quota = quota;
        self
    }

    /// Lets a model read the [free text](lens_core::skill#free-text) of a skill: messages of `logs` and `panics`. Whoever talks
    /// to the service may have written it. Without this, a model sees places, levels and counts of them only, and its scripts
    /// get an absent value instead of each text.
    pub fn share_text(mut self, skill: impl Into<String>) -> Self {
        self.investigations.shared_text.insert(skill.into());
        self
    }

    /// Takes out of every text what must not be sent to a model or kept of a conversation with it, beside the secrets that
    /// lens takes out itself.
    pub fn redact(mut self, redact: impl Fn(&mut String) + Send + Sync + 'static) -> Self {
        self.investigations.redactor = lens_core::redact::Redactor::new(redact);
        self
    }

    /// Starts lens on threads of its own. Called inside a tokio runtime, it watches that runtime.
    ///
    /// lens stops when the returned value is dropped.
    ///
    /// # Errors
    ///
    /// lens runs already, the address cannot be listened on, a skill's or a check's name is taken or unfit, a check is none,
    /// there is no such threshold or it is set to no number, the token can never match, a limit is 0, a saved query is
    /// wrong, or a thread cannot be started. Nothing is left running then.
    pub fn start(self) -> Result<Lens, Error> {
        if self.is_token_unreadable {
            return Err(Error::Setting {
                what: format!("the token in {TOKEN_VARIABLE} is not UTF-8 text; set another"),
            });
        }
        if self.token.as_deref().is_some_and(|token| !is_sendable(token)) {
            return Err(Error::Setting { what: format!("the token {UNSENDABLE}") });
        }
        let Limits { concurrency, abandoned, wall, work_wall, .. } = self.limits;
        let nothing = [
            ("concurrency", concurrency == 0),
            ("abandoned", abandoned == 0),
            ("wall", wall.is_zero()),
            ("work_wall", work_wall.is_zero()),
        ];
        if let Some((name, _)) = nothing.iter().find(|(_, is_zero)| *is_zero) {
            return Err(Error::Setting {
                what: format!("`Limits::{name}` is 0, so no query could run; set it to more"),
            });
        }
        if self.token.as_deref().is_some_and(|token| token.len() < MIN_TOKEN_LETTERS) {
            return Err(Error::Setting {
                what: format!(
                    "the token is shorter than {MIN_TOKEN_LETTERS} letters and could be guessed; take a longer one"
                ),
            });
        }
        handle::start(self)
    }

    /// Opens a saved capture instead of looking at this process; of the settings, only limits, skills, checks and thresholds
    /// count. A skill of
    /// the service's own answers if it is [added](Self::skill) here too.
    ///
    /// # Errors
    ///
    /// The file is no capture, is truncated, or was written by a newer lens; or a skill's name is taken or unfit.
    pub fn open(self, file: impl std::io::Read) -> Result<Replay, Error> {
        Replay::open(self, file)
    }

    /// Reads another process's console server, such as a service with `console-subscriber` and without lens, instead of
    /// looking at this process. Of the settings, only the limits count. The caller waits, for
    /// [`REMOTE_DEADLINE`](lens_tokio::console::REMOTE_DEADLINE) at most.
    ///
    /// # Errors
    ///
    /// There is no such server, it does not answer in time, or it answers something else.
    #[cfg(feature = "console")]
    pub fn open_console(self, address: &str) -> Result<Replay, Error> {
        Replay::console(&self, address)
    }
}

/// The shortest token that is accepted.
const MIN_TOKEN_LETTERS: usize = 16;

/// What is wrong with a token that is not [`is_sendable`].
pub(crate) const UNSENDABLE: &str =
    "can never match: it must be visible ASCII letters, with no blank or line end before or after them";

/// Whether a request can hold the token: a header is ASCII, and loses what is blank around its value.
pub(crate) fn is_sendable(token: &str) -> bool {
    token.trim() == token && token.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_can_never_match_is_refused() {
        for token in [
            "correct horse battery\n",
            " correct horse battery",
            "correct\nhorse battery",
            "correct hors\u{e9} battery",
        ] {
            let refused = Builder::new().no_listener().token(token).start().unwrap_err();
            assert_eq!(refused.to_string(), format!("the token {UNSENDABLE}"), "{token:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_token_of_the_environment_that_is_no_text_is_refused_unless_another_is_set() {
        use std::os::unix::ffi::OsStringExt;

        let given = || Builder::with_token_of(Some(std::ffi::OsString::from_vec(vec![0xff; 20]))).no_listener();
        assert_eq!(given().start().unwrap_err().to_string(), "the token in LENS_TOKEN is not UTF-8 text; set another");
        assert!(!given().token("correct horse battery").is_token_unreadable);
        assert_eq!(Builder::with_token_of(Some("".into())).token, None);
        assert_eq!(Builder::with_token_of(Some("x".into())).token.as_deref(), Some("x"));
    }

    #[test]
    fn limits_of_nothing_are_refused() {
        type Set = fn(&mut Limits);
        let nothing: [(&str, Set); 4] = [
            ("concurrency", |limits| limits.concurrency = 0),
            ("abandoned", |limits| limits.abandoned = 0),
            ("wall", |limits| limits.wall = std::time::Duration::ZERO),
            ("work_wall", |limits| limits.work_wall = std::time::Duration::ZERO),
        ];
        for (name, set) in nothing {
            let mut limits = Limits::default();
            set(&mut limits);
            let refused = Builder::new().no_listener().limits(limits).start().unwrap_err();
            assert_eq!(refused.to_string(), format!("`Limits::{name}` is 0, so no query could run; set it to more"));
        }
    }
}
