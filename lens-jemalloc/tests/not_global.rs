//! jemalloc is linked, but Rust allocates elsewhere. Its own process, for the allocator is the process's.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use lens_core::{Arguments, Capture, Metrics, Recorder, RegistryBuilder};
use lens_jemalloc::HeapSkill;

#[test]
fn a_linked_jemalloc_that_is_not_rusts_allocator_is_unavailable_with_the_fix() {
    // Linked and alive all the same:
    assert!(tikv_jemalloc_ctl::stats::allocated::read().is_ok());

    // Of glibc's chunks every 32nd is kept, so that none of the others goes back to the kernel.
    let mut blocks: Vec<Option<Box<[u8; 240]>>> = (0..160_000).map(|_| Some(black_box(Box::new([1; 240])))).collect();
    let mut freed = 0;
    for (_, block) in blocks.iter_mut().enumerate().filter(|(at, _)| at % 32 != 0) {
        *block = None;
        freed += 256;
    }
    let kept = blocks;

    let mut builder = RegistryBuilder::new();
    builder.skill(HeapSkill::new().ask_glibc()).unwrap();
    let registry = Arc::new(builder.build());
    let recorder = Arc::new(Recorder::new());
    let metrics = registry.get("heap").unwrap().metrics(Metrics::default()).unwrap();
    recorder.record("heap", Instant::now(), &metrics);

    let capture = Capture::live(&registry, &recorder);
    for function in ["stats", "arenas"] {
        let error = capture.call("heap", function, Arguments::default()).unwrap_err().to_string();
        let expected = format!("`heap.{function}` is unavailable: make jemalloc the global allocator");
        assert!(error.starts_with(&expected), "{error}");
    }
    // What the kernel and glibc say is still said.
    let diagnosis = capture.call("heap", "diagnose", Arguments::default()).unwrap().to_json();
    assert!(diagnosis["rss_bytes"].as_u64().unwrap() > 0);
    assert_eq!(diagnosis["live_bytes"]["unavailable"], "not_global_allocator");
    assert_eq!(diagnosis["verdict"], "found", "{diagnosis:#}");
    assert_eq!(diagnosis["cause"], "free_chunks");
    let free = diagnosis["causes"][0]["bytes"].as_u64().unwrap();
    assert!(free.abs_diff(freed) * 20 < freed, "{free} of {freed}");
    drop(kept);

    let series = capture.history().list();
    let names: Vec<_> = series.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["heap.rss_bytes"]);
}
