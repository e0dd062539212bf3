//! A future whose bytes nobody counts. Separate because it has the names of the one that lens-jemalloc has.

use std::pin::Pin;
use std::task::{Context, Poll};

use lens_core::{Tracked, Unavailable};

/// See [`track_allocations`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct TrackAllocations<F>(Pin<Box<F>>);

/// Counts what `future` allocates, where the feature `heap` of lens is on.
pub fn track_allocations<F: Future>(future: F) -> TrackAllocations<F> {
    TrackAllocations(Box::pin(future))
}

impl<F: Future> Future for TrackAllocations<F> {
    type Output = Tracked<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let allocations = Err(Unavailable::FeatureOff { feature: "heap".into() });
        self.0.as_mut().poll(context).map(|output| Tracked { output, allocations })
    }
}
