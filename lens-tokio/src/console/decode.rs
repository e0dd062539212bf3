//! From the wire format to [`State`], and what tokio-console is known to get wrong put right on the way. Separate because
//! only this file knows the messages.
//!
//! | on the wire | here |
//! |---|---|
//! | ids are those of tracing spans, which are used again | tokio's own, from a field of the span |
//! | the kind is always the same | from a field of the span |
//! | busy time without the poll that goes on | with it |
//! | a task that ended has a poll more, for its drop | without it |
//! | an operation has a poll more, for its creation | without it |
//! | `block_on` waits all the time to be scheduled | not known |
//! | a lock is `locked` when it is not, under contention | left out: `waits` knows |
//! | a oneshot's `value_received` never changes | left out |

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use console_api::field::{Name, Value};
use console_api::instrument::Update;
use console_api::resources::resource::kind::{Kind as WireKind, Known};
use console_api::{Attribute, Field, Id, Location, PollStats, async_ops, resources, tasks};
use lens_core::time::millis;
use lens_core::{Place, place};

use super::state::{Activity, Missing, Operation, Resource, State, Task, TaskKind};

/// Attributes that are known to be wrong: a lock's are told after the next one has it, and a oneshot's last one never is.
pub(super) const WRONG: [&str; 4] = ["locked", "write_locked", "current_readers", "value_received"];

/// A server's state, of which what began before `gap_end` was not seen all the time. `None` if the message is no whole
/// state: it lacks a part.
pub(super) fn state(update: &Update, gap_end: Option<SystemTime>) -> Option<State> {
    let now = instant(update.now.as_ref())?;
    let of_tasks = update.task_update.as_ref()?;
    let of_resources = update.resource_update.as_ref()?;
    let of_operations = update.async_op_update.as_ref()?;
    let mut state = State {
        missing: Missing {
            events: of_tasks.dropped_events + of_resources.dropped_events + of_operations.dropped_events,
            ..Missing::default()
        },
        ..State::default()
    };
    for new in &of_tasks.new_tasks {
        if let Some(stats) = number(new.id.as_ref()).and_then(|id| of_tasks.stats_update.get(&id)) {
            state.tasks.extend(task(new, stats, now, gap_end));
        }
    }
    for new in &of_resources.new_resources {
        if let Some(stats) = number(new.id.as_ref()).and_then(|id| of_resources.stats_update.get(&id)) {
            state.resources.extend(resource(new, stats, now));
        }
    }
    for new in &of_operations.new_async_ops {
        if let Some(stats) = number(new.id.as_ref()).and_then(|id| of_operations.stats_update.get(&id))
            && stats.dropped_at.is_none()
        {
            state.operations.extend(operation(new, stats, now));
        }
    }
    state.tasks.sort_by_key(|task| (task.id, task.span));
    state.resources.sort_by_key(|resource| resource.span);
    state.operations.sort_by_key(|operation| operation.span);
    Some(state)
}

fn task(new: &tasks::Task, stats: &tasks::Stats, now: SystemTime, gap_end: Option<SystemTime>) -> Option<Task> {
    let polls = stats.poll_stats.as_ref()?;
    let fields = fields(new.fields.iter());
    let number_of = |name: &str| fields.get(name).and_then(|text| text.parse::<u64>().ok());
    let kind = match fields.get("kind").map(String::as_str) {
        Some("task") => TaskKind::Task,
        Some("local") => TaskKind::Local,
        Some("blocking") => TaskKind::Blocking,
        Some("block_on") => TaskKind::BlockOn,
        _ => TaskKind::Other,
    };
    let created = instant(stats.created_at.as_ref())?;
    let ended = instant(stats.dropped_at.as_ref());
    let (begun, done) = (instant(polls.last_poll_started.as_ref()), instant(polls.last_poll_ended.as_ref()));
    let woken = instant(stats.last_wake.as_ref());
    let is_running = ended.is_none() && begun > done;
    let is_woken = woken > begun;
    let activity = match ended {
        Some(_) => Activity::Ended,
        None if is_running => Activity::Running,
        None if is_woken => Activity::Scheduled,
        None => Activity::Idle,
    };
    let until = ended.unwrap_or(now);
    let running_for = begun.filter(|_| is_running).map_or(Duration::ZERO, |begun| between(begun, now));
    Some(Task {
        span: number(new.id.as_ref())?,
        id: number_of("task.id"),
        name: fields.get("task.name").filter(|name| !name.is_empty()).cloned(),
        kind,
        place: new.location.as_ref().and_then(shown),
        is_internal: new.location.as_ref().is_some_and(is_tokio),
        activity,
        age_ms: millis(between(created, until)),
        busy_ms: millis(span(polls.busy_time.as_ref()) + running_for),
        scheduled_ms: (kind != TaskKind::BlockOn).then(|| millis(span(stats.scheduled_time.as_ref()))),
        polls: polls.polls.saturating_sub(u64::from(ended.is_some())),
        wakes: stats.wakes,
        self_wakes: stats.self_wakes,
        waker_clones: stats.waker_clones,
        waker_drops: stats.waker_drops,
        last_wake_ms: woken.map(|woken| millis(between(woken, now))),
        is_woken,
        future_bytes: number_of("size.bytes"),
        boxed_from_bytes: number_of("original_size.bytes"),
        has_gap: gap_end.is_some_and(|end| created < end),
    })
}

fn resource(new: &resources::Resource, stats: &resources::Stats, now: SystemTime) -> Option<Resource> {
    let kind = match new.kind.as_ref().and_then(|kind| kind.kind.as_ref()) {
        Some(WireKind::Known(known)) if *known == i32::from(Known::Timer) => "timer".to_owned(),
        Some(WireKind::Other(name)) => name.clone(),
        _ => "unknown".to_owned(),
    };
    let ended = instant(stats.dropped_at.as_ref());
    let mut attributes = attributes(&stats.attributes);
    attributes.retain(|name, _| !WRONG.contains(&name.as_str()));
    Some(Resource {
        span: number(new.id.as_ref())?,
        parent: number(new.parent_resource_id.as_ref()),
        kind,
        concrete_type: new.concrete_type.clone(),
        place: new.location.as_ref().and_then(shown),
        is_internal: new.is_internal,
        age_ms: millis(between(instant(stats.created_at.as_ref())?, ended.unwrap_or(now))),
        is_ended: ended.is_some(),
        attributes,
    })
}

fn operation(new: &async_ops::AsyncOp, stats: &async_ops::Stats, now: SystemTime) -> Option<Operation> {
    let polls: PollStats = stats.poll_stats?;
    Some(Operation {
        span: number(new.id.as_ref())?,
        parent: number(new.parent_async_op_id.as_ref()),
        resource: number(new.resource_id.as_ref()),
        task: number(stats.task_id.as_ref()),
        source: new.source.clone(),
        age_ms: millis(between(instant(stats.created_at.as_ref())?, now)),
        busy_ms: millis(span(polls.busy_time.as_ref())),
        polls: polls.polls.saturating_sub(1),
        attributes: attributes(&stats.attributes),
    })
}

fn number(id: Option<&Id>) -> Option<u64> {
    id.map(|id| id.id)
}

/// The instant of a timestamp of the wire.
fn instant<T: Clone + TryInto<SystemTime>>(at: Option<&T>) -> Option<SystemTime> {
    at.cloned()?.try_into().ok()
}

/// The span of the wire; none is zero, as the wire has it.
fn span<T: Clone + TryInto<Duration>>(of: Option<&T>) -> Duration {
    of.cloned().and_then(|of| of.try_into().ok()).unwrap_or_default()
}

fn between(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}

fn shown(location: &Location) -> Option<String> {
    let (file, line) = (location.file.as_deref()?, location.line?);
    Some(Place { file, line, column: location.column }.to_string())
}

/// Whether a place is in tokio itself.
fn is_tokio(location: &Location) -> bool {
    let version = location.file.as_deref().and_then(place::dependency).and_then(|file| file.strip_prefix("tokio-"));
    version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

fn fields<'a>(of: impl Iterator<Item = &'a Field>) -> BTreeMap<String, String> {
    of.filter_map(pair).collect()
}

fn pair(field: &Field) -> Option<(String, String)> {
    let Some(Name::StrName(name)) = &field.name else { return None };
    let value = match field.value.as_ref()? {
        Value::DebugVal(text) | Value::StrVal(text) => text.clone(),
        Value::U64Val(value) => value.to_string(),
        Value::I64Val(value) => value.to_string(),
        Value::BoolVal(value) => value.to_string(),
    };
    Some((name.clone(), value))
}

fn attributes(of: &[Attribute]) -> BTreeMap<String, String> {
    let text = |attribute: &Attribute| {
        let (name, value) = pair(attribute.field.as_ref()?)?;
        Some((name, value + attribute.unit.as_deref().unwrap_or_default()))
    };
    of.iter().filter_map(text).collect()
}
