//! Free text that is not shared: what stands in an answer instead of it. Separate because it is between the skills, which
//! know the text, and everything that a script can do with an answer.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::answer::{Answer, Cell, Table};
use crate::error::CallError;
use crate::reading::Unavailable;
use crate::signature::{Arguments, FunctionReference};

/// Refuses a call that looks for free text, for how many rows it gives would tell the text, letter by letter; and one that
/// gives free text in no field that could be left out.
pub(super) fn refuse(
    skill: &str,
    function: &FunctionReference,
    arguments: &Arguments,
    read: &OnceLock<String>,
) -> Result<(), CallError> {
    let by_place = function.parameters.iter().zip(&arguments.positional);
    let by_name = arguments.named.iter().filter_map(|(name, value)| {
        let parameter = function.parameters.iter().find(|parameter| parameter.name == *name)?;
        Some((parameter, value))
    });
    let called = match by_place.chain(by_name).find(|(parameter, value)| parameter.is_free_text && !value.is_null()) {
        Some((parameter, _)) => format!("{skill}.{}({}=…)", function.name, parameter.name),
        None if function.is_free_text => format!("{skill}.{}", function.name),
        None => return Ok(()),
    };
    let refused = CallError::Unavailable { subject: format!("`{called}`"), reason: reason(skill) };
    // A script can go on without an answer, and somebody who is told all has one.
    note(read, called);
    Err(refused)
}

/// The answer with an absent value in the place of each free text.
pub(super) fn without_free_text(
    skill: &str,
    function: &FunctionReference,
    answer: Answer,
    read: &Arc<OnceLock<String>>,
) -> Answer {
    let free = function.fields().iter().filter(|field| field.is_free_text);
    let free: Vec<String> = free.map(|field| field.name.clone()).collect();
    if free.is_empty() {
        return answer;
    }
    let reason = reason(skill);
    let rows = |table| Arc::new(Withheld { table, free: free.clone(), reason: reason.clone(), read: Arc::clone(read) });
    match answer {
        Answer::Rows(table) => Answer::Rows(rows(table)),
        Answer::Record(table) => Answer::Record(rows(table)),
        Answer::Value(mut value) => {
            // What a script reads of it is not seen here.
            withhold(&mut value, &free, &reason).into_iter().for_each(|name| note(read, name));
            Answer::Value(value)
        }
    }
}

/// Keeps what was read first.
fn note(read: &OnceLock<String>, name: impl Into<String>) {
    read.get_or_init(|| name.into());
}

fn reason(skill: &str) -> Unavailable {
    Unavailable::NotShared { skill: skill.to_owned() }
}

/// What stands for a text.
fn marker(reason: &Unavailable) -> Value {
    json!({"unavailable": reason.code(), "fix": reason.to_string()})
}

/// Takes the fields `free` out of the objects that a value is or lists; gives the name of one that had a text.
fn withhold<'a>(value: &mut Value, free: &'a [String], reason: &Unavailable) -> Option<&'a str> {
    let mut had_text = None;
    match value {
        Value::Array(items) => {
            for item in items {
                had_text = withhold(item, free, reason).or(had_text);
            }
        }
        Value::Object(fields) => {
            for name in free {
                if let Some(text) = fields.get_mut(name).filter(|value| !value.is_null()) {
                    *text = marker(reason);
                    had_text = had_text.or(Some(name.as_str()));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    had_text
}

/// Rows without their free texts.
struct Withheld {
    table: Arc<dyn Table>,
    free: Vec<String>,
    reason: Unavailable,
    read: Arc<OnceLock<String>>,
}

impl Table for Withheld {
    fn len(&self) -> usize {
        self.table.len()
    }

    fn fields(&self, row: usize) -> Vec<&'static str> {
        self.table.fields(row)
    }

    fn cell(&self, row: usize, field: &str) -> Option<Cell> {
        let cell = self.table.cell(row, field)?;
        let is_withheld = cell != Cell::Null && self.free.iter().any(|free| free == field);
        if !is_withheld {
            return Some(cell);
        }
        note(&self.read, field);
        Some(Cell::unavailable(&self.reason))
    }

    fn to_json(&self, row: usize) -> Value {
        let mut json = self.table.to_json(row);
        withhold(&mut json, &self.free, &self.reason).into_iter().for_each(|name| note(&self.read, name));
        json
    }

    fn to_be_read(&self, row: usize) -> Value {
        let mut json = self.table.to_json(row);
        withhold(&mut json, &self.free, &self.reason);
        json
    }

    fn row_bytes(&self) -> usize {
        self.table.row_bytes()
    }
}
