//! Tracing of futures in a build without the feature `trees`, or for another platform: there is none.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use lens_core::{Reading, Unavailable};

use crate::trees::Leaves;

/// Whether futures can be traced.
pub(crate) const IS_ON: bool = false;

/// Why futures cannot be traced.
pub(crate) fn reading() -> Reading<()> {
    if cfg!(feature = "trees") {
        Err(Unavailable::UnsupportedPlatform { needs: "Linux on x86-64".into() })
    } else {
        Err(Unavailable::FeatureOff { feature: "trees".into() })
    }
}

/// Polls, and notes nothing.
pub(crate) fn poll<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>, _: &mut Leaves) -> Poll<F::Output> {
    future.poll(context)
}
