//! Turns what the layer recorded into a [`State`]. Separate because it runs in lens's threads: it copies one shard after
//! the other, and looks twice.
//!
//! The shards are copied at different times, so one copy may show a wait and a hold that never existed together. What is
//! in two copies, one begun after the other was done, existed at the moment between the two: all of it at once. Those
//! waits and holds are confirmed, and only they can be a deadlock.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::time::Duration;

use lens_core::time::millis;

use super::Load;
use super::recorder::{ALL, Recorder, Wait};
use super::resource::{Actor, Hold, NOBODY, THREAD};
use super::state::{self, Kind, Party, Site, State};

/// How many waits a [`State`] lists; the oldest are kept, those for time last.
pub const MAX_LISTED_WAITS: usize = 4096;

/// How many resources a [`State`] lists that are held and not waited for.
pub const MAX_LISTED_RESOURCES: usize = 2048;

/// The number and age of what is waited for, timers left out.
pub(super) fn load(recorder: &Recorder) -> Load {
    let epoch = recorder.epoch();
    let mut waiting = 0;
    let mut oldest = u64::MAX;
    recorder.waits.each(|_, wait| {
        if wait.is_pending && wait.epoch == epoch && !wait.kind.is_timer() {
            waiting += 1;
            oldest = oldest.min(wait.since);
        }
    });
    Load { waiting, longest: Duration::from_nanos(recorder.now().saturating_sub(oldest)) }
}

/// Everything that is waited for or held now.
pub(super) fn state(recorder: &Recorder) -> State {
    let before = Copy::of(recorder);
    let mut now = Copy::of(recorder);
    now.confirm(&before);
    let at = recorder.now();
    let age = |since: u64| millis(Duration::from_nanos(at.saturating_sub(since)));

    let listed = now.waits.len().min(MAX_LISTED_WAITS);
    let left_out = now.waits.len() - listed;
    now.waits.sort_unstable_by_key(|seen| (seen.wait.kind.is_timer(), seen.wait.order));
    now.waits.truncate(listed);
    now.waits.sort_unstable_by_key(|seen| seen.wait.order);

    let numbers: HashMap<u64, u64> = now.resources.iter().map(|seen| (seen.span, seen.number)).collect();
    let waits: Vec<_> = now
        .waits
        .iter()
        .map(|Waiting { wait, is_confirmed, .. }| state::Wait {
            party: wait.actor,
            operation: wait.source.operation(wait.kind),
            kind: wait.kind,
            resource: numbers.get(&wait.resource).copied(),
            wanted: (wait.wanted != 0 && wait.wanted != ALL).then_some(wait.wanted),
            obtained: wait.obtained,
            waited_ms: age(wait.since),
            is_confirmed: *is_confirmed,
        })
        .collect();
    let resources: Vec<_> = now.resources.iter().map(|seen| seen.to_state(recorder, age)).collect();
    State {
        on_for_ms: age(recorder.epoch_since()),
        is_whole: !recorder.was_off(),
        left_out_count: left_out as u64,
        resources_left_out_count: now.left_out,
        sites: now.sites(recorder),
        parties: parties(recorder, &waits, &resources),
        waits,
        resources,
        dropped_total: recorder.dropped(),
    }
}

/// What one walk over the shards saw.
struct Copy {
    waits: Vec<Waiting>,
    resources: Vec<Seen>,
    /// Held, but past the cap.
    left_out: u64,
    /// Of every resource: kind, place, whether it is held, acquired, contended, waited.
    all: Vec<(Kind, u32, bool, u64, u64, u64)>,
}

struct Waiting {
    span: u64,
    wait: Wait,
    is_confirmed: bool,
}

struct Seen {
    span: u64,
    number: u64,
    kind: Kind,
    place: u32,
    creator: Actor,
    capacity: u64,
    is_known: bool,
    foreign: u64,
    receiver: Option<Actor>,
    holds: Vec<(Hold, bool)>,
}

impl Copy {
    fn of(recorder: &Recorder) -> Self {
        let epoch = recorder.epoch();
        let mut waits = Vec::with_capacity(recorder.waits.len() + 64);
        recorder.waits.each(|span, wait| {
            if wait.is_pending && wait.epoch == epoch {
                waits.push(Waiting { span, wait: *wait, is_confirmed: false });
            }
        });
        let awaited: HashSet<u64> = waits.iter().map(|seen| seen.wait.resource).collect();
        // A hand-over to a wait that found no room is not seen.
        let all_waits_are_seen = recorder.waits.dropped() == 0;
        let mut resources = Vec::with_capacity(awaited.len() + 64);
        let mut all = Vec::with_capacity(recorder.resources.len() + 64);
        let mut left_out = 0;
        recorder.resources.each(|span, resource| {
            if resource.is_shell {
                return;
            }
            let holders = resource.holders(epoch);
            all.push((
                resource.kind,
                resource.place,
                !holders.is_empty(),
                resource.acquired,
                resource.contended,
                resource.waited,
            ));
            let is_awaited = awaited.contains(&span);
            if !is_awaited && holders.is_empty() {
                return;
            }
            if !is_awaited && resources.len() >= MAX_LISTED_RESOURCES {
                left_out += 1;
                return;
            }
            resources.push(Seen {
                span,
                number: resource.number,
                kind: resource.kind,
                place: resource.place,
                creator: resource.creator,
                capacity: resource.capacity,
                is_known: resource.is_known(epoch) && (all_waits_are_seen || resource.kind != Kind::Semaphore),
                foreign: resource.foreign,
                receiver: resource.receiver(),
                holds: holders.iter().map(|hold| (*hold, false)).collect(),
            });
        });
        Self { waits, resources, left_out, all }
    }

    /// Confirms what was also in the copy before.
    fn confirm(&mut self, before: &Self) {
        let waits: HashSet<_> = before.waits.iter().map(|seen| (seen.span, seen.wait.order)).collect();
        for seen in &mut self.waits {
            seen.is_confirmed = waits.contains(&(seen.span, seen.wait.order));
        }
        let resources: HashMap<_, _> = before.resources.iter().map(|seen| (seen.number, &seen.holds)).collect();
        for seen in &mut self.resources {
            let Some(before) = resources.get(&seen.number) else { continue };
            for (hold, is_confirmed) in &mut seen.holds {
                let is_same = |held: &Hold| (held.actor, held.mode, held.since) == (hold.actor, hold.mode, hold.since);
                *is_confirmed = before.iter().any(|(held, _)| is_same(held));
            }
        }
    }

    /// All resources by the place that created them.
    fn sites(&self, recorder: &Recorder) -> Vec<Site> {
        let mut sites: HashMap<(Kind, u32), Site> = HashMap::new();
        for &(kind, place, is_held, acquired, contended, waited) in &self.all {
            let site = sites.entry((kind, place)).or_insert_with(|| Site {
                kind,
                place: recorder.places.text(place).as_deref().map(str::to_owned),
                count: 0,
                held_count: 0,
                acquired_total: 0,
                contended_total: 0,
                waited_ms: 0.0,
            });
            site.count += 1;
            site.held_count += u64::from(is_held);
            site.acquired_total += acquired;
            site.contended_total += contended;
            site.waited_ms += millis(Duration::from_nanos(waited));
        }
        let mut sites: Vec<_> = sites.into_values().collect();
        sites.sort_unstable_by(|one, other| (one.kind, &one.place).cmp(&(other.kind, &other.place)));
        sites
    }
}

impl Seen {
    fn to_state(&self, recorder: &Recorder, age: impl Fn(u64) -> f64) -> state::Resource {
        state::Resource {
            number: self.number,
            kind: self.kind,
            place: recorder.places.text(self.place).as_deref().map(str::to_owned),
            creator: (self.creator != NOBODY).then_some(self.creator),
            permits: (self.capacity != 0).then_some(self.capacity),
            is_known: self.is_known,
            foreign_total: self.foreign,
            holds: self
                .holds
                .iter()
                .map(|(hold, is_confirmed)| state::Hold {
                    party: hold.actor,
                    mode: hold.mode,
                    count: hold.count,
                    held_ms: age(hold.since),
                    may_move: hold.may_move,
                    is_confirmed: *is_confirmed,
                })
                .collect(),
            receiver: self.receiver,
        }
    }
}

/// The tasks and threads that `waits` and `resources` speak of.
fn parties(recorder: &Recorder, waits: &[state::Wait], resources: &[state::Resource]) -> Vec<Party> {
    let holders = resources.iter().flat_map(|resource| {
        let holders = resource.holds.iter().map(|hold| hold.party);
        holders.chain(resource.receiver).chain(resource.creator)
    });
    let keys: HashSet<u64> = waits.iter().map(|wait| wait.party).chain(holders).collect();
    let mut parties: HashMap<u64, Party> = HashMap::with_capacity(keys.len());
    for &key in &keys {
        let task = (key & THREAD == 0).then_some(key);
        parties.insert(key, Party { key, task, ..Party::default() });
    }
    let mut known = Vec::new();
    recorder.tasks.each(|_, task| {
        if keys.contains(&task.id) {
            known.push((task.id, task.place, task.name.clone()));
        }
    });
    for thread in recorder.threads.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Some(party) = parties.get_mut(&thread.actor) {
            party.thread = Some(thread.name.as_deref().unwrap_or("").to_owned());
            known.push((thread.actor, thread.place, None));
        }
    }
    for (key, place, name) in known {
        if let Some(party) = parties.get_mut(&key) {
            party.place = recorder.places.text(place).as_deref().map(str::to_owned);
            party.name = name.map(String::from);
        }
    }
    let mut parties: Vec<_> = parties.into_values().collect();
    parties.sort_unstable_by_key(|party| party.key);
    parties
}
