//! Waits in a build without the feature: the same calls, and everything says how to get it. Empty with the feature.
#![cfg(not(feature = "waits"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "waits/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use lens_core::{CallError, Skill, SourceStatus, Unavailable};
use lens_tokio::{Waits, WaitsSkill};

#[test]
fn everything_names_the_feature() {
    let off = Unavailable::FeatureOff { feature: "waits".into() };
    let waits = Waits::global();
    waits.enable();
    waits.disable();
    assert!(!waits.is_enabled());
    assert_eq!(waits.check(), Err(off.clone()));
    let skill = WaitsSkill::new(waits.clone());
    assert_eq!(skill.collect(), Err(off.clone()));
    assert_eq!(skill.sources()[0].status, SourceStatus::Unavailable(off.clone()));
    assert!(skill.stores().is_empty());
    for function in ask::FUNCTIONS {
        let error = ask::Lens::of(waits.clone()).call(function).unwrap_err();
        assert_eq!(error, CallError::Unavailable { subject: format!("`waits.{function}`"), reason: off.clone() });
    }
}
