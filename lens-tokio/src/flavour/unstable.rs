//! The unstable flavour of tokio.

mod builder;
pub(crate) mod hooks;
pub(crate) mod metrics;
pub(crate) mod threads;
