//! What the threads of blocking pools wait in. Separate because nobody watches them: blocking is what they are for, and
//! their stacks are taken only when somebody asks, which is when a pool has no thread left.

use std::sync::Arc;
use std::time::Duration;

use lens_core::{OrUnavailable, Reading, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rows::own_frame;
use crate::stack::{Frame, Resolved, StackReader, Symbolizer};
use crate::threads;

/// The most threads whose stacks are taken at once, at up to 100 µs each: enough to see what most of a pool waits in.
pub const MAX_LOOKED_AT: usize = 12;

/// How long is waited for the functions of the stacks; those that are known by then are kept for the next time.
const SYMBOLS: Duration = Duration::from_millis(300);

/// A thread of a blocking pool that waits in a call.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BlockingThreadRow {
    /// The name of the thread, as the kernel keeps it (15 letters).
    pub thread: String,
    /// The operating system's id of the thread.
    pub thread_id: u32,
    /// The system call that it waits in: `"futex"`.
    pub waits_in: Option<String>,
    /// The line of the service's own code that waits: the innermost such frame.
    pub place: Option<String>,
    /// The function of that line.
    pub function: Option<String>,
    /// The stack, innermost frame first.
    pub frames: OrUnavailable<Vec<Frame>>,
}

/// The threads that wait in something that `spawn_blocking` runs; those that run, or wait for work, are left out.
pub(super) fn look(symbolizer: &Symbolizer) -> Reading<Vec<BlockingThreadRow>> {
    let mut reader = StackReader::new()?;
    let mut looked: Vec<(u32, String, Arc<Resolved>)> = Vec::new();
    // The newest first: a pool's threads come after the workers, which would take all places where there are many.
    for (tid, name) in threads::all().into_iter().rev().filter(|(_, name)| !name.starts_with("lens-")) {
        if looked.len() == MAX_LOOKED_AT {
            break;
        }
        // One that is gone meanwhile waits for nothing.
        if let Ok(Some(stack)) = reader.look_if_waiting(tid) {
            looked.push((tid, name, symbolizer.resolve(stack)));
        }
    }
    let stacks: Vec<Arc<Resolved>> = looked.iter().map(|(.., stack)| Arc::clone(stack)).collect();
    symbolizer.wait(&stacks, SYMBOLS);
    if stacks.iter().any(|stack| stack.frames().is_none()) {
        return Err(Unavailable::NotYet {
            until: "the functions of the stacks are found, some seconds, and ask again".into(),
        });
    }
    Ok(looked.into_iter().filter_map(|(tid, thread, stack)| row(tid, thread, &stack)).collect())
}

fn row(thread_id: u32, thread: String, resolved: &Resolved) -> Option<BlockingThreadRow> {
    let frames = resolved.frames()?;
    let has = |file: &str| frames.iter().any(|frame| frame.place.as_ref().is_some_and(|place| place.contains(file)));
    // Workers run on threads of the pool, too.
    let is_of_pool = has("/runtime/blocking/pool.rs:") && !has("/runtime/scheduler/multi_thread/worker.rs:");
    // A thread that waits for work runs no task of the pool.
    if !is_of_pool || !has("/runtime/blocking/task.rs:") {
        return None;
    }
    let own = own_frame(frames);
    Some(BlockingThreadRow {
        thread,
        thread_id,
        waits_in: resolved.stack().call(),
        place: own.and_then(|frame| frame.place.clone()),
        function: own.map(|frame| frame.function.clone()),
        frames: OrUnavailable(Ok(frames.to_vec())),
    })
}
