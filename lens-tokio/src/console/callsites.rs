//! Which callsites of tokio's are recorded. Separate because it is what keeps `console-subscriber` from aborting the
//! process: it has room for a number of callsites of each kind, and 0.5.0 panics at the first look-up after one more, in
//! destructors, too. It also keeps each callsite's description again whenever tracing asks for it again; here it is told of
//! each callsite once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::Metadata;
use tracing::callsite::Identifier;

use super::decode::WRONG;

/// What a callsite of tokio's tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Task,
    Resource,
    Operation,
    Waker,
    Poll,
    ResourceUpdate,
    OperationUpdate,
}

impl Kind {
    /// Of how many callsites `console-subscriber` can keep.
    const fn room(self) -> usize {
        match self {
            Self::Task => 8,
            Self::Waker => 16,
            _ => 32,
        }
    }
}

/// What a callsite tells, if it is worth its cost.
pub(super) fn kind(metadata: &Metadata<'_>) -> Option<Kind> {
    let target = metadata.target();
    if metadata.is_span() {
        return match metadata.name() {
            _ if !target.starts_with("tokio") => None,
            "runtime.spawn" => Some(Kind::Task),
            "runtime.resource" => Some(Kind::Resource),
            "runtime.resource.async_op" => Some(Kind::Operation),
            _ => None,
        };
    }
    match target {
        "tokio::task::waker" | "runtime::waker" => Some(Kind::Waker),
        "runtime::resource::poll_op" => Some(Kind::Poll),
        // tokio has 59 of these, most of them for what is wrong anyway.
        "runtime::resource::state_update" => {
            let is_wrong = metadata.fields().iter().any(|field| WRONG.contains(&field.name()));
            (!is_wrong).then_some(Kind::ResourceUpdate)
        }
        "runtime::resource::async_op::state_update" => Some(Kind::OperationUpdate),
        _ => None,
    }
}

/// The callsites that are recorded.
#[derive(Default)]
pub(super) struct Callsites {
    known: Mutex<HashMap<Identifier, Admission>>,
    refused: AtomicU64,
}

#[derive(Clone, Copy)]
struct Admission {
    kind: Kind,
    is_admitted: bool,
    is_told: bool,
}

impl Callsites {
    /// Whether a callsite is recorded: as long as there is room for its kind. Asked when tracing registers callsites, not
    /// for each event.
    pub(super) fn admit(&self, metadata: &'static Metadata<'static>) -> bool {
        let Some(kind) = kind(metadata) else { return false };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&metadata.callsite()) {
            return known.is_admitted;
        }
        let used = known.values().filter(|other| other.is_admitted && other.kind == kind).count();
        let is_admitted = used < kind.room();
        if !is_admitted {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        known.insert(metadata.callsite(), Admission { kind, is_admitted, is_told: false });
        is_admitted
    }

    /// Calls `tell` the first time that it is called for a callsite that is recorded; never for two callsites at once.
    pub(super) fn tell_once(&self, metadata: &'static Metadata<'static>, tell: impl FnOnce()) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get_mut(&metadata.callsite())
            && known.is_admitted
            && !std::mem::replace(&mut known.is_told, true)
        {
            tell();
        }
    }

    /// Callsites for which there was no room.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
