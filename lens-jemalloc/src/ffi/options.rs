//! The options that jemalloc finds in the service's binary when it starts. Separate because it is code that only exists
//! where the macro is expanded: a library's own symbol would be left out by the linker.

use std::ffi::{CStr, c_char};

/// The text that jemalloc reads as `malloc_conf`.
#[doc(hidden)]
#[derive(Debug)]
#[repr(transparent)]
pub struct StartOptions(*const c_char);

// SAFETY: it points to a text that lives as long as the program and that nobody changes.
unsafe impl Sync for StartOptions {}

impl StartOptions {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(text: &'static CStr) -> Self {
        Self(text.as_ptr())
    }
}

/// Has jemalloc keep heap profiles, from the start of the process on: write it once, in the file that has the service's
/// `main`.
///
/// Sampling is off until somebody asks for it (`POST /debug/lens/pprof/heap?seconds=60`), and takes one allocation in 512 KiB
/// then. Without the feature `profiling` of lens, the macro does nothing but set the further options.
///
/// A binary has these options once, so further ones of the service's go here: `heap_profiles!("background_thread:true")`.
/// Where jemalloc has its own names (feature `unprefixed_malloc_on_supported_platforms` of tikv-jemallocator), set the
/// environment's `MALLOC_CONF` instead.
///
/// # Examples
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
///
/// lens_jemalloc::heap_profiles!();
///
/// fn main() {}
/// ```
#[macro_export]
macro_rules! heap_profiles {
    () => {
        $crate::heap_profiles!(@set $crate::__profile_options!());
    };
    ($more:literal) => {
        $crate::heap_profiles!(@set $crate::__profile_options!($more));
    };
    (@set $options:expr) => {
        const _: () = {
            // A name that is already taken is an error of the linker: no two parts of a binary set options.
            #[unsafe(export_name = "_rjem_malloc_conf")]
            static OPTIONS: $crate::StartOptions = $crate::StartOptions::new($options);
        };
    };
}

/// jemalloc's options, with those that profiles need.
#[doc(hidden)]
#[cfg(feature = "profiling")]
#[macro_export]
macro_rules! __profile_options {
    () => {
        $crate::__options!("prof:true,prof_active:false,lg_prof_sample:19")
    };
    ($more:literal) => {
        // The later ones win, and there must be no comma at the end.
        $crate::__options!("prof:true,prof_active:false,lg_prof_sample:19,", $more)
    };
}

/// jemalloc's options without profiles, which it would complain about.
#[doc(hidden)]
#[cfg(not(feature = "profiling"))]
#[macro_export]
macro_rules! __profile_options {
    () => {
        c""
    };
    ($more:literal) => {
        $crate::__options!($more)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __options {
    ($($part:literal),*) => {
        const {
            match ::core::ffi::CStr::from_bytes_with_nul(concat!($($part,)* "\0").as_bytes()) {
                Ok(options) => options,
                Err(_) => panic!("options have no zero in them"),
            }
        }
    };
}
