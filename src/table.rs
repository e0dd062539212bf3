//! A JSON value as people read it in a terminal: rows as a table. Separate because HTTP and the command line print the
//! same, and the pages for browsers show single values alike.

use serde_json::{Map, Value};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The widest that a column gets; longer texts are cut.
const WIDEST: usize = 80;

/// What is not known, within a table; below it comes why.
const UNKNOWN: &str = "–";

/// `value` as text, with a line end. Fields that `first` names come first, in that order. Rows that are wider than `width`
/// are shown one below the other, a line for each field.
pub(crate) fn render(value: &Value, first: &[String], width: Option<usize>) -> String {
    let mut text = match value {
        Value::Array(rows) if rows.is_empty() => "nothing\n".to_owned(),
        Value::Array(rows) if rows.iter().all(Value::is_object) => {
            let table = objects(rows, first);
            let is_wide = |width: usize| table.lines().any(|line| line.width() > width);
            if width.is_some_and(is_wide) { records(rows, first) } else { table }
        }
        Value::Array(rows) if rows.iter().all(Value::is_array) => {
            let cells = rows.iter().map(|row| row.as_array().into_iter().flatten().map(Cell::of).collect()).collect();
            aligned(None, cells)
        }
        Value::Array(items) => items.iter().map(|item| Cell::of(item).text + "\n").collect(),
        Value::Object(fields) if is_unavailable(fields) => text(value) + "\n",
        Value::Object(_) => record(value, first),
        other => Cell::whole(other).text + "\n",
    };
    if let Value::Array(rows) = value {
        for (name, fix) in unknown(rows) {
            text.push_str(&format!("{UNKNOWN} {name} is unavailable: {fix}\n"));
        }
    }
    text
}

/// An object, a line for each field.
fn record(row: &Value, first: &[String]) -> String {
    let names = columns(std::slice::from_ref(row), first);
    // Numbers are texts here: what is above and below them is something else.
    let value = |name: &str| Cell { is_number: false, ..Cell::whole(&row[name]) };
    aligned(None, names.into_iter().map(|name| vec![Cell::plain(name), value(name)]).collect())
}

/// Objects one below the other.
fn records(rows: &[Value], first: &[String]) -> String {
    rows.iter().map(|row| record(row, first)).collect::<Vec<_>>().join("\n")
}

/// A table of rows that are objects.
fn objects(rows: &[Value], first: &[String]) -> String {
    let columns = columns(rows, first);
    let head = columns.iter().map(|name| Cell::plain(name)).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|name| Cell::of(&row[*name])).collect()).collect();
    aligned(Some(head), cells)
}

/// The fields that `rows` have: those of `first` in its order, then the others.
pub(crate) fn columns<'a>(rows: &'a [Value], first: &'a [String]) -> Vec<&'a str> {
    let there = |name: &str| rows.iter().any(|row| row.get(name).is_some());
    let mut columns: Vec<&str> = first.iter().map(String::as_str).filter(|name| there(name)).collect();
    let mut known: std::collections::HashSet<&str> = columns.iter().copied().collect();
    for key in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if known.insert(key) {
            columns.push(key);
        }
    }
    columns
}

/// A value in one line, for a person.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(shown) if shown.is_f64() => number(shown.as_f64().unwrap_or(f64::NAN)),
        Value::Object(fields) if is_unavailable(fields) => format!("unavailable: {}", text(&fields["fix"])),
        other => other.to_string(),
    }
}

/// A number with as many digits as help: whole ones in full, others to three decimals.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// Whether an object stands for a value that is not known.
pub(crate) fn is_unavailable(fields: &Map<String, Value>) -> bool {
    fields.contains_key("unavailable") && fields.contains_key("fix")
}

/// What is not known in some of the rows, each column once.
fn unknown(rows: &[Value]) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for (name, value) in rows.iter().filter_map(Value::as_object).flatten() {
        if let Some(fields) = value.as_object().filter(|fields| is_unavailable(fields))
            && !found.iter().any(|(known, _)| known == name)
        {
            found.push((name, text(&fields["fix"])));
        }
    }
    found
}

/// A text without what would move a terminal's cursor or colours: names in the service may come from anywhere.
pub(crate) fn harmless(text: &str) -> String {
    let is_control = |letter: char| letter.is_control() || ('\u{202a}'..='\u{202e}').contains(&letter);
    let shown =
        |letter: char| if is_control(letter) { letter.escape_default().to_string() } else { letter.to_string() };
    if text.contains(is_control) { text.chars().map(shown).collect() } else { text.to_owned() }
}

struct Cell {
    text: String,
    is_number: bool,
}

impl Cell {
    fn of(value: &Value) -> Self {
        if value.as_object().is_some_and(is_unavailable) {
            return Self::plain(UNKNOWN);
        }
        let whole = Self::whole(value);
        if whole.text.width() <= WIDEST {
            return whole;
        }
        let mut width = 0;
        let cut = whole.text.char_indices().find(|(_, letter)| {
            width += letter.width().unwrap_or(0);
            width >= WIDEST
        });
        let end = cut.map_or(whole.text.len(), |(end, _)| end);
        Self { text: format!("{}…", &whole.text[..end]), ..whole }
    }

    /// A value that is not cut.
    fn whole(value: &Value) -> Self {
        Self { is_number: value.is_number(), ..Self::plain(&text(value)) }
    }

    fn plain(text: &str) -> Self {
        Self { text: harmless(text), is_number: false }
    }
}

/// Rows in columns; numbers end at the same place.
fn aligned(head: Option<Vec<Cell>>, rows: Vec<Vec<Cell>>) -> String {
    let count = rows.iter().chain(&head).map(Vec::len).max().unwrap_or(0);
    let has_numbers = |column: usize| {
        let cells = || rows.iter().filter_map(|row| row.get(column));
        cells().any(|cell| cell.is_number) && cells().all(|cell| cell.is_number || matches!(&*cell.text, "" | UNKNOWN))
    };
    let columns: Vec<(usize, bool)> = (0..count)
        .map(|column| {
            let cells = rows.iter().chain(&head).filter_map(|row| row.get(column));
            (cells.map(|cell| cell.text.width()).max().unwrap_or(0), has_numbers(column))
        })
        .collect();
    let mut text = String::new();
    for row in head.iter().chain(&rows) {
        let mut line = String::new();
        for (cell, (width, is_right)) in row.iter().zip(&columns) {
            let space = " ".repeat(width - cell.text.width());
            let (before, after) = if *is_right { (space.as_str(), "") } else { ("", space.as_str()) };
            line.push_str(&format!("{before}{}{after}  ", cell.text));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_columns_in_the_given_order() {
        let rows = json!([
            {"id": 7, "name": "a", "busy_ms": 1.5, "steals": {"unavailable": "x", "fix": "build it"}},
            {"id": 1234, "name": "blé", "busy_ms": null, "steals": 3},
        ]);
        let order = ["name".to_owned(), "id".to_owned(), "gone".to_owned()];
        let expected = "\
name    id  busy_ms  steals
a        7    1.500       –
blé   1234                3
– steals is unavailable: build it
";
        assert_eq!(render(&rows, &order, None), expected);
        assert_eq!(render(&rows, &order, Some(40)), expected);
        let narrow = render(&rows, &order, Some(10));
        assert!(narrow.starts_with("name     a\nid       7\nbusy_ms  1.500\n"), "{narrow}");
        assert!(narrow.contains("\n\nname     blé\n"), "{narrow}");
    }

    #[test]
    fn other_values_are_lines() {
        assert_eq!(render(&json!([]), &[], None), "nothing\n");
        assert_eq!(render(&json!([["a", 1], ["bb", 20]]), &[], None), "a    1\nbb  20\n");
        assert_eq!(render(&json!(["x", 2, null]), &[], None), "x\n2\n\n");
        assert_eq!(render(&json!({"a": 1.0, "long": "two\nlines"}), &[], None), "a     1\nlong  two\\nlines\n");
        assert_eq!(render(&json!("text"), &[], None), "text\n");
        assert_eq!(render(&json!({"unavailable": "x", "fix": "build it"}), &[], None), "unavailable: build it\n");
    }

    #[test]
    fn a_name_cannot_steer_the_terminal_and_is_cut() {
        let hostile = json!([{"name": "\u{1b}[2Jx\r\u{202e}"}]);
        assert_eq!(render(&hostile, &[], None), "name\n\\u{1b}[2Jx\\r\\u{202e}\n");
        let long = render(&json!([{"name": "é".repeat(500)}]), &[], None);
        assert_eq!(long.lines().nth(1).map(|line| line.chars().count()), Some(WIDEST));
    }
}
