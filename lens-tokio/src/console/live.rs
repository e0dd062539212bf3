//! The layer's handle: to install it, to switch it and to read it. Separate from the build without the feature, which has
//! the same handle with nothing behind it.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use lens_core::{Reading, SourceStatus, Store};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::budget::Room;
use super::layer::{self, Link};
use super::state::State;
use super::{Console, TASK_BYTES};

/// What a [`Console`] holds in this build.
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
        self.0.is_on.load(Ordering::Relaxed)
    }

    pub(super) fn enable(&self) -> Reading<()> {
        self.0.start()?;
        self.0.switch_on();
        self.0.check()
    }

    pub(super) fn disable(&self) {
        self.0.switch_off();
    }

    pub(super) fn check(&self) -> Reading<()> {
        self.0.check()
    }

    pub(super) fn status(&self) -> SourceStatus {
        if let Err(reason) = self.check() {
            return SourceStatus::Unavailable(reason);
        }
        let (refused, lost) = (self.0.budget.refused(), self.0.lost.load(Ordering::Relaxed));
        let callsites = self.0.callsites.refused();
        let missing = if !self.0.has_seen_others.load(Ordering::Relaxed) {
            "no task or lock of the service was seen yet: switch the layer on before the runtime starts, and build the \
             service with one version of tokio"
                .into()
        } else if refused + lost > 0 {
            format!(
                "{refused} tasks, resources or operations found their store full and {lost} events found the queue \
                 full, and are not known: see `console.summary()`; `tasks` and `waits` have them all"
            )
        } else if callsites > 0 {
            format!("{callsites} callsites of tokio's are left out: console-subscriber has no room for more")
        } else if self.0.refused.load(Ordering::Relaxed) > 0 {
            "`console_layer()` was made more than once, and only the first records: remove the others".into()
        } else {
            return SourceStatus::Live;
        };
        SourceStatus::Partial { missing: missing.into() }
    }

    pub(super) fn read(&self) -> Reading<State> {
        self.check()?;
        self.0.start()?;
        self.0.snapshot()
    }

    pub(super) fn stores(&self) -> Vec<Store> {
        let budget = &self.0.budget;
        vec![
            store("tasks of the console", &budget.tasks, TASK_BYTES),
            store("resources of the console", &budget.resources, 768),
            store("operations of the console", &budget.operations, 768),
        ]
    }
}

fn store(name: &'static str, room: &Room, bytes: usize) -> Store {
    Store {
        name: name.into(),
        len_count: room.used() as u64,
        cap_count: room.cap() as u64,
        memory_bytes: (room.used() * bytes) as u64,
        dropped_total: room.refused(),
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("is_on", &self.is_enabled()).field("is_made", &self.0.is_made()).finish()
    }
}

impl Console {
    /// The layer that records, for the service's tracing registry. It is switched off; see [`enable`](Self::enable).
    ///
    /// It has its own filter inside: it sees tokio's events whatever the other layers filter, and enables nothing for
    /// them. A filter in front of the whole registry keeps tokio's events from it too; see [`check`](Self::check). The
    /// first layer records; a further one does nothing.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        layer::layer(&self.inner.0)
    }
}

/// The layer that tokio-console's state is read from, for the service's tracing registry: [`Console::layer`] of
/// [`Console::global`]. It does nothing until [`Console::enable`].
///
/// # Examples
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let registry = tracing_subscriber::registry().with(lens_tokio::console::console_layer());
/// tracing::subscriber::set_global_default(registry)?;
/// # Ok::<(), tracing::subscriber::SetGlobalDefaultError>(())
/// ```
#[must_use]
pub fn console_layer<S>() -> impl Layer<S> + Send + Sync + 'static
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Console::global().layer()
}
