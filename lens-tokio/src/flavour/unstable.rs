//! The unstable flavour of tokio.

pub(crate) mod hooks;
pub(crate) mod metrics;
