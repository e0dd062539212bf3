//! Asks for a cache line before it is written. Separate because the intrinsic for it becomes this instruction only in builds
//! for newer processors.
#![cfg_attr(
    all(target_arch = "x86_64", not(loom), not(miri)),
    expect(unsafe_code, reason = "one instruction that neither reads nor writes anything that the language knows of")
)]

/// Asks for the cache line that `value` starts in, to write it. Waits for nothing and may do nothing.
///
/// A line that another processor wrote last is fetched once so; reading it first and writing it then would fetch it twice.
#[inline(always)]
pub(crate) fn prefetch_for_write<T>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    // SAFETY: `prefetchw` changes no register, no flag and no memory, and faults at no address. All AMD processors for
    // x86-64 have it; Intel's have it or take it for a no-operation, but for the very first of 2004, which lens does not
    // support.
    unsafe {
        // Not `nomem`, so that it stays before the stores that follow.
        std::arch::asm!("prefetchw [{}]", in(reg) value, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    let _ = value;
}
