//! Functions of single values: conversions, texts, attributes, JSON. Separate from those of collections because they do
//! not loop; what could go deep in them is the value that they show.

use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::list::AllocList;
use starlark::values::none::NoneType;
use starlark::values::tuple::UnpackTuple;

use super::base;
use crate::sandbox::error::QueryErrorKind;
use crate::sandbox::guard::fault::{Checked, Fault};
use crate::sandbox::guard::form::{self, known};
use crate::sandbox::guard::lists::{self, text};
use crate::sandbox::guard::operators::Hand;
use crate::sandbox::guard::{access, encode, show, value};

/// The longest text that is read as a number.
const LONGEST_NUMBER: usize = 310;

/// Calls a function of the interpreter's own that looks at single values only.
fn scalar<'v>(name: &str, arguments: &[Value<'v>], eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
    let hand = Hand::new(eval)?;
    for argument in arguments {
        known(*argument)?;
        if !form::is_leaf(*argument) {
            return Err(Fault::argument(format!("`{name}` does not take {}", form::kind(*argument))).into());
        }
        if argument.unpack_str().is_some_and(|text| text.len() > LONGEST_NUMBER) && name != "hash" {
            return Err(Fault::argument(format!("`{name}` takes at most {LONGEST_NUMBER} characters")).into());
        }
    }
    // It may give one of the largest integers there are, made of a float or a text.
    let bytes = LONGEST_NUMBER.max(hand.meter.limits.int_bits / 8);
    hand.meter.take(hand.heap, value::WIDE_INT_BYTES + bytes)?;
    eval.eval_function(base(name), arguments, &[])
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// A number without its sign.
    ///
    /// Call: `abs(x: int | float) -> int | float`
    ///
    /// Example: `abs(-3)`
    fn abs<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        scalar("abs", &[x], eval)
    }

    /// Whether a value is true: not 0, not empty, not None.
    ///
    /// Call: `bool(x: any = False) -> bool`
    ///
    /// Example: `bool([])`
    fn bool<'v>(
        #[starlark(require = pos)] x: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Hand::new(eval)?;
        let Some(x) = x else { return Ok(false) };
        known(x)?;
        Ok(x.to_bool())
    }

    /// The character with this number.
    ///
    /// Call: `chr(i: int) -> str`
    ///
    /// Example: `chr(65)`
    fn chr<'v>(
        #[starlark(require = pos)] i: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        scalar("chr", &[i], eval)
    }

    /// A number, or what a text says, as a float.
    ///
    /// Call: `float(a: int | float | str | bool = 0.0) -> float`
    ///
    /// Example: `float("1.5")`
    fn float<'v>(
        #[starlark(require = pos)] a: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        scalar("float", a.as_slice(), eval)
    }

    /// A number that is the same for the same text.
    ///
    /// Call: `hash(a: str) -> int`
    ///
    /// Example: `hash("a") == hash("a")`
    fn hash<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        scalar("hash", &[a], eval)
    }

    /// A number without its fraction, or what a text says, as an integer.
    ///
    /// Call: `int(a: int | float | str | bool = 0, base: int = 10) -> int`
    ///
    /// Example: `int("ff", 16)`
    fn int<'v>(
        #[starlark(require = pos)] a: Option<Value<'v>>,
        base: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let arguments: Vec<Value<'v>> = a.into_iter().chain(base).collect();
        scalar("int", &arguments, eval)
    }

    /// The number of a character.
    ///
    /// Call: `ord(a: str) -> int`
    ///
    /// Example: `ord("A")`
    fn ord<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        scalar("ord", &[a], eval)
    }

    /// A value as text.
    ///
    /// Call: `str(a: any) -> str`
    ///
    /// Example: `str([1, "a"])`
    fn str<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        if a.unpack_str().is_some() {
            return Ok(a);
        }
        let text = show::plain(a, hand.meter, hand.heap)?;
        hand.meter.room(hand.heap, text.len())?;
        Ok(hand.heap.alloc(text))
    }

    /// A value as text, as it would be written in a script.
    ///
    /// Call: `repr(a: any) -> str`
    ///
    /// Example: `repr("a")`
    fn repr<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let text = show::quoted(a, hand.meter, hand.heap)?;
        hand.meter.room(hand.heap, text.len())?;
        Ok(hand.heap.alloc(text))
    }

    /// Adds a line to what the query printed.
    ///
    /// Call: `print(*args) -> None`
    ///
    /// Example: `print("uptime", human_ms(lens.cost().uptime_ms))`
    fn print<'v>(
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let hand = Hand::new(eval)?;
        let mut line = String::new();
        for (index, value) in args.items.iter().enumerate() {
            if index > 0 {
                line.push(' ');
            }
            show::append(&mut line, *value, hand.meter, hand.heap)?;
        }
        hand.meter.print(&line)?;
        Ok(NoneType)
    }

    /// Ends the query with an error.
    ///
    /// Call: `fail(*args) -> never`
    ///
    /// Example: `fail("no worker is idle") if not runtime.workers() else "fine"`
    fn fail<'v>(
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        const LONGEST: usize = 2000;
        let hand = Hand::new(eval)?;
        let mut message = String::from("fail:");
        for value in args.items {
            message.push(' ');
            show::append(&mut message, value, hand.meter, hand.heap)?;
        }
        message.truncate(message.floor_char_boundary(LONGEST));
        Err(Fault::new(QueryErrorKind::Runtime, message).into())
    }

    /// The names of a value's fields and methods, or of a skill's functions.
    ///
    /// Call: `dir(x: any) -> list[str]`
    ///
    /// Example: `dir(runtime)`
    fn dir<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let names = access::names(x);
        hand.meter.spend(hand.heap, names.len())?;
        Ok(hand.heap.alloc(AllocList(names)))
    }

    /// A field, by its name; `default` if there is none.
    ///
    /// Call: `getattr(a: any, attr: str, default: any) -> any`
    ///
    /// Example: `getattr(struct(a=1), "b", 0)`
    fn getattr<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] attr: Value<'v>,
        #[starlark(require = pos)] default: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let attr = text("getattr", attr)?;
        match default {
            Some(default) if !access::has_attribute(a, attr, hand)? => Ok(default),
            _ => access::attribute(a, attr, hand),
        }
    }

    /// Whether a value has a field or method of this name.
    ///
    /// Call: `hasattr(a: any, attr: str) -> bool`
    ///
    /// Example: `hasattr(lens.cost(), "cpu_ratio")`
    fn hasattr<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] attr: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        access::has_attribute(a, text("hasattr", attr)?, Hand::new(eval)?)
    }

    /// Whether a value is known.
    ///
    /// Call: `available(x: any) -> bool`
    ///
    /// Example: `[w.index for w in runtime.workers() if available(w.worker_steal_count)]`
    fn available<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Hand::new(eval)?;
        Ok(access::available(x))
    }
}

/// `json.encode(x)`.
fn json_encode<'v>(value: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
    let hand = Hand::new(eval)?;
    let json = encode::text(value, hand.meter, hand.heap)?;
    form::at_most_text(json.len(), hand.meter, hand.heap)?;
    Ok(hand.heap.alloc(json))
}

/// `json.decode(text)`.
fn json_decode<'v>(text: &str, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
    /// The memory that a byte of JSON takes beside what is made of it: its texts, and what they are read into.
    const BYTES_PER_BYTE: usize = 4;
    let hand = Hand::new(eval)?;
    hand.meter.spend(hand.heap, text.len() / 16)?;
    hand.meter.reserve(hand.heap, text.len().saturating_mul(BYTES_PER_BYTE))?;
    value::decode(text, hand)
}

#[starlark_module]
fn json(builder: &mut GlobalsBuilder) {
    /// A value as JSON.
    ///
    /// Call: `json.encode(x: any) -> str`
    ///
    /// Example: `json.encode({"a": [1, None]})`
    fn encode<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        json_encode(x, eval)
    }

    /// What a text of JSON says.
    ///
    /// Call: `json.decode(text: str) -> any`
    ///
    /// Example: `json.decode("[1, 2]")`
    fn decode<'v>(
        #[starlark(require = pos)] text: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        json_decode(lists::text("json.decode", text)?, eval)
    }
}

/// The functions of single values, and `json`.
pub(super) fn register(builder: &mut GlobalsBuilder) {
    functions(builder);
    builder.namespace("json", json);
}
