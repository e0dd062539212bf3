//! What was sent to a model and what it answered, to be read afterwards. Separate because it is kept as it was sent: secrets
//! are gone from it before it is stored.

use serde::{Deserialize, Serialize};

use crate::evidence::FalseFact;
use crate::model::{ErrorClass, Usage};
use crate::time::Timestamp;

/// 1 MiB of texts in one transcript. More keeps longer investigations whole, and takes memory for each that is kept.
pub const MAX_TRANSCRIPT_BYTES: usize = 1 << 20;

/// A conversation with a model, or several at once, in the order in which it happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// What happened.
    pub entries: Vec<Entry>,
    /// Entries that are not kept, because there would be too many bytes.
    pub dropped: u64,
    #[serde(skip)]
    bytes: usize,
}

/// One step of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Whose conversation: `coordinator`, or the skill whose operator it is.
    pub actor: String,
    /// What.
    #[serde(flatten)]
    pub step: Step,
}

/// What a step of a conversation can be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The model was told who it is; this is in front of every request of the conversation.
    Instructed {
        /// The text.
        text: String,
    },
    /// The model was told something: data, what an action gave, or what was wrong. It is in every later request of the
    /// conversation, until the conversation is shortened.
    Told {
        /// The text.
        text: String,
    },
    /// The model was asked; the last message of the request, which is in no later one.
    Asked {
        /// The text.
        text: String,
    },
    /// The model answered.
    Said {
        /// Which model.
        model: String,
        /// The text.
        text: String,
        /// What it took, if the provider says so.
        usage: Option<Usage>,
    },
    /// The model gave no answer.
    Failed {
        /// What kind of failure.
        class: ErrorClass,
        /// What it said.
        message: String,
    },
    /// A fact that the model stated is none.
    Refused {
        /// The fact, and why.
        fact: FalseFact,
    },
    /// The conversation was shortened.
    Compacted {
        /// What stands for the part that was left out, if the model summarized it.
        summary: Option<String>,
    },
}

impl Transcript {
    pub(super) fn add(&mut self, actor: &str, step: Step) {
        let bytes = match &step {
            Step::Instructed { text } | Step::Told { text } | Step::Asked { text } | Step::Said { text, .. } => {
                text.len()
            }
            Step::Failed { message, .. } => message.len(),
            Step::Refused { fact } => fact.text.len() + fact.expr.len() + fact.why.len(),
            Step::Compacted { summary } => summary.as_ref().map_or(0, String::len),
        };
        // What an entry takes beside its texts.
        const EACH: usize = 128;
        if self.bytes + bytes + EACH > MAX_TRANSCRIPT_BYTES {
            self.dropped += 1;
            return;
        }
        self.bytes += bytes + EACH;
        self.entries.push(Entry { at: Timestamp::now(), actor: actor.to_owned(), step });
    }
}
