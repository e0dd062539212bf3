//! Skills that live in another process: their functions are known here, and answered there. Separate because only the
//! process that runs an untrusted query has such skills.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::erased::ErasedFunctions;
use super::{FrozenState, State};
use crate::answer::Answer;
use crate::error::CallError;
use crate::reading::{Reading, Unavailable};
use crate::recorder::History;
use crate::signature::{Arguments, FunctionReference};
use crate::skill::{About, Functions, Skill};
use crate::time::Timestamp;

/// Whoever asks the other process.
pub(crate) trait Ask: fmt::Debug + Send + Sync {
    /// What `skill.function` answers there.
    fn call(&self, skill: &str, function: &str, arguments: Arguments) -> Result<Answer, CallError>;
}

/// A skill of which only the name is here.
pub(super) struct Remote(pub(super) About);

impl Skill for Remote {
    type State = ();
    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        self.0.clone()
    }

    fn collect(&self) -> Reading<()> {
        Ok(())
    }

    fn functions(to: Functions<()>) -> Functions<()> {
        to
    }
}

/// The functions of such a skill.
#[derive(Debug)]
pub(super) struct RemoteFunctions {
    pub(super) functions: Vec<FunctionReference>,
    pub(super) ask: Arc<dyn Ask>,
}

impl ErasedFunctions for RemoteFunctions {
    fn references(&self) -> Vec<&FunctionReference> {
        self.functions.iter().collect()
    }

    fn call(
        &self,
        skill: &str,
        function: &str,
        _: &dyn FrozenState,
        _: Timestamp,
        _: &dyn History,
        arguments: Arguments,
    ) -> Result<Answer, CallError> {
        self.ask.call(skill, function, arguments)
    }

    fn decode(&self, _: &RawValue) -> Reading<State> {
        Err(Unavailable::failed("the skill is in another process"))
    }
}
