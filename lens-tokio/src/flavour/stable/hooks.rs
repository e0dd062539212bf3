//! The service's own task hooks on stable tokio, which has none.

use lens_core::{Reading, Unavailable};

use crate::instrument::BuilderNumber;

/// Nothing: stable tokio has no task hooks.
#[derive(Clone, Default)]
pub(crate) struct TaskHooks;

impl TaskHooks {
    /// Sets nothing.
    pub(crate) fn install(&self, _builder: &mut tokio::runtime::Builder, _number: BuilderNumber) {
        let Self = self;
    }
}

/// Whether there are task hooks.
pub(crate) fn reading() -> Reading<()> {
    Err(Unavailable::NeedsTokioUnstable)
}
