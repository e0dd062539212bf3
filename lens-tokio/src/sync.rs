//! The atomics of the task table: std's, or loom's under `--cfg loom`. Separate because this switch is all that a model
//! test changes: the protocol that loom explores is the one that ships.

mod once;
mod prefetch;

pub(crate) use once::Once;
pub(crate) use prefetch::prefetch_for_write;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// A `const fn` with std's atomics, a `fn` with loom's, which cannot be made in constants.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])* $vis const fn $($rest)*
        #[cfg(loom)]
        $(#[$meta])* $vis fn $($rest)*
    };
}
pub(crate) use const_fn;

/// An array of `$count` times `$make`, in constants too.
macro_rules! array_of {
    ($make:expr; $count:expr) => {{
        #[cfg(not(loom))]
        let array = [const { $make }; $count];
        #[cfg(loom)]
        let array = std::array::from_fn::<_, { $count }, _>(|_| $make);
        array
    }};
}
pub(crate) use array_of;

/// Adds to a counter that only this thread writes: a plain load and store, no locked instruction.
#[inline]
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// Stores `value` and lets no later load of this thread pass it: one half of "I write mine, then I look for yours".
///
/// With std this is one exchange (a locked instruction on x86-64, half the price of a fence). loom takes sequentially
/// consistent accesses for acquire and release ones, so there the same order comes from a fence.
#[inline]
pub(crate) fn store_before_loads(cell: &AtomicU64, value: u64) {
    #[cfg(not(loom))]
    cell.swap(value, Ordering::SeqCst);
    #[cfg(loom)]
    {
        cell.store(value, Ordering::Release);
        fence(Ordering::SeqCst);
    }
}

/// Lets other threads run before one looks again that has looked this often. Only for readers.
pub(crate) fn pause(looked: u32) {
    #[cfg(not(loom))]
    if looked < 16 {
        std::thread::yield_now();
    } else {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    #[cfg(loom)]
    {
        let _ = looked;
        loom::thread::yield_now();
    }
}
