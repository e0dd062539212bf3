//! The operators. Separate because each of them can take time and memory without bound (`"a" * n`, `x + x`, `n << m`), so
//! each asks for what it will take before it acts. What it then does is the interpreter's own.

use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::list::ListRef;
use starlark::values::none::NoneType;
use starlark::values::{Heap, UnpackValue as _, Value};

use super::compare::Compare;
use super::fault::{Checked, Fault};
use super::form::{self, ENTRY_BYTES, Form, known};
use super::meter::{BYTES_PER_STEP, Meter, charge};
use super::{format, lists, tables, value};

/// What an operation has at hand.
#[derive(Clone, Copy)]
pub(super) struct Hand<'a, 'v> {
    pub(super) meter: &'a Meter,
    pub(super) heap: &'v Heap,
}

impl<'a, 'v> Hand<'a, 'v> {
    /// Counts a step.
    #[inline]
    pub(super) fn new(eval: &Evaluator<'v, 'a, '_>) -> Checked<Self> {
        let hand = Self { meter: Meter::of(eval), heap: eval.heap() };
        hand.meter.tick(hand.heap)?;
        Ok(hand)
    }

    pub(super) fn compare(self) -> Compare<'a, 'v> {
        Compare { meter: self.meter, heap: self.heap }
    }

    /// Refuses an integer that would be too large.
    fn bits(self, bits: u64) -> Checked<()> {
        let limit = self.meter.limits.int_bits as u64;
        if bits <= limit {
            return Ok(());
        }
        let bits = if bits > u64::from(u32::MAX) { "billions of".to_owned() } else { bits.to_string() };
        Err(Fault::limit(
            format!("an integer of {bits} bits is larger than its limit of {limit} (`int_bits`)"),
            "use a float, as in `float(n)`",
        )
        .into())
    }

    /// Counts the memory of an integer's digits.
    fn int(self, result: Checked<Value<'v>>) -> Checked<Value<'v>> {
        let value = result?;
        if value.unpack_i32().is_none() && value.get_type() == "int" {
            let is_long = !matches!(i64::unpack_value(value), Ok(Some(_)));
            charge(value::WIDE_INT_BYTES + if is_long { self.meter.limits.int_bits / 8 } else { size_of::<i64>() });
        }
        Ok(value)
    }

    /// Makes room for a list of `length` items.
    pub(super) fn list(self, length: usize) -> Checked<()> {
        form::at_most_rows(length, self.meter)?;
        self.meter.spend(self.heap, length / 16)?;
        self.meter.reserve(self.heap, length.saturating_mul(2 * size_of::<usize>()).saturating_add(64))
    }

    /// Makes room for a list of `length` tuples, each of `width` items.
    pub(super) fn tuples(self, length: usize, width: usize) -> Checked<()> {
        /// What a tuple takes besides its items: its head, its length and its place in the list.
        const TUPLE_WORDS: usize = 3;
        let words = length.saturating_mul(width + TUPLE_WORDS);
        form::at_most_rows(length, self.meter)?;
        self.meter.spend(self.heap, words / 16)?;
        self.meter.reserve(self.heap, words.saturating_mul(size_of::<usize>()).saturating_add(64))
    }

    /// Makes room for `entries` more in a dict or a set.
    pub(super) fn entries(self, entries: usize) -> Checked<()> {
        form::at_most_rows(entries, self.meter)?;
        self.meter.take(self.heap, entries.saturating_mul(ENTRY_BYTES))
    }
}

/// How many bits an integer has, at most.
fn bits(value: Value<'_>) -> u64 {
    if let Ok(Some(number)) = i64::unpack_value(value) {
        return u64::from(i64::BITS - number.unsigned_abs().leading_zeros());
    }
    // Its size is limited, so its digits are few; each is 3.322 bits.
    value.to_repr().len() as u64 * 3322 / 1000 + 1
}

fn is_int(value: Value<'_>) -> bool {
    value.unpack_i32().is_some() || value.get_type() == "int"
}

/// Both operands as integers of 32 bits, as nearly all are.
#[inline]
fn small(a: Value<'_>, b: Value<'_>) -> Option<(i32, i32)> {
    Some((a.unpack_i32()?, b.unpack_i32()?))
}

/// `a + b`.
pub(super) fn add<'v>(a: Value<'v>, b: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    let heap = hand.heap;
    if small(a, b).is_some() {
        return hand.int(a.add(b, heap));
    }
    match (Form::of(a), Form::of(b)) {
        (Form::Text(a), Form::Text(b)) => {
            form::at_most_text(a.len() + b.len(), hand.meter, heap)?;
            return Ok(heap.alloc_str_concat(a, b).to_value());
        }
        (Form::List(a), Form::List(b)) => hand.list(a.len() + b.len())?,
        (Form::Tuple(a), Form::Tuple(b)) => hand.list(a.len() + b.len())?,
        (Form::Int, Form::Int) => hand.bits(bits(a).max(bits(b)) + 1)?,
        (Form::Text(_), Form::Int | Form::Float(_) | Form::Bool(_)) => {
            return Err(Fault::runtime(format!("a text and {} cannot be added", form::kind(b)))
                .help("write an f-string, as in `f\"{name}: {count}\"`, or make it a text with `str(x)`")
                .into());
        }
        _ => {
            known(a)?;
            known(b)?;
        }
    }
    hand.int(a.add(b, heap))
}

/// `a += b`: a list is extended in its place.
fn add_in_place<'v>(a: Value<'v>, b: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
    let hand = Hand::new(eval)?;
    if ListRef::from_value(a).is_none() {
        return add(a, b, hand);
    }
    lists::extend(a, b, hand, eval)?;
    Ok(a)
}

/// `a * b`.
pub(super) fn multiply<'v>(a: Value<'v>, b: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    if small(a, b).is_some() {
        return hand.int(a.mul(b, hand.heap));
    }
    match (Form::of(a), Form::of(b)) {
        (Form::Int, Form::Int) => {
            hand.bits(bits(a) + bits(b))?;
            hand.int(a.mul(b, hand.heap))
        }
        (Form::Int, _) => repeat(b, a, hand),
        (_, Form::Int) => repeat(a, b, hand),
        _ => arithmetic(a, b, hand, Value::mul),
    }
}

/// `value * count`, of what may be a text, a list or a tuple.
fn repeat<'v>(value: Value<'v>, count: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    let times = |length: usize| {
        let count = usize::try_from(count.unpack_i32().unwrap_or(i32::MAX)).unwrap_or(0);
        length.saturating_mul(count)
    };
    let length = match Form::of(value) {
        Form::Text(text) => {
            form::at_most_text(times(text.len()), hand.meter, hand.heap)?;
            text.len()
        }
        Form::List(list) => {
            hand.list(times(list.len()))?;
            list.len()
        }
        Form::Tuple(tuple) => {
            hand.list(times(tuple.len()))?;
            tuple.len()
        }
        _ => return arithmetic(value, count, hand, Value::mul),
    };
    // The interpreter repeats even what is empty, as often as it is told.
    let count = if length == 0 { hand.heap.alloc(0) } else { count };
    value.mul(count, hand.heap)
}

/// An operator that only numbers have, and that makes them no larger.
fn arithmetic<'v>(
    a: Value<'v>,
    b: Value<'v>,
    hand: Hand<'_, 'v>,
    act: impl FnOnce(Value<'v>, Value<'v>, &'v Heap) -> Checked<Value<'v>>,
) -> Checked<Value<'v>> {
    known(a)?;
    known(b)?;
    hand.int(act(a, b, hand.heap))
}

/// `a - b`: also the difference of sets.
fn subtract<'v>(a: Value<'v>, b: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
    let hand = Hand::new(eval)?;
    if small(a, b).is_some() {
        return hand.int(a.sub(b, hand.heap));
    }
    match (Form::of(a), Form::of(b)) {
        (Form::Int, Form::Int) => hand.bits(bits(a).max(bits(b)) + 1)?,
        (Form::Set, Form::Set) => return tables::combine_sets("difference", a, b, hand, eval),
        _ => {}
    }
    arithmetic(a, b, hand, Value::sub)
}

/// `a & b`, `a | b`, `a ^ b`: of integers, sets and, for `|`, dicts.
fn bitwise<'v>(
    method: &str,
    a: Value<'v>,
    b: Value<'v>,
    eval: &mut Evaluator<'v, '_, '_>,
    act: impl FnOnce(Value<'v>, Value<'v>, &'v Heap) -> Checked<Value<'v>>,
) -> Checked<Value<'v>> {
    let hand = Hand::new(eval)?;
    match (Form::of(a), Form::of(b)) {
        (Form::Set, Form::Set) => tables::combine_sets(method, a, b, hand, eval),
        (Form::Dict(_), Form::Dict(_)) if method == "union" => tables::merge_dicts(a, b, hand),
        (Form::Int, Form::Int) => arithmetic(a, b, hand, act),
        // The interpreter takes `|` of some values for that of types, and goes through all parts of the other.
        _ => {
            known(a)?;
            known(b)?;
            let sign = match method {
                "intersection" => "&",
                "union" => "|",
                _ => "^",
            };
            Err(Fault::runtime(format!("{} and {} have no `{sign}`", form::kind(a), form::kind(b))).into())
        }
    }
}

/// `a << b`.
fn shift_left<'v>(a: Value<'v>, b: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    match (a.unpack_i32(), b.unpack_i32()) {
        // The interpreter drops the bits that 32 have no room for.
        (Some(a), Some(by @ 0..32)) => return hand.int(Ok(hand.heap.alloc(i64::from(a) << by))),
        // The one integer that does not grow.
        (Some(0), by) if is_int(b) && by.is_none_or(|by| by >= 0) => return Ok(a),
        _ => {}
    }
    if is_int(a) && is_int(b) {
        let by = b.unpack_i32().map_or(u64::MAX, |by| u64::try_from(by).unwrap_or(0));
        hand.bits(bits(a).saturating_add(by))?;
    }
    arithmetic(a, b, hand, Value::left_shift)
}

/// `a % b`: also a text's format.
fn modulo<'v>(a: Value<'v>, b: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    match a.unpack_str() {
        Some(template) => format::percent(template, b, hand.meter, hand.heap),
        None => arithmetic(a, b, hand, Value::percent),
    }
}

/// `needle in values`.
fn contains<'v>(needle: Value<'v>, values: Value<'v>, hand: Hand<'_, 'v>) -> Checked<bool> {
    known(needle)?;
    match Form::of(values) {
        Form::Text(text) => match needle.unpack_str() {
            // The interpreter's own looks at each place anew; this one does not.
            Some(needle) => {
                hand.meter.spend(hand.heap, text.len() / BYTES_PER_STEP)?;
                Ok(text.contains(needle))
            }
            None => Err(Fault::runtime(format!("{} cannot be in a text", form::kind(needle)))
                .help("make it a text with `str(x)`")
                .into()),
        },
        Form::List(list) => Ok(hand.compare().position(list, needle)?.is_some()),
        Form::Tuple(tuple) => Ok(hand.compare().position(tuple.content(), needle)?.is_some()),
        Form::Dict(_) | Form::Set => {
            form::key(needle, hand.heap)?;
            values.is_in(needle)
        }
        Form::Range => {
            form::key(needle, hand.heap)?;
            values.is_in(needle)
        }
        _ => {
            known(values)?;
            Err(Fault::runtime(format!("nothing can be in {}", form::kind(values))).into())
        }
    }
}

/// The operator that an assignment names.
fn named<'v>(function: &str, a: Value<'v>, b: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
    let hand = Hand::new(eval)?;
    match function {
        "__iadd" => add_in_place(a, b, eval),
        "__ior" => union_in_place(a, b, eval),
        "__sub" => subtract(a, b, eval),
        "__mul" => multiply(a, b, hand),
        "__div" => arithmetic(a, b, hand, Value::div),
        "__floor_div" => arithmetic(a, b, hand, Value::floor_div),
        "__mod" => modulo(a, b, hand),
        "__and" => bitwise("intersection", a, b, eval, Value::bit_and),
        "__xor" => bitwise("symmetric_difference", a, b, eval, Value::bit_xor),
        "__shl" => shift_left(a, b, hand),
        _ => arithmetic(a, b, hand, Value::right_shift),
    }
}

/// `a |= b`: a dict or a set takes the entries of the other in its place.
fn union_in_place<'v>(a: Value<'v>, b: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
    let hand = Hand::new(eval)?;
    // A dict that is told apart is borrowed, and could not be changed.
    let are_dicts = matches!((Form::of(a), Form::of(b)), (Form::Dict(_), Form::Dict(_)));
    if !are_dicts {
        return bitwise("union", a, b, eval, Value::bit_or);
    }
    tables::update_dict(a, b, hand)?;
    Ok(a)
}

/// `x[k] = y`.
fn assign<'v>(x: Value<'v>, k: Value<'v>, y: Value<'v>, hand: Hand<'_, 'v>) -> Checked<()> {
    known(x)?;
    form::key(k, hand.heap)?;
    if DictRef::from_value(x).is_some() { tables::replace(x, k, y, hand) } else { x.set_at(k, y) }
}

#[starlark_module]
pub(super) fn register(builder: &mut GlobalsBuilder) {
    fn __add<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        add(a, b, Hand::new(eval)?)
    }

    fn __iadd<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        add_in_place(a, b, eval)
    }

    fn __ior<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        union_in_place(a, b, eval)
    }

    fn __sub<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        subtract(a, b, eval)
    }

    fn __mul<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        multiply(a, b, Hand::new(eval)?)
    }

    fn __div<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        arithmetic(a, b, Hand::new(eval)?, Value::div)
    }

    fn __floor_div<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        arithmetic(a, b, Hand::new(eval)?, Value::floor_div)
    }

    fn __mod<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        modulo(a, b, Hand::new(eval)?)
    }

    fn __and<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        bitwise("intersection", a, b, eval, Value::bit_and)
    }

    fn __or<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        bitwise("union", a, b, eval, Value::bit_or)
    }

    fn __xor<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        bitwise("symmetric_difference", a, b, eval, Value::bit_xor)
    }

    fn __shl<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        shift_left(a, b, Hand::new(eval)?)
    }

    fn __shr<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        arithmetic(a, b, Hand::new(eval)?, Value::right_shift)
    }

    fn __eq<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Hand::new(eval)?.compare().equal(a, b)
    }

    fn __ne<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(!Hand::new(eval)?.compare().equal(a, b)?)
    }

    fn __lt<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(Hand::new(eval)?.compare().order(a, b)?.is_lt())
    }

    fn __gt<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(Hand::new(eval)?.compare().order(a, b)?.is_gt())
    }

    fn __le<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(Hand::new(eval)?.compare().order(a, b)?.is_le())
    }

    fn __ge<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(Hand::new(eval)?.compare().order(a, b)?.is_ge())
    }

    fn __in<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        contains(a, b, Hand::new(eval)?)
    }

    fn __not_in<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(!contains(a, b, Hand::new(eval)?)?)
    }

    fn __neg<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        known(a)?;
        hand.int(a.minus(hand.heap))
    }

    fn __pos<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        known(a)?;
        hand.int(a.plus(hand.heap))
    }

    fn __inv<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        known(a)?;
        hand.int(a.bit_not(hand.heap))
    }

    /// The first half of `x[k] += f()`: `x`, `k` and what is there before `f` is called.
    fn __before<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] k: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let old = super::access::at(x, k, hand)?;
        Ok(hand.heap.alloc((x, k, old)))
    }

    /// The second half.
    fn __after<'v>(
        #[starlark(require = pos)] before: (Value<'v>, Value<'v>, Value<'v>),
        #[starlark(require = pos)] function: &str,
        #[starlark(require = pos)] y: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let (x, k, old) = before;
        let new = named(function, old, y, eval)?;
        assign(x, k, new, Hand::new(eval)?)?;
        Ok(NoneType)
    }

    /// `x[k] = y`, whose value comes first as the interpreter has it.
    fn __assign<'v>(
        #[starlark(require = pos)] y: Value<'v>,
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] k: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        assign(x, k, y, Hand::new(eval)?)?;
        Ok(NoneType)
    }

    /// `x[k] += y`: `function` is the operator's own.
    fn __update<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] k: Value<'v>,
        #[starlark(require = pos)] function: &str,
        #[starlark(require = pos)] y: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let hand = Hand::new(eval)?;
        let old = super::access::at(x, k, hand)?;
        let new = named(function, old, y, eval)?;
        assign(x, k, new, hand)?;
        Ok(NoneType)
    }
}
