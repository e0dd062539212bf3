//! Language models, for whoever wants one to investigate: the providers, which one answers what, and how they are reached.
//! Separate from the strategies, which know nothing but [`Model`], so that a service can bring a model of its own.
//!
//! # Set up
//!
//! From the environment, by [`Settings::from_environment`]:
//!
//! ```sh
//! LENS_MODEL=anthropic/claude-haiku-4-5 ANTHROPIC_API_KEY=… ./service
//! ```
//!
//! From a file, by [`Settings::from_file`] or `LENS_MODEL_FILE`, with several that stand by:
//!
//! ```toml
//! primary = "any"       # answers, unless something else is said; may be left out if there is one client
//! classify = "cheap"    # sorts requests
//! compact = "cheap"     # shortens conversations
//!
//! [[clients]]
//! name = "good"
//! provider = "anthropic"
//! model = "claude-sonnet-4-5"
//!
//! [[clients]]
//! name = "cheap"
//! provider = "openai-generic"
//! model = "qwen3"
//! base_url = "http://127.0.0.1:8080/v1"
//! timeout = "20s"
//!
//! [[clients]]
//! name = "any"
//! provider = "fallback" # or "round-robin"
//! strategy = ["good", "cheap"]
//! ```
//!
//! Or in Rust:
//!
//! ```
//! use lens::models::{Client, Provider, Settings};
//!
//! # fn main() -> Result<(), lens::Error> {
//! let models = Settings::new()
//!     .client(Client::new("good", Provider::Anthropic, "claude-sonnet-4-5").key("k-1"))
//!     .client(Client::new("local", Provider::Ollama, "qwen3"))
//!     .fallback("any", ["good", "local"])
//!     .primary("any")
//!     .build()?;
//! assert_eq!(lens_core::Model::name(&models), "any (anthropic/claude-sonnet-4-5, ollama/qwen3)");
//! # Ok(())
//! # }
//! ```
//!
//! # What is sent
//!
//! The prompt, the form of the answer as a JSON schema, and the most tokens; temperature and the like only if they are
//! set. Each call is tried once, by each client that stands by: retries are the business of whoever asks. Answers are not
//! streamed.
//!
//! # Keys
//!
//! A key comes from the environment, a file, the settings or a function, and is kept as a secret: neither `Debug` nor an
//! error shows it. It is sent to the client's base URL and nowhere else; redirections are not followed.

mod choice;
mod client;
mod environment;
mod exchange;
mod failure;
mod file;
mod key;
mod provider;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::sync::Arc;

use lens_core::model::{Answering, Model, Prompt};

use choice::Choice;

pub use client::{Client, DEFAULT_TIMEOUT, SchemaPlace};
pub use environment::{CHEAP_VARIABLE, FILE_VARIABLE, KEY_VARIABLE, MODEL_VARIABLE, TIMEOUT_VARIABLE, URL_VARIABLE};
pub use exchange::{CONNECT_TIMEOUT, MAX_ANSWER_BYTES};
pub use failure::{MAX_MESSAGE_BYTES, MAX_RETRY_AFTER};
pub use key::Key;
pub use provider::Provider;
pub use reqwest;
pub use secrecy;
pub use settings::Settings;

/// Models that are set up: what [`Settings::build`] gives. A clone is the same models.
///
/// [`Model::answer`] has to be awaited inside a tokio runtime with I/O and time.
#[derive(Clone)]
pub struct Models {
    choice: Arc<Choice>,
}

impl Models {
    fn new(choice: Choice) -> Self {
        Self { choice: Arc::new(choice) }
    }
}

impl Model for Models {
    fn name(&self) -> String {
        self.choice.name()
    }

    fn answer<'a>(&'a self, prompt: &'a Prompt) -> Answering<'a> {
        Box::pin(self.choice.answer(prompt))
    }
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Models").field(&self.choice).finish()
    }
}
