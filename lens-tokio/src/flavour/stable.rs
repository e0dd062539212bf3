//! The stable flavour of tokio.

pub(crate) mod hooks;
pub(crate) mod metrics;
pub(crate) mod threads;
pub(crate) mod trace;
