//! Takes stacks on Linux for x86-64. Separate because registers, unwind tables and the kernel's files are the platform's.

mod debug;
mod memory;
mod modules;
mod ready;
mod running;
mod scheduled;
mod syscalls;
mod unwind;
mod waiting;

use std::time::{Duration, Instant};

use gimli::UnwindContext;
use lens_core::{Reading, Unavailable};

use memory::Memory;
use modules::Module;
use ready::Ready;
use running::Pending;
use waiting::{Miss, Walk};

use super::{Address, LoadedFile, Look, MAX_FRAMES, SAMPLE_DEADLINE, Stack};

pub(super) use debug::{Arena, Files};
pub(crate) use scheduled::scheduled;
pub(crate) use syscalls::name as syscall_name;
pub(crate) use waiting::is_waiting;

/// How often it is looked for code that was loaded meanwhile.
const RELOAD: Duration = Duration::from_secs(10);

/// The stack of a running thread, as soon as it is there.
#[derive(Debug)]
pub struct Sample {
    tid: u32,
    /// Since when it is pending, or could be.
    since: Instant,
    /// `None` while the system is not ready, or has no room for it.
    pending: Option<Pending>,
}

/// Takes stacks. For one thread of lens at a time.
#[derive(Debug)]
pub struct StackReader {
    memory: Memory,
    modules: Vec<Module>,
    read_at: Instant,
    context: UnwindContext<usize>,
    buffer: Vec<u8>,
    ready: Ready,
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
        Ok(Self {
            memory,
            modules,
            read_at: Instant::now(),
            context: UnwindContext::new(),
            buffer: Vec::new(),
            ready: Ready::new(),
        })
    }

    /// Takes the stack of the thread `tid` of this process.
    ///
    /// Cost: 20 to 100 µs of the caller; the thread itself does nothing.
    ///
    /// # Errors
    ///
    /// The thread is gone, or it runs and the system does not allow to sample it.
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
                Err(Miss::Running) => {
                    self.ready.want();
                    let mut sample = Sample { tid, since: Instant::now(), pending: None };
                    sample.ask(&mut self.ready)?;
                    return Ok(Look::Running(sample));
                }
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

    /// Has the system make ready for samples of running threads, which are up to 20 ms late otherwise, and keep so for a
    /// minute. To be called by the thread that looks.
    ///
    /// Cost: a thread of lens for up to 20 ms, and of each switch between threads on the machine some 60 ns for that minute;
    /// nothing if it is ready.
    pub fn expect(&mut self) {
        self.ready.want();
    }

    /// Gives up what was not wanted for a minute; says whether running threads can be sampled, as the system answered last.
    ///
    /// # Errors
    ///
    /// What would allow it; or the system was not asked, or has yet to answer.
    pub fn rest(&mut self) -> Reading<()> {
        self.ready.rest()
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
    /// # Errors
    ///
    /// The system does not allow it. That it has no room now is none: others are sampled as well, and soon done.
    fn ask(&mut self, ready: &mut Ready) -> Reading<()> {
        let Some(answer) = ready.poll() else {
            self.since = Instant::now();
            return Ok(());
        };
        match answer.and_then(|()| Pending::ask(self.tid)) {
            Ok(pending) => {
                self.pending = Some(pending);
                self.since = Instant::now();
            }
            Err(Unavailable::Failed { .. }) if !self.is_late() => {}
            Err(reason) => return Err(reason),
        }
        Ok(())
    }

    fn is_late(&self) -> bool {
        self.since.elapsed() > SAMPLE_DEADLINE
    }

    /// The stack, once the thread was sampled; `None` while it was not.
    ///
    /// # Errors
    ///
    /// The system does not allow it, or has no room for it in [`SAMPLE_DEADLINE`]; or as long has passed since it had.
    pub fn poll(&mut self, reader: &mut StackReader) -> Reading<Option<Stack>> {
        let Some(pending) = &self.pending else {
            self.ask(&mut reader.ready)?;
            return Ok(None);
        };
        if let Some(walk) = pending.walk(&reader.modules, &mut reader.context) {
            reader.reload(&walk);
            return Ok(Some(reader.stack(&walk)));
        }
        if self.is_late() {
            let what = format!(
                "the thread {} was not sampled in {SAMPLE_DEADLINE:?}: it got no processor, or spent the time in kernel code",
                self.tid
            );
            return Err(Unavailable::failed(what));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
