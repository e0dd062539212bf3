//! What a query has used so far. Separate because everything that a script can reach asks it before it acts.
//!
//! Memory is counted in two parts: what the interpreter's heap has allocated, and what lives outside of it (the tables
//! of dicts, sets and structs, large integers), which each operation charges in advance. Nothing is ever given back: the
//! collector is off, so the count is the total of all values that the query made.

#![expect(unsafe_code, reason = "only derived: `ProvidesStaticType` names a type for the interpreter's downcasts")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use starlark::any::ProvidesStaticType;
use starlark::eval::Evaluator;
use starlark::values::Heap;

use super::fault::{Checked, Fault};
use crate::capture::Capture;
use crate::sandbox::Cost;
use crate::sandbox::error::{QueryError, QueryErrorKind};
use crate::sandbox::limits::{ANYWHERE_FOR, FAIR_FOR, Limits, STEP_BACK};
use crate::sandbox::processors::leave_half;

/// How many bytes of text that are read, compared or copied are one step.
pub(super) const BYTES_PER_STEP: usize = 64;

/// How many steps pass between two looks at the clock.
const STEPS_PER_LOOK: u64 = 32;

thread_local! {
    /// Bytes outside of the interpreter's heap. A query lives on one thread, and values that convert themselves (a row's
    /// field) see no evaluator that could lead them to the meter.
    static CHARGED: Cell<usize> = const { Cell::new(0) };
}

thread_local! {
    /// Steps that were taken where no evaluator leads to the meter: the next check counts them.
    static UNCOUNTED: Cell<u64> = const { Cell::new(0) };
}

/// Has steps counted by the next check: for what is about to take long by itself, such as comparing long keys.
pub(super) fn strain(steps: usize) {
    UNCOUNTED.set(UNCOUNTED.get().saturating_add(steps as u64));
}

/// Counts memory outside of the interpreter's heap.
pub(super) fn charge(bytes: usize) {
    CHARGED.set(CHARGED.get().saturating_add(bytes));
}

/// The memory of all values so far.
#[inline]
fn used(heap: &Heap) -> usize {
    heap.allocated_bytes().saturating_add(CHARGED.get())
}

/// Leaves the processors to the service where they are short: this thread is a query's, and ends with it.
#[cold]
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        // Refused where a sandbox of the system forbids it; then it goes on as it is.
        let _ = rustix::process::nice(STEP_BACK);
    }
}

/// The error for a query that nobody waits for any more.
#[cold]
pub(in crate::sandbox) fn cancelled() -> QueryError {
    QueryError::new(QueryErrorKind::Cancelled, "the query was cancelled")
}

/// The error for a query that has used up its time.
#[cold]
pub(in crate::sandbox) fn late(limits: &Limits) -> QueryError {
    let message = format!("the query took longer than its limit of {} ms (`wall`)", limits.wall.as_millis());
    QueryError::new(QueryErrorKind::Limit, message)
        .help("ask for less: filter or limit the rows first, and avoid loops within loops")
}

/// Values that a function of the guard holds while it works. They count as the query's memory until it is done: it may
/// call back into the script, which may call it again.
#[derive(Debug)]
pub(super) struct Held<T> {
    items: Vec<T>,
    bytes: usize,
}

impl<T> Held<T> {
    /// Room for `capacity` items.
    pub(super) fn with_capacity(capacity: usize, meter: &Meter, heap: &Heap) -> Checked<Self> {
        let bytes = capacity.saturating_mul(size_of::<T>());
        meter.take(heap, bytes)?;
        Ok(Self { items: Vec::with_capacity(capacity), bytes })
    }

    /// Adds an item, for which there is room.
    pub(super) fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// Adds items, for which there is room.
    pub(super) fn extend(&mut self, items: impl IntoIterator<Item = T>) {
        self.items.extend(items);
    }
}

impl<T> std::ops::Deref for Held<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.items
    }
}

impl<T> std::ops::DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.items
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        CHARGED.set(CHARGED.get().saturating_sub(self.bytes));
    }
}

/// A query's use of its limits, and the capture that it asks.
#[derive(ProvidesStaticType)]
pub(super) struct Meter {
    pub(super) limits: Arc<Limits>,
    pub(super) capture: Arc<Capture>,
    started: Instant,
    deadline: Instant,
    /// Whether it keeps to half of the processors, and whether it has stepped back.
    is_aside: Cell<bool>,
    is_behind: Cell<bool>,
    is_cancelled: Arc<AtomicBool>,
    steps: Cell<u64>,
    next_look: Cell<u64>,
    printed: RefCell<Vec<String>>,
    printed_bytes: Cell<usize>,
    printed_lines: Cell<usize>,
    /// Whether the function that runs reads a field, before it does something else with it.
    pub(super) reads_field: Cell<bool>,
    /// The skills that it has asked.
    asked: RefCell<BTreeSet<String>>,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl Meter {
    /// Notes that the query asks a skill.
    pub(super) fn asks(&self, skill: &str) {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(skill) {
            asked.insert(skill.to_owned());
        }
    }

    /// The skills that it has asked.
    pub(super) fn take_asked(&self) -> Vec<String> {
        self.asked.take().into_iter().collect()
    }

    /// Starts to count on this thread.
    pub(super) fn new(limits: &Arc<Limits>, capture: &Arc<Capture>, is_cancelled: &Arc<AtomicBool>) -> Self {
        CHARGED.set(0);
        UNCOUNTED.set(0);
        let started = Instant::now();
        Self {
            limits: Arc::clone(limits),
            capture: Arc::clone(capture),
            started,
            deadline: started + limits.wall,
            is_aside: Cell::new(false),
            is_behind: Cell::new(false),
            is_cancelled: Arc::clone(is_cancelled),
            steps: Cell::new(0),
            next_look: Cell::new(STEPS_PER_LOOK),
            printed: RefCell::default(),
            printed_bytes: Cell::new(0),
            printed_lines: Cell::new(0),
            reads_field: Cell::new(false),
            asked: RefCell::default(),
        }
    }

    /// The meter of the query that runs here.
    #[expect(clippy::expect_used, reason = "each evaluator is made with its meter, in one place")]
    pub(super) fn of<'a>(eval: &Evaluator<'_, 'a, '_>) -> &'a Self {
        let extra = eval.extra.expect("an evaluator has its meter");
        extra.downcast_ref::<Self>().expect("an evaluator's extra is its meter")
    }

    /// One step: checks memory every time, and steps and the clock every few.
    #[inline]
    pub(super) fn tick(&self, heap: &Heap) -> Checked<()> {
        self.spend(heap, 1)
    }

    /// As many steps as an operation is about to take, or has taken since the last check.
    #[inline]
    pub(super) fn spend(&self, heap: &Heap, steps: usize) -> Checked<()> {
        let total = self.steps.get().saturating_add(steps as u64).saturating_add(UNCOUNTED.take());
        self.steps.set(total);
        if used(heap) > self.limits.heap_bytes {
            return Err(self.out_of_memory());
        }
        if total >= self.next_look.get() {
            self.next_look.set(total.saturating_add(STEPS_PER_LOOK));
            self.look()?;
        }
        Ok(())
    }

    /// Looks at the clock, the cancellation and the steps.
    #[cold]
    #[inline(never)]
    pub(super) fn look(&self) -> Checked<()> {
        let limits = &self.limits;
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Err(Fault(cancelled()).into());
        }
        let now = Instant::now();
        if now >= self.deadline {
            return Err(Fault(late(limits)).into());
        }
        self.make_room(now);
        if self.steps.get() > limits.steps {
            return Err(Fault::limit(
                format!("the query took more than its limit of {} steps (`steps`)", limits.steps),
                "ask for less: filter or limit the rows first, and avoid loops within loops",
            )
            .into());
        }
        Ok(())
    }

    /// Makes room for the service once it has run for long.
    fn make_room(&self, now: Instant) {
        let ran = now.saturating_duration_since(self.started);
        if ran >= ANYWHERE_FOR && !self.is_aside.replace(true) {
            leave_half();
        }
        if ran >= FAIR_FOR && !self.is_behind.replace(true) {
            step_back();
        }
    }

    /// Refuses an operation that would take too much memory on the interpreter's heap, before it acts.
    pub(super) fn reserve(&self, heap: &Heap, bytes: usize) -> Checked<()> {
        self.room(heap, bytes)?;
        self.look()
    }

    /// Refuses an operation that would take too much memory on the interpreter's heap, without a look at the clock.
    #[inline]
    pub(super) fn room(&self, heap: &Heap, bytes: usize) -> Checked<()> {
        if used(heap).saturating_add(bytes) > self.limits.heap_bytes { Err(self.out_of_memory()) } else { Ok(()) }
    }

    /// Refuses, or counts, what an operation is about to take outside of the interpreter's heap.
    pub(super) fn take(&self, heap: &Heap, bytes: usize) -> Checked<()> {
        charge(bytes);
        if used(heap) > self.limits.heap_bytes { Err(self.out_of_memory()) } else { Ok(()) }
    }

    #[cold]
    fn out_of_memory(&self) -> starlark::Error {
        let mib = self.limits.heap_bytes >> 20;
        Fault::limit(
            format!("the query needs more than its limit of {mib} MiB of memory (`heap_bytes`)"),
            "keep fewer values at once: filter or limit the rows, and count instead of collecting",
        )
        .into()
    }

    /// Keeps what a script prints.
    pub(super) fn print(&self, text: &str) -> Checked<()> {
        let limits = &self.limits;
        let mut printed = self.printed.borrow_mut();
        let bytes = self.printed_bytes.get() + text.len();
        let lines = self.printed_lines.get() + 1 + text.matches('\n').count();
        if lines > limits.printed_lines {
            return Err(Fault::limit(
                format!("the query printed more than its limit of {} lines (`printed_lines`)", limits.printed_lines),
                "print totals instead of single items, or return them as the script's value",
            )
            .into());
        }
        if bytes > limits.printed_bytes {
            return Err(Fault::limit(
                format!("the query printed more than its limit of {} bytes (`printed_bytes`)", limits.printed_bytes),
                "print totals instead of single items, or return them as the script's value",
            )
            .into());
        }
        self.printed_bytes.set(bytes);
        self.printed_lines.set(lines);
        printed.push(text.to_owned());
        Ok(())
    }

    /// What was printed; the meter keeps nothing of it.
    pub(super) fn take_printed(&self) -> Vec<String> {
        self.printed.take()
    }

    /// What was used so far.
    pub(super) fn cost(&self, heap: Option<&Heap>) -> Cost {
        Cost {
            elapsed: self.started.elapsed(),
            steps: self.steps.get(),
            heap_bytes: heap.map_or(0, |heap| used(heap) as u64),
        }
    }
}
