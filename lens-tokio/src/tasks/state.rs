//! The frozen reading of the task table: what every function of the skill is a function of, and what a capture saves.
//!
//! It has two parts. Sites and totals are read when the skill is collected; the tasks are copied when a function first
//! asks for one, because copying a million takes 20 ms and `sites()` needs none. Each part is of one instant.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use lens_core::{Cell, Reading, Rows};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::instrument::{BUILDERS, bytes};
use crate::table::Table;
use crate::table::ends::End;
use crate::table::entry::{Origin, Row};
use crate::table::slot::Slot;
use crate::task::{KnownHandle, WATCHED};

use super::awaiting::Asked;
use super::copied::Copied;
use super::place::{is_lens, place};
use super::rates::Samples;
use super::rows::{self, TaskRow};

/// All tasks, and what was counted at each spawn site. Strings are kept once a site, not once a task.
#[derive(Debug, Serialize, Deserialize)]
pub struct TasksState {
    tasks: Lazy,
    /// Where tasks wait, as far as it was asked.
    #[serde(default)]
    pub(crate) asked: Asked,
    pub(crate) sites: Vec<Site>,
    /// The names of the runtimes, by the number of their builder.
    runtimes: Vec<Option<String>>,
    pub(crate) totals: Totals,
    /// Whether bytes are counted.
    pub(crate) bytes: Reading<()>,
}

/// The tasks, copied when they are first asked for.
struct Lazy {
    /// `None` if they were read from a file.
    table: Option<&'static Table>,
    copied: OnceLock<Arc<Tasks>>,
}

/// All tasks of an instant.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tasks {
    /// The instant, in milliseconds of the table's clock.
    pub(crate) at_ms: u64,
    rows: Copied,
    /// The polls that were going on, ordered by task.
    running: Vec<Running>,
    /// The tasks that had ended last, the newest first.
    #[serde(default)]
    pub(crate) ended: Vec<Ended>,
    /// Where they were spawned, by the site's number in their origin.
    pub(crate) places: Vec<Place>,
    /// What is known of tasks' handles, ordered by task.
    #[serde(default)]
    handles: Vec<KnownHandle>,
}

/// Where tasks were spawned, and under which name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Place {
    /// `None` for the tasks of all sites for which there was no number.
    pub(crate) place: Option<String>,
    pub(crate) name: Option<String>,
    /// Whether lens itself spawns here.
    pub(crate) is_lens: bool,
}

/// A poll that was going on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) task: u64,
    /// In milliseconds of the table's clock, at the latest.
    pub(crate) started_ms: u64,
}

/// A task that had ended: its id, its origin, when in milliseconds of the table's clock, and how often it was polled.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64, u64)", into = "(u64, u64, u64, u64)")]
pub(crate) struct Ended(pub(crate) End);

impl From<Ended> for (u64, u64, u64, u64) {
    fn from(Ended(end): Ended) -> Self {
        (end.id, end.origin.bits(), end.ended_ms, end.polls)
    }
}

impl From<(u64, u64, u64, u64)> for Ended {
    fn from((id, origin, ended_ms, polls): (u64, u64, u64, u64)) -> Self {
        Self(End { id, origin: Origin::from_bits(origin), ended_ms, polls })
    }
}

/// A spawn site.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Site {
    #[serde(flatten)]
    pub(crate) at: Place,
    /// Tasks that were spawned here and have not ended.
    pub(crate) live: u64,
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
    pub(crate) polls: u64,
    pub(crate) busy_ns: u64,
    pub(crate) longest_ns: f32,
    pub(crate) allocated_bytes: u64,
    pub(crate) freed_bytes: u64,
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
    pub(crate) allocated_bytes_per_s: f64,
    pub(crate) freed_bytes_per_s: f64,
}

/// What all threads counted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
    pub(crate) running: u64,
    pub(crate) polls: u64,
    pub(crate) busy_ns: u64,
    pub(crate) unknown_ends: u64,
    pub(crate) untracked: u64,
    pub(crate) unplaced: u64,
}

impl TasksState {
    /// Reads the table as of now.
    pub(crate) fn freeze(table: &'static Table, samples: &Samples, now: Instant) -> Self {
        let counts = table.all_counts();
        let totals = Totals {
            spawned: counts.spawned,
            finished: counts.finished,
            running: table.slots.iter().map(|slot| slot.running().len() as u64).sum(),
            polls: counts.polls,
            busy_ns: counts.busy_ns,
            unknown_ends: table.slots.iter().map(|slot| slot.totals().unknown_ends).sum(),
            untracked: table.pages().untracked(),
            unplaced: table.sites.refused(),
        };
        let mut runtimes: Vec<_> = (0..=u8::MAX).map(|number| BUILDERS.name(number).map(str::to_owned)).collect();
        // Each list of tasks has a copy.
        runtimes.truncate(runtimes.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
        runtimes.shrink_to_fit();
        let tasks = Lazy { table: Some(table), copied: OnceLock::new() };
        let sites = sites(table, samples, now);
        Self { tasks, asked: Asked::live(), sites, runtimes, totals, bytes: bytes::reading() }
    }

    /// The tasks; copied now if they were not yet.
    pub(crate) fn tasks(&self) -> &Arc<Tasks> {
        self.tasks.get()
    }

    /// What a row is made from.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { tasks: self.tasks(), runtimes: &self.runtimes, bytes: &self.bytes }
    }

    /// These tasks, by their places in the copy.
    pub(crate) fn list(&self, at: Vec<u32>) -> TaskList {
        let (runtimes, bytes) = (self.runtimes.clone(), self.bytes.clone());
        TaskList { tasks: Arc::clone(self.tasks()), runtimes, bytes, at }
    }
}

/// What a task's row is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) tasks: &'a Tasks,
    runtimes: &'a [Option<String>],
    pub(crate) bytes: &'a Reading<()>,
}

impl<'a> Reader<'a> {
    /// The name of the runtime of tasks with this origin.
    pub(crate) fn runtime(self, origin: Origin) -> Option<&'a str> {
        self.runtimes.get(usize::from(origin.builder()))?.as_deref()
    }
}

/// Some of the tasks, whose rows are made when they are read.
#[derive(Debug)]
pub(crate) struct TaskList {
    tasks: Arc<Tasks>,
    runtimes: Vec<Option<String>>,
    bytes: Reading<()>,
    at: Vec<u32>,
}

impl Rows for TaskList {
    type Row<'a> = TaskRow<'a>;

    fn count(&self) -> usize {
        self.at.len()
    }

    fn row(&self, at: usize) -> Option<TaskRow<'_>> {
        let reader = Reader { tasks: &self.tasks, runtimes: &self.runtimes, bytes: &self.bytes };
        Some(TaskRow::of(reader, &self.tasks.get(*self.at.get(at)?)?))
    }

    #[inline]
    fn quick_cell(&self, at: usize, field: &str) -> Option<Cell> {
        rows::cell(&self.tasks, || self.tasks.get(*self.at.get(at)?), field)
    }

    fn quick_float(&self, at: usize, field: &str) -> Option<f64> {
        rows::float(&self.tasks, || self.tasks.get(*self.at.get(at)?), field)
    }

    fn row_bytes(&self) -> usize {
        size_of::<u32>()
    }
}

impl Tasks {
    fn copy(table: &Table) -> Self {
        let at_ms = table.clock.exact_ms();
        let polls = table.slots.iter().flat_map(Slot::running);
        let started_ms = |ms| table.clock.begun_by(ms).map_or(at_ms, |by| by.min(at_ms));
        let mut running: Vec<_> =
            polls.map(|poll| Running { task: poll.task, started_ms: started_ms(poll.started_ms) }).collect();
        running.sort_by_key(|poll| poll.task);
        let counts = table.all_counts();
        let live = usize::try_from(counts.spawned.saturating_sub(counts.finished)).unwrap_or(0);
        let mut rows = Copied::with_capacity(live, bytes::reading().is_ok());
        table.for_each(|row| rows.push(&row));
        let places = table.sites.numbers().map(|site| Place::of(table, site)).collect();
        let mut ended: Vec<_> = table.ends().into_iter().map(Ended).collect();
        ended.sort_by_key(|Ended(end)| Reverse((end.ended_ms, end.id)));
        Self { at_ms, rows, running, ended, places, handles: WATCHED.copy() }
    }

    /// Every task.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row> {
        self.rows.iter()
    }

    /// Every task's place in the copy, with the task.
    pub(crate) fn placed(&self) -> impl Iterator<Item = (u32, Row)> {
        (0..).zip(self.rows.iter())
    }

    /// The task at this place of the copy.
    #[inline]
    pub(crate) fn get(&self, at: u32) -> Option<Row> {
        self.rows.get(at as usize)
    }

    /// Where tasks with this origin were spawned.
    pub(crate) fn place(&self, origin: Origin) -> Option<&Place> {
        self.places.get(usize::from(origin.site()))
    }

    /// What is known of the task's handle.
    pub(crate) fn handle(&self, task: u64) -> Option<&KnownHandle> {
        let at = self.handles.binary_search_by_key(&task, |handle| handle.task).ok()?;
        Some(&self.handles[at])
    }

    /// The tasks that were being polled, and those whose handles are known.
    pub(crate) fn remarkable(&self) -> impl Iterator<Item = Row> {
        let is_polled = |task: &Row| self.running_since(task.id).is_some();
        self.iter().filter(move |task| is_polled(task) || self.handle(task.id).is_some())
    }

    /// When the task's poll started that was going on, at the latest.
    #[inline]
    pub(crate) fn running_since(&self, task: u64) -> Option<u64> {
        let at = self.running.binary_search_by_key(&task, |poll| poll.task).ok()?;
        Some(self.running[at].started_ms)
    }
}

impl Lazy {
    fn get(&self) -> &Arc<Tasks> {
        self.copied.get_or_init(|| {
            Arc::new(match self.table {
                Some(table) => Tasks::copy(table),
                // One that was read from a file is always filled.
                None => Tasks {
                    at_ms: 0,
                    rows: Copied::default(),
                    running: Vec::new(),
                    ended: Vec::new(),
                    places: Vec::new(),
                    handles: Vec::new(),
                },
            })
        })
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.copied.get().map(|tasks| tasks.rows.len())).finish()
    }
}

impl Serialize for Lazy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Lazy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Tasks::deserialize(deserializer).map(|tasks| Self { table: None, copied: OnceLock::from(Arc::new(tasks)) })
    }
}

impl Place {
    fn of(table: &Table, site: u16) -> Self {
        let Some(site) = table.sites.get(site) else { return Self::default() };
        Self { place: Some(place(site.place)), name: site.name.map(str::to_owned), is_lens: is_lens(site.place) }
    }

    /// Whether the place or the name contains this text.
    pub(crate) fn contains(&self, text: &str) -> bool {
        [&self.place, &self.name].into_iter().flatten().any(|known| known.contains(text))
    }
}

/// The sites of the table, those of one place and name put together.
fn sites(table: &Table, samples: &Samples, now: Instant) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    let mut known: HashMap<Place, usize> = HashMap::new();
    for number in table.sites.numbers() {
        let at = *known.entry(Place::of(table, number)).or_insert_with_key(|place| {
            sites.push(Site { at: place.clone(), ..Site::default() });
            sites.len() - 1
        });
        sites[at].add(table, samples, now, number);
    }
    sites
}

impl Site {
    fn add(&mut self, table: &Table, samples: &Samples, now: Instant, number: u16) {
        let counts = table.counts(number);
        let distributions = table.distributions(number);
        self.live += counts.spawned.saturating_sub(counts.finished);
        self.spawned += counts.spawned;
        self.finished += counts.finished;
        self.polls += counts.polls;
        self.busy_ns += counts.busy_ns;
        self.longest_ns = self.longest_ns.max(distributions.longest_ns);
        self.allocated_bytes += counts.allocated_bytes;
        self.freed_bytes += counts.freed_bytes;
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
            rates.allocated_bytes_per_s += per_s(increase.counts.allocated_bytes);
            rates.freed_bytes_per_s += per_s(increase.counts.freed_bytes);
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

#[cfg(test)]
mod tests {
    use lens_core::{Answer, Unavailable};

    use super::*;

    #[test]
    fn each_field_that_is_read_alone_is_the_rows_own() {
        let mut rows = Copied::default();
        for id in [3, 4, u64::MAX] {
            rows.push(&Row {
                id,
                parent: id - 3,
                origin: Origin::from_bits(id << 40),
                polls: 5 + id % 7,
                last_poll_ms: 11_000,
                busy_ns: 17_500_000,
                longest_ns: 1e6,
                allocated_bytes: 9,
                freed_bytes: 8,
            });
        }
        let running = vec![Running { task: 4, started_ms: 11_500 }];
        let places = vec![Place { place: Some("src/a.rs:7:5".to_owned()), name: None, is_lens: false }];
        let tasks = Tasks { at_ms: 12_000, rows, running, ended: Vec::new(), places, handles: Vec::new() };
        let bytes = Err(Unavailable::NeedsTokioUnstable);
        let list = TaskList { tasks: Arc::new(tasks), runtimes: Vec::new(), bytes, at: vec![2, 0, 1] };
        let mut quick = 0;
        for at in 0..list.count() {
            let Answer::Rows(whole) = Answer::rows(vec![list.row(at).unwrap().into_owned()]) else { panic!("rows") };
            for field in whole.fields(0) {
                for cell in
                    [list.quick_float(at, field).map(Cell::Float), list.quick_cell(at, field)].into_iter().flatten()
                {
                    quick += 1;
                    assert_eq!(Some(cell), whole.cell(0, field), "{field} of {at}");
                }
            }
        }
        assert_eq!(quick, 3 * 8);
        assert_eq!((list.quick_cell(0, "no_field"), list.quick_cell(3, "id")), (None, None));
        assert_eq!((list.quick_float(0, "no_field"), list.quick_float(3, "busy_ms")), (None, None));
    }
}
