//! The tracing layer: tokio's spans and events, to the [`Recorder`]. Separate because only this file knows how the
//! registry and its filters work.
//!
//! # What is enabled
//!
//! The filter answers once for each callsite, with always or never, so that what is not read costs nothing; with one
//! exception. Mutexes, read-write locks, semaphores and channels share one semaphore inside, with the same two callsites.
//! In a mutex or a read-write lock it says nothing that its outside does not say, at two thirds of the cost of a lock.
//! So these two are decided span by span. A filter of one layer cannot save that cost, since the registry makes the span
//! as soon as any layer may want it; so the span is refused for all layers, but only if no other layer wants tokio's
//! spans, which the registry is asked. Other spans of tokio that the layer has no use for are refused too: they are only
//! made where several registries disagree, and would be taken for those that events belong to.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::callsite::Callsite;
use tracing::dispatcher::{Dispatch, WeakDispatch};
use tracing::level_filters::LevelFilter;
use tracing::metadata::Kind as MetadataKind;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::fields::{NewResource, READ_FIELDS, Ready, Source, SourceField, Spawn, Update};
use super::here::Here;
use super::recorder::{Recorder, SpanKind, next_number};
use super::state::Kind;

/// The semaphore inside of everything else.
const INSIDE: &str = "tokio::sync::batch_semaphore";

const POLL: &str = "runtime::resource::poll_op";
const RESOURCE_UPDATE: &str = "runtime::resource::state_update";
const OPERATION_UPDATE: &str = "runtime::resource::async_op::state_update";

/// The connection between a recorder and the one registry that it records.
pub(super) struct Link {
    pub(super) recorder: Recorder,
    /// The layer that records; 0 while there is none.
    attached: AtomicU32,
    /// How many layers were added to a registry while another one recorded.
    pub(super) refused: AtomicU32,
    dispatch: Mutex<Option<WeakDispatch>>,
    /// See [`is_alone`](Self::is_alone).
    is_alone: AtomicBool,
}

impl Link {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            recorder: Recorder::new(),
            attached: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            dispatch: Mutex::new(None),
            is_alone: AtomicBool::new(false),
        })
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire) != 0
    }

    #[inline]
    fn is_recorded_by(&self, layer: u32) -> bool {
        self.attached.load(Ordering::Relaxed) == layer
    }

    /// The registry that the layer was added to, if it says so.
    pub(super) fn dispatch(&self) -> Option<Dispatch> {
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }

    /// Whether a registry has this recorder's layer.
    pub(super) fn is_in(self: &Arc<Self>, dispatch: &Dispatch) -> bool {
        dispatch.downcast_ref::<Gate>().is_some_and(|gate| Arc::ptr_eq(&gate.link, self))
    }

    /// Whether no other layer wants tokio's spans.
    #[inline]
    fn is_alone(&self) -> bool {
        self.is_alone.load(Ordering::Relaxed)
    }

    /// Whether a registry has a layer of this recorder that does not record, because another one does.
    pub(super) fn is_refused_in(self: &Arc<Self>, dispatch: &Dispatch) -> bool {
        dispatch.downcast_ref::<Gate>().is_some_and(|gate| !self.is_recorded_by(gate.number))
    }

    /// Whether a span of tokio's that is about to be created is of no use to this layer.
    fn is_unwanted(&self, metadata: &Metadata<'_>) -> bool {
        if !metadata.is_span() || !metadata.name().starts_with("runtime.") {
            return false;
        }
        match wanted(metadata) {
            Wanted::Always => !self.recorder.is_on(),
            Wanted::Inside => !self.recorder.is_on() || self.is_inside_of_lock(metadata),
            // A poll's span is in an operation's, and would hide it.
            Wanted::No => metadata.name() == POLL_LOOKALIKE.name(),
        }
    }

    /// Whether the span that is about to be created is the inside of a mutex or a read-write lock.
    fn is_inside_of_lock(&self, metadata: &Metadata<'_>) -> bool {
        self.recorder.here(|here| match span_kind(metadata) {
            Some(SpanKind::Resource) => {
                let outer = here.resource.get();
                outer.id != 0 && outer.id == here.span(0) && matches!(outer.kind, Kind::Mutex | Kind::RwLock)
            }
            _ => {
                let outer = here.operation.get();
                outer.id != 0 && outer.id == here.span(0) && outer.source.is_lock()
            }
        })
    }

    /// Whether a registry never lets the spans of locks through, whatever a layer wants.
    pub(super) fn refuses_locks(dispatch: &Dispatch) -> bool {
        dispatch.register_callsite(&LOCK_LOOKALIKE).is_never()
    }

    /// Has every callsite ask its filters again.
    pub(super) fn ask_again(&self) {
        // The calling thread may have another default; with a single registry, tracing asks the thread's default.
        match self.dispatch() {
            Some(dispatch) => {
                tracing::dispatcher::with_default(&dispatch, tracing::callsite::rebuild_interest_cache);
            }
            None => tracing::callsite::rebuild_interest_cache(),
        }
        self.look_for_others();
    }

    /// Finds out whether another layer wants tokio's spans.
    pub(super) fn look_for_others(&self) {
        let Some(dispatch) = self.dispatch() else { return };
        Here::of_any(|here| here.asking.set(true));
        let is_wanted = |metadata| !dispatch.register_callsite(metadata).is_never();
        let lookalikes = [&INSIDE_LOOKALIKE, &POLL_LOOKALIKE, &LOCK_LOOKALIKE, &TASK_LOOKALIKE];
        let is_alone = !lookalikes.into_iter().any(is_wanted);
        Here::of_any(|here| here.asking.set(false));
        self.is_alone.store(is_alone, Ordering::Relaxed);
    }
}

/// The layer that the service adds: what records, behind its filter.
///
/// tracing's filter looks a span up in the registry whenever it is entered or left, to find out whether the layer wants
/// it; that is a third of what a lock costs. This layer notes every span instead, wanted or not, and looks up nothing.
struct Installed<S> {
    filtered: Filtered<Recording, Gate, S>,
}

/// A layer that records.
pub(super) fn layer<S>(link: &Arc<Link>) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let number = next_number();
    let recording = Recording { link: Arc::clone(link), number };
    Installed { filtered: recording.with_filter(Gate { link: Arc::clone(link), number }) }
}

impl<S> Installed<S> {
    /// What it records into, if it is the one that records.
    #[inline]
    fn link(&self) -> Option<&Link> {
        let Recording { link, number } = self.filtered.inner();
        link.is_recorded_by(*number).then_some(&**link)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Installed<S> {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.filtered.on_register_dispatch(dispatch);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.filtered.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.filtered.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        let is_refused = self.link().is_some_and(|link| link.is_alone() && link.is_unwanted(metadata));
        !is_refused && self.filtered.enabled(metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.filtered.max_level_hint()
    }

    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        self.filtered.event_enabled(event, context)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.filtered.on_new_span(attributes, id, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.filtered.on_event(event, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let Some(link) = self.link() else { return };
        if link.is_alone() {
            link.recorder.here(|here| here.enter(id.into_u64()));
        } else {
            // Another layer wants tokio's inner spans; they would hide those that events belong to.
            self.filtered.on_enter(id, context);
        }
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        if let Some(link) = self.link() {
            link.recorder.here(|here| here.exit(id.into_u64()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(Link { recorder, .. }) = self.link() else { return };
        let span = id.into_u64();
        match context.metadata(&id).and_then(span_kind) {
            Some(SpanKind::Operation) => recorder.operation_was_dropped(span),
            Some(SpanKind::Resource) => {
                recorder.resources.remove(span);
            }
            Some(SpanKind::Task) => {
                recorder.tasks.remove(span);
            }
            None => {}
        }
    }

    #[expect(
        unsafe_code,
        reason = "it is how a layer tells the registry that it has a filter, and how `is_in` finds it"
    )]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        // SAFETY: the pointer is to a part of the filtered layer, which lives as long as `self`.
        unsafe { self.filtered.downcast_raw(id) }
    }
}

struct Recording {
    link: Arc<Link>,
    number: u32,
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Another layer may record from now on.
        let _ = self.link.attached.compare_exchange(self.number, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recording {
    fn on_layer(&mut self, _: &mut S) {
        let attached = &self.link.attached;
        if attached.compare_exchange(0, self.number, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.link.recorder.begin_registry();
        } else {
            self.link.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        if self.link.is_recorded_by(self.number) {
            *self.link.dispatch.lock().unwrap_or_else(PoisonError::into_inner) = Some(dispatch.downgrade());
            self.link.look_for_others();
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let recorder = &self.link.recorder;
        let span = id.into_u64();
        match span_kind(attributes.metadata()) {
            Some(SpanKind::Task) => {
                let mut fields = Spawn::default();
                attributes.record(&mut fields);
                recorder.here(|here| recorder.task_was_spawned(here, span, &fields));
            }
            Some(SpanKind::Resource) => {
                let mut fields = NewResource::default();
                attributes.record(&mut fields);
                recorder.here(|here| recorder.resource_was_created(here, span, &fields));
            }
            Some(SpanKind::Operation) => {
                let mut field = SourceField(Source::Other);
                attributes.record(&mut field);
                let parent = attributes.parent().map(Id::into_u64);
                recorder.here(|here| Recorder::operation_was_created(here, span, parent, field.0));
            }
            None => {}
        }
    }

    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        self.link.recorder.here(|here| here.enter(id.into_u64()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let recorder = &self.link.recorder;
        let target = event.metadata().target().len();
        if target == POLL.len() {
            let mut field = Ready::default();
            event.record(&mut field);
            let Some(is_ready) = field.0 else { return };
            let kind_of = |span: u64| context.metadata(&Id::from_u64(span)).and_then(span_kind);
            recorder.here(|here| recorder.was_polled(here, is_ready, kind_of));
        } else {
            recorder.here(|here| {
                if !Recorder::may_concern(here) {
                    return;
                }
                let mut update = Update::default();
                event.record(&mut update);
                if target == RESOURCE_UPDATE.len() {
                    recorder.resource_changed(here, update);
                } else {
                    recorder.operation_changed(here, update);
                }
            });
        }
    }
}

/// The kind of a span of tokio's.
fn span_kind(metadata: &Metadata<'_>) -> Option<SpanKind> {
    match metadata.name() {
        "runtime.spawn" => Some(SpanKind::Task),
        "runtime.resource" => Some(SpanKind::Resource),
        "runtime.resource.async_op" => Some(SpanKind::Operation),
        _ => None,
    }
}

/// What the filter thinks of a callsite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    No,
    Always,
    /// The inside of a lock: it depends on the lock.
    Inside,
}

fn wanted(metadata: &Metadata<'_>) -> Wanted {
    let (target, name) = (metadata.target(), metadata.name());
    if metadata.is_span() {
        return match name {
            "runtime.spawn" if target.starts_with("tokio::task") => Wanted::Always,
            "runtime.resource" | "runtime.resource.async_op" if target == INSIDE => Wanted::Inside,
            "runtime.resource" | "runtime.resource.async_op" if target.starts_with("tokio::") => Wanted::Always,
            _ => Wanted::No,
        };
    }
    let is_wanted = match target {
        // The inside says by the number of its permits whether it is ready.
        POLL => metadata.module_path() != Some(INSIDE),
        RESOURCE_UPDATE | OPERATION_UPDATE => metadata.fields().iter().any(|field| READ_FIELDS.contains(&field.name())),
        _ => false,
    };
    if is_wanted { Wanted::Always } else { Wanted::No }
}

struct Gate {
    link: Arc<Link>,
    number: u32,
}

impl Gate {
    fn is_open(&self) -> bool {
        self.link.recorder.is_on() && self.link.is_recorded_by(self.number)
    }
}

impl<S> Filter<S> for Gate {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        match wanted(metadata) {
            Wanted::No => false,
            Wanted::Always => self.is_open(),
            Wanted::Inside => self.is_open() && !self.link.is_inside_of_lock(metadata),
        }
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if !self.is_open() || Here::of_any(|here| here.asking.get()) {
            return Interest::never();
        }
        match wanted(metadata) {
            Wanted::No => Interest::never(),
            Wanted::Always => Interest::always(),
            Wanted::Inside => Interest::sometimes(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.is_open() { LevelFilter::TRACE } else { LevelFilter::OFF })
    }
}

/// A callsite that looks like tokio's to every filter. It is shown to the registry and never registered.
struct Lookalike(&'static Metadata<'static>);

macro_rules! lookalike {
    ($metadata:ident: $name:literal in $target:expr) => {
        static $metadata: Metadata<'static> = {
            static CALLSITE: Lookalike = Lookalike(&$metadata);
            tracing::metadata! {
                name: $name,
                target: $target,
                level: Level::TRACE,
                fields: &["kind", "loc.file", "loc.line", "loc.col"],
                callsite: &CALLSITE,
                kind: MetadataKind::SPAN,
            }
        };
    };
}
lookalike!(INSIDE_LOOKALIKE: "runtime.resource" in INSIDE);
lookalike!(POLL_LOOKALIKE: "runtime.resource.async_op.poll" in "tokio::util::trace");
lookalike!(LOCK_LOOKALIKE: "runtime.resource" in "tokio::sync::mutex");
lookalike!(TASK_LOOKALIKE: "runtime.spawn" in "tokio::task");

impl Callsite for Lookalike {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.0
    }
}
