//! The program, started as a user starts it, and asked over HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong, its helpers too")]

mod api;
mod faults;
mod harness;
#[cfg(feature = "lens")]
mod lens;
mod start;
mod tree;
