//! A saved capture, opened again: the same questions, asked of a file. Separate from the running lens because nothing here
//! touches a live process.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use lens_core::evidence::FalseFact;
use lens_core::sandbox::{Limits, Outcome, QueryError, Sandbox};
use lens_core::{Capture, Checks, RegistryBuilder, Report};

use crate::builder::Builder;
use crate::error::Error;
use crate::investigations::Investigations;
use crate::own::Own;
use crate::skills::Sources;

/// A capture that was saved by [`Capture::save`] or downloaded from `/debug/lens/capture`.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let incident = lens::Builder::new().open(std::fs::File::open("incident.json")?)?;
/// println!("{:#}", incident.query("runtime.workers()")?.value);
/// # Ok(())
/// # }
/// ```
pub struct Replay {
    capture: Arc<Capture>,
    sandbox: Sandbox,
    investigations: Investigations,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("capture", &self.capture).finish_non_exhaustive()
    }
}

impl Replay {
    pub(crate) fn open(builder: Builder, file: impl Read) -> Result<Self, Error> {
        let sandbox = Sandbox::new(builder.limits);
        let mut registry = RegistryBuilder::for_captures();
        registry.skill(Own::new(&Arc::default(), &sandbox, &Arc::default()))?;
        crate::skills::add(&mut registry, Sources::default())?;
        for add in builder.skills {
            add(&mut registry)?;
        }
        let registry = Arc::new(registry.build());
        let investigations = Investigations::new(Checks::new(&registry, &builder.checks, &builder.thresholds)?);
        let capture = Arc::new(Capture::open(&registry, file)?);
        Ok(Self { capture, sandbox, investigations })
    }

    /// What another process's console server knows, as a capture with the one skill `console`.
    #[cfg(feature = "console")]
    pub(crate) fn console(builder: &Builder, address: &str) -> Result<Self, Error> {
        let state = lens_tokio::console::read_server(address).map_err(|reason| Error::Console { reason })?;
        let mut registry = RegistryBuilder::new();
        registry.skill(lens_tokio::ConsoleSkill::of(state))?;
        let registry = Arc::new(registry.build());
        let investigations = Investigations::new(Checks::new(&registry, &[], &[])?);
        let capture = Arc::new(Capture::frozen(&registry, &Arc::new(lens_core::Recorder::new())));
        Ok(Self { capture, sandbox: Sandbox::new(builder.limits.clone()), investigations })
    }

    /// The capture.
    #[must_use]
    pub fn capture(&self) -> &Arc<Capture> {
        &self.capture
    }

    /// The limits of its queries.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.sandbox.limits()
    }

    /// Runs every check over the capture: what was wrong. The caller waits.
    #[must_use]
    pub fn findings(&self) -> Report {
        self.investigations.examine(&self.capture)
    }

    /// Evaluates each fact of a report again over the capture: how many there are, and those that are not true in it.
    #[must_use]
    pub fn verify(&self, report: &Report) -> (usize, Vec<FalseFact>) {
        report.verify(&self.capture, &self.sandbox)
    }

    /// Says what is wrong with a script without running it; the caller waits.
    ///
    /// # Errors
    ///
    /// The script could not be checked: too many queries are running.
    pub fn check(&self, script: &str) -> Result<Vec<QueryError>, Box<QueryError>> {
        self.sandbox.check(script, self.capture.registry()).map_err(Box::new)
    }

    /// Evaluates a script over the capture; the caller waits.
    ///
    /// # Errors
    ///
    /// The script is wrong, goes past a limit, or asks for what the capture does not have.
    pub fn query(&self, script: &str) -> Result<Outcome, Box<QueryError>> {
        self.sandbox.run(script, Arc::clone(&self.capture)).map_err(Box::new)
    }
}
