//! Everything that reaches below Rust: jemalloc's control interface, its per-thread counters, its profiles, glibc's
//! figures. Separate because all `unsafe` of this crate is in here, and nothing that leaves it can be misused.

pub(crate) mod glibc;
pub(crate) mod mallctl;
pub(crate) mod options;
pub(crate) mod prof;
pub(crate) mod thread;
