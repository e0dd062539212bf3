//! The stack of another thread of this process, taken without a signal and without stopping it. Separate because it knows
//! nothing of tokio: it is given a thread's number and gives a stack.
//!
//! - A thread that waits in the kernel: the kernel tells where it is (`/proc/self/task/TID/syscall`), its stack is copied
//!   and walked by the unwind tables, and that it was given no processor in between is verified afterwards.
//! - A thread that runs: one sample of the kernel's clock for that thread (`perf_event_open`), where the system allows it.
//!
//! Neither makes a system call of the thread fail with `EINTR`, takes a lock or runs code in it. The addresses become
//! functions and lines in a thread of their own, [`Symbolizer`].
//!
//! Source: `/proc/self/{mem,maps,task}`, the unwind tables of the loaded files, perf_event_open(2); Linux on x86-64.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod elsewhere;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod linux;
mod loaded;
mod ready;
mod symbols;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
use elsewhere as platform;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use linux as platform;

pub use loaded::LoadedFiles;
use platform::syscall_name;
pub use platform::{Sample, StackReader};
pub(crate) use platform::{has_lines, is_waiting, scheduled};
pub(crate) use ready::Ready;
pub use symbols::{Frame, MAX_SYMBOLS, Origin, Resolved, Symbolizer};

/// The most frames of one stack that are kept, from the innermost on.
pub const MAX_FRAMES: usize = 128;

/// How many bytes of unwind tables are copied at most. A service has about a tenth of its code's size.
pub const MAX_TABLES_BYTES: usize = 24 * 1024 * 1024;

/// How long a running thread may take to be sampled, once it was asked for. One that gets no sample in that time spends it in
/// kernel code, or gets no processor.
pub const SAMPLE_DEADLINE: Duration = Duration::from_millis(100);

/// What the kernel's scheduler has given to a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scheduled {
    /// How long it ran.
    pub(crate) ran_ns: u64,
    /// How long it waited for a processor, without a wait that goes on: the kernel adds it up when it ends.
    pub(crate) waited_ns: u64,
    /// How often it was given a processor.
    pub(crate) times: u64,
}

impl Scheduled {
    /// What it was given since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            ran_ns: self.ran_ns.saturating_sub(before.ran_ns),
            waited_ns: self.waited_ns.saturating_sub(before.waited_ns),
            times: self.times.saturating_sub(before.times),
        }
    }

    pub(crate) fn ran(self) -> Duration {
        Duration::from_nanos(self.ran_ns)
    }

    pub(crate) fn waited(self) -> Duration {
        Duration::from_nanos(self.waited_ns)
    }
}

/// The stack of a thread at one instant: addresses, innermost frame first.
#[derive(Clone, Debug)]
pub struct Stack {
    addresses: Arc<[Address]>,
    is_complete: bool,
    call: Option<u32>,
}

/// Where a frame is, in the file that its code comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Address {
    /// `None` for code that is in no file.
    file: Option<Arc<LoadedFile>>,
    /// The file's own address of the instruction that runs, or that called.
    address: u64,
}

impl Stack {
    /// How many frames it has; a function that is inlined into another is part of that one's frame.
    #[must_use]
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether it has no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Whether it reaches down to the thread's first function. One that does not is right as far as it goes.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn memory_bytes(&self) -> usize {
        self.addresses.len() * size_of::<Address>()
    }

    /// The name of the system call that the thread waited in: `"futex"`.
    #[must_use]
    pub fn call(&self) -> Option<String> {
        self.call.map(syscall_name)
    }
}

/// A file that is loaded, and where.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LoadedFile {
    /// `[vdso]` is none.
    path: PathBuf,
    /// Whether the file was replaced since it was loaded.
    is_deleted: bool,
    /// What is added to the file's addresses.
    bias: u64,
}

impl LoadedFile {
    /// The last part of the path.
    fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or("?")
    }
}

/// What came of looking at a thread.
#[derive(Debug)]
pub enum Look {
    /// Its stack.
    Stack(Stack),
    /// It is running; [`Sample::poll`] gives its stack as soon as there is one.
    Running(Sample),
    /// It did not stay where it was: it makes progress.
    Moving,
}
