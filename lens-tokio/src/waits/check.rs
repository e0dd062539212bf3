//! Finds out why the layer sees nothing. Separate because it asks every place on the way from tokio to the layer: the
//! build, the features, the registry and its filters.

use std::sync::Arc;

use lens_core::{Reading, Unavailable};
use tracing::dispatcher::{Dispatch, get_default, with_default};
use tracing::level_filters::LevelFilter;

use super::here::Here;
use super::layer::Link;
use crate::layers::{build_has_events, not_enabled};

impl Link {
    /// Whether the layer sees what tokio does: a lock is created to try it.
    pub(super) fn check(self: &Arc<Self>) -> Reading<()> {
        build_has_events()?;
        if !self.is_attached() {
            return Err(not_enabled(
                "add the layer to the service's tracing registry, before its runtime starts: \
                 `tracing_subscriber::registry().with(lens::waits_layer()).with(…).init()`",
            ));
        }
        if !self.recorder.is_on() {
            return Err(not_enabled("switch the layer on again: `Waits::enable()`"));
        }
        if get_default(|default| self.is_in(default)) {
            return if sees_a_lock() { Ok(()) } else { Err(get_default(|default| self.diagnose(default))) };
        }
        let is_default_elsewhere = self.recorder.has_seen_others();
        match self.dispatch() {
            Some(dispatch) if !with_default(&dispatch, sees_a_lock) => Err(self.diagnose(&dispatch)),
            Some(_) if is_default_elsewhere => Ok(()),
            _ => Err(not_enabled(
                "make the registry with `lens::waits_layer()` the default of the whole process: `.init()` instead of \
                 a scoped default, before another subscriber is set",
            )),
        }
    }

    /// Why a lock was not seen in a registry that has the layer.
    fn diagnose(self: &Arc<Self>, dispatch: &Dispatch) -> Unavailable {
        if self.is_refused_in(dispatch) {
            return not_enabled(
                "add `lens::waits_layer()` to one registry only: it was added to another one before, which still exists",
            );
        }
        if LevelFilter::current() < LevelFilter::TRACE || Self::refuses_locks(dispatch) {
            return not_enabled(
                "a filter in front of all layers keeps tokio's TRACE events out: give it to the layers that it is \
                 meant for, `.with(fmt::layer().with_filter(filter))` instead of `.with(filter).with(fmt::layer())`",
            );
        }
        // Asking a dynamic filter would change what it says of the next event.
        not_enabled(
            "either a dynamic filter in front of all layers keeps tokio's TRACE events out (give it to the layers that \
             it is meant for), or tokio is built without its feature `tracing`",
        )
    }
}

/// Whether the layer sees a lock that is created in the calling thread.
fn sees_a_lock() -> bool {
    let seen = || Here::of_any(|here| here.seen.get());
    let before = seen();
    Here::of_any(|here| here.is_probing.set(true));
    let _lock = tokio::sync::Mutex::new(());
    Here::of_any(|here| here.is_probing.set(false));
    seen() != before
}
