//! Runs all checks over one capture, and holds each to what it states. Separate because of what can go wrong here: a check
//! that raises, loops, is slow or states what is not true is reported, and the others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Notify;

use super::Checks;
use super::source::Parsed;
use crate::capture::Capture;
use crate::error::nearest;
use crate::evidence::{
    Cause, Defect, EndedBy, Fact, Finding, MAX_FACTS, MAX_FINDINGS, NotChecked, Report, Stated, correlate,
};
use crate::sandbox::{Outcome, QueryError, QueryErrorKind, Sandbox};
use crate::time::millis;

/// How long all checks together may take. More lets many slow ones finish; less answers sooner with fewer.
pub const CHECKS_DEADLINE: Duration = Duration::from_secs(10);

/// The longest remedy and the longest hypothesis.
const MAX_ADVICE_BYTES: usize = 1_000;

/// Tells a running examination or investigation to end. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Cancelled>);

#[derive(Debug, Default)]
struct Cancelled {
    is_cancelled: AtomicBool,
    told: Notify,
}

impl Cancel {
    /// Not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends it before its next check.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::Release);
        self.0.told.notify_waiters();
    }

    /// Whether it is to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Acquire)
    }

    /// Waits until it is to end.
    pub async fn cancelled(&self) {
        let told = self.0.told.notified();
        if !self.is_cancelled() {
            told.await;
        }
    }
}

/// How checks are run.
#[derive(Clone, Debug)]
pub struct Examination {
    /// Where scripts are evaluated.
    pub sandbox: Sandbox,
    /// How long all may take; [`CHECKS_DEADLINE`].
    pub deadline: Duration,
    /// Ends it early.
    pub cancel: Cancel,
}

/// Why a check gave no findings.
enum Trouble {
    Missing(String),
    Defect {
        why: String,
        line: Option<u32>,
    },
    /// The sandbox had no place.
    Busy,
}

impl Examination {
    /// An examination with the default deadline.
    #[must_use]
    pub fn new(sandbox: &Sandbox) -> Self {
        Self { sandbox: sandbox.clone(), deadline: CHECKS_DEADLINE, cancel: Cancel::new() }
    }

    /// Runs every check over `capture` and puts together what they found; the caller waits.
    #[must_use]
    pub fn run(&self, checks: &Checks, capture: &Arc<Capture>, reason: Option<String>) -> Report {
        let started = Instant::now();
        let mut ended_by = EndedBy::Completion;
        let (mut findings, mut not_checked, mut defects) = (Vec::new(), Vec::new(), Vec::new());
        let mut checked_count = 0;
        for check in &checks.checks {
            if self.cancel.is_cancelled() {
                ended_by = EndedBy::Cancellation;
                break;
            }
            if started.elapsed() >= self.deadline {
                ended_by = EndedBy::Deadline;
                break;
            }
            match self.check(check, capture, started) {
                Ok(found) => {
                    checked_count += 1;
                    findings.extend(found);
                }
                Err(Trouble::Missing(because)) => {
                    not_checked.push(NotChecked { check: check.name.clone(), skill: check.skill.clone(), because });
                }
                Err(Trouble::Defect { why, line }) => {
                    defects.push(Defect { check: check.name.clone(), skill: check.skill.clone(), why, line });
                }
                Err(Trouble::Busy) => {
                    ended_by = EndedBy::Deadline;
                    break;
                }
            }
        }
        Report {
            strategy: "checks".to_owned(),
            reason,
            capture: capture.id().to_owned(),
            captured_at: capture.at(),
            ended_by,
            elapsed_ms: millis(started.elapsed()),
            insights: correlate(findings),
            checked_count,
            not_checked,
            defects,
            model: None,
        }
    }

    fn check(&self, check: &Parsed, capture: &Arc<Capture>, started: Instant) -> Result<Vec<Finding>, Trouble> {
        for name in &check.skills {
            if capture.registry().get(name).is_err() {
                return Err(Trouble::Missing(format!("there is no skill `{name}` here")));
            }
            capture.state(name).map_err(|reason| Trouble::Missing(format!("`{name}` cannot be read: {reason}")))?;
        }
        let outcome = self.evaluate(started, || check.run(&self.sandbox, capture));
        let stated = stated(outcome.map_err(trouble)?.value)?;
        stated.into_iter().map(|stated| self.establish(check, stated, capture, started)).collect()
    }

    /// Evaluates as soon as there is a place, if that is in time: others may examine too.
    fn evaluate(
        &self,
        started: Instant,
        evaluate: impl Fn() -> Result<Outcome, QueryError>,
    ) -> Result<Outcome, QueryError> {
        loop {
            match evaluate() {
                Err(error) if error.kind == QueryErrorKind::Overloaded && !self.is_over(started) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                outcome => return outcome,
            }
        }
    }

    fn is_over(&self, started: Instant) -> bool {
        started.elapsed() >= self.deadline || self.cancel.is_cancelled()
    }

    /// The finding, if all that it states is true.
    fn establish(
        &self,
        check: &Parsed,
        stated: Stated,
        capture: &Arc<Capture>,
        started: Instant,
    ) -> Result<Finding, Trouble> {
        if stated.facts.is_empty() || stated.facts.len() > MAX_FACTS {
            return Err(defect(format!("a finding has 1 to {MAX_FACTS} facts, not {}", stated.facts.len())));
        }
        let advice = [Some(&stated.remedy), stated.hypothesis.as_ref()];
        if stated.remedy.is_empty() || advice.iter().flatten().any(|text| text.len() > MAX_ADVICE_BYTES) {
            return Err(defect(format!("a remedy has 1 to {MAX_ADVICE_BYTES} bytes, and so has a hypothesis")));
        }
        let facts = stated.facts.iter().map(|stated| {
            let mut is_busy = false;
            let evaluated = Fact::establish_by(&stated.text, &stated.expr, capture, || {
                let outcome = self.evaluate(started, || self.sandbox.run(&stated.expr, Arc::clone(capture)));
                is_busy = outcome.as_ref().is_err_and(|error| error.kind == QueryErrorKind::Overloaded);
                outcome
            });
            // What could not be evaluated is not wrong.
            evaluated.map_err(|error| if is_busy { Trouble::Busy } else { defect(error.to_string()) })
        });
        let facts = facts.collect::<Result<Vec<_>, _>>()?;
        Ok(Finding {
            check: check.name.clone(),
            skill: check.skill.clone(),
            cause: stated.cause,
            severity: stated.severity,
            summary: facts.first().map(|fact| fact.text.clone()).unwrap_or_default(),
            place: stated.place,
            spawned_at: stated.spawned_at,
            created_at: stated.created_at,
            tasks: stated.tasks,
            since: stated.since,
            facts,
            hypothesis: stated.hypothesis,
            remedy: stated.remedy,
        })
    }
}

/// What the script gave, as findings.
fn stated(value: Value) -> Result<Vec<Stated>, Trouble> {
    let Value::Array(items) = value else {
        return Err(defect(format!("`main` gives a list of findings, not {value}")));
    };
    if items.len() > MAX_FINDINGS {
        return Err(defect(format!("it states {} findings; the limit is {MAX_FINDINGS}", items.len())));
    }
    let read = |item: Value| {
        if let Some(word) = item.get("cause").and_then(Value::as_str)
            && !Cause::ALL.iter().any(|cause| cause.word() == word)
        {
            let meant = nearest(word, Cause::ALL.iter().map(|cause| cause.word()));
            let meant = meant.map(|meant| format!("; did you mean \"{meant}\"?")).unwrap_or_default();
            return Err(defect(format!("there is no cause \"{word}\"{meant}")));
        }
        serde_json::from_value(item).map_err(|error| defect(format!("what it states is no finding: {error}")))
    };
    items.into_iter().map(read).collect()
}

fn trouble(error: QueryError) -> Trouble {
    match error.kind {
        QueryErrorKind::Overloaded => Trouble::Busy,
        QueryErrorKind::Unavailable => Trouble::Missing(error.message),
        // A series that was never recorded: what would record it is not there.
        QueryErrorKind::NotFound if error.message.starts_with("there is no series") => Trouble::Missing(error.message),
        QueryErrorKind::Limit => {
            Trouble::Defect { why: format!("it is too slow or too large: {}", error.message), line: error.line }
        }
        _ => Trouble::Defect { why: error.message, line: error.line },
    }
}

fn defect(why: String) -> Trouble {
    Trouble::Defect { why, line: None }
}
