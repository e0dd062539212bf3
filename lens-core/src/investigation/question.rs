//! Answers a question from what is measured: queries, then sentences with their proof. Separate because it needs no
//! operator and finds nothing wrong.

use serde_json::json;

use super::pipeline::{COORDINATOR, MAX_SKILLS};
use super::prompts;
use super::run::Run;
use super::talk::{Asked, Conversation};
use super::tools::AnswerAction;
use super::{Event, payload};
use crate::evidence::{Answered, EndedBy, Resource};
use crate::model::Purpose;
use crate::reference::SkillReference;

/// 8 turns to answer a question. More lets a model look further.
pub const MAX_TURNS: u32 = 8;

/// How many sentences an answer has at most.
const MAX_SENTENCES: usize = 8;

pub(super) async fn answer(run: &Run, mut skills: Vec<String>) -> Result<(), EndedBy> {
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
        if talk.repeats(&value)? {
            talk.tell(run, &json!({"error": "you said that before", "do": "answer"}));
            continue;
        }
        match action {
            AnswerAction::Execute { code } => {
                let answer = match run.execute(&code, run.capture()).await {
                    Ok((value, _)) => json!({"value": value}),
                    Err(error) => json!({"error": payload::short(&error, payload::MAX_TEXT_BYTES)}),
                };
                talk.answer(run, "execute", &answer);
            }
            AnswerAction::Answer { facts, hypothesis } => {
                let (mut shown, mut wrong) = (Vec::new(), Vec::new());
                for claim in facts.iter().take(MAX_SENTENCES) {
                    match run.establish(COORDINATOR, claim, run.capture()).await {
                        Ok(fact) => shown.push(fact),
                        Err(why) => wrong.push(why),
                    }
                }
                let hypothesis = run.hypothesis(hypothesis.as_deref(), &shown).unwrap_or_else(|why| {
                    wrong.push(why);
                    None
                });
                // What is true of an answer is kept even if the rest is never corrected.
                let better = Answered { question: question.clone(), facts: shown, hypothesis };
                let mut state = run.state();
                if state.answer.as_ref().is_none_or(|known| known.facts.len() <= better.facts.len()) {
                    state.answer = Some(better);
                }
                drop(state);
                if wrong.is_empty() {
                    return Ok(());
                }
                talk.tell(run, &json!({"refused": wrong, "do": "correct the answer, and state all of it again"}));
            }
        }
    }
    run.announce(COORDINATOR, Event::BudgetExhausted { resource: Resource::Iterations });
    Err(EndedBy::Budget(Resource::Iterations))
}
