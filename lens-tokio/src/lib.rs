//! What tokio tells about its runtimes and tasks.

// tokio cannot be used under loom; `tests/loom.rs` includes what it models.
#![cfg(not(loom))]

pub mod builder;
pub mod console;
mod flavour;
mod instrument;
#[cfg(any(feature = "console", feature = "waits"))]
mod layers;
pub mod runtime;
pub mod stack;
pub mod stalls;
#[allow(dead_code, reason = "stable tokio has no task hooks, which are what writes the table")]
mod sync;
#[allow(dead_code, reason = "stable tokio has no task hooks, which are what writes the table")]
mod table;
pub mod task;
pub mod tasks;
mod threads;
mod trees;
pub mod waits;

pub use builder::Builder;
#[cfg(feature = "console")]
pub use console::console_layer;
pub use console::{Console, ConsoleSkill};
pub use flavour::TOKIO_UNSTABLE;
pub use instrument::bytes::{CountersOfThread, count_bytes};
pub use instrument::instrument;
pub use runtime::{RuntimeSkill, RuntimeState, Runtimes, TaskMonitors};
pub use stalls::{StallsSkill, Watchdog};
pub use table::Ticker;
pub use task::spawn;
pub use tasks::{CurrentTask, TasksSkill, current_task, ticker};
#[cfg(feature = "waits")]
pub use waits::waits_layer;
pub use waits::{Waits, WaitsSkill};
