//! A conversation with the model, and one typed answer in it: within the budget, tried again where that makes sense,
//! written down. Separate because every loop talks in the same way.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::Instrument;

use super::envelope::{self, Action};
use super::events::Event;
use super::payload::short;
use super::run::Run;
use super::spans;
use super::transcript::Step;
use crate::evidence::EndedBy;
use crate::model::{Completion, ErrorClass, Form, Message, Model, ModelError, Prompt, Purpose, Role};
use crate::time::millis;

/// 3 more tries of a call that failed in a way that may pass. More survives longer troubles of a provider.
pub const MAX_RETRIES: u32 = 3;

/// 200 ms before the first retry; each later one waits [`RETRY_FACTOR`] times as long, and all a little longer by chance.
pub const RETRY_DELAY: Duration = Duration::from_millis(200);

/// By how much each retry waits longer.
pub const RETRY_FACTOR: f64 = 1.5;

/// 10 s before a retry at most, unless the provider wants more.
pub const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// 2 min for one call. More waits for slower models.
pub const CALL_DEADLINE: Duration = Duration::from_secs(120);

/// 1 200 tokens of one answer. More lets a model say more at once, and is reserved of the budget by each call.
pub const MAX_ANSWER_TOKENS: u32 = 1_200;

/// How often the same action may come in a row before the model is told; once more ends the loop.
pub(super) const MAX_REPEATS: u32 = 3;

/// How many answers in a row may be no action.
const MAX_INVALID: u32 = 2;

/// What was said so far to one actor.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) actor: String,
    pub(super) system: String,
    pub(super) turns: Vec<Turn>,
    pub(super) purpose: Purpose,
    invalid: u32,
    last: Option<String>,
    repeats: u32,
}

/// One message, and whether it is the payload of an action, which can be asked for again.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) role: Role,
    pub(super) text: String,
    /// The action whose answer it is.
    pub(super) payload_of: Option<String>,
}

/// What came of asking.
pub(super) enum Asked<T> {
    /// An action.
    Action(T),
    /// No action; the model is told why when it is asked again.
    Invalid,
}

impl Conversation {
    pub(super) fn new(run: &Run, actor: &str, system: String, purpose: Purpose) -> Self {
        run.write(actor, Step::Instructed { text: system.clone() });
        Self { actor: actor.to_owned(), system, turns: Vec::new(), purpose, invalid: 0, last: None, repeats: 0 }
    }

    /// Tells the model something: data of the service is in it as JSON only.
    pub(super) fn tell(&mut self, run: &Run, value: &Value) {
        self.push(run, value, None);
    }

    /// Tells the model what an action gave.
    pub(super) fn answer(&mut self, run: &Run, intent: &str, value: &Value) {
        self.push(run, value, Some(intent.to_owned()));
    }

    fn push(&mut self, run: &Run, value: &Value, payload_of: Option<String>) {
        let text = run.redacted_value(value).to_string();
        run.write(&self.actor, Step::Told { text: text.clone() });
        self.turns.push(Turn { role: Role::User, text, payload_of });
    }

    pub(super) fn bytes(&self) -> usize {
        self.system.len() + self.turns.iter().map(|turn| turn.text.len()).sum::<usize>()
    }

    fn prompt(&self, last: String, form: Option<Form>) -> Prompt {
        let told = self.turns.iter().map(|turn| Message { role: turn.role, text: turn.text.clone() });
        let last = Message { role: Role::User, text: last };
        let mut messages: Vec<Message> = Vec::new();
        // Providers want the roles in turn.
        for message in told.chain([last]) {
            match messages.last_mut().filter(|before| before.role == message.role) {
                Some(before) => {
                    before.text.push('\n');
                    before.text.push_str(&message.text);
                }
                None => messages.push(message),
            }
        }
        Prompt {
            system: self.system.clone(),
            messages,
            form,
            max_tokens: MAX_ANSWER_TOKENS,
            purpose: self.purpose,
            deadline: None,
        }
    }

    /// Counts an action, given as JSON: whether it came [`MAX_REPEATS`] times in a row and the model has to be told.
    pub(super) fn repeats(&mut self, action: &Value) -> Result<bool, EndedBy> {
        let text = action.to_string();
        if self.last.as_ref() == Some(&text) {
            self.repeats += 1;
        } else {
            self.repeats = 1;
            self.last = Some(text);
        }
        if self.repeats > MAX_REPEATS {
            let intent = action.get("intent").and_then(Value::as_str).unwrap_or_default();
            return Err(EndedBy::Repetition(intent.to_owned()));
        }
        Ok(self.repeats == MAX_REPEATS)
    }
}

impl Run {
    /// Asks for the next action. `status` says where things stand; it is in this request only.
    pub(super) async fn ask<T: Action>(&self, talk: &mut Conversation, status: &Value) -> Result<Asked<T>, EndedBy> {
        super::compaction::compact(self, talk).await?;
        let status = status.to_string();
        self.write(&talk.actor, Step::Asked { text: status.clone() });
        let completion = self.complete(&talk.actor, talk.prompt(status, Some(T::form()))).await?;
        let said = self.redacted(&completion.text);
        talk.turns.push(Turn { role: Role::Assistant, text: short(&said, 8 << 10), payload_of: None });
        match envelope::read(&completion) {
            Ok(action) => {
                talk.invalid = 0;
                Ok(Asked::Action(action))
            }
            Err(why) => {
                let why = self.redacted(&short(&why, 500));
                self.announce(&talk.actor, Event::InvalidOutput { why: why.clone() });
                talk.invalid += 1;
                if talk.invalid >= MAX_INVALID {
                    return Err(EndedBy::InvalidOutput(why));
                }
                let hint = "answer with one JSON object {\"action\": {\"intent\": …}} and nothing else; \
                            functions of skills are not intents: call them in the code of `execute`";
                talk.tell(self, &serde_json::json!({"error": format!("invalid action: {why}"), "do": hint}));
                Ok(Asked::Invalid)
            }
        }
    }

    /// One answer of the model, tried again as often as that makes sense.
    pub(super) async fn complete(&self, actor: &str, mut prompt: Prompt) -> Result<Completion, EndedBy> {
        let model = self.0.settings.model.as_ref().ok_or(EndedBy::NoModel)?;
        let mut tries = 0;
        loop {
            // The investigation may end before the call has had its time.
            prompt.deadline = Some(CALL_DEADLINE.min(self.0.ledger.left()));
            let error = match self.call(actor, model, &prompt).await? {
                Ok(completion) => return Ok(completion),
                Err(error) => error,
            };
            let message = self.redacted(&short(&error.message, 500));
            self.write(actor, Step::Failed { class: error.class, message: message.clone() });
            let delay = error.retry_after.unwrap_or_else(|| backoff(tries));
            let is_worth_it = error.class.is_retryable() && tries < MAX_RETRIES && delay < self.0.ledger.left();
            let retry_in_ms = is_worth_it.then(|| millis(delay));
            self.announce(actor, Event::ModelFailed { class: error.class, retry_in_ms });
            if !is_worth_it {
                return Err(EndedBy::ModelFailed { class: error.class, message });
            }
            tries += 1;
            self.0.ledger.count(|spent| spent.retries += 1);
            tokio::time::sleep(delay).await;
        }
    }

    /// One call.
    async fn call(
        &self,
        actor: &str,
        model: &Arc<dyn Model>,
        prompt: &Prompt,
    ) -> Result<Result<Completion, ModelError>, EndedBy> {
        let told: usize = prompt.messages.iter().map(|message| message.text.len()).sum();
        let form = prompt.form.as_ref().map_or(0, |form| form.schema.to_string().len());
        let bytes = prompt.system.len() + told + form;
        let reserved = self.0.ledger.reserve(estimate(bytes) + u64::from(prompt.max_tokens)).inspect_err(|ended| {
            if let EndedBy::Budget(resource) = ended {
                self.announce(actor, Event::BudgetExhausted { resource: *resource });
            }
        })?;
        self.announce(actor, Event::ModelStarted { purpose: prompt.purpose, bytes });
        let started = Instant::now();
        let span = spans::chat(&model.name(), self.id());
        let answer = tokio::time::timeout(CALL_DEADLINE, model.answer(prompt)).instrument(span.clone()).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(ModelError::new(ErrorClass::Timeout, format!("no answer within {} s", CALL_DEADLINE.as_secs())))
        });
        match answer {
            Ok(completion) => {
                reserved.settle(completion.usage, completion.unanswered);
                spans::answered(&span, &completion);
                self.state().models.insert(completion.model.clone());
                self.announce(
                    actor,
                    Event::ModelStopped {
                        model: completion.model.clone(),
                        elapsed_ms: millis(started.elapsed()),
                        tokens: completion.usage.map(crate::model::Usage::total),
                    },
                );
                let text = self.redacted(&completion.text);
                self.write(actor, Step::Said { model: completion.model.clone(), text, usage: completion.usage });
                Ok(Ok(completion))
            }
            Err(error) => {
                spans::failed(&span, error.class);
                reserved.fail(error.unanswered);
                Ok(Err(error))
            }
        }
    }
}

/// About how many tokens a text has.
pub(super) fn estimate(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

/// How long to wait before the next try, after so many retries: up to a quarter longer by chance, so that many who failed
/// together do not come back together.
fn backoff(retries: u32) -> Duration {
    let longer = RETRY_FACTOR.powi(i32::try_from(retries).unwrap_or(i32::MAX));
    let chance = u32::try_from(RandomState::new().hash_one(retries) % 256).unwrap_or(0);
    let delay = RETRY_DELAY.mul_f64(longer).min(MAX_RETRY_DELAY);
    delay.mul_f64(1.0 + f64::from(chance) / 1_024.0)
}
