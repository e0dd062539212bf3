//! Dicts and sets. Separate because of what their hash is: 32 bits that anyone can compute, so texts can be chosen that
//! all fall together, and each insertion then goes through all of them. Whole collections are therefore never handed to
//! the interpreter: they are inserted a few at a time, with a look at the clock in between.

use starlark::collections::SmallMap;
use starlark::eval::Evaluator;
use starlark::values::dict::{Dict, DictRef};
use starlark::values::list::AllocList;
use starlark::values::{Heap, Value};

use super::fault::{Checked, Fault};
use super::form::{self, Form};
use super::meter::Held;
use super::operators::Hand;
use super::{builtins, show};

/// How many items are added to a set between two looks at the clock.
const ITEMS_PER_LOOK: usize = 64;

/// How many bytes of them.
const BYTES_PER_LOOK: usize = 4096;

/// An empty dict.
pub(super) fn new_dict(heap: &Heap) -> Value<'_> {
    heap.alloc(Dict::new(SmallMap::new()))
}

/// Puts one entry into a dict.
pub(super) fn insert<'v>(dict: Value<'v>, key: Value<'v>, value: Value<'v>, hand: Hand<'_, 'v>) -> Checked<()> {
    form::key(key, hand.heap)?;
    hand.meter.tick(hand.heap)?;
    replace(dict, key, value, hand)
}

/// The value of a key.
pub(super) fn get<'v>(dict: Value<'v>, key: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Option<Value<'v>>> {
    form::key(key, hand.heap)?;
    hand.meter.tick(hand.heap)?;
    match DictRef::from_value(dict) {
        Some(dict) => dict.get(key),
        None => Ok(None),
    }
}

/// Puts a value in the place of another, or of none.
pub(super) fn replace<'v>(dict: Value<'v>, key: Value<'v>, value: Value<'v>, hand: Hand<'_, 'v>) -> Checked<()> {
    // Most of the time the key is there: memory is taken only for a new one.
    let length = dict.length()?;
    dict.set_at(key, value)?;
    if dict.length()? > length { hand.entries(1) } else { Ok(()) }
}

/// Puts the entries of `source`, a dict or a list of pairs, into `dict`.
pub(super) fn update_dict<'v>(dict: Value<'v>, source: Value<'v>, hand: Hand<'_, 'v>) -> Checked<()> {
    if dict.ptr_eq(source) {
        return Ok(());
    }
    if let Some(entries) = DictRef::from_value(source) {
        for (key, value) in entries.iter() {
            insert(dict, key, value, hand)?;
        }
        return Ok(());
    }
    form::length(source, hand.meter)?;
    for pair in source.iterate(hand.heap)? {
        let (key, value) = match Form::of(pair) {
            Form::Tuple(pair) => two(pair.content()),
            Form::List(pair) => two(pair.content()),
            _ => None,
        }
        .ok_or_else(|| {
            let shown = show::brief(pair, hand.meter, hand.heap);
            Fault::runtime(format!("a dict is made of pairs, and {shown} is none"))
                .help("give it pairs, as in `[(key, value)]`")
        })?;
        insert(dict, key, value, hand)?;
    }
    Ok(())
}

fn two<'v>(items: &[Value<'v>]) -> Option<(Value<'v>, Value<'v>)> {
    match items {
        [key, value] => Some((*key, *value)),
        _ => None,
    }
}

/// The dict that has the entries of both; those of `b` win.
pub(super) fn merge_dicts<'v>(a: Value<'v>, b: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    let merged = new_dict(hand.heap);
    update_dict(merged, a, hand)?;
    update_dict(merged, b, hand)?;
    Ok(merged)
}

/// A set of `items`.
pub(super) fn new_set<'v>(
    items: &[Value<'v>],
    hand: Hand<'_, 'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    let set = eval.eval_function(builtins::base("set"), &[], &[])?;
    update_set(set, items, hand, eval)?;
    Ok(set)
}

/// Adds `items` to a set.
pub(super) fn update_set<'v>(
    set: Value<'v>,
    items: &[Value<'v>],
    hand: Hand<'_, 'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<()> {
    form::at_most_rows(items.len(), hand.meter)?;
    let update = set.get_attr_error("update", hand.heap)?;
    let mut rest = items;
    while !rest.is_empty() {
        let (mut count, mut bytes) = (0, 0);
        for item in rest.iter().take(ITEMS_PER_LOOK) {
            bytes += form::key(*item, hand.heap)?;
            count += 1;
            if bytes > BYTES_PER_LOOK {
                break;
            }
        }
        let (some, others) = rest.split_at(count);
        rest = others;
        hand.meter.spend(hand.heap, some.len())?;
        let length = form::length(set, hand.meter)?;
        let list = hand.heap.alloc(AllocList(some.iter().copied()));
        eval.eval_function(update, &[list], &[])?;
        hand.entries(form::length(set, hand.meter)? - length)?;
    }
    Ok(())
}

/// The items of a set, or of anything that can be iterated, each fit to be in a set.
pub(super) fn keys_of<'v>(values: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Held<Value<'v>>> {
    let length = form::length(values, hand.meter)?;
    let mut items = Held::with_capacity(length, hand.meter, hand.heap)?;
    for item in values.iterate(hand.heap)? {
        hand.meter.tick(hand.heap)?;
        form::key(item, hand.heap)?;
        items.push(item);
    }
    Ok(items)
}

/// The set that the set method `method` gives for `a` and the set `b`.
pub(super) fn combine_sets<'v>(
    method: &str,
    a: Value<'v>,
    b: Value<'v>,
    hand: Hand<'_, 'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    let (a_items, b_items) = (keys_of(a, hand)?, keys_of(b, hand)?);
    let mut items = Held::with_capacity(a_items.len() + b_items.len(), hand.meter, hand.heap)?;
    let mut keep = |from: &[Value<'v>], is_kept: &dyn Fn(Value<'v>) -> Checked<bool>| -> Checked<()> {
        for item in from {
            form::key(*item, hand.heap)?;
            hand.meter.tick(hand.heap)?;
            if is_kept(*item)? {
                items.push(*item);
            }
        }
        Ok(())
    };
    match method {
        "union" => {
            keep(&a_items, &|_| Ok(true))?;
            keep(&b_items, &|_| Ok(true))?;
        }
        "difference" => keep(&a_items, &|item| Ok(!b.is_in(item)?))?,
        "intersection" => keep(&b_items, &|item| a.is_in(item))?,
        _ => {
            keep(&a_items, &|item| Ok(!b.is_in(item)?))?;
            keep(&b_items, &|item| Ok(!a.is_in(item)?))?;
        }
    }
    new_set(&items, hand, eval)
}

/// Whether every item of `a` is in the set `b`.
pub(super) fn is_subset<'v>(a: Value<'v>, b: Value<'v>, hand: Hand<'_, 'v>) -> Checked<bool> {
    for item in keys_of(a, hand)?.iter() {
        form::key(*item, hand.heap)?;
        hand.meter.tick(hand.heap)?;
        if !b.is_in(*item)? {
            return Ok(false);
        }
    }
    Ok(true)
}
