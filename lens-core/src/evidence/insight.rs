//! One incident: its root cause with what follows from it. Separate from the finding because this is what a person reads
//! first.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cause, Finding, Severity};
use crate::time::Timestamp;

/// How the findings of an insight hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correlation {
    /// They are about the same task, place or resource, and one makes the other.
    Causal,
    /// One is a known effect of the other, which is there at the same time.
    Symptomatic,
    /// They began together.
    Temporal,
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Causal => "causal",
            Self::Symptomatic => "symptomatic",
            Self::Temporal => "temporal",
        })
    }
}

/// How sure the explanation is. Computed from what shows it, never claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Something is wrong, and why is not known: the answer is inconclusive.
    Low,
    /// The cause is known from one skill, or its place is not known.
    Medium,
    /// Facts of several skills agree, and the place is known.
    High,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

/// Why a finding is part of an insight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// How it hangs together with the finding that explains it.
    pub correlation: Correlation,
    /// Which finding of the insight explains it: an index into [`Insight::findings`].
    pub explained_by: usize,
    /// What they have in common, in one sentence.
    pub because: String,
}

/// A finding in an insight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linked {
    /// Why it is here; `None` for the root.
    pub link: Option<Link>,
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
}

/// One incident, explained as far as facts go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Insight {
    /// How bad it is: the worst of its findings.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub summary: String,
    /// Why; `None` if only symptoms were found, and the answer is inconclusive.
    pub root_cause: Option<Cause>,
    /// The line that does it, as exactly as it is known.
    pub place: Option<String>,
    /// Since when, at the latest: the earliest of its findings.
    pub since: Option<Timestamp>,
    /// What to do.
    pub remedy: String,
    /// How the findings hang together; `None` for a single one.
    pub correlation: Option<Correlation>,
    /// Whether facts of two skills or more show it.
    pub grounded: bool,
    /// How sure it is.
    pub confidence: Confidence,
    /// The root first, then what follows from it.
    pub findings: Vec<Linked>,
}

impl Insight {
    /// The finding that explains the others.
    ///
    /// # Panics
    ///
    /// Never: an insight is made of at least one finding.
    #[must_use]
    pub fn root(&self) -> &Finding {
        &self.findings[0].finding
    }

    /// What follows from the root.
    pub fn symptoms(&self) -> impl Iterator<Item = &Linked> {
        self.findings.iter().skip(1)
    }
}
