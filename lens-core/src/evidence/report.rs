//! What an investigation answers, whichever strategy made it. Separate because it is what is kept, sent and shown.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fact, FalseFact, Finding, Insight, Severity};
use crate::capture::Capture;
use crate::model::ErrorClass;
use crate::sandbox::Sandbox;
use crate::time::Timestamp;

/// A diagnosis of one capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How it was made: `checks`, `pipeline`, `agent_loop`, or a strategy of the service's own.
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
    /// What a model did for it; `None` where none was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelPart>,
}

/// What a model did for a report, and what that took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPart {
    /// The models that answered: `provider/model`.
    pub models: Vec<String>,
    /// What it took.
    pub spent: Spent,
    /// Skills that the model looked into, and how that ended.
    pub operators: Vec<Operated>,
    /// Skills that the model or the request named and that there are none of.
    pub unknown_skills: Vec<String>,
    /// The answer to a question, if one was asked.
    pub answer: Option<Answered>,
    /// The captures that its facts are true in, the report's own first.
    pub captures: Vec<String>,
    /// An investigation that is to follow: its id among the schedules.
    pub follow_up: Option<String>,
}

/// What an investigation by a model took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Turns of all loops.
    pub iterations: u32,
    /// Calls of the model, retries and compactions included.
    pub requests: u32,
    /// Calls that were tried again.
    pub retries: u32,
    /// Tokens of prompts, as the provider counts them.
    pub input_tokens: u64,
    /// Tokens of answers, as the provider counts them.
    pub output_tokens: u64,
    /// Tokens of requests whose provider gave no count, or that may have been read and came to nothing: bytes of the prompt by
    /// four, and the most that the answer may have.
    pub estimated_tokens: u64,
    /// Actions that looked at the service.
    pub tool_calls: u32,
    /// Rows that those gave.
    pub rows: u64,
    /// Conversations that were shortened.
    pub compactions: u32,
    /// Facts that the model stated and that were not true, not known or not borne out; none of them is in the report.
    pub refused_facts: u32,
}

impl Spent {
    /// All tokens.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens).saturating_add(self.estimated_tokens)
    }
}

/// How a model's look into one skill ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operated {
    /// The skill.
    pub skill: String,
    /// How the skill's area is: what the model says, and not better than what the checks found.
    pub state: HealthState,
    /// What ended it; `None` if it was still under way when the investigation ended.
    pub ended_by: Option<EndedBy>,
    /// How many findings it added.
    pub findings: usize,
}

/// How an area of a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Nothing is wrong.
    #[default]
    Healthy,
    /// Something is worth watching.
    Observing,
    /// The service is worse than it should be, or will be.
    Warning,
    /// The service does not do its work, or will soon stop to.
    Critical,
}

impl HealthState {
    /// The word by which it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Observing => "observing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// What a finding of this severity makes of its area, at least.
    #[must_use]
    pub const fn floor(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Observing,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// What was asked; data, never an instruction.
    pub question: String,
    /// The answer, sentence by sentence, each with its proof; empty if nothing could be shown.
    pub facts: Vec<Fact>,
    /// What may be added, and may be wrong.
    pub hypothesis: Option<String>,
}

/// What ended an investigation. Whatever it was, the report has what was found until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndedBy {
    /// All of it was done.
    Completion,
    /// Its time was up; what was found until then is in the report.
    Deadline,
    /// Somebody cancelled it, or went away while waiting for it.
    Cancellation,
    /// A budget was used up: this part of it.
    Budget(Resource),
    /// There is no model to ask, and the strategy needs one.
    NoModel,
    /// The model gave no answer, after all tries that made sense.
    ModelFailed {
        /// What kind of failure the last one was.
        class: ErrorClass,
        /// What the last one said.
        message: String,
    },
    /// The model answered what is no action, twice in a row: what was wrong with the last one.
    InvalidOutput(String),
    /// The model repeated one action without an end: this one.
    Repetition(String),
    /// A defect of lens, of the model's implementation or of the service's own strategy: what it panicked with.
    Panic(String),
}

/// What an investigation may use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resource {
    /// Turns of one loop.
    Iterations,
    /// Calls of the model.
    Requests,
    /// Tokens of one investigation.
    Tokens,
    /// Actions that look at the service.
    ToolCalls,
    /// Rows that actions gave.
    Rows,
    /// Investigations by a model in an hour.
    RunsPerHour,
    /// Tokens in a day.
    TokensPerDay,
}

impl Resource {
    /// The word by which it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Iterations => "iterations",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::ToolCalls => "tool_calls",
            Self::Rows => "rows",
            Self::RunsPerHour => "runs_per_hour",
            Self::TokensPerDay => "tokens_per_day",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl EndedBy {
    /// The word by which it is written.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Deadline => "deadline",
            Self::Cancellation => "cancellation",
            Self::Budget(_) => "budget",
            Self::NoModel => "no_model",
            Self::ModelFailed { .. } => "model_failed",
            Self::InvalidOutput(_) => "invalid_output",
            Self::Repetition(_) => "repetition",
            Self::Panic(_) => "panic",
        }
    }
}

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completion | Self::Deadline | Self::Cancellation => f.write_str(self.word()),
            Self::Budget(resource) => write!(f, "the budget of {resource}"),
            Self::NoModel => f.write_str(
                "the lack of a model: configure one with `Builder::model`, or ask for the strategy `checks`",
            ),
            Self::ModelFailed { message, .. } => write!(f, "the model, which gave no answer: {message}"),
            Self::InvalidOutput(why) => write!(f, "the model, whose answer is no action: {why}"),
            Self::Repetition(action) => write!(f, "the model, which repeated `{action}` without an end"),
            Self::Panic(message) => write!(f, "a panic: {message}"),
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
    /// A report in which nothing was looked at.
    pub(crate) fn unfinished(capture: &Capture, reason: Option<String>, ended_by: EndedBy) -> Self {
        Self {
            strategy: "checks".to_owned(),
            reason,
            capture: capture.id().to_owned(),
            captured_at: capture.at(),
            ended_by,
            elapsed_ms: 0.0,
            insights: Vec::new(),
            checked_count: 0,
            not_checked: Vec::new(),
            defects: Vec::new(),
            model: None,
        }
    }

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

    /// Evaluates again every fact that is of `capture`, the report's own, one that a model took meanwhile, or the file of
    /// either: how many there are, and those that are not true there. If it is none of the report's captures, all of the
    /// facts are wrong.
    #[must_use]
    pub fn verify(&self, capture: &Arc<Capture>, sandbox: &Sandbox) -> (usize, Vec<FalseFact>) {
        let answer = self.model.iter().filter_map(|model| model.answer.as_ref()).flat_map(|answer| &answer.facts);
        let all = self.findings().flat_map(|finding| &finding.facts).chain(answer);
        let captures = self.model.as_ref().map_or(&[][..], |model| &model.captures);
        let is_own = self.capture == capture.id() || captures.iter().any(|id| id == capture.id());
        let facts: Vec<_> = all.filter(|fact| !is_own || fact.capture == capture.id()).collect();
        (facts.len(), facts.iter().filter_map(|fact| fact.verify(capture, sandbox).err()).collect())
    }
}
