//! What acts on jemalloc: sampling is switched and a profile written. Separate from the readings, which are refused these
//! names, and because each call here says what it changes.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::ffi::CStr;
use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use lens_core::Unavailable;
use tikv_jemalloc_ctl::{Error, raw};

/// The most bytes of a profile that are read: some 100 000 stacks.
pub(crate) const MAX_DUMP_BYTES: u64 = 64 << 20;

fn refused(what: &str, error: Error) -> Unavailable {
    Unavailable::failed(format!("jemalloc refused `{what}`: {error}"))
}

/// Switches the sampling of allocations, for all threads; gives what it was before.
///
/// Effect: while it is on, about one allocation in each `sample_bytes` takes 2 to 3 µs for its stack.
pub(crate) fn set_active(is_on: bool) -> Result<bool, Unavailable> {
    // SAFETY: manual: "prof.active (bool) rw"; jemalloc writes 0 or 1 into the old value, and reads the new one.
    unsafe { raw::update(b"prof.active\0", is_on) }.map_err(|error| refused("prof.active", error))
}

/// Keeps allocations of the calling thread out of profiles as long as it lives.
pub(crate) struct Muted(bool);

impl Muted {
    pub(crate) fn this_thread() -> Self {
        // SAFETY: manual: "thread.prof.active (bool) rw", the calling thread's own.
        let before = unsafe { raw::update(b"thread.prof.active\0", false) };
        // Refused where jemalloc has no profiles: then there is nothing to keep out of.
        Self(before.unwrap_or(false))
    }
}

impl Drop for Muted {
    fn drop(&mut self) {
        if self.0 {
            // SAFETY: as in `this_thread`. It worked before; and if not, the thread only stays unseen.
            let _ = unsafe { raw::write(b"thread.prof.active\0", true) };
        }
    }
}

/// The profile of now, as jemalloc writes it: to a file that is only memory.
///
/// Effect: jemalloc holds the locks of its profile for 0.2 ms with few stacks and 25 ms with 3000; a thread that takes a
/// sample meanwhile waits for it.
pub(crate) fn dump() -> Result<String, Unavailable> {
    let unreadable = |error: io::Error| Unavailable::failed(format!("the profile cannot be read: {error}"));
    let mut file = memory_file().map_err(unreadable)?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|_| Unavailable::failed("a path with a zero in it"))?;
    let start: *const c_char = path.as_ptr();
    // SAFETY: manual: "prof.dump (const char *) -w": the text names the file, is read during the call and outlives it.
    unsafe { raw::write(b"prof.dump\0", start) }.map_err(|error| refused("prof.dump", error))?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > MAX_DUMP_BYTES {
        return Err(Unavailable::failed(format!(
            "the profile has {bytes} bytes, more than {MAX_DUMP_BYTES}: sample less, by a larger `lg_prof_sample`"
        )));
    }
    let mut text = String::new();
    file.rewind().map_err(unreadable)?;
    file.take(MAX_DUMP_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

#[cfg(target_os = "linux")]
fn memory_file() -> io::Result<File> {
    // SAFETY: memfd_create(2): the name is read during the call; the result is -1 or a new descriptor.
    let descriptor = unsafe { libc::memfd_create(c"lens-heap-profile".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and belongs to nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

#[cfg(not(target_os = "linux"))]
fn memory_file() -> io::Result<File> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "files that are only memory are Linux's"))
}

/// Whether the stack of an allocation can be taken without a lock that the allocating thread may hold already.
///
/// # Errors
///
/// jemalloc unwinds through libgcc on a C library whose loader takes a lock for that, which can stop the service for good.
pub(crate) fn can_unwind(by_libgcc: bool) -> Result<(), Unavailable> {
    if !by_libgcc || has_lock_free_loader() {
        return Ok(());
    }
    Err(Unavailable::UnsupportedPlatform {
        needs: "glibc 2.35 or later, or a jemalloc that unwinds by libunwind (feature `profiling_libunwind` of \
                tikv-jemalloc-sys): taking the stack of an allocation could stop the service for good here"
            .into(),
    })
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn has_lock_free_loader() -> bool {
    // SAFETY: gnu_get_libc_version(3): it takes nothing and changes nothing.
    let start = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: what it gives is a text that ends in 0 and is never freed.
    let version = unsafe { CStr::from_ptr(start) };
    is_lock_free(version.to_str().unwrap_or_default())
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn has_lock_free_loader() -> bool {
    cfg!(target_vendor = "apple")
}

/// glibc has `_dl_find_object`, which takes no lock, since 2.35.
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), allow(dead_code, reason = "only glibc has a version"))]
fn is_lock_free(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(2), Some(35))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glibc_is_lock_free_since_2_35() {
        assert!(["2.35", "2.36", "2.41.9000", "3.0"].into_iter().all(is_lock_free));
        assert!(!["2.34", "2.17", "1.99", ""].into_iter().any(is_lock_free));
    }

    #[test]
    fn what_libunwind_unwinds_is_no_matter_of_the_loader() {
        assert_eq!(can_unwind(false), Ok(()));
    }
}
