//! Programs whose memory has one fault each, or none: `heap.diagnose()` names it, with the bytes that the program knows.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::watch::{MIB, Watch, assert_near, bytes};

/// That `cause` is named first, with the bytes that the program knows.
fn assert_found(watch: &Watch, cause: &str, known: u64) -> Value {
    let diagnosis = watch.ask("diagnose");
    assert_eq!((&diagnosis["verdict"], &diagnosis["cause"]), (&"found".into(), &cause.into()), "{diagnosis:#}");
    assert_near(bytes(&diagnosis["causes"][0], "bytes"), known, &diagnosis);
    diagnosis
}

/// Blocks that were written to.
fn written(count: usize, size: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| black_box(vec![1; size])).collect()
}

pub(crate) fn a_leak_is_named_with_its_size_class() {
    const PER_SECOND: usize = 1000;
    let mut watch = Watch::start();
    let mut leaked = Vec::with_capacity(200 * PER_SECOND);
    watch.tick();
    watch.seconds_put_forward(90, || {
        leaked.extend(written(PER_SECOND, 1500));
        drop(written(500, 3000));
    });
    let diagnosis = assert_found(&watch, "leak", 90 * PER_SECOND as u64 * 1536);
    let evidence = diagnosis["causes"][0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("most grew 1536 B by"), "{evidence}");
}

pub(crate) fn slabs_that_few_blocks_keep_are_named() {
    const COUNT: usize = 800_000;
    const SIZE: usize = 128;
    let mut watch = Watch::start();
    let mut blocks: Vec<Option<Box<[u8; SIZE]>>> = (0..COUNT).map(|_| Some(black_box(Box::new([1; SIZE])))).collect();
    let mut freed = 0;
    for (at, block) in blocks.iter_mut().enumerate() {
        if at % 32 != 0 {
            *block = None;
            freed += SIZE as u64;
        }
    }
    watch.tick();
    let diagnosis = assert_found(&watch, "sparse_slabs", freed);
    let evidence = diagnosis["causes"][0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("slabs of 128 B regions"), "{evidence}");
}

/// With the page that each large block has more than it needs, this is a size class: jemalloc sets nothing aside beside it.
const LARGE: usize = 108 << 10;

/// Frees 63 MiB at once.
fn burst() -> u64 {
    burst_of(600)
}

fn burst_of(count: usize) -> u64 {
    drop(written(count, LARGE));
    (count * LARGE) as u64
}

pub(crate) fn a_burst_that_nobody_gives_back_is_undecayed() {
    let mut watch = Watch::start();
    watch.tick();
    let freed = burst();
    watch.tick();
    // Right after the burst nobody can tell.
    let diagnosis = watch.ask("diagnose");
    assert_eq!(diagnosis["verdict"], "inconclusive", "{diagnosis:#}");
    watch.seconds(13);
    let diagnosis = assert_found(&watch, "undecayed_dirty", freed);
    assert!(diagnosis["causes"][0]["remedy"].as_str().unwrap().contains("background_thread:true"));
}

pub(crate) fn a_burst_that_a_background_thread_gives_back_is_no_cause() {
    let mut watch = Watch::start();
    let freed = burst();
    // It decides for itself when it first wakes.
    for _ in 0..60 {
        watch.seconds(1);
        if bytes(&watch.ask("stats"), "dirty_bytes") < 10 * MIB {
            break;
        }
        let diagnosis = watch.ask("diagnose");
        assert_eq!(diagnosis["verdict"], "inconclusive", "{diagnosis:#}");
    }
    assert!(bytes(&watch.ask("stats"), "dirty_bytes") < freed / 6);
    watch.seconds_put_forward(70, || {});
    assert_eq!(watch.ask("diagnose")["verdict"], "healthy");
}

pub(crate) fn pages_that_were_only_offered_are_muzzy() {
    const SMALL: usize = 5000;
    let watch = Watch::start();
    // Every processor holds back a batch of offered pages before the kernel counts them, a few MiB however many there
    // are: these are so many that the batches do not matter.
    let freed = burst_of(2400);
    let offered = freed + SMALL as u64 * 512;
    // What is dirty becomes muzzy while others allocate.
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(50));
        drop(written(SMALL, 512));
        let muzzy = watch.ask("diagnose")["causes"][0]["bytes"].as_u64().unwrap_or(0);
        if bytes(&watch.ask("stats"), "dirty_bytes") < MIB && muzzy * 20 >= offered * 19 {
            break;
        }
    }
    assert_found(&watch, "muzzy", offered);
}

pub(crate) fn arenas_that_threads_left_are_idle() {
    const THREADS: usize = 7;
    const EACH: usize = 100;
    let mut watch = Watch::start();
    let done = Arc::new(Barrier::new(THREADS + 1));
    let end = Arc::new(Barrier::new(THREADS + 1));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (done, end) = (Arc::clone(&done), Arc::clone(&end));
            thread::spawn(move || {
                drop(written(EACH, LARGE));
                done.wait();
                end.wait();
            })
        })
        .collect();
    done.wait();
    let mut hot = written(300, LARGE);
    watch.tick();
    for _ in 0..13 {
        hot.truncate(280);
        hot.extend(written(20, LARGE));
        watch.seconds(1);
    }
    let diagnosis = assert_found(&watch, "idle_arenas", (THREADS * EACH * LARGE) as u64);
    assert!(diagnosis["causes"][0]["remedy"].as_str().unwrap().contains("narenas"));
    end.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

pub(crate) fn caches_of_many_threads_are_named() {
    const THREADS: usize = 32;
    // As many as a cache keeps, of the largest size that it keeps.
    const EACH: usize = 20;
    const SIZE: usize = 32 << 10;
    let mut watch = Watch::start();
    let done = Arc::new(Barrier::new(THREADS + 1));
    let end = Arc::new(Barrier::new(THREADS + 1));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (done, end) = (Arc::clone(&done), Arc::clone(&end));
            thread::spawn(move || {
                drop(written(EACH, SIZE));
                done.wait();
                end.wait();
            })
        })
        .collect();
    done.wait();
    watch.tick();
    assert_found(&watch, "thread_caches", (THREADS * EACH * SIZE) as u64);
    end.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

pub(crate) fn a_page_more_for_each_block_is_named() {
    const COUNT: usize = 5000;
    let mut watch = Watch::start();
    let _held = written(COUNT, 16 << 10);
    watch.tick();
    assert_found(&watch, "large_padding", COUNT as u64 * 4096);
}

pub(crate) fn memory_that_jemalloc_does_not_know_is_foreign() {
    let mut watch = Watch::start();
    let mapped = crate::foreign::map(100 << 20);
    watch.tick();
    assert_found(&watch, "foreign_memory", mapped);
}

pub(crate) fn memory_that_nobody_touched_costs_nothing() {
    let mut watch = Watch::start();
    let zeroed = black_box(vec![0_u8; 200 << 20]);
    watch.tick();
    let diagnosis = assert_found(&watch, "untouched_pages", zeroed.len() as u64);
    assert_eq!(diagnosis["causes"][0]["is_in_memory"], false);
}

pub(crate) fn coming_and_going_is_healthy() {
    let mut watch = Watch::start();
    let mut held: Vec<Vec<u8>> = written(20_000, 3000);
    let mut random = 1_usize;
    watch.tick();
    watch.seconds_put_forward(120, || {
        for _ in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 33) % held.len();
            held[at] = vec![1; 2600 + (random >> 50) % 400];
        }
    });
    let diagnosis = watch.ask("diagnose");
    assert_eq!(diagnosis["verdict"], "healthy", "{diagnosis:#}");
    assert_eq!(diagnosis["causes"].as_array().unwrap().len(), 0);
}
