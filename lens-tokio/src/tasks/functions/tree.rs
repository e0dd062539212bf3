//! Who spawned whom. Separate from the other questions because it looks at the tasks' relations, not at each task.

use std::collections::HashMap;

use lens_core::{CallError, View};
use schemars::JsonSchema;
use serde::Deserialize;

use super::no_such_task;
use crate::table::entry::Row;
use crate::tasks::rows::{TaskRow, TreeRow};
use crate::tasks::state::TasksState;

/// Which part of the tree.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tree {
    /// Only this task and what it spawned.
    root: Option<u64>,
    /// How many generations below a root at most.
    depth: u32,
    /// How many rows at most.
    limit: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self { root: None, depth: 8, limit: 200 }
    }
}

/// The live tasks and their live children. Linear in the live tasks, and without recursion, however deep they are.
pub(super) fn tree(state: &View<'_, TasksState>, arguments: Tree) -> Result<Vec<TreeRow>, CallError> {
    let mut tasks: Vec<Row> = state.tasks().iter().collect();
    tasks.sort_unstable_by_key(|task| task.id);
    let family = Family::of(&tasks);
    let roots = match arguments.root {
        None => family.roots.clone(),
        Some(id) => vec![tasks.binary_search_by_key(&id, |task| task.id).map_err(|_| no_such_task(id))?],
    };
    let descendants = family.descendants();
    let mut rows = Vec::new();
    // The next one is at the end, so what comes later is pushed first.
    let mut next: Vec<(usize, u32)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
    while rows.len() < arguments.limit as usize
        && let Some((at, depth)) = next.pop()
    {
        let task = &tasks[at];
        let children = &family.children[at];
        rows.push(TreeRow::new(
            TaskRow::of(state.reader(), task),
            state.tasks().handle(task.id),
            depth,
            task.parent != 0 && family.parents[at].is_none(),
            children.len() as u64,
            descendants[at],
        ));
        if depth < arguments.depth {
            next.extend(children.iter().rev().map(|&child| (child, depth + 1)));
        }
    }
    Ok(rows)
}

/// Relations between tasks, by their places in a list that is sorted by id.
struct Family {
    /// Those without a live parent.
    roots: Vec<usize>,
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
}

impl Family {
    fn of(tasks: &[Row]) -> Self {
        let places: HashMap<u64, usize> = tasks.iter().enumerate().map(|(at, task)| (task.id, at)).collect();
        let mut family = Self { roots: Vec::new(), parents: Vec::new(), children: vec![Vec::new(); tasks.len()] };
        for (at, task) in tasks.iter().enumerate() {
            // A task exists before what it spawns and has the lower id. A saved state that says otherwise could go round
            // in circles.
            let parent = places.get(&task.parent).copied().filter(|&parent| parent < at);
            match parent {
                Some(parent) => family.children[parent].push(at),
                None => family.roots.push(at),
            }
            family.parents.push(parent);
        }
        family
    }

    /// How many there are below each. Parents come before their children, so this counts from the end.
    fn descendants(&self) -> Vec<u64> {
        let mut below = vec![0; self.parents.len()];
        for (at, parent) in self.parents.iter().enumerate().rev() {
            if let Some(parent) = *parent {
                below[parent] += below[at] + 1;
            }
        }
        below
    }
}
