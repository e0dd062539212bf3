//! Handles of tasks that lens knows of: whether they were dropped, and whether they aborted their task. Separate from
//! spawning because tokio tells neither of its own handles.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use lens_core::Store;
use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};
use tokio::task::{Id, JoinError, JoinHandle};

use crate::instrument::number_of;

/// The most tasks that are watched at a time; `tasks.tree()` does not know of the handles of more.
pub const MAX_WATCHED: usize = 1 << 16;

/// How many locks the table has.
const SHARDS: usize = 32;

/// The handles of live tasks.
pub(crate) static WATCHED: Watches = Watches::new();

/// What is known of a task's handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handle {
    pub(crate) task: u64,
    pub(crate) is_detached: bool,
    pub(crate) is_cancelled: bool,
    pub(crate) future_bytes: u64,
}

/// What a handle and its task share.
#[derive(Debug)]
struct Watch {
    /// 0 while it has no place in the table.
    task: AtomicU64,
    is_detached: AtomicBool,
    is_cancelled: AtomicBool,
    has_ended: AtomicBool,
    future_bytes: u64,
}

/// A task's handle, as tokio's [`JoinHandle`], of which `tasks.tree()` tells whether it was dropped (the task is detached)
/// or has aborted its task (which goes on until its poll ends).
#[derive(Debug)]
#[must_use = "dropping it detaches the task, and `tasks.tree()` says so"]
pub struct Watched<T> {
    handle: JoinHandle<T>,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    /// Aborts the task, as [`JoinHandle::abort`] does: at the end of its poll, if it is being polled.
    pub fn abort(&self) {
        self.watch.is_cancelled.store(true, Ordering::Relaxed);
        self.handle.abort();
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// tokio's id of the task.
    #[must_use]
    pub fn id(&self) -> Id {
        self.handle.id()
    }
}

impl<T> Future for Watched<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(context)
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.watch.is_detached.store(true, Ordering::Relaxed);
    }
}

pin_project! {
    /// A future that says when it is gone.
    pub(super) struct Watching<F> {
        #[pin]
        future: F,
        // Dropped after the future.
        place: Placed,
    }
}

impl<F: Future> Future for Watching<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(context)
    }
}

/// A task's end of its watch.
struct Placed(Arc<Watch>);

impl Drop for Placed {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::SeqCst);
        let task = self.0.task.load(Ordering::SeqCst);
        if task != 0 {
            WATCHED.remove(task);
        }
    }
}

/// A watch that no task has yet.
pub(super) struct NewWatch(Arc<Watch>);

/// A future to spawn, of which the service's own part has this size, and what its handle is to be combined with.
pub(super) fn watching<F>(future: F, future_bytes: usize) -> (Watching<F>, NewWatch) {
    let watch = Arc::new(Watch {
        task: AtomicU64::new(0),
        is_detached: AtomicBool::new(false),
        is_cancelled: AtomicBool::new(false),
        has_ended: AtomicBool::new(false),
        future_bytes: future_bytes as u64,
    });
    (Watching { future, place: Placed(Arc::clone(&watch)) }, NewWatch(watch))
}

impl NewWatch {
    /// The handle of the task that the future became.
    pub(super) fn of<T>(self, handle: JoinHandle<T>) -> Watched<T> {
        let Self(watch) = self;
        WATCHED.add(number_of(&handle.id()), &watch);
        Watched { handle, watch }
    }
}

type Shard = Option<HashMap<u64, Arc<Watch>>>;

/// All watches of live tasks.
#[derive(Debug)]
pub(crate) struct Watches {
    shards: [Mutex<Shard>; SHARDS],
    len: AtomicUsize,
    refused: AtomicU64,
}

impl Watches {
    const fn new() -> Self {
        Self { shards: [const { Mutex::new(None) }; SHARDS], len: AtomicUsize::new(0), refused: AtomicU64::new(0) }
    }

    fn shard(&self, task: u64) -> MutexGuard<'_, Shard> {
        let [first, ..] = task.to_le_bytes();
        self.shards[usize::from(first) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, task: u64, watch: &Arc<Watch>) {
        let room = |len: usize| (len < MAX_WATCHED).then(|| len + 1);
        if self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut shard = self.shard(task);
        // Either this sees that the task has ended, or the task's end sees its number and waits for the lock.
        watch.task.store(task, Ordering::SeqCst);
        if watch.has_ended.load(Ordering::SeqCst) {
            self.len.fetch_sub(1, Ordering::Relaxed);
        } else {
            shard.get_or_insert_default().insert(task, Arc::clone(watch));
        }
    }

    fn remove(&self, task: u64) {
        if self.shard(task).as_mut().and_then(|shard| shard.remove(&task)).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What is known of all handles, by task.
    pub(crate) fn copy(&self) -> Vec<Handle> {
        let mut handles = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            handles.extend(shard.iter().flatten().map(|(task, watch)| Handle {
                task: *task,
                is_detached: watch.is_detached.load(Ordering::Relaxed),
                is_cancelled: watch.is_cancelled.load(Ordering::Relaxed),
                future_bytes: watch.future_bytes,
            }));
        }
        handles.sort_unstable_by_key(|handle| handle.task);
        handles
    }

    /// What the watches take.
    pub(crate) fn store(&self) -> Store {
        // A table keeps its room when what was in it has gone: of 8 places it uses 7, and each takes a byte more.
        let place = size_of::<(u64, Arc<Watch>)>() + 1;
        let room = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.as_ref().map_or(0, HashMap::capacity).div_ceil(7) * 8 * place
        };
        let tables: usize = self.shards.iter().map(room).sum();
        let len = self.len.load(Ordering::Relaxed);
        let watch = size_of::<Watch>() + 2 * size_of::<usize>();
        Store {
            name: "handles of watched tasks".into(),
            len_count: len as u64,
            cap_count: MAX_WATCHED as u64,
            memory_bytes: (len * watch + tables + size_of_val(self)) as u64,
            dropped_total: self.refused.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_peak_is_told_after_it() {
        const PEAK: u64 = 10_000;
        let watches = Watches::new();
        let watch = || {
            let (watching, NewWatch(watch)) = watching(std::future::pending::<()>(), 0);
            // The test's tasks end by hand, in a table of their own.
            std::mem::forget(watching);
            watch
        };
        let empty = watches.store().memory_bytes;
        (1..=PEAK).for_each(|task| watches.add(task, &watch()));
        let full = watches.store();
        let entries = PEAK * size_of::<(u64, Arc<Watch>)>() as u64;
        assert_eq!(full.len_count, PEAK);
        assert!(full.memory_bytes >= empty + entries + PEAK * size_of::<Watch>() as u64, "{full:?}");
        (1..=PEAK).for_each(|task| watches.remove(task));
        let after = watches.store();
        assert_eq!(after.len_count, 0);
        assert!(after.memory_bytes >= empty + entries, "tables do not shrink: {after:?}");
        assert!(after.memory_bytes < full.memory_bytes, "{after:?}");
    }
}
