//! The stacks of the threads that poll tasks which do not answer. Separate because here the threads are looked at, not the
//! tasks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lens_core::{Reading, Unavailable};

use crate::instrument::TABLE;
use crate::stack::{Look, Stack, StackReader};

/// The most threads that are looked at.
const MAX_THREADS: usize = 16;

/// How long all of them may take, besides what the system takes to be ready for the first sample, see
/// [`Sample::poll`](crate::stack::Sample::poll).
const MOST: Duration = Duration::from_millis(120);

/// Which thread polls which task now.
pub(super) fn threads() -> HashMap<u64, u32> {
    let polls = TABLE.slots.iter().flat_map(|slot| {
        let thread = slot.thread().os_id();
        slot.running().into_iter().filter_map(move |poll| Some((poll.task, thread?)))
    });
    polls.collect()
}

/// What may still be spent on stacks.
pub(super) struct Budget {
    threads: usize,
    until: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { threads: MAX_THREADS, until: None }
    }
}

impl Budget {
    /// The stack of the thread `tid`.
    ///
    /// # Errors
    ///
    /// It cannot be read, or too many others were.
    pub(super) fn stack(&mut self, reader: &mut StackReader, tid: Option<u32>) -> Reading<Stack> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + MOST);
        let Some(threads) = self.threads.checked_sub(1).filter(|_| Instant::now() < until) else {
            return Err(Unavailable::failed("too many threads run to look at each: ask for one task by its id"));
        };
        self.threads = threads;
        let moving = || Unavailable::failed("its thread makes progress: it did not stay anywhere to be looked at");
        match reader.look(tid.ok_or_else(moving)?)? {
            Look::Stack(stack) => Ok(stack),
            Look::Moving => Err(moving()),
            Look::Running(mut sample) => loop {
                if let Some(stack) = sample.poll(reader)? {
                    return Ok(stack);
                }
                if Instant::now() >= until {
                    return Err(Unavailable::failed("its thread runs and was not sampled in time: ask again"));
                }
                std::thread::sleep(Duration::from_millis(1));
            },
        }
    }
}
