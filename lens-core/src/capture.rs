//! A frozen reading of every skill at one instant, with the history up to it. Everything that lens answers is a function
//! of a capture, so a query sees one consistent instant and an incident saved to a file answers as it did live.

mod file;
mod withheld;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::answer::Answer;
use crate::error::CallError;
use crate::reading::{Reading, Source, Unavailable};
use crate::recorder::{History, Recorder, Series};
use crate::registry::{Registry, State};
use crate::signature::Arguments;
use crate::time::{Span, Timestamp};

pub use file::{FORMAT_VERSION, MAX_FILE_BYTES};

/// One instant of the service.
pub struct Capture {
    id: String,
    at: Timestamp,
    registry: Arc<Registry>,
    skills: Arc<BTreeMap<String, OnceLock<Frozen>>>,
    history: Arc<dyn History>,
    is_live: bool,
    /// Whether functions may be asked that act on the service.
    may_act: bool,
    /// The skills whose free text is not told.
    withheld: Arc<BTreeSet<String>>,
    /// What was read first of that free text.
    read_withheld: Arc<OnceLock<String>>,
}

struct Frozen {
    state: Reading<State>,
    sources: Vec<Source>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("at", &self.at).field("touched", &self.touched()).finish_non_exhaustive()
    }
}

impl Capture {
    /// A capture of now. A skill is read when it is first asked, and keeps that state for the capture's life.
    #[must_use]
    pub fn live(registry: &Arc<Registry>, recorder: &Arc<Recorder>) -> Self {
        Self::of_now(registry, Arc::new(recorder.until(Instant::now())), true)
    }

    /// A capture of now whose history is copied, so that it is the same whenever it is asked: what is recorded meanwhile
    /// is not in it, and nothing is overwritten. It is for checks and models, which nobody watches: a function that acts on
    /// the service ([`Functions::acts`](crate::Functions::acts)) is refused.
    ///
    /// # Cost
    ///
    /// Up to 62 KiB for each series after a day.
    #[must_use]
    pub fn frozen(registry: &Arc<Registry>, recorder: &Arc<Recorder>) -> Self {
        Self::of_now(registry, Arc::new(recorder.until(Instant::now()).save()), false)
    }

    fn of_now(registry: &Arc<Registry>, history: Arc<dyn History>, may_act: bool) -> Self {
        Self::new(Timestamp::now(), Arc::clone(registry), history, may_act)
    }

    /// A capture that is in another process: its skills and its history ask there.
    pub(crate) fn remote(at: Timestamp, registry: Arc<Registry>, history: Arc<dyn History>) -> Self {
        Self::new(at, registry, history, true)
    }

    fn new(at: Timestamp, registry: Arc<Registry>, history: Arc<dyn History>, may_act: bool) -> Self {
        let skills = registry.names().map(|name| (name.to_owned(), OnceLock::new())).collect();
        let (skills, withheld, read_withheld) = (Arc::new(skills), Arc::default(), Arc::default());
        Self { id: new_id(at), at, registry, skills, history, is_live: true, may_act, withheld, read_withheld }
    }

    /// The same capture, as somebody sees it with whom the free text of `skills` is not shared: where a field that is
    /// [marked](crate::skill#free-text) as such has a text, there is an absent value
    /// ([`Unavailable::NotShared`]), and what looks for texts is refused. So no script can learn them.
    #[must_use]
    pub fn withholding(&self, skills: &Arc<BTreeSet<String>>) -> Self {
        Self {
            id: self.id.clone(),
            at: self.at,
            registry: Arc::clone(&self.registry),
            skills: Arc::clone(&self.skills),
            history: Arc::clone(&self.history),
            is_live: self.is_live,
            may_act: self.may_act,
            withheld: Arc::clone(skills),
            read_withheld: Arc::default(),
        }
    }

    /// What was read first of the free text that this view of a capture [withholds](Self::withholding), if any was: the name
    /// of a field or a function. Whatever was found then may not be so in the whole capture. Each view notes its own.
    #[must_use]
    pub fn read_withheld(&self) -> Option<&str> {
        self.read_withheld.get().map(String::as_str)
    }

    /// Notes that another process has read what it was told of this view.
    pub(crate) fn note_withheld(&self, name: String) {
        // Only the first is kept.
        let _ = self.read_withheld.set(name);
    }

    /// What tells it from every other capture; a saved one keeps it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The instant that it is a reading of.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether it was read from the process it is asked in, and not from a file.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// The skills that it knows.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The history up to its instant.
    #[must_use]
    pub fn history(&self) -> &dyn History {
        &*self.history
    }

    /// Asks a skill.
    ///
    /// # Errors
    ///
    /// There is no such skill or function, the arguments are wrong, the skill cannot be read, or what the function says.
    pub fn call(&self, skill: &str, function: &str, arguments: Arguments) -> Result<Answer, CallError> {
        let entry = self.registry.get(skill)?;
        // A wrong name is the caller's mistake even where the skill cannot be read, unless nobody knows its functions.
        let unavailable = |reason| CallError::Unavailable { subject: format!("`{skill}.{function}`"), reason };
        if entry.has_functions() && entry.function(function)?.effect.is_some() && !self.may_act {
            let how = format!(
                "ask `{skill}.{function}` in a query of your own: it acts on the service, so checks and models may not"
            );
            return Err(unavailable(Unavailable::NotEnabled { how: how.into() }));
        }
        let state = self.state(skill).map_err(unavailable)?;
        if !self.withheld.contains(skill) || !entry.has_functions() {
            return entry.call(function, &state, self.at, &*self.history, arguments);
        }
        let reference = entry.function(function)?;
        withheld::refuse(skill, reference, &arguments, &self.read_withheld)?;
        let answer = entry.call(function, &state, self.at, &*self.history, arguments)?;
        Ok(withheld::without_free_text(skill, reference, answer, &self.read_withheld))
    }

    /// The history of the metric `name` over the last `last`.
    ///
    /// # Errors
    ///
    /// There is no such metric, or no point of it in that time.
    pub fn series(&self, name: &str, last: Span) -> Result<Series, CallError> {
        self.history.series(name, last)
    }

    /// A skill's state, read now if it was not yet.
    ///
    /// # Errors
    ///
    /// Why the skill cannot be read.
    pub fn state(&self, skill: &str) -> Reading<State> {
        self.read(skill)?.state.clone()
    }

    /// Reads every skill that was not read yet.
    pub fn collect_all(&self) {
        for name in self.skills.keys() {
            // What a skill cannot say is kept in the capture as that.
            let _ = self.read(name);
        }
    }

    /// The names of the skills that were read so far.
    #[must_use]
    pub fn touched(&self) -> Vec<&str> {
        self.skills.iter().filter(|(_, cell)| cell.get().is_some()).map(|(name, _)| name.as_str()).collect()
    }

    /// What a skill reads from, as it was when the skill was read.
    ///
    /// # Errors
    ///
    /// There is no such skill.
    pub fn sources(&self, skill: &str) -> Reading<&[Source]> {
        Ok(&self.read(skill)?.sources)
    }

    fn read(&self, skill: &str) -> Reading<&Frozen> {
        let Some(cell) = self.skills.get(skill) else {
            return Err(Unavailable::NotInCapture { what: format!("the skill `{skill}`").into() });
        };
        let entry = self.registry.get(skill).map_err(|error| Unavailable::failed(error.to_string()))?;
        Ok(cell.get_or_init(|| Frozen { state: entry.collect(), sources: entry.sources() }))
    }
}

/// A new id: the instant, the process, and a number within the process.
fn new_id(at: Timestamp) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{number:x}", at.unix_millis(), std::process::id())
}

#[cfg(test)]
mod tests;
