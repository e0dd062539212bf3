//! `getrusage(2)` of this process. Separate because it is the one call here without a safe wrapper; `/proc` has context
//! switches and faults of single threads only, and forgets those that have ended.

use lens_core::{Reading, Unavailable};

use crate::os::process::Usage;

/// The counts of all threads, those that have ended included.
pub(super) fn read() -> Reading<Usage> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    #[expect(unsafe_code, reason = "no dependency of lens wraps getrusage")]
    // SAFETY: the pointer is to memory of a `rusage`'s size and alignment that lives through the call; getrusage(2)
    // writes nothing else.
    let answer = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if answer != 0 {
        return Err(Unavailable::failed(format!("getrusage failed: {}", std::io::Error::last_os_error())));
    }
    #[expect(unsafe_code, reason = "no dependency of lens wraps getrusage")]
    // SAFETY: all bytes are initialized (zeroed above, and written by the call), and every field is an integer.
    let usage = unsafe { usage.assume_init() };
    // The kernel's counts are never negative.
    let count = |count: libc::c_long| u64::try_from(count).unwrap_or_default();
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or_default() * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or_default()
    };
    Ok(Usage {
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        minor_faults: count(usage.ru_minflt),
        major_faults: count(usage.ru_majflt),
        voluntary_switches: count(usage.ru_nvcsw),
        involuntary_switches: count(usage.ru_nivcsw),
    })
}
