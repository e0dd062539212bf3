//! The functions of states as somebody may write them into a file.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use lens_core::registry::{FrozenState, State};
use lens_core::{About, Arguments, CallError, OnDemand, Recorder, RegistryBuilder, Timestamp, Unavailable};
use serde_json::{Value, json};

use crate::config::Configuration;
use crate::history::{ArenaPoint, HeapHistory, HeapPoint};
use crate::process::{CHeap, ProcessMemory, WalkedMemory};
use crate::profile::{HeapProfile, LeftOut, Sampling, StackUse, Use};
use crate::skill::HeapSkill;
use crate::snapshot::{Arena, BinReadings, LargeClass, Mutexes, SizeClasses, SmallClass, Snapshot};
use crate::state::{HeapState, JemallocState};

struct Frozen(HeapState);

impl FrozenState for Frozen {
    fn as_any(&self) -> &dyn Any {
        &self.0
    }

    fn to_json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.0)
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000 + second * 1000)
}

/// Two of everything there can be several of, so that a sum has two numbers.
fn state() -> HeapState {
    let arena = |index| Arena { index, ..Arena::default() };
    let snapshot = Snapshot {
        arenas: vec![arena(0), arena(1)],
        bins: vec![BinReadings { nonfull_slabs: 1, ..BinReadings::default() }; 2],
        large: vec![LargeClass::default(); 2],
        ..Snapshot::default()
    };
    let point = |second| HeapPoint {
        at: at(second),
        small_bytes: vec![0, 0],
        large_bytes: 0,
        arenas: vec![ArenaPoint::default(), ArenaPoint { index: 1, ..ArenaPoint::default() }],
    };
    let mut history = HeapHistory::default();
    history.seconds.extend([point(0), point(1)]);
    history.minutes.push_back(point(0));
    let jemalloc = JemallocState {
        version: "5.3.1".to_owned(),
        classes: SizeClasses {
            page_bytes: 4096,
            small: vec![SmallClass { size: 8, nregs: 512, slab_size: 4096 }; 2],
            large_bytes: vec![16_384],
        },
        snapshot,
        mutexes: Mutexes::default(),
        configuration: Configuration::default(),
        history,
    };
    let stack = StackUse { total: Some(Use::default()), ..StackUse::default() };
    let profile = HeapProfile {
        at: at(1),
        sampling: Sampling { is_on: true, sample_bytes: 1, since: None, until: None, windows_total: 0 },
        base_at: None,
        frames: Vec::new(),
        stacks: vec![stack.clone(), stack],
        left_out: LeftOut::default(),
    };
    let process = ProcessMemory {
        rss_bytes: 0,
        anonymous_bytes: 0,
        file_bytes: 0,
        shared_bytes: 0,
        swap_bytes: 0,
        thread_count: 1,
        walked: Ok(WalkedMemory { lazy_free_bytes: 0, huge_page_bytes: 0 }),
    };
    HeapState {
        jemalloc: Ok(jemalloc),
        c_heap: Ok(CHeap { held_bytes: 0, used_bytes: 0, free_bytes: 0 }),
        process: Ok(process),
        profile: OnDemand::from(Ok(profile)),
    }
}

/// The answers of every function, or why there is none.
fn ask_all(state: HeapState) -> Value {
    let mut builder = RegistryBuilder::new();
    builder.unread::<HeapSkill>(About::new("heap", "", ""), Unavailable::NotGlobalAllocator).unwrap();
    let registry = builder.build();
    let history = Arc::new(Recorder::new()).until(Instant::now());
    let state: State = Arc::new(Frozen(state));
    let entry = registry.get("heap").unwrap();
    let answer = |name: &str| {
        let arguments = Arguments::named(std::iter::empty().collect());
        match entry.call(name, &state, at(60), &history, arguments) {
            Ok(answer) => answer.to_json(),
            Err(CallError::Unavailable { reason, .. }) => json!(reason),
            Err(error) => panic!("`heap.{name}`: {error}"),
        }
    };
    entry.functions().iter().map(|function| (function.name.to_string(), answer(&function.name))).collect()
}

/// Where in `json` integers are.
fn integers(json: &Value, place: String, places: &mut Vec<String>) {
    match json {
        Value::Number(number) if !number.is_f64() => places.push(place),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| integers(item, format!("{place}/{index}"), places));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| integers(field, format!("{place}/{name}"), places));
        }
        _ => {}
    }
}

/// `json` with the integers at `places` as large as their types allow.
fn greatest(json: &Value, places: &[&String]) -> Value {
    let mut json = json.clone();
    for place in places {
        let mut with = |number: u64| {
            *json.pointer_mut(place).unwrap() = number.into();
            serde_json::from_value::<HeapState>(json.clone()).is_ok()
        };
        let fits = with(u64::MAX) || with(i64::MAX as u64) || with(u32::MAX.into());
        assert!(fits, "{place}");
    }
    json
}

#[test]
fn every_function_answers_the_greatest_numbers_of_a_file() {
    let json = serde_json::to_value(state()).unwrap();
    let mut places = Vec::new();
    integers(&json, String::new(), &mut places);
    for place in &places {
        ask_all(serde_json::from_value(greatest(&json, &[place])).unwrap());
    }
    // The classes stay, so that the large blocks have one.
    let places: Vec<&String> = places.iter().filter(|place| !place.ends_with("/class")).collect();
    let answers = ask_all(serde_json::from_value(greatest(&json, &places)).unwrap());
    let arena = &answers["arenas"][0];
    for field in ["allocated_bytes", "active_bytes", "dirty_bytes", "metadata_bytes", "requests_total"] {
        assert_eq!(arena[field], u64::MAX, "{field}");
    }
    assert_eq!(answers["decay"][0]["dirty_purged_bytes"], u64::MAX);
    assert_eq!((&answers["bins"][0]["used_bytes"], &answers["bins"][0]["waste_bytes"]), (&json!(u64::MAX), &json!(0)));
    assert_eq!(
        (&answers["large"][0]["at_most_bytes"], &answers["large"][0]["padding_bytes"]),
        (&json!(u64::MAX), &json!(u64::MAX))
    );
    assert_eq!((&answers["stats"]["live_bytes"], &answers["stats"]["tcache_bytes"]), (&json!(0), &json!(u64::MAX)));
    assert_eq!(answers["sampling"]["live_bytes"], u64::MAX);
    assert_eq!(answers["diagnose"]["floor_bytes"], u64::MAX / 20);
}
