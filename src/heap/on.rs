//! The heap with the feature `heap`. Separate because it is one of two that have the same names.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "http")]
use lens_core::{Capture, Reading};
use lens_core::{Error, RegistryBuilder, Unavailable};
#[cfg(feature = "http")]
use lens_jemalloc::HeapState;
#[cfg(feature = "http")]
use lens_jemalloc::profile::{HeapProfile, Shown};
use lens_jemalloc::profile::{Sampled, StartError};
use lens_jemalloc::{HeapProfiler, HeapSkill};
use lens_tokio::CountersOfThread;
use lens_tokio::stack::LoadedFiles;

pub use lens_jemalloc::{TrackAllocations, track_allocations};

#[cfg(feature = "http")]
use super::Drawing;
use super::{Held, SampleHeapError};

/// What is needed of the heap's skill once it is in the registry.
#[derive(Clone, Debug)]
pub(crate) struct Heap(HeapProfiler);

impl Heap {
    /// Adds the skill.
    pub(crate) fn add(registry: &mut RegistryBuilder, asks_glibc: bool) -> Result<Self, Error> {
        let heap = HeapSkill::new().symbols(Arc::new(LoadedFiles));
        let heap = if asks_glibc { heap.ask_glibc() } else { heap };
        let profiler = heap.profiler();
        registry.skill(heap)?;
        add_dhat(registry)?;
        Ok(Self(profiler))
    }

    /// Samples allocations for `length`, or as long as the result lives.
    pub(crate) fn sample(&self, length: Duration) -> Result<Box<dyn Held>, SampleHeapError> {
        match self.0.sample(length) {
            Ok(sampled) => Ok(Box::new(sampled)),
            Err(StartError::Busy { until }) => Err(SampleHeapError::Busy { until }),
            Err(StartError::Length) => Err(SampleHeapError::Length),
            Err(StartError::Unavailable(reason)) => Err(reason.into()),
        }
    }

    /// Ends it; gives whether there was any.
    pub(crate) fn stop(&self) -> bool {
        self.0.stop()
    }
}

#[cfg(feature = "dhat")]
fn add_dhat(registry: &mut RegistryBuilder) -> Result<(), Error> {
    registry.skill(lens_jemalloc::dhat::DhatSkill).map(drop)
}

#[cfg(not(feature = "dhat"))]
fn add_dhat(registry: &mut RegistryBuilder) -> Result<(), Error> {
    super::without_dhat(registry)
}

/// Has the bytes counted that tasks allocate and free.
pub(crate) fn count_task_bytes() {
    let is_counted = lens_jemalloc::thread_bytes().is_some();
    let source: CountersOfThread = lens_jemalloc::thread_bytes;
    lens_tokio::count_bytes(if is_counted { Ok(source) } else { Err(Unavailable::NotGlobalAllocator) });
}

impl Held for Sampled {
    fn keep(self: Box<Self>) {
        Self::keep(*self);
    }
}

/// Reads the profile of `capture` now, so that it is the one of this instant.
#[cfg(feature = "http")]
pub(crate) fn read(capture: &Capture) -> Reading<()> {
    profile(capture).map(drop)
}

/// The profile of `capture`, or what has come since `earlier`.
#[cfg(feature = "http")]
pub(crate) fn draw(drawing: Drawing, capture: &Capture, earlier: Option<&Capture>) -> Reading<Vec<u8>> {
    let now = profile(capture)?;
    let (profile, shown) = match earlier {
        Some(earlier) => (now.since(&profile(earlier)?), Shown::Grown),
        None => (now, Shown::Alive),
    };
    match drawing {
        Drawing::Pprof => Ok(profile.to_pprof(shown)),
        Drawing::FlameGraph => profile.to_flame_graph(shown),
    }
}

#[cfg(feature = "http")]
fn profile(capture: &Capture) -> Reading<HeapProfile> {
    let state = capture.state("heap")?;
    let state = state.as_any().downcast_ref::<HeapState>();
    state.ok_or_else(|| Unavailable::failed("the skill `heap` is another one"))?.profile.get().cloned()
}
