//! jemalloc's options: which there are, what each does and what it is when nobody set it. Separate because it is a table,
//! and the only place where defaults are written down.

use std::ffi::CStr;

use serde::{Deserialize, Serialize};

use crate::ffi::mallctl::{Number, Refused, number, text};

/// One option as it is in this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name, without `opt.`.
    pub option: String,
    /// Its value, as it is written in jemalloc's options.
    pub value: String,
}

/// How jemalloc was built and set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The options that decide about memory, of those that this version of jemalloc has.
    pub settings: Vec<Setting>,
    /// Where options were given, and their text.
    pub given: Vec<Setting>,
    /// Whether background threads are on now; they can be switched while the service runs.
    pub has_background_threads: bool,
    /// The process's allocator keeps heap profiles: built with `profiling` and started with `prof:true`.
    pub can_profile: bool,
}

/// What is known of an option.
pub(crate) struct OptionReference {
    pub(crate) name: &'static str,
    key: &'static CStr,
    holds: Holds,
    /// What it is when nobody sets it; `None` where the machine decides.
    pub(crate) default: Option<&'static str>,
    pub(crate) effect: &'static str,
}

#[derive(Clone, Copy)]
enum Holds {
    Bool,
    U32,
    Size,
    Signed,
    Text,
}

macro_rules! options {
    ($($name:literal, $holds:ident, $default:expr, $effect:literal;)*) => {
        &[$(OptionReference {
            name: $name,
            key: const {
                match CStr::from_bytes_with_nul(concat!("opt.", $name, "\0").as_bytes()) {
                    Ok(key) => key,
                    Err(_) => panic!("a name has no zero in it"),
                }
            },
            holds: Holds::$holds,
            default: $default,
            effect: $effect,
        }),*]
    };
}

/// The options that decide how much memory the process takes, and those that act on their own.
pub(crate) const OPTIONS: &[OptionReference] = options![
    "narenas", U32, None, "Arenas that threads are spread over; 4 for each CPU that the process may run on, whatever its cgroup's quota. Fewer leave less free memory behind, more contend less.";
    "percpu_arena", Text, Some("disabled"), "An arena for each CPU instead of for each few threads.";
    "oversize_threshold", Size, Some("8388608"), "Bytes from which a block comes from an arena of its own and is given back at once; 0 is never.";
    "dirty_decay_ms", Signed, Some("10000"), "Milliseconds in which free pages are given back; -1 is never, 0 at once. Shorter holds less memory and costs page faults.";
    "muzzy_decay_ms", Signed, Some("0"), "Milliseconds for which free pages are only offered to the kernel (MADV_FREE), which leaves them in RSS until memory is short; 0 is not at all.";
    "background_thread", Bool, Some("false"), "Threads that give free pages back. Without them an arena gives pages back only while it is allocated from.";
    "max_background_threads", Size, None, "The most background threads.";
    "tcache", Bool, Some("true"), "Caches of free blocks for each thread.";
    "tcache_max", Size, Some("32768"), "Bytes of the largest block that caches of threads keep. Less holds less memory in each thread.";
    "lg_tcache_nslots_mul", Signed, Some("1"), "How many blocks a thread's cache keeps for each that a slab has, as a power of two.";
    "cache_oblivious", Bool, Some("true"), "Starts each large block at another cache line: costs a page for each block of 16 KiB or more.";
    "disable_large_size_classes", Bool, Some("true"), "Rounds large blocks up to pages instead of size classes.";
    "retain", Bool, Some("true"), "Keeps address space that was given back. It costs no memory.";
    "thp", Text, Some("default"), "Huge pages for the heap: `always` can hold more memory than is used.";
    "metadata_thp", Text, Some("disabled"), "Huge pages for jemalloc's own memory.";
    "hpa", Bool, Some("false"), "Allocates out of huge pages; experimental.";
    "dss", Text, Some("secondary"), "Whether memory also comes from sbrk.";
    "junk", Text, Some("false"), "Fills blocks with a pattern, to find use of freed memory. Slow.";
    "zero", Bool, Some("false"), "Fills blocks with zeros. Slow.";
    "abort", Bool, Some("false"), "Ends the process on a warning.";
    "abort_conf", Bool, Some("false"), "Ends the process when an option is wrong; without it a misspelt option is ignored.";
    "stats_print", Bool, Some("false"), "Prints statistics when the process ends.";
    "prof", Bool, Some("false"), "Keeps samples of allocations, for heap profiles.";
    "prof_active", Bool, Some("true"), "Samples from the start. It can be switched while the service runs.";
    "lg_prof_sample", Size, Some("19"), "Samples one allocation in 2 to this power of bytes. Less is more exact and slower.";
    "prof_accum", Bool, Some("false"), "Counts what was freed again in profiles too. Its memory grows with the number of call sites.";
    "lg_prof_interval", Signed, Some("-1"), "Writes a profile to a file each 2 to this power of bytes.";
    "prof_gdump", Bool, Some("false"), "Writes a profile to a file at each peak of memory.";
    "prof_final", Bool, Some("false"), "Writes a profile to a file when the process ends.";
    "prof_leak", Bool, Some("false"), "Reports what was not freed when the process ends.";
];

/// Where jemalloc looks for options, the later over the earlier.
const GIVEN: &[(&str, &CStr)] = &[
    ("compiled in", c"config.malloc_conf"),
    ("the service's `malloc_conf`", c"opt.malloc_conf.global_var"),
    ("the file /etc/malloc.conf", c"opt.malloc_conf.symlink"),
    ("the environment", c"opt.malloc_conf.env_var"),
];

impl Configuration {
    pub(crate) fn read() -> Self {
        let settings = OPTIONS
            .iter()
            .filter_map(|option| Some(Setting { option: option.name.to_owned(), value: option.read().ok()?? }));
        let given = GIVEN.iter().filter_map(|&(place, key)| {
            let value = text(key).ok()??;
            (!value.is_empty()).then(|| Setting { option: place.to_owned(), value: value.to_owned() })
        });
        Self {
            settings: settings.collect(),
            given: given.collect(),
            has_background_threads: number::<u8>(c"background_thread").unwrap_or(false),
            can_profile: number::<u8>(c"opt.prof").unwrap_or(false),
        }
    }

    /// An option's value; `None` where this version of jemalloc does not have it.
    pub(crate) fn value(&self, option: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.option == option).map(|setting| setting.value.as_str())
    }
}

impl OptionReference {
    fn read(&self) -> Result<Option<String>, Refused> {
        fn shown<T: Number>(key: &'static CStr) -> Result<Option<String>, Refused>
        where
            T::Wide: ToString,
        {
            number::<T>(key).map(|value| Some(value.to_string()))
        }
        match self.holds {
            Holds::Bool => shown::<u8>(self.key),
            Holds::U32 => shown::<u32>(self.key),
            Holds::Size => shown::<usize>(self.key),
            Holds::Signed => shown::<isize>(self.key),
            Holds::Text => text(self.key).map(|value| value.map(str::to_owned)),
        }
    }
}

/// What is known of the option `name`.
pub(crate) fn reference(name: &str) -> Option<&'static OptionReference> {
    OPTIONS.iter().find(|option| option.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_the_table_is_one_of_jemallocs_and_at_its_default() {
        let configuration = Configuration::read();
        // Those that jemalloc only has when it is built with `profiling`.
        let with_profiling = |option: &&OptionReference| !option.name.contains("prof");
        for option in OPTIONS.iter().filter(with_profiling) {
            let value = configuration.value(option.name);
            assert!(value.is_some(), "{}", option.name);
            assert!(option.default.is_none_or(|default| value == Some(default)), "{} {value:?}", option.name);
        }
    }
}
