//! Whether the service is well, as a few scripts say over a capture. Separate because these are questions like any other,
//! only that lens asks them itself whenever its first page is looked at.

use std::sync::Arc;

use lens_core::Capture;
use lens_core::sandbox::{Outcome, QueryError, QueryErrorKind, Sandbox};
use serde::{Deserialize, Serialize};

/// The scripts: each answers a list of what is wrong, and every sentence has the numbers that it was true of. One that
/// needs what is unavailable is left out; the coverage says so.
const SCRIPTS: &[(&str, &str)] =
    &[("workers", include_str!("health/workers.star")), ("limits", include_str!("health/limits.star"))];

/// What the scripts say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Health {
    /// `ok`, `warning`, `critical`, or `unknown` where a script could not be evaluated.
    pub(crate) status: &'static str,
    /// What is wrong, worst first.
    pub(crate) reasons: Vec<Reason>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reason {
    /// `critical` or `warning`.
    pub(crate) severity: String,
    /// What is wrong, with its numbers.
    pub(crate) text: String,
    /// The question to ask next.
    pub(crate) ask: String,
}

/// Evaluates the scripts over `capture`; the caller waits, so it must be on a thread of lens's.
pub(crate) fn examine(sandbox: &Sandbox, capture: &Arc<Capture>) -> Health {
    let mut reasons = Vec::new();
    for (name, script) in SCRIPTS {
        match answer(sandbox.run(script, Arc::clone(capture))) {
            Ok(found) => reasons.extend(found),
            Err(why) => reasons.push(Reason {
                severity: "unknown".to_owned(),
                text: format!("`{name}` could not be examined: {why}"),
                ask: "lens.coverage()".to_owned(),
            }),
        }
    }
    let rank = |reason: &Reason| SEVERITIES.iter().position(|severity| *severity == reason.severity);
    reasons.sort_by_key(rank);
    let status = reasons.first().and_then(rank).map_or("ok", |rank| SEVERITIES[rank]);
    Health { status, reasons }
}

/// From the worst to the least.
const SEVERITIES: [&str; 3] = ["critical", "warning", "unknown"];

fn answer(outcome: Result<Outcome, QueryError>) -> Result<Vec<Reason>, String> {
    match outcome {
        Ok(outcome) => {
            serde_json::from_value(outcome.value).map_err(|error| format!("its answer is no list of reasons: {error}"))
        }
        Err(error) if error.kind == QueryErrorKind::Unavailable => Ok(Vec::new()),
        Err(error) => Err(error.message),
    }
}
