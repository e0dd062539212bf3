//! Which task runs on the calling thread. Separate because it is asked by the service's threads, where something noteworthy
//! happens, and not by lens's.

use std::panic::Location;

use crate::instrument::{TABLE, number_of, with_slot};

/// The task that the calling thread polls.
#[derive(Clone, Copy, Debug)]
pub struct CurrentTask {
    /// tokio's id of the task.
    pub id: u64,
    /// Where it was spawned; `None` where the task table does not know it (stable tokio, a runtime without lens's hooks).
    pub spawned_at: Option<&'static Location<'static>>,
}

/// The task that the calling thread polls; `None` outside of tasks. Constant time, no lock, no allocation, no panic.
#[must_use]
pub fn current_task() -> Option<CurrentTask> {
    let id = number_of(&tokio::task::try_id()?);
    let spawned_at = with_slot(|slot| {
        let frame = slot.top().filter(|frame| frame.task() == id)?;
        Some(TABLE.sites.get(frame.poll().site()?)?.place)
    });
    Some(CurrentTask { id, spawned_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_tasks_there_is_none() {
        assert!(current_task().is_none());
    }

    #[test]
    fn a_task_knows_its_id_on_any_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (own, seen) = runtime
            .block_on(async { tokio::spawn(async { (tokio::task::id(), current_task().unwrap()) }).await.unwrap() });
        assert_eq!(seen.id.to_string(), own.to_string());
        assert!(seen.spawned_at.is_none(), "the runtime has no hooks of lens");
    }
}
