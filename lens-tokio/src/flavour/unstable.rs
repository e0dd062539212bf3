//! The unstable flavour of tokio.

mod builder;
pub(crate) mod hooks;
pub(crate) mod metrics;
pub(crate) mod threads;
#[cfg(all(feature = "trees", target_os = "linux", target_arch = "x86_64"))]
pub(crate) mod trace;
#[cfg(not(all(feature = "trees", target_os = "linux", target_arch = "x86_64")))]
#[path = "unstable/untraced.rs"]
pub(crate) mod trace;
