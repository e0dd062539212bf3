//! The skill `runtime` against real runtimes, on whatever flavour of tokio the tests are built with.
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]
#![expect(clippy::float_cmp, reason = "these numbers are exact")]

#[path = "runtime/ask.rs"]
mod ask;
#[path = "runtime/checks.rs"]
mod checks;
#[path = "runtime/counts.rs"]
mod counts;
#[path = "runtime/progress.rs"]
mod progress;
#[path = "runtime/registry.rs"]
mod registry;
