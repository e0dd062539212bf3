//! Which skills a lens has: those that are compiled in, and the names of those that are not, which say how to get them.
//! Separate because it is the only place where features pick skills.

#[cfg(not(all(feature = "heap", feature = "skills")))]
use lens_core::{About, Unavailable};
use lens_core::{Error, RegistryBuilder};
use lens_tokio::{RuntimeSkill, Runtimes, StallsSkill, TaskMonitors, TasksSkill};

/// What the built-in skills read from, beside the process itself.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) runtimes: Runtimes,
    pub(crate) task_monitors: TaskMonitors,
    pub(crate) stalls: StallsSkill,
    #[cfg_attr(not(feature = "heap"), expect(dead_code, reason = "only the skill `heap` asks"))]
    pub(crate) asks_glibc: bool,
}

/// Adds every built-in skill.
pub(crate) fn add(registry: &mut RegistryBuilder, sources: Sources) -> Result<(), Error> {
    registry.skill(RuntimeSkill::new(sources.runtimes).task_monitors(sources.task_monitors))?;
    registry.skill(TasksSkill::new())?;
    registry.skill(sources.stalls)?;

    #[cfg(feature = "heap")]
    {
        let heap = lens_jemalloc::HeapSkill::new();
        registry.skill(if sources.asks_glibc { heap.ask_glibc() } else { heap })?;
    }
    #[cfg(not(feature = "heap"))]
    off(registry, "heap", "Heap", "What jemalloc tells about the heap.", "heap")?;

    #[cfg(feature = "skills")]
    registry.skill(lens_skills::os::OsSkill::new())?;
    #[cfg(not(feature = "skills"))]
    off(registry, "os", "Operating system", "What the operating system tells about the process.", "skills")?;
    Ok(())
}

/// The name of a skill whose feature is off.
#[cfg(not(all(feature = "heap", feature = "skills")))]
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
