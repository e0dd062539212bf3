//! Finds polls that last too long, over the slots that the task hooks write. Separate because this is the exact form, and
//! [`workers`](super::workers) the weak one.

use std::time::{Duration, Instant};

use lens_core::Timestamp;

use crate::instrument::{BUILDERS, TABLE};
use crate::table::entry::Row;
use crate::table::slot::{Running, Slot};
use crate::tasks::place::place;
use crate::threads;

use super::log::{Stall, Taken};
use super::looker::Taking;
use super::patience::Patience;
use super::rows::StallKind;
use super::watchdog::{Context, WatchedRuntime};
use super::workers::worker_of;
use super::{ALERT_TICK, QUIET_TICK, TICK};

/// Everything that threads poll, as of the last look.
#[derive(Debug, Default)]
pub(super) struct Polls {
    /// In the order of the slots, which are never freed.
    seen: Vec<Option<Poll>>,
}

/// One poll, from when it was first seen.
#[derive(Debug)]
struct Poll {
    running: Running,
    tid: Option<u32>,
    first_seen: Instant,
    patience: Patience,
    stall: Option<(u64, Option<Taking>)>,
}

impl Poll {
    /// A task is polled once at a time, and a thread polls one after the other: with the same start, it is the same poll,
    /// or one that started before the last look as well.
    fn is(&self, running: &Running) -> bool {
        (self.running.task, self.running.started_ms, self.running.depth)
            == (running.task, running.started_ms, running.depth)
    }
}

/// When to look again at what is a stall in `left`.
pub(super) fn look_in(left: Duration) -> Duration {
    left.clamp(ALERT_TICK, TICK)
}

impl Polls {
    /// Looks at all slots; gives in what time to look again.
    pub(super) fn look(&mut self, context: &mut Context<'_>, runtimes: &[WatchedRuntime]) -> Duration {
        let mut next = QUIET_TICK;
        for (index, slot) in TABLE.slots.iter().enumerate() {
            if index == self.seen.len() {
                self.seen.push(None);
            }
            let seen = &mut self.seen[index];
            // Of polls inside each other, the innermost is the one that the thread is in.
            let running = slot.running().into_iter().next().filter(|_| slot.thread().is_alive());
            next = next.min(match (running, &mut *seen) {
                (Some(running), Some(poll)) if poll.is(&running) => poll.again(context, slot, runtimes),
                (running, _) => {
                    let poll = running.map(|running| Poll::new(running, slot, context.now));
                    let next = if poll.is_some() { TICK } else { QUIET_TICK };
                    if let Some(before) = std::mem::replace(seen, poll) {
                        before.end(context);
                    }
                    next
                }
            });
        }
        next
    }
}

impl Poll {
    fn new(running: Running, slot: &Slot, now: Instant) -> Self {
        Self { running, tid: slot.thread().os_id(), first_seen: now, patience: Patience::default(), stall: None }
    }

    /// Gives in what time to look again.
    fn again(&mut self, context: &mut Context<'_>, slot: &Slot, runtimes: &[WatchedRuntime]) -> Duration {
        let age = context.now.saturating_duration_since(self.first_seen);
        let young = context.threshold.saturating_sub(age);
        if self.patience.is_asked() && !young.is_zero() {
            return look_in(young);
        }
        let missing = context.missing(&mut self.patience, self.tid, context.threshold);
        let left = missing.max(young);
        if self.stall.is_none() && !left.is_zero() {
            return look_in(left);
        }
        let at = Place::of(slot, &self.running, runtimes);
        if self.stall.is_none() {
            let site = self.running.site.and_then(|site| TABLE.sites.get(site));
            let id = context.log().open(Stall {
                id: 0,
                kind: at.kind,
                task: Some(self.running.task),
                spawn_place: site.map(|site| place(site.place)),
                is_first_poll: is_first(self.running.task),
                runtime: at.runtime.and_then(|runtime| runtime.label.clone()),
                worker: at.worker,
                tid: self.tid,
                thread: self.tid.and_then(threads::name),
                started_at: Timestamp::now().minus(self.first_seen.elapsed()),
                duration: age,
                given: None,
                ended: None,
                stack: Taken::NotYet,
            });
            self.stall = Some((id, self.tid.map(Taking::new)));
        }
        let Some((id, taking)) = &mut self.stall else { return TICK };
        let (taken, next) = context.looker.go_on(taking);
        let mut log = context.log();
        let Some(stall) = log.get(*id) else { return next };
        stall.kind = at.kind;
        stall.worker = at.worker;
        stall.duration = age;
        stall.given = self.patience.given;
        if let Some(taken) = taken {
            stall.stack = taken;
        }
        next
    }

    fn end(self, context: &mut Context<'_>) {
        match self.stall {
            Some((id, _)) => context.log().close(id, context.now),
            None if context.now.saturating_duration_since(self.first_seen) >= context.threshold
                && self.patience.was_starved() =>
            {
                context.log().starved_total += 1;
            }
            None => {}
        }
    }
}

/// Where a thread is that polls a task.
struct Place<'a> {
    kind: StallKind,
    runtime: Option<&'a WatchedRuntime>,
    worker: Option<u32>,
}

impl<'a> Place<'a> {
    fn of(slot: &Slot, running: &Running, runtimes: &'a [WatchedRuntime]) -> Self {
        let runtime = runtime_of(slot, running, runtimes);
        let thread = slot.thread().std_id();
        let told = runtime.zip(thread).and_then(|(runtime, thread)| worker_of(&runtime.metrics, thread).ok());
        let worker = match told {
            Some(worker) => worker.and_then(|worker| u32::try_from(worker).ok()),
            None => slot.thread().worker(),
        };
        // A thread that is no worker of its runtime has handed its worker over (`block_in_place`). Polls inside of that
        // belong to another runtime, and stall it.
        let is_handed_over = told == Some(None) && running.depth == 1;
        let is_in_place = is_handed_over && runtime.is_some_and(|runtime| runtime.is_multi_thread);
        let kind = if is_in_place { StallKind::BlockInPlace } else { StallKind::Poll };
        Self { kind, runtime, worker }
    }
}

/// The runtime of the task that a thread polls: that of its builder, the one that the thread is a worker of, or what the
/// thread's hooks remember, which may have driven another one since.
fn runtime_of<'a>(slot: &Slot, running: &Running, runtimes: &'a [WatchedRuntime]) -> Option<&'a WatchedRuntime> {
    let of = |id: u64| runtimes.iter().find(|runtime| runtime.id == id);
    let builder = row_of(running.task).map(|row| row.origin.builder());
    if let Some(id) = builder.and_then(|builder| BUILDERS.runtime(builder)) {
        return of(id);
    }
    let thread = slot.thread().std_id();
    let is_worker = |runtime: &&WatchedRuntime| {
        thread.is_some_and(|thread| worker_of(&runtime.metrics, thread).is_ok_and(|worker| worker.is_some()))
    };
    let mut driven = runtimes.iter().filter(is_worker);
    match (driven.next(), driven.next()) {
        (None, _) => of(slot.thread().runtime()?),
        (only, None) => only,
        // It drove several in turn.
        (Some(_), Some(_)) => None,
    }
}

/// What the table has of a task that has not ended, without what threads have in tallies of one that moves.
fn row_of(task: u64) -> Option<Row> {
    TABLE.pages().find(task)?.read().map(|(row, _)| row).filter(|row| row.id == task)
}

/// Whether the task is in its first poll; not known if it has ended meanwhile.
fn is_first(task: u64) -> Option<bool> {
    Some(row_of(task)?.polls <= 1)
}
