//! The frozen copy of the task table: what every function of the skill is a function of, and what a capture saves.

use std::collections::HashMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::instrument::BUILDERS;
use crate::table::Table;
use crate::table::entry::{Origin, Row};

use super::place::{is_lens, place};
use super::rates::Samples;

/// All tasks of an instant. Strings are kept once a site, not once a task.
#[derive(Debug, Serialize, Deserialize)]
pub struct TasksState {
    /// The instant, in milliseconds of the table's clock.
    pub(crate) at_ms: u64,
    pub(crate) tasks: Vec<Task>,
    /// The polls that were going on, ordered by task.
    pub(crate) running: Vec<Running>,
    pub(crate) sites: Vec<Site>,
    /// Which of the sites a number of a task's origin means: several numbers may be one place.
    pub(crate) site_of: Vec<u16>,
    /// The names of the runtimes, by the number of their builder.
    pub(crate) runtimes: Vec<Option<String>>,
    pub(crate) totals: Totals,
}

/// A live task. Eight numbers on the wire: there may be a million of them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub(crate) struct Task(pub(crate) Row);

type Wire = (u64, u64, u64, u64, u64, u64, f32, u64);

impl From<Task> for Wire {
    fn from(Task(row): Task) -> Self {
        (
            row.id,
            row.parent,
            row.origin.bits(),
            row.polls,
            row.last_poll_ms,
            row.busy_ns,
            row.longest_ns,
            row.allocated_bytes,
        )
    }
}

impl From<Wire> for Task {
    fn from((id, parent, origin, polls, last_poll_ms, busy_ns, longest_ns, allocated_bytes): Wire) -> Self {
        let origin = Origin::from_bits(origin);
        Self(Row { id, parent, origin, polls, last_poll_ms, busy_ns, longest_ns, allocated_bytes })
    }
}

/// A poll that was going on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) task: u64,
    pub(crate) started_ms: u64,
}

/// A spawn site.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Site {
    /// `None` for the tasks of all sites for which there was no number.
    pub(crate) place: Option<String>,
    pub(crate) name: Option<String>,
    /// Whether lens itself spawns here.
    pub(crate) is_lens: bool,
    /// Tasks of the copy that were spawned here.
    pub(crate) live: u64,
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
    pub(crate) polls: u64,
    pub(crate) busy_ns: u64,
    pub(crate) longest_ns: f32,
    pub(crate) allocated_bytes: u64,
    pub(crate) poll_times: Vec<u64>,
    pub(crate) lifetimes: Vec<u64>,
    pub(crate) rates: Option<Rates>,
}

/// What happened at a site in the last seconds, per second.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rates {
    pub(crate) spawned_per_s: f64,
    pub(crate) finished_per_s: f64,
    pub(crate) polls_per_s: f64,
    pub(crate) busy_ms_per_s: f64,
}

/// What all threads counted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
    pub(crate) polls: u64,
    pub(crate) busy_ns: u64,
    pub(crate) unknown_ends: u64,
    pub(crate) untracked: u64,
    pub(crate) unplaced: u64,
}

impl TasksState {
    /// Copies the table as of now.
    pub(crate) fn freeze(table: &Table, samples: &Samples, now: Instant) -> Self {
        let at_ms = table.clock.exact_ms();
        let mut totals =
            Totals { untracked: table.pages().untracked(), unplaced: table.sites.refused(), ..Totals::default() };
        let mut running = Vec::new();
        for slot in table.slots.iter() {
            let counts = slot.totals();
            totals.finished += counts.finished;
            totals.spawned += counts.spawned;
            totals.polls += counts.polls;
            totals.busy_ns += counts.busy_ns;
            totals.unknown_ends += counts.unknown_ends;
            running.extend(
                slot.running().into_iter().map(|poll| Running { task: poll.task, started_ms: poll.started_ms }),
            );
        }
        running.sort_by_key(|poll| poll.task);

        let live = usize::try_from(totals.spawned.saturating_sub(totals.finished)).unwrap_or(0);
        let mut tasks = Vec::with_capacity(live);
        let mut live_at: Vec<u64> = vec![0; table.sites.numbers().count()];
        table.for_each(|row| {
            let site = usize::from(row.origin.site());
            // A site that is newer than this copy.
            if site >= live_at.len() {
                live_at.resize(site + 1, 0);
            }
            live_at[site] += 1;
            tasks.push(Task(row));
        });
        let runtimes = (0..=u8::MAX).map(|number| BUILDERS.name(number).map(str::to_owned)).collect();
        let (sites, site_of) = sites(table, samples, now, &live_at);
        Self { at_ms, tasks, running, sites, site_of, runtimes, totals }
    }

    /// The site of a task.
    pub(crate) fn site(&self, task: &Row) -> Option<&Site> {
        self.sites.get(usize::from(*self.site_of.get(usize::from(task.origin.site()))?))
    }

    /// The name of a task's runtime.
    pub(crate) fn runtime(&self, task: &Row) -> Option<&str> {
        self.runtimes.get(usize::from(task.origin.builder()))?.as_deref()
    }

    /// When the task's poll started that was going on.
    pub(crate) fn running_since(&self, task: u64) -> Option<u64> {
        let at = self.running.binary_search_by_key(&task, |poll| poll.task).ok()?;
        Some(self.running[at].started_ms)
    }
}

/// The sites of the table, those of one place and name put together, and which of them each number means.
fn sites(table: &Table, samples: &Samples, now: Instant, live: &[u64]) -> (Vec<Site>, Vec<u16>) {
    let mut sites: Vec<Site> = Vec::new();
    let mut known: HashMap<(Option<String>, Option<&'static str>), u16> = HashMap::new();
    let mut site_of = Vec::with_capacity(live.len());
    for (number, &live) in (0u16..).zip(live) {
        let site = table.sites.get(number);
        let key = (site.map(|site| place(site.place)), site.and_then(|site| site.name));
        let at = *known.entry(key).or_insert_with_key(|(place, name)| {
            sites.push(Site {
                place: place.clone(),
                name: name.map(str::to_owned),
                is_lens: site.is_some_and(|site| is_lens(site.place)),
                ..Site::default()
            });
            u16::try_from(sites.len() - 1).unwrap_or(u16::MAX)
        });
        site_of.push(at);
        sites[usize::from(at)].add(table, samples, now, number, live);
    }
    (sites, site_of)
}

impl Site {
    fn add(&mut self, table: &Table, samples: &Samples, now: Instant, number: u16, live: u64) {
        let counts = table.counts(number);
        let distributions = table.distributions(number);
        self.live += live;
        self.spawned += counts.spawned;
        self.finished += counts.finished;
        self.polls += counts.polls;
        self.busy_ns += counts.busy_ns;
        self.longest_ns = self.longest_ns.max(distributions.longest_ns);
        self.allocated_bytes += distributions.allocated_bytes;
        add_buckets(&mut self.poll_times, &distributions.poll_times);
        add_buckets(&mut self.lifetimes, &distributions.lifetimes);
        if let Some(increase) = samples.increase(number, now, &counts) {
            let seconds = increase.over.as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "rates of ten seconds")]
            let per_s = |count: u64| count as f64 / seconds;
            let rates = self.rates.get_or_insert_default();
            rates.spawned_per_s += per_s(increase.counts.spawned);
            rates.finished_per_s += per_s(increase.counts.finished);
            rates.polls_per_s += per_s(increase.counts.polls);
            rates.busy_ms_per_s += per_s(increase.counts.busy_ns) / 1e6;
        }
    }
}

/// Adds a distribution, without the empty buckets at its end.
fn add_buckets(sum: &mut Vec<u64>, buckets: &[u64]) {
    let used = buckets.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
    if sum.len() < used {
        sum.resize(used, 0);
    }
    sum.iter_mut().zip(buckets).for_each(|(sum, count)| *sum += count);
}
