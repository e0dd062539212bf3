//! A script's value as JSON, within limits. Separate from the interpreter's own encoder, which recurses without bound and
//! writes large integers as texts.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::{Map, Value as Json};
use starlark::values::{Heap, UnpackValue, Value};

use super::fault::{Checked, Fault};
use super::form::{self, Form, known};
use super::meter::Meter;
use super::value::{RAW_VALUE, Unavailable};
use crate::error::{shortened, steers_terminal};

/// The script's answer.
pub(super) fn answer<'v>(value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<Json> {
    Encoder::new(meter, heap, "output_bytes", meter.limits.output_bytes).value(value, 0)
}

/// The names of a value's fields, in the order in which they are shown as a table: those of the first row of a list.
pub(super) fn columns(value: Value<'_>) -> Vec<String> {
    /// What no screen shows is left out.
    const MOST: usize = 200;
    let row = match Form::of(value) {
        Form::List(rows) => rows.first().copied(),
        Form::Tuple(rows) => rows.content().first().copied(),
        _ => Some(value),
    };
    let names: Vec<String> = match row.map(Form::of) {
        Some(Form::Row(row)) => row.fields().into_iter().map(str::to_owned).collect(),
        Some(Form::Struct(fields)) => fields.iter().take(MOST).map(|(name, _)| name.as_str().to_owned()).collect(),
        Some(Form::Dict(fields)) => {
            fields.keys().take(MOST).filter_map(|key| key.unpack_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    names.into_iter().filter(|name| name.len() <= MOST).collect()
}

/// An argument of a skill's function.
pub(super) fn argument<'v>(value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<Json> {
    known(value)?;
    if matches!(Form::of(value), Form::Float(number) if !number.is_finite()) {
        return Err(Fault::argument("an argument is a finite number").into());
    }
    Encoder::new(meter, heap, "text_bytes", meter.limits.text_bytes).value(value, 0)
}

/// JSON as a text, with the fields in the order that they have in the script.
pub(super) fn text<'v>(value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<String> {
    let mut encoder = Encoder::new(meter, heap, "text_bytes", meter.limits.text_bytes);
    let mut text = String::new();
    encoder.write(value, 0, &mut text)?;
    Ok(text)
}

/// The memory of a JSON value, and of as many fields of an object as share a piece of memory.
const VALUE_BYTES: usize = 32;
const FIELDS_BYTES: usize = 700;
const FIELDS: usize = 6;
/// An array that is read without its length being known, as a process reads what its child has sent, has room for four items,
/// and for twice as many whenever it is full. An allocator needs some bytes for itself.
const ITEMS: usize = 4;
const PIECE_BYTES: usize = 16;
/// For how many items there is room before the first of them.
const MOST_AT_ONCE: usize = 64;

/// How many bytes a number has as JSON.
fn length(number: &Json) -> usize {
    struct Count(usize);
    impl std::fmt::Write for Count {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            self.0 += part.len();
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = write!(count, "{number}");
    count.0
}

struct Encoder<'a, 'v> {
    meter: &'a Meter,
    heap: &'v Heap,
    limit: (&'static str, usize),
    /// The bytes that may still be written.
    room: usize,
}

impl<'a, 'v> Encoder<'a, 'v> {
    fn new(meter: &'a Meter, heap: &'v Heap, limit: &'static str, bytes: usize) -> Self {
        Self { meter, heap, limit: (limit, bytes), room: bytes }
    }

    /// Takes room for what is about to be written.
    fn take(&mut self, bytes: usize) -> Checked<()> {
        self.meter.tick(self.heap)?;
        self.meter.take(self.heap, VALUE_BYTES + bytes)?;
        self.write_bytes(bytes)
    }

    /// Takes room for bytes that no memory of the value's own stands for.
    fn write_bytes(&mut self, bytes: usize) -> Checked<()> {
        let (name, limit) = self.limit;
        self.room = self.room.checked_sub(bytes).ok_or_else(|| {
            Fault::limit(
                format!("the value as JSON is larger than its limit of {limit} bytes (`{name}`)"),
                "return less: fewer rows, or only the fields that matter",
            )
        })?;
        Ok(())
    }

    /// Takes room for a text, with the escapes that JSON has for some letters.
    fn text(&mut self, text: &str) -> Checked<()> {
        const ESCAPE: usize = "\\u0000".len();
        let is_plain = |byte: u8| (b' '..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\');
        let quotes = 2;
        self.take(text.len() + quotes)?;
        if text.bytes().all(is_plain) {
            return Ok(());
        }
        let more = |letter: char| match letter {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 1,
            _ if steers_terminal(letter) => ESCAPE - letter.len_utf8(),
            _ => 0,
        };
        self.write_bytes(text.chars().map(more).sum())
    }

    /// Takes the memory of an object.
    fn object(&self, fields: usize) -> Checked<()> {
        self.meter.take(self.heap, (fields / FIELDS + 1) * FIELDS_BYTES)
    }

    /// Takes the memory of an array, besides its items.
    fn array(&self, items: usize) -> Checked<()> {
        let room = items.next_power_of_two().max(ITEMS);
        let spare = if items == 0 { 0 } else { (room - items) * VALUE_BYTES + PIECE_BYTES };
        self.meter.take(self.heap, spare)
    }

    /// Takes room for the brackets of a value with parts.
    fn nested(&mut self, depth: usize) -> Checked<usize> {
        self.write_bytes(2)?;
        let limit = self.meter.limits.nesting;
        if depth < limit {
            return Ok(depth + 1);
        }
        Err(Fault::limit(
            format!("the value is nested deeper than its limit of {limit} (`nesting`)"),
            "return a flatter value; one that contains itself cannot be returned",
        )
        .into())
    }

    fn value(&mut self, value: Value<'v>, depth: usize) -> Checked<Json> {
        self.take(1)?;
        let form = Form::of(value);
        Ok(match form {
            Form::Text(text) => Json::String(self.owned(text)?),
            Form::List(list) => self.items(list.iter(), list.len(), depth)?,
            Form::Tuple(tuple) => self.items(tuple.iter(), tuple.len(), depth)?,
            Form::Set | Form::Range => {
                let length = form::length(value, self.meter)?;
                self.items(value.iterate(self.heap)?, length, depth)?
            }
            Form::Dict(dict) => {
                let depth = self.nested(depth)?;
                self.object(dict.len())?;
                let mut fields = Map::new();
                for (key, value) in dict.iter() {
                    let key = self.key(key)?;
                    let value = self.value(value, depth)?;
                    if fields.contains_key(&key) {
                        return Err(twice(&key));
                    }
                    fields.insert(key, value);
                }
                Json::Object(fields)
            }
            Form::Struct(fields) => {
                let depth = self.nested(depth)?;
                self.object(fields.iter().len())?;
                let mut map = Map::new();
                for (name, value) in fields.iter() {
                    let name = self.name(name.as_str())?;
                    map.insert(name, self.value(value, depth)?);
                }
                Json::Object(map)
            }
            Form::Row(row) => self.measured(row.to_json())?,
            Form::History(history) => self.measured(history.to_json()?)?,
            Form::Unavailable(absent) => self.measured(absent.to_json())?,
            other => self.leaf(value, &other)?,
        })
    }

    /// A value without parts that is no text.
    fn leaf(&mut self, value: Value<'v>, form: &Form<'v>) -> Checked<Json> {
        match form {
            Form::None => {
                self.write_bytes(4)?;
                Ok(Json::Null)
            }
            Form::Bool(truth) => {
                self.write_bytes(5)?;
                Ok((*truth).into())
            }
            Form::Int => match value.unpack_i32() {
                Some(number) => {
                    let json = number.into();
                    self.write_bytes(length(&json))?;
                    Ok(json)
                }
                None => {
                    let json = wide_int(value)?;
                    self.write_bytes(length(&json))?;
                    Ok(json)
                }
            },
            Form::Float(number) => {
                // JSON has no other word for what is no finite number.
                let json = serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number);
                self.write_bytes(length(&json))?;
                Ok(json)
            }
            _ => Err(Fault::runtime(format!("{} cannot be JSON", form::kind(value)))
                .help("return its result or its fields: call it, or take single attributes of it")
                .into()),
        }
    }

    fn items(&mut self, items: impl Iterator<Item = Value<'v>>, length: usize, depth: usize) -> Checked<Json> {
        let depth = self.nested(depth)?;
        self.array(length)?;
        // Each item is charged as it comes: of lists within lists, all that are open have room before their items are there.
        let mut array = Vec::with_capacity(length.min(MOST_AT_ONCE));
        for item in items {
            array.push(self.value(item, depth)?);
        }
        Ok(Json::Array(array))
    }

    fn key(&mut self, key: Value<'v>) -> Checked<String> {
        match Form::of(key) {
            Form::Text(text) => self.name(text),
            form @ (Form::None | Form::Bool(_) | Form::Int | Form::Float(_)) => {
                // Quotes and the colon.
                self.take(3)?;
                Ok(self.leaf(key, &form)?.to_string())
            }
            _ => Err(Fault::runtime(format!("{} cannot be a key in JSON", form::kind(key)))
                .help("make it a text first, as in `str(key)`")
                .into()),
        }
    }

    /// A name of an object, but not the one that has a text read as JSON by whoever reads the object.
    fn name(&mut self, name: &str) -> Checked<String> {
        if name == RAW_VALUE {
            return Err(Fault::runtime(format!("JSON has no field `{RAW_VALUE}`")).help("give it another name").into());
        }
        // The colon.
        self.write_bytes(1)?;
        self.owned(name)
    }

    fn owned(&mut self, text: &str) -> Checked<String> {
        self.text(text)?;
        Ok(text.to_owned())
    }

    /// Takes room for JSON that a skill has made.
    fn measured(&mut self, json: Json) -> Checked<Json> {
        self.measure(&json)?;
        Ok(json)
    }

    fn measure(&mut self, json: &Json) -> Checked<()> {
        match json {
            Json::Null | Json::Bool(_) => self.take(6),
            Json::Number(_) => self.take(length(json) + 1),
            Json::String(text) => {
                self.write_bytes(1)?;
                self.text(text)
            }
            Json::Array(items) => {
                self.write_bytes(3)?;
                self.array(items.len())?;
                items.iter().try_for_each(|item| self.measure(item))
            }
            Json::Object(fields) => {
                self.write_bytes(3)?;
                self.object(fields.len())?;
                fields.iter().try_for_each(|(name, value)| {
                    self.write_bytes(1)?;
                    self.text(name)?;
                    self.measure(value)
                })
            }
        }
    }

    fn write(&mut self, value: Value<'v>, depth: usize, out: &mut String) -> Checked<()> {
        match Form::of(value) {
            Form::List(list) => self.write_items(list.iter(), depth, out),
            Form::Tuple(tuple) => self.write_items(tuple.iter(), depth, out),
            Form::Set | Form::Range => self.write_items(value.iterate(self.heap)?, depth, out),
            Form::Dict(dict) => {
                let depth = self.nested(depth)?;
                self.take(1)?;
                let mut other_names = HashSet::new();
                for (index, (key, value)) in dict.iter().enumerate() {
                    let name = self.key(key)?;
                    if key.unpack_str().is_none()
                        && (dict.get_str(&name).is_some() || !other_names.insert(name.clone()))
                    {
                        return Err(twice(&name));
                    }
                    let key = Json::String(name);
                    // Writing to a String cannot fail.
                    let _ = write!(out, "{}{key}:", if index == 0 { '{' } else { ',' });
                    self.write(value, depth, out)?;
                }
                out.push_str(if dict.is_empty() { "{}" } else { "}" });
                Ok(())
            }
            Form::Struct(fields) => {
                let depth = self.nested(depth)?;
                self.take(1)?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let name = Json::String(self.name(name.as_str())?);
                    let _ = write!(out, "{}{name}:", if index == 0 { '{' } else { ',' });
                    self.write(value, depth, out)?;
                }
                out.push_str(if fields.iter().len() == 0 { "{}" } else { "}" });
                Ok(())
            }
            _ => {
                let json = self.value(value, depth)?;
                let _ = write!(out, "{json}");
                Ok(())
            }
        }
    }

    fn write_items(&mut self, items: impl Iterator<Item = Value<'v>>, depth: usize, out: &mut String) -> Checked<()> {
        let depth = self.nested(depth)?;
        self.take(1)?;
        out.push('[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                out.push(',');
            }
            self.write(item, depth, out)?;
        }
        out.push(']');
        Ok(())
    }
}

impl Unavailable {
    /// As [`OrUnavailable`](crate::OrUnavailable) is written.
    fn to_json(&self) -> Json {
        serde_json::json!({"unavailable": self.code, "fix": self.fix})
    }
}

/// The error for a dict of which two entries would be one.
#[cold]
fn twice(name: &str) -> starlark::Error {
    let name = shortened(name);
    Fault::runtime(format!("two keys of this dict are both {name:?} in JSON"))
        .help("let all keys be of one kind, as in `{str(k): v for k, v in d.items()}`")
        .into()
}

/// An integer beyond 32 bits.
fn wide_int(value: Value<'_>) -> Checked<Json> {
    if let Ok(Some(number)) = i64::unpack_value(value) {
        return Ok(number.into());
    }
    if let Ok(Some(number)) = u64::unpack_value(value) {
        return Ok(number.into());
    }
    Err(Fault::runtime("an integer of more than 64 bits cannot be JSON")
        .help("make it a text, as in `str(n)`, or a float, as in `float(n)`")
        .into())
}
