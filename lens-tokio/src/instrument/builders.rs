//! Which builders lens has set its hooks on. Separate because a task keeps its builder's number in 8 bits, and only this
//! file turns it back into a runtime's name.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The number of a builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BuilderNumber(pub(crate) u8);

/// Builders that have a number of their own; all further ones share the last.
const MAX_BUILDERS: usize = 256;

pub(crate) static BUILDERS: Builders = Builders {
    added: AtomicU32::new(0),
    names: [const { Name { name: OnceLock::new(), is_doubtful: AtomicBool::new(false) } }; MAX_BUILDERS],
};

#[derive(Debug)]
pub(crate) struct Builders {
    added: AtomicU32,
    names: [Name; MAX_BUILDERS],
}

/// The name of the runtimes of one builder.
#[derive(Debug)]
struct Name {
    name: OnceLock<Option<String>>,
    /// Two runtimes of the builder had different names.
    is_doubtful: AtomicBool,
}

impl Builders {
    /// A number for a builder.
    pub(crate) fn add(&self) -> BuilderNumber {
        let number = self.added.fetch_add(1, Ordering::Relaxed);
        BuilderNumber(u8::try_from(number).unwrap_or(u8::MAX))
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.added.load(Ordering::Relaxed) == 0
    }

    /// A runtime of this builder has this name.
    pub(crate) fn saw(&self, number: BuilderNumber, name: Option<&str>) {
        let known = &self.names[usize::from(number.0)];
        if known.name.get_or_init(|| name.map(str::to_owned)).as_deref() != name {
            known.is_doubtful.store(true, Ordering::Relaxed);
        }
    }

    /// The name of this builder's runtimes, if they have one and the same.
    pub(crate) fn name(&self, number: u8) -> Option<&str> {
        let known = &self.names[usize::from(number)];
        known.name.get()?.as_deref().filter(|_| !known.is_doubtful.load(Ordering::Relaxed))
    }
}
