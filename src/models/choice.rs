//! Who answers a prompt: one client, those that stand by, or those that take turns. Separate from how a client is asked.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lens_core::model::{Completion, ModelError, Prompt, Purpose};

use super::exchange::Endpoint;

/// Which client answers prompts of which purpose.
pub(super) struct Choice {
    primary: Route,
    cheap: Vec<(Purpose, Route)>,
}

/// The way to an answer.
pub(super) enum Route {
    One(Arc<Endpoint>),
    Fallback { name: String, members: Vec<Self> },
    Turns { name: String, members: Vec<Self>, next: AtomicUsize },
}

impl Choice {
    pub(super) fn new(primary: Route, cheap: Vec<(Purpose, Route)>) -> Self {
        Self { primary, cheap }
    }

    pub(super) fn name(&self) -> String {
        self.primary.name()
    }

    pub(super) async fn answer(&self, prompt: &Prompt) -> Result<Completion, ModelError> {
        let cheap = self.cheap.iter().find(|(purpose, _)| *purpose == prompt.purpose);
        cheap.map_or(&self.primary, |(_, route)| route).answer(prompt).await
    }
}

impl Route {
    fn name(&self) -> String {
        match self {
            Self::One(endpoint) => endpoint.label(),
            Self::Fallback { name, members } | Self::Turns { name, members, .. } => {
                let members: Vec<_> = members.iter().map(Self::name).collect();
                format!("{name} ({})", members.join(", "))
            }
        }
    }

    fn answer<'a>(
        &'a self,
        prompt: &'a Prompt,
    ) -> Pin<Box<dyn Future<Output = Result<Completion, ModelError>> + Send + 'a>> {
        Box::pin(async move {
            match self {
                Self::One(endpoint) => endpoint.answer(prompt).await,
                Self::Turns { members, next, .. } => {
                    let turn = next.fetch_add(1, Ordering::Relaxed) % members.len();
                    members[turn].answer(prompt).await
                }
                Self::Fallback { members, .. } => {
                    let mut failed: Option<ModelError> = None;
                    for member in members {
                        match member.answer(prompt).await {
                            Ok(mut completion) => {
                                let before = failed.map_or(0, |failed| failed.unanswered);
                                completion.unanswered = completion.unanswered.saturating_add(before);
                                return Ok(completion);
                            }
                            Err(error) => {
                                failed = Some(failed.map_or_else(|| error.clone(), |before| both(before, &error)))
                            }
                        }
                    }
                    Err(failed.expect("a group has members"))
                }
            }
        })
    }
}

/// Two failures as one: another try makes sense if it does for one of them, as early as the first allows.
fn both(before: ModelError, then: &ModelError) -> ModelError {
    let message = format!("{}; then {}", before.message, then.message);
    let (kept, other) = match before.class.is_retryable() || !then.class.is_retryable() {
        true => (&before, then),
        false => (then, &before),
    };
    let retry_after = match (kept.retry_after, other.retry_after) {
        // One that may be asked again at once, if it may be asked again at all.
        (Some(kept), Some(other)) => Some(kept.min(other)),
        (kept, None) if !other.class.is_retryable() => kept,
        _ => None,
    };
    let unanswered = before.unanswered.saturating_add(then.unanswered);
    ModelError { class: kept.class, message, retry_after, unanswered }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cheap: Vec<_> = self.cheap.iter().map(|(purpose, route)| (purpose, route.name())).collect();
        f.debug_struct("Choice").field("primary", &self.name()).field("cheap", &cheap).finish()
    }
}
