//! The heap without the feature `heap`: everything says how to get it. Separate because it is one of two that have the same
//! names.

mod track;

use std::time::Duration;

use lens_core::{About, Error, RegistryBuilder, Unavailable};
#[cfg(feature = "http")]
use lens_core::{Capture, Reading};

#[cfg(feature = "http")]
use super::Drawing;
use super::{Held, SampleHeapError};

pub use track::{TrackAllocations, track_allocations};

/// Nothing.
#[derive(Clone, Debug)]
pub(crate) struct Heap(());

impl Heap {
    /// Adds the name of the skill.
    pub(crate) fn add(registry: &mut RegistryBuilder, _asks_glibc: bool) -> Result<Self, Error> {
        registry.absent(About::new("heap", "Heap", "What jemalloc tells about the heap."), off())?;
        super::without_dhat(registry)?;
        Ok(Self(()))
    }

    #[expect(clippy::unused_self, reason = "the other one's has a profiler")]
    pub(crate) fn sample(&self, _length: Duration) -> Result<Box<dyn Held>, SampleHeapError> {
        Err(off().into())
    }

    #[expect(clippy::unused_self, reason = "the other one's has a profiler")]
    pub(crate) fn stop(&self) -> bool {
        false
    }
}

/// Says why the bytes are not counted that tasks allocate and free.
pub(crate) fn count_task_bytes() {
    lens_tokio::count_bytes(Err(off()));
}

#[cfg(feature = "http")]
pub(crate) fn draw(_drawing: Drawing, _capture: &Capture, _earlier: Option<&Capture>) -> Reading<Vec<u8>> {
    Err(off())
}

#[cfg(feature = "http")]
pub(crate) fn read(_capture: &Capture) -> Reading<()> {
    Err(off())
}

fn off() -> Unavailable {
    Unavailable::FeatureOff { feature: "heap".into() }
}
