//! Turns the addresses of a stack into functions and lines, in a thread of its own: reading a program's line tables takes
//! milliseconds, and whoever takes a stack must not wait for it. Separate because nothing here looks at a thread.

mod name;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lens_core::Store;

use super::Stack;
use super::platform::{Arena, Files};

pub use lens_core::stack::{Frame, Origin};
pub(super) use name::{frame, nameless};

/// The most addresses of which the functions are remembered.
pub const MAX_SYMBOLS: usize = 8192;

/// The most stacks that wait for their functions.
const MAX_QUEUE: usize = 256;

/// After how long without a stack the thread ends and gives the line tables back.
const IDLE: Duration = Duration::from_secs(20);

/// A stack with its functions, as soon as they are known.
#[derive(Debug)]
pub struct Resolved {
    stack: Stack,
    frames: OnceLock<Arc<[Frame]>>,
}

impl Resolved {
    /// The stack itself.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The functions, innermost first, inlined ones too; `None` while they are not resolved.
    #[must_use]
    pub fn frames(&self) -> Option<&Arc<[Frame]>> {
        self.frames.get()
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let frames = self.frames.get().map_or(0, |frames| frames.iter().map(Frame::memory_bytes).sum());
        size_of::<Self>() + self.stack.memory_bytes() + frames
    }
}

/// Resolves stacks. A clone is the same one.
#[derive(Clone)]
pub struct Symbolizer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Resolved>>,
    is_running: bool,
    cached: usize,
    cached_bytes: usize,
    /// Addresses that had to be forgotten.
    forgotten: u64,
    /// Stacks for which the queue had no room.
    refused: u64,
}

impl Default for Symbolizer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Symbolizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Symbolizer").field("queue", &self.0.lock().queue.len()).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Symbolizer {
    /// No thread yet: it starts with the first stack and ends when there was none for 20 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Has the functions of `stack` resolved.
    #[must_use]
    pub fn resolve(&self, stack: Stack) -> Arc<Resolved> {
        let resolved = Arc::new(Resolved { stack, frames: OnceLock::new() });
        self.queue(&resolved);
        resolved
    }

    /// Waits until `stacks` are resolved, for `most` at most. Those that had no room before are queued again.
    pub fn wait(&self, stacks: &[Arc<Resolved>], most: Duration) {
        let deadline = Instant::now() + most;
        loop {
            let Some(open) = stacks.iter().find(|stack| stack.frames.get().is_none()) else { return };
            let mut state = self.0.lock();
            if !state.queue.iter().any(|queued| Arc::ptr_eq(queued, open)) && open.frames.get().is_none() {
                drop(state);
                self.queue(open);
                state = self.0.lock();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if open.frames.get().is_none() {
                drop(self.0.changed.wait_timeout(state, left));
            }
        }
    }

    /// The remembered functions.
    ///
    /// The tables that they are looked up in are not in it: symbols, and the parts of the debug info that were asked for so
    /// far, of each file with code on a stack. They are there while stacks are resolved and for 20 seconds after the last
    /// one, and grow with the program's debug info; addr2line, which parses them, does not say how large they are. The files
    /// themselves are mapped, so their pages are the kernel's to take back; sections that are compressed are unpacked into
    /// memory.
    #[must_use]
    pub fn store(&self) -> Store {
        let state = self.0.lock();
        Store {
            name: "symbols".into(),
            len_count: state.cached as u64,
            cap_count: MAX_SYMBOLS as u64,
            memory_bytes: state.cached_bytes as u64,
            dropped_total: state.forgotten + state.refused,
        }
    }

    fn queue(&self, stack: &Arc<Resolved>) {
        let mut state = self.0.lock();
        if state.queue.len() == MAX_QUEUE {
            state.refused += 1;
            return;
        }
        state.queue.push_back(Arc::clone(stack));
        if !state.is_running {
            let shared = Arc::clone(&self.0);
            // Without a thread the stack stays queued, and the next one tries again.
            state.is_running = lens_core::threads::spawn("lens-symbols", None, move || serve(&shared)).is_ok();
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

/// Resolves what is queued until nothing was for a while.
fn serve(shared: &Shared) {
    let memory = Arena::default();
    let mut files = Files::new(&memory);
    let mut cache = Cache::default();
    loop {
        let mut state = shared.lock();
        let stack = loop {
            if let Some(stack) = state.queue.pop_front() {
                break stack;
            }
            let waited = shared.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() && state.queue.is_empty() {
                state.is_running = false;
                state.cached = 0;
                state.cached_bytes = 0;
                return;
            }
        };
        drop(state);
        if stack.frames.get().is_none() {
            let mut frames = Vec::new();
            for address in &*stack.stack.addresses {
                frames.extend_from_slice(cache.frames(&mut files, address));
            }
            // Only this thread sets it.
            let _ = stack.frames.set(frames.into());
        }
        let mut state = shared.lock();
        state.cached = cache.frames.len();
        state.cached_bytes = cache.bytes;
        state.forgotten = cache.forgotten;
        drop(state);
        shared.changed.notify_all();
    }
}

/// The functions at an address of a file.
#[derive(Default)]
struct Cache {
    frames: HashMap<(usize, u64), Vec<Frame>>,
    bytes: usize,
    forgotten: u64,
}

impl Cache {
    fn frames(&mut self, files: &mut Files<'_>, address: &super::Address) -> &[Frame] {
        let key = (files.index(address.file.as_ref()), address.address);
        if self.frames.len() == MAX_SYMBOLS && !self.frames.contains_key(&key) {
            self.forgotten += self.frames.len() as u64;
            self.frames.clear();
            self.bytes = 0;
        }
        self.frames.entry(key).or_insert_with(|| {
            let frames = files.frames(key.0, key.1);
            self.bytes += frames.iter().map(Frame::memory_bytes).sum::<usize>();
            frames
        })
    }
}
