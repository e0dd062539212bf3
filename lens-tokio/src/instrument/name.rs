//! Hands a task's name to the hook that notes its spawn. Separate because tokio's hook is told no name: it is called inside
//! of the spawn, in the same thread.

use std::cell::Cell;

thread_local! {
    /// The name of the task that is being spawned.
    static NAME: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// While it lives, the next task that the thread spawns has the name. Dropped, it takes the name back where no hook did:
/// the runtime has none, or the spawn panicked.
pub(crate) struct Naming(());

/// Gives the next task that the thread spawns this name.
#[must_use]
pub(crate) fn with_name(name: &'static str) -> Naming {
    NAME.set(Some(name));
    Naming(())
}

impl Drop for Naming {
    fn drop(&mut self) {
        take_name();
    }
}

/// The name of the task that is being spawned, for the first who asks.
#[inline]
pub(crate) fn take_name() -> Option<&'static str> {
    NAME.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_and_never_left_behind() {
        let naming = with_name("reader");
        assert_eq!(take_name(), Some("reader"));
        assert_eq!(take_name(), None);
        drop(naming);
        drop(with_name("writer"));
        assert_eq!(take_name(), None);
    }
}
