//! Who answers a prompt: one client, those that stand by, or those that take turns. Separate from how a client is asked.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lens_core::model::{Completion, ModelError, Prompt, Purpose};
use tokio::time::Instant;

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

/// How long a route has.
#[derive(Clone, Copy)]
struct Time {
    /// When it is over, if that is known.
    ends_at: Option<Instant>,
    /// Whether another one is asked then, and not just nobody waits any longer.
    is_share: bool,
}

impl Time {
    /// All that whoever asks has.
    fn of(prompt: &Prompt) -> Self {
        let ends_at = prompt.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        Self { ends_at, is_share: false }
    }

    /// Half of what is left, so that another one has the rest.
    fn share(self) -> Self {
        let now = Instant::now();
        let ends_at = self.ends_at.map(|ends_at| now + ends_at.saturating_duration_since(now) / 2);
        Self { ends_at, is_share: true }
    }

    /// When a client gives up for the next one. What whoever asks enforces, it does not.
    fn limit(self) -> Option<Instant> {
        self.ends_at.filter(|_| self.is_share)
    }
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
        cheap.map_or(&self.primary, |(_, route)| route).answer(prompt, Time::of(prompt)).await
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
        time: Time,
    ) -> Pin<Box<dyn Future<Output = Result<Completion, ModelError>> + Send + 'a>> {
        Box::pin(async move {
            match self {
                Self::One(endpoint) => endpoint.answer(prompt, time.limit()).await,
                Self::Turns { members, next, .. } => {
                    let turn = next.fetch_add(1, Ordering::Relaxed) % members.len();
                    members[turn].answer(prompt, time).await
                }
                Self::Fallback { members, .. } => {
                    let mut failed: Option<ModelError> = None;
                    for (number, member) in members.iter().enumerate() {
                        let is_last = number + 1 == members.len();
                        let time = if is_last { time } else { time.share() };
                        match member.answer(prompt, time).await {
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
