//! What jemalloc tells about the heap: the skill `heap`.
//!
//! jemalloc is read, never chosen: this crate installs no allocator. Where jemalloc is not Rust's global allocator, its
//! figures would be of somebody else's memory, so they are [`Unavailable`](lens_core::Unavailable) and what remains is what
//! the kernel says.

mod breakdown;
pub mod config;
#[cfg(feature = "dhat")]
pub mod dhat;
pub mod diagnose;
#[expect(unsafe_code, reason = "reads jemalloc through its C interface; each block names the promise that it leans on")]
mod ffi;
pub mod functions;
pub mod history;
pub mod process;
pub mod profile;
mod skill;
pub mod snapshot;
mod state;
mod track;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[doc(hidden)]
pub use ffi::options::StartOptions;
pub use ffi::thread::{ThreadCounters, thread_bytes};
pub use profile::{HeapProfile, HeapProfiler};
pub use skill::{C_HEAP_INTERVAL, HeapSkill};
pub use state::{HeapState, JemallocState};
pub use track::{TrackAllocations, track_allocations};
