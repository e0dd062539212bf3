//! jemalloc's control interface, for reading. Separate because a wrong name or type here could free the service's memory:
//! only names that read are accepted, and only types for which every bit pattern is a value.
//!
//! What the safety comments lean on is in jemalloc's manual, section "MALLCTL NAMESPACE":
//! <https://jemalloc.net/jemalloc.3.html#mallctl_namespace>.

use std::ffi::{CStr, c_char};
use std::fmt;
use std::marker::PhantomData;

use lens_core::Unavailable;
use tikv_jemalloc_ctl::{Error, raw};

/// In place of an arena's index: all arenas merged (`MALLCTL_ARENAS_ALL`).
pub(crate) const ALL_ARENAS: usize = 4096;

/// The places of the indices in a name like `stats.arenas.0.bins.0.curregs`.
pub(crate) const ARENA: usize = 2;
pub(crate) const CLASS: usize = 4;

/// What names may start with: the parts of the namespace in which a read changes nothing.
const READINGS: &[&[u8]] = &[b"version", b"background_thread", b"stats.", b"arenas.", b"opt.", b"config.", b"prof."];

/// Names in those parts that act, or end the process: a read of `arenas.create` creates an arena, `stats.mutexes.reset`
/// resets, and `uptime` follows a null pointer where jemalloc was built without statistics.
const ACTIONS: &[&[u8]] = &[b"arenas.create", b"stats.mutexes.reset", b"prof.dump", b"prof.reset", b"prof.prefix"];

/// Why jemalloc did not answer.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    name: &'static CStr,
    why: Why,
}

#[derive(Clone, Debug)]
enum Why {
    Jemalloc(Error),
    NotAReading,
    Depth,
}

impl Refused {
    fn new(name: &'static CStr, error: Error) -> Self {
        Self { name, why: Why::Jemalloc(error) }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.to_string_lossy();
        match &self.why {
            Why::Jemalloc(error) => write!(f, "jemalloc refused `{name}`: {error}"),
            Why::NotAReading => write!(f, "`{name}` does not only read"),
            Why::Depth => write!(f, "`{name}` has another depth"),
        }
    }
}

impl From<Refused> for Unavailable {
    fn from(refused: Refused) -> Self {
        Self::failed(refused.to_string())
    }
}

/// A number as jemalloc hands it out: every bit pattern is a value.
pub(crate) trait Number: sealed::Number + Copy {
    /// The number as rows show it.
    type Wide;

    fn wide(self) -> Self::Wide;
}

mod sealed {
    /// Sealed: an implementor promises that every bit pattern of it is a value.
    pub(crate) trait Number {}
    impl Number for u32 {}
    impl Number for u64 {}
    impl Number for usize {}
    impl Number for isize {}
    impl Number for u8 {}
}

impl Number for u8 {
    type Wide = bool;

    fn wide(self) -> bool {
        self != 0
    }
}

impl Number for u32 {
    type Wide = u64;

    fn wide(self) -> u64 {
        self.into()
    }
}

impl Number for u64 {
    type Wide = Self;

    fn wide(self) -> Self {
        self
    }
}

impl Number for usize {
    type Wide = u64;

    fn wide(self) -> u64 {
        self as u64
    }
}

impl Number for isize {
    type Wide = i64;

    fn wide(self) -> i64 {
        self as i64
    }
}

/// A name of `N` parts that was looked up once: reading it takes some 30 ns and allocates nothing.
#[derive(Clone, Copy)]
pub(crate) struct Key<T, const N: usize> {
    name: &'static CStr,
    mib: [usize; N],
    holds: PhantomData<fn() -> T>,
}

impl<T, const N: usize> fmt::Debug for Key<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

impl<T: Number, const N: usize> Key<T, N> {
    pub(crate) fn new(name: &'static CStr) -> Result<Self, Refused> {
        check(name)?;
        if name.to_bytes().split(|&byte| byte == b'.').count() != N {
            return Err(Refused { name, why: Why::Depth });
        }
        let mut mib = [0; N];
        raw::name_to_mib(name.to_bytes_with_nul(), &mut mib).map_err(|error| Refused::new(name, error))?;
        Ok(Self { name, mib, holds: PhantomData })
    }

    /// The same name with another index at `place`: [`ARENA`] or [`CLASS`].
    pub(crate) fn with(mut self, place: usize, index: usize) -> Self {
        self.mib[place] = index;
        self
    }

    pub(crate) fn read(&self) -> Result<T::Wide, Refused> {
        // SAFETY: manual, "mallctl() … mallctlbymib()": the value is copied to `oldp` if its size is `*oldlenp`, and
        // `EINVAL` is returned otherwise. `T` is sealed to integers, and `new` admits only names that read.
        let value = unsafe { raw::read_mib::<T>(&self.mib) };
        value.map(Number::wide).map_err(|error| Refused::new(self.name, error))
    }
}

/// Reads a number that is asked for once.
pub(crate) fn number<T: Number>(name: &'static CStr) -> Result<T::Wide, Refused> {
    check(name)?;
    // SAFETY: as in `Key::read`.
    let value = unsafe { raw::read::<T>(name.to_bytes_with_nul()) };
    value.map(Number::wide).map_err(|error| Refused::new(name, error))
}

/// Reads a text. `is_text` is a promise of the type of this function's callers: `name` must be one of [`TEXTS`].
pub(crate) fn text(name: &'static CStr) -> Result<Option<&'static str>, Refused> {
    check(name)?;
    if !TEXTS.contains(&name) {
        return Err(Refused { name, why: Why::NotAReading });
    }
    // SAFETY: manual: every name in `TEXTS` is `(const char *) r-`, and any bit pattern is a pointer.
    let start = unsafe { raw::read::<*const c_char>(name.to_bytes_with_nul()) };
    let start = start.map_err(|error| Refused::new(name, error))?;
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: the names in `TEXTS` point to texts that end in 0 and are never changed or freed after jemalloc has read
    // its options (manual, "opt.*": options are set at start-up; `config.*`, `version`: compiled in).
    Ok(unsafe { CStr::from_ptr(start) }.to_str().ok())
}

/// The names that hold a text.
pub(crate) const TEXTS: &[&CStr] = &[
    c"version",
    c"config.malloc_conf",
    c"opt.malloc_conf.global_var",
    c"opt.malloc_conf.env_var",
    c"opt.malloc_conf.symlink",
    c"opt.dss",
    c"opt.junk",
    c"opt.metadata_thp",
    c"opt.percpu_arena",
    c"opt.stats_print_opts",
    c"opt.thp",
    c"opt.zero_realloc",
    c"opt.prof_prefix",
];

fn check(name: &'static CStr) -> Result<(), Refused> {
    let bytes = name.to_bytes();
    let reads = READINGS.iter().any(|start| bytes.starts_with(start));
    let acts = ACTIONS.contains(&bytes) || bytes.ends_with(b".uptime");
    if reads && !acts { Ok(()) } else { Err(Refused { name, why: Why::NotAReading }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_act_or_crash_are_refused() {
        for name in [
            c"arenas.create",
            c"arena.0.destroy",
            c"thread.tcache.flush",
            c"stats.mutexes.reset",
            c"stats.arenas.0.uptime",
            c"prof.dump",
        ] {
            let message = number::<u64>(name).unwrap_err().to_string();
            assert_eq!(message, format!("`{}` does not only read", name.to_str().unwrap()));
        }
    }

    #[test]
    fn another_type_or_depth_is_an_error_and_no_number() {
        assert!(number::<u64>(c"arenas.page").is_ok());
        assert!(number::<u32>(c"arenas.page").is_err());
        assert!(Key::<usize, 3>::new(c"arenas.page").is_err());
        assert!(Key::<usize, 2>::new(c"arenas.pages").is_err());
        assert!(text(c"arenas.page").is_err());
    }
}
