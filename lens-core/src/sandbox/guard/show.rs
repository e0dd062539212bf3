//! A value as text, within limits: what `str`, `repr`, `print`, f-strings and error messages show. Separate from the
//! interpreter's own, which recurses as deep as the value is nested and writes as much as it holds.

use std::fmt::Write as _;

use starlark::values::{Heap, Value};

use super::fault::{Checked, Fault};
use super::form::Form;
use super::meter::Meter;
use crate::error::shortened;

/// `value` as `str` shows it: a text as it is, everything else as `repr` does.
pub(super) fn plain<'v>(value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<String> {
    let mut text = String::new();
    append(&mut text, value, meter, heap)?;
    Ok(text)
}

/// `value` as `repr` shows it: a text in quotes.
pub(super) fn quoted<'v>(value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<String> {
    let mut show = Show { text: String::new(), limit: meter.limits.text_bytes, meter, heap, open: Vec::new() };
    show.value(value)?;
    Ok(show.text)
}

/// Adds `value` to `text` as `str` shows it.
pub(super) fn append<'v>(text: &mut String, value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<()> {
    let limit = meter.limits.text_bytes;
    if let Some(own) = value.unpack_str() {
        super::form::at_most_text(text.len() + own.len(), meter, heap)?;
        text.push_str(own);
        return Ok(());
    }
    let mut show = Show { text: std::mem::take(text), limit, meter, heap, open: Vec::new() };
    show.value(value)?;
    *text = show.text;
    Ok(())
}

/// `value` in an error message: not longer than a line, whatever it is.
pub(super) fn brief<'v>(value: Value<'v>, meter: &Meter, heap: &'v Heap) -> String {
    const LONGEST: usize = 60;
    let mut show = Show { text: String::new(), limit: LONGEST, meter, heap, open: Vec::new() };
    if let Some(text) = value.unpack_str().filter(|text| text.len() > LONGEST) {
        return format!("{:?}", shortened(text));
    }
    // Where it ends for want of room, what there is has to do.
    let is_whole = show.value(value).is_ok();
    let mut text = show.text;
    if !is_whole || text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

/// A float as text: the shortest digits that stand for it, as Python has them.
pub(super) fn float(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "+inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{value:e}");
        // Python writes at least two digits, and always a sign.
        return match text.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
                format!("{digits}e{sign}{exponent:0>2}")
            }
            None => text,
        };
    }
    if value.fract() == 0.0 { format!("{value:.1}") } else { format!("{value}") }
}

struct Show<'a, 'v> {
    text: String,
    limit: usize,
    meter: &'a Meter,
    heap: &'v Heap,
    /// The values that are being shown, outermost first.
    open: Vec<Value<'v>>,
}

impl<'v> Show<'_, 'v> {
    fn push(&mut self, text: &str) -> Checked<()> {
        self.text.push_str(text);
        if self.text.len() > self.limit {
            return Err(self.too_long());
        }
        Ok(())
    }

    #[cold]
    fn too_long(&self) -> starlark::Error {
        Fault::limit(
            format!("this value as text is longer than the limit of {} bytes (`text_bytes`)", self.limit),
            "show fewer items, or single fields",
        )
        .into()
    }

    fn value(&mut self, value: Value<'v>) -> Checked<()> {
        self.meter.tick(self.heap)?;
        match Form::of(value) {
            Form::None => self.push("None"),
            Form::Bool(truth) => self.push(if truth { "True" } else { "False" }),
            Form::Int => match value.unpack_i32() {
                Some(number) => {
                    // Writing to a String cannot fail.
                    let _ = write!(self.text, "{number}");
                    self.push("")
                }
                None => self.push(&value.to_repr()),
            },
            Form::Float(number) => self.push(&float(number)),
            Form::Text(text) if self.text.len() + text.len() > self.limit => Err(self.too_long()),
            // Of these the interpreter's own text is as long as they are, and goes no deeper.
            Form::Text(_) | Form::Range | Form::Function => self.push(&value.to_repr()),
            Form::Opaque | Form::Unavailable(_) | Form::History(_) => self.push(&value.to_repr()),
            form => self.compound(value, &form),
        }
    }

    fn compound(&mut self, value: Value<'v>, form: &Form<'v>) -> Checked<()> {
        let (before, after, again) = match form {
            Form::List(_) => ("[", "]", "[...]"),
            Form::Tuple(_) => ("(", ")", "(...)"),
            Form::Dict(_) => ("{", "}", "{...}"),
            Form::Struct(_) => ("struct(", ")", "struct(...)"),
            Form::Row(_) => ("row(", ")", "row(...)"),
            _ => ("set([", "])", "set([...])"),
        };
        if self.open.iter().any(|open| open.ptr_eq(value)) {
            return self.push(again);
        }
        if self.open.len() >= self.meter.limits.nesting {
            return Err(Fault::limit(
                format!("this value is nested deeper than its limit of {} (`nesting`)", self.meter.limits.nesting),
                "show a part of it",
            )
            .into());
        }
        self.push(before)?;
        self.open.push(value);
        match form {
            Form::List(list) => self.items(list.iter())?,
            Form::Tuple(tuple) => {
                self.items(tuple.iter())?;
                if tuple.len() == 1 {
                    self.push(",")?;
                }
            }
            Form::Dict(dict) => {
                for (index, (key, value)) in dict.iter().enumerate() {
                    self.push(if index == 0 { "" } else { ", " })?;
                    self.value(key)?;
                    self.push(": ")?;
                    self.value(value)?;
                }
            }
            Form::Struct(fields) => {
                for (index, (name, value)) in fields.iter().enumerate() {
                    self.push(if index == 0 { "" } else { ", " })?;
                    self.push(name.as_str())?;
                    self.push("=")?;
                    self.value(value)?;
                }
            }
            Form::Row(row) => {
                for (index, name) in row.fields().into_iter().enumerate() {
                    self.push(if index == 0 { "" } else { ", " })?;
                    self.push(name)?;
                    self.push("=")?;
                    self.value(row.field(name, self.heap).unwrap_or_else(Value::new_none))?;
                }
            }
            _ => self.items(value.iterate(self.heap)?)?,
        }
        self.open.pop();
        self.push(after)
    }

    fn items(&mut self, items: impl Iterator<Item = Value<'v>>) -> Checked<()> {
        for (index, item) in items.enumerate() {
            self.push(if index == 0 { "" } else { ", " })?;
            self.value(item)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_every_digit() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.5, "1.5"),
            (1_234_567.891, "1234567.891"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e-7, "1.25e-07"),
            (0.0001, "0.0001"),
            (f64::INFINITY, "+inf"),
        ] {
            assert_eq!(float(number), text);
        }
    }
}
