//! The stack of a thread that waits in the kernel, without a signal: the kernel tells its program counter and stack
//! pointer, the rest is read from its stack. Separate because of what the kernel does not tell: the other registers.

use std::fs;
use std::io;

use gimli::{UnwindContext, X86_64};

use super::memory::{Memory, StackCopy};
use super::modules::Module;
use super::unwind::{self, End, Registers, Step};

/// What a thread is doing, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It runs, or waits for a processor.
    Running,
    /// It waits in the kernel.
    Waiting {
        /// The system call's number; `None` if it is in none (it waits for a page of memory).
        call: Option<u32>,
        sp: u64,
        pc: u64,
        /// The call's arguments too: what must not change while the stack is read.
        line: String,
    },
}

/// What the thread `tid` of this process is doing.
///
/// # Errors
///
/// There is no such thread, or the process may not look.
pub(crate) fn doing(tid: u32) -> io::Result<Doing> {
    // "202 0x7f.. 0x80 0x2 0x0 0x0 0x7f.. 0x7ffd.. 0x7f..": number, arguments, stack pointer, program counter.
    let line = fs::read_to_string(format!("/proc/self/task/{tid}/syscall"))?;
    if line.starts_with("running") {
        return Ok(Doing::Running);
    }
    let parsed = || {
        let mut words = line.split_ascii_whitespace();
        let call = words.next()?.parse::<i64>().ok()?;
        let pc = words.next_back()?;
        let sp = words.next_back()?;
        let hex = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
        Some((u32::try_from(call).ok(), hex(sp)?, hex(pc)?))
    };
    let Some((call, sp, pc)) = parsed() else {
        return Err(io::Error::other(format!("the kernel's line {line:?} is not understood")));
    };
    Ok(Doing::Waiting { call, sp, pc, line })
}

/// Whether the thread `tid` of this process waits in the kernel, and does not run or want to.
///
/// # Errors
///
/// There is no such thread, or the process may not look.
pub(crate) fn is_waiting(tid: u32) -> io::Result<bool> {
    Ok(doing(tid)? != Doing::Running)
}

/// How long the thread ran, how long it waited for a processor, and how often it was given one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scheduled {
    pub(crate) ran_ns: u64,
    pub(crate) waited_ns: u64,
    pub(crate) times: u64,
}

/// # Errors
///
/// There is no such thread, or the kernel is built without `CONFIG_SCHED_INFO`.
pub(crate) fn scheduled(tid: u32) -> io::Result<Scheduled> {
    let line = fs::read_to_string(format!("/proc/self/task/{tid}/schedstat"))?;
    let mut words = line.split_ascii_whitespace().map(str::parse);
    let mut next = || words.next().and_then(Result::ok).ok_or_else(|| io::Error::other("schedstat is not understood"));
    Ok(Scheduled { ran_ns: next()?, waited_ns: next()?, times: next()? })
}

/// Why there is no stack of a waiting thread.
#[derive(Debug)]
pub(crate) enum Miss {
    /// It runs.
    Running,
    /// It moved while it was looked at.
    Moved,
    /// The process may not look, or the thread is gone.
    Refused(io::Error),
}

/// A walk of a thread's stack.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
    /// The system call that it waits in.
    pub(crate) call: Option<u32>,
}

/// Walks the stack of a waiting thread.
pub(crate) fn walk(
    tid: u32,
    memory: &Memory,
    modules: &[Module],
    context: &mut UnwindContext<usize>,
    buffer: &mut Vec<u8>,
) -> Result<Walk, Miss> {
    let before = scheduled(tid).ok();
    let doing_before = doing(tid).map_err(Miss::Refused)?;
    let Doing::Waiting { call, sp, pc, .. } = doing_before else { return Err(Miss::Running) };

    let mut stack = StackCopy::lazy(memory, sp, std::mem::take(buffer));
    let mut steps = Vec::with_capacity(super::MAX_FRAMES);
    let end = unwind::walk(modules, context, Registers::new(pc, sp), &mut stack, &mut steps, true);
    let end = match end {
        End::Needs { register: X86_64::RBP, registers, function } => {
            let known = steps.len();
            let guessed =
                Guess { memory, modules, registers: &registers, function }.walk(context, &mut stack, &mut steps);
            guessed.unwrap_or_else(|| {
                steps.truncate(known);
                End::Needs { register: X86_64::RBP, registers, function }
            })
        }
        end => end,
    };
    *buffer = stack.into_buffer();

    // Unchanged, and never given a processor in between: what was copied was the stack of this wait.
    let is_same = doing(tid).map_err(Miss::Refused)? == doing_before && scheduled(tid).ok() == before;
    if is_same { Ok(Walk { steps, end, call }) } else { Err(Miss::Moved) }
}

/// Looks for a frame pointer that is not known: it is the address of a word on the stack, at or above the stack pointer,
/// and with the right one the walk gets to the thread's first function, or as deep as walks go, over nothing but calls.
struct Guess<'a> {
    memory: &'a Memory,
    modules: &'a [Module],
    registers: &'a Registers,
    /// The function whose frame pointer is looked for.
    function: u64,
}

impl Guess<'_> {
    /// A function with a frame pointer is seldom larger.
    const MOST_WORDS: u64 = 2048;

    /// Adds the frames above; `None` if no value leads to the thread's root.
    fn walk(
        &self,
        context: &mut UnwindContext<usize>,
        stack: &mut StackCopy<'_>,
        steps: &mut Vec<Step>,
    ) -> Option<End> {
        // First only what was certainly called as this function, then also what may have come here by a tail call.
        self.first(context, stack, steps, true).or_else(|| self.first(context, stack, steps, false))
    }

    fn first(
        &self,
        context: &mut UnwindContext<usize>,
        stack: &mut StackCopy<'_>,
        steps: &mut Vec<Step>,
        is_strict: bool,
    ) -> Option<End> {
        let known = steps.len();
        let sp = self.registers.get(X86_64::RSP)?;
        for candidate in (0..Self::MOST_WORDS).map(|word| sp + word * 8) {
            // Where a function with a frame pointer keeps its return address.
            let back = stack.word(candidate + 8)?;
            if !self.modules.iter().any(|module| module.contains(back)) {
                continue;
            }
            let mut registers = self.registers.clone();
            registers.set(X86_64::RBP, Some(candidate));
            // The frame is there already; walk it again with its frame pointer.
            let innermost = steps.pop()?;
            let end = unwind::walk(self.modules, context, registers, stack, steps, innermost.is_exact);
            let callers = steps.get(known..).unwrap_or_default();
            let is_called = |index: usize, step: &Step| {
                let called = call_before(self.memory, step.pc);
                match called {
                    None => step.is_exact,
                    Some(Called::Function(function)) => !is_strict || index > 0 || function == self.function,
                    Some(Called::Unknown) => true,
                }
            };
            let is_right = matches!(end, End::Root | End::TooDeep)
                && callers.first().is_some_and(|caller| caller.pc == back)
                && callers.iter().enumerate().all(|(index, step)| is_called(index, step));
            if is_right {
                return Some(end);
            }
            steps.truncate(known - 1);
            steps.push(innermost);
        }
        None
    }
}

/// What the instruction before a return address calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    Function(u64),
    /// It calls through a register or through memory.
    Unknown,
}

/// The call that returns to `address`; `None` if the instruction before it is none.
fn call_before(memory: &Memory, address: u64) -> Option<Called> {
    const LONGEST: usize = 7;
    let mut code = [0; LONGEST];
    let start = address.checked_sub(LONGEST as u64)?;
    if memory.read(start, &mut code) < code.len() {
        return None;
    }
    if let [_, _, 0xe8, offset @ ..] = code {
        return Some(Called::Function(address.wrapping_add_signed(i32::from_le_bytes(offset).into())));
    }
    // `call r/m64`: FF /2, between two and seven bytes long.
    let is_indirect =
        (2..=code.len()).any(|len| code[code.len() - len] == 0xff && (code[code.len() - len + 1] >> 3) & 7 == 2);
    is_indirect.then_some(Called::Unknown)
}
