//! The one file that names `tokio_unstable`: the cfg picks a module, never a type. Both modules have the same items with
//! the same signatures; the stable one says [`Unavailable::NeedsTokioUnstable`](lens_core::Unavailable) where tokio's
//! stable API has nothing.

#[cfg(not(tokio_unstable))]
mod stable;
#[cfg(tokio_unstable)]
mod unstable;

#[cfg(not(tokio_unstable))]
pub(crate) use stable::{hooks, metrics, threads, trace};
#[cfg(tokio_unstable)]
pub(crate) use unstable::{hooks, metrics, threads, trace};

/// Whether the service was built with tokio's unstable API.
pub const TOKIO_UNSTABLE: bool = cfg!(tokio_unstable);
