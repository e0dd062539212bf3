//! The questions that can be asked of the heap. Separate from the skill because they are pure: a state in, rows out.

mod arenas;
mod bins;
mod config;
mod decay;
mod fragmentation;
mod mutexes;
mod profile;
mod stats;

use lens_core::Functions;

use crate::diagnose;
use crate::state::HeapState;

pub use arenas::ArenaRow;
pub(crate) use bins::share;
pub use bins::{BinOrder, BinRow, BinsArguments, DEFAULT_LIMIT, LargeRow, LimitArgument};
pub use config::ConfigRow;
pub use decay::DecayRow;
pub use fragmentation::{FragmentationRow, MemoryPart};
pub use mutexes::{MutexLevel, MutexRow};
pub use profile::{ProfileArguments, ProfileOrder, ProfileRow, SamplingRow};
pub use stats::HeapStats;

pub(crate) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    [
        stats::add,
        arenas::add,
        bins::add,
        decay::add,
        fragmentation::add,
        mutexes::add,
        config::add,
        diagnose::add,
        profile::add,
    ]
    .into_iter()
    .fold(to, |to, add| add(to))
}

#[cfg(test)]
mod tests;
