//! What the two processes say to each other. Separate because both sides must agree on it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::answer::{Answer, Cell, Table};
use crate::error::CallError;
use crate::reading::Unavailable;
use crate::recorder::Series;
use crate::sandbox::error::{Excerpt, QueryError};
use crate::sandbox::limits::Limits;
use crate::signature::{Arguments, FunctionReference};
use crate::skill::About;
use crate::time::{Span, Timestamp};

/// The longest message: more than any answer that fits a query's memory.
pub(super) const MAX_MESSAGE_BYTES: usize = 512 << 20;

/// The first message: all that the child is for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) source: String,
    pub(super) limits: Limits,
    pub(super) at: Timestamp,
    pub(super) skills: Vec<JobSkill>,
}

/// A skill that the script may ask.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JobSkill {
    pub(super) about: About,
    pub(super) functions: Vec<FunctionReference>,
    pub(super) absence: Option<Unavailable>,
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    Call { skill: String, function: String, positional: Vec<Value>, named: Vec<(String, Value)> },
    Series { name: String, last: Span },
    Done(Result<Given, Failed>),
}

/// What a query gave.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) columns: Vec<String>,
    pub(super) printed: Vec<String>,
    pub(super) elapsed_ns: u64,
    pub(super) steps: u64,
    pub(super) heap_bytes: u64,
    /// What was read first of what is withheld.
    pub(super) read_withheld: Option<String>,
}

/// Why a query gave nothing, with the part of the error that its JSON leaves out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failed {
    error: QueryError,
    excerpt: Option<Box<Excerpt>>,
}

impl From<QueryError> for Failed {
    fn from(mut error: QueryError) -> Self {
        let excerpt = error.excerpt.take();
        Self { error, excerpt }
    }
}

impl From<Failed> for QueryError {
    fn from(Failed { error, excerpt }: Failed) -> Self {
        Self { excerpt, ..error }
    }
}

/// What the parent answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    Answer(Result<WireAnswer, CallError>),
    Series(Box<Result<Series, CallError>>),
}

/// An answer of a function.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WireAnswer {
    Rows(Head, Vec<Value>),
    Record(Head, Value),
    Value(Value),
}

/// What rows have in common.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// The names of their fields, in the order of their declaration.
    fields: Vec<String>,
    /// What a row counts as: the same as where the function was called.
    row_bytes: usize,
}

impl Head {
    fn of(table: &dyn Table) -> Self {
        Self { fields: table.fields(0).into_iter().map(str::to_owned).collect(), row_bytes: table.row_bytes() }
    }
}

impl WireAnswer {
    /// The answer as it is sent; `None` if its rows take more than `most` bytes of memory, or if nobody waits for it any
    /// more: it is not made to its end then.
    pub(super) fn of(answer: &Answer, most: usize, is_cancelled: &AtomicBool) -> Option<Self> {
        Some(match answer {
            Answer::Rows(table) => {
                let (mut rows, mut bytes) = (Vec::new(), 0_usize);
                for row in 0..table.len() {
                    let row = table.to_be_read(row);
                    bytes = bytes.saturating_add(memory(&row));
                    if bytes > most || is_cancelled.load(Ordering::Relaxed) {
                        return None;
                    }
                    rows.push(row);
                }
                Self::Rows(Head::of(&**table), rows)
            }
            Answer::Record(table) => Self::Record(Head::of(&**table), table.to_be_read(0)),
            Answer::Value(value) => Self::Value(value.clone()),
        })
    }

    pub(super) fn into_answer(self) -> Answer {
        match self {
            Self::Rows(head, rows) => Answer::Rows(Arc::new(JsonTable::new(&head, rows))),
            Self::Record(head, row) => Answer::Record(Arc::new(JsonTable::new(&head, vec![row]))),
            Self::Value(value) => Answer::Value(value),
        }
    }
}

/// The memory that a value takes, about.
fn memory(value: &Value) -> usize {
    /// A field's place in the tree that an object is.
    const ENTRY: usize = size_of::<String>() + size_of::<Value>();
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(memory).sum(),
            Value::Object(fields) => fields.iter().map(|(name, field)| ENTRY + name.len() + memory(field)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// The arguments of a call, as the child got them from the script.
pub(super) fn arguments(positional: Vec<Value>, named: Vec<(String, Value)>) -> Arguments {
    Arguments { positional, named, are_text: false }
}

/// Rows that came as JSON.
struct JsonTable {
    fields: Vec<&'static str>,
    row_bytes: usize,
    rows: Vec<Value>,
}

impl JsonTable {
    fn new(head: &Head, rows: Vec<Value>) -> Self {
        Self { fields: head.fields.iter().map(|name| for_ever(name)).collect(), row_bytes: head.row_bytes, rows }
    }

    fn row(&self, row: usize) -> Option<&Map<String, Value>> {
        self.rows.get(row)?.as_object()
    }
}

impl Table for JsonTable {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn fields(&self, row: usize) -> Vec<&'static str> {
        let Some(fields) = self.row(row) else { return Vec::new() };
        let known = self.fields.iter().copied().filter(|name| fields.contains_key(*name));
        let others = fields.keys().filter(|name| !self.fields.contains(&name.as_str()));
        known.chain(others.map(|name| for_ever(name))).collect()
    }

    fn cell(&self, row: usize, field: &str) -> Option<Cell> {
        Some(match self.row(row)?.get(field)? {
            Value::Null => Cell::Null,
            Value::Bool(truth) => Cell::Bool(*truth),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(whole), _) => Cell::Int(whole),
                (None, Some(whole)) => Cell::UInt(whole),
                (None, None) => Cell::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Cell::Text(text.clone()),
            other => match (other.get("unavailable"), other.get("fix"), other.as_object().map_or(0, Map::len)) {
                (Some(Value::String(code)), Some(Value::String(fix)), 2) => {
                    note_withheld(field, other);
                    Cell::Unavailable { code: code.as_str().into(), fix: fix.as_str().into() }
                }
                _ => Cell::Json(other.clone()),
            },
        })
    }

    fn to_json(&self, row: usize) -> Value {
        self.row(row).into_iter().flatten().for_each(|(name, field)| note_withheld(name, field));
        self.rows.get(row).cloned().unwrap_or_default()
    }

    fn row_bytes(&self) -> usize {
        self.row_bytes
    }
}

/// What was read first of what is withheld; this process ends with its query.
static READ_WITHHELD: OnceLock<String> = OnceLock::new();

/// Notes that a field was read, if it is one that is withheld.
fn note_withheld(name: &str, field: &Value) {
    let withheld = Unavailable::NotShared { skill: String::new() };
    if field.get("unavailable").is_some_and(|code| *code == withheld.code()) {
        READ_WITHHELD.get_or_init(|| name.to_owned());
    }
}

/// The first field that was read of those that are withheld.
pub(super) fn read_withheld() -> Option<String> {
    READ_WITHHELD.get().cloned()
}

/// A name of a field that lives as long as this process, which ends with its query.
fn for_ever(name: &str) -> &'static str {
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    if let Some(known) = names.get(name) {
        return known;
    }
    let leaked: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(leaked);
    leaked
}
