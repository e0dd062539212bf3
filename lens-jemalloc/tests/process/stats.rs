//! `heap.stats()` and `heap.arenas()` against what the test holds.

use std::hint::black_box;

use crate::watch::Watch;
use serde_json::Value;

const MIB: u64 = 1 << 20;

fn bytes(row: &Value, field: &str) -> u64 {
    row[field].as_u64().unwrap_or_else(|| panic!("{field} in {row}"))
}

pub(crate) fn what_the_service_holds_is_live_and_what_it_frees_is_not() {
    const BLOCKS: usize = 100_000;
    const SIZE: usize = 1024;
    let mut watch = Watch::start();
    watch.tick();
    let before = watch.ask("stats");
    let held: Vec<Box<[u8; SIZE]>> = (0..BLOCKS).map(|_| black_box(Box::new([1; SIZE]))).collect();
    watch.tick();
    let during = watch.ask("stats");
    let known = (BLOCKS * SIZE + BLOCKS.next_power_of_two() * size_of::<usize>()) as u64;
    let grown = bytes(&during, "live_bytes") - bytes(&before, "live_bytes");
    assert!(grown.abs_diff(known) < MIB, "{grown} of {known}");
    assert!(bytes(&during, "rss_bytes") > known);

    let arenas = watch.ask("arenas");
    let arenas = arenas.as_array().unwrap();
    let allocated: u64 = arenas.iter().map(|arena| bytes(arena, "allocated_bytes")).sum();
    assert!(allocated.abs_diff(bytes(&during, "allocated_bytes")) < MIB);
    assert!(
        arenas.iter().any(|arena| bytes(arena, "allocated_bytes") > known - MIB && bytes(arena, "thread_count") > 0)
    );

    drop(held);
    let after = watch.ask("stats");
    assert!(bytes(&after, "live_bytes").abs_diff(bytes(&before, "live_bytes")) < MIB);
}
