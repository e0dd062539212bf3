//! What happens in investigations, as it happens: one stream of typed events for programs, pages and tests. Separate because
//! whoever listens sees nothing else of an investigation, and can never hold it up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::evidence::{EndedBy, HealthState, Resource, Severity};
use crate::model::{ErrorClass, Purpose};
use crate::store::Store;
use crate::time::Timestamp;

/// 1 024 events wait for a listener at most. More lets a slow one fall further behind before it misses some, and takes
/// memory; what it missed is counted.
pub const MAX_EVENTS: usize = 1_024;

/// Something that happened in an investigation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happened {
    /// Counts all events of this lens, from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// The investigation.
    pub investigation: String,
    /// Who: `coordinator`, or the skill whose operator it is.
    pub actor: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal { $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty,)* })*) => {
        /// What can happen. No event holds data of the service beyond what the report shows.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "event", rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Event {
            $($(#[doc = $doc])+ $name { $($(#[doc = $field_doc])+ $field: $type,)* },)*
        }

        impl Event {
            /// The names of all events, with what each says.
            pub const ALL: &'static [(&'static str, &'static str)] = &[$(($word, concat!($($doc),+)),)*];

            /// The name by which it is written.
            #[must_use]
            pub const fn word(&self) -> &'static str {
                match self { $(Self::$name { .. } => $word,)* }
            }
        }
    };
}

events! {
    /// An investigation begins.
    Started = "started" {
        /// How it is done.
        strategy: String,
        /// Whether nobody asked for it: a model scheduled it.
        is_automatic: bool,
    }
    /// The checks have been evaluated.
    Checked = "checked" {
        /// How many findings they have.
        findings: usize,
    }
    /// A loop begins its next turn.
    IterationStarted = "iteration_started" {
        /// Which, from 1.
        iteration: u32,
    }
    /// The model is asked.
    ModelStarted = "model_started" {
        /// What for.
        purpose: Purpose,
        /// Bytes of the prompt.
        bytes: usize,
    }
    /// The model answered.
    ModelStopped = "model_stopped" {
        /// Which model.
        model: String,
        /// How long it took, in milliseconds.
        elapsed_ms: f64,
        /// Tokens of the prompt and the answer, if the provider counts them.
        tokens: Option<u64>,
    }
    /// The model gave no answer.
    ModelFailed = "model_failed" {
        /// What kind of failure.
        class: ErrorClass,
        /// How long until it is asked again, in milliseconds; `None` if it is not.
        retry_in_ms: Option<f64>,
    }
    /// The model's answer is no action; it is told why.
    InvalidOutput = "invalid_output" {
        /// What is wrong.
        why: String,
    }
    /// The model chose an action.
    ActionChosen = "action_chosen" {
        /// Which.
        intent: String,
    }
    /// An action was carried out or refused.
    ActionDone = "action_done" {
        /// Which.
        intent: String,
        /// How long it took, in milliseconds.
        elapsed_ms: f64,
        /// Whether it was refused; the model is told why.
        is_refused: bool,
    }
    /// A part of the budget is used up.
    BudgetExhausted = "budget_exhausted" {
        /// Which.
        resource: Resource,
    }
    /// A conversation was shortened.
    Compacted = "compacted" {
        /// Bytes before.
        before: usize,
        /// Bytes after.
        after: usize,
        /// Whether the model summarized it, and not only old payloads were left out.
        is_summary: bool,
    }
    /// The pipeline knows what it looks into.
    Classified = "classified" {
        /// Whether it is a question, and no investigation.
        is_question: bool,
        /// The skills.
        skills: Vec<String>,
    }
    /// The model named skills that there are not.
    SkillsUnknown = "skills_unknown" {
        /// What it called them.
        skills: Vec<String>,
    }
    /// An operator begins.
    OperatorStarted = "operator_started" {
        /// The skill.
        skill: String,
    }
    /// An operator says how its area is.
    StateChanged = "state_changed" {
        /// How it was.
        from: HealthState,
        /// How it is.
        to: HealthState,
    }
    /// A finding was accepted: its facts are true.
    FindingAdded = "finding_added" {
        /// Its id in the investigation.
        id: String,
        /// How bad it is.
        severity: Severity,
        /// What is wrong.
        summary: String,
    }
    /// A fact that a model stated is none.
    FactRefused = "fact_refused" {
        /// Why.
        why: String,
    }
    /// An operator has ended.
    OperatorEnded = "operator_ended" {
        /// The skill.
        skill: String,
        /// What ended it.
        ended_by: EndedBy,
        /// How many findings it added.
        findings: usize,
    }
    /// Findings were put together.
    InsightProduced = "insight_produced" {
        /// Their ids.
        findings: Vec<String>,
    }
    /// An investigation is to follow.
    Scheduled = "scheduled" {
        /// Its id among the schedules.
        id: String,
        /// In how many milliseconds.
        delay_ms: f64,
    }
    /// An investigation has ended; its report is there.
    Ended = "ended" {
        /// What ended it.
        ended_by: EndedBy,
        /// The report's word for the whole.
        status: String,
        /// Tokens that it took.
        tokens: u64,
    }
}

/// Where events are announced. Clones are one.
#[derive(Clone, Debug)]
pub struct Events {
    sender: broadcast::Sender<Happened>,
    number: Arc<Mutex<u64>>,
    /// By all listeners together.
    missed: Arc<AtomicU64>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(MAX_EVENTS), number: Arc::default(), missed: Arc::default() }
    }
}

impl Events {
    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener { receiver: self.sender.subscribe(), missed: 0, missed_by_all: Arc::clone(&self.missed) }
    }

    /// The events that wait for the slowest listener. The older ones of more than [`MAX_EVENTS`] count as dropped by whoever
    /// misses them: [`Listener::missed_total`].
    #[must_use]
    pub fn store(&self) -> Store {
        Store {
            name: "events".into(),
            len_count: self.sender.len() as u64,
            cap_count: MAX_EVENTS as u64,
            // The ring is there from the start.
            memory_bytes: (MAX_EVENTS * size_of::<Happened>()) as u64,
            dropped_total: self.missed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn announce(&self, investigation: &str, actor: &str, event: Event) {
        // Held while sending, so that listeners see the numbers in order; nothing panics under it.
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        *number += 1;
        let happened = Happened {
            number: *number,
            at: Timestamp::now(),
            investigation: investigation.to_owned(),
            actor: actor.to_owned(),
            event,
        };
        // Nobody may listen.
        let _ = self.sender.send(happened);
    }
}

/// Hears events, one after the other.
#[derive(Debug)]
pub struct Listener {
    receiver: broadcast::Receiver<Happened>,
    missed: u64,
    missed_by_all: Arc<AtomicU64>,
}

impl Listener {
    /// The next event; `None` when lens has stopped. Needs no particular runtime.
    pub async fn next(&mut self) -> Option<Happened> {
        loop {
            match self.receiver.recv().await {
                Ok(happened) => return Some(happened),
                Err(broadcast::error::RecvError::Lagged(missed)) => self.miss(missed),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Happened> {
        loop {
            match self.receiver.try_recv() {
                Ok(happened) => return Some(happened),
                Err(broadcast::error::TryRecvError::Lagged(missed)) => self.miss(missed),
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => return None,
            }
        }
    }

    fn miss(&mut self, missed: u64) {
        self.missed += missed;
        self.missed_by_all.fetch_add(missed, Ordering::Relaxed);
    }

    /// How many events it missed, because it was too slow.
    #[must_use]
    pub fn missed_total(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_listener_misses_the_oldest_and_knows_how_many() {
        let events = Events::default();
        let mut listener = events.listen();
        for findings in 0..MAX_EVENTS + 10 {
            events.announce("i", "coordinator", Event::Checked { findings });
        }
        let heard: Vec<u64> = std::iter::from_fn(|| listener.try_next()).map(|happened| happened.number).collect();
        assert_eq!((heard.len(), heard[0], listener.missed_total()), (MAX_EVENTS, 11, 10));
        assert_eq!(events.store().dropped_total, 10);
    }

    #[test]
    fn an_event_is_written_by_its_word() {
        let event = Event::BudgetExhausted { resource: Resource::Tokens };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json, serde_json::json!({"event": "budget_exhausted", "resource": "tokens"}));
        assert_eq!(json["event"], event.word());
    }
}
