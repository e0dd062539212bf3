//! Finds out why the layer sees nothing. Separate because it asks every place on the way from tokio to the layer.

use std::sync::atomic::Ordering;

use lens_core::Reading;
use tracing::dispatcher::with_default;

use super::layer::{Link, sees_a_lock};
use crate::layers::{build_has_events, not_enabled};

impl Link {
    /// Whether the layer sees what tokio does: a lock is created to try it.
    pub(super) fn check(&self) -> Reading<()> {
        build_has_events()?;
        let dispatch = match self.dispatch() {
            Some(dispatch) if self.is_made() => dispatch,
            _ => {
                return Err(not_enabled(
                    "add the layer to the service's tracing registry, before its runtime starts: \
                     `tracing_subscriber::registry().with(lens::console_layer()).with(…).init()`",
                ));
            }
        };
        if self.is_foreign.load(Ordering::Relaxed) {
            return Err(not_enabled(
                "remove `lens::console_layer()`, or the service's own console-subscriber from the same registry, since \
                 two in one would panic: `lens console ADDRESS` reads the service's own",
            ));
        }
        if !self.is_on.load(Ordering::Relaxed) {
            return Err(not_enabled(
                "switch the layer on, before what it is to see is spawned: `lens::Console::global().enable()`",
            ));
        }
        if !with_default(&dispatch, sees_a_lock) {
            return Err(not_enabled(
                "either a filter in front of all layers keeps tokio's TRACE events out (give it to the layers that it \
                 is meant for, `.with(fmt::layer().with_filter(filter))`), or tokio is built without its feature \
                 `tracing`",
            ));
        }
        if self.has_seen_others.load(Ordering::Relaxed) || sees_a_lock() {
            return Ok(());
        }
        Err(not_enabled(
            "make the registry with `lens::console_layer()` the default of the whole process: `.init()` instead of a \
             scoped default, before another subscriber is set",
        ))
    }
}
