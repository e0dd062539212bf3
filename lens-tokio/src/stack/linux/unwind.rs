//! Walks a stack by the tables that compilers write for it (`.eh_frame`), over registers and a copy of the stack. Separate
//! because it is pure: it reads no other thread, and knows of each register whether its value is known.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, Evaluation, EvaluationResult, LittleEndian, Register,
    RegisterRule, UnwindContext, UnwindExpression, UnwindSection, Value, X86_64,
};

use super::MAX_FRAMES;
use super::memory::StackCopy;
use super::modules::{Module, Section, Tables};

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// The registers of x86-64 by their DWARF numbers; 16 is the return address.
pub(crate) const REGISTERS: usize = 17;

/// What a frame's registers hold, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers([Option<u64>; REGISTERS]);

impl Registers {
    /// Only the program counter and the stack pointer are known.
    pub(crate) fn new(pc: u64, sp: u64) -> Self {
        let mut registers = Self::default();
        registers.set(X86_64::RA, Some(pc));
        registers.set(X86_64::RSP, Some(sp));
        registers
    }

    pub(crate) fn get(&self, register: Register) -> Option<u64> {
        self.0.get(usize::from(register.0)).copied().flatten()
    }

    pub(crate) fn set(&mut self, register: Register, value: Option<u64>) {
        if let Some(slot) = self.0.get_mut(usize::from(register.0)) {
            *slot = value;
        }
    }
}

/// Why a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At the function that the thread started with.
    Root,
    /// The frame needs a register that nobody knows.
    Needs { register: Register, registers: Box<Registers>, function: u64 },
    /// There is no table for this code, or one that cannot be followed.
    NoTable,
    /// The stack is deeper than what is copied, or not a stack.
    Unreadable,
    /// There are more frames than are kept.
    TooDeep,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Where it will go on; for the innermost frame, where it is.
    pub(crate) pc: u64,
    /// Whether `pc` is the instruction itself, and not the one after a call.
    pub(crate) is_exact: bool,
}

impl Step {
    /// The instruction that runs, or that called.
    pub(crate) fn address(self) -> u64 {
        if self.is_exact { self.pc } else { self.pc.wrapping_sub(1) }
    }
}

/// Walks on from `registers`, which belong to the innermost frame if `steps` is empty. The frames are added to `steps`.
pub(crate) fn walk(
    modules: &[Module],
    context: &mut UnwindContext<usize>,
    mut registers: Registers,
    stack: &mut StackCopy<'_>,
    steps: &mut Vec<Step>,
    mut is_exact: bool,
) -> End {
    loop {
        let Some(pc) = registers.get(X86_64::RA).filter(|&pc| pc != 0) else { return End::Root };
        if steps.len() == MAX_FRAMES {
            return End::TooDeep;
        }
        let frame = Step { pc, is_exact };
        steps.push(frame);
        match step(modules, context, &registers, stack, frame.address()) {
            Ok(Stepped { callers, is_signal }) => {
                registers = callers;
                is_exact = is_signal;
            }
            Err(end) => return end,
        }
    }
}

struct Stepped {
    callers: Registers,
    is_signal: bool,
}

/// The caller's registers.
fn step(
    modules: &[Module],
    context: &mut UnwindContext<usize>,
    registers: &Registers,
    stack: &mut StackCopy<'_>,
    address: u64,
) -> Result<Stepped, End> {
    let module = modules.iter().find(|module| module.contains(address)).ok_or(End::NoTable)?;
    let tables = module.tables.as_ref().ok_or(End::NoTable)?;
    let bases = tables.bases();
    let frames = tables.frames();
    let fde = tables.fde(&bases, &frames, address).ok_or(End::NoTable)?;
    let function = fde.initial_address();
    let row = fde.unwind_info_for_address(&frames, &bases, context, address).map_err(|_| End::NoTable)?;
    let evaluate = |expression: &UnwindExpression<usize>, initial: Option<u64>, stack: &mut StackCopy<'_>| {
        let expression = expression.get(&frames).map_err(|_| End::NoTable)?;
        run(expression.evaluation(fde.cie().encoding()), registers, initial, stack, function)
    };

    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => registers
            .get(*register)
            .ok_or_else(|| End::Needs { register: *register, registers: Box::new(registers.clone()), function })?
            .wrapping_add_signed(*offset),
        CfaRule::Expression(expression) => evaluate(expression, None, stack)?,
    };
    let sp = registers.get(X86_64::RSP).ok_or(End::NoTable)?;
    // A caller's frame is above its callee's, unless the callee runs on a stack of its own (a signal's).
    if cfa <= sp && !fde.is_signal_trampoline() {
        return Err(End::Unreadable);
    }

    let mut callers = Registers::default();
    for number in 0..REGISTERS {
        #[expect(clippy::cast_possible_truncation, reason = "below 17")]
        let register = Register(number as u16);
        let value = match row.register(register) {
            Some(RegisterRule::Offset(offset)) => stack.word(cfa.wrapping_add_signed(offset)),
            Some(RegisterRule::ValOffset(offset)) => Some(cfa.wrapping_add_signed(offset)),
            Some(RegisterRule::Register(other)) => registers.get(other),
            Some(RegisterRule::Expression(expression)) => {
                evaluate(&expression, Some(cfa), stack).ok().and_then(|address| stack.word(address))
            }
            Some(RegisterRule::ValExpression(expression)) => evaluate(&expression, Some(cfa), stack).ok(),
            Some(RegisterRule::Constant(value)) => Some(value),
            Some(RegisterRule::SameValue) => registers.get(register),
            // A thread's first function says so by a return address that is undefined.
            Some(_) if register == X86_64::RA => return Err(End::Root),
            None if register == X86_64::RA => return Err(End::NoTable),
            Some(_) => None,
            None if is_kept_by_callees(register) => registers.get(register),
            None => None,
        };
        if register == X86_64::RA && value.is_none() {
            return Err(End::Unreadable);
        }
        callers.set(register, value);
    }
    if row.register(X86_64::RSP).is_none() {
        callers.set(X86_64::RSP, Some(cfa));
    }
    Ok(Stepped { callers, is_signal: fde.is_signal_trampoline() })
}

/// `rbx`, `rbp` and `r12` to `r15`: what a function leaves as it was.
fn is_kept_by_callees(register: Register) -> bool {
    matches!(register.0, 3 | 6 | 12..=15)
}

fn run(
    mut evaluation: Evaluation<Bytes<'_>>,
    registers: &Registers,
    initial: Option<u64>,
    stack: &mut StackCopy<'_>,
    function: u64,
) -> Result<u64, End> {
    const MOST_OPERATIONS: u32 = 1000;
    evaluation.set_max_iterations(MOST_OPERATIONS);
    if let Some(initial) = initial {
        evaluation.set_initial_value(initial);
    }
    let mut result = evaluation.evaluate().map_err(|_| End::NoTable)?;
    loop {
        result = match result {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresRegister { register, .. } => {
                let value = registers.get(register).ok_or_else(|| End::Needs {
                    register,
                    registers: Box::new(registers.clone()),
                    function,
                })?;
                evaluation.resume_with_register(Value::Generic(value))
            }
            EvaluationResult::RequiresMemory { address, .. } => {
                evaluation.resume_with_memory(Value::Generic(stack.word(address).ok_or(End::Unreadable)?))
            }
            _ => return Err(End::NoTable),
        }
        .map_err(|_| End::NoTable)?;
    }
    match evaluation.as_result() {
        [gimli::Piece { location: gimli::Location::Address { address }, .. }] => Ok(*address),
        [gimli::Piece { location: gimli::Location::Value { value: Value::Generic(value) }, .. }] => Ok(*value),
        _ => Err(End::NoTable),
    }
}

impl Tables {
    fn bases(&self) -> BaseAddresses {
        BaseAddresses::default().set_eh_frame_hdr(self.index.address).set_eh_frame(self.frames.address)
    }

    fn frames(&self) -> EhFrame<Bytes<'_>> {
        EhFrame::new(&self.frames.bytes, LittleEndian)
    }

    fn fde<'a>(
        &'a self,
        bases: &BaseAddresses,
        frames: &EhFrame<Bytes<'a>>,
        address: u64,
    ) -> Option<gimli::FrameDescriptionEntry<Bytes<'a>>> {
        let index = EhFrameHdr::new(&self.index.bytes, LittleEndian).parse(bases, 8).ok()?;
        index.table()?.fde_for_address(frames, bases, address, EhFrame::cie_from_offset).ok()
    }
}

/// The first instruction of the function that `address` is in.
pub(crate) fn function_start(modules: &[Module], address: u64) -> Option<u64> {
    let tables = modules.iter().find(|module| module.contains(address))?.tables.as_ref()?;
    let bases = tables.bases();
    Some(tables.fde(&bases, &tables.frames(), address)?.initial_address())
}

/// Where the function that `address` is in has just set its frame pointer, if it does at one place only.
pub(crate) fn frame_pointer_set_at(
    modules: &[Module],
    context: &mut UnwindContext<usize>,
    address: u64,
) -> Option<u64> {
    let tables = modules.iter().find(|module| module.contains(address))?.tables.as_ref()?;
    let bases = tables.bases();
    let frames = tables.frames();
    let fde = tables.fde(&bases, &frames, address)?;
    let mut rows = fde.rows(&frames, &bases, context).ok()?;
    let (mut set_at, mut was_used) = (None, false);
    while let Some(row) = rows.next_row().ok()? {
        let is_used = matches!(row.cfa(), CfaRule::RegisterAndOffset { register: X86_64::RBP, offset: 16 });
        if is_used && !was_used {
            // After an early return's epilogue the rows start again, with the same prologue behind them.
            set_at = set_at.or(Some(row.start_address()));
        }
        was_used = is_used;
    }
    set_at
}

/// Where `.eh_frame` is, as its index says.
pub(crate) fn frames_address(index: &Section) -> Option<u64> {
    let bases = BaseAddresses::default().set_eh_frame_hdr(index.address);
    match EhFrameHdr::new(&index.bytes, LittleEndian).parse(&bases, 8).ok()?.eh_frame_ptr() {
        gimli::Pointer::Direct(address) => Some(address),
        gimli::Pointer::Indirect(_) => None,
    }
}
