//! What a skill is: one area of knowledge, with a name, metrics, a state that is frozen when it is collected, and pure
//! questions to that state. Separate because a service's own skills see nothing else of lens-core.
//!
//! # Free text
//!
//! A field of a row or a record that holds text which the service, or whoever talks to it, wrote is marked with
//! `#[schemars(extend("x-lens-free-text" = true))]`, and so is an argument that looks for such text. People and checks see
//! it. A model does where the service shares it; elsewhere it gets an absent value, whatever it asks: in the place of the
//! field, or of the whole answer where the mark is in none of its fields (a map of such rows, an enum with data).

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::{Answer, Rows};
use crate::checks::Check;
use crate::error::CallError;
use crate::metric::Metrics;
use crate::reading::{Reading, Source};
use crate::recorder::{History, Series};
use crate::signature::{self, Arguments, FunctionReference, Given};
use crate::store::Store;
use crate::time::{Span, Timestamp};

/// One area of knowledge about the service.
///
/// lens calls the methods from its own threads, never from the service's; those of queries that take long keep to half of the
/// processors, and so do threads that they start. A skill that panics or does not return is reported as broken or stuck; the others go
/// on.
///
/// # Examples
///
/// ```
/// use lens_core::{About, CallError, Functions, Reading, Skill, View};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// struct Batcher;
///
/// #[derive(Serialize, Deserialize)]
/// struct State { waiting: Vec<u64> }
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Oldest { #[serde(default)] /** How many to leave out. */ skip: u32 }
///
/// impl Skill for Batcher {
///     type State = State;
///     fn about(&self) -> About {
///         About::new("batcher", "Batcher", "What waits to be written.")
///     }
///     fn collect(&self) -> Reading<State> {
///         Ok(State { waiting: vec![7, 8] })
///     }
///     fn functions(to: Functions<State>) -> Functions<State> {
///         to.value("oldest", "The item that waits longest.", "batcher.oldest()", |state, Oldest { skip }| {
///             Ok(state.waiting.get(skip as usize).copied())
///         })
///     }
/// }
/// ```
pub trait Skill: Send + Sync + 'static {
    /// What the skill reads when it is collected: plain data.
    type State: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Whether [`collect`](Self::collect) or [`metrics`](Self::metrics) could wait for something (a lock, a file, the
    /// network). Such a skill gets a thread of its own, so that it can be left alone when it is stuck.
    const MAY_BLOCK: bool = true;

    /// Who it is.
    fn about(&self) -> About;

    /// Reads everything its functions need, at this instant.
    ///
    /// # Errors
    ///
    /// The reason why it cannot be read, with the fix.
    fn collect(&self) -> Reading<Self::State>;

    /// Adds the questions that can be asked of a state. They are pure: they see the state and the series, no clock and
    /// no I/O.
    fn functions(to: Functions<Self::State>) -> Functions<Self::State>;

    /// Records the skill's metrics; called every second. O(1), and without allocation after the first call.
    fn metrics(&self, _out: &mut Metrics) {}

    /// What it reads from, and which of it is there.
    fn sources(&self) -> Vec<Source> {
        Vec::new()
    }

    /// What it keeps in memory.
    fn stores(&self) -> Vec<Store> {
        Vec::new()
    }

    /// The scripts that say what is wrong, in its readings and those of others: see [`checks`](crate::checks).
    #[must_use]
    fn checks() -> &'static [Check] {
        &[]
    }
}

/// A skill that the service itself holds on to, as `Arc`, is a skill.
impl<S: Skill> Skill for Arc<S> {
    type State = S::State;

    const MAY_BLOCK: bool = S::MAY_BLOCK;

    fn about(&self) -> About {
        S::about(self)
    }

    fn collect(&self) -> Reading<S::State> {
        S::collect(self)
    }

    fn functions(to: Functions<S::State>) -> Functions<S::State> {
        S::functions(to)
    }

    fn metrics(&self, out: &mut Metrics) {
        S::metrics(self, out);
    }

    fn sources(&self) -> Vec<Source> {
        S::sources(self)
    }

    fn stores(&self) -> Vec<Store> {
        S::stores(self)
    }

    fn checks() -> &'static [Check] {
        S::checks()
    }
}

/// Who a skill is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The name by which it is called in queries: lower case, `a` to `z`, digits and underscores.
    pub name: Cow<'static, str>,
    /// A title for people.
    pub title: Cow<'static, str>,
    /// What it knows, in one line.
    pub description: Cow<'static, str>,
    /// What an expert would tell a newcomer (or a model) to watch for, with thresholds.
    pub prompt: Cow<'static, str>,
}

impl About {
    /// A skill without advice for its reader; see [`prompt`](Self::prompt).
    #[must_use]
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { name: name.into(), title: title.into(), description: description.into(), prompt: Cow::Borrowed("") }
    }

    /// Adds what to watch for.
    #[must_use]
    pub fn prompt(mut self, prompt: impl Into<Cow<'static, str>>) -> Self {
        self.prompt = prompt.into();
        self
    }
}

/// What a function sees: the state, and the history up to the instant of the capture.
pub struct View<'a, S> {
    state: &'a S,
    skill: &'a str,
    at: Timestamp,
    history: &'a dyn History,
}

impl<S> View<'_, S> {
    /// The instant of the capture.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The history of one of this skill's metrics over the last `last`, by the metric's name (`"queue_depth"`, or
    /// `"queue_depth[label]"` for one of several).
    ///
    /// # Errors
    ///
    /// There is no such metric, or no point of it in that time yet.
    pub fn series(&self, metric: &str, last: Span) -> Result<Series, CallError> {
        self.history.series(&format!("{}.{metric}", self.skill), last)
    }
}

impl<S> Deref for View<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.state
    }
}

impl<S: fmt::Debug> fmt::Debug for View<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("skill", &self.skill).field("at", &self.at).field("state", self.state).finish()
    }
}

type Call<S> = Arc<dyn Fn(&View<'_, S>, Value) -> Result<Answer, CallError> + Send + Sync>;

pub(crate) struct Function<S> {
    pub(crate) reference: FunctionReference,
    call: Call<S>,
}

impl<S> Function<S> {
    pub(crate) fn call(
        &self,
        state: &S,
        skill: &str,
        at: Timestamp,
        history: &dyn History,
        arguments: Arguments,
    ) -> Result<Answer, CallError> {
        let bound = self.reference.bind(skill, arguments)?;
        (self.call)(&View { state, skill, at, history }, bound)
    }
}

/// The functions of a skill: each is written once, here, and from this come its Starlark binding, its HTTP route and its
/// place in the reference.
pub struct Functions<S>(pub(crate) Vec<Function<S>>);

impl<S> Default for Functions<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S> fmt::Debug for Functions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|function| &function.reference.name)).finish()
    }
}

/// The arguments of a function that takes none.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub struct NoArguments {}

impl<S: 'static> Functions<S> {
    /// No functions yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function that gives a list of rows. `example` is a call that works on any service.
    #[must_use]
    pub fn rows<A, R>(
        self,
        name: &str,
        doc: &str,
        example: &str,
        function: impl Fn(&View<'_, S>, A) -> Result<Vec<R>, CallError> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        R: Serialize + JsonSchema + Send + Sync + 'static,
    {
        self.lazy_rows(name, doc, example, function)
    }

    /// Adds a function that gives many rows, each of which is made when it is read: what a script does not look at costs
    /// nothing.
    #[must_use]
    pub fn lazy_rows<A, T>(
        self,
        name: &str,
        doc: &str,
        example: &str,
        function: impl Fn(&View<'_, S>, A) -> Result<T, CallError> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        T: Rows,
        T::Row<'static>: JsonSchema,
    {
        let given = Given::rows::<T::Row<'static>>();
        self.add(name, doc, example, given, move |view, arguments| function(view, arguments).map(Answer::rows))
    }

    /// Adds a function that gives one row.
    #[must_use]
    pub fn record<A, R>(
        self,
        name: &str,
        doc: &str,
        example: &str,
        function: impl Fn(&View<'_, S>, A) -> Result<R, CallError> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        R: Serialize + JsonSchema + Send + Sync + 'static,
    {
        let given = Given::record::<R>();
        self.add(name, doc, example, given, move |view, arguments| function(view, arguments).map(Answer::record))
    }

    /// Adds a function that gives a plain value.
    #[must_use]
    pub fn value<A, T>(
        self,
        name: &str,
        doc: &str,
        example: &str,
        function: impl Fn(&View<'_, S>, A) -> Result<T, CallError> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        T: Serialize + JsonSchema,
    {
        let owned = name.to_owned();
        self.add(name, doc, example, Given::value::<T>(), move |view, arguments| {
            let value = function(view, arguments)?;
            serde_json::to_value(value)
                .map(Answer::Value)
                .map_err(|error| CallError::argument("", format!("`{owned}` gave a value that is no JSON: {error}")))
        })
    }

    /// Says what the function that was added last does to the service, besides being read: a probe. It must be bounded in
    /// time and count, and its answer belong to the capture, so that the same question gets the same answer.
    #[must_use]
    pub fn acts(mut self, effect: &str) -> Self {
        if let Some(function) = self.0.last_mut() {
            function.reference.effect = Some(effect.to_owned());
        }
        self
    }

    fn add<A: DeserializeOwned + JsonSchema>(
        mut self,
        name: &str,
        doc: &str,
        example: &str,
        given: Given,
        call: impl Fn(&View<'_, S>, A) -> Result<Answer, CallError> + Send + Sync + 'static,
    ) -> Self {
        let reference = FunctionReference {
            name: name.to_owned(),
            doc: doc.to_owned(),
            parameters: signature::parameters::<A>(),
            returns: given.returns,
            is_free_text: given.is_free_text,
            example: example.to_owned(),
            effect: None,
        };
        let name = name.to_owned();
        self.0.push(Function {
            reference,
            call: Arc::new(move |view, bound| call(view, signature::read(&name, bound)?)),
        });
        self
    }
}
