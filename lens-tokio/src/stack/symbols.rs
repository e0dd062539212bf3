//! Turns the addresses of a stack into functions and lines, in a thread of its own: reading a program's line tables takes
//! milliseconds, and whoever takes a stack must not wait for it. Separate because nothing here looks at a thread.

mod name;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lens_core::Store;

use super::platform::{Arena, Files};
use super::{Address, Stack};

pub use lens_core::stack::{Frame, Origin};
pub(super) use name::{frame, nameless};

/// The most addresses of which the functions are remembered.
pub const MAX_SYMBOLS: usize = 8192;

/// The most stacks that wait for their functions.
const MAX_QUEUE: usize = 256;

/// After how long without a stack the thread ends and gives the line tables back. The functions that it found in the
/// executable are kept.
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

struct Shared {
    idle: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Resolved>>,
    is_running: bool,
    /// What is known already; the thread has it while it runs.
    cache: Cache,
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
        Self::with_idle(IDLE)
    }

    fn with_idle(idle: Duration) -> Self {
        Self(Arc::new(Shared { idle, state: Mutex::default(), changed: Condvar::new() }))
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

    /// The remembered functions, which are kept.
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
    let mut cache = std::mem::take(&mut shared.lock().cache);
    loop {
        let mut state = shared.lock();
        let stack = loop {
            if let Some(stack) = state.queue.pop_front() {
                break stack;
            }
            let waited = shared.changed.wait_timeout(state, shared.idle).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() && state.queue.is_empty() {
                cache.keep_what_lasts();
                state.is_running = false;
                state.keep(cache);
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
        shared.lock().count(&cache);
        shared.changed.notify_all();
    }
}

impl State {
    fn count(&mut self, cache: &Cache) {
        self.cached = cache.frames.len();
        self.cached_bytes = cache.memory_bytes();
        self.forgotten = cache.forgotten;
    }

    fn keep(&mut self, cache: Cache) {
        self.count(&cache);
        self.cache = cache;
    }
}

/// The functions at addresses.
#[derive(Default)]
struct Cache {
    frames: HashMap<Address, Vec<Frame>>,
    /// Those of them that may be others when they are looked up again.
    passing: Vec<Address>,
    bytes: usize,
    forgotten: u64,
}

impl Cache {
    fn frames(&mut self, files: &mut Files<'_>, address: &Address) -> &[Frame] {
        if self.frames.len() == MAX_SYMBOLS && !self.frames.contains_key(address) {
            self.forgotten += self.frames.len() as u64;
            self.frames.clear();
            self.passing.clear();
            self.bytes = 0;
        }
        self.frames.entry(address.clone()).or_insert_with(|| {
            // Only now a file has to be read.
            let file = files.index(address.file.as_ref());
            let frames = files.frames(file, address.address);
            if !files.is_lasting(file) {
                self.passing.push(address.clone());
            }
            self.bytes += memory_bytes(&frames);
            frames
        })
    }

    fn keep_what_lasts(&mut self) {
        for address in std::mem::take(&mut self.passing) {
            let frames = self.frames.remove(&address);
            self.bytes -= frames.map_or(0, |frames| memory_bytes(&frames));
        }
        self.frames.shrink_to_fit();
    }

    fn memory_bytes(&self) -> usize {
        let places = self.frames.capacity() * size_of::<(Address, Vec<Frame>)>();
        self.bytes + places + self.passing.capacity() * size_of::<Address>()
    }
}

fn memory_bytes(frames: &[Frame]) -> usize {
    frames.iter().map(Frame::memory_bytes).sum()
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::stack::StackReader;

    #[test]
    fn functions_of_the_executable_are_kept_though_its_tables_are_given_back() {
        let own = Symbolizer::new as fn() -> Symbolizer as usize as u64;
        // The others are of a library, and of no file.
        let stack = || StackReader::new().unwrap().stack_of(&[own + 1, libc::getpid as *const () as u64 + 1, 2]);
        let symbolizer = Symbolizer::with_idle(Duration::ZERO);
        let resolve = || {
            let resolved = symbolizer.resolve(stack());
            symbolizer.wait(std::slice::from_ref(&resolved), Duration::from_secs(30));
            Arc::clone(resolved.frames().unwrap())
        };
        let until_it_is_idle = || {
            let deadline = Instant::now() + Duration::from_secs(30);
            while symbolizer.0.lock().is_running {
                assert!(Instant::now() < deadline, "it should end");
                std::thread::yield_now();
            }
        };
        let frames = resolve();
        assert!(frames[0].function.ends_with("Symbolizer::new") && frames[0].place.is_some(), "{frames:?}");
        until_it_is_idle();
        let Store { len_count, memory_bytes, .. } = symbolizer.store();
        assert!(len_count == 1 && memory_bytes >= super::memory_bytes(&frames[..1]) as u64, "{memory_bytes}");
        assert_eq!(resolve(), frames);

        until_it_is_idle();
        let arena = Arena::default();
        let mut files = Files::new(&arena);
        let mut cache = std::mem::take(&mut symbolizer.0.lock().cache);
        let known = &stack().addresses[0];
        cache.frames(&mut files, known);
        assert!(files.is_empty(), "it was known");
        // What has no line is kept as well, where the tables say so.
        let without_line = Address { address: 1, ..known.clone() };
        cache.frames(&mut files, &without_line);
        cache.keep_what_lasts();
        assert!(!files.is_empty() && cache.frames.contains_key(&without_line));
    }
}
