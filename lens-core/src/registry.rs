//! The skills that lens knows: those it can read now, and those of which it only knows the questions (a feature that is
//! off, a capture opened elsewhere). Separate from the skill contract because a skill never sees the registry.

mod erased;
mod host;
mod remote;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::checks::Check;
use crate::error::{CallError, Error};
use crate::metric::Metrics;
use crate::reading::{Reading, Source, Unavailable};
use crate::recorder::History;
use crate::signature::{Arguments, FunctionReference};
use crate::skill::{About, Functions, Skill};
use crate::store::Store;
use crate::time::Timestamp;

pub(crate) use erased::panic_message;
use erased::{ErasedFunctions, TypedFunctions};
use host::Host;
pub(crate) use remote::Ask;

/// How long a skill that may block has to collect its state, before it is reported as stuck.
pub const COLLECT_DEADLINE: std::time::Duration = std::time::Duration::from_millis(500);

/// After how many panics of one skill's `collect` or `metrics` lens stops to call it.
pub const MAX_PANICS: u32 = 3;

/// A frozen state of some skill.
pub type State = Arc<dyn FrozenState>;

/// A skill's state, whatever its type: it can be asked through its skill's functions, and saved.
pub trait FrozenState: Send + Sync {
    /// The state itself.
    fn as_any(&self) -> &dyn Any;

    /// The state as JSON.
    ///
    /// # Errors
    ///
    /// The state's type cannot be written as JSON.
    fn to_json(&self) -> serde_json::Result<Value>;
}

/// Every skill, by name.
#[derive(Debug, Default)]
pub struct Registry {
    skills: BTreeMap<String, Entry>,
}

/// One skill of a [`Registry`].
#[derive(Debug)]
pub struct Entry {
    about: About,
    functions: Box<dyn ErasedFunctions>,
    checks: &'static [Check],
    live: Reading<Arc<Host>>,
}

/// Collects skills for a [`Registry`].
#[derive(Debug, Default)]
pub struct RegistryBuilder {
    skills: BTreeMap<String, Entry>,
    is_for_captures: bool,
}

impl RegistryBuilder {
    /// No skills yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No skills yet; those that are added are only asked about what captures hold of them, and never read.
    #[must_use]
    pub fn for_captures() -> Self {
        Self { is_for_captures: true, ..Self::default() }
    }

    /// Adds a skill that can be read now.
    ///
    /// # Errors
    ///
    /// The name is taken, or cannot be used in a query.
    pub fn skill<S: Skill>(&mut self, skill: S) -> Result<&mut Self, Error> {
        let about = skill.about();
        if self.is_for_captures {
            let what = format!("a reading of `{}`", about.name).into();
            return self.unread::<S>(about, Unavailable::NotInCapture { what });
        }
        let live = Host::new(skill)?;
        self.insert(Entry {
            about,
            functions: Box::new(TypedFunctions::new(S::functions(Functions::new()))),
            checks: S::checks(),
            live: Ok(live),
        })
    }

    /// Adds a skill whose functions are known but that cannot be read here: its calls say why.
    ///
    /// # Errors
    ///
    /// The name is taken, or cannot be used in a query.
    pub fn unread<S: Skill>(&mut self, about: About, reason: Unavailable) -> Result<&mut Self, Error> {
        self.insert(Entry {
            about,
            functions: Box::new(TypedFunctions::new(S::functions(Functions::new()))),
            checks: S::checks(),
            live: Err(reason),
        })
    }

    /// Adds the name of a skill that is not compiled in: whatever is asked of it says why.
    ///
    /// # Errors
    ///
    /// The name is taken, or cannot be used in a query.
    pub fn absent(&mut self, about: About, reason: Unavailable) -> Result<&mut Self, Error> {
        self.insert(Entry { about, functions: Box::new(erased::NoFunctions), checks: &[], live: Err(reason) })
    }

    /// Adds a skill that lives in another process, which `ask` asks.
    pub(crate) fn remote(
        &mut self,
        about: About,
        functions: Vec<FunctionReference>,
        ask: Arc<dyn remote::Ask>,
    ) -> Result<&mut Self, Error> {
        let live = Host::new(remote::Remote(about.clone()))?;
        let functions = Box::new(remote::RemoteFunctions { functions, ask });
        self.insert(Entry { about, functions, checks: &[], live: Ok(live) })
    }

    /// The registry of what was added.
    #[must_use]
    pub fn build(self) -> Registry {
        Registry { skills: self.skills }
    }

    fn insert(&mut self, entry: Entry) -> Result<&mut Self, Error> {
        let name = entry.about.name.to_string();
        if let Some(reason) = unfit_name(&name) {
            return Err(Error::SkillName { name, reason });
        }
        if self.skills.contains_key(&name) {
            return Err(Error::DuplicateSkill { name });
        }
        if let Some(function) = entry.functions().iter().find(|function| RESERVED.contains(&function.name.as_str())) {
            return Err(Error::FunctionName { skill: name, name: function.name.clone() });
        }
        self.skills.insert(name, entry);
        Ok(self)
    }
}

/// Words that the language, or Python, keeps for itself: no script can call a function by such a name.
const RESERVED: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
    "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "load", "nonlocal", "not", "or", "pass",
    "raise", "return", "try", "while", "with", "yield",
];

/// Why `name` cannot be a skill's name.
fn unfit_name(name: &str) -> Option<&'static str> {
    const LONGEST: usize = 40;
    if name.is_empty() || name.len() > LONGEST {
        return Some("it must have between 1 and 40 letters");
    }
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if !name.starts_with(|letter: char| letter.is_ascii_lowercase()) || !name.chars().all(is_letter) {
        return Some("it must be lower case letters, digits and underscores, and start with a letter");
    }
    let is_taken = RESERVED.contains(&name) || matches!(name, "capture" | "main") || crate::sandbox::is_builtin(name);
    is_taken.then_some("the query language already has a meaning for it")
}

impl Registry {
    /// The skill `name`.
    ///
    /// # Errors
    ///
    /// There is none; the nearest name is proposed.
    pub fn get(&self, name: &str) -> Result<&Entry, CallError> {
        self.skills.get(name).ok_or_else(|| CallError::not_found("skill", name, self.names()))
    }

    /// The names of all skills, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.skills.keys().map(String::as_str)
    }

    /// All skills, in alphabetical order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.skills.values()
    }
}

impl Entry {
    /// Who the skill is.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// What can be asked of it.
    #[must_use]
    pub fn functions(&self) -> Vec<&FunctionReference> {
        self.functions.references()
    }

    /// Whether its functions are compiled in; without them, nobody knows what can be asked of it.
    #[must_use]
    pub fn has_functions(&self) -> bool {
        !self.functions.references().is_empty()
    }

    /// Whether any of its functions gives [free text](crate::skill#free-text), or looks for it.
    #[must_use]
    pub fn has_free_text(&self) -> bool {
        self.functions.references().iter().any(|function| function.has_free_text())
    }

    /// Its checks.
    #[must_use]
    pub fn checks(&self) -> &'static [Check] {
        self.checks
    }

    /// Why the skill cannot be read here at all: its feature is off, or it is only known from captures.
    #[must_use]
    pub fn absence(&self) -> Option<&Unavailable> {
        self.live.as_ref().err()
    }

    /// Reads the state now.
    ///
    /// # Errors
    ///
    /// Why the skill cannot be read: what it said itself, that it panicked, or that it is stuck.
    pub fn collect(&self) -> Reading<State> {
        self.live.as_ref().map_err(Clone::clone)?.collect()
    }

    /// Has the skill record its metrics into `out`, which is given back with them.
    ///
    /// # Errors
    ///
    /// Why the skill cannot be read; `out` is then lost.
    pub fn metrics(&self, out: Metrics) -> Reading<Metrics> {
        self.live.as_ref().map_err(Clone::clone)?.metrics(out)
    }

    /// What the skill reads from. For a skill that cannot be read, one source that says why.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        let whole = |reason: &Unavailable| {
            let mut source = Source::live("", "", "nothing").when(&Err::<(), _>(reason.clone()));
            source.name = self.about.name.clone();
            source.gives = self.about.description.clone();
            vec![source]
        };
        match &self.live {
            Err(reason) => whole(reason),
            Ok(host) => match host.trouble() {
                Some(reason) => whole(&reason),
                None => host.sources(),
            },
        }
    }

    /// What the skill keeps in memory.
    #[must_use]
    pub fn stores(&self) -> Vec<Store> {
        self.live.as_ref().map(|host| host.stores()).unwrap_or_default()
    }

    /// Asks `state`, which must be of this skill.
    ///
    /// # Errors
    ///
    /// There is no such function, the arguments are wrong, or what the function itself says.
    pub fn call(
        &self,
        function: &str,
        state: &State,
        at: Timestamp,
        history: &dyn History,
        arguments: Arguments,
    ) -> Result<Answer, CallError> {
        self.functions.call(&self.about.name, function, state.as_ref(), at, history, arguments)
    }

    /// Whether there is such a function.
    ///
    /// # Errors
    ///
    /// There is not; the nearest name is proposed.
    pub fn function(&self, name: &str) -> Result<&FunctionReference, CallError> {
        let references = self.functions.references();
        let found = references.iter().find(|reference| reference.name == name).copied();
        found.ok_or_else(|| {
            let what = format!("function of `{}` called", self.about.name);
            CallError::not_found(&what, name, references.iter().map(|reference| reference.name.as_str()))
        })
    }

    /// Reads a state that was saved, from its JSON.
    pub(crate) fn decode(&self, json: &RawValue) -> Reading<State> {
        self.functions.decode(json)
    }
}

#[cfg(test)]
mod tests;
