//! The stack of a thread that runs, without a signal: one sample of the kernel's software clock for that thread, with its
//! registers and a copy of its stack. Separate because it is the one part that talks to the kernel in raw memory.
//!
//! A signal would do it on every system, but a system call that the thread enters before the signal arrives then fails
//! with `EINTR`, `SA_RESTART` or not: the service would behave differently for being looked at. The clock's interrupt
//! is taken while the thread runs its own code, and the thread never learns of it.
#![expect(unsafe_code, reason = "a system call without a wrapper, and a buffer that the kernel writes")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gimli::{Register, UnwindContext, X86_64};
use lens_core::{Reading, Unavailable};

use super::memory::StackCopy;
use super::modules::Module;
use super::unwind::{self, Registers};
use super::waiting::Walk;

/// How long a thread has to run before it is sampled: as soon as the kernel can.
const PERIOD: Duration = Duration::from_micros(50);

/// How much of the stack the kernel copies: what fits into one record.
const STACK: u32 = 48 * 1024;

/// One page for the kernel's positions, then the records.
const PAGE: usize = 4096;
const RECORDS: usize = 16 * PAGE;

/// `struct perf_event_attr` up to `PERF_ATTR_SIZE_VER3`, see perf_event_open(2).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clock: i32,
}

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;
const PERF_SAMPLE_REGS_USER: u64 = 1 << 12;
const PERF_SAMPLE_STACK_USER: u64 = 1 << 13;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
const PERF_EVENT_IOC_REFRESH: libc::Ioctl = 0x2402;
const PERF_RECORD_SAMPLE: u32 = 9;
const DISABLED: u64 = 1;
const EXCLUDE_KERNEL: u64 = 1 << 5;
const EXCLUDE_HYPERVISOR: u64 = 1 << 6;

/// The kernel's numbers of the registers that are asked for, in its order, and what DWARF calls them.
const WANTED: [(u32, Register); 8] = [
    (1, X86_64::RBX),
    (6, X86_64::RBP),
    (7, X86_64::RSP),
    (8, X86_64::RA),
    (20, X86_64::R12),
    (21, X86_64::R13),
    (22, X86_64::R14),
    (23, X86_64::R15),
];

/// The kernel's clock of a thread. It stands still until it is armed.
#[derive(Debug)]
pub(crate) struct Event(File);

impl Event {
    /// That of the thread `tid` of this process.
    ///
    /// # Errors
    ///
    /// The kernel does not allow it; the reason says what would.
    pub(crate) fn of(tid: u32) -> Reading<Self> {
        // In kernel code, too, where that is allowed: what a system call that computes belongs to.
        let event = open(tid, 0).or_else(|_| open(tid, EXCLUDE_KERNEL));
        event.map(Self).map_err(|error| refused(&error))
    }
}

/// A sample that was asked for and may come.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Closed after the mapping is gone.
    ring: Ring,
    _event: Event,
}

impl Pending {
    /// Asks for one sample of the thread `tid` of this process.
    ///
    /// # Errors
    ///
    /// The kernel does not allow it; the reason says what would.
    pub(crate) fn ask(tid: u32) -> Reading<Self> {
        let event = Event::of(tid)?;
        let ring = Ring::map(&event.0).map_err(|error| Unavailable::failed(format!("perf's buffer: {error}")))?;
        // SAFETY: ioctl(2) on a descriptor that is open; REFRESH takes a number and writes no memory.
        let armed = unsafe { libc::ioctl(event.0.as_raw_fd(), PERF_EVENT_IOC_REFRESH, 1) };
        if armed != 0 {
            return Err(Unavailable::failed(format!("perf's event: {}", io::Error::last_os_error())));
        }
        Ok(Self { ring, _event: event })
    }

    /// The walk of the stack that was sampled; `None` while it was not.
    pub(crate) fn walk(&self, modules: &[Module], context: &mut UnwindContext<usize>) -> Option<Walk> {
        let Sample { registers, stack } = parse(&self.ring.record()?)?;
        let mut stack = StackCopy::whole(registers.get(X86_64::RSP)?, stack);
        let mut steps = Vec::with_capacity(super::MAX_FRAMES);
        let end = unwind::walk(modules, context, registers, &mut stack, &mut steps, true);
        Some(Walk { steps, end, call: None })
    }
}

fn open(tid: u32, flags: u64) -> io::Result<File> {
    let attributes = Attributes {
        kind: PERF_TYPE_SOFTWARE,
        size: u32::try_from(size_of::<Attributes>()).expect("96"),
        config: PERF_COUNT_SW_CPU_CLOCK,
        sample_period: u64::try_from(PERIOD.as_nanos()).expect("microseconds"),
        sample_type: PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
        flags: DISABLED | EXCLUDE_HYPERVISOR | flags,
        wakeup_events: 1,
        sample_regs_user: WANTED.iter().fold(0, |mask, (number, _)| mask | 1 << number),
        sample_stack_user: STACK,
        ..Attributes::default()
    };
    let (any_cpu, no_group) = (-1, -1);
    // SAFETY: perf_event_open(2): the attributes are of the size that they say, and only read.
    let descriptor = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attributes, tid, any_cpu, no_group, PERF_FLAG_FD_CLOEXEC)
    };
    let descriptor = i32::try_from(descriptor).ok().filter(|&descriptor| descriptor >= 0);
    let Some(descriptor) = descriptor else { return Err(io::Error::last_os_error()) };
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

fn refused(error: &io::Error) -> Unavailable {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Unavailable::NotEnabled {
            how: "let the process use perf_event_open for its own threads: kernel.perf_event_paranoid at 2 or less \
                  (or CAP_PERFMON), and in a container a seccomp profile that allows the call"
                .into(),
        },
        Some(libc::ENOSYS) => Unavailable::UnsupportedPlatform { needs: "perf_event_open".into() },
        _ => Unavailable::failed(format!("perf_event_open: {error}")),
    }
}

/// The buffer that the kernel writes the sample to.
#[derive(Debug)]
struct Ring(NonNull<u8>);

// SAFETY: the mapping belongs to this value alone, and is not tied to a thread.
unsafe impl Send for Ring {}

impl Ring {
    fn map(event: &File) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: mmap(2) of a new range that the kernel chooses.
        let mapped = unsafe {
            libc::mmap(std::ptr::null_mut(), PAGE + RECORDS, protection, libc::MAP_SHARED, event.as_raw_fd(), 0)
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(mapped.cast()).map(Self).ok_or_else(|| io::Error::other("mapped at 0"))
    }

    /// The one record, if it is written. The event stops itself after one, so the buffer never wraps.
    fn record(&self) -> Option<Vec<u8>> {
        const HEAD: usize = 1024;
        // SAFETY: `data_head` is at this offset of the first page, which is mapped and aligned.
        let head = unsafe { self.0.add(HEAD) }.cast::<AtomicU64>();
        // SAFETY: the kernel writes it as one word, and barriers pair with an acquiring load (perf_event_open(2)).
        let len = unsafe { head.as_ref() }.load(Ordering::Acquire);
        let len = usize::try_from(len).ok().filter(|&len| 0 < len && len <= RECORDS)?;
        // SAFETY: the records follow the first page.
        let records = unsafe { self.0.add(PAGE) };
        // SAFETY: the kernel has finished these bytes: they are before the head that was just loaded.
        Some(unsafe { std::slice::from_raw_parts(records.as_ptr(), len) }.to_vec())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: munmap(2) of exactly what was mapped; no reference to it is left.
        unsafe { libc::munmap(self.0.as_ptr().cast(), PAGE + RECORDS) };
    }
}

struct Sample {
    registers: Registers,
    stack: Vec<u8>,
}

/// The first sample among the records: `{ header; abi; registers; size; stack; size of the stack that was there }`.
fn parse(mut records: &[u8]) -> Option<Sample> {
    const ABI_64: u64 = 2;
    loop {
        let kind = u32::from_le_bytes(records.get(..4)?.try_into().ok()?);
        let len = usize::from(u16::from_le_bytes(records.get(6..8)?.try_into().ok()?));
        let body = records.get(8..len)?;
        records = records.get(len..)?;
        if kind != PERF_RECORD_SAMPLE {
            continue;
        }
        let mut words = body.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
        if words.next()? != ABI_64 {
            return None;
        }
        let mut registers = Registers::default();
        for (_, register) in WANTED {
            registers.set(register, Some(words.next()?));
        }
        let size = usize::try_from(words.next()?).ok()?;
        let start = 8 * (WANTED.len() + 2);
        let stack = body.get(start..start.checked_add(size)?)?;
        let used = body.get(start + size..start + size + 8)?;
        let used = usize::try_from(u64::from_le_bytes(used.try_into().ok()?)).ok()?;
        return Some(Sample { registers, stack: stack.get(..used)?.to_vec() });
    }
}
