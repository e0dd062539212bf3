//! An operator: looks into one skill, step by step as the model says, until it is done. Separate because several run at
//! once, under one budget, and each may fail for itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::Instrument;

use super::claims::{CHECKS, StatedFinding};
use super::events::Event;
use super::prompts;
use super::run::{Run, Snapshot};
use super::spans;
use super::talk::{Asked, Conversation};
use super::tools::{OperatorAction, Reply};
use crate::capture::Capture;
use crate::evidence::{EndedBy, HealthState, Operated, Resource};
use crate::model::Purpose;
use crate::reference::SkillReference;
use crate::time::millis;

/// 60 s for one wait at most, and never past the deadline.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// The most snapshots that are read at once.
const MAX_SHOWN: usize = 10;

/// What others may see of an operator that runs. Clones are one.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) skill: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug)]
struct Seen {
    state: HealthState,
    iteration: u32,
    talk: Option<Conversation>,
    ended_by: Option<EndedBy>,
}

impl Desk {
    pub(super) fn new(skill: &str) -> Self {
        let seen = Seen { state: HealthState::default(), iteration: 0, talk: None, ended_by: None };
        Self { skill: skill.to_owned(), seen: Arc::new(Mutex::new(seen)) }
    }

    fn see(&self, change: impl FnOnce(&mut Seen)) {
        // Nothing panics while it is held.
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn is_running(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).ended_by.is_none()
    }

    pub(super) fn to_json(&self) -> Value {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        json!({
            "skill": self.skill, "state": seen.state, "iteration": seen.iteration,
            "running": seen.ended_by.is_none(), "ended_by": seen.ended_by,
        })
    }

    /// Asks an operator something, on a copy of its conversation: it is not disturbed, and learns nothing of it.
    pub(super) async fn ask(&self, run: &Run, message: &str) -> Result<Value, String> {
        let talk = self.seen.lock().unwrap_or_else(PoisonError::into_inner).talk.clone();
        let mut talk = talk.ok_or_else(|| format!("the operator of `{}` has not begun yet", self.skill))?;
        talk.purpose = Purpose::Reply;
        talk.actor = format!("{}/aside", self.skill);
        talk.tell(run, &json!({"question": run.redacted(message), "do": "answer with the intent `reply`"}));
        match run.ask::<Reply>(&mut talk, &json!({"aside": true})).await {
            Ok(Asked::Action(Reply::Reply { summary, concerns })) => {
                Ok(json!({"skill": self.skill, "summary": run.redacted(&summary), "concerns": concerns}))
            }
            Ok(Asked::Invalid) => Err("its answer cannot be read".to_owned()),
            Err(ended) => Err(format!("it cannot answer: ended by {ended}")),
        }
    }
}

/// One operator at work.
struct Operator<'a> {
    run: &'a Run,
    desk: &'a Desk,
    skill: &'a str,
    capture: Arc<Capture>,
    state: HealthState,
    has_looked: bool,
}

/// Says that an operator has ended, also one that panicked or was dropped.
struct Leaving {
    run: Run,
    desk: Desk,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let skill = &self.desk.skill;
        let by = match std::thread::panicking() {
            true => EndedBy::Panic(format!("the operator of `{skill}` panicked")),
            false => EndedBy::Cancellation,
        };
        if let EndedBy::Panic(_) = &by {
            let mut state = self.run.state();
            let own = state.operators.iter_mut().filter(|operated| operated.skill == *skill);
            own.for_each(|operated| operated.ended_by = Some(by.clone()));
        }
        self.desk.see(|seen| seen.ended_by = seen.ended_by.take().or(Some(by)));
    }
}

/// Runs the operator of a skill to its end; whatever ends it, its findings are kept.
pub(super) async fn operate(run: Run, desk: Desk, context: Option<String>) -> Operated {
    let span = spans::agent(&desk.skill, run.id());
    async {
        let _leaving = Leaving { run: run.clone(), desk: desk.clone() };
        let skill = desk.skill.clone();
        run.announce(&skill, Event::OperatorStarted { skill: skill.clone() });
        let capture = Arc::clone(run.capture());
        let floor = run.floor(&skill);
        desk.see(|seen| seen.state = floor);
        let mut operator = Operator { run: &run, desk: &desk, skill: &skill, capture, state: floor, has_looked: false };
        let ended_by = match operator.work(context).await {
            Ok(()) => EndedBy::Completion,
            Err(ended) => ended,
        };
        let findings = run.state().findings.iter().filter(|kept| kept.by == skill).count();
        let operated =
            Operated { skill: skill.clone(), state: operator.state(), ended_by: Some(ended_by.clone()), findings };
        desk.see(|seen| {
            seen.state = operated.state;
            seen.ended_by = Some(ended_by.clone());
        });
        {
            let mut state = run.state();
            state.operators.retain(|known| known.skill != skill);
            state.operators.push(operated.clone());
        }
        run.announce(&skill, Event::OperatorEnded { skill: skill.clone(), ended_by, findings });
        operated
    }
    .instrument(span)
    .await
}

impl Operator<'_> {
    /// How the area is: what the model says, and not better than what was found.
    fn state(&self) -> HealthState {
        let found = self.run.severity_of(self.skill).map(HealthState::floor).unwrap_or_default();
        self.state.max(found).max(self.run.floor(self.skill))
    }

    async fn work(&mut self, context: Option<String>) -> Result<(), EndedBy> {
        let run = self.run;
        let reference = run.0.service.registry.get(self.skill).map(SkillReference::of);
        let reference = reference.map_err(|error| EndedBy::Panic(error.to_string()))?;
        let mut talk = Conversation::new(run, self.skill, prompts::operator(run, &reference), Purpose::Reason);
        let first = self.snapshot(&Arc::clone(&self.capture)).map(|snapshot| snapshot.to_json());
        let found = run.findings_json(|kept| {
            kept.by == CHECKS
                && (kept.finding.skill == self.skill || kept.finding.skills().any(|skill| skill == self.skill))
        });
        talk.tell(
            run,
            &json!({
                "reason": run.reason(), "look_for": context.map(|context| run.redacted(&context)),
                "snapshot": first.unwrap_or_else(Value::String), "found_by_checks": found,
            }),
        );
        let mut turn = 0;
        loop {
            run.0.ledger.turn(turn).inspect_err(|_| {
                run.announce(self.skill, Event::BudgetExhausted { resource: Resource::Iterations });
            })?;
            turn += 1;
            run.announce(self.skill, Event::IterationStarted { iteration: turn });
            self.desk.see(|seen| {
                seen.iteration = turn;
                seen.state = self.state();
                seen.talk = Some(talk.clone());
            });
            let status = self.status(turn);
            let Asked::Action(action) = run.ask::<OperatorAction>(&mut talk, &status).await? else { continue };
            let json = serde_json::to_value(&action).unwrap_or_default();
            let intent = json["intent"].as_str().unwrap_or_default().to_owned();
            run.announce(self.skill, Event::ActionChosen { intent: intent.clone() });
            if talk.repeats(&json)? {
                let error =
                    format!("`{intent}` came {} times in a row with the same arguments", super::talk::MAX_REPEATS);
                talk.answer(run, &intent, &json!({"error": error, "do": "do something else, or end with `done`"}));
                continue;
            }
            let started = Instant::now();
            let is_done = matches!(action, OperatorAction::Done {});
            let answer = self.act(action).instrument(spans::tool(&intent, run.id())).await;
            let is_refused = answer.is_err();
            let elapsed_ms = millis(started.elapsed());
            run.announce(self.skill, Event::ActionDone { intent: intent.clone(), elapsed_ms, is_refused });
            if is_done && !is_refused {
                return Ok(());
            }
            talk.answer(run, &intent, &answer.unwrap_or_else(|error| json!({"error": error})));
        }
    }

    /// What every request says anew: nothing of it is ever left out of a conversation.
    fn status(&self, turn: u32) -> Value {
        let health = self.state();
        let state = self.run.state();
        let own = state.snapshots.iter().filter(|snapshot| snapshot.skill == self.skill);
        let snapshots: Vec<String> = own.map(|snapshot| snapshot.id.clone()).collect();
        let findings: Vec<Value> = state
            .findings
            .iter()
            .filter(|kept| kept.by == self.skill)
            .map(|kept| json!({"id": kept.id, "summary": kept.finding.summary}))
            .collect();
        drop(state);
        json!({
            "turn": turn, "turns": self.run.0.ledger.budget.iterations, "state": health, "snapshots": snapshots,
            "your_findings": findings, "seconds_left": self.run.0.ledger.left().as_secs(),
            "do": "choose the next action",
        })
    }

    fn snapshot(&self, capture: &Arc<Capture>) -> Result<Snapshot, String> {
        self.run.snapshot(self.skill, capture)
    }

    async fn act(&mut self, action: OperatorAction) -> Result<Value, String> {
        match action {
            OperatorAction::SetState { state, reason: _ } => self.set_state(state),
            OperatorAction::ReportFinding { cause, severity, facts, snapshot, place, hypothesis } => {
                self.has_looked = true;
                let stated = StatedFinding { cause, severity, facts, snapshot, place, hypothesis };
                let id = self.run.accept(self.skill, &stated).await.map_err(|wrong| wrong.join("; "))?;
                Ok(json!({"accepted": id}))
            }
            OperatorAction::GetFindings {} => {
                Ok(self.run.findings_json(|kept| kept.by == self.skill || kept.by == CHECKS))
            }
            OperatorAction::TakeSnapshot {} => {
                self.has_looked = true;
                let capture = Arc::clone(&self.capture);
                self.snapshot(&capture).map(|snapshot| snapshot.to_json())
            }
            OperatorAction::GetSnapshot { id } => self.run.snapshot_of(&id).map(|snapshot| snapshot.to_json()),
            OperatorAction::GetSnapshots { limit, offset } => {
                let (limit, offset) = (limit.unwrap_or(u32::MAX) as usize, offset.unwrap_or(0) as usize);
                let state = self.run.state();
                let own = state.snapshots.iter().filter(|snapshot| snapshot.skill == self.skill);
                Ok(own.skip(offset).take(limit.min(MAX_SHOWN)).map(Snapshot::to_json).collect())
            }
            OperatorAction::Execute { code, snapshot } => {
                let capture = match snapshot {
                    Some(id) => self.run.snapshot_of(&id)?.capture,
                    None => Arc::clone(&self.capture),
                };
                self.has_looked = true;
                let (value, _) = self.run.execute(&code, &capture).await?;
                Ok(json!({"value": value, "captured_at": capture.at()}))
            }
            OperatorAction::Wait { ms } => {
                let waited = self.run.wait_for(ms)?;
                tokio::time::sleep(waited).await;
                self.capture = self.run.fresh_capture().await?;
                let capture = Arc::clone(&self.capture);
                let snapshot = self.snapshot(&capture)?;
                Ok(json!({"waited_ms": millis(waited), "snapshot": snapshot.to_json()}))
            }
            OperatorAction::Think { thought: _ } => Ok(json!({"noted": true})),
            OperatorAction::Done {} if self.has_looked || self.run.severity_of(self.skill).is_some() => Ok(json!({})),
            OperatorAction::Done {} => {
                self.has_looked = true;
                Err("you have looked at nothing but the first snapshot: if that is enough, say `done` again".to_owned())
            }
        }
    }

    fn set_state(&mut self, state: HealthState) -> Result<Value, String> {
        let from = self.state();
        self.state = state;
        let to = self.state();
        if to != from {
            self.run.announce(self.skill, Event::StateChanged { from, to });
        }
        if to != state {
            return Err(format!("the state cannot be {}: what was found makes it {}", state.word(), to.word()));
        }
        Ok(json!({"state": to}))
    }
}

impl Run {
    /// How long a model may wait that wants to wait `ms`.
    pub(super) fn wait_for(&self, ms: f64) -> Result<Duration, String> {
        if !ms.is_finite() || ms < 1.0 {
            return Err(format!("one can wait 1 to {} ms, not {ms}", MAX_WAIT.as_millis()));
        }
        let left = self.0.ledger.left();
        Ok(Duration::from_secs_f64(ms.min(millis(MAX_WAIT)) / 1e3).min(left / 2))
    }
}
