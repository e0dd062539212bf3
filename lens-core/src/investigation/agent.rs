//! The strategy `agent_loop`: the model decides step by step which operators run, reads what they find, and puts it
//! together. Separate because this is the coordinator's loop; what an operator does is next door.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use super::conclude::StatedBy;
use super::events::Event;
use super::operator::{Desk, operate};
use super::pipeline::COORDINATOR;
use super::prompts;
use super::run::{FindingStatus, Run};
use super::schedule::{FollowUp, MAX_CHAIN_DEPTH, MAX_DELAY, MIN_DELAY};
use super::settings::Order;
use super::spans;
use super::talk::{Asked, Conversation, MAX_REPEATS};
use super::tools::{CoordinatorAction, StatedInsight};
use crate::evidence::{EndedBy, Operated, Resource};
use crate::model::Purpose;
use crate::time::millis;

/// 12 operators are started in one investigation at most, those of one skill one after the other.
pub const MAX_OPERATORS: usize = 12;

/// Questions to operators that may be under way at once.
const MAX_ASIDES: usize = 4;

pub(super) async fn investigate(run: &Run) -> Result<(), EndedBy> {
    let span = spans::agent(COORDINATOR, run.id());
    Coordinator::new(run, span.clone()).work().instrument(span).await
}

/// The coordinator and who works for it. Dropping it ends them.
struct Coordinator<'a> {
    run: &'a Run,
    operators: JoinSet<Operated>,
    asides: JoinSet<Value>,
    desks: BTreeMap<String, Desk>,
    started: usize,
    is_done: bool,
    /// Whose spans are in the coordinator's: those that it starts outlive the action that starts them.
    span: Span,
}

impl<'a> Coordinator<'a> {
    fn new(run: &'a Run, span: Span) -> Self {
        let (operators, asides, desks) = (JoinSet::new(), JoinSet::new(), BTreeMap::new());
        Self { run, operators, asides, desks, started: 0, is_done: false, span }
    }

    async fn work(&mut self) -> Result<(), EndedBy> {
        let run = self.run;
        let mut talk = Conversation::new(run, COORDINATOR, prompts::coordinator(run), Purpose::Reason);
        let found = run.findings_json(|_| true);
        talk.tell(run, &json!({"reason": run.reason(), "follows": run.follows(), "found_by_checks": found}));
        let mut turn = 0;
        while !self.is_done {
            if let Err(ended) = run.0.ledger.turn(turn) {
                run.announce(COORDINATOR, Event::BudgetExhausted { resource: Resource::Iterations });
                // Operators that run may still find something; the deadline ends this too.
                while self.operators.join_next().await.is_some() {}
                return Err(ended);
            }
            turn += 1;
            run.announce(COORDINATOR, Event::IterationStarted { iteration: turn });
            for news in self.news() {
                talk.tell(run, &news);
            }
            let status = self.status(turn);
            let Asked::Action(action) = run.ask::<CoordinatorAction>(&mut talk, &status).await? else { continue };
            let json = serde_json::to_value(&action).unwrap_or_default();
            let intent = json["intent"].as_str().unwrap_or_default().to_owned();
            run.announce(COORDINATOR, Event::ActionChosen { intent: intent.clone() });
            // Waiting again is no repetition while somebody works.
            let is_waiting = matches!(action, CoordinatorAction::Wait { .. }) && self.is_anybody_working();
            if !is_waiting && talk.repeats(&json)? {
                let error = format!("`{intent}` came {MAX_REPEATS} times in a row with the same arguments");
                talk.answer(run, &intent, &json!({"error": error, "do": "do something else, or end with `done`"}));
                continue;
            }
            let started = Instant::now();
            let answer = self.act(action).instrument(spans::tool(&intent, run.id())).await;
            let (elapsed_ms, is_refused) = (millis(started.elapsed()), answer.is_err());
            run.announce(COORDINATOR, Event::ActionDone { intent: intent.clone(), elapsed_ms, is_refused });
            talk.answer(run, &intent, &answer.unwrap_or_else(|error| json!({"error": error})));
        }
        Ok(())
    }

    fn is_anybody_working(&self) -> bool {
        !self.operators.is_empty() || !self.asides.is_empty()
    }

    /// Who has ended, and what was answered, since this was last asked.
    fn news(&mut self) -> Vec<Value> {
        let mut news = Vec::new();
        while let Some(ended) = self.operators.try_join_next() {
            news.push(self.ended(ended));
        }
        while let Some(answer) = self.asides.try_join_next() {
            news.extend(answer.ok());
        }
        news
    }

    fn ended(&self, ended: Result<Operated, tokio::task::JoinError>) -> Value {
        match ended {
            Ok(operated) => json!({
                "operator_ended": operated.skill, "state": operated.state, "ended_by": operated.ended_by,
                "findings": self.run.findings_json(|kept| kept.by == operated.skill),
            }),
            Err(error) => json!({"operator_crashed": error.to_string(), "do": "go on without it"}),
        }
    }

    /// What every request says anew: nothing of it is ever left out of the conversation.
    fn status(&self, turn: u32) -> Value {
        let running: Vec<&str> =
            self.desks.values().filter(|desk| desk.is_running()).map(|desk| desk.skill.as_str()).collect();
        let state = self.run.state();
        let findings: Vec<Value> = state
            .findings
            .iter()
            .map(|kept| json!({"id": kept.id, "by": kept.by, "status": kept.status, "cause": kept.finding.cause}))
            .collect();
        let insights: Vec<&Vec<String>> = state.insights.iter().map(|group| &group.findings).collect();
        json!({
            "turn": turn, "turns": self.run.0.ledger.budget.iterations, "running_operators": running,
            "findings": findings, "insights": insights, "seconds_left": self.run.0.ledger.left().as_secs(),
            "do": "choose the next action",
        })
    }

    async fn act(&mut self, action: CoordinatorAction) -> Result<Value, String> {
        let run = self.run;
        match action {
            CoordinatorAction::GetFindings { status } => {
                Ok(run.findings_json(|kept| status.is_none_or(|status| kept.status == status)))
            }
            CoordinatorAction::GetEvidence { id } => self.evidence(&id),
            CoordinatorAction::UpdateFindings { ids, status, reason: _ } => Ok(self.update(&ids, status)),
            CoordinatorAction::ProduceInsight { findings, correlation, hypothesis } => {
                let stated = StatedInsight { findings, correlation, hypothesis };
                run.put_together(StatedBy::COORDINATOR, &stated).map(|()| json!({"accepted": stated.findings}))
            }
            CoordinatorAction::InvokeOperators { skills, context } => self.invoke(skills, context),
            CoordinatorAction::MessageOperator { skill, message } => self.message(&skill, message),
            CoordinatorAction::GetOperators {} => Ok(self.desks.values().map(Desk::to_json).collect()),
            CoordinatorAction::Wait { ms } => self.wait(run.wait_for(ms)?).await,
            CoordinatorAction::Think { thought: _ } => Ok(json!({"noted": true})),
            CoordinatorAction::Schedule { ms, reason } => self.schedule(ms, &reason),
            CoordinatorAction::Done {} => self.done(),
        }
    }

    fn evidence(&self, id: &str) -> Result<Value, String> {
        let kept = self.run.state().findings.iter().find(|kept| kept.id == id).cloned();
        let kept = kept.ok_or_else(|| format!("there is no finding {:?}", super::payload::short(id, 20)))?;
        let touched: Vec<String> = kept.finding.skills().map(str::to_owned).collect();
        let facts: Value = self.run.told_facts(&kept.finding).into_iter().collect();
        Ok(json!({"finding": self.run.finding_json(&kept), "evidence": self.run.sendable(facts, &touched)}))
    }

    fn update(&self, ids: &[String], status: FindingStatus) -> Value {
        let mut state = self.run.state();
        let (mut updated, mut unknown) = (Vec::new(), Vec::new());
        for id in ids {
            match state.findings.iter_mut().find(|kept| kept.id == *id) {
                Some(kept) => {
                    kept.status = status;
                    updated.push(id.clone());
                }
                None => unknown.push(super::payload::short(id, 20)),
            }
        }
        json!({"updated": updated, "unknown": unknown})
    }

    fn invoke(&mut self, skills: Vec<String>, context: Option<String>) -> Result<Value, String> {
        let (known, unknown) = self.run.sort_skills(skills);
        let (mut started, mut already_running, mut too_many) = (Vec::new(), Vec::new(), Vec::new());
        for skill in known {
            if self.desks.get(&skill).is_some_and(Desk::is_running) {
                already_running.push(skill);
            } else if self.started >= MAX_OPERATORS {
                too_many.push(skill);
            } else {
                let desk = self.run.desk(&skill);
                self.desks.insert(skill.clone(), desk.clone());
                let work = operate(self.run.clone(), desk, context.clone());
                self.operators.spawn(work.instrument(self.span.clone()));
                self.started += 1;
                started.push(skill);
            }
        }
        let answer = json!({
            "started": started, "already_running": already_running, "unknown": unknown, "too_many": too_many,
        });
        if started.is_empty() && already_running.is_empty() {
            let known: Vec<&str> = self.run.skills().collect();
            return Err(format!("no operator was started: {answer}; there are the skills {}", known.join(", ")));
        }
        Ok(answer)
    }

    fn message(&mut self, skill: &str, message: String) -> Result<Value, String> {
        let desk = self.desks.get(skill).filter(|desk| desk.is_running()).cloned();
        let desk = desk.ok_or_else(|| format!("no operator of {:?} is running", super::payload::short(skill, 40)))?;
        if self.asides.len() >= MAX_ASIDES {
            return Err(format!("{MAX_ASIDES} questions are under way: wait for an answer"));
        }
        let run = self.run.clone();
        let aside = async move {
            match desk.ask(&run, &message).await {
                Ok(answer) => json!({"operator_says": answer}),
                Err(error) => json!({"operator_says_nothing": error}),
            }
        };
        self.asides.spawn(aside.instrument(self.span.clone()));
        Ok(json!({"asked": skill, "do": "go on; the answer comes by itself"}))
    }

    /// Waits; ends early when an operator ends or answers.
    async fn wait(&mut self, most: Duration) -> Result<Value, String> {
        let started = Instant::now();
        let news = tokio::select! {
            () = tokio::time::sleep(most) => None,
            Some(ended) = self.operators.join_next() => Some(self.ended(ended)),
            Some(answer) = self.asides.join_next() => answer.ok(),
        };
        let running: Vec<&String> =
            self.desks.iter().filter(|(_, desk)| desk.is_running()).map(|(skill, _)| skill).collect();
        Ok(json!({"waited_ms": millis(started.elapsed()), "news": news, "running_operators": running}))
    }

    fn refuse_while_running(&self, what: &str) -> Result<(), String> {
        let running: Vec<&str> =
            self.desks.values().filter(|desk| desk.is_running()).map(|desk| desk.skill.as_str()).collect();
        match running.as_slice() {
            [] => Ok(()),
            running => {
                Err(format!("`{what}` is refused: operators of {} are running; wait for them", running.join(", ")))
            }
        }
    }

    fn schedule(&mut self, ms: f64, reason: &str) -> Result<Value, String> {
        self.refuse_while_running("schedule")?;
        let bounds = millis(MIN_DELAY)..=millis(MAX_DELAY);
        if !bounds.contains(&ms) {
            return Err(format!(
                "an investigation can follow in {} to {} ms, not in {ms}",
                bounds.start(),
                bounds.end()
            ));
        }
        let depth = self.run.0.order.chain_depth + 1;
        if depth > MAX_CHAIN_DEPTH {
            return Err(format!("{MAX_CHAIN_DEPTH} investigations have followed each other: conclude now"));
        }
        let order = Order {
            reason: self.run.redacted(reason),
            is_question: false,
            chain_depth: depth,
            follows: None,
            ..self.run.0.order.clone()
        };
        self.run.state().follow_up = Some(FollowUp { delay: Duration::from_secs_f64(ms / 1e3), order });
        self.is_done = true;
        Ok(json!({"scheduled_in_ms": ms}))
    }

    fn done(&mut self) -> Result<Value, String> {
        self.refuse_while_running("done")?;
        let nothing = self.started == 0 && self.run.state().findings.is_empty();
        if nothing && !self.run.0.order.reason.is_empty() && self.run.skills().next().is_some() {
            return Err("there is a reason and nothing was found: start operators before you are done".to_owned());
        }
        self.is_done = true;
        let state = self.run.state();
        let unread = state.findings.iter().filter(|kept| kept.status == FindingStatus::Unread).count();
        Ok(json!({"unread": unread}))
    }
}
