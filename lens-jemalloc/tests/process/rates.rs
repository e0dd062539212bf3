//! The rates of `heap.stats()` against what the test allocates.

use std::hint::black_box;
use std::time::Instant;

use crate::watch::Watch;

pub(crate) fn rates_are_what_leaves_the_arenas_and_comes_back_a_second() {
    const LARGE: usize = 64 << 10;
    const COUNT: u32 = 1600;
    let mut watch = Watch::start();
    watch.tick();
    assert_eq!(watch.ask("stats")["arena_allocated_bytes_per_s"]["unavailable"], "not_yet");
    let mut expected = Vec::new();
    for _ in 0..3 {
        let since = Instant::now();
        for _ in 0..COUNT {
            black_box(vec![0_u8; LARGE]);
        }
        watch.seconds(1, || {});
        expected.push(f64::from(COUNT << 16) / since.elapsed().as_secs_f64());
    }
    let per_s = expected.iter().sum::<f64>() / 3.0;
    let stats = watch.ask("stats");
    for rate in ["arena_allocated_bytes_per_s", "arena_deallocated_bytes_per_s"] {
        let measured = stats[rate].as_f64().unwrap();
        assert!((measured / per_s - 1.0).abs() < 0.05, "{rate}: {measured} of {per_s}");
    }
}
