//! How contended jemalloc's own locks are. Separate because they are read only when a person asks: the names are many and
//! their figures mean little second by second.

use std::ffi::CStr;

use serde::{Deserialize, Serialize};

use crate::ffi::mallctl::{ALL_ARENAS, ARENA, CLASS, Key, Number, Refused};
use crate::snapshot::SizeClasses;

/// What jemalloc counts for a lock; the field names are jemalloc's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MutexReadings {
    /// Acquisitions.
    pub num_ops: u64,
    /// Acquisitions that had to wait.
    pub num_wait: u64,
    /// Acquisitions that succeeded after spinning.
    pub num_spin_acq: u64,
    /// Acquisitions by another thread than the one before.
    pub num_owner_switch: u64,
    /// Nanoseconds waited.
    pub total_wait_time: u64,
    /// Nanoseconds of the longest wait.
    pub max_wait_time: u64,
    /// Most threads that waited at once.
    pub max_num_thds: u64,
}

/// Which lock a [`MutexReadings`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MutexSite {
    /// One for the process.
    Process,
    /// One in each arena; the readings are merged.
    Arena,
    /// One for each size class in each arena; the readings are merged.
    Bin {
        /// Bytes of the class's regions.
        size: u64,
    },
}

/// All locks that this jemalloc has: where, its name, its readings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mutexes(pub Vec<(MutexSite, String, MutexReadings)>);

/// The names of the readings of the lock whose name is `$prefix`, in the order of [`MutexReadings`].
macro_rules! names {
    ($prefix:literal) => {
        [
            names!($prefix, ".num_ops"),
            names!($prefix, ".num_wait"),
            names!($prefix, ".num_spin_acq"),
            names!($prefix, ".num_owner_switch"),
            names!($prefix, ".total_wait_time"),
            names!($prefix, ".max_wait_time"),
            names!($prefix, ".max_num_thds"),
        ]
    };
    ($prefix:literal, $reading:literal) => {
        const {
            match CStr::from_bytes_with_nul(concat!($prefix, $reading, "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("a name has no zero in it"),
            }
        }
    };
}

type Names = [&'static CStr; 7];

/// The process's locks. Those of the profiler exist in every build, and count nothing where it is not compiled in.
const PROCESS: &[(&str, Names)] = &[
    ("ctl", names!("stats.mutexes.ctl")),
    ("background_thread", names!("stats.mutexes.background_thread")),
    ("max_per_bg_thd", names!("stats.mutexes.max_per_bg_thd")),
    ("prof", names!("stats.mutexes.prof")),
    ("prof_thds_data", names!("stats.mutexes.prof_thds_data")),
    ("prof_dump", names!("stats.mutexes.prof_dump")),
    ("prof_recent_alloc", names!("stats.mutexes.prof_recent_alloc")),
    ("prof_recent_dump", names!("stats.mutexes.prof_recent_dump")),
    ("prof_stats", names!("stats.mutexes.prof_stats")),
];

/// The locks of an arena.
const ARENA_WIDE: &[(&str, Names)] = &[
    ("large", names!("stats.arenas.0.mutexes.large")),
    ("extent_avail", names!("stats.arenas.0.mutexes.extent_avail")),
    ("extents_dirty", names!("stats.arenas.0.mutexes.extents_dirty")),
    ("extents_muzzy", names!("stats.arenas.0.mutexes.extents_muzzy")),
    ("extents_retained", names!("stats.arenas.0.mutexes.extents_retained")),
    ("decay_dirty", names!("stats.arenas.0.mutexes.decay_dirty")),
    ("decay_muzzy", names!("stats.arenas.0.mutexes.decay_muzzy")),
    ("base", names!("stats.arenas.0.mutexes.base")),
    ("tcache_list", names!("stats.arenas.0.mutexes.tcache_list")),
    ("hpa_shard", names!("stats.arenas.0.mutexes.hpa_shard")),
    ("hpa_shard_grow", names!("stats.arenas.0.mutexes.hpa_shard_grow")),
    ("hpa_sec", names!("stats.arenas.0.mutexes.hpa_sec")),
];

const BIN: Names = names!("stats.arenas.0.bins.0.mutex");

#[derive(Debug)]
struct MutexKeys<const N: usize> {
    counts: [Key<u64, N>; 6],
    max_num_thds: Key<u32, N>,
}

impl<const N: usize> MutexKeys<N> {
    fn new([num_ops, num_wait, num_spin_acq, num_owner_switch, total, max, threads]: Names) -> Result<Self, Refused> {
        Ok(Self {
            counts: [
                Key::new(num_ops)?,
                Key::new(num_wait)?,
                Key::new(num_spin_acq)?,
                Key::new(num_owner_switch)?,
                Key::new(total)?,
                Key::new(max)?,
            ],
            max_num_thds: Key::new(threads)?,
        })
    }

    fn read(&self, at: &[(usize, usize)]) -> Result<MutexReadings, Refused> {
        fn put<T: Number, const N: usize>(key: Key<T, N>, at: &[(usize, usize)]) -> Result<T::Wide, Refused> {
            at.iter().fold(key, |key, &(place, index)| key.with(place, index)).read()
        }
        let mut counts = [0; 6];
        for (count, key) in counts.iter_mut().zip(self.counts) {
            *count = put(key, at)?;
        }
        let [num_ops, num_wait, num_spin_acq, num_owner_switch, total_wait_time, max_wait_time] = counts;
        Ok(MutexReadings {
            num_ops,
            num_wait,
            num_spin_acq,
            num_owner_switch,
            total_wait_time,
            max_wait_time,
            max_num_thds: put(self.max_num_thds, at)?,
        })
    }
}

/// Reads the locks. A lock that this version of jemalloc does not have is left out.
#[derive(Debug)]
pub(crate) struct MutexReader {
    process: Vec<(&'static str, MutexKeys<4>)>,
    arena: Vec<(&'static str, MutexKeys<6>)>,
    bin: Option<MutexKeys<7>>,
}

impl MutexReader {
    pub(crate) fn new() -> Self {
        Self { process: keys(PROCESS), arena: keys(ARENA_WIDE), bin: MutexKeys::new(BIN).ok() }
    }

    /// The locks' readings at the last refresh.
    pub(crate) fn read(&self, classes: &SizeClasses) -> Mutexes {
        let all = &[(ARENA, ALL_ARENAS)];
        let process = self
            .process
            .iter()
            .filter_map(|(name, keys)| Some((MutexSite::Process, (*name).into(), keys.read(&[]).ok()?)));
        let arena =
            self.arena.iter().filter_map(|(name, keys)| Some((MutexSite::Arena, (*name).into(), keys.read(all).ok()?)));
        let bins = classes.small.iter().enumerate().filter_map(|(class, small)| {
            let readings = self.bin.as_ref()?.read(&[(ARENA, ALL_ARENAS), (CLASS, class)]).ok()?;
            Some((MutexSite::Bin { size: small.size }, "bin".into(), readings))
        });
        Mutexes(process.chain(arena).chain(bins).collect())
    }
}

fn keys<const N: usize>(names: &[(&'static str, Names)]) -> Vec<(&'static str, MutexKeys<N>)> {
    names.iter().filter_map(|&(name, names)| Some((name, MutexKeys::new(names).ok()?))).collect()
}
