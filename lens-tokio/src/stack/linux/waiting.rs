//! The stack of a thread that waits in the kernel, without a signal: the kernel tells its program counter and stack
//! pointer, the rest is read from its stack. Separate because of what the kernel does not tell: the other registers.

use std::fs;
use std::io;

use gimli::{UnwindContext, X86_64};

use super::memory::{Memory, StackCopy};
use super::modules::Module;
use super::scheduled::scheduled;
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

/// Finds a frame pointer that is not known.
///
/// The function that needs it has pushed the caller's, copied the stack pointer to it, and then moved the stack pointer
/// by as much as its first instructions say. So it is at a known distance from the stack pointer. Where those
/// instructions are not understood, it is looked for: the right one is the address of a word on the stack with which the
/// walk gets to the thread's root. So do words that older calls have left behind; what tells them apart is that every
/// return address follows a call, and that the call is one of the function that returns there.
struct Guess<'a> {
    memory: &'a Memory,
    modules: &'a [Module],
    registers: &'a Registers,
    /// The function whose frame pointer is looked for.
    function: u64,
}

/// A walk with some frame pointer.
struct Tried {
    steps: Vec<Step>,
    end: End,
    /// Whether the function was called as such where it returns to.
    is_called: bool,
    /// Frames whose return address follows a call of another function, which a tail call may explain.
    mismatches: usize,
}

impl Guess<'_> {
    /// A function with a frame pointer is seldom larger.
    const MOST_WORDS: u64 = 1024;

    /// Adds the frames above; `None` if it is not certain which they are.
    fn walk(
        &self,
        context: &mut UnwindContext<usize>,
        stack: &mut StackCopy<'_>,
        steps: &mut Vec<Step>,
    ) -> Option<End> {
        let sp = self.registers.get(X86_64::RSP)?;
        let innermost = *steps.last()?;
        let distance = self.distance(context, innermost);
        let tried = distance.and_then(|distance| self.try_with(context, stack, steps, sp.checked_add(distance)?));
        let tried = match tried {
            Some(tried) => tried,
            None => {
                let mut best: Option<Tried> = None;
                for candidate in (0..Self::MOST_WORDS).map(|word| sp + word * 8) {
                    let tried = self.try_with(context, stack, steps, candidate).filter(|tried| tried.is_called);
                    best = match (best, tried) {
                        (Some(best), Some(tried)) if tried.mismatches < best.mismatches => Some(tried),
                        (None, tried) => tried,
                        (best, _) => best,
                    };
                }
                best?
            }
        };
        *steps = tried.steps;
        Some(tried.end)
    }

    /// How far the frame pointer is from the stack pointer, as the function's first instructions set them.
    fn distance(&self, context: &mut UnwindContext<usize>, innermost: Step) -> Option<u64> {
        const LONGEST: usize = 32;
        let set_at = unwind::frame_pointer_set_at(self.modules, context, innermost.address())?;
        let mut code = self.memory.bytes(set_at, LONGEST)?.into_iter().peekable();
        let mut distance = 0;
        loop {
            match code.next()? {
                // `push` of a register, r8 to r15 with a prefix.
                0x50..=0x57 => distance += 8,
                0x41 if code.next_if(|byte| (0x50..=0x57).contains(byte)).is_some() => distance += 8,
                // `sub rsp, n`, a byte or four long.
                0x48 => {
                    let size = match (code.next()?, code.next()?) {
                        (0x83, 0xec) => u64::try_from(i8::from_le_bytes([code.next()?])).ok()?,
                        (0x81, 0xec) => {
                            let bytes = [code.next()?, code.next()?, code.next()?, code.next()?];
                            u64::try_from(i32::from_le_bytes(bytes)).ok()?
                        }
                        // Aligned, or no further part of the prologue.
                        (0x83 | 0x81, 0xe4) => return None,
                        _ => 0,
                    };
                    return Some(distance + size);
                }
                _ => return Some(distance),
            }
        }
    }

    /// The walk with `candidate` as frame pointer, if it is right as far as can be told.
    fn try_with(
        &self,
        context: &mut UnwindContext<usize>,
        stack: &mut StackCopy<'_>,
        known: &[Step],
        candidate: u64,
    ) -> Option<Tried> {
        // Where a function with a frame pointer keeps its return address.
        let back = stack.word(candidate.checked_add(8)?)?;
        if !self.modules.iter().any(|module| module.contains(back)) {
            return None;
        }
        let mut registers = self.registers.clone();
        registers.set(X86_64::RBP, Some(candidate));
        // The frame is there already; walk it again with its frame pointer.
        let (innermost, below) = known.split_last()?;
        let mut steps = below.to_vec();
        let end = unwind::walk(self.modules, context, registers, stack, &mut steps, innermost.is_exact);
        let callers = steps.get(known.len()..).unwrap_or_default();
        if !matches!(end, End::Root | End::TooDeep) || callers.first().is_none_or(|caller| caller.pc != back) {
            return None;
        }
        let (mut is_called, mut mismatches) = (false, 0);
        let mut callee = Some(self.function);
        for (index, caller) in callers.iter().enumerate() {
            match call_before(self.memory, caller.pc) {
                // A signal's frame was not called, and returns to any instruction.
                None if caller.is_exact => {}
                None => return None,
                Some(Called::Unknown) => {}
                Some(Called::Function(called)) if Some(called) == callee => is_called |= index == 0,
                Some(Called::Function(_)) => mismatches += 1,
            }
            callee = unwind::function_start(self.modules, caller.address());
        }
        Some(Tried { steps, end, is_called, mismatches })
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
    // `call [rip + n]`: through the table of another file's functions.
    if let [_, 0xff, 0x15, offset @ ..] = code {
        let entry = address.wrapping_add_signed(i32::from_le_bytes(offset).into());
        let function = memory.bytes(entry, 8).and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        return Some(function.map_or(Called::Unknown, Called::Function));
    }
    // `call r/m64`: FF /2, between two and seven bytes long.
    let is_indirect =
        (2..=code.len()).any(|len| code[code.len() - len] == 0xff && (code[code.len() - len + 1] >> 3) & 7 == 2);
    is_indirect.then_some(Called::Unknown)
}
