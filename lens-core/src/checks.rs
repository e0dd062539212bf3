//! Checks: Starlark scripts that say what is wrong in a capture. Separate from the sandbox, which knows nothing of them,
//! and from the evidence, which does not care who states it: here scripts are read, run and held to what they state.
//!
//! A check is a file beside its skill, one a cause:
//!
//! ```text
//! # A poll waits in a system call and keeps its worker.     the reference: a first sentence, then what it looks at
//! #
//! # skills: stalls, runtime                                 what it asks; without them it is not checked, and says so
//!
//! MIN_MS = 100  # A shorter stall is not noticed by users.  its thresholds, which a service can override
//!
//! def main():
//!     return [finding("blocking_call", "warning", [fact("…", "stalls.now()[0].duration_ms")], "use …")]
//! ```

mod run;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::error::{Error, nearest};
use crate::evidence::Cause;
use crate::registry::Registry;

pub use run::{CHECKS_DEADLINE, Cancel, Examination};
use source::Parsed;
pub use source::{Check, MAX_CHECK_BYTES, Threshold};

/// The most checks that a service has, its own included.
pub const MAX_CHECKS: usize = 200;

/// Every check of a lens, with its thresholds as the service wants them.
#[derive(Debug, Default)]
pub struct Checks {
    checks: Vec<Parsed>,
}

/// What the reference says of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReference {
    /// Its name: the file's, without the extension.
    pub name: String,
    /// The skill that it belongs to; `service` for one of the service's own.
    pub skill: String,
    /// What it finds, and how: the comment that it starts with.
    pub doc: String,
    /// The skills that it asks.
    pub skills: Vec<String>,
    /// From where on something is wrong.
    pub thresholds: Vec<Threshold>,
    /// The script itself.
    pub source: String,
}

impl Checks {
    /// The checks of the registry's skills and the service's `own` ones, with `thresholds` (`"check.NAME"`) overridden.
    ///
    /// # Errors
    ///
    /// Two checks have one name, one is not in the form of a check, or there is no such threshold, or it is set to no finite
    /// number.
    pub fn new(registry: &Registry, own: &[Check], thresholds: &[(String, f64)]) -> Result<Self, Error> {
        let of_skills = registry
            .entries()
            .flat_map(|entry| entry.checks().iter().map(|check| (entry.about().name.to_string(), check)));
        let own = own.iter().map(|check| (OWN.to_owned(), check));
        let mut checks: BTreeMap<String, Parsed> = BTreeMap::new();
        for (skill, check) in of_skills.chain(own) {
            let parsed = Parsed::new(skill, check)?;
            if let Some(known) = checks.insert(parsed.name.clone(), parsed) {
                let why = "there is another one of this name".to_owned();
                return Err(Error::Check { name: known.name, why });
            }
        }
        if checks.len() > MAX_CHECKS {
            let why = format!("it is one of {}, and there may be {MAX_CHECKS}", checks.len());
            return Err(Error::Check { name: checks.pop_last().map(|(name, _)| name).unwrap_or_default(), why });
        }
        for (name, value) in thresholds {
            if !value.is_finite() {
                return Err(Error::ThresholdValue { name: name.clone(), value: *value });
            }
            let found =
                name.split_once('.').and_then(|(check, threshold)| Some(checks.get_mut(check)?.set(threshold, *value)));
            if found != Some(true) {
                let known: Vec<String> = checks.values().flat_map(Parsed::threshold_names).collect();
                let nearest = nearest(name, known.iter().map(String::as_str));
                return Err(Error::Threshold { name: name.clone(), nearest });
            }
        }
        Ok(Self { checks: checks.into_values().collect() })
    }

    /// What each check finds, and from where on.
    #[must_use]
    pub fn references(&self) -> Vec<CheckReference> {
        self.checks.iter().map(Parsed::reference).collect()
    }

    /// The skills whose checks find `cause`: what shows it. Empty for a cause that no check finds.
    pub(crate) fn skills_of(&self, cause: Cause) -> BTreeSet<&str> {
        let word = format!("\"{}\"", cause.word());
        let finding = self.checks.iter().filter(|check| check.script.contains(&word));
        let skills = finding.flat_map(|check| match check.skill.as_str() {
            OWN => check.skills.iter().map(String::as_str).collect(),
            skill => vec![skill],
        });
        skills.collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.checks.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }
}

/// Whose the service's own checks are.
const OWN: &str = "service";

#[cfg(test)]
mod tests;
