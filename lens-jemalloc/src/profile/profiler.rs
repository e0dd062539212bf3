//! Reads profiles, and keeps what makes the next one comparable and cheap: the base, and the functions of addresses.
//! Separate because it is the only part of profiles that has a memory.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lens_core::stack::{Frame, Symbolize};
use lens_core::{Reading, Store, Timestamp, Unavailable};

use super::dump::{Dump, DumpedStack, Use};
use super::functions::CallFunctions;
use super::sampling::{Sampled, Sampling, StartError, Switch};
use super::sites::without_allocator;
use super::{HeapProfile, LeftOut, StackUse};
use crate::ffi::mallctl::number;
use crate::ffi::prof::{self, Muted};
use crate::ffi::thread::ThreadCounters;

/// The most stacks that a profile has; of more, those that hold least are added up.
pub const MAX_STACKS: usize = 4096;

/// The most stacks of which it is remembered what they held at the base.
pub const MAX_BASE_STACKS: usize = MAX_STACKS;

/// How long the reader of a profile waits for functions that are not known yet. A query has a second in all.
const FUNCTIONS_DEADLINE: Duration = Duration::from_millis(250);

/// Reads heap profiles and switches the sampling that they need. A clone is the same one; sampling that it switched on
/// ends with the last one.
#[derive(Clone)]
pub struct HeapProfiler(Arc<Owner>);

struct Owner {
    functions: CallFunctions,
    switch: Switch,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    base: HashMap<Box<[u64]>, Use>,
    base_at: Option<Timestamp>,
    base_dropped: u64,
}

impl fmt::Debug for HeapProfiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapProfiler").field("switch", &self.0.switch).finish_non_exhaustive()
    }
}

impl Default for HeapProfiler {
    fn default() -> Self {
        Self(Arc::new(Owner {
            functions: CallFunctions::default(),
            switch: Switch::default(),
            memory: Mutex::default(),
        }))
    }
}

impl HeapProfiler {
    /// Has addresses resolved by `symbols`; the first one that is set stays.
    pub fn set_symbols(&self, symbols: Arc<dyn Symbolize>) {
        self.0.functions.set_symbols(symbols);
    }

    /// Whether profiles can be read.
    ///
    /// # Errors
    ///
    /// jemalloc was built without profiles, or was not told to keep them when the process started.
    pub fn availability(&self) -> Reading<()> {
        if ThreadCounters::current().is_none() {
            return Err(Unavailable::NotGlobalAllocator);
        }
        if !number::<u8>(c"config.prof")? {
            return Err(Unavailable::NotCompiledIn {
                what: "jemalloc's heap profile".into(),
                fix:
                    "enable the feature `profiling` of lens, and write `lens::heap_profiles!();` beside the service's \
                      `main`"
                        .into(),
            });
        }
        if !number::<u8>(c"opt.prof")? {
            return Err(Unavailable::NotEnabled {
                how: "write `lens::heap_profiles!();` beside the service's `main`, or start it with \
                      `_RJEM_MALLOC_CONF=prof:true,prof_active:false`"
                    .into(),
            });
        }
        Ok(())
    }

    /// Samples allocations for `length`, and makes now the base of [`read`](Self::read)'s growth. Where the service itself
    /// has sampling on, it only sets the base.
    ///
    /// Effect: until it ends, about one allocation in 512 KiB takes 2 to 3 µs for its stack, and large ones twice as long
    /// as before: 0.6 % of a core for each GB/s that the service allocates.
    ///
    /// # Errors
    ///
    /// It is on already, `length` is none or more than [`MAX_SAMPLING`](super::MAX_SAMPLING), or there are no profiles here.
    pub fn sample(&self, length: Duration) -> Result<Sampled, StartError> {
        self.availability()?;
        let ends = self.0.switch.start(length)?;
        let sampled = Sampled { profiler: self.clone(), ends };
        let dump = dump()?;
        self.lock().set_base(&dump);
        Ok(sampled)
    }

    /// Ends the sampling that [`sample`](Self::sample) began, whoever asked for it; gives whether there was any.
    #[must_use]
    pub fn stop(&self) -> bool {
        self.0.switch.stop(None)
    }

    pub(super) fn end(&self, ends: Instant) {
        self.0.switch.stop(Some(ends));
    }

    /// How allocations are sampled.
    ///
    /// # Errors
    ///
    /// There are no profiles here.
    pub fn sampling(&self) -> Reading<Sampling> {
        self.availability()?;
        self.0.switch.sampling()
    }

    /// Reads the profile of now.
    ///
    /// # Cost
    ///
    /// 0.2 ms with few stacks and 25 ms with 3000, during which threads that take a sample wait. For stacks that are new,
    /// the time in which their functions are found, of a thread of lens's own.
    ///
    /// # Errors
    ///
    /// There are no profiles here, nothing was sampled yet, jemalloc refused, or it takes longer than a quarter of a second to find
    /// the functions of new stacks: they are there when it is asked again.
    pub fn read(&self) -> Reading<HeapProfile> {
        let sampling = self.sampling()?;
        if !sampling.is_on && sampling.windows_total == 0 {
            return Err(Unavailable::NotEnabled {
                how: "nothing was sampled yet: `POST /debug/lens/pprof/heap?seconds=60` samples for a minute".into(),
            });
        }
        // Outside of the lock: whoever asks what lens keeps must not wait for a profile.
        let dump = dump()?;
        let mut memory = self.lock();
        if memory.base_at.is_none() {
            memory.set_base(&dump);
        }
        let counts_freed = number::<u8>(c"opt.prof_accum").unwrap_or(false);
        let stacks = memory.compare(dump);
        drop(memory);
        stacks.profile(sampling, counts_freed, &self.0.functions)
    }

    /// What it keeps in memory.
    #[must_use]
    pub fn stores(&self) -> Vec<Store> {
        let memory = self.lock();
        let base_bytes: usize =
            memory.base.keys().map(|stack| size_of_val(&**stack) + size_of::<(Box<[u64]>, Use)>()).sum();
        vec![
            self.0.functions.store(),
            Store {
                name: "heap profile base".into(),
                len_count: memory.base.len() as u64,
                cap_count: MAX_BASE_STACKS as u64,
                memory_bytes: base_bytes as u64,
                dropped_total: memory.base_dropped,
            },
        ]
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // What a panic left behind is a base or functions that are right as far as they go.
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dump() -> Reading<Dump> {
    // The text is megabytes: nobody wants to find lens in his profile.
    let _muted = Muted::this_thread();
    Dump::parse(&prof::dump()?)
}

impl Memory {
    fn set_base(&mut self, dump: &Dump) {
        self.base.clear();
        let mut stacks: Vec<&DumpedStack> = dump.stacks.iter().filter(|stack| stack.live.bytes > 0).collect();
        stacks.sort_unstable_by_key(|stack| Reverse(stack.live.bytes));
        self.base_dropped += stacks.len().saturating_sub(MAX_BASE_STACKS) as u64;
        self.base.extend(stacks.into_iter().take(MAX_BASE_STACKS).map(|stack| (stack.addresses.clone(), stack.live)));
        self.base_at = Some(Timestamp::now());
    }

    /// Puts the base beside each stack, and leaves out those for which there is no room.
    fn compare(&self, dump: Dump) -> Compared {
        // What was there at the base and is gone now has shrunk.
        let alive: HashSet<&[u64]> = dump.stacks.iter().map(|stack| &*stack.addresses).collect();
        let gone = self.base.keys().filter(|stack| !alive.contains(&***stack));
        let gone: Vec<_> =
            gone.map(|stack| DumpedStack { addresses: stack.clone(), ..DumpedStack::default() }).collect();
        let mut stacks: Vec<(DumpedStack, Use)> = dump
            .stacks
            .into_iter()
            .chain(gone)
            .map(|stack| {
                let base = self.base.get(&stack.addresses).copied().unwrap_or_default();
                (stack, base)
            })
            .collect();
        stacks.sort_by_key(|(stack, base)| Reverse(stack.live.bytes.max(base.bytes)));
        let rest = stacks.split_off(stacks.len().min(MAX_STACKS));
        let left_out = LeftOut {
            stack_count: rest.len() as u64,
            live: rest.iter().fold(Use::default(), |sum, (stack, _)| sum + stack.live),
        };
        stacks.sort_by_key(|(stack, _)| Reverse(stack.live.bytes));
        Compared { at: Timestamp::now(), base_at: self.base_at, stacks, left_out }
    }
}

/// Stacks of addresses, with what they held at the base.
struct Compared {
    at: Timestamp,
    base_at: Option<Timestamp>,
    stacks: Vec<(DumpedStack, Use)>,
    left_out: LeftOut,
}

impl Compared {
    /// The same with functions.
    fn profile(self, sampling: Sampling, counts_freed: bool, functions: &CallFunctions) -> Reading<HeapProfile> {
        let _muted = Muted::this_thread();
        let calls = self.stacks.iter().flat_map(|(stack, _)| stack.addresses.iter().copied());
        let functions = functions.resolve(calls, FUNCTIONS_DEADLINE)?;
        let mut frames = Vec::new();
        let mut index: HashMap<Frame, u32> = HashMap::new();
        let stacks = self.stacks.iter().map(|(stack, base)| {
            let known = stack.addresses.iter().filter_map(|address| functions.get(address));
            let whole: Vec<&Frame> = known.flat_map(|frames| frames.iter()).collect();
            let own = without_allocator(&whole).iter().map(|&frame| {
                *index.entry(frame.clone()).or_insert_with(|| {
                    frames.push(frame.clone());
                    u32::try_from(frames.len() - 1).unwrap_or(u32::MAX)
                })
            });
            StackUse {
                frames: own.collect(),
                sample_count: stack.sample_count,
                live: stack.live,
                base: *base,
                total: counts_freed.then_some(stack.total),
            }
        });
        let stacks = stacks.collect();
        Ok(HeapProfile { at: self.at, sampling, base_at: self.base_at, frames, stacks, left_out: self.left_out })
    }
}
