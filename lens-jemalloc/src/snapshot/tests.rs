//! A snapshot adds up while others allocate, and taking it allocates nothing.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::breakdown::Breakdown;
use crate::process::ProcessMemory;

/// One test at a time: a refresh by another would have the reader try again.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What must hold in every snapshot, whatever the service does meanwhile.
fn check(snapshot: &Snapshot, classes: &SizeClasses) {
    let pairs = || snapshot.bins.iter().zip(&classes.small);
    let small: u64 = pairs().map(|(bin, class)| bin.curregs * class.size).sum();
    assert_eq!(snapshot.blocks.small_allocated, small);
    assert_eq!(snapshot.totals.allocated, small + snapshot.blocks.large_allocated);
    let blocks = |of: fn(&LargeReadings) -> u64| snapshot.large.iter().map(|large| of(&large.readings)).sum::<u64>();
    assert_eq!(blocks(|large| large.nmalloc), snapshot.blocks.large_nmalloc);
    assert_eq!(blocks(|large| large.nrequests), snapshot.blocks.large_nrequests);
    assert_eq!(blocks(|large| large.curlextents), blocks(|large| large.nmalloc - large.ndalloc));
    // A large block is at most as large as its class and larger than the class before; jemalloc 5.3.1 rounds to pages.
    let at_most: u64 = snapshot.large.iter().map(|large| large.readings.curlextents * classes.large_size(large)).sum();
    assert!(snapshot.blocks.large_allocated <= at_most);
    assert!(snapshot.blocks.large_allocated * 5 >= at_most * 4);
    assert_eq!(snapshot.totals.active, snapshot.merged.pactive * classes.page_bytes);
    assert_eq!(snapshot.totals.metadata, snapshot.merged.base + snapshot.merged.internal);
    assert_eq!(snapshot.totals.resident, snapshot.merged.resident);
    for (bin, class) in pairs() {
        assert_eq!(bin.curregs, bin.nmalloc - bin.ndalloc, "{class:?}");
        assert!(bin.curregs <= class.regions(bin), "{class:?} {bin:?}");
        assert!(bin.nonfull_slabs <= bin.curslabs, "{class:?} {bin:?}");
    }
    let sum = |of: fn(&Arena) -> u64| snapshot.arenas.iter().map(of).sum::<u64>();
    assert_eq!(snapshot.merged.pactive, sum(|arena| arena.readings.pactive));
    assert_eq!(snapshot.merged.pdirty, sum(|arena| arena.readings.pdirty));
    assert_eq!(snapshot.merged.tcache_bytes, sum(|arena| arena.readings.tcache_bytes));
    assert_eq!(snapshot.blocks.small_allocated, sum(|arena| arena.blocks.small_allocated));
    assert_eq!(snapshot.blocks.large_allocated, sum(|arena| arena.blocks.large_allocated));
}

/// Allocates and frees blocks of all sizes until told to stop.
fn storm(seed: u64, stop: &AtomicBool) {
    const SLOTS: usize = 512;
    let mut held: Vec<Vec<u8>> = (0..SLOTS).map(|_| Vec::new()).collect();
    let mut random = seed | 1;
    while !stop.load(Ordering::Relaxed) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let slot = usize::try_from(random % SLOTS as u64).unwrap();
        let size = 1_usize << ((random >> 32) % 18);
        held[slot] = black_box(Vec::with_capacity(size + usize::try_from(random >> 60).unwrap()));
    }
}

/// Takes `at_least` snapshots, and goes on for `lasting`.
fn under_storm(at_least: u32, lasting: Duration) {
    let _alone = alone();
    let stop = AtomicBool::new(false);
    let reader = Reader::start().unwrap();
    let mut snapshot = Snapshot::default();
    let mut count = 0;
    thread::scope(|scope| {
        for seed in 1..=8 {
            scope.spawn({
                let stop = &stop;
                move || storm(seed, stop)
            });
        }
        let until = Instant::now() + lasting;
        while count < at_least || Instant::now() < until {
            reader.read(&mut snapshot).unwrap();
            let sums = std::panic::catch_unwind(|| check(&snapshot, reader.classes()));
            if let Err(failed) = sums {
                stop.store(true, Ordering::Relaxed);
                std::panic::resume_unwind(failed);
            }
            count += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn sums_are_exact_in_every_snapshot_of_a_storm() {
    under_storm(30, Duration::ZERO);
}

#[test]
#[ignore = "takes a minute; run it by hand when the reader changes"]
fn sums_are_exact_in_every_snapshot_of_a_minute_of_storm() {
    under_storm(1000, Duration::from_secs(60));
}

#[test]
fn a_thousand_snapshots_allocate_nothing() {
    let _alone = alone();
    let reader = Reader::start().unwrap();
    let mut snapshot = Snapshot::default();
    // Room for the arenas that other tests' threads may still bring into use.
    snapshot.arenas.reserve(64);
    reader.read(&mut snapshot).unwrap();
    ProcessMemory::read_status().unwrap();
    let counters = ThreadCounters::current().unwrap();
    let before = (counters.allocated(), counters.deallocated());
    for _ in 0..1000 {
        reader.read(&mut snapshot).unwrap();
        black_box(Breakdown::of(&snapshot, reader.classes()));
        black_box(ProcessMemory::read_status().is_ok());
    }
    assert_eq!((counters.allocated(), counters.deallocated()), before);
}

#[test]
fn memory_that_is_held_is_live_to_the_byte() {
    // A class of its own: no other test allocates blocks of this size.
    const BLOCK: usize = 7 << 20;
    let _alone = alone();
    let reader = Reader::start().unwrap();
    let mut snapshot = Snapshot::default();
    let large = |snapshot: &Snapshot| {
        let class = snapshot.large.iter().find(|large| reader.classes().large_size(large) == BLOCK as u64);
        class.map_or(0, |large| large.readings.curlextents)
    };
    reader.read(&mut snapshot).unwrap();
    let before = large(&snapshot);
    let held: Vec<Vec<u8>> = (0..3).map(|_| Vec::with_capacity(BLOCK)).collect();
    reader.read(&mut snapshot).unwrap();
    assert_eq!(large(&snapshot), before + 3);
    drop(held);
    reader.read(&mut snapshot).unwrap();
    assert_eq!(large(&snapshot), before);
}

#[test]
fn a_refresh_by_someone_else_is_noticed() {
    let _alone = alone();
    let reader = Reader::start().unwrap();
    let mut snapshot = Snapshot::default();
    assert_eq!(reader.try_read(&mut snapshot, || {}), Ok(true));
    let refresh = || epoch::advance().map(drop).unwrap();
    assert_eq!(reader.try_read(&mut snapshot, refresh), Ok(false));
}

#[test]
fn jemalloc_without_statistics_is_said_and_not_read() {
    assert_eq!(has_statistics(Ok(false)).unwrap_err().code(), "not_compiled_in");
    assert_eq!(has_statistics(number::<u8>(c"config.stats")), Ok(()));
}

#[test]
fn every_lock_that_jemalloc_documents_is_read() {
    let mutexes = MutexReader::new().read(&SizeClasses::read().unwrap());
    let named = |name: &str| mutexes.0.iter().filter(|(_, known, _)| known == name).count();
    assert_eq!((named("ctl"), named("large"), named("base")), (1, 1, 1));
    assert_eq!(named("bin"), SizeClasses::read().unwrap().small.len());
}
