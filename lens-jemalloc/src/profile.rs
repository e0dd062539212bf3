//! Heap profiles: who holds the heap's bytes, by call site. Separate from the statistics because it needs a jemalloc that
//! samples allocations, and because reading one writes a profile.

mod dump;
mod flamegraph;
mod functions;
mod pprof;
mod profiler;
mod sampling;
mod sites;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use lens_core::Timestamp;
use lens_core::stack::Frame;

pub use dump::Use;
pub use functions::MAX_CALL_ADDRESSES;
pub use profiler::{HeapProfiler, MAX_BASE_STACKS, MAX_STACKS};
pub use sampling::{MAX_SAMPLING, Sampled, Sampling, StartError};
pub use sites::{Site, sites};

/// Who holds the heap's bytes at an instant: of the sampled allocations, those that are still alive, by their stacks.
///
/// # Definition
///
/// jemalloc takes one allocation in [`sample_bytes`](Sampling::sample_bytes) on average, so the figures are estimates
/// without bias: a stack with `n` samples is off by about one in √n. What was allocated while nothing was sampled is not
/// in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapProfile {
    /// When it was read.
    pub at: Timestamp,
    /// How it was sampled.
    pub sampling: Sampling,
    /// Since when [`StackUse::base`] is, if there is a base.
    pub base_at: Option<Timestamp>,
    /// Every function that is in a stack.
    pub frames: Vec<Frame>,
    /// The stacks, those that hold most first.
    pub stacks: Vec<StackUse>,
    /// Stacks that are left out because there are more than [`MAX_STACKS`], and what they hold.
    pub left_out: LeftOut,
}

/// Which of a profile's bytes are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// What is alive.
    Alive,
    /// What is alive over what was at the base.
    Grown,
}

/// What the allocations with one stack hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StackUse {
    /// Places in [`HeapProfile::frames`], innermost first; the allocator's own functions are left out.
    pub frames: Vec<u32>,
    /// How many samples that are alive it is estimated from.
    pub sample_count: u64,
    /// What is alive.
    pub live: Use,
    /// What was alive at the base.
    pub base: Use,
    /// What was ever allocated; only counted with jemalloc's option `prof_accum`.
    pub total: Option<Use>,
}

/// Stacks for which there was no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// How many.
    pub stack_count: u64,
    /// What they hold.
    pub live: Use,
}

impl HeapProfile {
    /// What is alive in all, as far as it was sampled.
    #[must_use]
    pub fn live(&self) -> Use {
        self.stacks.iter().fold(self.left_out.live, |sum, stack| sum + stack.live)
    }

    /// The functions of a stack of this profile, innermost first.
    #[must_use]
    pub fn frames_of<'a>(&'a self, stack: &'a StackUse) -> impl DoubleEndedIterator<Item = &'a Frame> {
        stack.frames.iter().filter_map(|&frame| self.frames.get(frame as usize))
    }

    /// This profile with `earlier` as its base: what has come since is [`StackUse::live`] over [`StackUse::base`].
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        self.base_at = Some(earlier.at);
        let mut index: HashMap<Frame, u32> = HashMap::new();
        for (at, frame) in (0_u32..).zip(&self.frames) {
            index.insert(frame.clone(), at);
        }
        let mut bases: HashMap<Vec<u32>, Use> = HashMap::new();
        for stack in &earlier.stacks {
            let frames = earlier.frames_of(stack).map(|frame| {
                *index.entry(frame.clone()).or_insert_with(|| {
                    self.frames.push(frame.clone());
                    u32::try_from(self.frames.len() - 1).unwrap_or(u32::MAX)
                })
            });
            let base = bases.entry(frames.collect()).or_default();
            *base = *base + stack.live;
        }
        for stack in &mut self.stacks {
            stack.base = bases.remove(&stack.frames).unwrap_or_default();
        }
        // What is gone altogether.
        self.stacks.extend(bases.into_iter().map(|(frames, base)| StackUse { frames, base, ..StackUse::default() }));
        self
    }

    /// The profile as `go tool pprof` and Parca open it: pprof's protobuf, compressed by gzip.
    ///
    /// Its values are objects and bytes that are alive, and, where they are counted, that were ever allocated; or by how much
    /// the first two have grown.
    #[must_use]
    pub fn to_pprof(&self, shown: Shown) -> Vec<u8> {
        pprof::encode(self, shown)
    }

    /// The profile as a flame graph of bytes, in SVG. What has shrunk since the base is not drawn.
    ///
    /// # Errors
    ///
    /// There is nothing to draw.
    pub fn to_flame_graph(&self, shown: Shown) -> Result<Vec<u8>, lens_core::Unavailable> {
        flamegraph::draw(self, shown)
    }
}

#[cfg(test)]
mod tests;
