//! What a function takes and gives, derived from its Rust types. Separate because it is written once, by the types, and
//! read by all: arguments are checked against it, the reference and the prompts are printed from it.

mod schema;

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{CallError, nearest, shortened};
use crate::reference::within;
pub(crate) use schema::{Given, parameters};

/// One argument of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub takes: Type,
    /// Its value when it is left out; a parameter with neither this nor `is_optional` must be given.
    pub default: Option<Value>,
    /// Whether it may be left out without a default.
    pub is_optional: bool,
    /// Whether it looks for free text; see [`Field::is_free_text`].
    #[serde(default)]
    pub is_free_text: bool,
    /// What it does.
    pub doc: String,
}

impl Parameter {
    /// Whether a call without it is an error.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.default.is_none() && !self.is_optional
    }
}

/// The types that arguments and fields have on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// `True` or `False`.
    Bool,
    /// A whole number between two bounds, both inclusive where they are given.
    Int {
        /// The least value.
        min: Option<i64>,
        /// The greatest value.
        max: Option<u64>,
    },
    /// A number.
    Float,
    /// A text.
    Text,
    /// A length of time: `"90s"`, `"5m"`.
    Span,
    /// An instant in RFC 3339.
    Timestamp,
    /// One of a few words.
    OneOf(Vec<String>),
    /// A list.
    List(Box<Type>),
    /// An object with these fields.
    Record(Vec<Field>),
    /// Anything that JSON can say.
    Any,
}

impl Type {
    /// The type's name in a signature.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Bool => "bool".to_owned(),
            Self::Int { .. } => "int".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Text => "str".to_owned(),
            Self::Span => "span".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::OneOf(words) => words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" | "),
            Self::List(of) => format!("list[{}]", of.name()),
            Self::Record(_) => "struct".to_owned(),
            Self::Any => "any".to_owned(),
        }
    }

    /// The type in a sentence: "takes …".
    fn describe(&self) -> String {
        match self {
            Self::Bool => "True or False".to_owned(),
            Self::Int { min: Some(min), max: Some(max) } => format!("an integer between {min} and {max}"),
            Self::Int { min: Some(min), max: None } => format!("an integer of at least {min}"),
            Self::Int { .. } => "an integer".to_owned(),
            Self::Float => "a number".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Span => "a length of time like \"90s\" or \"5m\"".to_owned(),
            Self::Timestamp => "an instant like \"2026-01-31T12:00:00Z\"".to_owned(),
            Self::OneOf(_) => format!("one of {}", self.name().replace(" | ", ", ")),
            Self::List(of) => format!("a list of {}", of.name()),
            Self::Record(_) => "an object".to_owned(),
            Self::Any => "any value".to_owned(),
        }
    }

    /// A value that it admits.
    pub(crate) fn sample(&self) -> Value {
        match self {
            Self::Bool => false.into(),
            Self::Int { min, .. } => min.unwrap_or(0).into(),
            Self::Float => 0.0.into(),
            Self::Text | Self::Span | Self::Timestamp => "".into(),
            Self::OneOf(words) => words.first().cloned().into(),
            Self::List(_) => Value::Array(Vec::new()),
            Self::Record(_) => Value::Object(Map::new()),
            Self::Any => Value::Null,
        }
    }

    fn admits(&self, value: &Value) -> bool {
        match self {
            Self::Bool => value.is_boolean(),
            Self::Int { min, max } => match (value.as_i64(), value.as_u64()) {
                (_, Some(number)) => {
                    max.is_none_or(|max| number <= max)
                        && min.is_none_or(|min| i64::try_from(number).map_or(true, |number| number >= min))
                }
                (Some(number), None) => min.is_none_or(|min| number >= min),
                (None, None) => false,
            },
            Self::Float => value.is_number(),
            Self::Text | Self::Span | Self::Timestamp => value.is_string(),
            Self::OneOf(words) => value.as_str().is_some_and(|word| words.iter().any(|known| known == word)),
            Self::List(of) => value.as_array().is_some_and(|items| items.iter().all(|item| of.admits(item))),
            Self::Record(_) => value.is_object(),
            Self::Any => true,
        }
    }

    /// The value that a URL's text stands for.
    fn parse(&self, text: &str) -> Value {
        let parsed = match self {
            Self::Bool => match text {
                "true" | "True" | "1" => Some(true.into()),
                "false" | "False" | "0" => Some(false.into()),
                _ => None,
            },
            Self::Int { .. } => {
                text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from)).ok()
            }
            Self::Float => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
            Self::List(_) | Self::Record(_) | Self::Any => serde_json::from_str(text).ok(),
            Self::Text | Self::Span | Self::Timestamp | Self::OneOf(_) => None,
        };
        parsed.unwrap_or_else(|| Value::String(text.to_owned()))
    }
}

/// One field of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type on the wire.
    #[serde(rename = "type")]
    pub holds: Type,
    /// Its unit, read off the name: `ms`, `bytes`, `ratio`, `per_s`, `count`, or none.
    pub unit: Option<String>,
    /// Whether it may be `null`.
    pub is_optional: bool,
    /// Whether it may be an absent value with a reason.
    pub may_be_unavailable: bool,
    /// Whether it holds text that the service, or whoever talks to it, wrote. A model gets it only where the service shares it.
    #[serde(default)]
    pub is_free_text: bool,
    /// What it means.
    pub doc: String,
}

/// What a function returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    /// A list of rows with these fields.
    Rows(Vec<Field>),
    /// One row with these fields.
    Record(Vec<Field>),
    /// A value.
    Value(Type),
}

/// Everything that is known of a function: what the reference prints and a prompt shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionReference {
    /// Its name within its skill.
    pub name: String,
    /// What it gives, in one line or more.
    pub doc: String,
    /// What it takes, in the order of positional arguments.
    pub parameters: Vec<Parameter>,
    /// What it returns.
    pub returns: Returns,
    /// Whether free text is in what it returns beside the fields: in an answer without fields, or in what not every row has.
    /// A model gets none of it unless the service shares it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_free_text: bool,
    /// A call that works: `tasks.top(limit=3)`.
    pub example: String,
    /// What calling it does to the service; absent for a question that only reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
}

impl FunctionReference {
    /// The fields of what it gives.
    pub(crate) fn fields(&self) -> &[Field] {
        match &self.returns {
            Returns::Rows(fields) | Returns::Record(fields) => fields,
            Returns::Value(of) => within(of).unwrap_or_default(),
        }
    }

    /// Whether it gives free text, or looks for it.
    pub(crate) fn has_free_text(&self) -> bool {
        self.is_free_text
            || self.fields().iter().any(|field| field.is_free_text)
            || self.parameters.iter().any(|parameter| parameter.is_free_text)
    }

    /// The call as a line of code: `tasks.top(limit=10, by="busy") -> list[…]`.
    #[must_use]
    pub fn signature(&self, skill: &str) -> String {
        let mut line = format!("{skill}.{}(", self.name);
        for (index, parameter) in self.parameters.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(line, "{comma}{}: {}", parameter.name, parameter.takes.name());
            if let Some(default) = &parameter.default {
                let _ = write!(line, " = {}", starlark_literal(default));
            } else if parameter.is_optional {
                line.push_str(" = None");
            }
        }
        line.push_str(") -> ");
        line.push_str(&match &self.returns {
            Returns::Rows(_) => "list[row]".to_owned(),
            Returns::Record(_) => "row".to_owned(),
            Returns::Value(of) => of.name(),
        });
        line
    }

    /// Checks `arguments` against the parameters and names them all.
    ///
    /// # Errors
    ///
    /// An unknown, doubled, missing or wrongly typed argument, each named, with what it takes.
    pub fn bind(&self, skill: &str, arguments: Arguments) -> Result<Value, CallError> {
        let function = format!("{skill}.{}", self.name);
        let mut bound = Map::new();
        if arguments.positional.len() > self.parameters.len() {
            return Err(CallError::argument(
                "",
                format!(
                    "`{function}` takes {} but {} were given; it is called as {}",
                    plural(self.parameters.len(), "argument"),
                    arguments.positional.len(),
                    self.signature(skill),
                ),
            ));
        }
        for (parameter, value) in self.parameters.iter().zip(arguments.positional) {
            bound.insert(parameter.name.clone(), value);
        }
        for (name, value) in arguments.named {
            if !self.parameters.iter().any(|parameter| parameter.name == name) {
                return Err(self.unknown_argument(&function, name));
            }
            if bound.contains_key(&name) {
                return Err(CallError::argument(
                    &name,
                    format!("the argument `{name}` of `{function}` is given twice"),
                ));
            }
            bound.insert(name, value);
        }
        for parameter in &self.parameters {
            let value = match bound.get(&parameter.name) {
                Some(Value::Null) if parameter.is_optional => continue,
                Some(Value::String(text)) if arguments.are_text => {
                    let parsed = parameter.takes.parse(text);
                    bound.insert(parameter.name.clone(), parsed);
                    &bound[&parameter.name]
                }
                Some(value) => value,
                None if parameter.is_required() => {
                    return Err(CallError::argument(
                        &parameter.name,
                        format!("`{function}` needs the argument `{}`: {}", parameter.name, parameter.takes.describe()),
                    ));
                }
                None => continue,
            };
            if !parameter.takes.admits(value) {
                return Err(CallError::argument(
                    &parameter.name,
                    format!(
                        "the argument `{}` of `{function}` takes {}, not {}",
                        parameter.name,
                        parameter.takes.describe(),
                        shown(value),
                    ),
                ));
            }
        }
        Ok(Value::Object(bound))
    }

    fn unknown_argument(&self, function: &str, name: String) -> CallError {
        let known = self.parameters.iter().map(|parameter| parameter.name.as_str());
        let nearest = nearest(&name, known.clone());
        let name = shortened(&name).into_owned();
        let takes = known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let message = match (&nearest, takes.is_empty()) {
            (Some(near), _) => format!("`{function}` has no argument `{name}`; did you mean `{near}`?"),
            (None, false) => format!("`{function}` has no argument `{name}`; it takes {takes}"),
            (None, true) => format!("`{function}` has no argument `{name}`; it takes none"),
        };
        CallError::Argument { name, message, nearest }
    }
}

/// The arguments of a call, before they are checked.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Those given by position.
    pub positional: Vec<Value>,
    /// Those given by name.
    pub named: Vec<(String, Value)>,
    /// Whether all values are texts out of a URL, to be read as what the parameter takes.
    pub are_text: bool,
}

impl Arguments {
    /// Arguments given by name.
    #[must_use]
    pub fn named(named: Vec<(String, Value)>) -> Self {
        Self { named, ..Self::default() }
    }

    /// The pairs of a URL's query.
    #[must_use]
    pub fn from_query(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let named = pairs.into_iter().map(|(name, text)| (name, Value::String(text))).collect();
        Self { positional: Vec::new(), named, are_text: true }
    }
}

/// Turns bound arguments into the function's own type.
pub(crate) fn read<A: DeserializeOwned>(function: &str, bound: Value) -> Result<A, CallError> {
    serde_json::from_value(bound).map_err(|error| CallError::argument("", format!("`{function}`: {error}")))
}

/// A value in an error message: as JSON, and not longer than a line.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn starlark_literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

fn plural(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests;
