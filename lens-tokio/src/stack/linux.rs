//! Takes stacks on Linux for x86-64. Separate because registers, unwind tables and the kernel's files are the platform's.

mod debug;
mod memory;
mod modules;
mod running;
mod scheduled;
mod syscalls;
mod unwind;
mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gimli::UnwindContext;
use lens_core::{Reading, Unavailable};

use memory::Memory;
use modules::Module;
use running::Pending;
use waiting::{Miss, Walk};

use super::{Address, LoadedFile, Look, MAX_FRAMES, SAMPLE_DEADLINE, Stack};

pub(crate) use debug::has_lines;
pub(super) use debug::{Arena, Files};
pub(crate) use running::Event;
pub(crate) use scheduled::scheduled;
pub(crate) use syscalls::name as syscall_name;
pub(crate) use waiting::is_waiting;

/// How often it is looked for code that was loaded meanwhile.
const RELOAD: Duration = Duration::from_secs(10);

/// The stack of a running thread, as soon as it is there.
#[derive(Debug)]
pub struct Sample {
    tid: u32,
    /// `None` while there is no room for it.
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    pending: Pending,
    since: Instant,
    _place: Place,
}

/// How many threads are sampled at once. Each sample locks 68 KiB of memory, of which the system lets a user have 516 KiB
/// a processor.
const MAX_SAMPLES: usize = 6;
static SAMPLES: AtomicUsize = AtomicUsize::new(0);

/// Takes stacks. For one thread of lens at a time.
#[derive(Debug)]
pub struct StackReader {
    memory: Memory,
    modules: Vec<Module>,
    read_at: Instant,
    context: UnwindContext<usize>,
    buffer: Vec<u8>,
}

impl StackReader {
    /// Reads the unwind tables of all loaded files.
    ///
    /// Cost: some milliseconds, and a tenth of the code's size in memory.
    ///
    /// # Errors
    ///
    /// The system is not Linux on x86-64, or `/proc` is not there or hidden from the process.
    pub fn new() -> Reading<Self> {
        let unreadable = |what: &'static str| move |error| Unavailable::failed(format!("{what}: {error}"));
        let memory = Memory::open().map_err(unreadable("/proc/self/mem"))?;
        let modules = modules::read(&memory, &[]).map_err(unreadable("/proc/self/maps"))?;
        Ok(Self { memory, modules, read_at: Instant::now(), context: UnwindContext::new(), buffer: Vec::new() })
    }

    /// Takes the stack of the thread `tid` of this process.
    ///
    /// Cost: 20 to 100 µs of the caller; the thread itself does nothing. One that runs is not sampled before
    /// [`Sample::poll`].
    ///
    /// # Errors
    ///
    /// The thread is gone.
    pub fn look(&mut self, tid: u32) -> Reading<Look> {
        const TRIES: usize = 3;
        for _ in 0..TRIES {
            match waiting::walk(tid, &self.memory, &self.modules, &mut self.context, &mut self.buffer) {
                Ok(walk) => {
                    if self.reload(&walk) {
                        continue;
                    }
                    return Ok(Look::Stack(self.stack(&walk)));
                }
                Err(Miss::Moved) => {}
                Err(Miss::Running) => return Ok(Look::Running(Sample { tid, asked: None })),
                Err(Miss::Refused(error)) => {
                    return Err(Unavailable::failed(format!("/proc/self/task/{tid}: {error}")));
                }
            }
        }
        Ok(Look::Moving)
    }

    /// Takes the stack of the thread `tid` of this process if it waits in the kernel, and leaves it alone if it runs.
    ///
    /// Cost: 20 to 100 µs of the caller; the thread itself does nothing.
    ///
    /// # Errors
    ///
    /// The thread is gone.
    pub fn look_if_waiting(&mut self, tid: u32) -> Reading<Option<Stack>> {
        match waiting::walk(tid, &self.memory, &self.modules, &mut self.context, &mut self.buffer) {
            Ok(walk) => Ok(Some(self.stack(&walk))),
            Err(Miss::Moved | Miss::Running) => Ok(None),
            Err(Miss::Refused(error)) => Err(Unavailable::failed(format!("/proc/self/task/{tid}: {error}"))),
        }
    }

    /// The stack that has these return addresses, innermost first: of a thread that has walked its own.
    pub(crate) fn stack_of(&self, returns: &[u64]) -> Stack {
        let steps = returns.iter().map(|&pc| unwind::Step { pc, is_exact: false }).collect();
        self.stack(&Walk { steps, end: unwind::End::TooDeep, call: None })
    }

    /// Bytes of the unwind tables.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.modules.iter().map(Module::tables_bytes).sum::<usize>() + self.buffer.capacity()
    }

    /// Reads what is loaded again, if a walk ended in code that is not known.
    fn reload(&mut self, walk: &Walk) -> bool {
        let is_unknown = walk.end == unwind::End::NoTable
            && walk.steps.last().is_some_and(|step| !self.modules.iter().any(|module| module.contains(step.address())));
        if !is_unknown || self.read_at.elapsed() < RELOAD {
            return false;
        }
        self.read_at = Instant::now();
        match modules::read(&self.memory, &self.modules) {
            Ok(modules) => {
                self.modules = modules;
                true
            }
            Err(_) => false,
        }
    }

    fn stack(&self, walk: &Walk) -> Stack {
        let addresses = walk.steps.iter().map(|step| modules::address(&self.modules, step.address()));
        Stack { addresses: addresses.collect(), is_complete: walk.end == unwind::End::Root, call: walk.call }
    }
}

/// The files that are loaded.
#[derive(Default)]
pub(super) struct Loaded(Vec<Module>);

impl Loaded {
    /// Where `addresses` are in the files that are loaded now. A file that was there before is the same one.
    ///
    /// # Errors
    ///
    /// `/proc` is not there or hidden from the process.
    pub(super) fn locate(&mut self, addresses: &[u64]) -> Reading<Vec<Address>> {
        let unreadable = |error| Unavailable::failed(format!("/proc/self/maps and /proc/self/mem: {error}"));
        self.0 = Memory::open().and_then(|memory| modules::read_code(&memory, &self.0)).map_err(unreadable)?;
        Ok(addresses.iter().map(|&address| modules::address(&self.0, address)).collect())
    }
}

impl Sample {
    /// Asks the system for the sample, the first time, and gives the stack once it is there; `None` while it is not.
    ///
    /// Cost: some 50 µs of the caller, and of the thread one interrupt; the first time up to 20 ms of the caller, unless
    /// the system is kept ready.
    ///
    /// # Errors
    ///
    /// The system does not allow it, or [`SAMPLE_DEADLINE`] has passed since it was asked.
    pub fn poll(&mut self, reader: &mut StackReader) -> Reading<Option<Stack>> {
        let Some(asked) = &self.asked else {
            if let Some(place) = Place::take() {
                let pending = Pending::ask(self.tid)?;
                self.asked = Some(Asked { pending, since: Instant::now(), _place: place });
            }
            return Ok(None);
        };
        if let Some(walk) = asked.pending.walk(&reader.modules, &mut reader.context) {
            reader.reload(&walk);
            return Ok(Some(reader.stack(&walk)));
        }
        if asked.since.elapsed() > SAMPLE_DEADLINE {
            let what = format!(
                "the thread {} was not sampled in {SAMPLE_DEADLINE:?}: it got no processor, or spent the time in kernel code",
                self.tid
            );
            return Err(Unavailable::failed(what));
        }
        Ok(None)
    }
}

/// A place among those that are sampled.
#[derive(Debug)]
struct Place(());

impl Place {
    fn take() -> Option<Self> {
        let more = |samples: usize| (samples < MAX_SAMPLES).then(|| samples + 1);
        SAMPLES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok().then(|| Self(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        SAMPLES.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
