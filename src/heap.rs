//! The heap's part of the face: its skill, its macro, and its profiles. Separate because the feature `heap` picks one of two
//! modules with the same names here, so that nothing else of lens depends on it.

#[cfg(not(feature = "heap"))]
mod off;
#[cfg(feature = "heap")]
mod on;

#[cfg(not(feature = "heap"))]
use off as chosen;
#[cfg(feature = "heap")]
use on as chosen;

pub(crate) use chosen::{Heap, count_task_bytes};
pub use chosen::{TrackAllocations, track_allocations};
#[cfg(feature = "http")]
pub(crate) use chosen::{draw, read};

#[cfg(not(feature = "dhat"))]
use lens_core::{About, Error, RegistryBuilder};
use lens_core::{Timestamp, Unavailable};

/// Sampling that is on as long as this lives.
pub(crate) trait Held: Send {
    /// Lets it go on until its time is over.
    fn keep(self: Box<Self>);
}

/// Adds the name of the skill `dhat`.
#[cfg(not(feature = "dhat"))]
fn without_dhat(registry: &mut RegistryBuilder) -> Result<(), Error> {
    let about = About::new("dhat", "dhat", "Every allocation, as the allocator `dhat` counts: for development.");
    registry.absent(about, Unavailable::FeatureOff { feature: "dhat".into() }).map(drop)
}

/// Why allocations are not sampled now.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleHeapError {
    /// They are sampled already.
    #[error("allocations are sampled already, until {until}")]
    Busy {
        /// When that ends.
        until: Timestamp,
    },
    /// The time is none, or too long.
    #[error("allocations are sampled for at least 1 ms and at most an hour")]
    Length,
    /// It cannot be done in this process; the text is the fix.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// How a profile is drawn.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drawing {
    Pprof,
    FlameGraph,
}
