//! The skill `console` where it cannot be read: it is there all the same, and says how to get it. Every test has a registry
//! of its own, for its own thread.
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "console/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use ask::{FUNCTIONS, Lens};
use lens_core::{CallError, Skill, SourceStatus};
use lens_tokio::{Console, ConsoleSkill};
use serde_json::json;

/// Asks everything, and expects one reason.
#[track_caller]
fn is_unavailable(console: &Console, code: &str, fix: &str) {
    let reason = console.check().unwrap_err();
    assert_eq!(reason.code(), code);
    assert!(reason.to_string().contains(fix), "{reason}");
    assert_eq!(ConsoleSkill::new(console.clone()).sources()[0].status, SourceStatus::Unavailable(reason.clone()));
    let lens = Lens::of(console.clone());
    for function in FUNCTIONS {
        let error = lens.call(function, json!({})).unwrap_err();
        assert!(
            matches!(&error, CallError::Unavailable { reason: found, .. } if *found == reason),
            "{function}: {error}"
        );
    }
}

#[cfg(not(feature = "console"))]
#[test]
fn without_the_feature_every_answer_names_it() {
    is_unavailable(&Console::global(), "feature_off", "feature `console`");
    assert_eq!(Console::global().enable().unwrap_err().code(), "feature_off");
}

#[cfg(all(feature = "console", not(tokio_unstable)))]
#[test]
fn on_stable_tokio_the_layer_does_nothing_and_every_answer_names_the_cfg() {
    use tracing_subscriber::layer::SubscriberExt;

    let console = Console::new();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(console.layer()), || {
        assert_eq!(console.enable().unwrap_err().code(), "needs_tokio_unstable");
        is_unavailable(&console, "needs_tokio_unstable", "--cfg tokio_unstable");
    });
}

#[cfg(all(feature = "console", tokio_unstable))]
mod unstable {
    use std::sync::Arc;

    use lens_core::{Metrics, SourceStatus};
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::Mutex;
    use tracing::level_filters::LevelFilter;
    use tracing::{Dispatch, dispatcher, subscriber};
    use tracing_subscriber::layer::{Layer, SubscriberExt};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// How many tasks of a name are listed.
    fn listed(console: &Console, name: &str) -> usize {
        Lens::of(console.clone()).named("tasks", "name", name).len()
    }

    /// Spawns a task that waits for ever.
    fn park(runtime: &Runtime, name: &str) {
        let spawned =
            tokio::task::Builder::new().name(name).spawn_on(std::future::pending::<()>(), runtime.handle()).unwrap();
        runtime.block_on(tokio::task::yield_now());
        assert!(!spawned.is_finished());
    }

    #[test]
    fn without_a_layer_everything_says_how_to_add_it() {
        let console = Console::new();
        is_unavailable(&console, "not_enabled", "with(lens::console_layer())");
        assert!(console.enable().unwrap_err().to_string().contains("with(lens::console_layer())"));
        ConsoleSkill::new(console).metrics(&mut Metrics::default());
    }

    #[test]
    fn a_layer_is_off_until_it_is_switched_on_and_off_again_after() {
        let console = Console::new();
        subscriber::with_default(tracing_subscriber::registry().with(console.layer()), || {
            let runtime = runtime();
            is_unavailable(&console, "not_enabled", "Console::global().enable()");
            park(&runtime, "before");
            console.enable().unwrap();
            park(&runtime, "while");
            assert_eq!([listed(&console, "before"), listed(&console, "while")], [0, 1]);
            console.disable();
            is_unavailable(&console, "not_enabled", "Console::global().enable()");
            park(&runtime, "after");
            console.enable().unwrap();
            assert_eq!(["before", "while", "after"].map(|name| listed(&console, name)), [0, 1, 0]);
        });
    }

    #[test]
    fn behind_a_filter_for_everything_it_says_so() {
        let console = Console::new();
        let registry = tracing_subscriber::registry().with(console.layer()).with(LevelFilter::INFO);
        subscriber::with_default(registry, || {
            assert!(console.enable().is_err());
            is_unavailable(&console, "not_enabled", "filter in front");
        });
    }

    #[test]
    fn in_a_registry_that_is_not_the_default_it_says_so() {
        let console = Console::new();
        let registry = Dispatch::new(tracing_subscriber::registry().with(console.layer()));
        assert!(console.enable().is_err());
        is_unavailable(&console, "not_enabled", ".init()");
        dispatcher::with_default(&registry, || assert_eq!(console.check(), Ok(())));
    }

    #[test]
    fn beside_the_services_own_console_it_records_nothing_and_says_so() {
        let console = Console::new();
        let (own, _server) = console_subscriber::ConsoleLayer::builder().build();
        let registry = tracing_subscriber::registry().with(console.layer()).with(own);
        subscriber::with_default(registry, || {
            assert!(console.enable().is_err());
            is_unavailable(&console, "not_enabled", "console-subscriber");
            // Two such layers panic at the first span.
            runtime().block_on(async { drop(Arc::new(Mutex::new(())).lock().await) });
        });
    }

    #[test]
    fn a_second_layer_does_nothing_and_the_first_goes_on() {
        let console = Console::new();
        let registry = tracing_subscriber::registry().with(console.layer()).with(console.layer());
        subscriber::with_default(registry, || {
            console.enable().unwrap();
            let runtime = runtime();
            park(&runtime, "seen-once");
            assert_eq!(listed(&console, "seen-once"), 1);
            let status = ConsoleSkill::new(console.clone()).sources()[0].status.clone();
            assert!(
                matches!(&status, SourceStatus::Partial { missing } if missing.contains("more than once")),
                "{status:?}"
            );
        });
    }

    #[test]
    fn it_enables_nothing_for_the_services_layers() {
        #[derive(Clone, Default)]
        struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
        impl std::io::Write for Log {
            fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend(text);
                Ok(text.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let (console, log) = (Console::new(), Log::default());
        let writer = log.clone();
        let own = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_filter(LevelFilter::DEBUG);
        subscriber::with_default(tracing_subscriber::registry().with(console.layer()).with(own), || {
            console.enable().unwrap();
            let runtime = runtime();
            park(&runtime, "logged");
            assert_eq!(listed(&console, "logged"), 1);
            tracing::debug!("the service's own");
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("the service's own"), "{text}");
    }
}
