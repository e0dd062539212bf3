//! The functions of a profile's addresses: resolved in a thread of their own, remembered between two profiles. Separate
//! because reading line tables can take longer than anybody who asks may wait.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lens_core::stack::{Frame, Functions, Symbolize};
use lens_core::{Reading, Store, Unavailable, threads};

use crate::ffi::prof::Muted;

/// The most addresses of which the functions are remembered. A profile with more has the others without functions.
pub const MAX_CALL_ADDRESSES: usize = 16_384;

/// After how long without a new address the thread ends and gives the line tables back.
const IDLE: Duration = Duration::from_secs(20);

/// Resolves return addresses.
#[derive(Default)]
pub(super) struct CallFunctions(Arc<Shared>);

#[derive(Default)]
struct Shared {
    symbols: OnceLock<Arc<dyn Symbolize>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By the address that a call returns to.
    known: HashMap<u64, Arc<[Frame]>>,
    known_bytes: usize,
    dropped: u64,
    /// What the thread has yet to resolve.
    wanted: Vec<u64>,
    is_running: bool,
    /// Why the last addresses could not be resolved.
    failed: Option<Unavailable>,
}

impl fmt::Debug for CallFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFunctions").field("known", &self.0.lock().known.len()).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallFunctions {
    pub(super) fn set_symbols(&self, symbols: Arc<dyn Symbolize>) {
        // Two would know the same process.
        let _ = self.0.symbols.set(symbols);
    }

    /// The functions that call at `addresses`, which are waited for as long as `within`. What comes first is what there is
    /// room for.
    pub(super) fn resolve(
        &self,
        addresses: impl Iterator<Item = u64>,
        within: Duration,
    ) -> Reading<HashMap<u64, Arc<[Frame]>>> {
        let deadline = Instant::now() + within;
        let mut seen = HashSet::new();
        let asked: Vec<u64> = addresses.filter(|address| seen.insert(*address)).take(MAX_CALL_ADDRESSES).collect();
        let mut state = self.0.lock();
        state.make_room(&asked);
        state.failed = None;
        loop {
            let missing: Vec<u64> =
                asked.iter().filter(|address| !state.known.contains_key(address)).copied().collect();
            if missing.is_empty() {
                let found = asked.iter().filter_map(|address| Some((*address, state.known.get(address)?.clone())));
                return Ok(found.collect());
            }
            if let Some(reason) = state.failed.clone() {
                return Err(reason);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Unavailable::NotYet {
                    until: format!(
                        "the functions of {} addresses are found, some seconds, and ask again",
                        missing.len()
                    )
                    .into(),
                });
            }
            if state.wanted.is_empty() {
                state.wanted = missing;
                self.start(&mut state)?;
                self.0.changed.notify_all();
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn start(&self, state: &mut State) -> Reading<()> {
        if state.is_running {
            return Ok(());
        }
        let Some(symbols) = self.0.symbols.get().cloned() else {
            return Err(Unavailable::NotEnabled {
                how: "give the profiler something that knows functions: `HeapProfiler::set_symbols`".into(),
            });
        };
        let shared = Arc::clone(&self.0);
        let resolve = move || {
            // Line tables are megabytes: nobody wants to find lens in his profile.
            let _muted = Muted::this_thread();
            let broken = Broken(&shared);
            match symbols.serve(&mut || shared.next(), &mut |calls, frames| shared.keep(calls, frames)) {
                // `next` has said already that the thread ends; the next one may run by now.
                Ok(()) => std::mem::forget(broken),
                Err(reason) => shared.lock().failed = Some(reason),
            }
        };
        threads::spawn("lens-heap-names", None, resolve).map_err(|error| Unavailable::failed(error.to_string()))?;
        state.is_running = true;
        Ok(())
    }

    pub(super) fn store(&self) -> Store {
        let state = self.0.lock();
        Store {
            name: "heap profile functions".into(),
            len_count: state.known.len() as u64,
            cap_count: MAX_CALL_ADDRESSES as u64,
            memory_bytes: state.known_bytes as u64,
            dropped_total: state.dropped,
        }
    }
}

/// The thread's end before its time, be it by a panic: whoever waits for it is told.
struct Broken<'a>(&'a Shared);

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_running = false;
        if !state.wanted.is_empty() {
            state.wanted.clear();
            state.failed.get_or_insert_with(|| Unavailable::failed("the thread that finds functions ended"));
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// The next addresses of calls to resolve; none when there were none for a while.
    fn next(&self) -> Option<Vec<u64>> {
        let mut state = self.lock();
        while state.wanted.is_empty() {
            let (waited, timeout) = self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = waited;
            if timeout.timed_out() && state.wanted.is_empty() {
                state.is_running = false;
                return None;
            }
        }
        // An address is where a call returns to: the call itself is before it.
        Some(state.wanted.iter().map(|address| address.saturating_sub(1)).collect())
    }

    fn keep(&self, calls: &[u64], frames: Vec<Functions>) {
        let mut state = self.lock();
        state.wanted.clear();
        for (call, frames) in calls.iter().zip(frames) {
            state.known_bytes += frames.iter().map(Frame::memory_bytes).sum::<usize>();
            state.known.insert(call + 1, frames.into());
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    /// Forgets what is not asked for now, if it would be too much together.
    fn make_room(&mut self, asked: &[u64]) {
        let new = asked.iter().filter(|address| !self.known.contains_key(address)).count();
        if self.known.len() + new <= MAX_CALL_ADDRESSES {
            return;
        }
        let asked: HashSet<u64> = asked.iter().copied().collect();
        let before = self.known.len();
        self.known.retain(|address, _| asked.contains(address));
        self.dropped += (before - self.known.len()) as u64;
        self.known_bytes = self.known.values().flat_map(|frames| frames.iter()).map(Frame::memory_bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lens_core::stack::Origin;

    /// Knows a function at every address; those past 1000 take their time, and 0 is nowhere.
    struct Numbers;

    impl Symbolize for Numbers {
        fn serve(
            &self,
            next: &mut dyn FnMut() -> Option<Vec<u64>>,
            answer: &mut dyn FnMut(&[u64], Vec<Functions>),
        ) -> Reading<()> {
            while let Some(calls) = next() {
                if calls.contains(&0) {
                    return Err(Unavailable::failed("nothing is at 0"));
                }
                if calls.iter().any(|&call| call > 1000) {
                    std::thread::sleep(Duration::from_millis(100));
                }
                let frame = |call| Frame { function: format!("f{call}"), place: None, origin: Origin::Service };
                answer(&calls, calls.iter().map(|call| vec![frame(call)]).collect());
            }
            Ok(())
        }
    }

    fn functions() -> CallFunctions {
        let functions = CallFunctions::default();
        functions.set_symbols(Arc::new(Numbers));
        functions
    }

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn a_return_address_is_the_function_that_called() {
        let found = functions().resolve([11, 21, 11].into_iter(), LONG).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((&*found[&11][0].function, &*found[&21][0].function), ("f10", "f20"));
    }

    #[test]
    fn who_cannot_wait_is_told_so_and_finds_it_later() {
        let functions = functions();
        let early = functions.resolve([2001].into_iter(), Duration::from_millis(1)).unwrap_err();
        assert_eq!(early.code(), "not_yet");
        assert_eq!(functions.resolve([2001].into_iter(), LONG).unwrap()[&2001][0].function, "f2000");
    }

    #[test]
    fn what_cannot_be_resolved_says_why_and_the_next_one_is_tried_again() {
        let functions = functions();
        let error = functions.resolve([1].into_iter(), LONG).unwrap_err();
        assert_eq!(error.to_string(), "nothing is at 0");
        assert_eq!(functions.resolve([11].into_iter(), LONG).unwrap().len(), 1);
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let functions = functions();
        let most = MAX_CALL_ADDRESSES as u64;
        assert_eq!(functions.resolve(1_000_000..1_000_000 + most + 5, LONG).unwrap().len(), MAX_CALL_ADDRESSES);
        functions.resolve(1_000_000 - 10..1_000_000 + 10, LONG).unwrap();
        let store = functions.store();
        assert_eq!((store.len_count, store.dropped_total), (20, most - 10));
    }
}
