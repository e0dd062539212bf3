//! jemalloc is linked, but Rust allocates elsewhere. Its own process, for the allocator is the process's.

use std::sync::Arc;
use std::time::Instant;

use lens_core::{Arguments, Capture, Metrics, Recorder, RegistryBuilder};
use lens_jemalloc::HeapSkill;

#[test]
fn a_linked_jemalloc_that_is_not_rusts_allocator_is_unavailable_with_the_fix() {
    // Linked and alive all the same:
    assert!(tikv_jemalloc_ctl::stats::allocated::read().is_ok());

    let mut builder = RegistryBuilder::new();
    builder.skill(HeapSkill::new()).unwrap();
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
    let series = capture.history().list();
    let names: Vec<_> = series.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["heap.rss_bytes"]);
}
