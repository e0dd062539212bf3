//! What opening a capture takes, counted. In a file of its own, because the allocator is the process's.

use std::sync::Arc;

use lens_core::skill::NoArguments;
use lens_core::{About, Arguments, Capture, Functions, Reading, RegistryBuilder, Skill, Unavailable};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// A skill that keeps numbers.
struct Ledger;

#[derive(Serialize, Deserialize)]
struct Entries {
    entries: Vec<u64>,
}

impl Skill for Ledger {
    type State = Entries;

    fn about(&self) -> About {
        About::new("ledger", "Ledger", "Numbers.")
    }

    fn collect(&self) -> Reading<Entries> {
        Err(Unavailable::NeedsTokioUnstable)
    }

    fn functions(to: Functions<Entries>) -> Functions<Entries> {
        to.value("sum", "Their sum.", "ledger.sum()", |state, NoArguments {}| Ok(state.entries.iter().sum::<u64>()))
    }
}

/// A list of `count` times the same, as JSON.
fn list(item: &str, count: usize) -> String {
    format!("[{}]", vec![item; count].join(","))
}

#[test]
fn opening_a_file_takes_little_more_than_its_text() {
    const COUNT: usize = 20_000;
    let mut builder = RegistryBuilder::for_captures();
    builder.skill(Ledger).unwrap();
    let registry = Arc::new(builder.build());
    let (known, unknown) = (list("1000000", COUNT), list("[[]]", 10 * COUNT));
    let file = format!(
        "{{\"format\":\"lens-capture\",\"version\":1,\"written_by\":\"a test\",\"captured_at\":\"2026-01-01T00:00:00Z\",\
         \"skills\":{{\"ledger\":{{\"sources\":[],\"state\":{{\"Ok\":{{\"entries\":{known}}}}}}},\
         \"of_another_lens\":{{\"sources\":[],\"state\":{{\"Ok\":{unknown}}}}}}},\
         \"history\":{{\"started_at\":\"2026-01-01T00:00:00Z\",\"second\":0,\"series\":[]}}}}"
    );

    let counted = dhat::Profiler::builder().testing().build();
    let capture = Capture::open(&registry, file.as_bytes()).unwrap();
    let most = dhat::HeapStats::get().max_bytes;
    drop(counted);
    // The text in a buffer that doubles, and the numbers in another.
    assert!(most < 3 * file.len(), "{most} bytes for a file of {}", file.len());
    let sum = capture.call("ledger", "sum", Arguments::default()).unwrap().to_json();
    assert_eq!(sum, COUNT * 1_000_000);
}
