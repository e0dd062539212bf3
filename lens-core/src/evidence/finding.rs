//! What one check found: a cause, a place, and the facts that show it. Separate from the insight because a finding is of one
//! check, and says nothing of others.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cause, Fact};
use crate::time::Timestamp;

/// The most findings that a check may state; the rest of a longer list is a defect of the check.
pub(crate) const MAX_FINDINGS: usize = 20;

/// The most facts of a finding.
pub(crate) const MAX_FACTS: usize = 10;

/// What a finding says instead of a check if a model stated it.
pub(crate) const STATED_BY_MODEL: &str = "model";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nobody needs to act.
    Info,
    /// The service is worse than it should be, or will be.
    Warning,
    /// The service does not do its work, or will soon stop to.
    Critical,
}

impl Severity {
    /// The word by which it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check that found it; `model` if a model stated it.
    pub check: String,
    /// The skill that the check belongs to, or that the model looked into.
    pub skill: String,
    /// Why.
    pub cause: Cause,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence: the text of the first fact.
    pub summary: String,
    /// The line of the service that does it, as exactly as it is known: `"src/cart.rs:41:9"`.
    pub place: Option<String>,
    /// Where the tasks were spawned that do it.
    pub spawned_at: Vec<String>,
    /// Where the locks, semaphores and channels were created that it is about.
    pub created_at: Vec<String>,
    /// The tasks that it is about.
    pub tasks: Vec<u64>,
    /// Since when, at the latest.
    pub since: Option<Timestamp>,
    /// What shows it; never empty.
    pub facts: Vec<Fact>,
    /// What may be behind it, and may be wrong.
    pub hypothesis: Option<String>,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// The skills that its facts ask.
    pub fn skills(&self) -> impl Iterator<Item = &str> {
        self.facts.iter().flat_map(|fact| &fact.skills).map(String::as_str)
    }
}

/// A finding as a check states it, before anybody has looked whether it is true.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stated {
    pub(crate) cause: Cause,
    pub(crate) severity: Severity,
    pub(crate) facts: Vec<StatedFact>,
    pub(crate) remedy: String,
    #[serde(default)]
    pub(crate) place: Option<String>,
    #[serde(default)]
    pub(crate) spawned_at: Vec<String>,
    #[serde(default)]
    pub(crate) created_at: Vec<String>,
    #[serde(default)]
    pub(crate) tasks: Vec<u64>,
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    #[serde(default)]
    pub(crate) hypothesis: Option<String>,
}

/// A sentence that a check claims to be a fact.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatedFact {
    pub(crate) text: String,
    pub(crate) expr: String,
}
