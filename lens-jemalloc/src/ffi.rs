//! Everything that reaches below Rust: jemalloc's control interface and its per-thread counters. Separate because all
//! `unsafe` of this crate is in here, and nothing that leaves it can be misused.

pub(crate) mod mallctl;
pub(crate) mod thread;
