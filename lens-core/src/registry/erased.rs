//! A skill's functions without its type. Separate because the downcast from "some state" to the skill's own is here and
//! nowhere else.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{FrozenState, State};
use crate::answer::Answer;
use crate::error::CallError;
use crate::reading::{Reading, Unavailable};
use crate::recorder::History;
use crate::signature::{Arguments, FunctionReference};
use crate::skill::Functions;
use crate::time::Timestamp;

pub(super) trait ErasedFunctions: fmt::Debug + Send + Sync {
    fn references(&self) -> Vec<&FunctionReference>;

    fn call(
        &self,
        skill: &str,
        function: &str,
        state: &dyn FrozenState,
        at: Timestamp,
        history: &dyn History,
        arguments: Arguments,
    ) -> Result<Answer, CallError>;

    fn decode(&self, json: &RawValue) -> Reading<State>;
}

pub(super) struct TypedFunctions<S>(Functions<S>);

impl<S> fmt::Debug for TypedFunctions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<S> TypedFunctions<S> {
    pub(super) fn new(functions: Functions<S>) -> Self {
        Self(functions)
    }
}

impl<S: Serialize + DeserializeOwned + Send + Sync + 'static> ErasedFunctions for TypedFunctions<S> {
    fn references(&self) -> Vec<&FunctionReference> {
        self.0.0.iter().map(|function| &function.reference).collect()
    }

    fn call(
        &self,
        skill: &str,
        function: &str,
        state: &dyn FrozenState,
        at: Timestamp,
        history: &dyn History,
        arguments: Arguments,
    ) -> Result<Answer, CallError> {
        let functions = &self.0.0;
        let Some(found) = functions.iter().find(|known| known.reference.name == function) else {
            let what = format!("function of `{skill}` called");
            return Err(CallError::not_found(
                &what,
                function,
                functions.iter().map(|known| known.reference.name.as_str()),
            ));
        };
        let Some(state) = state.as_any().downcast_ref::<S>() else {
            // Two versions of a skill under one name; a capture decodes states by the entry that it later asks.
            return Err(CallError::Unavailable {
                subject: format!("`{skill}.{function}`"),
                reason: Unavailable::failed("the state is of another type than the function"),
            });
        };
        let call = || found.call(state, skill, at, history, arguments);
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            Err(CallError::Panicked { function: format!("{skill}.{function}"), message: panic_message(&*panic) })
        })
    }

    fn decode(&self, json: &RawValue) -> Reading<State> {
        match serde_json::from_str::<S>(json.get()) {
            Ok(state) => Ok(Arc::new(Frozen(state))),
            Err(error) => {
                Err(Unavailable::failed(format!("the saved state does not fit this version of the skill: {error}")))
            }
        }
    }
}

/// The functions of a skill that is not compiled in.
#[derive(Debug)]
pub(super) struct NoFunctions;

impl ErasedFunctions for NoFunctions {
    fn references(&self) -> Vec<&FunctionReference> {
        Vec::new()
    }

    fn call(
        &self,
        skill: &str,
        function: &str,
        _: &dyn FrozenState,
        _: Timestamp,
        _: &dyn History,
        _: Arguments,
    ) -> Result<Answer, CallError> {
        Err(CallError::not_found(&format!("function of `{skill}` called"), function, []))
    }

    fn decode(&self, json: &RawValue) -> Reading<State> {
        Ok(Arc::new(Frozen(json.to_owned())))
    }
}

pub(super) struct Frozen<S>(pub(super) S);

impl<S: Serialize + Send + Sync + 'static> FrozenState for Frozen<S> {
    fn as_any(&self) -> &dyn Any {
        &self.0
    }

    fn to_json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.0)
    }
}

/// The text of a panic, if it has one.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
