//! A service that holds 1000 blocks, and what lens reads of them.

use std::sync::Arc;

use lens_core::{Arguments, Capture, Recorder, RegistryBuilder};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let mut builder = RegistryBuilder::new();
    builder.skill(lens_jemalloc::HeapSkill::new()).unwrap();
    let registry = Arc::new(builder.build());
    let recorder = Arc::new(Recorder::new());
    let stats = || {
        let capture = Capture::live(&registry, &recorder);
        capture.call("heap", "stats", Arguments::default()).unwrap().to_json()
    };
    let live = || stats()["live_bytes"].as_u64().unwrap();
    let before = live();
    let held: Vec<Vec<u8>> = (0..1000).map(|_| vec![1; 10_000]).collect();
    let grown = live() - before;
    drop(held);
    println!("{} {grown}", stats()["version"].as_str().unwrap());
}
