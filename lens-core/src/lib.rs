//! The parts of lens that know nothing of tokio, jemalloc or HTTP: what a skill is, how its readings are frozen into a
//! [`Capture`], how its metrics become [`Series`], and how a script asks questions about both.
//!
//! The rest of lens is built on one idea: sources are written by the service and read by lens, a capture is a frozen
//! reading of every skill at one instant, and everything else is a function of a capture.

pub mod allocations;
pub mod answer;
pub mod capture;
pub mod checks;
pub mod error;
pub mod evidence;
pub mod investigation;
pub mod metric;
pub mod model;
pub mod numbers;
pub mod on_demand;
pub mod place;
pub mod reading;
pub mod recorder;
pub mod redact;
pub mod reference;
pub mod registry;
pub mod sandbox;
pub mod signature;
pub mod skill;
pub mod stack;
pub mod store;
pub mod thread_bytes;
pub mod threads;
pub mod time;

pub use allocations::{Allocations, Tracked};
pub use answer::{Answer, Cell, Rows, Table};
pub use capture::Capture;
pub use checks::{Check, Checks};
pub use error::{CallError, Error};
pub use evidence::{Cause, Fact, Finding, Insight, Report, Severity};
pub use metric::{Metric, MetricKind, Metrics, Unit};
pub use model::Model;
pub use on_demand::OnDemand;
pub use place::Place;
pub use reading::{OrUnavailable, Reading, Source, SourceStatus, Unavailable};
pub use recorder::{Recorder, Series};
pub use redact::Redactor;
pub use registry::{Registry, RegistryBuilder};
pub use signature::{Arguments, FunctionReference};
pub use skill::{About, Functions, Skill, View};
pub use store::Store;
pub use time::{InvalidSpan, Span, Timestamp};
