//! The methods of lists. Separate because they grow what they are called on.

use starlark::eval::Evaluator;
use starlark::values::list::{AllocList, ListRef};
use starlark::values::{UnpackValue, Value};

use super::fault::{Checked, Fault};
use super::form::{self, Form};
use super::meter::Held;
use super::methods::callable;
use super::operators::Hand;
use super::{access, show};

pub(super) const METHODS: &[&str] = &["append", "clear", "extend", "index", "insert", "pop", "remove"];

/// Calls the interpreter's own method.
pub(super) fn own<'v>(
    value: Value<'v>,
    method: &str,
    arguments: &[Value<'v>],
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    let function = value.get_attr_error(method, eval.heap())?;
    eval.eval_function(function, arguments, &[])
}

/// Calls `method` of the list `list`.
pub(super) fn call<'v>(
    list: Value<'v>,
    items: &'v ListRef<'v>,
    method: &str,
    arguments: &[Value<'v>],
    hand: Hand<'_, 'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    match (method, arguments) {
        ("append", _) => {
            grow(items, hand)?;
            own(list, method, arguments, eval)
        }
        ("clear", _) => own(list, method, arguments, eval),
        ("insert" | "pop", _) => {
            if let Some(index) = arguments.first() {
                index_of(method, *index)?;
            }
            if method == "insert" {
                grow(items, hand)?;
            }
            hand.meter.spend(hand.heap, items.len() / 64)?;
            own(list, method, arguments, eval)
        }
        ("extend", [more]) => {
            extend(list, *more, hand, eval)?;
            Ok(Value::new_none())
        }
        ("remove", [needle]) => match hand.compare().position(items, *needle)? {
            Some(index) => {
                own(list, "pop", &[hand.heap.alloc(i32::try_from(index).unwrap_or(i32::MAX))], eval)?;
                Ok(Value::new_none())
            }
            None => Err(missing(*needle, hand)),
        },
        ("index", [needle, bounds @ ..]) if bounds.len() <= 2 => {
            let (start, end) = window(items.len(), bounds)?;
            let found = hand.compare().position(items.get(start..end).unwrap_or(&[]), *needle)?;
            let index = found.ok_or_else(|| missing(*needle, hand))? + start;
            Ok(hand.heap.alloc(i32::try_from(index).unwrap_or(i32::MAX)))
        }
        _ => Err(Fault::argument(format!("`{method}` of a list does not take {} arguments", arguments.len())).into()),
    }
}

/// Room for one item more: the list's memory doubles when it is full.
fn grow(items: &ListRef<'_>, hand: Hand<'_, '_>) -> Checked<()> {
    form::at_most_rows(items.len() + 1, hand.meter)?;
    if items.len() >= 1024 { hand.meter.room(hand.heap, items.len() * 2 * size_of::<usize>()) } else { Ok(()) }
}

/// Checks that `list` may be appended to.
pub(super) fn appendable<'v>(list: Value<'v>, hand: Hand<'_, 'v>) -> Checked<()> {
    match Form::of(list) {
        Form::List(items) => grow(items, hand),
        Form::Struct(_) => callable(access::attribute(list, "append", hand)?),
        _ => {
            form::known(list)?;
            Err(Fault::runtime(format!("{} has no `append`", form::kind(list)))
                .help("only lists have; a set has `add`")
                .into())
        }
    }
}

/// Adds the items of `more` to the end of `list`.
pub(super) fn extend<'v>(
    list: Value<'v>,
    more: Value<'v>,
    hand: Hand<'_, 'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<()> {
    // A list's memory doubles when it is full.
    let total = form::length(list, hand.meter)?.saturating_add(form::length(more, hand.meter)?);
    hand.list(total)?;
    let more = match ListRef::from_value(more) {
        // A list that is extended by itself is copied first: the interpreter's own does that unchecked.
        Some(items) if list.ptr_eq(more) => hand.heap.alloc(AllocList(items.iter())),
        _ => more,
    };
    own(list, "extend", &[more], eval)?;
    Ok(())
}

fn index_of(method: &str, index: Value<'_>) -> Checked<i32> {
    int(method, index)
}

/// The part of a list of `length` items between two optional bounds, which may count from its end.
fn window(length: usize, bounds: &[Value<'_>]) -> Checked<(usize, usize)> {
    let bound = |bound: Option<&Value<'_>>, default: usize| -> Checked<usize> {
        match bound {
            Some(value) if !value.is_none() => {
                let index = i64::from(index_of("index", *value)?);
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                let from_start = if index < 0 { index + length } else { index };
                Ok(usize::try_from(from_start.clamp(0, length)).unwrap_or(0))
            }
            _ => Ok(default),
        }
    };
    Ok((bound(bounds.first(), 0)?, bound(bounds.get(1), length)?))
}

#[cold]
fn missing<'v>(needle: Value<'v>, hand: Hand<'_, 'v>) -> starlark::Error {
    let shown = show::brief(needle, hand.meter, hand.heap);
    Fault::runtime(format!("{shown} is not in the list")).help("ask first: `if x in items:`").into()
}

/// The items of anything that can be iterated, as many as a list may have.
pub(super) fn items_of<'v>(values: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Held<Value<'v>>> {
    let length = form::length(values, hand.meter)?;
    hand.meter.spend(hand.heap, length / 16)?;
    let mut items = Held::with_capacity(length, hand.meter, hand.heap)?;
    match Form::of(values) {
        Form::List(list) => items.extend_from_slice(list.content()),
        Form::Tuple(tuple) => items.extend_from_slice(tuple.content()),
        _ => items.extend(values.iterate(hand.heap)?),
    }
    Ok(items)
}

/// An integer of 32 bits, for a function's argument.
pub(super) fn int(function: &str, value: Value<'_>) -> Checked<i32> {
    form::known(value)?;
    value.unpack_i32().ok_or_else(|| {
        if value.get_type() == "int" {
            return Fault::argument(format!("`{function}` takes integers between {} and {}", i32::MIN, i32::MAX))
                .into();
        }
        let fault = Fault::argument(format!("`{function}` takes an integer, not {}", form::kind(value)));
        let is_float = matches!(Form::of(value), Form::Float(_));
        if is_float { fault.help("round the number first, as in `int(x)`").into() } else { fault.into() }
    })
}

/// A text, for a function's argument.
pub(super) fn text<'v>(function: &str, value: Value<'v>) -> Checked<&'v str> {
    form::known(value)?;
    value
        .unpack_str()
        .ok_or_else(|| Fault::argument(format!("`{function}` takes a text, not {}", form::kind(value))).into())
}

/// A number, for a function's argument.
pub(super) fn number(method: &str, value: Value<'_>) -> Checked<f64> {
    form::known(value)?;
    match starlark::values::float::UnpackFloat::unpack_value(value) {
        Ok(Some(number)) => Ok(number.0),
        _ => Err(Fault::argument(format!("`{method}` takes a number, not {}", form::kind(value))).into()),
    }
}
