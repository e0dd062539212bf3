//! Panics of this process against what the skill says of them. In a file of its own, because a panic hook is the process's.
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

use std::panic::{self, Location};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lens_core::{Arguments, Capture, Recorder, RegistryBuilder, Timestamp};
use lens_skills::panics::{MAX_RECENT_PER_SECOND, PanicsSkill};
use serde_json::{Value, json};

static EARLIER: AtomicUsize = AtomicUsize::new(0);

fn here() -> &'static Location<'static> {
    Location::caller()
}

fn task() -> Option<(u64, Option<&'static Location<'static>>)> {
    Some((7, Some(here())))
}

fn ask(capture: &Capture, function: &str) -> Value {
    capture.call("panics", function, Arguments::default()).unwrap().to_json()
}

/// One test, because the counts are the process's.
#[test]
fn panics_are_counted_by_place_and_the_earlier_hook_is_called() {
    panic::set_hook(Box::new(|_| {
        EARLIER.fetch_add(1, Ordering::Relaxed);
    }));
    let skill = PanicsSkill::install(task).unwrap();
    // Twice in a process is one hook.
    drop(PanicsSkill::install(task).unwrap());
    let before = Timestamp::now();

    let caught = panic::catch_unwind(|| panic!("order {} has no price, password=canary", 17));
    let line = line!() - 1;
    caught.unwrap_err();
    for _ in 0..100 {
        let worker = thread::Builder::new().name("till".into());
        worker.spawn(|| "1,99".parse::<f64>().unwrap()).unwrap().join().unwrap_err();
    }
    let loop_line = line!() - 2;
    panic::catch_unwind(|| panic::panic_any(3_u8)).unwrap_err();

    let mut builder = RegistryBuilder::new();
    builder.skill(skill).unwrap();
    let capture = Capture::live(&Arc::new(builder.build()), &Arc::new(Recorder::new()));

    let stats = ask(&capture, "stats");
    assert_eq!(stats["panics_total"], json!(102));
    assert_eq!(stats["place_count"], json!(3));
    assert_eq!(stats["unlisted_total"], json!(100 - MAX_RECENT_PER_SECOND));
    assert_eq!(EARLIER.load(Ordering::Relaxed), 102, "the hook of before is called once for each");

    let groups = ask(&capture, "groups");
    assert_eq!(groups[0]["count_total"], json!(100));
    let place = groups[0]["place"].as_str().unwrap();
    assert!(place.starts_with(&format!("{}:{loop_line}:", file!())), "{place}");
    assert!(groups[0]["message"].as_str().unwrap().contains("ParseFloatError"), "{groups}");

    let recent = ask(&capture, "recent");
    let rows = recent.as_array().unwrap();
    assert_eq!(rows.len(), 2 + MAX_RECENT_PER_SECOND as usize);
    assert_eq!(rows[0]["message"], json!("(the payload is no text)"), "newest first");
    assert_eq!(rows[1]["thread"], json!("till"));
    let oldest = rows.last().unwrap();
    assert_eq!(oldest["message"], json!("order 17 has no price, password=[redacted]"));
    assert!(oldest["place"].as_str().unwrap().starts_with(&format!("{}:{line}:", file!())), "{oldest}");
    assert_eq!(oldest["task"], json!(7));
    assert_eq!(oldest["spawned_at"], json!(task().unwrap().1.unwrap().to_string()));
    let at: Timestamp = serde_json::from_value(oldest["at"].clone()).unwrap();
    assert!(before <= at && at <= Timestamp::now());
}
