//! What glibc's allocator says of itself. Separate because asking costs: it walks every free chunk with its locks held.

use std::mem;

use lens_core::{Reading, Unavailable};

use crate::process::CHeap;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn c_heap() -> Reading<CHeap> {
    // The symbol is looked up, for glibc has it since 2.33 only and a service may be built against an older one.
    // SAFETY: the name ends in 0; dlsym may be called at any time.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
    if symbol.is_null() {
        return Err(Unavailable::UnsupportedPlatform { needs: "glibc 2.33 or later".into() });
    }
    // SAFETY: mallinfo(3): `struct mallinfo2 mallinfo2(void)`, and a pointer from dlsym is a function's address.
    let mallinfo2 = unsafe { mem::transmute::<*mut libc::c_void, unsafe extern "C" fn() -> libc::mallinfo2>(symbol) };
    // SAFETY: mallinfo(3): it takes nothing, and is safe to call from several threads while nobody calls mallopt.
    let said = unsafe { mallinfo2() };
    Ok(CHeap {
        held_bytes: (said.arena + said.hblkhd) as u64,
        used_bytes: (said.uordblks + said.hblkhd) as u64,
        free_bytes: said.fordblks as u64,
    })
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn c_heap() -> Reading<CHeap> {
    Err(Unavailable::UnsupportedPlatform { needs: "glibc 2.33 or later".into() })
}
