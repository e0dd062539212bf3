//! The values that lens brings into a script: rows, values that are not known, and plain JSON as the interpreter's own.
//! Separate because a skill's answer enters the script here and nowhere else.

#![expect(unsafe_code, reason = "only derived: `ProvidesStaticType` names a type for the interpreter's downcasts")]

use std::fmt;
use std::sync::Arc;

use allocative::Allocative;
use serde_json::Value as Json;
use starlark::any::ProvidesStaticType;
use starlark::collections::SmallMap;
use starlark::starlark_simple_value;
use starlark::values::dict::Dict;
use starlark::values::list::AllocList;
use starlark::values::{Heap, NoSerialize, StarlarkValue, Trace, Value, ValueLike, starlark_value};

use super::fault::{Checked, Fault};
use super::form::ENTRY_BYTES;
use super::meter::charge;
use crate::answer::{Cell, Table};
use crate::sandbox::error::QueryErrorKind;

/// The bytes that an integer beyond 32 bits takes outside of the interpreter's heap, besides its digits.
pub(super) const WIDE_INT_BYTES: usize = 48;

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
        Ok(other.downcast_ref::<Row<'_>>().is_some_and(|row| self.index == row.index && is_same(row)))
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
        Cell::Unavailable { code, fix } => {
            charge(code.len() + fix.len());
            heap.alloc(Unavailable { code: code.into(), fix: fix.into() })
        }
        Cell::Json(json) => from_json(&json, heap),
    }
}

fn int(value: i64, heap: &Heap) -> Value<'_> {
    if i32::try_from(value).is_err() {
        charge(WIDE_INT_BYTES);
    }
    heap.alloc(value)
}

/// JSON as a script sees it: objects are dicts, and a marker of an absent value is such a value.
///
/// It recurses as deep as `json` is nested, which is either a skill's own type or was checked.
pub(super) fn from_json<'v>(json: &Json, heap: &'v Heap) -> Value<'v> {
    match json {
        Json::Null => Value::new_none(),
        Json::Bool(value) => Value::new_bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => int(value, heap),
            (None, Some(value)) => {
                charge(WIDE_INT_BYTES);
                heap.alloc(value)
            }
            (None, None) => heap.alloc(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => heap.alloc(text.as_str()),
        Json::Array(items) => heap.alloc(AllocList(items.iter().map(|item| from_json(item, heap)))),
        Json::Object(fields) => {
            if let (2, Some(Json::String(code)), Some(Json::String(fix))) =
                (fields.len(), fields.get("unavailable"), fields.get("fix"))
            {
                charge(code.len() + fix.len());
                return heap.alloc(Unavailable { code: code.clone(), fix: fix.clone() });
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
