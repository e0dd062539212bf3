//! Names for tasks, where lens is compiled in: it shows them, and where the tasks wait. Without lens, tokio spawns them as
//! ever.

use std::future::Future;

use tokio::task::JoinSet;

/// Spawns a task into a set, under a name.
#[track_caller]
#[cfg_attr(not(feature = "lens"), expect(unused_variables, reason = "only lens shows the name"))]
pub(crate) fn spawn_in<F>(name: &'static str, future: F, set: &mut JoinSet<F::Output>)
where
    F: Future<Output: Send> + Send + 'static,
{
    #[cfg(feature = "lens")]
    lens::task::named(name).spawn_in(future, set);
    #[cfg(not(feature = "lens"))]
    set.spawn(future);
}
