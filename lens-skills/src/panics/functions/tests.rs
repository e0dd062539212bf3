//! What is asked of panics that a test made up, and what is found in them.

use std::time::Duration;

use lens_core::{Cause, Finding, Timestamp};

use crate::panics::state::{Panic, PanicsState, PlaceCount};
use crate::panics::{PanicsSkill, TOTAL};
use crate::testing::{examine, free_text};

#[test]
fn messages_are_told_to_nobody_with_whom_they_are_not_shared() {
    assert_eq!(free_text::<PanicsSkill>(), ["groups.message", "recent.message"]);
}

/// The panics at `place` so many seconds after the start.
fn panics(place: &str, seconds: &[u64], started_at: Timestamp) -> Vec<Panic> {
    let panic = |second: &u64| Panic {
        at: started_at.plus(Duration::from_secs(*second)),
        place: Some(place.to_owned()),
        message: format!("again at {second}"),
        thread: None,
        task: None,
        spawned_at: Some("src/shop.rs:3:5".to_owned()),
    };
    seconds.iter().map(panic).collect()
}

/// What is found 100 s after the start in panics of which one a second is counted.
fn loops(mut recent: Vec<Panic>, counts: &[(&str, u64)], started_at: Timestamp) -> Vec<Finding> {
    recent.sort_by_key(|panic| std::cmp::Reverse(panic.at));
    let place = |&(place, count): &(&str, u64)| PlaceCount {
        place: place.to_owned(),
        count,
        first_at: started_at,
        last: recent.iter().find(|panic| panic.place.as_deref() == Some(place)).cloned(),
    };
    let places = counts.iter().map(place).collect();
    let state = PanicsState { recent, places, ..PanicsState::default() };
    let totals = (0..=100).map(|second| (second, second));
    let report = examine::<PanicsSkill>(PanicsSkill::about(), &state, &TOTAL, totals, started_at);
    assert_eq!(report.defects, []);
    report.findings().filter(|finding| finding.cause == Cause::PanicLoop).cloned().collect()
}

#[test]
fn a_new_loop_is_found_behind_places_that_panicked_more() {
    let started_at = Timestamp::now();
    let old = ["src/a.rs:1:1", "src/b.rs:1:1", "src/c.rs:1:1", "src/d.rs:1:1", "src/e.rs:1:1", "src/f.rs:1:1"];
    let mut recent: Vec<Panic> = old.iter().flat_map(|place| panics(place, &[1, 2, 3, 4, 5, 6], started_at)).collect();
    recent.extend(panics("src/till.rs:7:9", &[80, 84, 88, 92, 96, 100], started_at));
    let mut counts: Vec<(&str, u64)> = old.map(|place| (place, 1000)).to_vec();
    counts.push(("src/till.rs:7:9", 6));
    let found = loops(recent, &counts, started_at);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.place.as_deref(), Some("src/till.rs:7:9"));
    let facts: Vec<_> = finding.facts.iter().map(|fact| fact.text.as_str()).collect();
    assert_eq!(
        facts,
        [
            "src/till.rs:7:9 has panicked 6 times",
            "at least 6 of these panics were in the last 30 s",
            "there were 1.0 panics a second in the last 10 s",
            "the last one said: again at 100",
        ]
    );
    assert_eq!(finding.spawned_at, ["src/shop.rs:3:5"]);
}

#[test]
fn a_place_that_panicked_in_the_past_and_once_more_is_no_loop() {
    let started_at = Timestamp::now();
    let recent = panics("src/cart.rs:1:1", &[1, 2, 3, 4, 5, 6, 99], started_at);
    assert_eq!(loops(recent, &[("src/cart.rs:1:1", 7)], started_at), []);
}

#[test]
fn a_place_whose_name_is_in_another_ones_is_not_mistaken_for_it() {
    let started_at = Timestamp::now();
    let mut recent = panics("shop/src/till.rs:7:9", &[80, 85, 90, 95, 99], started_at);
    recent.extend(panics("src/till.rs:7:9", &[100], started_at));
    let counts = [("shop/src/till.rs:7:9", 5), ("src/till.rs:7:9", 10)];
    let found = loops(recent, &counts, started_at);
    let places: Vec<_> = found.iter().map(|finding| finding.place.as_deref()).collect();
    assert_eq!(places, [Some("shop/src/till.rs:7:9")]);
}
