//! How investigations are done: what all of one lens share, and what one of them is asked. Separate because the facade's
//! builder, HTTP and tests fill these in, and nothing else of this module is set.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::budget::{Budget, Quota};
use super::run::Run;
use crate::error::nearest;
use crate::evidence::EndedBy;
use crate::model::Model;
use crate::redact::Redactor;

/// How an investigation is done. All begin with what the checks found and end in the same report.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// The checks alone: no model is asked. The default.
    #[default]
    Checks,
    /// The model says which skills matter, one operator a skill looks into them at once, and the model puts together what
    /// they found. A plain question is answered without operators.
    Pipeline,
    /// The model decides step by step: which operators run, how long, and what their findings mean together.
    AgentLoop,
    /// The service's own.
    Own(Arc<dyn Approach>),
}

/// A strategy of the service's own: it asks the [`Run`] and states what it finds there.
///
/// # Examples
///
/// ```
/// use lens_core::evidence::EndedBy;
/// use lens_core::investigation::{Approach, Approaching, Run};
///
/// /// Asks one thing, always.
/// struct Uptime;
///
/// impl Approach for Uptime {
///     fn name(&self) -> &str {
///         "uptime"
///     }
///     fn investigate<'a>(&'a self, run: &'a Run) -> Approaching<'a> {
///         Box::pin(async move {
///             // What cannot be asked is not found; the report has the checks' findings all the same.
///             let _ = run.query("lens.cost().uptime_ms").await;
///             Ok(())
///         })
///     }
/// }
/// ```
pub trait Approach: Send + Sync + 'static {
    /// What the report calls it: lower case letters, digits and underscores.
    fn name(&self) -> &str;

    /// Investigates. It may be dropped at any await: the deadline, a cancellation.
    ///
    /// # Errors
    ///
    /// What ended it before it was done.
    fn investigate<'a>(&'a self, run: &'a Run) -> Approaching<'a>;
}

/// An investigation under way.
pub type Approaching<'a> = Pin<Box<dyn Future<Output = Result<(), EndedBy>> + Send + 'a>>;

impl Strategy {
    /// The name by which reports and requests call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Checks => "checks",
            Self::Pipeline => "pipeline",
            Self::AgentLoop => "agent_loop",
            Self::Own(approach) => approach.name(),
        }
    }

    /// The strategy of that name: one of lens's, or `self` if it is the service's own and called so.
    ///
    /// # Errors
    ///
    /// There is none: what there is, and which was most likely meant.
    pub fn named(&self, name: &str) -> Result<Self, String> {
        let known = [Self::Checks, Self::Pipeline, Self::AgentLoop, self.clone()];
        if let Some(found) = known.iter().find(|strategy| strategy.name() == name) {
            return Ok(found.clone());
        }
        let mut names: Vec<&str> = Vec::new();
        for name in known.iter().map(Self::name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let meant = nearest(name, names.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
        Err(format!("there is no strategy `{name}`{}; there are {}", meant.unwrap_or_default(), names.join(", ")))
    }
}

impl fmt::Debug for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Strategy {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// What all investigations of one lens share.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Who is asked; without one, every strategy answers what the checks found.
    pub model: Option<Arc<dyn Model>>,
    /// How investigations are done unless one says otherwise.
    pub strategy: Strategy,
    /// What one may use unless it says otherwise.
    pub budget: Budget,
    /// What all may use together.
    pub quota: Quota,
    /// Takes secrets out of everything before it is sent and before it is kept.
    pub redactor: Redactor,
    /// The skills whose [free text](crate::skill#free-text) (messages of logs, of panics) may be sent. Of others it is an
    /// absent value for whatever a model asks, and sentences that a check made of it are left out.
    pub shared_text: BTreeSet<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("model", &self.model.as_ref().map(|model| model.name()))
            .field("strategy", &self.strategy)
            .field("budget", &self.budget)
            .field("quota", &self.quota)
            .field("shared_text", &self.shared_text)
            .finish_non_exhaustive()
    }
}

/// What one investigation is asked.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Order {
    /// Why somebody asks, or what they want to know; data, never an instruction.
    pub reason: String,
    /// Whether it is a question that wants an answer, and no investigation.
    pub is_question: bool,
    /// How it is done; the lens's own unless given.
    pub strategy: Option<Strategy>,
    /// What it may use; the lens's own unless given.
    pub budget: Option<Budget>,
    /// The only skills that the model may look into; all unless given. A boundary: nothing else is called for it.
    pub skills: Option<BTreeSet<String>>,
    /// Whether nobody asked for it: a model scheduled it. How many such came one after the other.
    pub chain_depth: u32,
    /// The investigation that it follows, and what that found, in one sentence each.
    pub follows: Option<(String, Vec<String>)>,
}

impl Order {
    /// An investigation for a reason.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }

    /// A question.
    #[must_use]
    pub fn question(question: impl Into<String>) -> Self {
        Self { reason: question.into(), is_question: true, ..Self::default() }
    }

    /// Says how it is done.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// Says what it may use.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Says which skills only the model may look into.
    #[must_use]
    pub fn skills<S: Into<String>>(mut self, skills: impl IntoIterator<Item = S>) -> Self {
        self.skills = Some(skills.into_iter().map(Into::into).collect());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_strategy_is_told_each_name_once() {
        for settings in [Strategy::Checks, Strategy::Pipeline, Strategy::AgentLoop] {
            let refused = settings.named("bogus").unwrap_err();
            assert_eq!(refused, "there is no strategy `bogus`; there are checks, pipeline, agent_loop");
        }
    }
}
