//! What the two tracing layers, `waits` and `console`, say alike where they see nothing. Separate because neither is part of
//! the other.

use lens_core::{Reading, Unavailable};
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};

use crate::flavour::TOKIO_UNSTABLE;

/// Whether this build lets tokio's events through at all.
pub(crate) fn build_has_events() -> Reading<()> {
    if !TOKIO_UNSTABLE {
        return Err(Unavailable::NeedsTokioUnstable);
    }
    if STATIC_MAX_LEVEL < LevelFilter::TRACE {
        return Err(Unavailable::NotCompiledIn {
            what: format!("more than tracing's level {STATIC_MAX_LEVEL}").into(),
            fix:
                "take the features `max_level_*` and `release_max_level_*` of the crate `tracing` out of the service's \
                  and its dependencies' Cargo.toml"
                    .into(),
        });
    }
    Ok(())
}

/// The call or setting that turns a layer on.
pub(crate) fn not_enabled(how: &'static str) -> Unavailable {
    Unavailable::NotEnabled { how: how.into() }
}
