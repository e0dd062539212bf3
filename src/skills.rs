//! Which skills a lens has: those that are compiled in, and the names of those that are not, which say how to get them.
//! Separate because it is the only place where features pick skills.

#[cfg(feature = "skills")]
use std::panic::Location;

#[cfg(not(all(feature = "skills", feature = "logs")))]
use lens_core::{About, Unavailable};
use lens_core::{Error, RegistryBuilder};
use lens_tokio::{
    Console, ConsoleSkill, RuntimeSkill, Runtimes, StallsSkill, TaskMonitors, TasksSkill, Waits, WaitsSkill,
};

use crate::heap::Heap;

/// What the built-in skills read from, beside the process itself.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) runtimes: Runtimes,
    pub(crate) task_monitors: TaskMonitors,
    pub(crate) stalls: StallsSkill,
    pub(crate) asks_glibc: bool,
    #[cfg_attr(not(feature = "skills"), expect(dead_code, reason = "the skill `panics` is compiled out"))]
    pub(crate) records_panics: bool,
}

/// Which task runs on the calling thread, for skills that know nothing of tokio.
#[cfg(feature = "skills")]
pub(crate) fn task_of_thread() -> Option<(u64, Option<&'static Location<'static>>)> {
    lens_tokio::current_task().map(|task| (task.id, task.spawned_at))
}

/// Adds every built-in skill, and gives what lens itself needs of the heap's.
pub(crate) fn add(registry: &mut RegistryBuilder, sources: Sources) -> Result<Heap, Error> {
    registry.skill(RuntimeSkill::new(sources.runtimes).task_monitors(sources.task_monitors))?;
    registry.skill(TasksSkill::new())?;
    registry.skill(sources.stalls)?;
    registry.skill(WaitsSkill::new(Waits::global()))?;
    registry.skill(ConsoleSkill::new(Console::global()))?;

    let heap = Heap::add(registry, sources.asks_glibc)?;

    #[cfg(feature = "skills")]
    {
        registry.skill(lens_skills::os::OsSkill::new())?;
        add_panics(registry, sources.records_panics)?;
    }
    #[cfg(not(feature = "skills"))]
    {
        off(registry, "os", "Operating system", "What the operating system tells about the process.", "skills")?;
        off(registry, "panics", "Panics", "Where the process panicked, how often, and in which tasks.", "skills")?;
    }

    #[cfg(feature = "logs")]
    registry.skill(lens_skills::logs::LogsSkill::new(crate::logs::logs()))?;
    #[cfg(not(feature = "logs"))]
    off(registry, "logs", "Logs", "What the service logs, how often, and where.", "logs")?;
    Ok(heap)
}

/// Panics, where the service wants them recorded.
#[cfg(feature = "skills")]
fn add_panics(registry: &mut RegistryBuilder, records: bool) -> Result<(), Error> {
    use lens_skills::panics::PanicsSkill;

    let installed = match records {
        true => PanicsSkill::install(task_of_thread),
        false => Err(PanicsSkill::not_enabled()),
    };
    match installed {
        Ok(skill) => registry.skill(skill)?,
        Err(reason) => registry.unread::<PanicsSkill>(PanicsSkill::about(), reason)?,
    };
    Ok(())
}

/// The name of a skill whose feature is off.
#[cfg(not(all(feature = "skills", feature = "logs")))]
fn off(
    registry: &mut RegistryBuilder,
    name: &'static str,
    title: &'static str,
    description: &'static str,
    feature: &'static str,
) -> Result<(), Error> {
    registry.absent(About::new(name, title, description), Unavailable::FeatureOff { feature: feature.into() })?;
    Ok(())
}
