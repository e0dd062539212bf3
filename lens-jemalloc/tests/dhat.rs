//! What dhat counts, against what the test allocates. Its own process, for dhat is its allocator.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong, its helpers too")]

use std::hint::black_box;
use std::sync::Arc;

use lens_core::{Arguments, Capture, Recorder, RegistryBuilder};
use lens_jemalloc::dhat::{self, DhatSkill, StartError};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SIZE: usize = 1000;
const BLOCKS: usize = 100;

fn stats() -> Result<Value, String> {
    let mut builder = RegistryBuilder::new();
    builder.skill(DhatSkill).unwrap();
    let registry = Arc::new(builder.build());
    let capture = Capture::live(&registry, &Arc::new(Recorder::new()));
    capture.call("dhat", "stats", Arguments::default()).map(|row| row.to_json()).map_err(|error| error.to_string())
}

fn number(row: &Value, field: &str) -> usize {
    row[field].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn what_is_held_is_alive_what_was_is_the_peak_and_the_file_has_the_line() {
    assert!(stats().unwrap_err().contains("make `lens::dhat::Alloc` the global allocator"));

    let file = std::env::temp_dir().join(format!("lens-dhat-{}.json", std::process::id()));
    let run = dhat::start(&file).unwrap();
    assert_eq!(dhat::start("another.json").unwrap_err(), StartError::Running);
    let before = stats().unwrap();
    let held: Vec<Vec<u8>> = (0..BLOCKS).map(|_| black_box(vec![1; SIZE])).collect();
    let during = stats().unwrap();
    // The readings allocate as well, and leave little behind.
    let grown = number(&during, "live_bytes") - number(&before, "live_bytes");
    assert!((BLOCKS * SIZE..BLOCKS * SIZE + 16 * 1024).contains(&grown), "{grown}: {during}");
    assert!(number(&during, "allocated_count") - number(&before, "allocated_count") >= BLOCKS);
    assert!(number(&during, "peak_bytes") >= number(&during, "live_bytes"));
    drop(held);
    let after = stats().unwrap();
    assert!(number(&after, "live_bytes") + BLOCKS * SIZE / 2 < number(&during, "live_bytes"), "{after}");
    assert_eq!(after["file"], file.display().to_string());

    drop(run);
    assert!(stats().is_err(), "a run that has ended has no figures");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(written["dhatFileVersion"], 2);
    let points = written["pps"].as_array().unwrap();
    let ours = points.iter().find(|point| point["tb"] == BLOCKS * SIZE && point["tbk"] == BLOCKS).unwrap();
    let frames = ours["fs"].as_array().unwrap().iter();
    let names = frames.map(|frame| written["ftbl"][usize::try_from(frame.as_u64().unwrap()).unwrap()].to_string());
    assert!(names.into_iter().any(|name| name.contains("what_is_held_is_alive") && name.contains("dhat.rs")));
}
