//! Functions that make and go through collections. Separate because all of them take time in proportion to what they are
//! given, and some call back into the script.

use std::cmp::Ordering;

use starlark::environment::GlobalsBuilder;
use starlark::eval::{Arguments, Evaluator};
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::list::AllocList;
use starlark::values::range::Range;
use starlark::values::structs::AllocStruct;
use starlark::values::tuple::{AllocTuple, TupleRef, UnpackTuple};

use super::sort::sort;
use crate::sandbox::guard::fault::{Checked, Fault};
use crate::sandbox::guard::form::{self, ENTRY_BYTES, Form, known};
use crate::sandbox::guard::lists::{int, items_of};
use crate::sandbox::guard::meter::Held;
use crate::sandbox::guard::methods::callable;
use crate::sandbox::guard::namespace::unpack;
use crate::sandbox::guard::operators::Hand;
use crate::sandbox::guard::tables;
use crate::sandbox::guard::value::WIDE_INT_BYTES;

/// What a function of the script makes of an item.
pub(super) fn ask<'v>(function: Value<'v>, item: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
    Hand::new(eval)?;
    eval.eval_function(function, &[item], &[])
}

/// Items with what they are ordered by.
fn keyed<'v>(
    items: &[Value<'v>],
    key: Option<Value<'v>>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Held<(Value<'v>, Value<'v>)>> {
    let hand = Hand::new(eval)?;
    let mut keyed = Held::with_capacity(items.len(), hand.meter, hand.heap)?;
    match key.filter(|key| !key.is_none()) {
        None => keyed.extend(items.iter().map(|item| (*item, *item))),
        Some(key) => {
            if !items.is_empty() {
                callable(key)?;
            }
            for item in items {
                keyed.push((*item, ask(key, *item, eval)?));
            }
        }
    }
    Ok(keyed)
}

fn extreme<'v>(
    name: &str,
    wanted: Ordering,
    arguments: &[Value<'v>],
    key: Option<Value<'v>>,
    default: Option<Value<'v>>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    let hand = Hand::new(eval)?;
    let items = match arguments {
        [only] => Some(items_of(*only, hand)?),
        _ => None,
    };
    let mut best: Option<(Value<'v>, Value<'v>)> = None;
    for (item, by) in keyed(items.as_ref().map_or(arguments, |items| items.as_slice()), key, eval)?.iter().copied() {
        known(by)?;
        let is_better = match best {
            None => true,
            Some((_, best)) => hand.compare().order(by, best)? == wanted,
        };
        if is_better {
            best = Some((item, by));
        }
    }
    best.map(|(item, _)| item).or(default).ok_or_else(|| {
        Fault::runtime(format!("`{name}` of nothing"))
            .help(format!("give it a `default=`, as in `{name}(xs, default=0)`"))
            .into()
    })
}

fn any_is<'v>(wanted: bool, values: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<bool> {
    let hand = Hand::new(eval)?;
    form::length(values, hand.meter)?;
    for value in values.iterate(hand.heap)? {
        hand.meter.tick(hand.heap)?;
        known(value)?;
        if value.to_bool() == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

#[starlark_module]
pub(super) fn register(builder: &mut GlobalsBuilder) {
    /// Whether one of the items is true.
    ///
    /// Call: `any(x: list) -> bool`
    ///
    /// Example: `any([w.state == "busy" for w in runtime.workers()])`
    fn any<'v>(#[starlark(require = pos)] x: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<bool> {
        any_is(true, x, eval)
    }

    /// Whether every item is true.
    ///
    /// Call: `all(x: list) -> bool`
    ///
    /// Example: `all([1, 2])`
    fn all<'v>(#[starlark(require = pos)] x: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<bool> {
        Ok(!any_is(false, x, eval)?)
    }

    /// A dict, of another dict or a list of pairs, and of names.
    ///
    /// Call: `dict(x: dict | list = {}, **named) -> dict`
    ///
    /// Example: `dict([("a", 1)], b=2)`
    fn dict<'v>(args: &Arguments<'v, '_>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let (positional, named) = unpack(args, eval)?;
        let dict = tables::new_dict(hand.heap);
        match positional.as_slice() {
            [] => {}
            [source] => tables::update_dict(dict, *source, hand)?,
            _ => return Err(Fault::argument("`dict` takes one dict or list of pairs").into()),
        }
        for (name, value) in named {
            tables::insert(dict, hand.heap.alloc(name), value, hand)?;
        }
        Ok(dict)
    }

    /// The items with their places, from `start`.
    ///
    /// Call: `enumerate(it: list, start: int = 0) -> list[tuple]`
    ///
    /// Example: `enumerate(["a", "b"])`
    fn enumerate<'v>(
        #[starlark(require = pos)] it: Value<'v>,
        start: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let items = items_of(it, hand)?;
        hand.tuples(items.len(), 2)?;
        let start = start.map_or(Ok(0), |start| int("enumerate", start))?;
        if items.len() > start.abs_diff(i32::MAX) as usize {
            // Beyond 32 bits an integer is a value of its own.
            hand.meter.take(hand.heap, items.len().saturating_mul(2 * WIDE_INT_BYTES))?;
        }
        Ok(hand.heap.alloc(AllocList(items.iter().zip(i64::from(start)..).map(|(item, index)| (index, *item)))))
    }

    /// The items for which a function is true.
    ///
    /// Call: `filter(func: function, seq: list) -> list`
    ///
    /// Example: `filter(lambda x: x > 1, [1, 2])`
    fn filter<'v>(
        #[starlark(require = pos)] func: Value<'v>,
        #[starlark(require = pos)] seq: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let items = items_of(seq, hand)?;
        if !func.is_none() && !items.is_empty() {
            callable(func)?;
        }
        let mut kept = Held::with_capacity(items.len(), hand.meter, hand.heap)?;
        for item in items.iter().copied() {
            let is_kept = if func.is_none() {
                hand.meter.tick(hand.heap)?;
                !item.is_none()
            } else {
                let answer = ask(func, item, eval)?;
                known(answer)?;
                answer.to_bool()
            };
            if is_kept {
                kept.push(item);
            }
        }
        hand.list(kept.len())?;
        Ok(hand.heap.alloc(AllocList(kept.iter().copied())))
    }

    /// A list of the items.
    ///
    /// Call: `list(a: list | tuple | dict | set = []) -> list`
    ///
    /// Example: `list(range(3))`
    fn list<'v>(
        #[starlark(require = pos)] a: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let Some(a) = a else { return Ok(hand.heap.alloc(AllocList::EMPTY)) };
        let items = items_of(a, hand)?;
        hand.list(items.len())?;
        Ok(hand.heap.alloc(AllocList(items.iter().copied())))
    }

    /// What a function gives for each of the items.
    ///
    /// Call: `map(func: function, seq: list) -> list`
    ///
    /// Example: `map(str, [1, 2])`
    fn map<'v>(
        #[starlark(require = pos)] func: Value<'v>,
        #[starlark(require = pos)] seq: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let items = items_of(seq, hand)?;
        if !items.is_empty() {
            callable(func)?;
        }
        let mut made = Held::with_capacity(items.len(), hand.meter, hand.heap)?;
        for item in items.iter() {
            made.push(ask(func, *item, eval)?);
        }
        hand.list(made.len())?;
        Ok(hand.heap.alloc(AllocList(made.iter().copied())))
    }

    /// The greatest of a list or of its arguments.
    ///
    /// Call: `max(*args, key: function = None, default: any) -> any`
    ///
    /// Example: `max([1, 3, 2])`
    fn max<'v>(
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(require = named)] key: Option<Value<'v>>,
        #[starlark(require = named)] default: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        extreme("max", Ordering::Greater, &args.items, key, default, eval)
    }

    /// The least of a list or of its arguments.
    ///
    /// Call: `min(*args, key: function = None, default: any) -> any`
    ///
    /// Example: `min([1, 3, 2], default=0)`
    fn min<'v>(
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(require = named)] key: Option<Value<'v>>,
        #[starlark(require = named)] default: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        extreme("min", Ordering::Less, &args.items, key, default, eval)
    }

    /// The integers from `a1` (or 0) up to, and without, the last.
    ///
    /// Call: `range(a1: int, a2: int, step: int = 1) -> range`
    ///
    /// Example: `list(range(0, 10, 2))`
    fn range<'v>(
        #[starlark(require = pos)] a1: Value<'v>,
        #[starlark(require = pos)] a2: Option<Value<'v>>,
        #[starlark(require = pos)] step: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let first = int("range", a1)?;
        let (start, stop) = match a2 {
            Some(stop) => (first, int("range", stop)?),
            None => (0, first),
        };
        let step = std::num::NonZeroI32::new(step.map_or(Ok(1), |step| int("range", step))?)
            .ok_or_else(|| Fault::argument("the step of a `range` cannot be 0"))?;
        let has_items = if step.get() > 0 { start < stop } else { start > stop };
        // Of a wider one, the interpreter's length is wrong.
        if has_items && start.abs_diff(stop) > i32::MAX.unsigned_abs() {
            return Err(Fault::limit(
                format!("a `range` from {start} to {stop} is wider than 2147483647"),
                "let both ends have the same sign, or add a number to each item",
            )
            .into());
        }
        let range = hand.heap.alloc(Range::new(start, stop, step));
        let length = range.length().map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(usize::MAX));
        form::at_most_rows(length, hand.meter)?;
        Ok(range)
    }

    /// The items from the last to the first.
    ///
    /// Call: `reversed(a: list) -> list`
    ///
    /// Example: `reversed([1, 2])`
    fn reversed<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let mut items = items_of(a, hand)?;
        items.reverse();
        hand.list(items.len())?;
        Ok(hand.heap.alloc(AllocList(items.iter().copied())))
    }

    /// Each value once; sets have `|`, `&`, `-` and `in`.
    ///
    /// Call: `set(a: list = []) -> set`
    ///
    /// Example: `len(set([1, 1, 2]))`
    fn set<'v>(
        #[starlark(require = pos)] a: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        match a {
            Some(values) => tables::new_set(&tables::keys_of(values, hand)?, hand, eval),
            None => tables::new_set(&[], hand, eval),
        }
    }

    /// The items from the least to the greatest, by a key if one is given.
    ///
    /// Call: `sorted(x: list, key: function = None, reverse: bool = False) -> list`
    ///
    /// Example: `sorted([3, 1, 2], reverse=True)`
    fn sorted<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = named)] key: Option<Value<'v>>,
        #[starlark(require = named)] reverse: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let items = items_of(x, hand)?;
        let is_reversed = reverse.is_some_and(Value::to_bool);
        let mut items = keyed(&items, key, eval)?;
        sort(&mut items, is_reversed, hand)?;
        hand.list(items.len())?;
        Ok(hand.heap.alloc(AllocList(items.iter().map(|(item, _)| *item))))
    }

    /// An object with these fields.
    ///
    /// Call: `struct(**named) -> struct`
    ///
    /// Example: `struct(name="a", count=1).count`
    fn r#struct<'v>(args: &Arguments<'v, '_>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let (positional, named) = unpack(args, eval)?;
        if !positional.is_empty() {
            return Err(Fault::argument("`struct` takes its fields by name").help("write `struct(count=1)`").into());
        }
        hand.meter.take(hand.heap, (named.len() + 1) * 2 * ENTRY_BYTES)?;
        Ok(hand.heap.alloc(AllocStruct(named)))
    }

    /// A tuple of the items.
    ///
    /// Call: `tuple(a: list = ()) -> tuple`
    ///
    /// Example: `tuple([1, 2])`
    fn tuple<'v>(
        #[starlark(require = pos)] a: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        if let Some(tuple) = a.filter(|value| TupleRef::from_value(*value).is_some()) {
            return Ok(tuple);
        }
        let Some(a) = a else { return Ok(hand.heap.alloc(AllocTuple::EMPTY)) };
        let items = items_of(a, hand)?;
        hand.list(items.len())?;
        Ok(hand.heap.alloc(AllocTuple(items.iter().copied())))
    }

    /// Tuples of the items that have the same place in several lists.
    ///
    /// Call: `zip(*args) -> list[tuple]`
    ///
    /// Example: `zip([1, 2], ["a", "b"])`
    fn zip<'v>(
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let columns = args.items.iter().map(|values| items_of(*values, hand)).collect::<Checked<Vec<_>>>()?;
        let rows = columns.iter().map(|column| column.len()).min().unwrap_or(0);
        hand.tuples(rows, columns.len())?;
        let row = |index: usize| AllocTuple(columns.iter().map(move |column| column[index]).collect::<Vec<_>>());
        Ok(hand.heap.alloc(AllocList((0..rows).map(row))))
    }

    /// The sum of numbers.
    ///
    /// Call: `sum(xs: list, start: int | float = 0) -> int | float`
    ///
    /// Example: `sum([1, 2.5])`
    fn sum<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        start: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let mut total = start.unwrap_or_else(|| hand.heap.alloc(0));
        known(total)?;
        for item in items_of(xs, hand)?.iter() {
            hand.meter.tick(hand.heap)?;
            if total.unpack_i32().is_some() {
                let help = match Form::of(*item) {
                    Form::Bool(_) => Some("count what is true: `len([x for x in xs if x])`"),
                    Form::Text(_) => Some("join texts: `\", \".join(xs)`"),
                    _ => None,
                };
                if let Some(help) = help {
                    let message = format!("`sum` takes numbers, not {}", form::kind(*item));
                    return Err(Fault::argument(message).help(help).into());
                }
            }
            total = crate::sandbox::guard::operators::add(total, *item, hand)?;
        }
        Ok(total)
    }
}
