//! Puts the report together: what the checks found, what a model added and was true, and how it hangs together as far as
//! that can be computed. Separate because it needs nothing but what is kept, whatever ended the investigation.

use super::events::Event;
use super::run::{FindingStatus, Grouped, Run};
use super::tools::StatedInsight;
use crate::evidence::{Correlation, EndedBy, Finding, Joined, ModelPart, Report, correlate_joined, relation};

/// Who states an insight.
pub(super) struct StatedBy;

impl StatedBy {
    pub(super) const COORDINATOR: &'static str = super::pipeline::COORDINATOR;
}

impl Run {
    /// Accepts that findings belong together, if they do; or says why not.
    pub(super) fn put_together(&self, actor: &str, stated: &StatedInsight) -> Result<(), String> {
        let state = self.state();
        let find = |id: &String| state.findings.iter().find(|kept| kept.id == *id);
        if let Some(unknown) = stated.findings.iter().find(|id| find(id).is_none()) {
            let known: Vec<&str> = state.findings.iter().map(|kept| kept.id.as_str()).collect();
            return Err(format!("there is no finding {unknown:?}; there are {}", known.join(", ")));
        }
        let mut ids: Vec<String> = Vec::new();
        for id in &stated.findings {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        let findings: Vec<Finding> = ids.iter().filter_map(find).map(|kept| kept.finding.clone()).collect();
        drop(state);
        let Some((root, others)) = findings.split_first() else { return Err("an insight has findings".to_owned()) };
        for (other, id) in others.iter().zip(&ids[1..]) {
            match relation(root, other) {
                None => {
                    return Err(format!(
                        "{} and {id} are not known to hang together: no rule says that a {} makes a {}, and they did not \
                         begin together",
                        ids[0], root.cause, other.cause
                    ));
                }
                Some(is) if is != stated.correlation && rank(is) < rank(stated.correlation) => {
                    return Err(format!("{} and {id} are {is}, not {}", ids[0], stated.correlation));
                }
                Some(_) => {}
            }
        }
        let facts: Vec<_> = findings.iter().flat_map(|finding| finding.facts.clone()).collect();
        let hypothesis = self.hypothesis(stated.hypothesis.as_deref(), &facts)?;
        let mut state = self.state();
        for kept in state.findings.iter_mut().filter(|kept| ids.contains(&kept.id)) {
            kept.status = FindingStatus::Resolved;
        }
        state.insights.push(Grouped { findings: ids.clone(), hypothesis });
        drop(state);
        self.announce(actor, Event::InsightProduced { findings: ids });
        Ok(())
    }
}

/// How much a correlation claims.
const fn rank(correlation: Correlation) -> u8 {
    match correlation {
        Correlation::Temporal => 0,
        Correlation::Symptomatic => 1,
        Correlation::Causal => 2,
    }
}

/// The report of a run that was ended by `ended_by`.
pub(super) fn report(run: &Run, ended_by: EndedBy, elapsed_ms: f64) -> Report {
    let unfinished = || Report::unfinished(run.capture(), Some(run.reason()), ended_by.clone());
    let checked = run.checked().cloned().unwrap_or_else(unfinished);
    let state = run.state();
    let subject = |id: &String| {
        let kept = state.findings.iter().find(|kept| kept.id == *id)?;
        Some((kept.finding.cause, kept.finding.place.clone()))
    };
    let joined = state.insights.iter().filter_map(|group| {
        let mut subjects = group.findings.iter().filter_map(subject);
        Some(Joined { root: subjects.next()?, others: subjects.collect(), hypothesis: group.hypothesis.clone() })
    });
    let joined: Vec<Joined> = joined.collect();
    let findings: Vec<Finding> = state.findings.iter().map(|kept| kept.finding.clone()).collect();
    let model = ModelPart {
        models: state.models.iter().cloned().collect(),
        spent: run.0.ledger.spent(),
        operators: state.operators.clone(),
        unknown_skills: state.unknown_skills.iter().cloned().collect(),
        answer: state.answer.clone(),
        captures: state.captures.iter().map(|capture| capture.id().to_owned()).collect(),
        follow_up: None,
    };
    Report {
        strategy: run.strategy().name().to_owned(),
        reason: checked.reason.clone(),
        ended_by,
        elapsed_ms,
        insights: correlate_joined(findings, &joined),
        model: Some(model),
        ..checked
    }
}
