//! Tasks by the group in their names. Separate because it is about what the service calls its tasks, not where it spawns
//! them.

use std::collections::{BTreeMap, BTreeSet};

use lens_core::numbers::total;
use lens_core::skill::NoArguments;
use lens_core::{CallError, View};
use schemars::JsonSchema;
use serde::Serialize;

use crate::tasks::rows::nanos;
use crate::tasks::state::{Site, TasksState};

/// All tasks whose names begin alike.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct GroupRow {
    /// What stands before the last `/` of the names: `"checkout"` for `"checkout/mailer"`; null for all others.
    group: Option<String>,
    /// The names in it.
    names: Vec<String>,
    /// Tasks that are alive.
    live: u64,
    /// Tasks spawned.
    spawned_total: u64,
    /// Tasks ended, aborted ones too.
    finished_total: u64,
    /// Polls: exact.
    polls_total: u64,
    /// Time in finished polls; see `tasks.top` for how exact it is.
    busy_ms: f64,
}

/// The groups, most live tasks first. Lens's own tasks are in none.
pub(super) fn groups(state: &View<'_, TasksState>, NoArguments {}: NoArguments) -> Result<Vec<GroupRow>, CallError> {
    let mut groups: BTreeMap<Option<&str>, Vec<&Site>> = BTreeMap::new();
    for site in state.sites.iter().filter(|site| !site.at.is_lens && (site.spawned > 0 || site.live > 0)) {
        groups.entry(group(site)).or_default().push(site);
    }
    let mut rows: Vec<GroupRow> = groups.into_iter().map(|(group, sites)| GroupRow::of(group, &sites)).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.live));
    Ok(rows)
}

fn group(site: &Site) -> Option<&str> {
    Some(site.at.name.as_deref()?.rsplit_once('/')?.0)
}

impl GroupRow {
    fn of(group: Option<&str>, sites: &[&Site]) -> Self {
        let sum = |of: fn(&Site) -> u64| total(sites.iter().map(|site| of(site)));
        let names: BTreeSet<&String> = sites.iter().filter_map(|site| site.at.name.as_ref()).collect();
        Self {
            group: group.map(str::to_owned),
            names: names.into_iter().cloned().collect(),
            live: sum(|site| site.live),
            spawned_total: sum(|site| site.spawned),
            finished_total: sum(|site| site.finished),
            polls_total: sum(|site| site.polls),
            busy_ms: nanos(sum(|site| site.busy_ns)),
        }
    }
}
