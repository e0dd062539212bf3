//! Whether the service is well, in a few words: the findings, as far as the first page has room. Separate because it is a
//! summary that other pages do not need.

use lens_core::Report;
use serde::Serialize;

/// What the checks say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Health {
    /// `ok`, `info`, `warning`, `critical`, or `unknown` where a check could not be evaluated.
    pub(crate) status: &'static str,
    /// What is wrong, worst first.
    pub(crate) reasons: Vec<Reason>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Reason {
    /// `critical`, `warning`, `info`, or `unknown` for a check that is defective.
    pub(crate) severity: &'static str,
    /// The cause in a few words.
    pub(crate) title: String,
    /// What is wrong, with its numbers.
    pub(crate) text: String,
    /// The line that does it, if it is known.
    pub(crate) place: Option<String>,
    /// The question to ask next.
    pub(crate) ask: String,
}

impl Health {
    pub(crate) fn of(report: &Report) -> Self {
        let insights = report.insights.iter().map(|insight| Reason {
            severity: insight.severity.word(),
            title: insight.title().to_owned(),
            text: insight.summary.clone(),
            place: insight.place.clone(),
            ask: insight.root().facts.first().map(|fact| fact.expr.clone()).unwrap_or_default(),
        });
        let defects = report.defects.iter().map(|defect| Reason {
            severity: "unknown",
            title: "defective check".to_owned(),
            text: format!("`{}` could not be checked: {}", defect.check, defect.why),
            place: None,
            ask: "lens.coverage()".to_owned(),
        });
        Self { status: report.status(), reasons: insights.chain(defects).collect() }
    }
}
