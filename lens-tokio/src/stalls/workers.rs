//! Finds workers that make no progress, over tokio's own counters: what there is without task hooks, and for what the
//! hooks do not see (the future of `block_on`, a `LocalSet`). Separate because it is the weak form: it names no task, and
//! calls nothing blocked.
//!
//! A worker publishes its counters when it parks and every 61 polls. One that is not parked (an even count) and publishes
//! nothing for a while is in one long poll, or in a few long ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lens_core::{Reading, Timestamp};
use tokio::runtime::RuntimeMetrics;

use crate::flavour::threads::worker_thread;
use crate::instrument::{TABLE, number_of};
use crate::stack::Resolved;
use crate::table::slot::{Slot, Thread};

use super::log::{Stall, Taken};
use super::looker::Taking;
use super::patience::Patience;
use super::polls::look_in;
use super::rows::{StallKind, is_in_a_runtime};
use super::watchdog::{Context, WatchedRuntime};
use super::{ALERT_TICK, NO_PROGRESS, QUIET_TICK, TICK};

/// All workers, as of the last look.
#[derive(Debug, Default)]
pub(super) struct Workers {
    seen: HashMap<(u64, usize), Worker>,
}

/// One worker, from when it last changed.
#[derive(Debug)]
struct Worker {
    counters: Counters,
    since: Instant,
    looked: Instant,
    patience: Patience,
    /// Whether somebody was sure to drive the runtime at the last look.
    is_driven: bool,
    doubt: Doubt,
    stall: Option<(u64, Option<Taking>)>,
}

/// Whether the thread drives the runtime at all, where only its stack can tell.
#[derive(Debug)]
enum Doubt {
    NotAsked,
    Taking(Taking),
    /// The stack is there, and its functions are being looked up.
    Named(Arc<Resolved>),
    /// It is elsewhere, or nobody can tell.
    Elsewhere,
}

/// What changes whenever a worker moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    parks_and_unparks: u64,
    busy: Duration,
    /// Polls of the worker's thread, where its hooks count them.
    polls: u64,
}

/// Which worker of a runtime a thread is, by the thread's number. The worker of a runtime of one thread is the thread that
/// drove it last.
///
/// # Errors
///
/// tokio tells only with `--cfg tokio_unstable`.
pub(super) fn worker_of(metrics: &RuntimeMetrics, thread: u64) -> Reading<Option<usize>> {
    for worker in 0..metrics.num_workers() {
        if worker_thread(metrics, worker)?.is_some_and(|is| number_of(&is) == thread) {
            return Ok(Some(worker));
        }
    }
    Ok(None)
}

impl Workers {
    /// Looks at all workers; gives in what time to look again.
    pub(super) fn look(&mut self, context: &mut Context<'_>, runtimes: &[WatchedRuntime]) -> Duration {
        let mut next = QUIET_TICK;
        for runtime in runtimes {
            let metrics = &runtime.metrics;
            for index in 0..metrics.num_workers() {
                let slot = slot_of(runtime, index);
                let counters = Counters {
                    parks_and_unparks: metrics.worker_park_unpark_count(index),
                    busy: metrics.worker_total_busy_duration(index),
                    polls: slot.map_or(0, |slot| slot.totals().polls),
                };
                // A poll that hooks see is seen as one.
                let is_seen = slot.is_some_and(|slot| !slot.running().is_empty());
                let is_active = counters.parks_and_unparks.is_multiple_of(2) && !is_seen;
                next = next.min(self.saw(context, runtime, index, slot, counters, is_active));
            }
        }
        let now = context.now;
        let gone = self.seen.extract_if(|_, worker| worker.looked != now);
        for (_, worker) in gone {
            worker.end(context);
        }
        next
    }

    fn saw(
        &mut self,
        context: &mut Context<'_>,
        runtime: &WatchedRuntime,
        index: usize,
        slot: Option<&Slot>,
        counters: Counters,
        is_active: bool,
    ) -> Duration {
        let key = (runtime.id, index);
        let worker = self.seen.entry(key).or_insert_with(|| Worker::new(counters, context.now));
        worker.looked = context.now;
        if !is_active || worker.counters != counters {
            let before = std::mem::replace(worker, Worker::new(counters, context.now));
            before.end(context);
            return if is_active { TICK } else { QUIET_TICK };
        }
        worker.again(context, runtime, index, slot)
    }
}

impl Worker {
    fn new(counters: Counters, now: Instant) -> Self {
        let patience = Patience::default();
        let (doubt, stall) = (Doubt::NotAsked, None);
        Self { counters, since: now, looked: now, patience, is_driven: true, doubt, stall }
    }

    /// Gives in what time to look again.
    fn again(
        &mut self,
        context: &mut Context<'_>,
        runtime: &WatchedRuntime,
        index: usize,
        slot: Option<&Slot>,
    ) -> Duration {
        let age = context.now.saturating_duration_since(self.since);
        if age < 2 * TICK {
            return TICK;
        }
        let was_driven = std::mem::replace(&mut self.is_driven, runtime.is_surely_driven());
        if !was_driven && self.is_driven && self.stall.is_none() {
            // What it did not do until now was no stall, for all that is known.
            *self = Self::new(self.counters, context.now);
            return TICK;
        }
        if !self.is_driven && self.doubt.rests() {
            return QUIET_TICK;
        }
        let long = NO_PROGRESS.max(context.threshold);
        let tid = slot.and_then(|slot| slot.thread().os_id());
        let missing = context.missing(&mut self.patience, tid, long / 2);
        if self.stall.is_none() {
            let left = missing.max(long.saturating_sub(age));
            if !left.is_zero() {
                return look_in(left);
            }
            if !self.is_driven {
                let thread = slot.filter(|slot| slot.thread().runtime() == Some(runtime.id));
                if let Some(next) = self.doubt.look(context, thread.and(tid)) {
                    return next;
                }
            }
            let (stack, taking) = match (&self.doubt, tid) {
                (Doubt::Named(stack), _) => (Taken::Stack(Arc::clone(stack)), None),
                (_, Some(tid)) => (Taken::NotYet, Some(Taking::new(tid))),
                (_, None) => (context.looker.suspects(is_slots), None),
            };
            let id = context.log().open(Stall {
                id: 0,
                kind: StallKind::NoProgress,
                task: None,
                spawn_place: None,
                is_first_poll: None,
                runtime: runtime.label.clone(),
                worker: u32::try_from(index).ok(),
                tid,
                thread: tid.and_then(crate::threads::name),
                started_at: Timestamp::now().minus(self.since.elapsed()),
                duration: age,
                given: None,
                ended: None,
                stack,
            });
            self.stall = Some((id, taking));
        }
        let Some((id, taking)) = &mut self.stall else { return TICK };
        let (taken, next) = context.looker.go_on(taking);
        let mut log = context.log();
        if let Some(stall) = log.get(*id) {
            stall.duration = age;
            stall.given = self.patience.given;
            if let Some(taken) = taken {
                stall.stack = taken;
            }
        }
        next
    }

    fn end(self, context: &mut Context<'_>) {
        match self.stall {
            Some((id, _)) => context.log().close(id, context.now),
            None if context.now.saturating_duration_since(self.since) >= context.threshold
                && self.patience.was_starved() =>
            {
                context.log().starved_total += 1;
            }
            None => {}
        }
    }
}

impl Doubt {
    /// Whether there is nothing to be found out, now or at all.
    fn rests(&self) -> bool {
        match self {
            Self::Elsewhere => true,
            Self::Taking(taking) => taking.is_resting(),
            Self::NotAsked | Self::Named(_) => false,
        }
    }

    /// Goes on to find out, and gives in what time to look again unless the thread drives a runtime.
    fn look(&mut self, context: &mut Context<'_>, tid: Option<u32>) -> Option<Duration> {
        match self {
            Self::NotAsked => *self = tid.map_or(Self::Elsewhere, |tid| Self::Taking(Taking::new(tid))),
            Self::Taking(taking) => match context.looker.take(taking) {
                Some(Taken::Stack(stack)) => *self = Self::Named(stack),
                // One that could not be taken is tried again.
                _ => return Some(taking.next()),
            },
            Self::Named(stack) => match stack.frames() {
                Some(frames) if is_in_a_runtime(frames) => return None,
                Some(_) => *self = Self::Elsewhere,
                None => {}
            },
            Self::Elsewhere => {}
        }
        Some(if matches!(self, Self::Taking(_)) { ALERT_TICK } else { TICK })
    }
}

/// The slot of the thread that is this worker: as tokio tells, or else as its hooks remember.
fn slot_of(runtime: &WatchedRuntime, index: usize) -> Option<&'static Slot> {
    let mut alive = TABLE.slots.iter().filter(|slot| slot.thread().is_alive());
    if let Ok(thread) = worker_thread(&runtime.metrics, index) {
        let number = number_of(&thread?);
        return alive.find(|slot| slot.thread().std_id() == Some(number));
    }
    let worker = u32::try_from(index).ok();
    let is_worker = |thread: &Thread| thread.runtime() == Some(runtime.id) && thread.worker() == worker;
    // A thread that handed its worker over keeps its number until it parks again, so there may be two.
    let mut found = alive.filter(|slot| is_worker(slot.thread()));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Whether it is known what the thread is.
fn is_slots(tid: u32) -> bool {
    TABLE.slots.iter().any(|slot| slot.thread().is_alive() && slot.thread().os_id() == Some(tid))
}
