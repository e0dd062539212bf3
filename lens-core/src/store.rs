//! What lens itself keeps in memory. Separate because every store of every crate reports itself in these words.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bounded store: how full it is, what it holds at most, and what it had to drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Store {
    /// What is stored.
    pub name: Cow<'static, str>,
    /// How many entries it holds.
    pub len_count: u64,
    /// How many entries it holds at most.
    pub cap_count: u64,
    /// Bytes that it takes now.
    pub memory_bytes: u64,
    /// Entries refused or overwritten before their time since the start.
    pub dropped_total: u64,
}
