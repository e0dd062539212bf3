//! A JSON value as people read it in a terminal: rows as a table. Separate because HTTP and the command line print the
//! same, and the pages for browsers show as much.
//!
//! An answer that is short as JSON would be endless as a table where each row has a field of its own, or one name is long.
//! So the work for a row is that for its own fields, names are cut like cells, a line ends with its last field, and what
//! goes past [`MOST`] is left out. The text says so.

pub(crate) mod value;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use serde_json::{Map, Value};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use value::beginning;
pub(crate) use value::{harmless, harmless_lines, is_unavailable, json, start, text};

/// How much is shown of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// The columns of a table.
    pub(crate) columns: usize,
    /// The bytes of all lines.
    pub(crate) bytes: usize,
}

/// More columns than a screen has room for, and more lines than anybody reads.
pub(crate) const MOST: Most = Most { columns: 100, bytes: 8 << 20 };

/// The widest that a column gets; longer texts are cut.
const WIDEST: usize = 80;

/// The longest that a cell gets, in bytes: letters without a width never fill a column.
const LONGEST: usize = 16 * WIDEST;

/// What is not known, within a table; below it comes why.
const UNKNOWN: &str = "–";

/// `value` as text, with a line end. Fields that `first` names come first, in that order. Rows that are wider than `width`
/// are shown one below the other, a line for each field.
pub(crate) fn render(value: &Value, first: &[String], width: Option<usize>) -> String {
    rendered(value, first, width, MOST)
}

fn rendered(value: &Value, first: &[String], width: Option<usize>, most: Most) -> String {
    match value {
        Value::Array(rows) if rows.is_empty() => "nothing\n".to_owned(),
        Value::Array(rows) => listed(rows, &ranks(first), width, most),
        Value::Object(fields) if !is_unavailable(fields) => record(value, &ranks(first), most.bytes),
        other => {
            let (text, is_whole) = start(other, most.bytes);
            harmless(text) + if is_whole { "\n" } else { "…\n… there is more: ask for a part of it, or for JSON\n" }
        }
    }
}

/// Rows below each other, with what is not known in them and what is left out of them.
fn listed(rows: &[Value], ranks: &HashMap<&str, usize>, width: Option<usize>, most: Most) -> String {
    let names = columns(rows, ranks);
    let (shown, others) = names.split_at(names.len().min(most.columns));
    let (mut text, count, narrower) = if rows.iter().all(Value::is_object) {
        let (table, count) = table(rows, Some(shown), most);
        let is_wide = |width: usize| table.lines().any(|line| line.width() > width);
        if width.is_some_and(is_wide) {
            let (text, count) = records(rows, ranks, most.bytes);
            (text, count, None)
        } else {
            (table, count, fields_left_out(others))
        }
    } else if rows.iter().all(Value::is_array) {
        let widest = rows.iter().filter_map(Value::as_array).map(Vec::len).max().unwrap_or(0);
        let (table, count) = table(rows, None, most);
        let then = ": ask for those that you want, or for JSON";
        (table, count, left_out(widest.saturating_sub(most.columns), "column", then))
    } else {
        let mut text = String::new();
        let count = fill(&mut text, rows.iter().map(|item| Cell::of(item).text + "\n"), most.bytes);
        (text, count, None)
    };
    for (name, fix) in unknown(rows, shown) {
        let (fix, is_whole) = start(fix, LONGEST);
        let end = if is_whole { "" } else { "…" };
        let _ = writeln!(text, "{UNKNOWN} {} is unavailable: {}{end}", Cell::name(name).text, harmless(fix));
    }
    for note in [rows_left_out(rows.len() - count), narrower].into_iter().flatten() {
        text.push_str(&note);
        text.push('\n');
    }
    text
}

/// Adds `parts` to a text until it has `most` bytes; how many there was room for.
pub(crate) fn fill(text: &mut String, parts: impl Iterator<Item = String>, most: usize) -> usize {
    let mut count = 0;
    for part in parts {
        if text.len() + part.len() > most {
            break;
        }
        text.push_str(&part);
        count += 1;
    }
    count
}

/// That rows were left out, if they were.
pub(crate) fn rows_left_out(count: usize) -> Option<String> {
    left_out(count, "row", ": ask for fewer, or for JSON")
}

/// That fields were left out, if they were, and some of their names.
pub(crate) fn fields_left_out(names: &[&str]) -> Option<String> {
    let some: Vec<String> = names.iter().take(3).map(|name| format!("`{}`", Cell::name(name).text)).collect();
    let then = format!(", such as {}: ask for the fields that you want, or for JSON", some.join(", "));
    left_out(names.len(), "field", &then)
}

fn left_out(count: usize, noun: &str, then: &str) -> Option<String> {
    let plural = if count == 1 { "" } else { "s" };
    (count > 0).then(|| format!("… {count} more {noun}{plural}{then}"))
}

/// An object, a line for each field.
fn record(row: &Value, ranks: &HashMap<&str, usize>, most: usize) -> String {
    let names = columns(std::slice::from_ref(row), ranks);
    let widest = names.iter().map(|name| Cell::name(name).width).max().unwrap_or(0);
    let line = |name: &&str| {
        let Cell { text, width, .. } = Cell::name(name);
        // A value that is longer is in a line that there is no room for.
        let value = harmless(start(&row[*name], most).0);
        let line = format!("{text}{}  {value}", " ".repeat(widest - width));
        format!("{}\n", line.trim_end())
    };
    let mut text = String::new();
    let count = fill(&mut text, names.iter().map(line), most);
    text.extend(fields_left_out(&names[count..]).map(|note| note + "\n"));
    text
}

/// Objects one below the other, and how many there was room for.
fn records(rows: &[Value], ranks: &HashMap<&str, usize>, most: usize) -> (String, usize) {
    let mut text = String::new();
    let count = fill(&mut text, rows.iter().map(|row| record(row, ranks, most) + "\n"), most);
    text.pop();
    (text, count)
}

/// Which place each of the fields has that come first.
pub(crate) fn ranks(first: &[String]) -> HashMap<&str, usize> {
    first.iter().map(String::as_str).zip(0..).collect()
}

/// The fields that `rows` have: those with a rank in its order, then the others.
pub(crate) fn columns<'a>(rows: &'a [Value], ranks: &HashMap<&str, usize>) -> Vec<&'a str> {
    let mut known = HashSet::new();
    let keys = rows.iter().filter_map(Value::as_object).flat_map(Map::keys).map(String::as_str);
    let mut names: Vec<&str> = keys.filter(|name| known.insert(*name)).collect();
    names.sort_by_cached_key(|name| ranks.get(name).copied().unwrap_or(usize::MAX));
    names
}

/// What is not known in some of the rows, each of the columns once, and the fix.
fn unknown<'a>(rows: &'a [Value], columns: &[&str]) -> Vec<(&'a str, &'a Value)> {
    let mut left: HashSet<&str> = columns.iter().copied().collect();
    let fields = rows.iter().filter_map(Value::as_object).flatten();
    let unknown = fields.filter_map(|(name, value)| {
        let fields = value.as_object().filter(|fields| is_unavailable(fields))?;
        left.remove(name.as_str()).then(|| (name.as_str(), &fields["fix"]))
    });
    unknown.collect()
}

struct Cell {
    text: String,
    width: usize,
    is_number: bool,
}

impl Cell {
    fn of(value: &Value) -> Self {
        if value.as_object().is_some_and(is_unavailable) {
            return Self::name(UNKNOWN);
        }
        let (text, is_whole) = start(value, LONGEST);
        Self { is_number: value.is_number(), ..Self::cut(text, is_whole) }
    }

    fn name(name: &str) -> Self {
        let (text, is_whole) = beginning(LONGEST, |to| to.write_str(name));
        Self::cut(text, is_whole)
    }

    /// A cell with as much of a text as there is room for.
    fn cut(text: String, is_whole: bool) -> Self {
        let mut text = harmless(text);
        let mut width = text.width();
        if !is_whole || width > WIDEST {
            let mut before = 0;
            let end = text.char_indices().find(|(_, letter)| {
                before += letter.width().unwrap_or(0);
                before >= WIDEST
            });
            text.truncate(end.map_or(text.len(), |(end, _)| end));
            text.push('…');
            width = text.width();
        }
        Self { text, width, is_number: false }
    }
}

#[derive(Default)]
struct Column {
    start: usize,
    width: usize,
    has_numbers: bool,
    has_texts: bool,
}

impl Column {
    fn fit(&mut self, cell: &Cell) {
        self.width = self.width.max(cell.width);
        self.has_numbers |= cell.is_number;
        self.has_texts |= !cell.is_number && !matches!(&*cell.text, "" | UNKNOWN);
    }

    /// Where a cell of the column begins: numbers end at the same place.
    fn place(&self, cell: &Cell) -> usize {
        let is_right = self.has_numbers && !self.has_texts;
        if is_right { self.start + self.width - cell.width } else { self.start }
    }
}

/// Rows in columns, and how many there was room for: objects below the `names` of their fields, or lists without a head.
fn table(rows: &[Value], names: Option<&[&str]>, most: Most) -> (String, usize) {
    let places: HashMap<&str, usize> = names.unwrap_or_default().iter().copied().zip(0..).collect();
    let head: Option<Vec<(usize, Cell)>> =
        names.map(|names| names.iter().map(|name| Cell::name(name)).enumerate().collect());
    let own = |row| cells(row, &places, most.columns);
    let mut columns: Vec<Column> = Vec::new();
    for (_, cell) in head.iter().flatten() {
        columns.push(Column { width: cell.width, ..Column::default() });
    }
    for (place, cell) in rows.iter().flat_map(own) {
        if place >= columns.len() {
            columns.resize_with(place + 1, Column::default);
        }
        columns[place].fit(&cell);
    }
    let mut start = 0;
    for column in &mut columns {
        column.start = start;
        start += column.width + 2;
    }
    let mut text = head.map(|head| line(&head, &columns)).unwrap_or_default();
    let count = fill(&mut text, rows.iter().map(|row| line(&own(row), &columns)), most.bytes);
    (text, count)
}

/// The cells that a row has in the first `most` columns, with the numbers of these.
fn cells(row: &Value, places: &HashMap<&str, usize>, most: usize) -> Vec<(usize, Cell)> {
    let mut own: Vec<(usize, &Value)> = match row {
        Value::Object(fields) => {
            fields.iter().filter_map(|(name, value)| Some((*places.get(name.as_str())?, value))).collect()
        }
        Value::Array(items) => items.iter().take(most).enumerate().collect(),
        _ => Vec::new(),
    };
    own.sort_unstable_by_key(|(place, _)| *place);
    own.into_iter().map(|(place, value)| (place, Cell::of(value))).collect()
}

/// A row's line, which ends with its last filled cell.
fn line(cells: &[(usize, Cell)], columns: &[Column]) -> String {
    let mut line = String::new();
    let mut end = 0;
    for (place, cell) in cells.iter().filter(|(_, cell)| !cell.text.is_empty()) {
        let start = columns[*place].place(cell);
        line.extend(std::iter::repeat_n(' ', start - end));
        line.push_str(&cell.text);
        end = start + cell.width;
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

#[cfg(test)]
mod tests;
