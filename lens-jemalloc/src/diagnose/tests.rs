//! The decision procedure on states that were made by hand.

use lens_core::{OnDemand, Reading, Timestamp, Unavailable};

use super::dirty::{Dirty, Fate, fate};
use super::growth::{Growth, Steady};
use super::judge::judge;
use super::*;
use crate::config::{Configuration, Setting};
use crate::history::{ArenaPoint, HeapPoint};
use crate::process::{ProcessMemory, WalkedMemory};
use crate::snapshot::{Arena, SizeClasses, Snapshot};
use crate::state::JemallocState;

const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000)
}

/// A process with 200 MiB in memory, which is what jemalloc has resident.
fn process() -> ProcessMemory {
    ProcessMemory {
        rss_bytes: 210 * MIB,
        anonymous_bytes: 200 * MIB,
        file_bytes: 10 * MIB,
        shared_bytes: 0,
        swap_bytes: 0,
        thread_count: 4,
        walked: Ok(WalkedMemory { lazy_free_bytes: 0, huge_page_bytes: 0 }),
    }
}

/// 200 MiB that are all live, in two arenas.
fn jemalloc() -> JemallocState {
    let mut snapshot = Snapshot::default();
    snapshot.totals.allocated = 200 * MIB;
    snapshot.totals.active = 200 * MIB;
    snapshot.totals.resident = 200 * MIB;
    snapshot.blocks.large_allocated = 200 * MIB;
    snapshot.arenas = (0..2).map(|index| Arena { index, ..Arena::default() }).collect();
    for arena in &mut snapshot.arenas {
        arena.decay.dirty_decay_ms = 10_000;
    }
    JemallocState {
        version: "5.3.1".to_owned(),
        classes: SizeClasses { page_bytes: PAGE, ..SizeClasses::default() },
        snapshot,
        mutexes: crate::snapshot::Mutexes::default(),
        configuration: Configuration::default(),
        history: crate::history::HeapHistory::default(),
    }
}

fn state(jemalloc: Reading<JemallocState>, process: ProcessMemory) -> HeapState {
    let off = Unavailable::NotEnabled { how: "ask".into() };
    let profile = OnDemand::from(Err(off.clone()));
    HeapState { jemalloc, c_heap: Err(off), process: Ok(process), profile }
}

fn with_dirty(bytes: u64) -> JemallocState {
    let mut state = jemalloc();
    state.snapshot.arenas[1].readings.pdirty = bytes / PAGE;
    state.snapshot.merged.pdirty = bytes / PAGE;
    state
}

/// What the arenas of `state` were `seconds` ago: what they are now.
fn was(state: &mut JemallocState, seconds: u64) {
    let arenas = state.snapshot.arenas.iter().map(|arena| ArenaPoint {
        index: arena.index,
        pdirty: arena.readings.pdirty,
        dirty_purged: arena.readings.dirty_purged,
        events: arena.blocks.events(),
    });
    let at = Timestamp::from_unix_millis(now().unix_millis() - seconds * 1000);
    state.history.seconds.push_back(HeapPoint { at, arenas: arenas.collect(), ..HeapPoint::default() });
}

#[test]
fn what_is_all_live_is_healthy() {
    let diagnosis = judge(&state(Ok(jemalloc()), process()), now(), &Growth::Bounded);
    assert_eq!((diagnosis.verdict, diagnosis.cause), (Verdict::Healthy, None));
    assert_eq!(
        diagnosis.summary,
        "210.0 MiB are in memory, 200.0 MiB of it live data; nothing else takes 10.5 MiB or more."
    );
}

#[test]
fn without_a_minute_of_history_growth_is_open() {
    let diagnosis = judge(&state(Ok(jemalloc()), process()), now(), &Growth::TooShort);
    assert_eq!(diagnosis.verdict, Verdict::Inconclusive);
    assert_eq!(diagnosis.undecided[0].question, "Whether live data grows without end.");
}

#[test]
fn without_jemalloc_nothing_is_claimed_of_the_heap() {
    let state = state(Err(Unavailable::NotGlobalAllocator), process());
    let grown = Growth::Steady(Steady { bytes: 100 * MIB, seconds: 300.0 });
    let diagnosis = judge(&state, now(), &grown);
    assert_eq!((diagnosis.verdict, diagnosis.cause), (Verdict::Inconclusive, None));
    assert_eq!(diagnosis.undecided.len(), 2);
    assert!(diagnosis.undecided[1].question.contains("grew by 100.0 MiB in 300 s"), "{diagnosis:?}");
    assert!(diagnosis.undecided[1].decided_by.starts_with("make jemalloc the global allocator"));
}

#[test]
fn dirty_pages_are_judged_by_what_became_of_them() {
    let mut state = with_dirty(50 * MIB);
    let fate_of = |state: &JemallocState| fate(&state.snapshot.arenas[1], state.history.before(now(), 20_000));
    assert_eq!(fate_of(&state), Fate::Open);
    was(&mut state, 10);
    assert_eq!(fate_of(&state), Fate::Open, "10 s are less than twice the decay time");
    state.history.seconds.clear();
    was(&mut state, 25);
    assert_eq!(fate_of(&state), Fate::StaysIdle);
    state.snapshot.arenas[1].blocks.small_nmalloc += 1;
    assert_eq!(fate_of(&state), Fate::Stays);
    state.snapshot.arenas[1].readings.dirty_purged += 1;
    assert_eq!(fate_of(&state), Fate::Decays);
    state.snapshot.arenas[1].readings.dirty_purged -= 1;
    state.snapshot.arenas[1].readings.pdirty *= 2;
    assert_eq!(fate_of(&state), Fate::Open, "half of it is new");
    state.snapshot.arenas[1].decay.dirty_decay_ms = -1;
    assert_eq!(fate_of(&state), Fate::Kept);
}

#[test]
fn background_threads_are_given_time_to_wake() {
    let mut state = with_dirty(50 * MIB);
    was(&mut state, 25);
    assert_eq!(Dirty::of(&state, now()).idle, [1]);
    state.configuration.has_background_threads = true;
    let dirty = Dirty::of(&state, now());
    assert_eq!((dirty.open_bytes, dirty.span_ms), (50 * MIB, 35_000));
}

#[test]
fn pages_that_are_never_given_back_are_named_at_once() {
    let mut jemalloc = with_dirty(50 * MIB);
    jemalloc.snapshot.arenas[1].decay.dirty_decay_ms = -1;
    let diagnosis = judge(&state(Ok(jemalloc), process()), now(), &Growth::Bounded);
    assert_eq!(diagnosis.cause, Some(HeapCause::UndecayedDirty));
    assert!(diagnosis.causes[0].evidence.contains("dirty_decay_ms is -1"));
    assert_eq!(diagnosis.causes[0].bytes, 50 * MIB);
}

#[test]
fn what_the_kernel_counts_beyond_jemalloc_is_muzzy_first_and_foreign_then() {
    let mut jemalloc = jemalloc();
    jemalloc.snapshot.merged.pmuzzy = 40 * MIB / PAGE;
    let mut process = process();
    process.anonymous_bytes = 300 * MIB;
    process.walked = Ok(WalkedMemory { lazy_free_bytes: 30 * MIB, huge_page_bytes: 0 });
    let diagnosis = judge(&state(Ok(jemalloc), process), now(), &Growth::Bounded);
    let found: Vec<_> = diagnosis.causes.iter().map(|cause| (cause.cause, cause.bytes / MIB)).collect();
    assert_eq!(found, [(HeapCause::ForeignMemory, 70), (HeapCause::Muzzy, 30)]);
}

#[test]
fn with_huge_pages_on_the_excess_is_theirs() {
    let mut jemalloc = jemalloc();
    jemalloc.configuration.settings.push(Setting { option: "thp".to_owned(), value: "always".to_owned() });
    let mut process = process();
    process.anonymous_bytes = 230 * MIB;
    process.walked = Ok(WalkedMemory { lazy_free_bytes: 0, huge_page_bytes: 200 * MIB });
    let diagnosis = judge(&state(Ok(jemalloc), process), now(), &Growth::Bounded);
    assert_eq!(diagnosis.cause, Some(HeapCause::HugePages));
}

#[test]
fn a_state_that_was_saved_is_judged_as_it_was() {
    let mut jemalloc = with_dirty(50 * MIB);
    was(&mut jemalloc, 25);
    let live = state(Ok(jemalloc), process());
    let saved: HeapState = serde_json::from_value(serde_json::to_value(&live).unwrap()).unwrap();
    let judged = |state: &HeapState| serde_json::to_value(judge(state, now(), &Growth::Bounded)).unwrap();
    assert_eq!(judged(&saved), judged(&live));
}
