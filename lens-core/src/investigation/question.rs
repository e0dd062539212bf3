//! Answers a question from what is measured: queries, then sentences with their proof. Separate because it needs no
//! operator and finds nothing wrong.

use std::time::Instant;

use serde_json::{Value, json};
use tracing::Instrument;

use super::claims::Claim;
use super::pipeline::{COORDINATOR, MAX_SKILLS};
use super::prompts;
use super::run::Run;
use super::spans;
use super::talk::{Asked, Conversation};
use super::tools::AnswerAction;
use super::{Event, payload};
use crate::evidence::{Answered, EndedBy, Resource};
use crate::model::Purpose;
use crate::reference::SkillReference;
use crate::time::millis;

/// 8 turns to answer a question. More lets a model look further.
pub const MAX_TURNS: u32 = 8;

/// How many sentences an answer has at most.
const MAX_SENTENCES: usize = 8;

pub(super) async fn answer(run: &Run, skills: Vec<String>) -> Result<(), EndedBy> {
    look_and_answer(run, skills).instrument(spans::agent(COORDINATOR, run.id())).await
}

async fn look_and_answer(run: &Run, mut skills: Vec<String>) -> Result<(), EndedBy> {
    skills.truncate(MAX_SKILLS);
    let question = run.reason();
    let found: Vec<SkillReference> =
        skills.iter().filter_map(|name| run.0.service.registry.get(name).ok()).map(SkillReference::of).collect();
    run.state().answer = Some(Answered { question: question.clone(), facts: Vec::new(), hypothesis: None });
    if found.is_empty() {
        // No skill knows: that is the answer.
        return Ok(());
    }
    let mut talk = Conversation::new(run, COORDINATOR, prompts::answer(&found), Purpose::Reply);
    let snapshots: Vec<_> = skills
        .iter()
        .filter_map(|skill| run.snapshot(skill, run.capture()).ok())
        .map(|snapshot| snapshot.to_json())
        .collect();
    let findings = run.findings_json(|_| true);
    talk.tell(run, &json!({"question": question, "snapshots": snapshots, "found_by_checks": findings}));
    for turn in 1..=MAX_TURNS {
        run.0.ledger.turn(turn - 1)?;
        run.announce(COORDINATOR, Event::IterationStarted { iteration: turn });
        let status = json!({"turn": turn, "turns": MAX_TURNS, "do": "find out, or answer"});
        let Asked::Action(action) = run.ask::<AnswerAction>(&mut talk, &status).await? else { continue };
        let value = serde_json::to_value(&action).unwrap_or_default();
        let intent = value["intent"].as_str().unwrap_or_default().to_owned();
        run.announce(COORDINATOR, Event::ActionChosen { intent: intent.clone() });
        if talk.repeats(&value)? {
            talk.tell(run, &json!({"error": "you said that before", "do": "answer"}));
            continue;
        }
        let started = Instant::now();
        let is_answer = matches!(action, AnswerAction::Answer { .. });
        let came = act(run, action).instrument(spans::tool(&intent, run.id())).await;
        let (elapsed_ms, is_refused) = (millis(started.elapsed()), came.is_err());
        run.announce(COORDINATOR, Event::ActionDone { intent: intent.clone(), elapsed_ms, is_refused });
        match came {
            Ok(_) if is_answer => return Ok(()),
            Ok(came) | Err(came) if !is_answer => talk.answer(run, &intent, &came),
            Ok(came) | Err(came) => talk.tell(run, &came),
        }
    }
    run.announce(COORDINATOR, Event::BudgetExhausted { resource: Resource::Iterations });
    Err(EndedBy::Budget(Resource::Iterations))
}

/// Does what the model chose: what it is told, and whether that is a refusal.
async fn act(run: &Run, action: AnswerAction) -> Result<Value, Value> {
    match action {
        AnswerAction::Execute { code } => match run.execute(&code, run.capture()).await {
            Ok((value, _)) => Ok(json!({"value": value})),
            Err(error) => Err(json!({"error": payload::short(&error, payload::MAX_TEXT_BYTES)})),
        },
        AnswerAction::Answer { facts, hypothesis } => match state(run, &facts, hypothesis.as_deref()).await {
            wrong if wrong.is_empty() => Ok(Value::Null),
            wrong => Err(json!({"refused": wrong, "do": "correct the answer, and state all of it again"})),
        },
    }
}

/// Keeps what is true of an answer, and says what is not.
async fn state(run: &Run, facts: &[Claim], hypothesis: Option<&str>) -> Vec<String> {
    let (mut shown, mut wrong) = (Vec::new(), Vec::new());
    for claim in facts.iter().take(MAX_SENTENCES) {
        match run.establish(COORDINATOR, claim, run.capture()).await {
            Ok(fact) => shown.push(fact),
            Err(why) => wrong.push(why),
        }
    }
    let hypothesis = run.hypothesis(hypothesis, &shown).unwrap_or_else(|why| {
        wrong.push(why);
        None
    });
    // What is true of an answer is kept even if the rest is never corrected.
    let better = Answered { question: run.reason(), facts: shown, hypothesis };
    let mut state = run.state();
    if state.answer.as_ref().is_none_or(|known| known.facts.len() <= better.facts.len()) {
        state.answer = Some(better);
    }
    wrong
}
