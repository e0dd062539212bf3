//! What lens needs of a language model: one answer to one prompt. Separate from whoever asks and from whoever answers, so
//! that tests and services can bring a model of their own.

mod scripted;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use scripted::{Line, Scripted};

/// Answers prompts. [`answer`](Self::answer) is called on lens's own threads, never on the service's; several calls may
/// run at once.
///
/// A call ends when its future is dropped: whoever asks enforces deadlines and cancels so, and expects that nothing goes on
/// behind its back.
pub trait Model: Send + Sync + 'static {
    /// What to call it in reports: `provider/model`.
    fn name(&self) -> String;

    /// One answer, tried once: retries are the business of whoever asks, because they count against its budget.
    ///
    /// # Errors
    ///
    /// The model gave none; the class of the error says whether another try makes sense.
    fn answer<'a>(&'a self, prompt: &'a Prompt) -> Answering<'a>;
}

/// An answer under way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Completion, ModelError>> + Send + 'a>>;

impl<M: Model + ?Sized> Model for Arc<M> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn answer<'a>(&'a self, prompt: &'a Prompt) -> Answering<'a> {
        (**self).answer(prompt)
    }
}

/// What a model is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Who it is and what it may do. Never holds data of the service.
    pub system: String,
    /// The conversation so far, the oldest first; the last one is the user's.
    pub messages: Vec<Message>,
    /// The form that the answer must have, if any.
    pub form: Option<Form>,
    /// The most tokens of the answer.
    pub max_tokens: u32,
    /// What the answer is for, so that a cheaper model can do what does not need the best.
    pub purpose: Purpose,
    /// How long it is waited for, from the call of [`Model::answer`] on; `None` if that is not known. Whoever asks enforces
    /// it: a model that asks several others leaves each of them a part of it.
    pub deadline: Option<Duration>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Whose it is.
    pub role: Role,
    /// What it says. Data of the service is JSON in a message of the user.
    pub text: String,
}

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Lens: questions, and what tools answered.
    User,
    /// The model.
    Assistant,
}

/// The form of an answer: a JSON schema, and its name for providers that want one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Form {
    /// Letters, digits and `_`.
    pub name: String,
    /// The schema of an object.
    pub schema: Value,
}

/// What an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Sort a request: which skills, which kind.
    Classify,
    /// Choose the next action, or draw the conclusion.
    Reason,
    /// Shorten a conversation.
    Compact,
    /// Answer a person.
    Reply,
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The answer.
    pub text: String,
    /// What it took; `None` if the model does not say.
    pub usage: Option<Usage>,
    /// Why it ends where it ends.
    pub stop: Stop,
    /// Which model answered: [`Model::name`] of the one that did, where several stand by.
    pub model: String,
    /// Requests before it that may have been read and came to nothing: each counts as much as was reserved for one.
    pub unanswered: u32,
}

/// Tokens, as the provider counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It is complete.
    End,
    /// It reached [`Prompt::max_tokens`]: what there is, is cut off and must not be used.
    MaxTokens,
    /// The provider withheld it.
    Refusal,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelError {
    /// What kind of failure it is.
    pub class: ErrorClass,
    /// What happened, for people. Holds no key.
    pub message: String,
    /// How long the provider wants us to wait.
    pub retry_after: Option<Duration>,
    /// Requests that may have been read and came to nothing: each counts as much as was reserved for one. 0 only if surely
    /// nobody read any.
    pub unanswered: u32,
}

impl ModelError {
    /// The failure of one request. It may have been read, unless its class is that of a provider's no, or of a request that
    /// was not sent: [`RateLimited`](ErrorClass::RateLimited), [`Unauthorized`](ErrorClass::Unauthorized) and
    /// [`Rejected`](ErrorClass::Rejected).
    #[must_use]
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        let is_refusal = matches!(class, ErrorClass::RateLimited | ErrorClass::Unauthorized | ErrorClass::Rejected);
        Self { class, message: message.into(), retry_after: None, unanswered: u32::from(!is_refusal) }
    }
}

/// What kind of failure it is, and so whether another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Too many requests: wait, then try again.
    RateLimited,
    /// The provider is ill (5xx, 408, 409): try again.
    Unavailable,
    /// Nobody could be reached, or the connection broke: try again.
    Connection,
    /// It took too long: try again if there is time.
    Timeout,
    /// The key is missing or wrong: trying again is useless.
    Unauthorized,
    /// The request is wrong (any other 4xx): trying again is useless.
    Rejected,
    /// The answer is not what the protocol says: try again.
    Malformed,
}

impl ErrorClass {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Unauthorized | Self::Rejected)
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ModelError {}
