//! The values that lens brings into a script: rows, values that are not known, and plain JSON as the interpreter's own.
//! Separate because a skill's answer enters the script here and nowhere else.

#![expect(unsafe_code, reason = "only derived: `ProvidesStaticType` names a type for the interpreter's downcasts")]

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use allocative::Allocative;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};
use starlark::any::ProvidesStaticType;
use starlark::collections::SmallMap;
use starlark::starlark_simple_value;
use starlark::values::dict::Dict;
use starlark::values::list::AllocList;
use starlark::values::{Heap, NoSerialize, StarlarkValue, Trace, Value, ValueLike, starlark_value};

use super::fault::{Checked, Fault};
use super::form::{self, ENTRY_BYTES};
use super::meter::{Held, charge};
use super::operators::Hand;
use crate::answer::{Cell, Table};
use crate::sandbox::error::QueryErrorKind;

/// The bytes that an integer beyond 32 bits takes outside of the interpreter's heap, besides its digits.
pub(super) const WIDE_INT_BYTES: usize = 48;

/// The bytes that the allocator takes for a text of its own, besides its characters.
pub(super) const TEXT_BYTES: usize = 24;

/// The rows of one answer. Scripts see single ones, each of which refers to it: a hundred thousand count no references, and
/// nothing is to be dropped for them.
#[derive(ProvidesStaticType, NoSerialize, Allocative)]
struct Whole(#[allocative(skip)] Arc<dyn Table>);

starlark_simple_value!(Whole);

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Whole").field(&self.0.len()).finish()
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<rows>")
    }
}

#[starlark_value(type = "rows")]
impl<'v> StarlarkValue<'v> for Whole {}

/// One row of a function's answer, read field by field when the script asks for one.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative, Trace)]
pub(super) struct Row<'v> {
    whole: Value<'v>,
    index: usize,
}

impl<'v> Row<'v> {
    fn table(&self) -> Option<&'v Arc<dyn Table>> {
        self.whole.downcast_ref::<Whole>().map(|whole| &whole.0)
    }

    /// One of its fields.
    #[inline]
    pub(super) fn cell(&self, name: &str) -> Option<Cell> {
        self.table()?.cell(self.index, name)
    }

    /// One of its fields, if it is a float and quickly known.
    #[inline]
    pub(super) fn quick_float(&self, name: &str) -> Option<f64> {
        self.table()?.quick_float(self.index, name)
    }

    /// One of its fields, as a script sees it.
    #[inline]
    pub(super) fn field(&self, name: &str, heap: &'v Heap) -> Option<Value<'v>> {
        self.cell(name).map(|cell| from_cell(cell, heap))
    }

    /// The names of its fields.
    pub(super) fn fields(&self) -> Vec<&'static str> {
        self.table().map(|table| table.fields(self.index)).unwrap_or_default()
    }

    /// The row as JSON.
    pub(super) fn to_json(&self) -> Json {
        self.table().map_or(Json::Null, |table| table.to_json(self.index))
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<row>")
    }
}

#[starlark_value(type = "row")]
impl<'v> StarlarkValue<'v> for Row<'v> {
    fn get_attr(&self, name: &str, heap: &'v Heap) -> Option<Value<'v>> {
        self.field(name, heap)
    }

    fn has_attr(&self, name: &str, _: &'v Heap) -> bool {
        self.fields().contains(&name)
    }

    fn dir_attr(&self) -> Vec<String> {
        self.fields().into_iter().map(str::to_owned).collect()
    }

    fn equals(&self, other: Value<'v>) -> Checked<bool> {
        let is_same = |row: &Row<'v>| match (self.table(), row.table()) {
            (Some(one), Some(other)) => std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other)),
            _ => false,
        };
        let is_equal = |row: &Row<'v>| (self.index == row.index && is_same(row)) || self.to_json() == row.to_json();
        Ok(other.downcast_ref::<Row<'_>>().is_some_and(is_equal))
    }
}

/// A value that is not known. It is never 0, None or false: whatever a script does with it, other than ask for it or hand
/// it on, raises its fix.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(super) struct Unavailable {
    pub(super) code: String,
    pub(super) fix: String,
}

starlark_simple_value!(Unavailable);

impl Unavailable {
    /// A value that is not known, whose memory is counted.
    pub(super) fn alloc<'v>(code: impl Into<String>, fix: impl Into<String>, heap: &'v Heap) -> Value<'v> {
        let (code, fix) = (code.into(), fix.into());
        charge(TEXT_BYTES + code.len() + TEXT_BYTES + fix.len());
        heap.alloc(Self { code, fix })
    }

    /// Whether `value` is not known.
    pub(super) fn of<'v>(value: Value<'v>) -> Option<&'v Self> {
        value.downcast_ref::<Self>()
    }

    /// The error of a script that uses it.
    #[cold]
    pub(super) fn used(&self) -> starlark::Error {
        Fault::new(QueryErrorKind::Unavailable, format!("this value is unavailable: {}", self.fix))
            .help(format!("{}; or leave such values out with `available(x)`", self.fix))
            .into()
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<unavailable: {}>", self.fix)
    }
}

#[starlark_value(type = "unavailable")]
impl<'v> StarlarkValue<'v> for Unavailable {
    fn get_attr(&self, name: &str, heap: &'v Heap) -> Option<Value<'v>> {
        match name {
            "unavailable" => Some(heap.alloc(self.code.as_str())),
            "fix" => Some(heap.alloc(self.fix.as_str())),
            _ => None,
        }
    }

    fn dir_attr(&self) -> Vec<String> {
        vec!["fix".to_owned(), "unavailable".to_owned()]
    }

    fn equals(&self, _: Value<'v>) -> Checked<bool> {
        Err(self.used())
    }

    fn compare(&self, _: Value<'v>) -> Checked<std::cmp::Ordering> {
        Err(self.used())
    }
}

/// The rows of a table as a list.
pub(super) fn rows<'v>(table: Arc<dyn Table>, heap: &'v Heap) -> Value<'v> {
    let count = table.len();
    let whole = heap.alloc(Whole(table));
    heap.alloc(AllocList((0..count).map(|index| heap.alloc_complex_no_freeze(Row { whole, index }))))
}

/// The one row of a table.
pub(super) fn row<'v>(table: Arc<dyn Table>, heap: &'v Heap) -> Value<'v> {
    heap.alloc_complex_no_freeze(Row { whole: heap.alloc(Whole(table)), index: 0 })
}

pub(super) fn from_cell<'v>(cell: Cell, heap: &'v Heap) -> Value<'v> {
    match cell {
        Cell::Null => Value::new_none(),
        Cell::Bool(value) => Value::new_bool(value),
        Cell::Int(value) => int(value, heap),
        Cell::UInt(value) => {
            charge(WIDE_INT_BYTES);
            heap.alloc(value)
        }
        Cell::Float(value) => heap.alloc(value),
        Cell::Text(text) => heap.alloc(text),
        Cell::Unavailable { code, fix } => Unavailable::alloc(code, fix, heap),
        Cell::Json(json) => from_json(&json, heap),
    }
}

fn int(value: i64, heap: &Heap) -> Value<'_> {
    if i32::try_from(value).is_err() {
        charge(WIDE_INT_BYTES);
    }
    heap.alloc(value)
}

fn from_number<'v>(number: &Number, heap: &'v Heap) -> Value<'v> {
    match (number.as_i64(), number.as_u64()) {
        (Some(value), _) => int(value, heap),
        (None, Some(value)) => {
            charge(WIDE_INT_BYTES);
            heap.alloc(value)
        }
        (None, None) => heap.alloc(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// JSON as a script sees it: objects are dicts, and a marker of an absent value is such a value.
///
/// It recurses as deep as `json` is nested, which is either a skill's own type or was checked.
pub(super) fn from_json<'v>(json: &Json, heap: &'v Heap) -> Value<'v> {
    match json {
        Json::Null => Value::new_none(),
        Json::Bool(value) => Value::new_bool(*value),
        Json::Number(number) => from_number(number, heap),
        Json::String(text) => heap.alloc(text.as_str()),
        Json::Array(items) => heap.alloc(AllocList(items.iter().map(|item| from_json(item, heap)))),
        Json::Object(fields) => {
            if let (2, Some(Json::String(code)), Some(Json::String(fix))) =
                (fields.len(), fields.get("unavailable"), fields.get("fix"))
            {
                return Unavailable::alloc(code, fix, heap);
            }
            charge(fields.len() * ENTRY_BYTES);
            let mut dict = SmallMap::with_capacity(fields.len());
            for (name, value) in fields {
                let name = heap.alloc_str(name);
                dict.insert_hashed(name.get_hashed_value(), from_json(value, heap));
            }
            heap.alloc(Dict::new(dict))
        }
    }
}

/// The one name with which serde_json marks a text that it is to read anew, without a limit on how deep it is nested.
pub(super) const RAW_VALUE: &str = "$serde_json::private::RawValue";
/// The one name with which serde_json marks a number, if the application turned on that it keeps all digits.
const NUMBER: &str = "$serde_json::private::Number";

/// What `text`, which is JSON, says, as [`from_json`] does. Each part takes a step and its memory as it is made: a script
/// can choose names that all fall together, and objects that are much larger than their text.
///
/// serde_json refuses what is nested more than 127 deep.
pub(super) fn decode<'v>(text: &str, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    /// How many lists can be open at once, at least.
    const NESTING: usize = 128;
    // An item waits until its list ends: the first of each list that is open, and one for each comma.
    let commas = text.bytes().filter(|byte| *byte == b',').count();
    let waiting = RefCell::new(Held::with_capacity(commas + NESTING, hand.meter, hand.heap)?);
    let refused = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Decode { hand, waiting: &waiting, refused: &refused }.deserialize(&mut reader);
    let read = read.and_then(|value| reader.end().map(|()| value));
    match refused.take() {
        Some(error) => Err(error),
        None => read.map_err(|error| Fault::argument(format!("this text is no JSON: {error}")).into()),
    }
}

/// Makes values of what serde_json reads.
#[derive(Clone, Copy)]
struct Decode<'a, 'v> {
    hand: Hand<'a, 'v>,
    /// The items of the lists that are open.
    waiting: &'a RefCell<Held<Value<'v>>>,
    /// Why the script may not go on; serde_json's own errors cannot carry it.
    refused: &'a RefCell<Option<starlark::Error>>,
}

impl<'v> Decode<'_, 'v> {
    /// Hands a limit that was reached past serde_json.
    fn checked<T, E: de::Error>(self, result: Checked<T>) -> Result<T, E> {
        result.map_err(|error| {
            *self.refused.borrow_mut() = Some(error);
            E::custom("a limit was reached")
        })
    }

    /// Counts a step, and memory outside of the interpreter's heap.
    fn count<E: de::Error>(self, bytes: usize) -> Result<(), E> {
        let Hand { meter, heap } = self.hand;
        self.checked(meter.take(heap, bytes).and_then(|()| meter.tick(heap)))
    }
}

impl<'de, 'v> DeserializeSeed<'de> for Decode<'_, 'v> {
    type Value = Value<'v>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'v>, D::Error> {
        self.count::<D::Error>(0)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'v> Visitor<'de> for Decode<'_, 'v> {
    type Value = Value<'v>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value<'v>, E> {
        Ok(Value::new_none())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value<'v>, E> {
        Ok(Value::new_bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value<'v>, E> {
        Ok(int(value, self.hand.heap))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value<'v>, E> {
        Ok(from_number(&value.into(), self.hand.heap))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value<'v>, E> {
        Ok(self.hand.heap.alloc(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value<'v>, E> {
        Ok(self.hand.heap.alloc(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'v>, A::Error> {
        let before = self.waiting.borrow().len();
        while let Some(item) = items.next_element_seed(self)? {
            self.waiting.borrow_mut().push(item);
        }
        let mut waiting = self.waiting.borrow_mut();
        let length = waiting.len() - before;
        self.checked::<_, A::Error>(form::at_most_rows(length, self.hand.meter))?;
        let bytes = length.saturating_mul(size_of::<usize>());
        self.checked::<_, A::Error>(self.hand.meter.room(self.hand.heap, bytes))?;
        let list = self.hand.heap.alloc(AllocList(waiting[before..].iter().copied()));
        waiting.truncate(before);
        Ok(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value<'v>, A::Error> {
        let Hand { meter, heap } = self.hand;
        let mut dict: SmallMap<Value<'v>, Value<'v>> = SmallMap::new();
        while let Some(name) = fields.next_key::<String>()? {
            if name == RAW_VALUE {
                return Err(de::Error::custom(format!("no name may be `{RAW_VALUE}`")));
            }
            if name == NUMBER && dict.is_empty() {
                let digits = fields.next_value::<String>()?;
                let number = digits.parse::<Number>().map_err(<A::Error as de::Error>::custom)?;
                return Ok(from_number(&number, heap));
            }
            // The first table has room for several entries.
            self.count::<A::Error>(if dict.is_empty() { 2 * ENTRY_BYTES } else { ENTRY_BYTES })?;
            let value = fields.next_value_seed(self)?;
            dict.insert_hashed(heap.alloc_str(&name).get_hashed_value(), value);
        }
        self.checked::<_, A::Error>(form::at_most_rows(dict.len(), meter))?;
        let dict = Dict::new(dict);
        let part = |name| dict.get_str(name).and_then(|part| part.unpack_str());
        if let (2, Some(code), Some(fix)) = (dict.len(), part("unavailable"), part("fix")) {
            return Ok(Unavailable::alloc(code, fix, heap));
        }
        Ok(heap.alloc(dict))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::capture::Capture;
    use crate::recorder::Recorder;
    use crate::registry::RegistryBuilder;
    use crate::sandbox::guard::meter::Meter;
    use crate::sandbox::limits::Limits;

    /// What a query of `limits` says of `text`, as a script would show it; or its error.
    fn decoded(text: &str, limits: Limits) -> Result<String, String> {
        let registry = Arc::new(RegistryBuilder::new().build());
        let capture = Arc::new(Capture::live(&registry, &Arc::new(Recorder::new())));
        let meter = Meter::new(&Arc::new(limits), &capture, &Arc::new(AtomicBool::new(false)));
        let heap = Heap::new();
        let value = decode(text, Hand { meter: &meter, heap: &heap });
        value.map(|value| value.to_repr()).map_err(|error| error.to_string())
    }

    #[test]
    fn json_is_decoded_to_values() {
        let text =
            r#" {"b": [1, -2, 1.5, 18446744073709551615, []], "a": {}, "b\u0062": null, "a": [true, "\u0041"]} "#;
        let shown = decoded(text, Limits::default()).unwrap();
        assert_eq!(shown, r#"{"b": [1, -2, 1.5, 18446744073709551615, []], "a": [True, "A"], "bb": None}"#);
        assert_eq!(decoded(r#"{"fix": "b", "unavailable": "a"}"#, Limits::default()).unwrap(), "<unavailable: b>");
        for text in ["", "nul", "1 2", "[1,]", "{1: 2}", "1e999", &"[".repeat(200)] {
            let error = decoded(text, Limits::default()).unwrap_err();
            assert!(error.contains("this text is no JSON"), "{text}: {error}");
        }
    }

    #[test]
    fn a_raw_value_is_not_read_anew() {
        for name in [RAW_VALUE.to_owned(), RAW_VALUE.replace('R', "\\u0052")] {
            let error = decoded(&format!(r#"{{"{name}": "[1]"}}"#), Limits::default()).unwrap_err();
            assert!(error.contains("no name may be"), "{error}");
        }
    }

    #[test]
    fn objects_and_names_are_counted_as_they_are_decoded() {
        let limits = || Limits { heap_bytes: 1 << 20, ..Limits::default() };
        let one = "{\"\":".repeat(120) + "1" + &"}".repeat(120);
        let error = decoded(&format!("[{}]", vec![one; 100].join(",")), limits()).unwrap_err();
        assert!(error.contains("`heap_bytes`"), "{error}");
        let names = (0..1000).map(|name| format!("\"{name}\":1")).collect::<Vec<_>>().join(",");
        let error = decoded(&format!("{{{names}}}"), Limits { steps: 500, ..limits() }).unwrap_err();
        assert!(error.contains("`steps`"), "{error}");
        decoded(&format!("{{{names}}}"), limits()).unwrap();
    }
}
