//! The strategy `pipeline`: the model says which skills matter, operators look into them at once, and the model puts together
//! what they found. Separate because its order is fixed: the model decides what, never how long.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use super::conclude::StatedBy;
use super::events::Event;
use super::operator::operate;
use super::run::Run;
use super::talk::{Asked, Conversation};
use super::tools::{Classified, Synthesized};
use super::{panicked, prompts};
use crate::evidence::EndedBy;
use crate::model::Purpose;

/// The share of the time after which operators are not waited for any more, so that what they found can be put together.
pub const GATHER_SHARE: f64 = 0.8;

/// How many skills are looked into at most.
pub const MAX_SKILLS: usize = 6;

/// Whoever speaks for the investigation as a whole.
pub(super) const COORDINATOR: &str = "coordinator";

pub(super) async fn investigate(run: &Run) -> Result<(), EndedBy> {
    let (skills, context, is_question) = match classify(run).await? {
        Classified::Question { skills } => (skills, None, true),
        // Who asks a question wants an answer, whatever the model makes of it.
        Classified::Investigation { skills, context } => (skills, context, run.0.order.is_question),
    };
    let (mut skills, _) = run.sort_skills(skills);
    skills.truncate(MAX_SKILLS);
    run.announce(COORDINATOR, Event::Classified { is_question, skills: skills.clone() });
    if is_question {
        return super::question::answer(run, skills).await;
    }
    let cut = gather(run, &skills, context).await?;
    synthesize(run).await?;
    cut.map_or(Ok(()), Err)
}

async fn classify(run: &Run) -> Result<Classified, EndedBy> {
    let mut talk = Conversation::new(run, COORDINATOR, prompts::classify(run), Purpose::Classify);
    let found = run.findings_json(|_| true);
    talk.tell(run, &json!({"request": run.reason(), "follows": run.follows(), "found_by_checks": found}));
    loop {
        if let Asked::Action(classified) = run.ask(&mut talk, &json!({"do": "classify the request"})).await? {
            return Ok(classified);
        }
    }
}

/// Runs an operator for each skill at once, until all have ended or there is only time left to conclude. One that fails is
/// named in the report, and the others go on; if all do, that is the end. Gives what cut them short if none came to its end.
async fn gather(run: &Run, skills: &[String], context: Option<String>) -> Result<Option<EndedBy>, EndedBy> {
    let left = run.0.ledger.left();
    let until = Instant::now() + Duration::from_secs_f64(left.as_secs_f64() * GATHER_SHARE);
    let mut operators = JoinSet::new();
    for skill in skills {
        operators.spawn(operate(run.clone(), run.desk(skill), context.clone()).in_current_span());
    }
    let (mut failed, mut cut) = (None, None);
    let (mut has_worked, mut has_completed) = (skills.is_empty(), skills.is_empty());
    // Dropping the set at the end of the time ends those that still run; their findings are kept.
    while let Ok(Some(ended)) = tokio::time::timeout_at(until, operators.join_next()).await {
        let ended_by = match ended {
            Ok(operated) => operated.ended_by,
            Err(error) => Some(EndedBy::Panic(run.redacted(&panicked(error)))),
        };
        match ended_by {
            Some(ended @ (EndedBy::ModelFailed { .. } | EndedBy::NoModel | EndedBy::Panic(_))) => {
                failed = failed.or(Some(ended));
            }
            None | Some(EndedBy::Completion) => (has_worked, has_completed) = (true, true),
            // A loop that does not end by itself has looked all the same.
            Some(ended) => {
                has_worked = true;
                cut = cut.or(Some(ended));
            }
        }
    }
    // Those that still run when the time is up have worked, too.
    match failed {
        Some(ended) if !has_worked && operators.is_empty() => Err(ended),
        _ if has_completed => Ok(None),
        _ if operators.is_empty() => Ok(cut),
        _ => Ok(cut.or(Some(EndedBy::Deadline))),
    }
}

async fn synthesize(run: &Run) -> Result<(), EndedBy> {
    let findings = run.findings_json(|_| true);
    // One finding has nothing to be put together with.
    if findings.as_array().is_none_or(|findings| findings.len() < 2) {
        return Ok(());
    }
    let mut talk = Conversation::new(run, COORDINATOR, prompts::synthesize(), Purpose::Reason);
    talk.tell(run, &json!({"request": run.reason(), "findings": findings}));
    // What is refused is told once, and may be corrected once.
    let mut corrected = false;
    loop {
        let asked = run.ask(&mut talk, &json!({"do": "put the findings together"})).await?;
        let Asked::Action(Synthesized::Conclude { insights }) = asked else { continue };
        let refused: Vec<Value> = insights
            .iter()
            .filter_map(|insight| run.put_together(StatedBy::COORDINATOR, insight).err())
            .map(Value::String)
            .collect();
        if refused.is_empty() || corrected {
            return Ok(());
        }
        corrected = true;
        talk.tell(
            run,
            &json!({"refused": refused, "do": "state those again that you can correct; the others are kept"}),
        );
    }
}
