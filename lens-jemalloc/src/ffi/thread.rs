//! jemalloc's two counters of the calling thread. Separate because they are read through pointers, in the service's own
//! threads, at every poll.

use std::cell::Cell;
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use lens_core::thread_bytes::ThreadBytes;
use tikv_jemalloc_ctl::raw;

/// Where jemalloc counts what the calling thread allocated and freed since it started.
///
/// # Definition
///
/// Both counters only grow. They count usable bytes, which are the size classes that requests were rounded up to, and
/// count a `realloc` as a free of the old and an allocation of the new size.
///
/// # Source
///
/// [`thread.allocatedp`](https://jemalloc.net/jemalloc.3.html#thread.allocatedp) and `thread.deallocatedp`; they need
/// no feature of jemalloc.
///
/// # Cost
///
/// 50 ns once for a thread, then one load for each counter.
///
/// # Examples
///
/// ```
/// use lens_jemalloc::ThreadCounters;
///
/// #[global_allocator]
/// static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
///
/// let counters = ThreadCounters::current().expect("jemalloc is the global allocator");
/// let before = counters.allocated();
/// let kilobyte = vec![0_u8; 1000];
/// assert_eq!(counters.allocated() - before, 1024);
/// # drop(kilobyte);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ThreadCounters(ThreadBytes);

thread_local! {
    // Without a destructor: it can be read until the thread is gone.
    static COUNTERS: Cell<Option<ThreadCounters>> = const { Cell::new(None) };
}

/// Whether jemalloc is Rust's allocator, which never changes.
static IS_GLOBAL: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const NO: u8 = 1;
const YES: u8 = 2;

impl ThreadCounters {
    /// The calling thread's counters; `None` where jemalloc is not Rust's global allocator, for then they count
    /// something else.
    ///
    /// # Cost
    ///
    /// A load from thread-local storage, after the thread's first call.
    #[inline]
    #[must_use]
    pub fn current() -> Option<Self> {
        match COUNTERS.get() {
            None if IS_GLOBAL.load(Ordering::Relaxed) == NO => None,
            None => Self::look_up(),
            known => known,
        }
    }

    #[cold]
    fn look_up() -> Option<Self> {
        let found = Self::resolve()?;
        if IS_GLOBAL.load(Ordering::Relaxed) == UNKNOWN {
            IS_GLOBAL.store(if found.counts_rust() { YES } else { NO }, Ordering::Relaxed);
        }
        if IS_GLOBAL.load(Ordering::Relaxed) == NO {
            return None;
        }
        COUNTERS.set(Some(found));
        Some(found)
    }

    /// The calling thread's counters, whatever they count; `None` if jemalloc does not answer.
    pub(crate) fn resolve() -> Option<Self> {
        // SAFETY: manual: "thread.allocatedp (uint64_t *) r-"; any bit pattern is a pointer.
        let allocated = unsafe { raw::read::<*mut u64>(b"thread.allocatedp\0") }.ok()?;
        // SAFETY: manual: "thread.deallocatedp (uint64_t *) r-"; any bit pattern is a pointer.
        let deallocated = unsafe { raw::read::<*mut u64>(b"thread.deallocatedp\0") }.ok()?;
        let (allocated, deallocated) = (NonNull::new(allocated)?, NonNull::new(deallocated)?);
        // SAFETY: manual: the pointers are to the calling thread's counters, which live in the thread's static TLS block
        // and so as long as the thread; only the allocator writes them, in this thread.
        Some(Self(unsafe { ThreadBytes::new(allocated, deallocated) }))
    }

    /// Bytes that the thread allocated since it started.
    #[inline]
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.0.allocated()
    }

    /// Bytes that the thread freed since it started, whoever allocated them.
    #[inline]
    #[must_use]
    pub fn deallocated(&self) -> u64 {
        self.0.freed()
    }

    /// Whether Rust's allocations on this thread are counted: jemalloc is the global allocator.
    pub(crate) fn counts_rust(&self) -> bool {
        const PROBE: usize = 64;
        let before = self.allocated();
        drop(black_box(Box::new([black_box(0_u8); PROBE])));
        self.allocated().wrapping_sub(before) >= PROBE as u64
    }
}

/// The calling thread's two counters, for code that knows nothing of jemalloc and reads them around each poll. `None` where
/// jemalloc is not Rust's global allocator.
#[must_use]
pub fn thread_bytes() -> Option<ThreadBytes> {
    ThreadCounters::current().map(|counters| counters.0)
}
