//! Asks for a cache line before it is written. Separate because it is one instruction that Rust has no name for.
#![cfg_attr(
    all(target_arch = "x86_64", not(loom)),
    expect(unsafe_code, reason = "an instruction that the intrinsic for it only compiles to on newer processors")
)]

/// Asks for the cache line that `value` starts in, to write it. Waits for nothing and may do nothing.
///
/// A line that another processor wrote last is fetched once so; reading it first and writing it then would fetch it twice,
/// which is most of what a poll in changing threads costs.
#[inline(always)]
pub(crate) fn prefetch_for_write<T>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    // SAFETY: `prefetchw` changes no register, no flag and no memory, and faults at no address. Processors that do not have
    // it take it for a no-operation (Intel SDM, PREFETCHW; AMD64 APM 3, PREFETCHW).
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) value, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    let _ = value;
}
