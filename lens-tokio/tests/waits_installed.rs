//! What the layer sees and what it leaves alone, in the registries that services have. Every test has a registry and a
//! recorder of its own, for its own thread.
#![cfg(all(tokio_unstable, feature = "waits"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "waits/ask.rs"]
#[expect(dead_code, reason = "shared with the tests that ask for more")]
mod ask;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex};

use ask::FUNCTIONS;
use lens_core::{CallError, Metrics, Skill, Source, SourceStatus, Unavailable};
use lens_tokio::{Waits, WaitsSkill};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, RwLock, Semaphore};
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn sources(waits: &Waits) -> Vec<Source> {
    WaitsSkill::new(waits.clone()).sources()
}

/// Asks everything, and expects one reason.
#[track_caller]
fn is_unavailable(waits: &Waits, code: &str, fix: &str) {
    let skill = WaitsSkill::new(waits.clone());
    let reason = skill.collect().unwrap_err();
    assert_eq!(reason.code(), code);
    assert!(reason.to_string().contains(fix), "{reason}");
    assert_eq!(skill.sources()[0].status, SourceStatus::Unavailable(reason.clone()));
    assert_eq!(waits.check(), Err(reason));
}

/// A layer of the service that counts what reaches it.
#[derive(Clone, Default)]
struct Counting {
    spans: Arc<AtomicUsize>,
    events: Arc<AtomicUsize>,
    targets: Arc<StdMutex<Vec<String>>>,
}

impl<S: Subscriber> Layer<S> for Counting {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.spans.fetch_add(1, Ordering::Relaxed);
        self.targets.lock().unwrap().push(attributes.metadata().target().to_owned());
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.targets.lock().unwrap().push(event.metadata().target().to_owned());
    }
}

/// Locks something, sleeps, and says so at two levels.
async fn work() {
    let lock = Mutex::new(());
    drop(lock.lock().await);
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    tracing::info!("worked");
    tracing::trace!("worked in detail");
}

/// A held lock, and a task that waits for it.
async fn convoy() -> (Arc<Mutex<()>>, tokio::sync::OwnedMutexGuard<()>) {
    let lock = Arc::new(Mutex::new(()));
    let guard = Arc::clone(&lock).lock_owned().await;
    let waiter = Arc::clone(&lock);
    tokio::spawn(async move { drop(waiter.lock().await) });
    tokio::task::yield_now().await;
    (lock, guard)
}

#[test]
fn without_a_layer_everything_says_how_to_add_it() {
    let waits = Waits::new();
    is_unavailable(&waits, "not_enabled", "with(lens::waits_layer())");
    let lens = ask::Lens::of(waits.clone());
    for function in FUNCTIONS {
        let error = lens.call(function).unwrap_err();
        assert!(matches!(error, CallError::Unavailable { reason: Unavailable::NotEnabled { .. }, .. }), "{error}");
    }
    WaitsSkill::new(waits).metrics(&mut Metrics::default());
}

#[test]
fn in_a_registry_that_is_not_the_default_it_says_so() {
    let waits = Waits::new();
    let _registry = Dispatch::new(tracing_subscriber::registry().with(waits.layer()));
    is_unavailable(&waits, "not_enabled", ".init()");
}

#[test]
fn behind_a_filter_for_everything_it_says_so() {
    let waits = Waits::new();
    let registry = tracing_subscriber::registry().with(waits.layer()).with(LevelFilter::INFO);
    tracing::subscriber::with_default(registry, || is_unavailable(&waits, "not_enabled", "filter in front"));
    let registry = tracing_subscriber::registry().with(LevelFilter::INFO).with(waits.layer());
    tracing::subscriber::with_default(registry, || is_unavailable(&waits, "not_enabled", "filter in front"));
    // One that lets others' TRACE through, and not tokio's.
    let not_tokio = filter_fn(|metadata: &Metadata<'_>| !metadata.target().starts_with("tokio"));
    let registry = tracing_subscriber::registry().with(waits.layer()).with(not_tokio);
    tracing::subscriber::with_default(registry, || is_unavailable(&waits, "not_enabled", "filter in front"));
}

#[test]
fn beside_filtered_layers_it_is_live_and_enables_nothing_for_them() {
    let (before, after, waits) = (Counting::default(), Counting::default(), Waits::new());
    let registry = tracing_subscriber::registry()
        .with(before.clone().with_filter(LevelFilter::INFO))
        .with(waits.layer())
        .with(after.clone().with_filter(LevelFilter::DEBUG));
    tracing::subscriber::with_default(registry, || {
        runtime().block_on(work());
        assert_eq!(sources(&waits)[0].status, SourceStatus::Live);
        assert!(!tracing::enabled!(target: "shop::cart", Level::TRACE), "nobody wants a service's own TRACE");
    });
    for layer in [before, after] {
        assert_eq!(*layer.targets.lock().unwrap(), ["waits_installed"], "only the one event at INFO");
    }
}

#[test]
fn another_layer_that_wants_tokios_inner_spans_gets_them_and_the_graph_stays_right() {
    let (waits, other) = (Waits::new(), Counting::default());
    let tokio_only = filter_fn(|metadata: &Metadata<'_>| {
        metadata.target().starts_with("tokio") || metadata.target().starts_with("runtime")
    });
    let registry = tracing_subscriber::registry().with(waits.layer()).with(other.clone().with_filter(tokio_only));
    tracing::subscriber::with_default(registry, || {
        runtime().block_on(async {
            let _convoy = convoy().await;
            let semaphore = Semaphore::new(2);
            let _permit = semaphore.acquire().await.unwrap();
            let state = WaitsSkill::new(waits.clone()).collect().unwrap();
            assert_eq!(state.waits.len(), 1, "{state:?}");
            assert_eq!(state.resources.iter().map(|resource| resource.holds.len()).collect::<Vec<_>>(), [1, 1]);
            assert!(state.resources.iter().all(|resource| resource.is_known));
        });
    });
    let targets = other.targets.lock().unwrap();
    let inner = targets.iter().filter(|target| *target == "tokio::sync::batch_semaphore").count();
    assert!(inner >= 4, "the inside of a mutex and its operations reach the other layer: {inner}");
}

#[test]
fn the_semaphores_inside_of_locks_are_not_taken_for_channels() {
    let waits = Waits::new();
    let registry = tracing_subscriber::registry().with(waits.layer());
    tracing::subscriber::with_default(registry, || {
        let _locks = (Mutex::new(()), RwLock::new(()), Semaphore::new(1));
        let _channel = tokio::sync::mpsc::channel::<()>(1);
        let state = WaitsSkill::new(waits.clone()).collect().unwrap();
        let alive: Vec<_> = state.sites.iter().map(|site| (site.kind.name(), site.count)).collect();
        assert_eq!(alive, [("mutex", 1), ("rwlock", 1), ("semaphore", 1), ("channel", 1)]);
    });
}

#[test]
fn a_second_layer_is_ignored_and_reported() {
    let waits = Waits::new();
    let registry = tracing_subscriber::registry().with(waits.layer()).with(waits.layer());
    tracing::subscriber::with_default(registry, || {
        runtime().block_on(async {
            let _convoy = convoy().await;
            let state = WaitsSkill::new(waits.clone()).collect().unwrap();
            assert_eq!((state.waits.len(), state.resources.len()), (1, 1), "nothing is counted twice");
        });
        assert!(
            matches!(&sources(&waits)[0].status, SourceStatus::Partial { missing } if missing.contains("more than once"))
        );
    });
}

#[test]
fn the_next_registry_starts_with_nothing() {
    let waits = Waits::new();
    for _ in 0..2 {
        let registry = tracing_subscriber::registry().with(waits.layer());
        tracing::subscriber::with_default(registry, || {
            runtime().block_on(async {
                let _convoy = convoy().await;
                let state = WaitsSkill::new(waits.clone()).collect().unwrap();
                assert_eq!((state.waits.len(), state.resources.len(), state.is_whole), (1, 1, true));
            });
        });
        is_unavailable(&waits, "not_enabled", "with(lens::waits_layer())");
    }
}

#[test]
fn while_a_registry_is_kept_alive_the_next_one_says_that_it_does_not_record() {
    let waits = Waits::new();
    let registry = tracing_subscriber::registry().with(waits.layer());
    // Its span keeps its registry.
    let _lock = tracing::subscriber::with_default(registry, || Mutex::new(()));
    let registry = tracing_subscriber::registry().with(waits.layer());
    tracing::subscriber::with_default(registry, || is_unavailable(&waits, "not_enabled", "one registry only"));
}

#[test]
fn switched_off_it_says_so_and_new_locks_are_not_seen() {
    let (waits, other) = (Waits::new(), Counting::default());
    let registry =
        tracing_subscriber::registry().with(waits.layer()).with(other.clone().with_filter(LevelFilter::INFO));
    tracing::subscriber::with_default(registry, || {
        waits.disable();
        assert!(!waits.is_enabled());
        is_unavailable(&waits, "not_enabled", "Waits::enable()");
        let runtime = runtime();
        let kept = runtime.block_on(async { Arc::new(Mutex::new(())) });
        waits.enable();
        runtime.block_on(async {
            let guard = kept.lock().await;
            let lock = Arc::clone(&kept);
            let waiter = tokio::spawn(async move { drop(lock.lock().await) });
            tokio::task::yield_now().await;
            let state = WaitsSkill::new(waits.clone()).collect().unwrap();
            assert!(!state.is_whole);
            assert!(state.resources.is_empty(), "{state:?}");
            // It waits for a lock that was created before: for what is known, and for which is not.
            let seen: Vec<_> = state.waits.iter().map(|wait| (wait.kind.name(), wait.resource)).collect();
            assert_eq!(seen, [("mutex", None)]);
            assert!(state.stuck().is_empty());
            drop(guard);
            waiter.await.unwrap();
        });
        assert!(
            matches!(&sources(&waits)[0].status, SourceStatus::Partial { missing } if missing.contains("switched on"))
        );
        tracing::info!("still here");
    });
    assert_eq!(other.events.load(Ordering::Relaxed), 1);
}

#[test]
fn a_lock_that_changed_hands_while_it_was_off_is_not_told_wrong() {
    let waits = Waits::new();
    let registry = tracing_subscriber::registry().with(waits.layer());
    tracing::subscriber::with_default(registry, || {
        runtime().block_on(async {
            let (lock, semaphore) = (Arc::new(Mutex::new(())), Arc::new(Semaphore::new(2)));
            let of = |state: &lens_tokio::waits::State, kind: &str| {
                state.resources.iter().find(|resource| resource.kind.name() == kind).cloned()
            };
            let collect = || WaitsSkill::new(waits.clone()).collect().unwrap();
            let guard = Arc::clone(&lock).lock_owned().await;
            let permit = Arc::clone(&semaphore).acquire_owned().await.unwrap();
            assert!(of(&collect(), "mutex").unwrap().is_known);

            waits.disable();
            drop((guard, permit));
            let (lock_, semaphore_) = (Arc::clone(&lock), Arc::clone(&semaphore));
            let holder = tokio::spawn(async move {
                let _both = (lock_.lock().await, semaphore_.acquire().await.unwrap());
                std::future::pending::<()>().await;
            });
            tokio::task::yield_now().await;
            waits.enable();
            assert_eq!(collect().resources, [], "who held it before does not any more");

            let waiter = tokio::spawn(async move { drop(lock.lock().await) });
            tokio::task::yield_now().await;
            let state = collect();
            let mutex = of(&state, "mutex").unwrap();
            assert_eq!((mutex.is_known, mutex.holds.len()), (false, 0), "who holds it now was not heard");
            assert_eq!(state.waits.len(), 1);
            assert!(state.stuck().is_empty());

            holder.abort();
            waiter.await.unwrap();
            let (lock, _held) = convoy().await;
            drop(lock);
            let mutex = of(&collect(), "mutex").unwrap();
            assert!(mutex.is_known && mutex.holds.len() == 1);
        });
    });
}
