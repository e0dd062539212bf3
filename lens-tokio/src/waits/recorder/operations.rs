//! Operations: when they begin to wait, what they are given meanwhile, and when they are done. Separate from the
//! [resources'](super::changes) side because an operation is polled, given permits and dropped by three parties.

use std::sync::atomic::Ordering;

use lens_core::threads;

use super::{Recorder, SpanKind, Wait};
use crate::waits::fields::{Change, Said, Source, Update};
use crate::waits::here::{self, Here};
use crate::waits::resource::{Actor, Hold};
use crate::waits::state::{Kind, Mode};

impl Recorder {
    pub(in crate::waits) fn operation_was_created(here: &Here, span: u64, parent: Option<u64>, source: Source) {
        let resource = parent.unwrap_or_else(|| here.span(0));
        here.operation.set(here::NewOperation { id: span, resource, source, wanted: source.wanted() });
    }

    /// A poll has ended: `runtime::resource::poll_op`.
    pub(in crate::waits) fn was_polled(&self, here: &Here, is_ready: bool, kind_of: impl Fn(u64) -> Option<SpanKind>) {
        let operation = here.span(0);
        if operation == 0 || threads::is_own() {
            return;
        }
        let new = here.operation.get();
        let is_new = new.id == operation;
        if is_ready {
            if is_new {
                here.operation_was_polled();
                here.operation_is_done(new.resource, new.source);
            } else if !self.waits.is_surely_absent(operation) {
                self.is_ready(here, operation);
            }
            return;
        }
        let actor = self.actor(here);
        let epoch = self.epoch();
        let was_known = self.waits.with(operation, |wait| {
            wait.actor = actor;
            wait.is_pending = true;
            if wait.epoch != epoch {
                wait.epoch = epoch;
                wait.since = self.now();
            }
        });
        here.polling.set(0);
        if was_known.is_none() {
            here.operation_was_polled();
            self.begin_wait(here, operation, is_new.then_some(new), actor, kind_of);
        }
    }

    fn is_ready(&self, here: &Here, operation: u64) {
        let is_timer = self.waits.with(operation, |wait| {
            let is_first_word = wait.source == Source::Sleep && here.polling.get() != operation;
            if is_first_word {
                // It has budget left; whether it is over comes next.
                wait.is_pending = false;
                here.polling.set(operation);
            }
            is_first_word
        });
        if is_timer == Some(false) {
            here.polling.set(0);
            if let Some(wait) = self.waits.remove(operation) {
                here.operation_is_done(wait.resource, wait.source);
                self.end_wait(&wait);
            }
        }
    }

    /// An operation is pending for the first time.
    fn begin_wait(
        &self,
        here: &Here,
        operation: u64,
        new: Option<here::NewOperation>,
        actor: Actor,
        kind_of: impl Fn(u64) -> Option<SpanKind>,
    ) {
        let mut resource = new.map_or(0, |new| new.resource);
        let mut outward = 1;
        loop {
            match here.span(outward) {
                0 => break,
                span => match kind_of(span) {
                    Some(SpanKind::Operation) => return,
                    Some(SpanKind::Resource) if outward == 1 => resource = span,
                    Some(SpanKind::Task) => break,
                    Some(SpanKind::Resource) | None => {}
                },
            }
            outward += 1;
        }
        let kind = self.resources.with(resource, |resource| {
            resource.contended += u64::from(!resource.is_shell);
            (resource.kind, resource.is_shell)
        });
        if kind.is_some_and(|(_, is_shell)| is_shell) {
            return;
        }
        let kind = kind.map(|(kind, _)| kind);
        let source = new.map(|new| new.source).or(kind.map(Source::of_kind)).unwrap_or(Source::Other);
        let kind = kind.unwrap_or_else(|| {
            resource = 0;
            source.kind()
        });
        let wanted = new.map_or(0, |new| new.wanted);
        self.add_wait(operation, Wait { kind, ..self.wait(actor, resource, source, wanted) });
    }

    fn wait(&self, actor: Actor, resource: u64, source: Source, wanted: u64) -> Wait {
        Wait {
            actor,
            resource,
            source,
            kind: Kind::Other,
            wanted,
            obtained: 0,
            since: self.now(),
            order: self.order.fetch_add(1, Ordering::Relaxed),
            epoch: self.epoch(),
            is_pending: true,
        }
    }

    fn add_wait(&self, operation: u64, wait: Wait) {
        self.waits.insert(operation, |_| wait);
    }

    fn end_wait(&self, wait: &Wait) {
        if wait.is_pending || wait.source == Source::Sleep {
            let waited = self.now().saturating_sub(wait.since);
            self.resources.with(wait.resource, |resource| resource.waited += waited);
        }
    }

    pub(in crate::waits) fn operation_was_dropped(&self, span: u64) {
        if let Some(wait) = self.waits.remove(span) {
            self.end_wait(&wait);
        }
    }

    /// `runtime::resource::async_op::state_update`, of a semaphore's inside.
    pub(in crate::waits) fn operation_changed(&self, here: &Here, update: Update) {
        match (update.said, update.change) {
            (Said::Requested(count), _) => {
                let new = here.operation.get();
                if new.id == here.span(0) {
                    here.operation.set(here::NewOperation { wanted: count, ..new });
                }
            }
            (Said::Obtained(count), Change::Add) => self.permits_were_obtained(here, count),
            _ => {}
        }
    }

    /// Permits were added to an operation: by itself, in its poll, or by whoever released them.
    fn permits_were_obtained(&self, here: &Here, count: u64) {
        let operation = here.span(0);
        if operation == 0 || operation == here.span(2) {
            // Nothing can belong to no operation. In the pool, in the operation, in the pool: it got all at once.
            return;
        }
        let actor = self.actor(here);
        let epoch = self.epoch();
        let is_own_poll = operation == here.span(1);
        let new = here.operation.get();
        if is_own_poll && new.id == operation {
            here.operation_was_polled();
            if count < new.wanted {
                let kind = self.resources.with(new.resource, |resource| {
                    resource.contended += 1;
                    resource.kind
                });
                let resource = if kind.is_some() { new.resource } else { 0 };
                let wait = self.wait(actor, resource, Source::Inside, new.wanted);
                self.add_wait(operation, Wait { kind: kind.unwrap_or(Kind::Other), obtained: count, ..wait });
            }
            return;
        }
        let known = self.waits.with(operation, |wait| {
            if is_own_poll && wait.epoch != epoch {
                // It may have been given some while nobody listened.
                wait.obtained = 0;
                wait.epoch = epoch;
                wait.since = self.now();
            }
            wait.obtained += count;
            if is_own_poll {
                wait.actor = actor;
            }
            *wait
        });
        let Some(wait) = known else { return };
        if !is_own_poll && count > 0 {
            self.hand_over(&wait, actor, count, epoch);
        }
        if wait.obtained >= wait.wanted
            && let Some(wait) = self.waits.remove(operation)
        {
            self.end_wait(&wait);
        }
    }

    /// `giver` released permits to the first in the queue.
    fn hand_over(&self, to: &Wait, giver: Actor, count: u64, epoch: u32) {
        let now = self.now();
        self.resources.with(to.resource, |resource| match resource.kind {
            Kind::Semaphore => {
                resource.release(epoch, giver, Mode::Permits, count, || now);
                let hold = Hold { actor: to.actor, mode: Mode::Permits, may_move: true, count, since: now };
                resource.acquire(epoch, hold);
            }
            Kind::Channel => resource.made_room(giver),
            _ => {}
        });
    }
}
