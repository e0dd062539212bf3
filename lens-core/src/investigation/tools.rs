//! What a model can do: the actions of an operator, of the coordinator, and of the pipeline's two steps. Separate because
//! their docs are what the model reads: a schema is made from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claims::Claim;
use super::envelope::Action;
use super::run::FindingStatus;
use crate::evidence::{Cause, Correlation, HealthState, Severity};

/// What an operator can do.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum OperatorAction {
    /// Say how the area is; not better than what lens's own checks found.
    SetState {
        state: HealthState,
        #[schemars(length(max = 300))]
        reason: String,
    },
    /// State what is wrong. Each fact is evaluated; what is not true comes back with the value.
    ReportFinding {
        /// Why it is wrong, in the vocabulary.
        cause: Cause,
        /// How bad it is.
        severity: Severity,
        /// What shows it; the first is the headline.
        #[schemars(length(min = 1, max = 5))]
        facts: Vec<Claim>,
        /// The id of the snapshot in whose capture the facts are true.
        #[schemars(length(max = 20))]
        snapshot: String,
        /// The line that does it, as a fact's value has it.
        #[serde(default)]
        #[schemars(length(max = 200))]
        place: Option<String>,
        /// What may be behind it; it is shown as speculation.
        #[serde(default)]
        #[schemars(length(max = 500))]
        hypothesis: Option<String>,
    },
    /// List the findings of this operator and of the checks.
    GetFindings {},
    /// Keep what the skill measures in the capture that is looked at now, under an id.
    TakeSnapshot {},
    /// Read one snapshot.
    GetSnapshot {
        #[schemars(length(max = 20))]
        id: String,
    },
    /// Read snapshots, the oldest first.
    GetSnapshots {
        #[serde(default)]
        limit: Option<u32>,
        #[serde(default)]
        offset: Option<u32>,
    },
    /// Evaluate a Starlark query over a snapshot's capture; without one, over the newest.
    Execute {
        #[schemars(length(min = 1, max = 4_000))]
        code: String,
        #[serde(default)]
        #[schemars(length(max = 20))]
        snapshot: Option<String>,
    },
    /// Wait, then look at the service anew: a fresh capture and a snapshot of it.
    Wait {
        /// Milliseconds.
        ms: f64,
    },
    /// Note a thought.
    Think {
        #[schemars(length(max = 1_000))]
        thought: String,
    },
    /// End, when everything that is wrong in the area is stated.
    Done {},
}

impl Action for OperatorAction {
    const NAME: &'static str = "operator_action";
}

/// What the coordinator can do.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum CoordinatorAction {
    /// List findings.
    GetFindings {
        #[serde(default)]
        status: Option<FindingStatus>,
    },
    /// Read one finding with its facts, their expressions and values.
    GetEvidence {
        #[schemars(length(max = 20))]
        id: String,
    },
    /// Mark findings.
    UpdateFindings {
        #[schemars(length(min = 1, max = 50))]
        ids: Vec<String>,
        status: FindingStatus,
        #[serde(default)]
        #[schemars(length(max = 300))]
        reason: Option<String>,
    },
    /// Put findings together; how they hang together is checked, and how sure it is, is computed.
    ProduceInsight {
        /// Ids of findings; the one that explains the others first.
        #[schemars(length(min = 1, max = 20))]
        findings: Vec<String>,
        /// How they hang together.
        correlation: Correlation,
        /// What may be behind them; it is shown as speculation.
        #[serde(default)]
        #[schemars(length(max = 500))]
        hypothesis: Option<String>,
    },
    /// Start operators; each looks into one skill.
    InvokeOperators {
        #[schemars(length(min = 1, max = 10))]
        skills: Vec<String>,
        /// What they should look for.
        #[serde(default)]
        #[schemars(length(max = 500))]
        context: Option<String>,
    },
    /// Ask a running operator something; the answer comes later.
    MessageOperator {
        #[schemars(length(max = 40))]
        skill: String,
        #[schemars(length(max = 500))]
        message: String,
    },
    /// List the operators and how they are.
    GetOperators {},
    /// Wait for operators; ends early when one says something.
    Wait {
        /// Milliseconds.
        ms: f64,
    },
    /// Note a thought.
    Think {
        #[schemars(length(max = 1_000))]
        thought: String,
    },
    /// End this investigation and have another one follow.
    Schedule {
        /// Milliseconds until then.
        ms: f64,
        #[schemars(length(min = 1, max = 300))]
        reason: String,
    },
    /// End, when no operator runs and every finding is dealt with.
    Done {},
}

impl Action for CoordinatorAction {
    const NAME: &'static str = "coordinator_action";
}

/// Findings that a model puts together.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatedInsight {
    /// Ids of findings; the one that explains the others first.
    #[schemars(length(min = 1, max = 20))]
    pub(super) findings: Vec<String>,
    /// How they hang together.
    pub(super) correlation: Correlation,
    /// What may be behind them; it is shown as speculation.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub(super) hypothesis: Option<String>,
}

/// What the pipeline's first step says.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Classified {
    /// A plain question about what is: it is answered from what is measured, without an investigation.
    Question {
        /// The skills that know.
        #[schemars(length(max = 10))]
        skills: Vec<String>,
    },
    /// Something may be wrong.
    Investigation {
        /// The skills to look into.
        #[schemars(length(max = 10))]
        skills: Vec<String>,
        /// What operators should look for.
        #[serde(default)]
        #[schemars(length(max = 500))]
        context: Option<String>,
    },
}

impl Action for Classified {
    const NAME: &'static str = "classification";
}

/// What the pipeline's last step says.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Synthesized {
    /// How the findings hang together; none for findings that stand alone.
    Conclude {
        #[schemars(length(max = 10))]
        insights: Vec<StatedInsight>,
    },
}

impl Action for Synthesized {
    const NAME: &'static str = "synthesis";
}

/// How a question is answered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum AnswerAction {
    /// Evaluate a Starlark query.
    Execute {
        #[schemars(length(min = 1, max = 4_000))]
        code: String,
    },
    /// Answer, sentence by sentence, each with the expression that shows it. No facts: it cannot be known.
    Answer {
        #[schemars(length(max = 8))]
        facts: Vec<Claim>,
        #[serde(default)]
        #[schemars(length(max = 500))]
        hypothesis: Option<String>,
    },
}

impl Action for AnswerAction {
    const NAME: &'static str = "answer_action";
}

/// What an operator says when it is asked in between.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Reply {
    /// Where things stand.
    Reply {
        #[schemars(length(max = 600))]
        summary: String,
        #[serde(default)]
        #[schemars(length(max = 10))]
        concerns: Vec<String>,
    },
}

impl Action for Reply {
    const NAME: &'static str = "operator_reply";
}
