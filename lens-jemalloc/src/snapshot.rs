//! One consistent reading of jemalloc's statistics, and how it is taken. Separate from the skill because it is the only
//! reader of jemalloc, and because it must not allocate: what it measures would change.

mod keys;
mod mutexes;
mod size_classes;

use serde::{Deserialize, Serialize};
use tikv_jemalloc_ctl::{epoch, epoch_mib, stats};

use lens_core::{Reading, Unavailable};

use crate::ffi::mallctl::{ALL_ARENAS, ARENA, CLASS, Key, Refused, number};
use crate::ffi::thread::ThreadCounters;
use keys::readings;

pub(crate) use mutexes::MutexReader;
pub use mutexes::{MutexReadings, MutexSite, Mutexes};
pub use size_classes::{SizeClasses, SmallClass};

/// How often a snapshot is tried again when someone else refreshes the statistics while they are read.
const TRIES: u32 = 4;

readings! {
    /// One arena, or all of them merged. Pages are jemalloc's: [`SizeClasses::page_bytes`].
    pub struct ArenaReadings, ArenaKeys<4> {
        /// Threads that allocate from it. `stats.arenas.<i>.nthreads`.
        nthreads: u64 => u32 = c"stats.arenas.0.nthreads",
        /// Pages that hold allocations. `pactive`.
        pactive: u64 => usize = c"stats.arenas.0.pactive",
        /// Free pages that were never given back. `pdirty`.
        pdirty: u64 => usize = c"stats.arenas.0.pdirty",
        /// Free pages that the kernel may take when it needs them. `pmuzzy`.
        pmuzzy: u64 => usize = c"stats.arenas.0.pmuzzy",
        /// Bytes of address space in use. `mapped`.
        mapped: u64 => usize = c"stats.arenas.0.mapped",
        /// Bytes of address space that were given back and kept for later. `retained`.
        retained: u64 => usize = c"stats.arenas.0.retained",
        /// Bytes at most in memory: active, dirty and metadata. `resident`.
        resident: u64 => usize = c"stats.arenas.0.resident",
        /// Bytes of metadata allocated at start-up and for extents. `base`.
        base: u64 => usize = c"stats.arenas.0.base",
        /// Bytes of metadata allocated like the service's own blocks. `internal`.
        internal: u64 => usize = c"stats.arenas.0.internal",
        /// Bytes in the caches of threads: allocated for jemalloc, free for the service. `tcache_bytes`.
        tcache_bytes: u64 => usize = c"stats.arenas.0.tcache_bytes",
        /// Bytes that were freed and are held back to detect writes. `tcache_stashed_bytes`.
        tcache_stashed_bytes: u64 => usize = c"stats.arenas.0.tcache_stashed_bytes",
        /// Sweeps that gave dirty pages back. `dirty_npurge`.
        dirty_npurge: u64 => u64 = c"stats.arenas.0.dirty_npurge",
        /// Calls to the kernel that gave dirty pages back. `dirty_nmadvise`.
        dirty_nmadvise: u64 => u64 = c"stats.arenas.0.dirty_nmadvise",
        /// Dirty pages that were given back. `dirty_purged`.
        dirty_purged: u64 => u64 = c"stats.arenas.0.dirty_purged",
        /// Sweeps that gave muzzy pages back. `muzzy_npurge`.
        muzzy_npurge: u64 => u64 = c"stats.arenas.0.muzzy_npurge",
        /// Calls to the kernel that gave muzzy pages back. `muzzy_nmadvise`.
        muzzy_nmadvise: u64 => u64 = c"stats.arenas.0.muzzy_nmadvise",
        /// Muzzy pages that were given back. `muzzy_purged`.
        muzzy_purged: u64 => u64 = c"stats.arenas.0.muzzy_purged",
    }
}

readings! {
    /// What an arena handed out: small blocks come out of slabs, large ones have pages of their own.
    pub struct BlockReadings, BlockKeys<5> {
        /// Bytes in small blocks, with those in the caches of threads. `small.allocated`.
        small_allocated: u64 => usize = c"stats.arenas.0.small.allocated",
        /// Small blocks that left the arena, singly or to fill a cache. `small.nmalloc`.
        small_nmalloc: u64 => u64 = c"stats.arenas.0.small.nmalloc",
        /// Small blocks that came back. `small.ndalloc`.
        small_ndalloc: u64 => u64 = c"stats.arenas.0.small.ndalloc",
        /// Small allocations that the service asked for. `small.nrequests`.
        small_nrequests: u64 => u64 = c"stats.arenas.0.small.nrequests",
        /// Bytes in large blocks. `large.allocated`.
        large_allocated: u64 => usize = c"stats.arenas.0.large.allocated",
        /// Large blocks that left the arena. `large.nmalloc`.
        large_nmalloc: u64 => u64 = c"stats.arenas.0.large.nmalloc",
        /// Large blocks that came back. `large.ndalloc`.
        large_ndalloc: u64 => u64 = c"stats.arenas.0.large.ndalloc",
        /// Large allocations that the service asked for. `large.nrequests`.
        large_nrequests: u64 => u64 = c"stats.arenas.0.large.nrequests",
    }
}

readings! {
    /// How long an arena keeps free pages.
    pub struct DecayReadings, DecayKeys<4> {
        /// Milliseconds in which dirty pages are given back; -1 is never. `dirty_decay_ms`.
        dirty_decay_ms: i64 => isize = c"stats.arenas.0.dirty_decay_ms",
        /// Milliseconds in which muzzy pages are given back; -1 is never. `muzzy_decay_ms`.
        muzzy_decay_ms: i64 => isize = c"stats.arenas.0.muzzy_decay_ms",
    }
}

readings! {
    /// One small size class, all arenas merged.
    pub struct BinReadings, BinKeys<6> {
        /// Regions in use, with those in the caches of threads. `curregs`.
        curregs: u64 => usize = c"stats.arenas.0.bins.0.curregs",
        /// Slabs that hold them. `curslabs`.
        curslabs: u64 => usize = c"stats.arenas.0.bins.0.curslabs",
        /// Slabs of which some regions are free. `nonfull_slabs`.
        nonfull_slabs: u64 => usize = c"stats.arenas.0.bins.0.nonfull_slabs",
        /// Regions that left the arenas. `nmalloc`.
        nmalloc: u64 => u64 = c"stats.arenas.0.bins.0.nmalloc",
        /// Regions that came back. `ndalloc`.
        ndalloc: u64 => u64 = c"stats.arenas.0.bins.0.ndalloc",
        /// Allocations that the service asked for; those that a thread's cache serves are added now and then. `nrequests`.
        nrequests: u64 => u64 = c"stats.arenas.0.bins.0.nrequests",
    }
}

readings! {
    /// One large size class, all arenas merged.
    pub struct LargeReadings, LargeClassKeys<6> {
        /// Blocks in use. `curlextents`.
        curlextents: u64 => usize = c"stats.arenas.0.lextents.0.curlextents",
        /// Blocks that were allocated. `nmalloc`.
        nmalloc: u64 => u64 = c"stats.arenas.0.lextents.0.nmalloc",
        /// Blocks that were freed. `ndalloc`.
        ndalloc: u64 => u64 = c"stats.arenas.0.lextents.0.ndalloc",
        /// Allocations that the service asked for. `nrequests`.
        nrequests: u64 => u64 = c"stats.arenas.0.lextents.0.nrequests",
    }
}

readings! {
    /// The threads that give pages back in the background.
    pub struct BackgroundReadings, BackgroundKeys<3> {
        /// Threads that run. `stats.background_thread.num_threads`.
        num_threads: u64 => usize = c"stats.background_thread.num_threads",
        /// How often they ran. `stats.background_thread.num_runs`.
        num_runs: u64 => u64 = c"stats.background_thread.num_runs",
        /// Nanoseconds between two runs, on average. `stats.background_thread.run_interval`.
        run_interval: u64 => u64 = c"stats.background_thread.run_interval",
    }
}

/// The process's totals. The first six are bytes and come from
/// [`tikv_jemalloc_ctl::stats`](https://docs.rs/tikv-jemalloc-ctl/latest/tikv_jemalloc_ctl/stats/index.html).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Handed out, with what is in the caches of threads.
    pub allocated: u64,
    /// In pages that hold allocations.
    pub active: u64,
    /// Used by jemalloc itself.
    pub metadata: u64,
    /// At most in memory: active, dirty and metadata.
    pub resident: u64,
    /// Address space in use.
    pub mapped: u64,
    /// Address space that was given back and kept for later.
    pub retained: u64,
}

/// One arena of a [`Snapshot`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arena {
    /// Its index.
    pub index: u64,
    /// Pages and bytes.
    pub readings: ArenaReadings,
    /// What it handed out.
    pub blocks: BlockReadings,
    /// How long it keeps free pages.
    pub decay: DecayReadings,
}

/// One large size class that was ever used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeClass {
    /// Its place in [`SizeClasses::large_bytes`].
    pub class: u64,
    /// What is in it.
    pub readings: LargeReadings,
}

/// jemalloc's statistics, all of one epoch: sums are exact, whatever the service allocates meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// jemalloc's number of the refresh that it was read from.
    pub epoch: u64,
    /// The process's totals.
    pub totals: Totals,
    /// All arenas merged.
    pub merged: ArenaReadings,
    /// What all arenas handed out.
    pub blocks: BlockReadings,
    /// Every arena that exists.
    pub arenas: Vec<Arena>,
    /// The small size classes, all arenas merged, in the order of [`SizeClasses::small`].
    pub bins: Vec<BinReadings>,
    /// The large size classes that were ever used, all arenas merged.
    pub large: Vec<LargeClass>,
    /// The background threads.
    pub background: BackgroundReadings,
}

/// Takes snapshots: every name is looked up once, at the start.
///
/// # Examples
///
/// ```
/// use lens_jemalloc::snapshot::{Reader, Snapshot};
///
/// #[global_allocator]
/// static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
///
/// let reader = Reader::start()?;
/// let mut snapshot = Snapshot::default();
/// reader.read(&mut snapshot)?;
/// assert!(snapshot.totals.allocated <= snapshot.totals.active);
/// # Ok::<(), lens_core::Unavailable>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    classes: SizeClasses,
    typed: TypedKeys,
    narenas: Key<u32, 2>,
    arena: ArenaKeys,
    blocks: BlockKeys,
    decay: DecayKeys,
    bin: BinKeys,
    large_nmalloc: Key<u64, 6>,
    large: LargeClassKeys,
    background: BackgroundKeys,
}

struct TypedKeys {
    epoch: epoch_mib,
    allocated: stats::allocated_mib,
    active: stats::active_mib,
    metadata: stats::metadata_mib,
    resident: stats::resident_mib,
    mapped: stats::mapped_mib,
    retained: stats::retained_mib,
}

impl std::fmt::Debug for TypedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TypedKeys")
    }
}

impl TypedKeys {
    fn new() -> tikv_jemalloc_ctl::Result<Self> {
        Ok(Self {
            epoch: epoch::mib()?,
            allocated: stats::allocated::mib()?,
            active: stats::active::mib()?,
            metadata: stats::metadata::mib()?,
            resident: stats::resident::mib()?,
            mapped: stats::mapped::mib()?,
            retained: stats::retained::mib()?,
        })
    }

    fn totals(&self) -> tikv_jemalloc_ctl::Result<Totals> {
        Ok(Totals {
            allocated: self.allocated.read()? as u64,
            active: self.active.read()? as u64,
            metadata: self.metadata.read()? as u64,
            resident: self.resident.read()? as u64,
            mapped: self.mapped.read()? as u64,
            retained: self.retained.read()? as u64,
        })
    }
}

fn typed(error: tikv_jemalloc_ctl::Error) -> Unavailable {
    Unavailable::failed(format!("jemalloc refused a statistic: {error}"))
}

impl Reader {
    /// A reader, if jemalloc is Rust's allocator and keeps statistics.
    ///
    /// # Errors
    ///
    /// [`Unavailable::NotGlobalAllocator`] if a block that Rust allocates does not show in jemalloc's counters;
    /// [`Unavailable::NotCompiledIn`] if jemalloc was built without statistics.
    pub fn start() -> Reading<Self> {
        if ThreadCounters::current().is_none() {
            return Err(Unavailable::NotGlobalAllocator);
        }
        has_statistics(number::<u8>(c"config.stats"))?;
        Ok(Self {
            classes: SizeClasses::read()?,
            typed: TypedKeys::new().map_err(typed)?,
            narenas: Key::new(c"arenas.narenas")?,
            arena: ArenaKeys::new()?,
            blocks: BlockKeys::new()?,
            decay: DecayKeys::new()?,
            bin: BinKeys::new()?,
            large_nmalloc: Key::new(c"stats.arenas.0.lextents.0.nmalloc")?,
            large: LargeClassKeys::new()?,
            background: BackgroundKeys::new()?,
        })
    }

    /// The size classes, which never change.
    #[must_use]
    pub fn classes(&self) -> &SizeClasses {
        &self.classes
    }

    /// Reads everything into `out`, which keeps its memory: nothing is allocated once it has been filled before, unless
    /// there are more arenas than ever.
    ///
    /// # Cost
    ///
    /// Some 100 µs with 8 arenas and 0.5 ms with 64. Half of it is jemalloc's, which holds the lock of each size class
    /// of each arena for as long as it takes to copy a few numbers.
    ///
    /// # Errors
    ///
    /// jemalloc refused a reading, or someone else refreshed the statistics while they were read, several times in a row.
    pub fn read(&self, out: &mut Snapshot) -> Reading<()> {
        for _ in 0..TRIES {
            if self.try_read(out, || {})? {
                return Ok(());
            }
        }
        Err(Unavailable::failed(format!(
            "jemalloc's statistics were refreshed by someone else while they were read, {TRIES} times in a row; read them less often elsewhere"
        )))
    }

    /// Reads everything once; whether it is all of one epoch. `meanwhile` is called before the last reading.
    fn try_read(&self, out: &mut Snapshot, meanwhile: impl FnOnce()) -> Reading<bool> {
        out.epoch = self.typed.epoch.advance().map_err(typed)?;
        self.fill(out)?;
        meanwhile();
        Ok(self.typed.epoch.read().map_err(typed)? == out.epoch)
    }

    fn fill(&self, out: &mut Snapshot) -> Reading<()> {
        out.totals = self.typed.totals().map_err(typed)?;
        let all = &[(ARENA, ALL_ARENAS)];
        out.merged = self.arena.read(all)?;
        out.blocks = self.blocks.read(all)?;
        out.background = self.background.read(&[])?;
        self.fill_arenas(&mut out.arenas)?;
        out.bins.clear();
        for class in 0..self.classes.small.len() {
            out.bins.push(self.bin.read(&[(ARENA, ALL_ARENAS), (CLASS, class)])?);
        }
        self.fill_large(&mut out.large)
    }

    fn fill_arenas(&self, out: &mut Vec<Arena>) -> Reading<()> {
        out.clear();
        let count = usize::try_from(self.narenas.read()?).unwrap_or(0);
        for index in 0..count {
            let at = &[(ARENA, index)];
            // An arena that was not used before the last refresh does not exist: every reading of it is refused.
            let Ok(readings) = self.arena.read(at) else { continue };
            out.push(Arena {
                index: index as u64,
                readings,
                blocks: self.blocks.read(at)?,
                decay: self.decay.read(at)?,
            });
        }
        Ok(())
    }

    fn fill_large(&self, out: &mut Vec<LargeClass>) -> Reading<()> {
        out.clear();
        let count = self.classes.large_bytes.len();
        if out.capacity() < count {
            out.reserve_exact(count);
        }
        for class in 0..count {
            if self.large_nmalloc.with(ARENA, ALL_ARENAS).with(CLASS, class).read()? > 0 {
                let readings = self.large.read(&[(ARENA, ALL_ARENAS), (CLASS, class)])?;
                out.push(LargeClass { class: class as u64, readings });
            }
        }
        Ok(())
    }
}

/// Whether jemalloc was built with statistics: without them it would answer 0 here, and crash there.
fn has_statistics(compiled_in: Result<bool, Refused>) -> Reading<()> {
    if compiled_in? {
        return Ok(());
    }
    Err(Unavailable::NotCompiledIn {
        what: "jemalloc's statistics".into(),
        fix: "let the service link the jemalloc that Cargo builds, without JEMALLOC_OVERRIDE; lens turns its feature `stats` on".into(),
    })
}

#[cfg(test)]
mod tests;
