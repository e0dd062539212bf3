//! What a future allocates, in numbers. Separate because these are the types whether or not a crate is there that counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reading::Reading;

/// What was allocated and freed while a future was polled.
///
/// Bytes are rounded up to size classes, and a block that grows counts as freed and allocated. Memory that is handed to
/// others is allocated here and freed there, so the difference is not what the future holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allocations {
    /// Bytes that were allocated.
    pub allocated_bytes: u64,
    /// Bytes that were freed, whoever allocated them.
    pub deallocated_bytes: u64,
    /// How often it was polled.
    pub poll_count: u64,
}

/// The output of a future, and what it allocated.
#[derive(Clone, Debug)]
pub struct Tracked<T> {
    /// The future's output.
    pub output: T,
    /// What it allocated; why that is not known, where the feature `heap` of lens is off or jemalloc is not Rust's global
    /// allocator.
    pub allocations: Reading<Allocations>,
}
