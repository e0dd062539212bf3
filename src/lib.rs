#![doc = include_str!("../README.md")]

mod builder;
#[cfg(feature = "cli")]
pub mod cli;
mod error;
mod handle;
#[cfg(feature = "http")]
mod health;
mod heap;
#[cfg(feature = "http")]
mod http;
mod investigations;
#[cfg(feature = "logs")]
mod logs;
#[cfg(feature = "llm")]
pub mod models;
mod own;
mod queries;
mod replay;
mod skills;
#[cfg(any(feature = "http", feature = "cli"))]
mod table;

pub use builder::{Builder, DEFAULT_ADDRESS, TOKEN_VARIABLE};
pub use error::Error;
pub use handle::Lens;
pub use heap::{SampleHeapError, TrackAllocations, track_allocations};
pub use investigations::{
    CHECK_WALL, FINDINGS_DEADLINE, Investigation, MAX_CAPTURES, MAX_INVESTIGATIONS, MAX_MODEL_INVESTIGATIONS,
    MAX_REASON_BYTES, Refused,
};
pub use lens_core::sandbox::worker;
pub use lens_core::{
    About, Allocations, Answer, CallError, Capture, Cause, Cell, Check, Fact, Finding, Functions, Insight, Metric,
    MetricKind, Metrics, Model, OrUnavailable, Reading, Registry, Report, Series, Severity, Skill, Source,
    SourceStatus, Span, Store, Table, Timestamp, Tracked, Unavailable, Unit, View, checks, evidence, investigation,
    model, sandbox, skill,
};
#[cfg(feature = "dhat")]
pub use lens_jemalloc::dhat;
#[cfg(feature = "heap")]
pub use lens_jemalloc::heap_profiles;
#[cfg(feature = "console")]
#[doc(no_inline)]
pub use lens_tokio::console_layer;
#[cfg(feature = "waits")]
#[doc(no_inline)]
pub use lens_tokio::waits_layer;
#[doc(no_inline)]
pub use lens_tokio::{Console, TaskMonitors, Waits, instrument, spawn, task};
#[cfg(feature = "logs")]
pub use logs::{logs_layer, logs_layer_at};
pub use own::OwnState;
pub use replay::Replay;
pub use schemars;
#[doc(hidden)]
pub use tokio::pin;

/// Has jemalloc keep heap profiles: nothing here, for the feature `heap` of lens is off.
#[cfg(not(feature = "heap"))]
#[macro_export]
macro_rules! heap_profiles {
    () => {};
    ($more:literal) => {
        compile_error!("options for jemalloc need the feature `heap` of lens");
    };
}

/// The instrumented runtime builder, where `#[tokio::main(crate = "lens")]` looks for it.
pub mod runtime {
    pub use lens_tokio::builder::*;
}
