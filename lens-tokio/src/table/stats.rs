//! What one thread counted at one spawn site. Separate because it is written by that thread alone and summed up by
//! readers.

use crate::sync::{AtomicU32, AtomicU64, Once, Ordering, add, array_of, const_fn};

use super::entry::longest;
use super::sites::MAX_SITES;

/// Buckets of the poll-time distribution: below 128 ns, below 256 ns, … and the last from 8.6 s up.
pub(crate) const POLL_BUCKETS: usize = 28;
/// Nanoseconds at which the first bucket ends, as a power of two.
pub(crate) const FIRST_POLL_BITS: u32 = 7;
/// Buckets of the lifetime distribution: below 1 ms, below 2 ms, … and the last from 12 days up.
pub(crate) const LIFETIME_BUCKETS: usize = 32;

/// Sites whose counters are allocated at once.
const CHUNK: usize = 8;

/// One thread's counters of all sites.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Polls, by the site's number: what every poll writes is found without following a pointer.
    polls: [AtomicU64; MAX_SITES],
    /// The rest, allocated for the sites that the thread meets.
    sites: [Once<[SiteStats; CHUNK]>; MAX_SITES / CHUNK],
}

impl Stats {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { polls: array_of![AtomicU64::new(0); MAX_SITES], sites: array_of![Once::new(); MAX_SITES / CHUNK] }
        }
    }

    /// Counts a poll at a site.
    #[inline]
    pub(crate) fn count_poll(&self, site: u16) {
        add(&self.polls[usize::from(site) % MAX_SITES], 1);
    }

    /// The polls at a site.
    pub(crate) fn polls(&self, site: u16) -> u64 {
        self.polls[usize::from(site) % MAX_SITES].load(Ordering::Relaxed)
    }

    /// The counters of a site; only for the thread that owns them.
    #[inline]
    pub(crate) fn of(&self, site: u16) -> &SiteStats {
        let site = usize::from(site) % MAX_SITES;
        let chunk = &self.sites[site / CHUNK];
        let counters = match chunk.get() {
            Some(counters) => counters,
            None => chunk.get_or_set(|| Box::new(array_of![SiteStats::new(); CHUNK])),
        };
        &counters[site % CHUNK]
    }

    /// The counters of a site, if the thread has met it.
    pub(crate) fn met(&self, site: u16) -> Option<&SiteStats> {
        let site = usize::from(site) % MAX_SITES;
        Some(&self.sites[site / CHUNK].get()?[site % CHUNK])
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.sites.iter().filter(|chunk| chunk.get().is_some()).count() * size_of::<[SiteStats; CHUNK]>()
    }
}

/// One thread's counters of one site.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct SiteStats {
    pub(crate) spawned: AtomicU64,
    busy_ns: AtomicU64,
    allocated: AtomicU64,
    freed: AtomicU64,
    longest: AtomicU32,
    /// How many measured polls in a row were short.
    short_polls: AtomicU32,
    poll_times: [AtomicU64; POLL_BUCKETS],
    /// Together they are the tasks that ended.
    lifetimes: [AtomicU64; LIFETIME_BUCKETS],
}

impl SiteStats {
    const_fn! {
        fn new() -> Self {
            Self {
                spawned: AtomicU64::new(0),
                busy_ns: AtomicU64::new(0),
                allocated: AtomicU64::new(0),
                freed: AtomicU64::new(0),
                longest: AtomicU32::new(0),
                short_polls: AtomicU32::new(0),
                poll_times: array_of![AtomicU64::new(0); POLL_BUCKETS],
                lifetimes: array_of![AtomicU64::new(0); LIFETIME_BUCKETS],
            }
        }
    }

    /// Charges a poll of `ns` that stands for `weight` polls.
    pub(crate) fn charge(&self, ns: u64, weight: u64) {
        add(&self.busy_ns, ns * weight);
        longest(&self.longest, ns);
        add(&self.poll_times[poll_bucket(ns)], weight);
    }

    /// Notes whether a measured poll was long; gives how many in a row were short.
    pub(crate) fn note_length(&self, is_long: bool) -> u32 {
        let short = if is_long { 0 } else { self.short_polls.load(Ordering::Relaxed).saturating_add(1) };
        self.short_polls.store(short, Ordering::Relaxed);
        short
    }

    /// Charges bytes that a poll allocated and freed.
    #[inline]
    pub(crate) fn charge_bytes(&self, allocated: u64, freed: u64) {
        add(&self.allocated, allocated);
        add(&self.freed, freed);
    }

    /// Counts a task that ended after `ms`.
    #[inline]
    pub(crate) fn finish(&self, ms: u64) {
        add(&self.lifetimes[lifetime_bucket(ms)], 1);
    }
}

#[inline]
fn poll_bucket(ns: u64) -> usize {
    ((u64::BITS - (ns >> FIRST_POLL_BITS).leading_zeros()) as usize).min(POLL_BUCKETS - 1)
}

#[inline]
fn lifetime_bucket(ms: u64) -> usize {
    ((u64::BITS - ms.leading_zeros()) as usize).min(LIFETIME_BUCKETS - 1)
}

/// What all threads together counted at one site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
    pub(crate) polls: u64,
    pub(crate) busy_ns: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) freed_bytes: u64,
}

impl Counts {
    /// Adds what one thread counted.
    pub(crate) fn add(&mut self, stats: &SiteStats) {
        self.busy_ns += stats.busy_ns.load(Ordering::Relaxed);
        self.allocated_bytes += stats.allocated.load(Ordering::Relaxed);
        self.freed_bytes += stats.freed.load(Ordering::Relaxed);
        self.finished += stats.lifetimes.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        self.spawned += stats.spawned.load(Ordering::Relaxed);
    }
}

/// The rest of what all threads together counted at one site.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distributions {
    pub(crate) longest_ns: f32,
    pub(crate) poll_times: [u64; POLL_BUCKETS],
    pub(crate) lifetimes: [u64; LIFETIME_BUCKETS],
}

impl Default for Distributions {
    fn default() -> Self {
        Self { longest_ns: 0.0, poll_times: [0; POLL_BUCKETS], lifetimes: [0; LIFETIME_BUCKETS] }
    }
}

impl Distributions {
    /// Adds what one thread counted.
    pub(crate) fn add(&mut self, stats: &SiteStats) {
        self.longest_ns = self.longest_ns.max(f32::from_bits(stats.longest.load(Ordering::Relaxed)));
        for (total, counter) in self.poll_times.iter_mut().zip(&stats.poll_times) {
            *total += counter.load(Ordering::Relaxed);
        }
        for (total, counter) in self.lifetimes.iter_mut().zip(&stats.lifetimes) {
            *total += counter.load(Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_end_at_powers_of_two() {
        assert_eq!([0, 127, 128, 255, 256].map(poll_bucket), [0, 0, 1, 1, 2]);
        assert_eq!(poll_bucket(u64::MAX), POLL_BUCKETS - 1);
        assert_eq!([0, 1, 2, 3, 4].map(lifetime_bucket), [0, 1, 2, 2, 3]);
        assert_eq!(lifetime_bucket(u64::MAX), LIFETIME_BUCKETS - 1);
    }
}
