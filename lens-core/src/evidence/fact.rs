//! A sentence that is true in a capture, with the expression that a machine evaluated to know it. Separate because nothing
//! else can make one: a [`Fact`] exists only where its expression was evaluated and bore the sentence out.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{grounds, literals};
use crate::capture::Capture;
use crate::sandbox::{Outcome, QueryError, Sandbox};
use crate::time::Timestamp;

/// The longest sentence and the longest expression.
pub const MAX_FACT_BYTES: usize = 2_000;

/// The most of a value that is quoted where it proves nothing.
const MAX_SHOWN_BYTES: usize = 450;

/// How far two evaluations of one expression may differ, of the value: a capture's file keeps floats to the last digit but
/// one.
const TOLERANCE: f64 = 1e-9;

/// A sentence and its proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The sentence. Each of its numbers is one of the value's.
    pub text: String,
    /// What was evaluated: a query that anybody can ask again.
    pub expr: String,
    /// What it gave.
    pub value: Value,
    /// The skills that the expression asks.
    pub skills: Vec<String>,
    /// The capture in which it is true: [`Capture::id`].
    pub capture: String,
    /// The instant of that capture.
    pub at: Timestamp,
}

/// Why a sentence is no fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FalseFact {
    /// The sentence.
    pub text: String,
    /// What was to prove it.
    pub expr: String,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for FalseFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no fact: {} (`{}`)", self.text, self.why, self.expr)
    }
}

impl std::error::Error for FalseFact {}

impl Fact {
    /// Evaluates `expr` over `capture`; the caller waits.
    ///
    /// # Errors
    ///
    /// The expression cannot be evaluated, is not true, or does not bear out what the sentence says.
    pub fn establish(text: &str, expr: &str, capture: &Arc<Capture>, sandbox: &Sandbox) -> Result<Self, FalseFact> {
        Self::establish_by(text, expr, capture, || sandbox.run(expr, Arc::clone(capture)))
    }

    /// The same, where `evaluate` evaluates the expression over the capture.
    pub(crate) fn establish_by(
        text: &str,
        expr: &str,
        capture: &Capture,
        evaluate: impl FnOnce() -> Result<Outcome, QueryError>,
    ) -> Result<Self, FalseFact> {
        let no =
            |why: String| FalseFact { text: clipped(text, MAX_FACT_BYTES), expr: clipped(expr, MAX_FACT_BYTES), why };
        if text.trim().is_empty() || text.len() > MAX_FACT_BYTES || expr.len() > MAX_FACT_BYTES {
            return Err(no(format!("a sentence and its expression have 1 to {MAX_FACT_BYTES} bytes each")));
        }
        let outcome = evaluate().map_err(|error| no(error.message))?;
        if let Some(why) = Self::falsity(&outcome.value) {
            return Err(no(why));
        }
        grounds::check(text, expr, &outcome.value).map_err(no)?;
        let skills = Self::asked(expr, outcome.touched, capture);
        Ok(Self {
            text: text.to_owned(),
            expr: expr.to_owned(),
            value: outcome.value,
            skills,
            capture: capture.id().to_owned(),
            at: capture.at(),
        })
    }

    /// The skills that `expr` asks: those that it names, and those that it `touched` when it was evaluated.
    pub(crate) fn asked(expr: &str, touched: Vec<String>, capture: &Capture) -> Vec<String> {
        let mut skills = grounds::skills(expr, capture.registry().names());
        skills.extend(touched);
        skills.sort();
        skills.dedup();
        skills
    }

    /// Why `value` proves nothing; the items of a list are all claimed.
    pub(crate) fn falsity(value: &Value) -> Option<String> {
        match value {
            Value::Null => Some("it is None".to_owned()),
            Value::Bool(false) => Some("it is False".to_owned()),
            Value::Array(items) if items.is_empty() => Some("it is an empty list".to_owned()),
            Value::Array(items) => items.iter().find_map(|item| match item {
                Value::Null | Value::Bool(false) => {
                    Some(format!("not all of it is true: {}", clipped(&value.to_string(), MAX_SHOWN_BYTES)))
                }
                item => unavailable(item),
            }),
            other => unavailable(other),
        }
    }

    /// Holds the fact to more, because nobody vouches for who stated it: it must say something that is measured, and no
    /// number of it may be one that stands in the expression.
    pub(crate) fn hold_to_more(&self) -> Result<(), String> {
        if self.skills.is_empty() {
            return Err("its expression asks no skill".to_owned());
        }
        literals::only_select(&self.expr, &self.skills)?;
        grounds::check_measured(&self.text, &self.expr, &self.value)
    }

    /// Why numbers or places of `text` are not among the values of `facts`, if they are not.
    pub(crate) fn unshown(text: &str, facts: &[Self]) -> Option<String> {
        let values: Vec<Value> = facts.iter().map(|fact| fact.value.clone()).collect();
        grounds::check(text, "", &Value::Array(values)).err()
    }

    /// Evaluates the expression again, over the same capture or the file that it was saved to.
    ///
    /// # Errors
    ///
    /// It is another capture, or the value is not the same any more.
    pub fn verify(&self, capture: &Arc<Capture>, sandbox: &Sandbox) -> Result<(), FalseFact> {
        let no = |why: String| FalseFact { text: self.text.clone(), expr: self.expr.clone(), why };
        if capture.id() != self.capture {
            return Err(no(format!("it is of the capture {}, not of {}", self.capture, capture.id())));
        }
        let again = Self::establish(&self.text, &self.expr, capture, sandbox)?;
        if !same(&self.value, &again.value) {
            let shown = |value: &Value| clipped(&value.to_string(), MAX_SHOWN_BYTES);
            return Err(no(format!("it was {}, and now is {}", shown(&self.value), shown(&again.value))));
        }
        Ok(())
    }
}

fn unavailable(value: &Value) -> Option<String> {
    let fix = value.get("unavailable").and(value.get("fix"))?;
    Some(format!("it is not known: {}", clipped(fix.as_str().unwrap_or_default(), MAX_SHOWN_BYTES)))
}

/// Whether two evaluations gave the same, up to [`TOLERANCE`].
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_f64(), other.as_f64()) {
            (Some(one), Some(other)) => one == other || (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()),
            _ => one == other,
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

fn clipped(text: &str, bytes: usize) -> String {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_false_absent_or_empty_proves_nothing() {
        for value in [
            json!(null),
            json!(false),
            json!([]),
            json!([3, false]),
            json!({"unavailable": "not_yet", "fix": "wait"}),
            json!([{"unavailable": "not_yet", "fix": "wait"}]),
        ] {
            assert!(Fact::falsity(&value).is_some(), "{value}");
        }
        for value in [json!(true), json!(0), json!("a"), json!([0, true]), json!({"a": false})] {
            assert_eq!(Fact::falsity(&value), None, "{value}");
        }
    }

    /// It becomes a defect of a check, or what a model is told.
    #[test]
    fn why_a_long_value_proves_nothing_is_short() {
        let mut items = vec![json!("é".repeat(100)); 10_000];
        items.push(json!(false));
        let unknown = json!({"unavailable": "not_yet", "fix": "é".repeat(10_000)});
        for value in [Value::Array(items), unknown] {
            let why = Fact::falsity(&value).unwrap();
            assert!(why.len() <= 500, "{}: {why}", why.len());
        }
    }

    #[test]
    fn values_are_the_same_to_the_last_digit_but_one() {
        assert!(same(&json!([{"a": 0.1}]), &json!([{"a": 0.1 + 1e-12}])));
        assert!(same(&json!(3), &json!(3.0)));
        assert!(!same(&json!({"a": 0.1}), &json!({"a": 0.1001})));
        assert!(!same(&json!([1, 2]), &json!([1])));
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
    }
}
