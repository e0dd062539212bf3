//! The bytes that the tasks of a page freed. Separate from their entries because only a service whose allocator counts has
//! them: the others' entries stay as small as they are.

use crate::sync::{AtomicU64, Once, Ordering, add, array_of, const_fn};

use super::pages::PAGE;

/// A counter for each task of a page, once one of them has freed something.
#[derive(Debug)]
pub(crate) struct Freed(Once<[AtomicU64; PAGE]>);

impl Freed {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self(Once::new())
        }
    }

    /// What the task at this place of the page freed.
    pub(crate) fn get(&self, at: usize) -> u64 {
        self.0.get().map_or(0, |freed| freed[at].load(Ordering::Relaxed))
    }

    /// Begins with a new task at this place.
    #[inline]
    pub(crate) fn clear(&self, at: usize) {
        if let Some(freed) = self.0.get() {
            freed[at].store(0, Ordering::Relaxed);
        }
    }

    /// Adds to what the task at this place freed, if there is room; only for the thread that polls it.
    #[inline]
    pub(crate) fn add(&self, at: usize, bytes: u64) -> bool {
        let Some(freed) = self.0.get() else { return false };
        add(&freed[at], bytes);
        true
    }

    /// Makes room for all tasks of the page.
    pub(crate) fn make_room(&self) {
        if self.0.get().is_none() {
            self.0.get_or_set(|| Box::new(array_of![AtomicU64::new(0); PAGE]));
        }
    }

    /// Bytes of memory that it takes beside itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.get().map_or(0, size_of_val)
    }
}
