//! Reading parts of values: fields, items and slices; and the checks of what a script hands to the interpreter itself:
//! keys, callees, conditions, what is looped over. Separate because these are the guard's most frequent functions.

use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::none::NoneType;
use starlark::values::tuple::UnpackTuple;
use starlark::values::{Value, ValueLike};

use super::fault::{Checked, Fault};
use super::form::{self, ENTRY_BYTES, Form, known};
use super::methods::{self, Bound};
use super::namespace::Skill;
use super::operators::Hand;
use super::rewrite::LONGEST_NAME;
use super::value::{Row, Unavailable};
use super::{format, lists, show};
use crate::error::nearest;
use crate::sandbox::error::QueryErrorKind;

/// How many arguments `*args` and `**kwargs` may stand for.
pub(super) const MOST_ARGUMENTS: usize = 256;

/// `value.name`.
#[inline]
pub(super) fn attribute<'v>(value: Value<'v>, name: &str, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    if let Some(row) = value.downcast_ref::<Row<'v>>() {
        return row.field(name, hand.heap).ok_or_else(|| no_field(row, name));
    }
    other_attribute(value, name, hand)?.ok_or_else(|| no_attribute(value, name))
}

/// The field `name` of an item: of a dict its entry, which may be named as a method is.
pub(super) fn field<'v>(item: Value<'v>, name: &str, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    let Some(dict) = DictRef::from_value(item) else { return attribute(item, name, hand) };
    let found = dict.get_str(name);
    drop(dict);
    found.ok_or_else(|| no_key(item, hand.heap.alloc(name), hand))
}

/// The error for a field that a row does not have.
#[cold]
pub(super) fn no_field(row: &Row<'_>, name: &str) -> starlark::Error {
    methods::no_attribute("a row", name, &row.fields()).into()
}

/// The field or method `name` of anything but a row.
fn other_attribute<'v>(value: Value<'v>, name: &str, hand: Hand<'_, 'v>) -> Checked<Option<Value<'v>>> {
    let form = Form::of(value);
    if let Some(method) = methods::names(&form).iter().find(|method| **method == name) {
        return Ok(Some(hand.heap.alloc_complex_no_freeze(Bound { receiver: value, name: method })));
    }
    match &form {
        // A dict's texts can be read as fields: an object within a row is a dict.
        Form::Dict(dict) => Ok(dict.get_str(name)),
        Form::Struct(_) | Form::Row(_) | Form::History(_) | Form::Opaque => value.get_attr(name, hand.heap),
        Form::Unavailable(absent) => match value.get_attr(name, hand.heap)? {
            Some(part) => Ok(Some(part)),
            None => Err(absent.used()),
        },
        _ => Ok(None),
    }
}

/// Whether `value` has a field or method `name`.
pub(super) fn has_attribute<'v>(value: Value<'v>, name: &str, hand: Hand<'_, 'v>) -> Checked<bool> {
    if let Some(row) = value.downcast_ref::<Row<'v>>() {
        return Ok(row.fields().contains(&name));
    }
    known(value)?;
    Ok(other_attribute(value, name, hand)?.is_some())
}

/// The names of a value's fields and methods, without overlong ones.
pub(super) fn names(value: Value<'_>) -> Vec<String> {
    let form = Form::of(value);
    let mut names: Vec<String> = methods::names(&form).iter().map(|name| (*name).to_owned()).collect();
    match &form {
        Form::Dict(dict) => {
            let keys = dict.keys().take(200).filter_map(|key| key.unpack_str());
            names.extend(keys.filter(|key| key.len() <= LONGEST_NAME).map(str::to_owned));
        }
        Form::Struct(fields) => {
            let fields = fields.iter().map(|(name, _)| name.as_str()).filter(|name| name.len() <= LONGEST_NAME);
            names.extend(fields.map(str::to_owned));
        }
        Form::Row(_) | Form::Unavailable(_) | Form::History(_) | Form::Opaque => {
            names.extend(value.dir_attr());
        }
        _ => {}
    }
    names.sort();
    names.dedup();
    names
}

#[cold]
fn no_attribute(value: Value<'_>, name: &str) -> starlark::Error {
    if let Some(skill) = value.downcast_ref::<Skill>() {
        return skill.no_attribute(name).into();
    }
    let known = names(value);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    methods::no_attribute(&form::kind(value), name, &known).into()
}

/// `value[index]`.
pub(super) fn at<'v>(value: Value<'v>, index: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    known(index)?;
    match Form::of(value) {
        Form::Dict(dict) => {
            form::key(index, hand.heap)?;
            let found = dict.get(index)?;
            drop(dict);
            found.ok_or_else(|| no_key(value, index, hand))
        }
        Form::List(_) | Form::Tuple(_) | Form::Range | Form::Text(_) => match index.unpack_i32() {
            // The interpreter turns the sign of a text's index.
            Some(i32::MIN) => Err(out_of_range(value, i32::MIN)),
            Some(place) => value.at(index, hand.heap).map_err(|_| out_of_range(value, place)),
            None if index.get_type() == "int" => Err(Fault::runtime(format!(
                "this index is outside of {}: it is no integer between {} and {}",
                form::kind(value),
                i32::MIN,
                i32::MAX
            ))
            .into()),
            None => Err(Fault::runtime(format!(
                "{} is indexed by an integer, not {}",
                form::kind(value),
                form::kind(index)
            ))
            .into()),
        },
        Form::Row(row) => {
            let help = match index.unpack_str() {
                Some(name) if row.fields().contains(&name) => format!("write `.{name}`"),
                _ => "read its fields by name, as in `row.id`".to_owned(),
            };
            Err(Fault::runtime("a row has no index").help(help).into())
        }
        Form::Unavailable(absent) => Err(absent.used()),
        _ => Err(Fault::runtime(format!("{} has no index", form::kind(value))).into()),
    }
}

#[cold]
fn out_of_range(value: Value<'_>, index: i32) -> starlark::Error {
    let length = value.length().unwrap_or(0);
    Fault::runtime(format!("index {index} is outside of {} of {length} items", form::kind(value)))
        .help("ask for its `len` first")
        .into()
}

/// The error for a key that a dict does not have.
#[cold]
pub(super) fn no_key<'v>(dict: Value<'v>, key: Value<'v>, hand: Hand<'_, 'v>) -> starlark::Error {
    let shown = show::brief(key, hand.meter, hand.heap);
    let near = DictRef::from_value(dict).and_then(|dict| {
        let names: Vec<&str> = dict.keys().take(1000).filter_map(|key| key.unpack_str()).collect();
        nearest(key.unpack_str()?, names)
    });
    let message = match &near {
        Some(near) => format!("the dict has no key {shown}; did you mean {near:?}?"),
        None => format!("the dict has no key {shown}"),
    };
    Fault::new(QueryErrorKind::Runtime, message)
        .nearest(near)
        .help("use `d.get(key)`, or ask first: `if key in d:`")
        .into()
}

/// `value[start:stop:step]`.
fn slice<'v>(value: Value<'v>, bounds: [Value<'v>; 3], hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    let bytes = match Form::of(value) {
        Form::Text(text) => text.len() * 2,
        Form::List(list) => list.len() * size_of::<usize>(),
        Form::Tuple(tuple) => tuple.len() * size_of::<usize>(),
        Form::Range => 64,
        Form::Unavailable(absent) => return Err(absent.used()),
        _ => return Err(Fault::runtime(format!("{} has no slices", form::kind(value))).into()),
    };
    for bound in bounds {
        known(bound)?;
        if !bound.is_none() && bound.unpack_i32().is_none() {
            let message = match bound.get_type() {
                "int" => format!("a slice is bounded by integers between {} and {}", i32::MIN, i32::MAX),
                _ => format!("a slice is bounded by integers, not {}", form::kind(bound)),
            };
            return Err(Fault::runtime(message).into());
        }
    }
    hand.meter.spend(hand.heap, bytes / 128)?;
    hand.meter.room(hand.heap, bytes.saturating_add(64))?;
    let given = |bound: Value<'v>| (!bound.is_none()).then_some(bound);
    let slice = value.slice(given(bounds[0]), given(bounds[1]), given(bounds[2]), hand.heap);
    let bounds = bounds.map(Value::unpack_i32);
    if bounds[2] == Some(0) || !matches!(Form::of(value), Form::Range) {
        return slice;
    }
    let count = items_of_slice(value.length()?, bounds);
    // Of one whose ends are further apart than an integer is wide, the interpreter's length is wrong.
    slice.ok().filter(|slice| slice.length().is_ok_and(|length| i64::from(length) == count)).ok_or_else(|| {
        Fault::limit(
            "this slice of a `range` goes further than 2147483647",
            "make a list of the range first, as in `list(r)[::-1]`",
        )
        .into()
    })
}

/// How many of `length` items are in the slice with these bounds, of which the step is not 0.
fn items_of_slice(length: i32, [start, stop, step]: [Option<i32>; 3]) -> i64 {
    let (length, step) = (i64::from(length), i64::from(step.unwrap_or(1)));
    let (least, first, last) = if step < 0 { (-1, length - 1, -1) } else { (0, 0, length) };
    let place = |bound: Option<i32>, default: i64| {
        let place = bound.map_or(default, |bound| if bound < 0 { length + i64::from(bound) } else { i64::from(bound) });
        // What is left out is not counted from the end.
        if bound.is_none() { default } else { place.clamp(least, length + least) }
    };
    let (start, stop) = (place(start, first), place(stop, last));
    let distance = if step < 0 { start - stop } else { stop - start };
    (distance.max(0) + step.abs() - 1) / step.abs()
}

/// Refuses to loop over what has no items, or too many.
fn each<'v>(values: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    form::length(values, hand.meter)?;
    Ok(values)
}

#[starlark_module]
pub(super) fn register(builder: &mut GlobalsBuilder) {
    fn __attr<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        attribute(x, name, Hand::new(eval)?)
    }

    fn __at<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] k: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        at(x, k, Hand::new(eval)?)
    }

    fn __slice<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] start: Value<'v>,
        #[starlark(require = pos)] stop: Value<'v>,
        #[starlark(require = pos)] step: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        slice(x, [start, stop, step], Hand::new(eval)?)
    }

    /// A key of a dict that is written out.
    fn __key<'v>(
        #[starlark(require = pos)] k: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        form::key(k, hand.heap)?;
        Ok(k)
    }

    /// One of very many: all are put into the dict without a look at the clock in between.
    fn __short_key<'v>(
        #[starlark(require = pos)] k: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        const LONGEST: usize = 256;
        let hand = Hand::new(eval)?;
        let bytes = form::key(k, hand.heap)?;
        if bytes > LONGEST {
            return Err(Fault::limit(
                format!("a dict with so many entries is written out with keys of at most {LONGEST} bytes"),
                "put them into it one by one, as in `d[key] = value`",
            )
            .into());
        }
        Ok(k)
    }

    /// A key under which something is about to be stored.
    fn __new<'v>(
        #[starlark(require = pos)] k: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        form::key(k, hand.heap)?;
        hand.entries(1)?;
        Ok(k)
    }

    /// A dict that was written out.
    fn __dict<'v>(
        #[starlark(require = pos)] d: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let entries = DictRef::from_value(d).map_or(0, |dict| dict.len());
        hand.entries(entries)?;
        // Keys that were chosen to fall together make it quadratic.
        hand.meter.spend(hand.heap, entries * entries / 256)?;
        Ok(d)
    }

    /// A long list that was written out.
    fn __list<'v>(
        #[starlark(require = pos)] l: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        hand.meter.spend(hand.heap, form::length(l, hand.meter)? / 8)?;
        Ok(l)
    }

    /// The list of `*list` in a call.
    fn __star<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        few(form::length(x, hand.meter)?)?;
        Ok(x)
    }

    /// The dict of `**dict` in a call.
    fn __stars<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let Some(dict) = DictRef::from_value(x) else {
            known(x)?;
            return Err(Fault::runtime(format!("`**` takes a dict, not {}", form::kind(x))).into());
        };
        few(dict.len())?;
        dict.keys().try_for_each(argument_name)?;
        hand.meter.take(hand.heap, dict.len() * 2 * ENTRY_BYTES)?;
        Ok(x)
    }

    /// The dict that a function's `**named` has become.
    fn __named<'v>(
        #[starlark(require = pos)] d: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let hand = Hand::new(eval)?;
        hand.entries(DictRef::from_value(d).map_or(0, |dict| dict.len()))?;
        Ok(NoneType)
    }

    /// A condition: a value that is not known is neither true nor false.
    fn __is<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Hand::new(eval)?;
        known(x)?;
        Ok(x)
    }

    /// What is looped over.
    fn __each<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        each(x, Hand::new(eval)?)
    }

    /// What is called.
    fn __call<'v>(
        #[starlark(require = pos)] f: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Hand::new(eval)?;
        methods::callable(f)?;
        Ok(f)
    }

    /// A list that is about to be appended to.
    fn __appendable<'v>(
        #[starlark(require = pos)] list: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        lists::appendable(list, Hand::new(eval)?)?;
        Ok(list)
    }

    /// A step.
    fn __tick<'v>(eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<bool> {
        Hand::new(eval)?;
        Ok(true)
    }

    /// A field of an f-string.
    fn __format<'v>(
        #[starlark(require = pos)] value: Value<'v>,
        #[starlark(require = pos)] conversion: &str,
        #[starlark(require = pos)] spec: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        if spec.is_empty() && conversion == "s" && value.unpack_str().is_some() {
            return Ok(value);
        }
        let text = format::field(value, conversion == "r", spec, hand.meter, hand.heap)?;
        hand.meter.room(hand.heap, text.len())?;
        Ok(hand.heap.alloc(text))
    }

    /// The parts of an f-string.
    fn __join<'v>(
        #[starlark(args)] parts: UnpackTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let mut joined = String::new();
        for part in parts.items {
            joined.push_str(part.unpack_str().unwrap_or_default());
            form::at_most_text(joined.len(), hand.meter, hand.heap)?;
        }
        Ok(hand.heap.alloc(joined))
    }
}

fn few(count: usize) -> Checked<()> {
    if count <= MOST_ARGUMENTS {
        return Ok(());
    }
    Err(Fault::limit(
        format!("a call with {count} arguments has more than the {MOST_ARGUMENTS} that `*` may stand for"),
        "hand the list itself to the function",
    )
    .into())
}

/// Refuses a name that is longer than any function's: where names were chosen to fall together, each is compared with all
/// others.
fn argument_name(name: Value<'_>) -> Checked<()> {
    let length = name.unpack_str().map_or(0, str::len);
    if length <= LONGEST_NAME {
        return Ok(());
    }
    Err(Fault::limit(
        format!("the name of an argument has {length} bytes; the limit is {LONGEST_NAME}"),
        "hand the dict itself to the function",
    )
    .into())
}

/// Whether `value` is known.
pub(super) fn available(value: Value<'_>) -> bool {
    Unavailable::of(value).is_none()
}
