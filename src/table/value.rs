//! One value as a text. Separate because tables, lines and pages show it alike, and none of it knows of rows.

use std::fmt::{self, Write};

use lens_core::error::{self, steers_terminal};
use serde_json::{Map, Value};

/// The longest JSON that is indented: that can make it a hundred times as long.
pub(crate) const MOST_INDENTED_BYTES: usize = 1 << 20;

/// A value in one line, for a person.
pub(crate) fn text(value: &Value) -> String {
    beginning(usize::MAX, |to| write(value, to)).0
}

/// The beginning of a value's text, at most `most` bytes, and whether it is all of it.
pub(crate) fn start(value: &Value, most: usize) -> (String, bool) {
    beginning(most, |to| write(value, to))
}

/// JSON with a line end, indented unless that is too long: people read it in terminals. What would steer these is written
/// as JSON's own escapes, so that it is the same value.
pub(crate) fn json(value: &Value) -> String {
    let (indented, is_whole) = beginning(MOST_INDENTED_BYTES, |to| write!(to, "{value:#}"));
    let json = if is_whole { indented } else { value.to_string() };
    let is_loose = |letter: char| steers_terminal(letter) && letter != '\n';
    error::replaced(&json, is_loose, |letter| format!("\\u{:04x}", u32::from(letter))).into_owned() + "\n"
}

/// A number with as many digits as help: whole ones in full, others to three decimals, and small ones to three digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        1e15.. => format!("{value:e}"),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        size if size < 0.01 => {
            let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
            if size < 1e-6 { format!("{rounded:e}") } else { rounded.to_string() }
        }
        _ => format!("{value:.3}"),
    }
}

/// Whether an object stands for a value that is not known.
pub(crate) fn is_unavailable(fields: &Map<String, Value>) -> bool {
    fields.contains_key("unavailable") && fields.contains_key("fix")
}

/// A text without what would move a terminal's cursor or colours: names in the service may come from anywhere.
pub(crate) fn harmless(text: impl AsRef<str>) -> String {
    error::harmless(text.as_ref()).into_owned()
}

/// A text that keeps its lines and tabs and is [`harmless`] but for these: errors and help cite what the service says.
pub(crate) fn harmless_lines(text: &str) -> String {
    let parts = text.split_inclusive(['\n', '\t']).map(|part| {
        let (inner, end) = part.split_at(part.trim_end_matches(['\n', '\t']).len());
        harmless(inner) + end
    });
    parts.collect()
}

fn write(value: &Value, to: &mut Beginning) -> fmt::Result {
    match value {
        Value::Null => Ok(()),
        Value::String(text) => to.write_str(text),
        Value::Number(shown) if shown.is_f64() => to.write_str(&number(shown.as_f64().unwrap_or(f64::NAN))),
        Value::Object(fields) if is_unavailable(fields) => {
            to.write_str("unavailable: ")?;
            write(&fields["fix"], to)
        }
        other => write!(to, "{other}"),
    }
}

/// The first `most` bytes of what is written, and whether these are all.
pub(super) fn beginning(most: usize, write: impl FnOnce(&mut Beginning) -> fmt::Result) -> (String, bool) {
    let mut beginning = Beginning { text: String::new(), most };
    let is_whole = write(&mut beginning).is_ok();
    (beginning.text, is_whole)
}

/// A writer that fails once it is full, so that nobody writes what is not shown.
pub(super) struct Beginning {
    text: String,
    most: usize,
}

impl Write for Beginning {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.most - self.text.len();
        if part.len() <= room {
            self.text.push_str(part);
            return Ok(());
        }
        self.text.push_str(&part[..part.floor_char_boundary(room)]);
        Err(fmt::Error)
    }
}
