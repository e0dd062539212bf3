//! A place that is filled once and then only read. Separate because it holds the table's only pointers: std's `OnceLock`
//! would block a hook while another thread fills it.
#![expect(unsafe_code, reason = "a pointer that is published once is read without a lock")]

use std::fmt;
use std::ptr;

use super::{AtomicPtr, Ordering, const_fn};

/// Nothing, or a value that stays where it is until the place is dropped.
pub(crate) struct Once<T: Send + Sync>(AtomicPtr<T>);

impl<T: Send + Sync> Once<T> {
    const_fn! {
        /// Nothing yet.
        pub(crate) fn new() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// The value, if there is one.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        let value = self.0.load(Ordering::Acquire);
        // SAFETY: the pointer is null, or came out of `Box::into_raw` in `get_or_set` and was published with release
        // order after the value was written. It is never replaced, and freed only by `drop`, which borrows `self` alone.
        unsafe { value.as_ref() }
    }

    /// The value, made now if there is none. Of two threads that make one at once, one wins and the other drops its own;
    /// neither waits.
    #[cold]
    pub(crate) fn get_or_set(&self, make: impl FnOnce() -> Box<T>) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let made = Box::into_raw(make());
        match self.0.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `made` came out of `Box::into_raw` above and is now owned by `self`, see `get`.
            Ok(_) => unsafe { &*made },
            Err(winner) => {
                // SAFETY: the exchange failed, so `made` was published to nobody and is still ours alone.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: the exchange failed because the place was not null: see `get`.
                unsafe { &*winner }
            }
        }
    }
}

impl<T: Send + Sync> Drop for Once<T> {
    fn drop(&mut self) {
        let value = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        if !value.is_null() {
            // SAFETY: the pointer came out of `Box::into_raw` and nobody else can borrow from `self` any more.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

impl<T: Send + Sync> fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.get().is_some() { "Once(set)" } else { "Once(empty)" })
    }
}
