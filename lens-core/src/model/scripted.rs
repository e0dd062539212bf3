//! A model that says what it is told to say. Separate because it is for tests, of lens and of services: what an investigation
//! does with answers, failures and silence can be seen without a provider.

use std::fmt;
use std::future::pending;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::{Answering, Completion, ErrorClass, Model, ModelError, Prompt, Stop, Usage};

/// What a scripted model does when it is asked.
#[derive(Clone, Debug)]
pub struct Line {
    after: Duration,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Answer(Completion),
    Error(ModelError),
    Silence,
    Panic(String),
}

impl Line {
    /// It answers this text, and counts four bytes as a token.
    #[must_use]
    pub fn says(text: impl Into<String>) -> Self {
        let text = text.into();
        let completion = Completion {
            usage: Some(Usage { input_tokens: 100, output_tokens: text.len().div_ceil(4) as u64 }),
            text,
            stop: Stop::End,
            model: NAME.to_owned(),
            unanswered: 0,
        };
        Self::of(What::Answer(completion))
    }

    /// It answers one action: `{"action": …}`.
    #[must_use]
    pub fn acts(action: &Value) -> Self {
        Self::says(format!("{{\"action\":{action}}}"))
    }

    /// It answers exactly this.
    #[must_use]
    pub fn completes(completion: Completion) -> Self {
        Self::of(What::Answer(completion))
    }

    /// It fails.
    #[must_use]
    pub fn fails(class: ErrorClass) -> Self {
        Self::of(What::Error(ModelError::new(class, format!("scripted: {class:?}"))))
    }

    /// It fails exactly so.
    #[must_use]
    pub fn errs(error: ModelError) -> Self {
        Self::of(What::Error(error))
    }

    /// It never answers.
    #[must_use]
    pub fn is_silent() -> Self {
        Self::of(What::Silence)
    }

    /// It panics.
    #[must_use]
    pub fn panics(message: impl Into<String>) -> Self {
        Self::of(What::Panic(message.into()))
    }

    /// It takes its time before.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    fn of(what: What) -> Self {
        Self { after: Duration::ZERO, what }
    }
}

/// What a scripted model is called.
const NAME: &str = "scripted/model";

type Script = Box<dyn FnMut(&Prompt) -> Line + Send>;

/// A model that follows a script.
///
/// # Examples
///
/// ```
/// use lens_core::model::{Line, Scripted};
/// use serde_json::json;
///
/// let model = Scripted::new(|prompt| match prompt.messages.len() {
///     1 => Line::acts(&json!({"intent": "investigation", "skills": []})),
///     _ => Line::says("that is all"),
/// });
/// # let _ = model;
/// ```
pub struct Scripted {
    script: Mutex<Script>,
    asked: Mutex<Vec<Prompt>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl Scripted {
    /// A model that does what `script` says to each prompt.
    #[must_use]
    pub fn new(script: impl FnMut(&Prompt) -> Line + Send + 'static) -> Self {
        Self { script: Mutex::new(Box::new(script)), asked: Mutex::default() }
    }

    /// A model that does one thing after the other, whatever it is asked, and then fails for good.
    #[must_use]
    pub fn lines(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut lines = lines.into_iter().collect::<Vec<_>>().into_iter();
        Self::new(move |_| lines.next().unwrap_or_else(|| Line::fails(ErrorClass::Rejected)))
    }

    /// Everything that it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Prompt> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Model for Scripted {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn answer<'a>(&'a self, prompt: &'a Prompt) -> Answering<'a> {
        Box::pin(async move {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(prompt.clone());
            let line = (self.script.lock().unwrap_or_else(PoisonError::into_inner))(prompt);
            if !line.after.is_zero() {
                tokio::time::sleep(line.after).await;
            }
            match line.what {
                What::Answer(completion) => Ok(completion),
                What::Error(error) => Err(error),
                What::Silence => pending().await,
                What::Panic(message) => panic!("{message}"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Message, Purpose, Role};
    use super::*;

    fn prompt(text: &str) -> Prompt {
        Prompt {
            system: String::new(),
            messages: vec![Message { role: Role::User, text: text.to_owned() }],
            form: None,
            max_tokens: 100,
            purpose: Purpose::Reason,
            deadline: None,
        }
    }

    /// LLM-08: a scripted model says its lines one after the other, then fails for good, and remembers what it was asked.
    #[tokio::test(start_paused = true)]
    async fn a_script_is_followed_to_its_end() {
        let started = tokio::time::Instant::now();
        let second = Line::acts(&serde_json::json!({"intent": "done"})).after(Duration::from_secs(5));
        let model = Scripted::lines([Line::says("12345"), second, Line::fails(ErrorClass::RateLimited)]);
        let first = model.answer(&prompt("a")).await.unwrap();
        assert_eq!((first.text.as_str(), first.stop, first.model.as_str()), ("12345", Stop::End, "scripted/model"));
        assert_eq!(first.usage, Some(Usage { input_tokens: 100, output_tokens: 2 }), "5 bytes are 2 tokens");
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_eq!(model.answer(&prompt("b")).await.unwrap().text, r#"{"action":{"intent":"done"}}"#);
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        let classes =
            [model.answer(&prompt("c")).await, model.answer(&prompt("d")).await].map(|it| it.unwrap_err().class);
        assert_eq!(classes, [ErrorClass::RateLimited, ErrorClass::Rejected]);
        assert_eq!(model.asked(), ["a", "b", "c", "d"].map(prompt));
    }

    /// LLM-08: it can also never answer, and depend on what it is asked.
    #[tokio::test(start_paused = true)]
    async fn a_script_can_be_silent_and_look_at_the_prompt() {
        let model = Scripted::new(|prompt| match prompt.messages[0].text.as_str() {
            "hello" => Line::says("world"),
            _ => Line::is_silent(),
        });
        assert_eq!(model.answer(&prompt("hello")).await.unwrap().text, "world");
        let asked = prompt("are you there?");
        assert!(tokio::time::timeout(Duration::from_secs(3_600), model.answer(&asked)).await.is_err());
    }
}
