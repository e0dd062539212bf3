//! The tracing layer: `console-subscriber`'s, behind a gate, a cap and a list of callsites. Separate because only this
//! file knows how the registry and its filters work.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use console_subscriber::{ConsoleLayer, Server};
use lens_core::threads;
use tracing::dispatcher::{Dispatch, WeakDispatch};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::budget::{Budget, Placed};
use super::callsites::{Callsites, kind};
use super::server::{self, Asks};
use crate::flavour::TOKIO_UNSTABLE;

thread_local! {
    /// How many spans this thread created that a layer has seen.
    static SEEN: Cell<u64> = const { Cell::new(0) };
    /// Lens is creating a lock to see whether the layer works.
    static IS_PROBING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a layer sees a lock that is created in the calling thread.
pub(super) fn sees_a_lock() -> bool {
    let before = SEEN.get();
    IS_PROBING.set(true);
    let _lock = tokio::sync::Mutex::new(());
    IS_PROBING.set(false);
    SEEN.get() != before
}

/// What the layer, its gate, the thread of the server and the handle share.
pub(super) struct Link {
    pub(super) is_on: AtomicBool,
    pub(super) callsites: Callsites,
    pub(super) budget: Budget,
    /// Events that found the server's queue full.
    pub(super) lost: AtomicU64,
    /// What the thread of the server begins with.
    pub(super) server: Mutex<Option<Server>>,
    /// Where the thread is asked, once it runs.
    pub(super) asks: OnceLock<Asks>,
    /// Whether a layer was made.
    is_made: AtomicBool,
    /// How many layers were made after the first one.
    pub(super) refused: AtomicU32,
    /// Whether the service has a `ConsoleLayer` of its own in the same registry.
    pub(super) is_foreign: AtomicBool,
    /// Whether anything of the service was seen.
    pub(super) has_seen_others: AtomicBool,
    gap: Mutex<Gap>,
    /// When the layer was made, by both clocks.
    made_at: OnceLock<(Instant, SystemTime)>,
    dispatch: Mutex<Option<WeakDispatch>>,
}

/// When the layer was switched off and on again: of tasks that were there, wakes and wakers were missed.
#[derive(Clone, Copy, Debug)]
enum Gap {
    /// It never was.
    None,
    /// It is off.
    Open,
    /// The last time ended then.
    Until(Instant),
}

impl Link {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            is_on: AtomicBool::new(false),
            callsites: Callsites::default(),
            budget: Budget::new(),
            lost: AtomicU64::new(0),
            server: Mutex::new(None),
            asks: OnceLock::new(),
            is_made: AtomicBool::new(false),
            refused: AtomicU32::new(0),
            is_foreign: AtomicBool::new(false),
            has_seen_others: AtomicBool::new(false),
            gap: Mutex::new(Gap::None),
            made_at: OnceLock::new(),
            dispatch: Mutex::new(None),
        })
    }

    /// Whether it records: it is switched on, and two such layers do not meet, which would panic in the service.
    fn is_open(&self) -> bool {
        self.is_on.load(Ordering::Relaxed) && !self.is_foreign.load(Ordering::Relaxed)
    }

    pub(super) fn is_made(&self) -> bool {
        self.is_made.load(Ordering::Relaxed)
    }

    /// The registry that the layer was added to, while it exists.
    pub(super) fn dispatch(&self) -> Option<Dispatch> {
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }

    /// Records from now on.
    pub(super) fn switch_on(&self) {
        // Held until all is done, so that nobody switches it the other way meanwhile.
        let mut gap = self.gap();
        if self.is_on.swap(true, Ordering::SeqCst) {
            return;
        }
        self.ask_again();
        if matches!(*gap, Gap::Open) {
            *gap = Gap::Until(Instant::now());
        }
    }

    /// Records nothing new from now on.
    pub(super) fn switch_off(&self) {
        let mut gap = self.gap();
        if self.is_on.swap(false, Ordering::SeqCst) {
            *gap = Gap::Open;
            self.ask_again();
        }
    }

    fn gap(&self) -> MutexGuard<'_, Gap> {
        self.gap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the last gap ended, by the server's clock; `None` if there was none.
    pub(super) fn gap_end(&self) -> Option<SystemTime> {
        match *self.gap() {
            Gap::None => None,
            Gap::Open => Some(SystemTime::now()),
            Gap::Until(end) => {
                // The server takes the time as this does: what has passed since the layer was made.
                let (made, at) = *self.made_at.get()?;
                Some(at + end.saturating_duration_since(made))
            }
        }
    }

    /// Has every callsite ask its filters again.
    fn ask_again(&self) {
        // The calling thread may have another default; with a single registry, tracing asks the thread's default.
        match self.dispatch() {
            Some(dispatch) => {
                tracing::dispatcher::with_default(&dispatch, tracing::callsite::rebuild_interest_cache);
            }
            None => tracing::callsite::rebuild_interest_cache(),
        }
    }
}

/// A layer. The first one of a link records; further ones do nothing.
pub(super) fn layer<S>(link: &Arc<Link>) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_first = TOKIO_UNSTABLE && !link.is_made.swap(true, Ordering::AcqRel);
    if TOKIO_UNSTABLE && !is_first {
        link.refused.fetch_add(1, Ordering::Relaxed);
    }
    let inner = is_first.then(|| {
        let (inner, server) = server::layer();
        // It is made once.
        let _ = link.made_at.set((Instant::now(), SystemTime::now()));
        *link.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        inner
    });
    Guarded { link: Arc::clone(link), inner }.with_filter(Gate { link: Arc::clone(link), is_first })
}

/// `console-subscriber`'s layer, which is told of no more than there is room for.
struct Guarded {
    link: Arc<Link>,
    /// None in what is not the first layer.
    inner: Option<ConsoleLayer>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Guarded {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        if self.inner.is_none() {
            return;
        }
        if dispatch.downcast_ref::<ConsoleLayer>().is_some() {
            self.link.is_foreign.store(true, Ordering::Relaxed);
        }
        *self.link.dispatch.lock().unwrap_or_else(PoisonError::into_inner) = Some(dispatch.downgrade());
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if let Some(inner) = &self.inner {
            self.link.callsites.tell_once(metadata, || {
                Layer::<S>::register_callsite(inner, metadata);
            });
        }
        Interest::always()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let (Some(inner), Some(kind)) = (&self.inner, kind(attributes.metadata())) else { return };
        SEEN.set(SEEN.get().wrapping_add(1));
        if IS_PROBING.get() || threads::is_own() {
            return;
        }
        self.link.has_seen_others.store(true, Ordering::Relaxed);
        let Some(placed) = self.link.budget.take(kind) else { return };
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(placed);
        }
        inner.on_new_span(attributes, id, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(inner) = &self.inner {
            inner.on_event(event, context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(inner) = &self.inner {
            inner.on_enter(id, context);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if let Some(inner) = &self.inner {
            inner.on_exit(id, context);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(inner) = &self.inner else { return };
        let placed = context.span(&id).and_then(|span| span.extensions_mut().remove::<Placed>());
        inner.on_close(id, context);
        if let Some(placed) = placed {
            self.link.budget.give_back(&placed);
        }
    }
}

/// The filter: never, while the layer is switched off, so that tokio's callsites cost what they cost without it.
struct Gate {
    link: Arc<Link>,
    is_first: bool,
}

impl Gate {
    fn is_open(&self) -> bool {
        self.is_first && self.link.is_open()
    }
}

impl<S> Filter<S> for Gate {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.is_open() && kind(metadata).is_some()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_open() && self.link.callsites.admit(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.is_open() { LevelFilter::TRACE } else { LevelFilter::OFF })
    }
}
