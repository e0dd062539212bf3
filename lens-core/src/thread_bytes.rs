//! Where an allocator counts what the calling thread allocates and frees. Separate because one crate knows the allocator
//! and another reads the counters around every poll, too often for a call.
#![expect(unsafe_code, reason = "two counters of the allocator's are read where they are")]

use std::ptr::NonNull;

/// The allocator's two counters of one thread: bytes that it allocated and freed since it started. They only grow.
///
/// It stays in its thread, for it is neither `Send` nor `Sync`.
///
/// # Cost
///
/// A load for each counter.
#[derive(Clone, Copy, Debug)]
pub struct ThreadBytes {
    allocated: NonNull<u64>,
    freed: NonNull<u64>,
}

impl ThreadBytes {
    /// The calling thread's counters.
    ///
    /// # Safety
    ///
    /// Until the calling thread is gone, thread-local storage included, both can be read by it, and nothing else writes
    /// them than code that this thread calls.
    #[must_use]
    pub const unsafe fn new(allocated: NonNull<u64>, freed: NonNull<u64>) -> Self {
        Self { allocated, freed }
    }

    /// Bytes that the thread allocated since it started.
    #[inline]
    #[must_use]
    pub fn allocated(self) -> u64 {
        // SAFETY: `new` promises that this thread, which `self` cannot leave, may read it. Volatile, for the allocator
        // writes behind Rust's back.
        unsafe { self.allocated.as_ptr().read_volatile() }
    }

    /// Bytes that the thread freed since it started, whoever allocated them.
    #[inline]
    #[must_use]
    pub fn freed(self) -> u64 {
        // SAFETY: as in `allocated`.
        unsafe { self.freed.as_ptr().read_volatile() }
    }
}
