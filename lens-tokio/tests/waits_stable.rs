//! Waits on stable tokio: there are none, and everything says so. Empty with `tokio_unstable`.
#![cfg(all(not(tokio_unstable), feature = "waits"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "waits/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use lens_core::{CallError, Skill, SourceStatus, Unavailable};
use lens_tokio::{Waits, WaitsSkill, waits_layer};
use tracing_subscriber::layer::SubscriberExt;

#[test]
fn everything_says_that_it_needs_tokio_unstable_with_the_layer_in_place() {
    let registry = tracing_subscriber::registry().with(waits_layer());
    tracing::subscriber::with_default(registry, || {
        let waits = Waits::global();
        assert_eq!(waits.check(), Err(Unavailable::NeedsTokioUnstable));
        let skill = WaitsSkill::new(waits.clone());
        assert_eq!(skill.collect(), Err(Unavailable::NeedsTokioUnstable));
        assert_eq!(skill.sources()[0].status, SourceStatus::Unavailable(Unavailable::NeedsTokioUnstable));
        for function in ask::FUNCTIONS {
            let error = ask::Lens::of(waits.clone()).call(function).unwrap_err();
            assert_eq!(
                error,
                CallError::Unavailable {
                    subject: format!("`waits.{function}`"),
                    reason: Unavailable::NeedsTokioUnstable
                }
            );
        }
    });
}
