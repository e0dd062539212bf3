//! One investigation by a model: what everybody who takes part in it shares. Separate because operators run at once, and
//! because what was found must outlive whatever ends them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, oneshot, watch};

use super::budget::Ledger;
use super::claims::Vocabulary;
use super::events::{Event, Events};
use super::operator::Desk;
use super::payload;
use super::pipeline::COORDINATOR;
use super::schedule::FollowUp;
use super::settings::{Order, Settings, Strategy};
use super::transcript::{Step, Transcript};
use crate::capture::Capture;
use crate::checks::Checks;
use crate::evidence::{Answered, EndedBy, FalseFact, Finding, HealthState, Operated, Report, Resource, Severity};
use crate::recorder::Recorder;
use crate::registry::Registry;
use crate::sandbox::{Outcome, QueryError, QueryErrorKind, Sandbox};

/// 100 snapshots in one investigation. More lets operators look more often.
pub const MAX_SNAPSHOTS: usize = 100;

/// 50 findings that a model adds to one investigation.
pub const MAX_STATED_FINDINGS: usize = 50;

/// How many skills that there are not are noted of one action.
const MAX_UNKNOWN_SKILLS: usize = 20;

/// How long work waits for a free place before it asks again.
const BUSY_WAIT: Duration = Duration::from_millis(5);

/// What investigations look at, and where.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) registry: Arc<Registry>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) checks: Arc<Checks>,
    /// Where scripts of models are evaluated.
    pub(super) queries: Sandbox,
    /// Where examinations and facts are worked on and captures are taken.
    pub(super) work: Sandbox,
    /// Where the scripts of checks are evaluated. Not in `work`, in which examinations could take every place and then wait
    /// for one more.
    pub(super) checking: Sandbox,
    /// As many as queries may run at once; whoever evaluates for a model holds one.
    pub(super) places: Arc<Semaphore>,
}

/// One investigation. Clones are one.
#[derive(Clone)]
pub struct Run(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) order: Order,
    pub(super) settings: Arc<Settings>,
    pub(super) service: Service,
    pub(super) ledger: Arc<Ledger>,
    pub(super) events: Events,
    /// The first capture, whose id is the investigation's.
    pub(super) capture: Arc<Capture>,
    /// What the checks found in it.
    pub(super) checked: OnceLock<Report>,
    pub(super) vocabulary: Vocabulary,
    /// The skills whose free text the model is not told.
    pub(super) withheld: Arc<BTreeSet<String>>,
    /// What ended it, once something has.
    ended: watch::Sender<Option<EndedBy>>,
    state: Mutex<State>,
}

/// What is found and said; all of it survives the end of whoever found it.
#[derive(Default)]
pub(super) struct State {
    pub(super) findings: Vec<Kept>,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) captures: Vec<Arc<Capture>>,
    pub(super) insights: Vec<Grouped>,
    pub(super) operators: Vec<Operated>,
    pub(super) desks: BTreeMap<String, Desk>,
    pub(super) unknown_skills: BTreeSet<String>,
    pub(super) models: BTreeSet<String>,
    pub(super) answer: Option<Answered>,
    pub(super) transcript: Transcript,
    pub(super) follow_up: Option<FollowUp>,
    /// Free texts of the service that were sent, as words: whoever repeats them says nothing of his own.
    pub(super) quotable: Vec<Vec<String>>,
}

/// A finding, and what has become of it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) id: String,
    /// Who found it: `checks`, or the skill whose operator did.
    pub(super) by: String,
    pub(super) status: FindingStatus,
    pub(super) finding: Finding,
}

/// How far a finding has been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FindingStatus {
    /// Nobody has looked at it.
    Unread,
    /// Somebody has.
    Acknowledged,
    /// It is part of an insight, or needs none.
    Resolved,
}

/// Findings that a model put together, as far as that holds.
#[derive(Clone, Debug)]
pub(super) struct Grouped {
    /// Ids; the first explains the others.
    pub(super) findings: Vec<String>,
    pub(super) hypothesis: Option<String>,
}

/// What a skill measured at an instant.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) skill: String,
    pub(super) capture: Arc<Capture>,
    pub(super) metrics: Value,
}

impl Snapshot {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "snapshot": self.id, "skill": self.skill, "captured_at": self.capture.at(), "metrics": self.metrics,
        })
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("id", &self.id()).field("order", &self.0.order).finish_non_exhaustive()
    }
}

impl Run {
    pub(super) fn new(
        order: Order,
        settings: Arc<Settings>,
        service: Service,
        ledger: Arc<Ledger>,
        events: Events,
        capture: Arc<Capture>,
    ) -> Self {
        let state = State { captures: vec![Arc::clone(&capture)], ..State::default() };
        let entries = service.registry.entries();
        let holding =
            entries.filter(|entry| entry.has_free_text() || payload::HOLD_TEXT.contains(&&*entry.about().name));
        let names = holding.map(|entry| entry.about().name.to_string());
        let withheld = Arc::new(names.filter(|name| !settings.shared_text.contains(name)).collect());
        Self(Arc::new(Inner {
            withheld,
            vocabulary: Vocabulary::of(&service.registry),
            order,
            settings,
            service,
            ledger,
            events,
            capture,
            checked: OnceLock::new(),
            ended: watch::Sender::new(None),
            state: Mutex::new(state),
        }))
    }

    /// The investigation's id: that of its first capture.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.capture.id()
    }

    /// Why somebody asks, as they wrote it, without secrets.
    #[must_use]
    pub fn reason(&self) -> String {
        self.redacted(&self.0.order.reason)
    }

    /// The capture that the checks looked at.
    #[must_use]
    pub fn capture(&self) -> &Arc<Capture> {
        &self.0.capture
    }

    /// What the checks found.
    #[must_use]
    pub fn checked(&self) -> Option<&Report> {
        self.0.checked.get()
    }

    /// Evaluates a script over the first capture, as the model's are: within the budget, on a thread of lens.
    ///
    /// # Errors
    ///
    /// The script is wrong, or goes past a limit or the budget.
    pub async fn query(&self, script: &str) -> Result<Value, String> {
        self.execute(script, &self.0.capture).await.map(|(value, _)| value)
    }

    /// Asks a running operator something, on a copy of its conversation: it is not disturbed, and learns nothing of it. Costs
    /// tokens of this investigation, and ends with it.
    ///
    /// # Errors
    ///
    /// No operator of that skill is running, it cannot answer, or the investigation ended before it did.
    pub async fn ask_operator(&self, skill: &str, question: &str) -> Result<Value, String> {
        let desk = self.state().desks.get(skill).filter(|desk| desk.is_running()).cloned();
        let desk = desk.ok_or_else(|| format!("no operator of {:?} is running", payload::short(skill, 40)))?;
        let mut ended = self.0.ended.subscribe();
        tokio::select! {
            biased;
            Ok(ended) = ended.wait_for(Option::is_some) => {
                let by = ended.as_ref().map(ToString::to_string).unwrap_or_default();
                Err(format!("the investigation has ended before its operator answered; it was ended by {by}"))
            }
            answer = desk.ask(self, question) => answer,
        }
    }

    /// Whoever waits for something of this investigation waits no longer. What ended it first counts.
    pub(super) fn end(&self, by: &EndedBy) {
        self.0.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert_with(|| by.clone());
            is_first
        });
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn announce(&self, actor: &str, event: Event) {
        self.0.events.announce(self.id(), actor, event);
    }

    pub(super) fn write(&self, actor: &str, step: Step) {
        self.state().transcript.add(actor, step);
    }

    /// The text without secrets: what may be sent and kept.
    pub(super) fn redacted(&self, text: &str) -> String {
        self.0.settings.redactor.text(text)
    }

    /// The value without secrets.
    pub(super) fn redacted_value(&self, value: &Value) -> Value {
        let mut value = value.clone();
        self.0.settings.redactor.json(&mut value);
        value
    }

    /// Whether the model may look into a skill.
    pub(super) fn may_ask(&self, skill: &str) -> bool {
        self.0.order.skills.as_ref().is_none_or(|skills| skills.contains(skill))
    }

    /// The skills that the model may look into.
    pub(super) fn skills(&self) -> impl Iterator<Item = &str> {
        self.0.service.registry.names().filter(|name| self.may_ask(name))
    }

    /// Splits names of skills into those that there are, each once, and those that there are not, which are noted.
    pub(super) fn sort_skills(&self, named: Vec<String>) -> (Vec<String>, Vec<String>) {
        let mut known: Vec<String> = Vec::new();
        let mut unknown = Vec::new();
        for name in named {
            let is_known = self.skills().any(|skill| skill == name);
            if is_known && !known.contains(&name) {
                known.push(name);
            } else if !is_known && !unknown.contains(&name) {
                unknown.push(name);
            }
        }
        if !unknown.is_empty() {
            let names = unknown.iter().take(MAX_UNKNOWN_SKILLS);
            let skills: Vec<String> = names.map(|name| self.redacted(&payload::short(name, 60))).collect();
            self.state().unknown_skills.extend(skills.iter().cloned());
            self.announce(COORDINATOR, Event::SkillsUnknown { skills });
        }
        (known, unknown)
    }

    /// Does `work` on a thread of lens, and waits for a place there as long as this is not dropped.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl Fn() -> T + Clone + Send + 'static,
    ) -> Result<T, String> {
        loop {
            let (answer, answered) = oneshot::channel();
            let started = self.0.service.work.start_work(work.clone(), move |result| {
                // Whoever asked may be gone.
                let _ = answer.send(result);
            });
            match started {
                Ok(()) => {
                    let result = answered.await.map_err(|_| "the thread ended unheard".to_owned())?;
                    return result.map_err(|error| error.message);
                }
                Err(error) if error.kind == QueryErrorKind::Overloaded => tokio::time::sleep(BUSY_WAIT).await,
                Err(error) => return Err(error.message),
            }
        }
    }

    /// A capture of now.
    pub(super) async fn fresh_capture(&self) -> Result<Arc<Capture>, String> {
        if self.state().captures.len() >= self.0.ledger.budget.captures {
            return Err(format!(
                "there may be {} captures in one investigation, and there are: go on with what you have",
                self.0.ledger.budget.captures
            ));
        }
        let (registry, recorder) = (Arc::clone(&self.0.service.registry), Arc::clone(&self.0.service.recorder));
        let capture = self.work(move || Arc::new(Capture::frozen(&registry, &recorder))).await?;
        let mut state = self.state();
        if state.captures.len() >= self.0.ledger.budget.captures {
            return Err("there are as many captures as there may be: go on with what you have".to_owned());
        }
        state.captures.push(Arc::clone(&capture));
        Ok(capture)
    }

    /// What a skill measured up to a capture, kept under an id.
    pub(super) fn snapshot(&self, skill: &str, capture: &Arc<Capture>) -> Result<Snapshot, String> {
        let prefix = format!("{skill}.");
        let list = capture.history().list();
        let own = list.into_iter().filter(|series| series.name.starts_with(&prefix));
        let metrics: Map<String, Value> = own.map(|series| (series.name, json!(series.latest))).collect();
        let mut state = self.state();
        if state.snapshots.len() >= MAX_SNAPSHOTS {
            return Err(format!("there may be {MAX_SNAPSHOTS} snapshots, and there are"));
        }
        let snapshot = Snapshot {
            id: format!("s{}", state.snapshots.len() + 1),
            skill: skill.to_owned(),
            capture: Arc::clone(capture),
            metrics: Value::Object(metrics),
        };
        state.snapshots.push(snapshot.clone());
        Ok(snapshot)
    }

    /// Evaluates a script for a model: its value, as it may be sent, and the skills that it read.
    pub(super) async fn execute(&self, code: &str, capture: &Arc<Capture>) -> Result<(Value, Vec<String>), String> {
        self.0.ledger.tool_call().map_err(|resource| self.exhausted(resource))?;
        let (value, touched) = self.evaluate(code, capture).await?;
        self.0.ledger.rows(payload::rows(&value)).map_err(|resource| self.exhausted(resource))?;
        Ok((value, touched))
    }

    /// The part of [`execute`](Self::execute) that needs no budget.
    async fn evaluate(&self, code: &str, capture: &Arc<Capture>) -> Result<(Value, Vec<String>), String> {
        let outcome = self.outcome(code, &self.told_of(capture)).await?.map_err(|error| self.told(code, &error))?;
        if let Some(other) = self.unasked(&outcome.touched) {
            return Err(other);
        }
        let value = self.sendable(outcome.value, &outcome.touched);
        Ok((value, outcome.touched))
    }

    /// What a script of a model gives over `capture`, as soon as there is a place for it. Nothing of it may be told as it is.
    pub(super) async fn outcome(
        &self,
        code: &str,
        capture: &Arc<Capture>,
    ) -> Result<Result<Outcome, QueryError>, String> {
        let places = Arc::clone(&self.0.service.places);
        // It is held until the query has ended, also if nobody waits for it any more.
        let place = Arc::new(places.acquire_owned().await.map_err(|_| "lens has stopped".to_owned())?);
        loop {
            let (answer, answered) = oneshot::channel();
            let held = Arc::clone(&place);
            let started = self.0.service.queries.start(code, Arc::clone(capture), move |result| {
                drop(held);
                // Whoever asked may be gone.
                let _ = answer.send(result);
            });
            match started {
                Ok(running) => {
                    drop(place);
                    let result = answered.await;
                    drop(running);
                    return result.map_err(|_| "the query ended unheard".to_owned());
                }
                Err(error) if error.kind == QueryErrorKind::Overloaded => tokio::time::sleep(BUSY_WAIT).await,
                Err(error) => return Err(error.message),
            }
        }
    }

    pub(super) fn exhausted(&self, resource: Resource) -> String {
        self.announce(COORDINATOR, Event::BudgetExhausted { resource });
        format!("the budget of {resource} is used up: conclude with what you have")
    }

    pub(super) fn refuse(&self, actor: &str, fact: FalseFact) {
        self.0.ledger.count(|spent| spent.refused_facts += 1);
        self.announce(actor, Event::FactRefused { why: fact.why.clone() });
        self.write(actor, Step::Refused { fact });
    }

    /// What a skill's operator cannot be better than: what the checks found of it.
    pub(super) fn floor(&self, skill: &str) -> HealthState {
        let findings = self.checked().into_iter().flat_map(Report::findings);
        let of_skill =
            findings.filter(|finding| finding.skill == skill || finding.skills().any(|asked| asked == skill));
        of_skill.map(|finding| HealthState::floor(finding.severity)).max().unwrap_or_default()
    }

    pub(super) fn severity_of(&self, skill: &str) -> Option<Severity> {
        let state = self.state();
        let own = state.findings.iter().filter(|kept| kept.by == skill);
        own.map(|kept| kept.finding.severity).max()
    }

    /// How it is done.
    pub(super) fn strategy(&self) -> &Strategy {
        self.0.order.strategy.as_ref().unwrap_or(&self.0.settings.strategy)
    }

    /// The desk of a new operator, at which others see it.
    pub(super) fn desk(&self, skill: &str) -> Desk {
        let desk = Desk::new(skill);
        let mut state = self.state();
        state.operators.retain(|known| known.skill != skill);
        let floor = HealthState::default();
        state.operators.push(Operated { skill: skill.to_owned(), state: floor, ended_by: None, findings: 0 });
        state.desks.insert(skill.to_owned(), desk.clone());
        desk
    }
}
