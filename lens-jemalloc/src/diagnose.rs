//! `heap.diagnose()`: why the process is bigger than its live data. Separate from the other functions because it judges:
//! each part of the memory is compared with what it ought to be, and what the figures do not decide is said.

mod cause;
mod dirty;
mod growth;
mod judge;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use lens_core::{CallError, Functions, OrUnavailable, Span, View};

use crate::state::HeapState;

pub use cause::{CauseRow, HeapCause};
pub use growth::MIN_GROWTH_WINDOW;
pub use judge::{FLOOR_BYTES, FLOOR_PERCENT};

/// Arguments of `heap.diagnose()`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiagnoseArguments {
    /// The window in which growth is looked for.
    pub last: Span,
}

impl Default for DiagnoseArguments {
    fn default() -> Self {
        Self { last: Span::seconds(600) }
    }
}

/// Why the process is as big as it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// Whether something makes the process bigger than it ought to be.
    pub verdict: Verdict,
    /// What costs most memory; null unless something was found.
    pub cause: Option<HeapCause>,
    /// The verdict in a sentence.
    pub summary: String,
    /// Bytes of the process that are in memory.
    pub rss_bytes: OrUnavailable<u64>,
    /// Bytes that the service holds.
    pub live_bytes: OrUnavailable<u64>,
    /// What was found, with what costs most memory first.
    pub causes: Vec<CauseRow>,
    /// What the figures do not decide, or not yet.
    pub undecided: Vec<Undecided>,
    /// Bytes below which nothing is judged: small processes always look wasteful.
    pub floor_bytes: u64,
}

/// Whether something makes the process bigger than it ought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing does: what is in memory is live data.
    Healthy,
    /// Something does: see `causes`.
    Found,
    /// The figures do not decide: see `undecided`.
    Inconclusive,
}

/// A question that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Undecided {
    /// The question.
    pub question: String,
    /// What decides it.
    pub decided_by: String,
}

pub(crate) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    to.record(
        "diagnose",
        "Why the process is bigger than its live data: each cause with its bytes, the figures that show it and the remedy.",
        "heap.diagnose()",
        diagnose,
    )
}

fn diagnose(view: &View<'_, HeapState>, arguments: DiagnoseArguments) -> Result<Diagnosis, CallError> {
    let metric = if view.jemalloc.is_ok() { "live_bytes" } else { "rss_bytes" };
    let growth = match view.series(metric, arguments.last) {
        Ok(series) => growth::judge(&series.points),
        // Nothing was recorded yet; a span that cannot be is the caller's mistake.
        Err(CallError::Argument { name, message, nearest }) => {
            return Err(CallError::Argument { name, message, nearest });
        }
        Err(_) => growth::Growth::TooShort,
    };
    Ok(judge::judge(view, view.at(), &growth))
}

#[cfg(test)]
mod tests;
