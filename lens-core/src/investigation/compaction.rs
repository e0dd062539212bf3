//! Keeps a conversation short enough to be sent. Separate because of its order: old answers of actions are left out first,
//! which costs nothing; only if that is not enough, the model summarizes what is old. Findings, snapshots and facts are no
//! part of it: each request says them anew, from what lens keeps.

use serde_json::json;

use super::events::Event;
use super::prompts;
use super::run::Run;
use super::talk::{Conversation, Turn, estimate};
use super::transcript::Step;
use crate::evidence::EndedBy;
use crate::model::{Message, Prompt, Purpose, Role, Stop};

/// 24 000 tokens of a conversation, by the estimate of 4 bytes each, before it is shortened. More keeps more in view and
/// costs more in each request.
pub const COMPACT_TOKENS: u64 = 24_000;

/// 6 messages at the end are never left out.
pub const KEEP_LAST: usize = 6;

/// The most tokens of a summary.
const SUMMARY_TOKENS: u32 = 800;

pub(super) async fn compact(run: &Run, talk: &mut Conversation) -> Result<(), EndedBy> {
    let before = talk.bytes();
    if estimate(before) < COMPACT_TOKENS || talk.turns.len() <= KEEP_LAST {
        return Ok(());
    }
    let old = talk.turns.len() - KEEP_LAST;
    for turn in &mut talk.turns[..old] {
        if let Some(intent) = turn.payload_of.take() {
            let left_out =
                json!({"left_out": {"answer_of": intent, "bytes": turn.text.len()}, "do": "ask again if needed"});
            turn.text = left_out.to_string();
        }
    }
    let mut summary = None;
    if estimate(talk.bytes()) >= COMPACT_TOKENS {
        let told = talk.turns.drain(..old).map(|turn| format!("{}: {}", word(turn.role), turn.text));
        let text = told.collect::<Vec<_>>().join("\n");
        let prompt = Prompt {
            system: prompts::SUMMARIZE.to_owned(),
            messages: vec![Message { role: Role::User, text: json!({"conversation": text}).to_string() }],
            form: None,
            max_tokens: SUMMARY_TOKENS,
            purpose: Purpose::Compact,
            deadline: None,
        };
        let completion = run.complete(&talk.actor, prompt).await?;
        // A summary that was cut off says less, but nothing else.
        let text = match completion.stop {
            Stop::Refusal => String::new(),
            Stop::End | Stop::MaxTokens => run.redacted(&completion.text),
        };
        let told = json!({"summary_of_what_was_said_before": text}).to_string();
        talk.turns.insert(0, Turn { role: Role::User, text: told, payload_of: None });
        summary = Some(text);
    }
    run.0.ledger.count(|spent| spent.compactions += 1);
    let is_summary = summary.is_some();
    run.write(&talk.actor, Step::Compacted { summary });
    run.announce(&talk.actor, Event::Compacted { before, after: talk.bytes(), is_summary });
    Ok(())
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::User => "lens",
        Role::Assistant => "you",
    }
}
