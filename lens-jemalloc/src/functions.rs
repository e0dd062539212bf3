//! The questions that can be asked of the heap. Separate from the skill because they are pure: a state in, rows out.

mod arenas;
mod stats;

use lens_core::Functions;

use crate::state::HeapState;

pub use arenas::ArenaRow;
pub use stats::HeapStats;

pub(crate) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    arenas::add(stats::add(to))
}
