//! Where the bytes of a snapshot are. Separate because these sums are the definitions that functions, metrics and the
//! diagnosis share.

use lens_core::numbers::total;

use crate::process::ProcessMemory;
use crate::snapshot::{BinReadings, BlockReadings, LargeClass, LargeReadings, SizeClasses, SmallClass, Snapshot};

/// A snapshot's bytes by what they are used for.
///
/// `allocated = live + thread_caches`, `active = allocated + slab_waste + large_padding` and
/// `resident = active + dirty + metadata`; the first holds exactly, the others up to what was allocated while jemalloc
/// summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Breakdown {
    pub(crate) live: u64,
    pub(crate) thread_caches: u64,
    pub(crate) slab_waste: u64,
    pub(crate) large_padding: u64,
    pub(crate) dirty: u64,
    pub(crate) muzzy: u64,
    pub(crate) metadata: u64,
    pub(crate) retained: u64,
    pub(crate) resident: u64,
}

impl Breakdown {
    pub(crate) fn of(snapshot: &Snapshot, classes: &SizeClasses) -> Self {
        let pairs = || snapshot.bins.iter().zip(&classes.small);
        let slabs = total(pairs().map(|(bin, class)| bin.curslabs.saturating_mul(class.slab_size)));
        let thread_caches = snapshot.merged.tcache_bytes.saturating_add(snapshot.merged.tcache_stashed_bytes);
        Self {
            live: snapshot.totals.allocated.saturating_sub(thread_caches),
            thread_caches,
            slab_waste: total(pairs().map(|(bin, class)| class.waste_bytes(bin))),
            large_padding: snapshot.totals.active.saturating_sub(slabs).saturating_sub(snapshot.blocks.large_allocated),
            dirty: snapshot.merged.pdirty.saturating_mul(classes.page_bytes),
            muzzy: snapshot.merged.pmuzzy.saturating_mul(classes.page_bytes),
            metadata: snapshot.totals.metadata,
            retained: snapshot.totals.retained,
            resident: snapshot.totals.resident,
        }
    }
}

impl Breakdown {
    /// The part of the metadata that can be in memory: what of `resident` is nothing else.
    pub(crate) fn metadata_resident(&self) -> u64 {
        let others = total([self.live, self.thread_caches, self.slab_waste, self.large_padding, self.dirty]);
        self.resident.saturating_sub(others)
    }
}

impl BlockReadings {
    /// Blocks that left the arena or came back.
    pub(crate) fn events(&self) -> u64 {
        total([self.small_nmalloc, self.small_ndalloc, self.large_nmalloc, self.large_ndalloc])
    }
}

impl SmallClass {
    /// Regions that the bin's slabs have room for.
    pub(crate) fn regions(&self, bin: &BinReadings) -> u64 {
        self.nregs.saturating_mul(bin.curslabs)
    }

    /// Bytes of the bin's slabs that hold nothing. Slabs and regions are counted one after the other, so a moment's
    /// difference can make more regions than there is room for: that reads as no waste.
    pub(crate) fn waste_bytes(&self, bin: &BinReadings) -> u64 {
        self.regions(bin).saturating_sub(bin.curregs).saturating_mul(self.size)
    }
}

impl SizeClasses {
    /// Bytes of the largest block of the class.
    pub(crate) fn large_size(&self, large: &LargeClass) -> u64 {
        usize::try_from(large.class).ok().and_then(|class| self.large_bytes.get(class)).copied().unwrap_or(0)
    }

    /// Bytes that left the arenas and came back since the start, rounded up to size classes. A block that a thread's
    /// cache keeps does neither.
    pub(crate) fn traffic(&self, snapshot: &Snapshot) -> Traffic {
        let small = snapshot.bins.iter().zip(&self.small).map(|(bin, class)| (bin.nmalloc, bin.ndalloc, class.size));
        let large = snapshot.large.iter().map(|large| {
            let LargeReadings { nmalloc, ndalloc, .. } = large.readings;
            (nmalloc, ndalloc, self.large_size(large))
        });
        let mut traffic = Traffic { allocated: 0, deallocated: 0 };
        for (nmalloc, ndalloc, size) in small.chain(large) {
            traffic.allocated = traffic.allocated.saturating_add(nmalloc.saturating_mul(size));
            traffic.deallocated = traffic.deallocated.saturating_add(ndalloc.saturating_mul(size));
        }
        traffic
    }
}

/// What [`SizeClasses::traffic`] gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) allocated: u64,
    pub(crate) deallocated: u64,
}

/// What the kernel's count says of a breakdown's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InMemory {
    /// Muzzy bytes that the kernel has not taken yet.
    pub(crate) muzzy: u64,
    /// Bytes of the process that are not jemalloc's, without files and shared memory: at least so many, for pages that
    /// jemalloc counts and nobody touched hide as many.
    pub(crate) foreign: u64,
    /// Bytes that jemalloc counts as resident and nobody touched yet: at least so many, for memory that is not jemalloc's
    /// hides as many.
    pub(crate) untouched: u64,
}

impl Breakdown {
    /// Compares with what the kernel counts. What was swapped out was touched, so it counts like memory.
    pub(crate) fn in_memory(&self, memory: &ProcessMemory) -> InMemory {
        let muzzy = memory.walked.as_ref().map_or(self.muzzy, |walked| self.muzzy.min(walked.lazy_free_bytes));
        let kernel = memory.anonymous_bytes.saturating_add(memory.swap_bytes);
        let jemalloc = self.resident.saturating_add(muzzy);
        InMemory { muzzy, foreign: kernel.saturating_sub(jemalloc), untouched: jemalloc.saturating_sub(kernel) }
    }
}

/// `number * factor`, which has room in twice the bits: for comparisons, where a product that saturates would hide which
/// side is greater.
pub(crate) fn product(number: u64, factor: u64) -> u128 {
    u128::from(number) * u128::from(factor)
}
