//! Reads one field out of a serializable row without converting the others. Separate because it is all serde's visitor
//! plumbing: a serializer that compares names and keeps one value.

use std::fmt;

use serde::ser::{self, Impossible, SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::Cell;
use crate::reading::UNAVAILABLE_STRUCT;

/// The field `name` of `row`, if `row` is a struct or map that has it.
pub(super) fn extract<R: Serialize>(row: &R, name: &str) -> Option<Cell> {
    row.serialize(Fields { want: name, found: None, key_matches: false }).ok().flatten()
}

/// The names of `row`'s fields; those of a map (a flattened struct) are not static and are left out.
pub(super) fn names<R: Serialize>(row: &R) -> Vec<&'static str> {
    row.serialize(Names(Vec::new())).unwrap_or_default()
}

/// The row is no struct, so it has no fields.
#[derive(Debug)]
struct NoFields;

impl fmt::Display for NoFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row is a struct")
    }
}

impl std::error::Error for NoFields {}

impl ser::Error for NoFields {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Serializer methods for everything that is no struct: each refuses.
macro_rules! refuse {
    ($ok:ty) => {
        fn serialize_bool(self, _: bool) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_i8(self, _: i8) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_i16(self, _: i16) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_i32(self, _: i32) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_i64(self, _: i64) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_u8(self, _: u8) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_u16(self, _: u16) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_u32(self, _: u32) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_u64(self, _: u64) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_f32(self, _: f32) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_f64(self, _: f64) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_char(self, _: char) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_str(self, _: &str) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_bytes(self, _: &[u8]) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_none(self) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<$ok, NoFields> {
            value.serialize(self)
        }
        fn serialize_unit(self) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_unit_struct(self, _: &'static str) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<$ok, NoFields> {
            value.serialize(self)
        }
        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<$ok, NoFields> {
            Err(NoFields)
        }
        fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, NoFields> {
            Err(NoFields)
        }
        fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, NoFields> {
            Err(NoFields)
        }
        fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, NoFields> {
            Err(NoFields)
        }
        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleVariant, NoFields> {
            Err(NoFields)
        }
        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStructVariant, NoFields> {
            Err(NoFields)
        }
    };
}

/// Looks for one field and keeps its value.
struct Fields<'a> {
    want: &'a str,
    found: Option<Cell>,
    key_matches: bool,
}

impl Serializer for Fields<'_> {
    type Ok = Option<Cell>;
    type Error = NoFields;
    type SerializeSeq = Impossible<Option<Cell>, NoFields>;
    type SerializeTuple = Impossible<Option<Cell>, NoFields>;
    type SerializeTupleStruct = Impossible<Option<Cell>, NoFields>;
    type SerializeTupleVariant = Impossible<Option<Cell>, NoFields>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<Option<Cell>, NoFields>;

    refuse!(Option<Cell>);

    fn serialize_map(self, _: Option<usize>) -> Result<Self, NoFields> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, NoFields> {
        Ok(self)
    }
}

impl SerializeStruct for Fields<'_> {
    type Ok = Option<Cell>;
    type Error = NoFields;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), NoFields> {
        if self.found.is_none() && key == self.want {
            self.found = Some(cell(value));
        }
        Ok(())
    }

    fn end(self) -> Result<Option<Cell>, NoFields> {
        Ok(self.found)
    }
}

impl SerializeMap for Fields<'_> {
    type Ok = Option<Cell>;
    type Error = NoFields;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NoFields> {
        self.key_matches = matches!(cell(key), Cell::Text(text) if text == self.want);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoFields> {
        if self.key_matches && self.found.is_none() {
            self.found = Some(cell(value));
        }
        Ok(())
    }

    fn end(self) -> Result<Option<Cell>, NoFields> {
        Ok(self.found)
    }
}

/// Collects the names of a struct's fields.
struct Names(Vec<&'static str>);

impl Serializer for Names {
    type Ok = Vec<&'static str>;
    type Error = NoFields;
    type SerializeSeq = Impossible<Vec<&'static str>, NoFields>;
    type SerializeTuple = Impossible<Vec<&'static str>, NoFields>;
    type SerializeTupleStruct = Impossible<Vec<&'static str>, NoFields>;
    type SerializeTupleVariant = Impossible<Vec<&'static str>, NoFields>;
    type SerializeMap = Impossible<Vec<&'static str>, NoFields>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<Vec<&'static str>, NoFields>;

    refuse!(Vec<&'static str>);

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NoFields> {
        Err(NoFields)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, NoFields> {
        Ok(self)
    }
}

impl SerializeStruct for Names {
    type Ok = Vec<&'static str>;
    type Error = NoFields;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, _: &T) -> Result<(), NoFields> {
        self.0.push(key);
        Ok(())
    }

    fn end(self) -> Result<Vec<&'static str>, NoFields> {
        Ok(self.0)
    }
}

fn cell<T: Serialize + ?Sized>(value: &T) -> Cell {
    match value.serialize(Scalar) {
        Ok(cell) => cell,
        Err(NotScalar::Compound) => Cell::Json(json(value)),
        Err(NotScalar::Absent) => {
            let marker = json(value);
            let text = |key: &str| marker.get(key).and_then(Value::as_str).unwrap_or_default().into();
            Cell::Unavailable { code: text("unavailable"), fix: text("fix") }
        }
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    // Only a map whose keys are no texts cannot be JSON; a row that has one is a defect of its type.
    serde_json::to_value(value).unwrap_or_else(|error| Value::String(format!("this field is no JSON: {error}")))
}

/// Turns a scalar into a [`Cell`] and refuses everything else.
struct Scalar;

/// Why [`Scalar`] refused.
#[derive(Debug)]
enum NotScalar {
    /// It is a list, a map or a struct.
    Compound,
    /// It is the marker of a value that is not known.
    Absent,
}

impl fmt::Display for NotScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a scalar")
    }
}

impl std::error::Error for NotScalar {}

impl ser::Error for NotScalar {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Compound
    }
}

type Refused = Impossible<Cell, NotScalar>;

macro_rules! scalar {
    ($($method:ident: $type:ty => $cell:expr;)*) => {$(
        fn $method(self, value: $type) -> Result<Cell, NotScalar> {
            let wrap: fn($type) -> Cell = $cell;
            Ok(wrap(value))
        }
    )*};
}

impl Serializer for Scalar {
    type Ok = Cell;
    type Error = NotScalar;
    type SerializeSeq = Refused;
    type SerializeTuple = Refused;
    type SerializeTupleStruct = Refused;
    type SerializeTupleVariant = Refused;
    type SerializeMap = Refused;
    type SerializeStruct = Refused;
    type SerializeStructVariant = Refused;

    scalar! {
        serialize_bool: bool => Cell::Bool;
        serialize_i8: i8 => |value| Cell::Int(value.into());
        serialize_i16: i16 => |value| Cell::Int(value.into());
        serialize_i32: i32 => |value| Cell::Int(value.into());
        serialize_i64: i64 => Cell::Int;
        serialize_u8: u8 => |value| Cell::Int(value.into());
        serialize_u16: u16 => |value| Cell::Int(value.into());
        serialize_u32: u32 => |value| Cell::Int(value.into());
        serialize_u64: u64 => Cell::from;
        serialize_f32: f32 => |value| Cell::Float(value.into());
        serialize_f64: f64 => Cell::Float;
        serialize_char: char => |value| Cell::Text(value.into());
        serialize_str: &str => |value| Cell::Text(value.to_owned());
        serialize_unit_struct: &'static str => |_| Cell::Null;
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Cell, NotScalar> {
        Err(NotScalar::Compound)
    }

    fn serialize_none(self) -> Result<Cell, NotScalar> {
        Ok(Cell::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Cell, NotScalar> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Cell, NotScalar> {
        Ok(Cell::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Cell, NotScalar> {
        Ok(Cell::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Cell, NotScalar> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Cell, NotScalar> {
        Err(NotScalar::Compound)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Refused, NotScalar> {
        Err(NotScalar::Compound)
    }

    fn serialize_tuple(self, _: usize) -> Result<Refused, NotScalar> {
        Err(NotScalar::Compound)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Refused, NotScalar> {
        Err(NotScalar::Compound)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Refused, NotScalar> {
        Err(NotScalar::Compound)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Refused, NotScalar> {
        Err(NotScalar::Compound)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Refused, NotScalar> {
        Err(if name == UNAVAILABLE_STRUCT { NotScalar::Absent } else { NotScalar::Compound })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Refused, NotScalar> {
        Err(NotScalar::Compound)
    }
}
