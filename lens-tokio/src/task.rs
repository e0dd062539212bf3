//! Spawning of tasks that have a name, and that can be asked where they wait. Separate because a service calls it in place
//! of tokio's own functions, which nothing can be learnt from afterwards.

mod watched;

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::instrument::with_name;
use crate::trees::Traced;

pub(crate) use watched::{Handle as KnownHandle, WATCHED};
pub use watched::{MAX_WATCHED, Watched};

/// Spawns a task under a name, as `tokio::spawn` does without one.
///
/// The name stands in every row about the task, and tells its tasks apart from others of the same place. One that begins
/// with a group, `"checkout/mailer"`, is counted in `tasks.groups()`. With the feature `trees` and `--cfg tokio_unstable`,
/// `tasks.awaiting()` shows where the task is suspended.
///
/// Cost: the name next to nothing. With `trees` 75 ns a spawn: an allocation of 100 bytes, and a short lock at the first
/// poll and at the end; a load at every further poll.
///
/// # Panics
///
/// It is called outside of a runtime, like `tokio::spawn`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let total = lens_tokio::spawn("checkout/total", async { 1 + 1 });
/// assert_eq!(total.await.unwrap(), 2);
/// # }
/// ```
#[track_caller]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    named(name).spawn(future)
}

/// A name for tasks, to spawn them where [`spawn`] does not reach.
#[must_use]
pub fn named(name: &'static str) -> Named {
    Named { name }
}

/// Spawns tasks under a name: see [`spawn`].
#[derive(Clone, Copy, Debug)]
pub struct Named {
    name: &'static str,
}

impl Named {
    /// Spawns a task on the current runtime.
    ///
    /// # Panics
    ///
    /// There is no current runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let future = Traced::new(future);
        let _naming = with_name(self.name);
        tokio::spawn(future)
    }

    /// Spawns a task on the current runtime, with a handle that `tasks.tree()` knows: it says which tasks are detached,
    /// because their handle was dropped, and which were aborted and go on all the same, and how large futures are.
    ///
    /// Cost, besides that of [`spawn`](Self::spawn): an allocation of 60 bytes, and two short locks for the task's life;
    /// nothing at its polls.
    ///
    /// # Panics
    ///
    /// There is no current runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let total = lens_tokio::task::named("checkout/total").watch(async { 1 + 1 });
    /// assert_eq!(total.await.unwrap(), 2);
    /// # }
    /// ```
    #[track_caller]
    pub fn watch<F>(self, future: F) -> Watched<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (future, watch) = watched::watching(Traced::new(future), size_of::<F>());
        let _naming = with_name(self.name);
        watch.of(tokio::spawn(future))
    }

    /// Spawns a task on a runtime.
    #[track_caller]
    pub fn spawn_on<F>(self, future: F, runtime: &Handle) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let future = Traced::new(future);
        let _naming = with_name(self.name);
        runtime.spawn(future)
    }

    /// Spawns a task on the current runtime, into a set.
    ///
    /// # Panics
    ///
    /// There is no current runtime.
    #[track_caller]
    pub fn spawn_in<F>(self, future: F, set: &mut JoinSet<F::Output>) -> AbortHandle
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let future = Traced::new(future);
        let _naming = with_name(self.name);
        set.spawn(future)
    }
}
