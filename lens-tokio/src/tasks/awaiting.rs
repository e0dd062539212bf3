//! Where tasks wait: asked of the live process when a function first wants to know, and kept with the state, so that a
//! capture answers the same question twice alike. Separate from the other questions because it acts on the service.

mod frames;
mod running;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lens_core::{CallError, Reading, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flavour::trace;
use crate::stack::{Resolved, Stack, StackReader, Symbolizer};
use crate::table::entry::Row;
use crate::trees::{self, Busy, SEATS, Told};

use super::rows::{Owner, TaskRow, TaskState};
use super::state::TasksState;
use frames::{Tree, waits_at};

/// The most tasks of one group that are named.
pub const MAX_NAMED: usize = 20;

/// The most tasks that are asked at once, whatever the argument `limit` says.
pub const MAX_ASKED: u32 = 10_000;

/// How long the functions of the stacks are waited for. The first time, line tables have to be read.
const RESOLVE: Duration = Duration::from_millis(400);

/// Which tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Awaiting {
    /// Only the task with this id.
    id: Option<u64>,
    /// Only tasks whose spawn place or name contains this text: `"src/cart.rs"`, `"checkout/"`.
    site: Option<String>,
    /// How many tasks to look at, oldest first; 10000 at most. Each of them that can be asked is polled two more times.
    limit: u32,
}

impl Default for Awaiting {
    fn default() -> Self {
        Self { id: None, site: None, limit: 1000 }
    }
}

/// Tasks of one spawn place that wait at the same places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AwaitingRow {
    /// How many tasks.
    pub count: u64,
    /// Whether they wait, or a thread polls them.
    pub state: TaskState,
    /// Where they were spawned: `"src/cart.rs:41:9"`.
    pub place: Option<String>,
    /// The name that the service gave them, if any.
    pub name: Option<String>,
    /// Whose they are.
    pub owner: Owner,
    /// The ids of the oldest, 20 at most.
    pub tasks: Vec<u64>,
    /// Time since the last poll of the one that has waited longest; null while running.
    pub idle_ms: Option<f64>,
    /// The size of the oldest one's future, which each task of the group takes at least; null for what cannot be asked.
    /// Above 16 KiB tokio moves it to the heap, and a few KiB are worth a look: everything that lives across an await is
    /// in it.
    pub future_bytes: Option<u64>,
    /// The innermost line of the service's own code in each branch: where to look first.
    pub awaits: Vec<String>,
    /// The functions from the task's own down to where it waits. A `join!` or `select!` has several branches.
    pub tree: Vec<TreeFrame>,
    /// Why there is no tree, or what is not certain about it.
    pub note: Option<String>,
}

/// A function in a tree; those that it calls follow, one deeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeFrame {
    /// How deep it is; 0 is outermost.
    pub depth: u32,
    /// The function's path: `"shop::cart::reserve::{{closure}}"`, for the body of an async function. Of one that a release
    /// build inlines only the last part is known, `"{async_fn#0}"`: go by the place.
    pub function: String,
    /// The line that awaits or calls: `"src/cart.rs:41"`; null without line tables.
    pub place: Option<String>,
}

/// What was asked of a state so far, with the answers.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Whether the process can be asked; a state that was read from a file answers what it was asked before.
    is_live: bool,
    answers: Mutex<Vec<(Awaiting, Vec<AwaitingRow>)>>,
}

impl Asked {
    pub(crate) fn live() -> Self {
        Self { is_live: true, ..Self::default() }
    }
}

impl Serialize for Asked {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { is_live: false, answers: Mutex::new(Vec::deserialize(deserializer)?) })
    }
}

/// Where the tasks wait, grouped; the largest groups first.
pub(crate) fn awaiting(state: &TasksState, arguments: Awaiting) -> Result<Vec<AwaitingRow>, CallError> {
    let mut answers = state.asked.answers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, rows)) = answers.iter().find(|(asked, _)| *asked == arguments) {
        return Ok(rows.clone());
    }
    let unavailable = |reason| CallError::Unavailable { subject: "`tasks.awaiting`".to_owned(), reason };
    if !state.asked.is_live {
        return Err(unavailable(Unavailable::NotInCapture {
            what: "the answer to a question that was not asked before it was saved".into(),
        }));
    }
    let rows = look(state, &arguments).map_err(unavailable)?;
    answers.push((arguments, rows.clone()));
    Ok(rows)
}

/// What a group has in common, besides its spawn place.
#[derive(PartialEq, Eq, Hash)]
enum Shape {
    Waits(Vec<Vec<u64>>),
    Runs(u64),
    Note(String),
}

struct Group {
    tasks: Vec<Row>,
    left_out: u64,
}

fn look(state: &TasksState, arguments: &Awaiting) -> Reading<Vec<AwaitingRow>> {
    let wanted = wanted(state, arguments);
    let ids: Vec<u64> = wanted.iter().map(|task| task.id).collect();
    let told = trees::ask(&ids).map_err(|Busy| Unavailable::NotYet {
        until: "another question of where tasks wait has been answered: ask again".into(),
    })?;
    let running = running::threads();
    let mut groups: HashMap<(u64, Shape), Group> = HashMap::new();
    for (task, told) in wanted.into_iter().zip(told) {
        let mut left_out = 0;
        let shape = match told {
            Told::Ended => continue,
            Told::Waits(leaves) => {
                left_out = leaves.left_out;
                Shape::Waits(leaves.stacks)
            }
            Told::Silent | Told::Untraced if running.contains_key(&task.id) => Shape::Runs(task.id),
            Told::Silent => Shape::Note(silent()),
            Told::Untraced => Shape::Note(untraced(state, &task)),
        };
        let group = groups.entry((task.origin.site().into(), shape)).or_insert(Group { tasks: Vec::new(), left_out });
        group.tasks.push(task);
    }
    let mut rows = describe(state, groups, &running);
    rows.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.tasks.cmp(&other.tasks)));
    Ok(rows)
}

/// The tasks to look at, oldest first. Lens's own only if they are asked for.
fn wanted(state: &TasksState, arguments: &Awaiting) -> Vec<Row> {
    let tasks = state.tasks();
    let is_wanted = |task: &Row| match (arguments.id, &arguments.site) {
        (Some(id), _) if task.id != id => false,
        (_, Some(site)) => tasks.place(task.origin).is_some_and(|place| place.contains(site)),
        (Some(_), None) => true,
        (None, None) => tasks.place(task.origin).is_none_or(|place| !place.is_lens),
    };
    let mut wanted: Vec<Row> = tasks.iter().filter(is_wanted).collect();
    wanted.sort_unstable_by_key(|task| task.id);
    wanted.truncate(arguments.limit.min(MAX_ASKED) as usize);
    wanted
}

fn silent() -> String {
    format!("it did not answer within {:?}: no worker of its runtime was free to poll it", trees::DEADLINE)
}

fn untraced(state: &TasksState, task: &Row) -> String {
    if task.polls == 0 {
        return "it was not polled yet: it waits for a worker".to_owned();
    }
    if let Err(reason) = trace::reading() {
        return reason.to_string();
    }
    match state.tasks().place(task.origin).and_then(|place| place.name.as_deref()) {
        None => {
            "it was spawned with tokio's own `spawn`: spawn it with `lens::spawn(name, future)` to see where it waits"
        }
        Some(_) => "there was no room for it among the tasks that can be asked: see `lens.stores()`",
    }
    .to_owned()
}

fn describe(state: &TasksState, groups: HashMap<(u64, Shape), Group>, running: &HashMap<u64, u32>) -> Vec<AwaitingRow> {
    let mut reader = StackReader::new();
    let symbolizer = symbolizer();
    let mut budget = running::Budget::default();
    let mut found: Vec<(AwaitingRow, bool, Vec<Arc<Resolved>>)> = Vec::new();
    for ((_, shape), group) in groups {
        let mut row = row(state, &group);
        let mut stacks: Vec<Stack> = Vec::new();
        let is_running = matches!(shape, Shape::Runs(_));
        match (shape, &mut reader) {
            (Shape::Note(note), _) => row.note = Some(note),
            (Shape::Waits(leaves), _) if leaves.is_empty() => {
                row.note = Some("it waits for something that is none of tokio's own".to_owned());
            }
            (_, Err(reason)) => row.note = Some(reason.to_string()),
            (Shape::Waits(leaves), Ok(reader)) => {
                stacks.extend(leaves.iter().map(|addresses| reader.stack_of(addresses)));
                row.note = (group.left_out > 0).then(|| format!("{} more branches are not shown", group.left_out));
            }
            (Shape::Runs(task), Ok(reader)) => match budget.stack(reader, running.get(&task).copied()) {
                Ok(stack) => stacks.push(stack),
                Err(reason) => row.note = Some(reason.to_string()),
            },
        }
        if is_running {
            row.state = TaskState::Running;
            row.idle_ms = None;
        }
        found.push((row, is_running, stacks.into_iter().map(|stack| symbolizer.resolve(stack)).collect()));
    }
    let all: Vec<Arc<Resolved>> = found.iter().flat_map(|(_, _, stacks)| stacks.iter().cloned()).collect();
    symbolizer.wait(&all, RESOLVE);
    found.into_iter().map(|(row, is_running, stacks)| with_tree(row, is_running, &stacks)).collect()
}

fn row(state: &TasksState, group: &Group) -> AwaitingRow {
    let idle_ms = group
        .tasks
        .iter()
        .filter_map(|task| TaskRow::of(state.reader(), task).idle_ms)
        .fold(None, |most, idle| Some(most.map_or(idle, |most: f64| most.max(idle))));
    let oldest = group.tasks.first().map(|task| TaskRow::of(state.reader(), task));
    AwaitingRow {
        count: group.tasks.len() as u64,
        state: TaskState::Idle,
        place: oldest.as_ref().and_then(|task| task.place.as_deref().map(str::to_owned)),
        name: oldest.as_ref().and_then(|task| task.name.as_deref().map(str::to_owned)),
        owner: oldest.map_or(Owner::Service, |task| task.owner),
        tasks: group.tasks.iter().map(|task| task.id).take(MAX_NAMED).collect(),
        idle_ms,
        future_bytes: group.tasks.first().and_then(|task| Some(SEATS.get(task.id)?.future_bytes as u64)),
        awaits: Vec::new(),
        tree: Vec::new(),
        note: None,
    }
}

/// Adds what was found of the functions.
fn with_tree(mut row: AwaitingRow, is_running: bool, stacks: &[Arc<Resolved>]) -> AwaitingRow {
    let mut tree = Tree::default();
    for stack in stacks {
        let Some(frames) = stack.frames() else {
            row.note = Some("the functions were not found in time: ask again".to_owned());
            continue;
        };
        let frames = if is_running { frames::of_thread(frames) } else { frames::of_leaf(frames) };
        row.awaits.extend(waits_at(&frames));
        tree.add(&frames);
    }
    row.awaits.dedup();
    row.tree = tree.into_frames();
    row
}

/// Finds the functions of all trees; its thread ends when nobody has asked for a while.
pub(crate) fn symbolizer() -> &'static Symbolizer {
    static SYMBOLIZER: std::sync::OnceLock<Symbolizer> = std::sync::OnceLock::new();
    SYMBOLIZER.get_or_init(Symbolizer::new)
}
