//! A script's value as JSON, within limits. Separate from the interpreter's own encoder, which recurses without bound and
//! writes large integers as texts.

use serde_json::{Map, Value as Json};
use starlark::values::dict::DictRef;
use starlark::values::float::StarlarkFloat;
use starlark::values::list::ListRef;
use starlark::values::structs::StructRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{Heap, UnpackValue, Value, ValueLike};

use super::fault::{Checked, Fault};
use super::meter::Meter;
use super::namespace::History;
use super::value::{Row, Unavailable};

/// The script's answer.
pub(super) fn answer<'v>(value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<Json> {
    let mut encoder = Encoder { meter, heap, room: meter.limits.output_bytes };
    encoder.value(value, 0)
}

/// An argument of a skill's function.
pub(super) fn argument<'v>(value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<Json> {
    if Unavailable::of(value).is_some_and(|_| true) {
        return Err(Unavailable::of(value).map_or_else(|| Fault::argument("unavailable").into(), Unavailable::used));
    }
    answer(value, meter, heap)
}

struct Encoder<'a, 'v> {
    meter: &'a Meter,
    heap: &'v Heap,
    /// The bytes that may still be written.
    room: usize,
}

impl<'v> Encoder<'_, 'v> {
    /// Takes room for what is about to be written.
    fn take(&mut self, bytes: usize) -> Checked<()> {
        let limit = self.meter.limits.output_bytes;
        self.meter.tick(self.heap)?;
        self.room = self.room.checked_sub(bytes).ok_or_else(|| {
            Fault::limit(
                format!("the answer is larger than its limit of {limit} bytes (`output_bytes`)"),
                "return less: fewer rows, or only the fields that matter",
            )
        })?;
        Ok(())
    }

    fn value(&mut self, value: Value<'v>, depth: usize) -> Checked<Json> {
        if depth > self.meter.limits.nesting {
            return Err(Fault::limit(
                format!("the answer is nested deeper than its limit of {} (`nesting`)", self.meter.limits.nesting),
                "return a flatter value; one that contains itself cannot be returned",
            )
            .into());
        }
        self.take(4)?;
        if value.is_none() {
            return Ok(Json::Null);
        }
        if let Some(truth) = value.unpack_bool() {
            return Ok(Json::Bool(truth));
        }
        if let Some(number) = value.unpack_i32() {
            return Ok(number.into());
        }
        if let Some(text) = value.unpack_str() {
            return Ok(Json::String(self.text(text)?));
        }
        if let Some(list) = ListRef::from_value(value) {
            return self.items(list.iter(), depth);
        }
        if let Some(tuple) = TupleRef::from_value(value) {
            return self.items(tuple.iter(), depth);
        }
        if let Some(dict) = DictRef::from_value(value) {
            let mut fields = Map::new();
            for (key, value) in dict.iter() {
                let key = self.key(key)?;
                fields.insert(key, self.value(value, depth + 1)?);
            }
            return Ok(Json::Object(fields));
        }
        if let Some(fields) = StructRef::from_value(value) {
            let mut map = Map::new();
            for (name, value) in fields.iter() {
                let name = self.text(name.as_str())?;
                map.insert(name, self.value(value, depth + 1)?);
            }
            return Ok(Json::Object(map));
        }
        if let Some(row) = value.downcast_ref::<Row>() {
            let json = row.to_json();
            self.measure(&json)?;
            return Ok(json);
        }
        if let Some(absent) = Unavailable::of(value) {
            let (code, fix) = (self.text(&absent.code)?, self.text(&absent.fix)?);
            return Ok(serde_json::json!({"unavailable": code, "fix": fix}));
        }
        if let Some(history) = value.downcast_ref::<History>() {
            let json = serde_json::to_value(&history.series)
                .map_err(|error| Fault::runtime(format!("the series cannot be JSON: {error}")))?;
            self.measure(&json)?;
            return Ok(json);
        }
        self.other(value, depth)
    }

    fn other(&mut self, value: Value<'v>, depth: usize) -> Checked<Json> {
        match value.get_type() {
            "int" => wide_int(value),
            "float" => {
                let float = value.downcast_ref::<StarlarkFloat>().map_or(f64::NAN, |float| float.0);
                self.take(20)?;
                // JSON has no other word for what is no finite number.
                Ok(serde_json::Number::from_f64(float).map_or(Json::Null, Json::Number))
            }
            "range" | "set" => {
                let items = value.iterate(self.heap)?;
                self.items(items, depth)
            }
            other => Err(Fault::runtime(format!("a {other} cannot be part of an answer"))
                .help("return its result or its fields: call it, or take single attributes of it")
                .into()),
        }
    }

    fn items(&mut self, items: impl Iterator<Item = Value<'v>>, depth: usize) -> Checked<Json> {
        let mut array = Vec::new();
        for item in items {
            array.push(self.value(item, depth + 1)?);
        }
        Ok(Json::Array(array))
    }

    fn key(&mut self, key: Value<'v>) -> Checked<String> {
        if let Some(text) = key.unpack_str() {
            return self.text(text);
        }
        match self.value(key, 0)? {
            Json::Array(_) | Json::Object(_) => {
                Err(Fault::runtime(format!("a {} cannot be a key of an answer's dict", key.get_type()))
                    .help("make it a text first, as in `str(key)`")
                    .into())
            }
            scalar => Ok(scalar.to_string()),
        }
    }

    fn text(&mut self, text: &str) -> Checked<String> {
        self.take(text.len() + 2)?;
        Ok(text.to_owned())
    }

    /// Takes room for JSON that a skill has made.
    fn measure(&mut self, json: &Json) -> Checked<()> {
        match json {
            Json::Null | Json::Bool(_) | Json::Number(_) => self.take(8),
            Json::String(text) => self.take(text.len() + 2),
            Json::Array(items) => items.iter().try_for_each(|item| self.measure(item)),
            Json::Object(fields) => fields.iter().try_for_each(|(name, value)| {
                self.take(name.len() + 4)?;
                self.measure(value)
            }),
        }
    }
}

/// An integer beyond 32 bits.
fn wide_int(value: Value<'_>) -> Checked<Json> {
    if let Ok(Some(number)) = i64::unpack_value(value) {
        return Ok(number.into());
    }
    if let Ok(Some(number)) = u64::unpack_value(value) {
        return Ok(number.into());
    }
    Err(Fault::runtime("an integer of more than 64 bits cannot be part of an answer")
        .help("make it a text, as in `str(n)`, or a float, as in `float(n)`")
        .into())
}
