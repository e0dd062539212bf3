//! Free text that is not shared: what stands in an answer instead of it. Separate because it is between the skills, which
//! know the text, and everything that a script can do with an answer.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answer::{Answer, Cell, Table};
use crate::error::CallError;
use crate::reading::Unavailable;
use crate::signature::{Arguments, FunctionReference};

/// Refuses a call that looks for free text, for how many rows it gives would tell the text, letter by letter; and one that
/// gives free text in no field that could be left out.
pub(super) fn refuse(skill: &str, function: &FunctionReference, arguments: &Arguments) -> Result<(), CallError> {
    let by_place = function.parameters.iter().zip(&arguments.positional);
    let by_name = arguments.named.iter().filter_map(|(name, value)| {
        let parameter = function.parameters.iter().find(|parameter| parameter.name == *name)?;
        Some((parameter, value))
    });
    match by_place.chain(by_name).find(|(parameter, value)| parameter.is_free_text && !value.is_null()) {
        None if function.is_free_text => {
            let subject = format!("`{skill}.{}`", function.name);
            Err(CallError::Unavailable { subject, reason: reason(skill) })
        }
        None => Ok(()),
        Some((parameter, _)) => Err(CallError::Unavailable {
            subject: format!("`{skill}.{}({}=…)`", function.name, parameter.name),
            reason: reason(skill),
        }),
    }
}

/// The answer with an absent value in the place of each free text.
pub(super) fn without_free_text(skill: &str, function: &FunctionReference, answer: Answer) -> Answer {
    let free = function.fields().iter().filter(|field| field.is_free_text);
    let free: Vec<String> = free.map(|field| field.name.clone()).collect();
    if free.is_empty() {
        return answer;
    }
    let reason = reason(skill);
    let rows = |table| Arc::new(Withheld { table, free: free.clone(), reason: reason.clone() });
    match answer {
        Answer::Rows(table) => Answer::Rows(rows(table)),
        Answer::Record(table) => Answer::Record(rows(table)),
        Answer::Value(mut value) => {
            withhold(&mut value, &free, &reason);
            Answer::Value(value)
        }
    }
}

fn reason(skill: &str) -> Unavailable {
    Unavailable::NotShared { skill: skill.to_owned() }
}

/// What stands for a text.
fn marker(reason: &Unavailable) -> Value {
    json!({"unavailable": reason.code(), "fix": reason.to_string()})
}

/// Takes the fields `free` out of the objects that a value is or lists.
fn withhold(value: &mut Value, free: &[String], reason: &Unavailable) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| withhold(item, free, reason)),
        Value::Object(fields) => {
            let texts = fields.iter_mut().filter(|(name, value)| free.contains(name) && !value.is_null());
            texts.for_each(|(_, value)| *value = marker(reason));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Rows without their free texts.
struct Withheld {
    table: Arc<dyn Table>,
    free: Vec<String>,
    reason: Unavailable,
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
        Some(if is_withheld { Cell::unavailable(&self.reason) } else { cell })
    }

    fn to_json(&self, row: usize) -> Value {
        let mut json = self.table.to_json(row);
        withhold(&mut json, &self.free, &self.reason);
        json
    }

    fn row_bytes(&self) -> usize {
        self.table.row_bytes()
    }
}
