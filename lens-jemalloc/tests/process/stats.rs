//! `heap.stats()` and the functions beside it against what the test holds.

use std::hint::black_box;

use serde_json::{Value, json};

use crate::watch::{MIB, Watch, assert_near, bytes};

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
    let of_this_thread = |arena: &&Value| bytes(arena, "allocated_bytes") > known - MIB;
    assert!(arenas.iter().any(|arena| of_this_thread(&arena) && bytes(arena, "thread_count") > 0));

    let bins = watch.ask_with("bins", &[("sort_by", json!("used")), ("limit", json!(1))]).unwrap();
    assert_eq!(bins[0]["size_bytes"], SIZE);
    assert!(bytes(&bins[0], "used_count").abs_diff(BLOCKS as u64) < 1000);

    drop(held);
    let after = watch.ask("stats");
    assert!(bytes(&after, "live_bytes").abs_diff(bytes(&before, "live_bytes")) < MIB);
}

pub(crate) fn rates_are_what_leaves_the_arenas_and_comes_back_a_second() {
    const LARGE: usize = 64 << 10;
    const COUNT: u32 = 1600;
    let mut watch = Watch::start();
    watch.tick();
    assert_eq!(watch.ask("stats")["arena_allocated_bytes_per_s"]["unavailable"], "not_yet");
    watch.seconds_put_forward(3, || {
        for _ in 0..COUNT {
            black_box(vec![0_u8; LARGE]);
        }
    });
    let stats = watch.ask("stats");
    for rate in ["arena_allocated_bytes_per_s", "arena_deallocated_bytes_per_s"] {
        let measured = stats[rate].as_f64().unwrap();
        assert!((measured / f64::from(COUNT << 16) - 1.0).abs() < 0.05, "{rate}: {measured}");
    }
}

pub(crate) fn the_parts_of_the_memory_add_up_to_what_is_in_memory() {
    let held: Vec<Vec<u8>> = (0..5000).map(|size| vec![1; size * 7]).collect();
    let watch = Watch::start();
    let parts = watch.ask("fragmentation");
    let rss = bytes(&watch.ask("stats"), "rss_bytes");
    let part = |name: &str| parts.as_array().unwrap().iter().find(|row| row["part"] == name).unwrap();
    let sum: u64 =
        parts.as_array().unwrap().iter().filter(|row| row["is_in_memory"] == true).map(|row| bytes(row, "bytes")).sum();
    assert_near(sum - bytes(part("untouched"), "bytes"), rss, &parts);
    // Half of the sizes are below 14 KiB: the others have pages of their own, and one more.
    assert_near(
        bytes(part("large_padding"), "bytes"),
        held.iter().filter(|block| block.len() > 14336).count() as u64 * 4096,
        &parts,
    );
}

pub(crate) fn options_that_somebody_set_come_first() {
    let rows = Watch::start().ask("config");
    let changed: Vec<(&str, &str)> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["is_changed"] == true)
        .map(|row| (row["option"].as_str().unwrap(), row["value"].as_str().unwrap()))
        .collect();
    assert!(changed.contains(&("dirty_decay_ms", "4321")), "{changed:?}");
    assert!(changed.contains(&("tcache_max", "4096")), "{changed:?}");
    assert!(changed.contains(&("malloc_conf", "dirty_decay_ms:4321,tcache_max:4096")), "{changed:?}");
    assert_eq!(changed.len(), 3);
    let decay = Watch::start().ask("decay");
    assert_eq!(decay[0]["dirty_decay_ms"], 4321.0);
}

pub(crate) fn a_contended_lock_shows_its_waits() {
    let watch = Watch::start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20_000).for_each(|size| drop(black_box(vec![0_u8; 40_000 + size % 8 * 4096]))));
        }
    });
    let rows = watch.ask_with("mutexes", &[("limit", json!(100))]).unwrap();
    let waits: Vec<f64> = rows.as_array().unwrap().iter().map(|row| row["total_wait_ms"].as_f64().unwrap()).collect();
    assert!(waits.is_sorted_by(|a, b| a >= b), "{waits:?}");
    let dirty = rows.as_array().unwrap().iter().find(|row| row["lock"] == "extents_dirty").unwrap();
    assert!(dirty["num_ops"].as_u64().unwrap() > 100_000, "{dirty}");
}
