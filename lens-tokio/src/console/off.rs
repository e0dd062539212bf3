//! The layer's handle in a build without the feature `console`: there is no layer, and everything says how to get it.
//! Separate so that a service's code is the same with and without the feature.

use lens_core::{Reading, SourceStatus, Store, Unavailable};

use super::state::State;

/// What a [`Console`](super::Console) holds in this build: nothing.
#[derive(Clone, Debug)]
pub(super) struct Inner;

const FEATURE_OFF: Unavailable = Unavailable::FeatureOff { feature: std::borrow::Cow::Borrowed("console") };

#[expect(clippy::unused_self, reason = "the same calls as in the build with the feature")]
impl Inner {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn global() -> Self {
        Self
    }

    pub(super) fn is_enabled(&self) -> bool {
        false
    }

    pub(super) fn enable(&self) -> Reading<()> {
        Err(FEATURE_OFF)
    }

    pub(super) fn disable(&self) {}

    pub(super) fn check(&self) -> Reading<()> {
        Err(FEATURE_OFF)
    }

    pub(super) fn status(&self) -> SourceStatus {
        SourceStatus::Unavailable(FEATURE_OFF)
    }

    pub(super) fn read(&self) -> Reading<State> {
        Err(FEATURE_OFF)
    }

    pub(super) fn stores(&self) -> Vec<Store> {
        Vec::new()
    }
}
