//! The layer's handle: to install it, to switch it and to read it. Separate from the build without the feature, which has
//! the same handle with nothing behind it.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use lens_core::{Reading, SourceStatus, Store};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::deadlock;
use super::layer::{self, Link};
use super::places::MAX_PLACES;
use super::read;
use super::recorder::MAX_THREADS;
use super::state::State;
use super::{Load, Waits};

/// What a [`Waits`] holds in this build.
#[derive(Clone)]
pub(super) struct Inner(Arc<Link>);

impl Inner {
    pub(super) fn new() -> Self {
        Self(Link::new())
    }

    pub(super) fn global() -> Self {
        static GLOBAL: OnceLock<Inner> = OnceLock::new();
        GLOBAL.get_or_init(Self::new).clone()
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.0.recorder.is_on()
    }

    pub(super) fn enable(&self) {
        if !self.0.recorder.is_on.swap(true, Ordering::SeqCst) {
            self.0.ask_again();
            // Last, since callsites are switched one after the other: an acquisition may be heard whose release is not.
            self.0.recorder.begin_epoch();
        }
    }

    pub(super) fn disable(&self) {
        if self.0.recorder.is_on.swap(false, Ordering::SeqCst) {
            self.0.ask_again();
        }
    }

    pub(super) fn check(&self) -> Reading<()> {
        self.0.check()
    }

    pub(super) fn status(&self) -> SourceStatus {
        if let Err(reason) = self.check() {
            return SourceStatus::Unavailable(reason);
        }
        let recorder = &self.0.recorder;
        let refused = self.0.refused.load(Ordering::Relaxed);
        let missing = if !recorder.has_seen_others() {
            "no task or lock of the service was seen yet: add the layer before the runtime starts, and build the service \
             with one version of tokio"
                .into()
        } else if recorder.was_off() {
            "locks and tasks from before the layer was last switched on are not known: leave it on from the start"
                .into()
        } else if recorder.dropped() > 0 {
            format!(
                "{} tasks, locks or waits found their store full and are not known: see `stores`",
                recorder.dropped()
            )
        } else if refused > 0 {
            "`waits_layer()` was added more than once, and only the first records: remove the others".into()
        } else {
            return SourceStatus::Live;
        };
        SourceStatus::Partial { missing: missing.into() }
    }

    pub(super) fn read(&self) -> Reading<State> {
        self.check()?;
        self.0.look_for_others();
        Ok(read::state(&self.0.recorder))
    }

    pub(super) fn load(&self) -> Option<Load> {
        let recorder = &self.0.recorder;
        (self.0.is_attached() && recorder.is_on()).then(|| read::load(recorder))
    }

    /// How many deadlocks are certain.
    pub(super) fn deadlocks(&self) -> u64 {
        let found = deadlock::find(&read::state(&self.0.recorder));
        found.iter().filter(|deadlock| deadlock.assumptions.is_empty()).count() as u64
    }

    pub(super) fn stores(&self) -> Vec<Store> {
        let recorder = &self.0.recorder;
        let threads = recorder.known_threads();
        let mut held = 0;
        recorder.resources.each(|_, resource| held += resource.owned_bytes());
        vec![
            store(
                "tasks by span",
                recorder.tasks.len(),
                recorder.tasks.cap(),
                recorder.tasks.memory_bytes(),
                recorder.tasks.dropped(),
            ),
            store(
                "locks, semaphores, channels and timers",
                recorder.resources.len(),
                recorder.resources.cap(),
                recorder.resources.memory_bytes() + held,
                recorder.resources.dropped(),
            ),
            store(
                "waits",
                recorder.waits.len(),
                recorder.waits.cap(),
                recorder.waits.memory_bytes(),
                recorder.waits.dropped(),
            ),
            store("threads outside of tasks", threads, MAX_THREADS, threads * 64, recorder.threads_dropped()),
            store(
                "source places of waits",
                recorder.places.len(),
                MAX_PLACES,
                recorder.places.memory_bytes(),
                recorder.places.dropped(),
            ),
        ]
    }
}

fn store(name: &'static str, len: usize, cap: usize, memory_bytes: usize, dropped_total: u64) -> Store {
    Store {
        name: name.into(),
        len_count: len as u64,
        cap_count: cap as u64,
        memory_bytes: memory_bytes as u64,
        dropped_total,
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("is_on", &self.is_enabled()).field("is_attached", &self.0.is_attached()).finish()
    }
}

impl Waits {
    /// The layer that records, for the service's tracing registry.
    ///
    /// It has its own filter inside: it sees tokio's events whatever the other layers filter, and enables nothing for
    /// them. A filter in front of the whole registry keeps tokio's events from it too; see [`check`](Self::check). One
    /// layer records at a time: a further one is ignored while the first one's registry exists.
    ///
    /// Cost, besides tokio's own tracing: 0.6 µs for an uncontended lock and unlock, 30 ns for a poll and 0.4 µs for a
    /// spawn, most of it in tracing's registry; `cargo bench -p lens-tokio --features waits` measures it.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        layer::layer(&self.inner.0)
    }
}

/// The layer that records who waits for what, for the service's tracing registry: [`Waits::layer`] of [`Waits::global`].
///
/// # Examples
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// // Before the runtime starts: what exists before the layer is not known to it.
/// let registry = tracing_subscriber::registry().with(lens_tokio::waits::waits_layer());
/// tracing::subscriber::set_global_default(registry)?;
/// # Ok::<(), tracing::subscriber::SetGlobalDefaultError>(())
/// ```
#[must_use]
pub fn waits_layer<S>() -> impl Layer<S> + Send + Sync + 'static
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Waits::global().layer()
}
