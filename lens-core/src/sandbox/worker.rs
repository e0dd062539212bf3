//! The second wall: the same query in a process of its own, for scripts that nobody vouches for. Separate because the
//! guard knows nothing of it: the process runs the guard as this one does, with the kernel's limits around it, and asks
//! back for whatever the script asks a skill.
//!
//! The process is the service's own program, started again with one argument; [`worker`] at the beginning of `main` sees
//! that and never returns. Its memory, processor time and files are limited by the kernel before it reads a byte of the
//! script; it has no environment, opens nothing, and is killed at the query's deadline, with the client's connection, or
//! with the service.

#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod parent;
#[cfg(target_os = "linux")]
mod pipe;
#[cfg(target_os = "linux")]
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
pub(super) use parent::run;

/// The argument that makes a process one that runs a single query.
pub const WORKER_ARGUMENT: &str = "--lens-query-worker";

/// Whether [`worker`] was called, so that a second process of this program would be one.
static IS_READY: AtomicBool = AtomicBool::new(false);

/// Makes this process run a single query and end, if it was started for that; otherwise returns at once. It must come
/// first in `main`, before anything is opened or started.
///
/// Queries run in processes of their own only if [`Sandbox::isolated`](super::Sandbox::isolated) says so.
pub fn worker() {
    #[cfg(target_os = "linux")]
    {
        let mut arguments = std::env::args_os().skip(1);
        if arguments.next().is_some_and(|first| first == WORKER_ARGUMENT) && arguments.next().is_none() {
            child::serve();
        }
    }
    IS_READY.store(true, Ordering::Release);
}

/// Why queries cannot run in processes of their own, if they cannot.
pub(super) fn missing() -> Option<&'static str> {
    if cfg!(not(target_os = "linux")) {
        return Some("that needs Linux");
    }
    (!IS_READY.load(Ordering::Acquire)).then_some("call `lens::worker()` first in `main`")
}
