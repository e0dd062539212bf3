//! What a function answers: rows that are read field by field, or a plain value. Separate because three readers share
//! it: the sandbox takes single fields, HTTP takes JSON, the reference takes the fields' names.

mod field;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::reading::{Reading, Unavailable};

/// A function's answer.
#[derive(Clone)]
pub enum Answer {
    /// A list of rows.
    Rows(Arc<dyn Table>),
    /// One row.
    Record(Arc<dyn Table>),
    /// Anything else that JSON can say.
    Value(Value),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(table) => write!(f, "Rows({})", table.len()),
            Self::Record(_) => f.write_str("Record"),
            Self::Value(value) => f.debug_tuple("Value").field(value).finish(),
        }
    }
}

impl Answer {
    /// A list of rows.
    #[must_use]
    pub fn rows(rows: impl Rows) -> Self {
        Self::Rows(Arc::new(Typed(rows)))
    }

    /// One row.
    #[must_use]
    pub fn record<R: Serialize + Send + Sync + 'static>(row: R) -> Self {
        Self::Record(Arc::new(Typed(vec![row])))
    }

    /// The whole answer as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Rows(table) => (0..table.len()).map(|row| table.to_json(row)).collect(),
            Self::Record(table) => table.to_json(0),
            Self::Value(value) => value.clone(),
        }
    }
}

/// Rows of one type. A vector of them is the usual one; others make a row when it is asked for, because a hundred
/// thousand rows that nobody reads would take longer to make than to filter.
pub trait Rows: Send + Sync + 'static {
    /// One row, which may borrow.
    type Row<'a>: Serialize;

    /// How many there are.
    fn count(&self) -> usize;

    /// The row at this place; `None` from `count` on.
    fn row(&self, at: usize) -> Option<Self::Row<'_>>;

    /// A field of that row which is known without making the row, as the row has it. To be written for those by which
    /// many rows are filtered; `None` for all others.
    fn quick_cell(&self, _at: usize, _field: &str) -> Option<Cell> {
        None
    }

    /// The same of a field that is a float, which needs no [`Cell`] to be compared. It is asked first: such a field need not
    /// be a quick cell as well.
    fn quick_float(&self, _at: usize, _field: &str) -> Option<f64> {
        None
    }

    /// The memory that a row takes, about.
    fn row_bytes(&self) -> usize;
}

impl<R: Serialize + Send + Sync + 'static> Rows for Vec<R> {
    type Row<'a> = &'a R;

    fn count(&self) -> usize {
        self.len()
    }

    fn row(&self, at: usize) -> Option<&R> {
        self.get(at)
    }

    fn row_bytes(&self) -> usize {
        let beyond = |row: Option<&R>| row.map_or(0, |row| heap_bytes(&json(row)));
        size_of::<R>() + beyond(self.first()).max(beyond(self.last()))
    }
}

/// Rows of one type, of which single fields can be read without converting the rest.
pub trait Table: Send + Sync {
    /// How many rows there are.
    fn len(&self) -> usize;

    /// Whether there is no row.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of a row's fields, in the order of their declaration.
    fn fields(&self, row: usize) -> Vec<&'static str>;

    /// One field of one row; `None` if the row has no such field.
    ///
    /// Cost: a comparison for each field before it, then the conversion of that one.
    fn cell(&self, row: usize, field: &str) -> Option<Cell>;

    /// One field of one row, if that is a float and quickly known; `None` says nothing of it.
    fn quick_float(&self, _row: usize, _field: &str) -> Option<f64> {
        None
    }

    /// A whole row as JSON.
    fn to_json(&self, row: usize) -> Value;

    /// The same, for who may read only some of it later and says what that was.
    fn to_be_read(&self, row: usize) -> Value {
        self.to_json(row)
    }

    /// The memory of a row, about: of the larger one of the first and the last.
    fn row_bytes(&self) -> usize;
}

/// A field's value. Scalars are here as they are, so that reading one allocates nothing but a string's text.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing, as an absent optional field has.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer that needs the top bit.
    UInt(u64),
    /// A float.
    Float(f64),
    /// A text.
    Text(String),
    /// The value is not known.
    Unavailable {
        /// A stable word for the reason.
        code: Box<str>,
        /// What to do about it.
        fix: Box<str>,
    },
    /// A list or an object.
    Json(Value),
}

impl Cell {
    /// An absent value, with its reason.
    #[must_use]
    pub fn unavailable(reason: &Unavailable) -> Self {
        Self::Unavailable { code: reason.code().into(), fix: reason.to_string().into() }
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Self::UInt(number), Self::Int)
    }
}

struct Typed<T>(T);

impl<T: Rows> Table for Typed<T> {
    fn len(&self) -> usize {
        self.0.count()
    }

    fn fields(&self, row: usize) -> Vec<&'static str> {
        self.0.row(row).map(|row| field::names(&row)).unwrap_or_default()
    }

    fn cell(&self, row: usize, name: &str) -> Option<Cell> {
        if let Some(float) = self.0.quick_float(row, name) {
            return Some(Cell::Float(float));
        }
        let quick = self.0.quick_cell(row, name);
        if quick.is_some() {
            return quick;
        }
        field::extract(&self.0.row(row)?, name)
    }

    fn quick_float(&self, row: usize, field: &str) -> Option<f64> {
        self.0.quick_float(row, field)
    }

    fn to_json(&self, row: usize) -> Value {
        self.0.row(row).map_or(Value::Null, json)
    }

    fn row_bytes(&self) -> usize {
        self.0.row_bytes()
    }
}

/// A row that cannot be JSON (a map with other keys than texts) is a defect of its type; this says so in its place.
fn json(row: impl Serialize) -> Value {
    serde_json::to_value(row).unwrap_or_else(|error| Value::String(format!("this row is no JSON: {error}")))
}

/// What a value with this JSON keeps outside of its own struct: its texts, and the items of its lists.
fn heap_bytes(json: &Value) -> usize {
    match json {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| own_bytes(item) + heap_bytes(item)).sum(),
        // Why a value is not known is nearly always a text of the program.
        Value::Object(fields) if fields.contains_key("unavailable") => 0,
        Value::Object(fields) => fields.values().map(heap_bytes).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// What a value with this JSON takes itself, about.
fn own_bytes(json: &Value) -> usize {
    match json {
        Value::Bool(_) | Value::Number(_) => size_of::<u64>(),
        Value::Null => size_of::<Option<u64>>(),
        Value::String(_) | Value::Array(_) => size_of::<String>(),
        Value::Object(fields) if fields.contains_key("unavailable") => size_of::<Reading<u64>>(),
        Value::Object(fields) => fields.values().map(own_bytes).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::OrUnavailable;

    #[derive(Serialize)]
    struct Row {
        id: u64,
        busy_ms: f64,
        name: Option<String>,
        state: State,
        parks: OrUnavailable<u64>,
        tags: Vec<&'static str>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum State {
        Idle,
    }

    fn table() -> Answer {
        Answer::rows(vec![Row {
            id: u64::MAX,
            busy_ms: 1.5,
            name: None,
            state: State::Idle,
            parks: Err(Unavailable::NeedsTokioUnstable).into(),
            tags: vec!["a"],
        }])
    }

    #[test]
    fn a_row_takes_its_struct_and_its_texts() {
        #[derive(Serialize)]
        struct Row {
            text: String,
            number: u64,
            list: Vec<String>,
            unknown: OrUnavailable<u64>,
        }

        let row = |letters: usize| Row {
            text: "a".repeat(letters),
            number: 7,
            list: vec!["b".repeat(50); 4],
            unknown: Err(Unavailable::NeedsTokioUnstable).into(),
        };
        let Answer::Rows(table) = Answer::rows(vec![row(0), row(0), row(1_000)]) else { panic!("rows were made") };
        assert_eq!(table.row_bytes(), size_of::<Row>() + 1_000 + 4 * (size_of::<String>() + 50));
    }

    #[test]
    fn rows_within_a_row_take_their_structs() {
        #[derive(Clone, Serialize)]
        struct Frame {
            address: u64,
            line: u64,
            function: String,
            column: Option<u64>,
        }

        #[derive(Serialize)]
        struct Stack {
            frames: Vec<Frame>,
        }

        let frame = Frame { address: 1, line: 2, function: "f".repeat(30), column: Some(3) };
        let Answer::Rows(table) = Answer::rows(vec![Stack { frames: vec![frame; 100] }]) else {
            panic!("rows were made")
        };
        let truth = size_of::<Stack>() + 100 * (size_of::<Frame>() + 30);
        let told = table.row_bytes();
        // A number tells nothing of the option that it is in.
        assert!(told >= truth - 100 * size_of::<u64>() && told <= truth + truth / 4, "{told} of {truth}");
    }

    #[test]
    fn single_fields_equal_the_whole_row() {
        let Answer::Rows(table) = table() else { panic!("rows were made") };
        assert_eq!(table.fields(0), ["id", "busy_ms", "name", "state", "parks", "tags"]);
        assert_eq!(table.cell(0, "id"), Some(Cell::UInt(u64::MAX)));
        assert_eq!(table.cell(0, "busy_ms"), Some(Cell::Float(1.5)));
        assert_eq!(table.cell(0, "name"), Some(Cell::Null));
        assert_eq!(table.cell(0, "state"), Some(Cell::Text("idle".into())));
        assert_eq!(table.cell(0, "parks"), Some(Cell::unavailable(&Unavailable::NeedsTokioUnstable)));
        assert_eq!(table.cell(0, "tags"), Some(Cell::Json(serde_json::json!(["a"]))));
        assert_eq!(table.cell(0, "missing"), None);
        assert_eq!(table.cell(1, "id"), None);

        let whole = table.to_json(0);
        assert_eq!(whole["id"], u64::MAX);
        assert_eq!(whole["parks"]["unavailable"], "needs_tokio_unstable");
    }
}
