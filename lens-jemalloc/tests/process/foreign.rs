//! Memory that Rust's allocator does not know. Separate because mapping it is the only unsafe code of these tests.

/// Maps `bytes` of memory and writes to all of it.
#[expect(unsafe_code, reason = "maps memory past the allocator, as a C library would")]
pub(crate) fn map(bytes: usize) -> u64 {
    // SAFETY: asks for new memory, wherever it may be.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: the mapping has `bytes` bytes and nobody else knows of it.
    unsafe { std::ptr::write_bytes(start.cast::<u8>(), 1, bytes) };
    bytes as u64
}
