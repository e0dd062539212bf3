//! The hooks that lens sets on a runtime's builder, and the table of this process that they write. Separate because here
//! the table meets threads: everything below it takes its slot as an argument.

mod builders;
#[allow(dead_code, reason = "stable tokio has no task hooks, which are what counts")]
pub(crate) mod bytes;
#[allow(dead_code, reason = "the same")]
pub(crate) mod local;
pub(crate) mod name;

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::flavour::hooks::TaskHooks;
use crate::table::Table;

pub(crate) use builders::{BUILDERS, BuilderNumber};
pub(crate) use local::with_slot;
pub(crate) use name::with_name;

/// The table of this process: hooks refer to it for ever, so it is neither counted nor freed. What it holds grows from
/// nothing.
pub(crate) static TABLE: Table = Table::new();

/// Sets lens's hooks on a runtime's builder, for services that build their runtimes themselves.
///
/// Hooks that were set on `builder` before are replaced, because tokio has one place for each; set further ones through
/// [`Builder`](crate::Builder), which calls both. With `#[tokio::main(crate = "lens")]` nothing has to be called.
///
/// Source: [`on_task_spawn`](https://docs.rs/tokio/1/tokio/runtime/struct.Builder.html#method.on_task_spawn),
/// `on_before_task_poll`, `on_after_task_poll`, `on_task_terminate` (all need `--cfg tokio_unstable`; without it, tasks
/// are not seen), `on_thread_start`, `on_thread_park`, `on_thread_unpark`.
///
/// Cost: see the crate's benches; the first call takes 2 ms to calibrate the clock.
///
/// # Examples
///
/// ```
/// let mut builder = tokio::runtime::Builder::new_multi_thread();
/// let runtime = lens_tokio::instrument(&mut builder).worker_threads(2).build()?;
/// # drop(runtime);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn instrument(builder: &mut tokio::runtime::Builder) -> &mut tokio::runtime::Builder {
    install(builder, BUILDERS.add(), &Hooks::default());
    builder
}

/// A hook of a thread.
pub(crate) type ThreadHook = Arc<dyn Fn() + Send + Sync>;

/// The service's own hooks.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) thread_start: Option<ThreadHook>,
    pub(crate) thread_stop: Option<ThreadHook>,
    pub(crate) thread_park: Option<ThreadHook>,
    pub(crate) thread_unpark: Option<ThreadHook>,
    pub(crate) tasks: TaskHooks,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// Sets lens's hooks and the service's own. Lens's closures hold no handle of a runtime: one that did would keep the
/// runtime, which holds the closures.
pub(crate) fn install(builder: &mut tokio::runtime::Builder, number: BuilderNumber, own: &Hooks) {
    TABLE.clock.start();
    let hook = own.thread_start.clone();
    builder.on_thread_start(move || {
        belong(number);
        call(hook.as_ref());
    });
    if let Some(hook) = own.thread_stop.clone() {
        builder.on_thread_stop(move || hook());
    }
    let hook = own.thread_park.clone();
    builder.on_thread_park(move || {
        call(hook.as_ref());
        with_slot(|slot| slot.thread().park(worker()));
    });
    let hook = own.thread_unpark.clone();
    builder.on_thread_unpark(move || {
        let is_known = with_slot(|slot| {
            slot.thread().unpark(worker());
            slot.thread().is_of(number.0)
        });
        // The thread that calls `block_on` of a current-thread runtime is not started by tokio, and may drive another one
        // next.
        if !is_known {
            belong(number);
        }
        call(hook.as_ref());
    });
    own.tasks.install(builder, number);
}

fn call(hook: Option<&ThreadHook>) {
    if let Some(hook) = hook {
        hook();
    }
}

fn worker() -> Option<u32> {
    u32::try_from(tokio::runtime::worker_index()?).ok()
}

/// Notes which runtime the calling thread belongs to.
fn belong(number: BuilderNumber) {
    let Ok(runtime) = Handle::try_current() else { return };
    BUILDERS.saw(number, &runtime);
    with_slot(|slot| slot.thread().belongs_to(number_of(&runtime.id()), number.0));
}

/// The one number that an id hashes: what tokio's ids show of it is only text.
#[inline]
pub(crate) fn number_of(id: &impl std::hash::Hash) -> u64 {
    struct Number(u64);
    impl std::hash::Hasher for Number {
        fn write(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                self.0 = self.0 << 8 | u64::from(byte);
            }
        }
        fn write_u64(&mut self, number: u64) {
            self.0 = number;
        }
        fn finish(&self) -> u64 {
            self.0
        }
    }
    let mut number = Number(0);
    id.hash(&mut number);
    std::hash::Hasher::finish(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_number_that_tokio_shows() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let task = runtime.spawn(async {}).id();
        assert_eq!(number_of(&task).to_string(), task.to_string());
        let id = runtime.handle().id();
        assert_eq!(number_of(&id).to_string(), id.to_string());
    }
}
