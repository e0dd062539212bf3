//! Heap profiles of a process that knows what it holds: the allocator and its sampling are the process's, so this is one of
//! its own.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong, its helpers too")]

mod profile;
mod service;
#[cfg(tokio_unstable)]
mod tasks;
#[cfg(target_os = "linux")]
mod tools;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

// A sample in 64 KiB: with some hundred samples, errors are small enough to tell what is right.
lens::heap_profiles!("lg_prof_sample:16,prof_accum:true");
