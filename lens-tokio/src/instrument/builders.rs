//! Which builders lens has set its hooks on. Separate because a task keeps its builder's number in 8 bits, and only this
//! file turns it back into a runtime.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::runtime::Handle;

use super::number_of;

/// The number of a builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BuilderNumber(pub(crate) u8);

/// Builders that have a number of their own; all further ones share the last.
const MAX_BUILDERS: usize = 256;

pub(crate) static BUILDERS: Builders =
    Builders { added: AtomicU32::new(0), built: [const { Built::new() }; MAX_BUILDERS] };

#[derive(Debug)]
pub(crate) struct Builders {
    added: AtomicU32,
    built: [Built; MAX_BUILDERS],
}

/// What one builder has built.
#[derive(Debug)]
struct Built {
    /// The name of its runtimes.
    name: OnceLock<Option<String>>,
    /// Two runtimes of the builder had different names.
    is_doubtful: AtomicBool,
    /// The number of its runtime, plus one; 0 for none yet, and [`SEVERAL`].
    runtime: AtomicU64,
}

/// The builder has built more than one runtime.
const SEVERAL: u64 = u64::MAX;

impl Built {
    const fn new() -> Self {
        Self { name: OnceLock::new(), is_doubtful: AtomicBool::new(false), runtime: AtomicU64::new(0) }
    }
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

    /// This builder has built this runtime.
    pub(crate) fn saw(&self, number: BuilderNumber, runtime: &Handle) {
        let known = &self.built[usize::from(number.0)];
        let name = runtime.name();
        if known.name.get_or_init(|| name.map(str::to_owned)).as_deref() != name {
            known.is_doubtful.store(true, Ordering::Relaxed);
        }
        let id = number_of(&runtime.id()).saturating_add(1);
        let before = known.runtime.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed);
        if before.is_err_and(|before| before != id) {
            known.runtime.store(SEVERAL, Ordering::Relaxed);
        }
    }

    /// The number of this builder's runtime, if it is known and the only one.
    pub(crate) fn runtime(&self, number: u8) -> Option<u64> {
        let known = self.built[usize::from(number)].runtime.load(Ordering::Relaxed);
        known.checked_sub(1).filter(|_| known != SEVERAL)
    }

    /// The name of this builder's runtimes, if they have one and the same.
    pub(crate) fn name(&self, number: u8) -> Option<&str> {
        let known = &self.built[usize::from(number)];
        known.name.get()?.as_deref().filter(|_| !known.is_doubtful.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_of_a_builder_is_known_while_it_is_the_only_one() {
        let builders = Builders { added: AtomicU32::new(0), built: [const { Built::new() }; MAX_BUILDERS] };
        let number = builders.add();
        assert_eq!(builders.runtime(number.0), None);
        let build = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (one, other) = (build(), build());
        builders.saw(number, one.handle());
        builders.saw(number, one.handle());
        assert_eq!(builders.runtime(number.0), Some(number_of(&one.handle().id())));
        builders.saw(number, other.handle());
        assert_eq!(builders.runtime(number.0), None);
        builders.saw(number, one.handle());
        assert_eq!(builders.runtime(number.0), None);
    }
}
