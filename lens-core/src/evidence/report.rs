//! What an investigation answers, whichever strategy made it. Separate because it is what is kept, sent and shown.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FalseFact, Finding, Insight, Severity};
use crate::capture::Capture;
use crate::sandbox::Sandbox;
use crate::time::Timestamp;

/// A diagnosis of one capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How it was made: `checks`.
    pub strategy: String,
    /// Why somebody asked, in their words; data, never an instruction.
    pub reason: Option<String>,
    /// The capture that all facts are true in.
    pub capture: String,
    /// The instant of that capture.
    pub captured_at: Timestamp,
    /// What ended it.
    pub ended_by: EndedBy,
    /// How long it took, in milliseconds.
    pub elapsed_ms: f64,
    /// What is wrong, the worst first.
    pub insights: Vec<Insight>,
    /// How many checks were evaluated.
    pub checked_count: usize,
    /// The checks that could not be evaluated on this service, and why.
    pub not_checked: Vec<NotChecked>,
    /// The checks that are wrong themselves.
    pub defects: Vec<Defect>,
}

/// What ended an investigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// All of it was done.
    Completion,
    /// Its time was up; what was found until then is in the report.
    Deadline,
    /// Somebody cancelled it.
    Cancellation,
}

impl EndedBy {
    /// The word by which it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Deadline => "deadline",
            Self::Cancellation => "cancellation",
        }
    }
}

/// A check that could not be evaluated, through no fault of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotChecked {
    /// The check.
    pub check: String,
    /// The skill that it belongs to.
    pub skill: String,
    /// What is missing, and how to get it.
    pub because: String,
}

/// A check that failed, was too slow, or stated what is not true. Nothing that it stated is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defect {
    /// The check.
    pub check: String,
    /// The skill that it belongs to.
    pub skill: String,
    /// What is wrong with it.
    pub why: String,
    /// The line of the check, if the error has one.
    pub line: Option<u32>,
}

impl Report {
    /// Everything that was found, the worst insight first, its root first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.insights.iter().flat_map(|insight| &insight.findings).map(|linked| &linked.finding)
    }

    /// The worst of what was found.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        self.insights.iter().map(|insight| insight.severity).max()
    }

    /// One word for the whole: `critical`, `warning`, `info` or `ok`; `unknown` if a check is defective or the report was
    /// not finished, and nothing worse was found.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.severity() {
            Some(severity) if severity > Severity::Info => severity.word(),
            _ if !self.defects.is_empty() || self.ended_by != EndedBy::Completion => "unknown",
            Some(severity) => severity.word(),
            None => "ok",
        }
    }

    /// Evaluates every fact again, over the report's capture or the file that it was saved to: how many there are, and
    /// those that are not true there.
    #[must_use]
    pub fn verify(&self, capture: &Arc<Capture>, sandbox: &Sandbox) -> (usize, Vec<FalseFact>) {
        let facts: Vec<_> = self.findings().flat_map(|finding| &finding.facts).collect();
        (facts.len(), facts.iter().filter_map(|fact| fact.verify(capture, sandbox).err()).collect())
    }
}
