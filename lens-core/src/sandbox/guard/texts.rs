//! The methods of texts. Separate because a few of them (`join`, `replace`, `format`) can make a text of any size out of
//! small ones, and most of the others take time in proportion to what they are given.

use starlark::eval::Evaluator;
use starlark::values::list::AllocList;
use starlark::values::{Heap, Value};

use super::fault::{Checked, Fault};
use super::form;
use super::lists::own;
use super::meter::{BYTES_PER_STEP, Meter};
use super::operators::Hand;
use super::{format, lists};

pub(super) const METHODS: &[&str] = &[
    "capitalize",
    "codepoints",
    "count",
    "elems",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isdigit",
    "islower",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
];

/// How many comparisons of bytes an operation may take: about 20 ms.
const MOST_COMPARISONS: usize = 32 << 20;
/// The bytes that a piece of a text takes as a text of its own, besides its characters.
const PIECE_BYTES: usize = 64;

/// Calls `method` of `text`, which is `receiver`.
pub(super) fn call<'v>(
    receiver: Value<'v>,
    text: &'v str,
    method: &str,
    arguments: &[Value<'v>],
    named: &[(String, Value<'v>)],
    hand: Hand<'_, 'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    let Hand { meter, heap } = hand;
    meter.spend(heap, text.len() / BYTES_PER_STEP)?;
    match (method, arguments) {
        ("format", _) => return format::braces(text, arguments, named, meter, heap),
        ("join", [parts]) => return join(text, *parts, hand),
        // Lists of their characters: what the interpreter gives instead makes such a list for each loop over it.
        ("elems", []) => {
            meter.reserve(heap, text.len().saturating_mul(PIECE_BYTES))?;
            let mut buffer = [0; 4];
            let characters: Vec<Value<'v>> =
                text.chars().map(|one| heap.alloc_str(one.encode_utf8(&mut buffer)).to_value()).collect();
            return Ok(heap.alloc(AllocList(characters)));
        }
        ("codepoints", []) => {
            meter.reserve(heap, text.len().saturating_mul(8))?;
            return Ok(heap.alloc(AllocList(text.chars().map(u32::from))));
        }
        ("replace", [old, new, ..]) => {
            scalars(method, arguments)?;
            replace(text, *old, *new, meter, heap)?;
        }
        ("startswith" | "endswith", [affix]) => {
            form::key(*affix, heap)?;
        }
        ("split" | "rsplit", _) => {
            if arguments.get(1).and_then(|most| most.unpack_i32()) == Some(i32::MAX) {
                return Err(Fault::argument(format!("`{method}` cannot split that often")).into());
            }
            scalars(method, arguments)?;
            meter.reserve(heap, text.len().saturating_mul(PIECE_BYTES))?;
        }
        ("splitlines", _) => {
            scalars(method, arguments)?;
            meter.reserve(heap, text.len().saturating_mul(PIECE_BYTES))?;
        }
        _ => {
            scalars(method, arguments)?;
            let others: usize = arguments.iter().filter_map(|other| other.unpack_str()).map(str::len).sum();
            if text.len().saturating_mul(others) > MOST_COMPARISONS {
                return Err(Fault::limit(
                    format!("`{method}` would compare {} bytes with {others}", text.len()),
                    "search in shorter texts, or for shorter ones",
                )
                .into());
            }
            // A character can grow to three when its case changes.
            meter.reserve(heap, text.len().saturating_mul(3))?;
        }
    }
    own(receiver, method, arguments, eval)
}

/// Refuses arguments with parts: the interpreter would show them in its error.
fn scalars(method: &str, arguments: &[Value<'_>]) -> Checked<()> {
    for argument in arguments {
        form::known(*argument)?;
        if !form::is_leaf(*argument) {
            return Err(Fault::argument(format!("`{method}` of a text does not take {}", form::kind(*argument))).into());
        }
    }
    Ok(())
}

fn join<'v>(separator: &str, parts: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    let parts = lists::items_of(parts, hand)?;
    let mut joined = String::new();
    for (index, part) in parts.iter().copied().enumerate() {
        form::known(part)?;
        let part = part.unpack_str().ok_or_else(|| {
            Fault::argument(format!("`join` takes a list of texts, and one of its items is {}", form::kind(part)))
                .help("make them texts: `\", \".join([str(x) for x in xs])`")
        })?;
        let separator = if index == 0 { "" } else { separator };
        let length = joined.len() + separator.len() + part.len();
        if length > hand.meter.limits.text_bytes {
            form::at_most_text(length, hand.meter, hand.heap)?;
        }
        hand.meter.spend(hand.heap, 1 + part.len() / BYTES_PER_STEP)?;
        joined.push_str(separator);
        joined.push_str(part);
    }
    form::at_most_text(joined.len(), hand.meter, hand.heap)?;
    Ok(hand.heap.alloc(joined))
}

/// Makes room for the longest text that replacing can give.
fn replace<'v>(text: &str, old: Value<'v>, new: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<()> {
    let (Some(old), Some(new)) = (old.unpack_str(), new.unpack_str()) else { return Ok(()) };
    let places = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    let kept = text.len().saturating_sub(places.saturating_mul(old.len()));
    form::at_most_text(kept.saturating_add(places.saturating_mul(new.len())), meter, heap)
}
