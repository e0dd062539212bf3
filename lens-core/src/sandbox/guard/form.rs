//! What a value is, so that everything that goes through values (text, comparison, JSON, keys) tells them apart alike.
//! Separate because a kind of value that one of them forgot would be a hole: they all match on [`Form`].

use starlark::values::dict::DictRef;
use starlark::values::float::StarlarkFloat;
use starlark::values::list::ListRef;
use starlark::values::structs::StructRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{Heap, Value, ValueLike};

use super::fault::{Checked, Fault};
use super::meter::{BYTES_PER_STEP, Meter, strain};
use super::namespace::History;
use super::value::{Row, Unavailable};

/// A value, told apart.
pub(super) enum Form<'v> {
    None,
    Bool(bool),
    Int,
    Float(f64),
    Text(&'v str),
    List(&'v ListRef<'v>),
    Tuple(&'v TupleRef<'v>),
    Dict(DictRef<'v>),
    Struct(StructRef<'v>),
    Set,
    Range,
    Row(&'v Row<'v>),
    Unavailable(&'v Unavailable),
    History(&'v History),
    Function,
    /// Something without parts: a skill.
    Opaque,
}

impl<'v> Form<'v> {
    /// What `value` is.
    #[inline]
    pub(super) fn of(value: Value<'v>) -> Self {
        if value.unpack_i32().is_some() {
            Self::Int
        } else if let Some(text) = value.unpack_str() {
            Self::Text(text)
        } else {
            Self::of_rest(value)
        }
    }

    fn of_rest(value: Value<'v>) -> Self {
        if value.is_none() {
            return Self::None;
        }
        if let Some(truth) = value.unpack_bool() {
            return Self::Bool(truth);
        }
        if let Some(float) = value.downcast_ref::<StarlarkFloat>() {
            return Self::Float(float.0);
        }
        if let Some(list) = ListRef::from_value(value) {
            return Self::List(list);
        }
        if let Some(row) = value.downcast_ref::<Row<'v>>() {
            return Self::Row(row);
        }
        if let Some(tuple) = TupleRef::from_value(value) {
            return Self::Tuple(tuple);
        }
        if let Some(dict) = DictRef::from_value(value) {
            return Self::Dict(dict);
        }
        if let Some(fields) = StructRef::from_value(value) {
            return Self::Struct(fields);
        }
        if let Some(absent) = value.downcast_ref::<Unavailable>() {
            return Self::Unavailable(absent);
        }
        if let Some(history) = value.downcast_ref::<History>() {
            return Self::History(history);
        }
        match value.get_type() {
            "int" => Self::Int,
            "set" => Self::Set,
            "range" => Self::Range,
            "function" => Self::Function,
            _ => Self::Opaque,
        }
    }

    /// Whether it has no parts, so that nothing that is done to it recurses.
    pub(super) fn is_leaf(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Tuple(_) | Self::Dict(_) | Self::Struct(_) | Self::Set)
    }
}

/// What `value` is, with its article, for a message.
pub(super) fn kind(value: Value<'_>) -> String {
    match value.get_type() {
        "NoneType" => "None".to_owned(),
        "string" => "a text".to_owned(),
        other if other.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {other}"),
        other => format!("a {other}"),
    }
}

/// A number that a float has exactly: a float itself, or an integer of 32 bits.
#[inline]
pub(super) fn number(value: Value<'_>) -> Option<f64> {
    match value.unpack_i32() {
        Some(integer) => Some(integer.into()),
        None => value.downcast_ref::<StarlarkFloat>().map(|float| float.0),
    }
}

/// Whether `value` has no parts.
#[inline]
pub(super) fn is_leaf(value: Value<'_>) -> bool {
    value.unpack_i32().is_some() || value.unpack_str().is_some() || Form::of_rest(value).is_leaf()
}

/// Raises the fix if `value` is not known.
#[inline]
pub(super) fn known(value: Value<'_>) -> Checked<()> {
    match value.downcast_ref::<Unavailable>() {
        None => Ok(()),
        Some(absent) => Err(absent.used()),
    }
}

/// The most parts that a key may have.
const KEY_PARTS: usize = 256;
/// How deeply a key may be nested.
const KEY_NESTING: usize = 8;
/// The most bytes of text that a key may have: keys are compared with others, and shown, without a look at the clock.
const KEY_TEXT: usize = 64 << 10;
/// The bytes that an entry of a dict or a set takes outside of the interpreter's heap, at worst: its tables double.
pub(super) const ENTRY_BYTES: usize = 64;

/// Refuses a key whose hash would take long or go deep, and counts the steps of its comparison with another. Gives the
/// bytes of its text.
#[inline]
pub(super) fn key<'v>(value: Value<'v>, heap: &'v Heap) -> Checked<usize> {
    if value.unpack_i32().is_some() {
        return Ok(0);
    }
    match value.unpack_str() {
        Some(text) if text.len() <= BYTES_PER_STEP => Ok(text.len()),
        Some(text) => text_of_key(text.len()),
        None => compound_key(value, heap),
    }
}

fn text_of_key(bytes: usize) -> Checked<usize> {
    if bytes > KEY_TEXT {
        return Err(Fault::limit(
            format!("a key with {bytes} bytes of text is longer than its limit of {KEY_TEXT}"),
            "use a part of the text as the key, as in `text[:100]`",
        )
        .into());
    }
    strain(bytes / BYTES_PER_STEP);
    Ok(bytes)
}

fn compound_key<'v>(value: Value<'v>, heap: &'v Heap) -> Checked<usize> {
    known(value)?;
    let measured = measure(value, KEY_PARTS, KEY_NESTING, heap).map_err(|_| {
        Fault::limit(
            format!("a key may have at most {KEY_PARTS} parts, nested at most {KEY_NESTING} deep"),
            "use a text or a number as the key, as in `str(x)`",
        )
    })?;
    strain(measured.parts / 8);
    text_of_key(measured.text_bytes)
}

/// How large a value is.
struct Measured {
    parts: usize,
    /// Of texts and the names of fields; what is there twice counts twice.
    text_bytes: usize,
}

/// How large `value` is; an error if its parts are more than `most`, or nested deeper than `deepest`.
///
/// What it lets through can be handed to code that recurses.
fn measure<'v>(value: Value<'v>, most: usize, deepest: usize, heap: &'v Heap) -> Checked<Measured> {
    let mut count = 0;
    let mut text_bytes = 0_usize;
    let mut open = vec![(value, 0)];
    while let Some((value, depth)) = open.pop() {
        count += 1;
        let form = Form::of(value);
        if let Form::Text(text) = form {
            text_bytes = text_bytes.saturating_add(text.len());
        }
        if form.is_leaf() {
            continue;
        }
        let length = usize::try_from(value_length(value, &form)).unwrap_or(0);
        if depth >= deepest || count + open.len() + length > most {
            return Err(Fault::limit(
                format!("this value has more than {most} parts, or they are nested more than {deepest} deep"),
                "hand on fewer, or a flatter value",
            )
            .into());
        }
        let depth = depth + 1;
        match form {
            Form::List(list) => open.extend(list.iter().map(|item| (item, depth))),
            Form::Tuple(tuple) => open.extend(tuple.iter().map(|item| (item, depth))),
            Form::Dict(dict) => open.extend(dict.iter().flat_map(|(key, value)| [(key, depth), (value, depth)])),
            Form::Struct(fields) => {
                text_bytes = fields.iter().fold(text_bytes, |sum, (name, _)| sum.saturating_add(name.as_str().len()));
                open.extend(fields.iter().map(|(_, value)| (value, depth)));
            }
            _ => open.extend(value.iterate(heap)?.map(|item| (item, depth))),
        }
    }
    Ok(Measured { parts: count, text_bytes })
}

fn value_length<'v>(value: Value<'v>, form: &Form<'v>) -> i32 {
    match form {
        Form::Struct(fields) => i32::try_from(fields.iter().len()).unwrap_or(i32::MAX),
        _ => value.length().unwrap_or(0),
    }
}

/// The number of items that iterating `value` gives at most, or an error if it cannot be iterated or is too long.
pub(super) fn length(value: Value<'_>, meter: &Meter) -> Checked<usize> {
    let length = match Form::of(value) {
        Form::Unavailable(absent) => return Err(absent.used()),
        Form::Text(_) => {
            return Err(Fault::runtime("a text is not a list of its characters").help("write `text.elems()`").into());
        }
        Form::List(_) | Form::Tuple(_) | Form::Dict(_) | Form::Set | Form::Range => {
            usize::try_from(value.length()?).unwrap_or(0)
        }
        _ => return Err(Fault::runtime(format!("{} is not a list", kind(value))).into()),
    };
    at_most_rows(length, meter)
}

/// Refuses a list that is longer than it may be.
pub(super) fn at_most_rows(length: usize, meter: &Meter) -> Checked<usize> {
    let limit = meter.limits.rows;
    if length <= limit {
        return Ok(length);
    }
    Err(Fault::limit(
        format!("a list of {length} items is longer than its limit of {limit} (`rows`)"),
        "filter first, or count instead of collecting",
    )
    .into())
}

/// Refuses a text that is longer than it may be, and makes room for it.
pub(super) fn at_most_text(bytes: usize, meter: &Meter, heap: &Heap) -> Checked<()> {
    let limit = meter.limits.text_bytes;
    if bytes > limit {
        return Err(Fault::limit(
            format!("a text of {bytes} bytes is longer than its limit of {limit} (`text_bytes`)"),
            "make shorter texts; lists and dicts need none",
        )
        .into());
    }
    meter.reserve(heap, bytes.saturating_add(32))
}
