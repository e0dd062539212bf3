//! Reads parameters and fields off serde and schemars. Separate because it is the one place that knows how those two
//! write a type down.

use std::fmt;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::Value;

use super::{Field, Parameter, Returns, Type};

/// What marks a field or an argument as free text, in its schema.
const FREE_TEXT: &str = "x-lens-free-text";

/// The parameters of a function whose arguments are an `A`, in the order of `A`'s fields.
pub(crate) fn parameters<A: DeserializeOwned + JsonSchema>() -> Vec<Parameter> {
    let schema = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<A>();
    let required = required(&schema);
    field_names::<A>()
        .iter()
        .filter_map(|name| {
            let property = schema.get("properties")?.get(name)?;
            let default = property.get("default").filter(|default| !default.is_null()).cloned();
            Some(Parameter {
                name: (*name).to_owned(),
                takes: of(property),
                is_optional: default.is_none() && !required.iter().any(|required| required == name),
                is_free_text: holds_free_text(property),
                default,
                doc: doc(property),
            })
        })
        .collect()
}

/// What a function gives, as its schema says.
pub(crate) struct Given {
    pub(crate) returns: Returns,
    /// Whether there is free text in it that is in none of its fields.
    pub(crate) is_free_text: bool,
}

impl Given {
    /// Rows of type `R`, with its fields in the order of their declaration.
    pub(crate) fn rows<R: JsonSchema>() -> Self {
        Self::of_fields(&serialized_schema::<R>(), Returns::Rows)
    }

    /// One `R`.
    pub(crate) fn record<R: JsonSchema>() -> Self {
        Self::of_fields(&serialized_schema::<R>(), Returns::Record)
    }

    /// A plain `T`.
    pub(crate) fn value<T: JsonSchema>() -> Self {
        let schema = serialized_schema::<T>();
        Self { returns: Returns::Value(of(schema.as_value())), is_free_text: holds_beside_fields(schema.as_value()) }
    }

    fn of_fields(schema: &Schema, returns: impl FnOnce(Vec<Field>) -> Returns) -> Self {
        let parts = schema.as_object().into_iter().flatten();
        let is_free_text = parts.filter(|(key, _)| *key != "properties").any(|(key, part)| marks(key, part));
        Self { returns: returns(record(schema)), is_free_text }
    }
}

fn serialized_schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
}

fn record(schema: &Schema) -> Vec<Field> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    // `required` is in the order of declaration, `properties` in the order of the alphabet.
    let required = required(schema);
    let optional = properties.keys().filter(|name| !required.contains(name)).cloned();
    let names = required.clone().into_iter().chain(optional);
    names
        .filter_map(|name| {
            let property = properties.get(&name)?;
            Some(Field {
                holds: of(property),
                unit: unit(&name),
                is_optional: is_nullable(property) || !required.contains(&name),
                may_be_unavailable: property.get("x-lens-may-be-unavailable").is_some(),
                is_free_text: holds_free_text(property),
                doc: doc(property),
                name,
            })
        })
        .collect()
}

fn required(schema: &Schema) -> Vec<String> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn doc(property: &Value) -> String {
    property.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The unit that a field's name promises.
fn unit(name: &str) -> Option<String> {
    ["per_s", "ms", "bytes", "ratio", "count", "total"]
        .into_iter()
        .find(|unit| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
        .map(|unit| if unit == "total" { "count" } else { unit }.to_owned())
}

/// Whether the type, or anything within it, is marked as free text.
fn holds_free_text(property: &Value) -> bool {
    match property {
        Value::Object(parts) => parts.iter().any(|(key, part)| marks(key, part)),
        Value::Array(parts) => parts.iter().any(holds_free_text),
        _ => false,
    }
}

/// Whether a part of a type is the mark, or holds one.
fn marks(key: &str, part: &Value) -> bool {
    key == FREE_TEXT && *part == true || holds_free_text(part)
}

/// Whether anything is marked that is in no field of the objects that the type is or lists, as [`of`] has them.
fn holds_beside_fields(property: &Value) -> bool {
    let parts = property.as_object().into_iter().flatten();
    let is_some = |alternative: &&Value| alternative.get("type").is_none_or(|kind| kind != "null");
    let alternatives: Vec<&Value> = alternatives(property).filter(is_some).collect();
    let mut beside = parts.filter(|(key, part)| match (key.as_str(), &alternatives[..]) {
        ("anyOf" | "oneOf", [only]) => holds_beside_fields(only),
        ("properties", []) => false,
        ("items", []) => holds_beside_fields(part),
        _ => marks(key, part),
    });
    beside.next().is_some()
}

fn is_nullable(property: &Value) -> bool {
    let in_type =
        property.get("type").and_then(Value::as_array).is_some_and(|types| types.iter().any(|kind| kind == "null"));
    let in_union = alternatives(property).any(|alternative| alternative.get("type").is_some_and(|kind| kind == "null"));
    in_type || in_union
}

fn alternatives(property: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf"].into_iter().filter_map(|key| property.get(key)?.as_array()).flatten()
}

/// The wire type that a schema describes.
fn of(property: &Value) -> Type {
    if let Some(words) = words(property) {
        return Type::OneOf(words);
    }
    if let Some(alternative) =
        alternatives(property).find(|alternative| alternative.get("type").is_none_or(|kind| kind != "null"))
    {
        return of(alternative);
    }
    let kind = match property.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find_map(|kind| kind.as_str().filter(|kind| *kind != "null")),
        Some(kind) => kind.as_str(),
        None => None,
    };
    match kind {
        Some("boolean") => Type::Bool,
        Some("integer") => Type::Int { min: minimum(property), max: maximum(property) },
        Some("number") => Type::Float,
        Some("string") => match property.get("format").and_then(Value::as_str) {
            Some("span") => Type::Span,
            Some("date-time") => Type::Timestamp,
            _ => Type::Text,
        },
        Some("array") => Type::List(Box::new(property.get("items").map_or(Type::Any, of))),
        Some("object") => match Schema::try_from(property.clone()) {
            Ok(schema) => Type::Record(record(&schema)),
            Err(_) => Type::Any,
        },
        _ => Type::Any,
    }
}

fn minimum(property: &Value) -> Option<i64> {
    property.get("minimum").and_then(Value::as_i64)
}

/// The greatest value that is admitted: what the schema says, or what the Rust type holds.
fn maximum(property: &Value) -> Option<u64> {
    let said = property.get("maximum").and_then(Value::as_u64);
    let held = match property.get("format").and_then(Value::as_str) {
        Some("uint8") => Some(u64::from(u8::MAX)),
        Some("uint16") => Some(u64::from(u16::MAX)),
        Some("uint32") => Some(u64::from(u32::MAX)),
        _ => None,
    };
    said.or(held)
}

/// The words of an enum without data, which schemars writes as `enum` or as `oneOf` of `const`s with docs.
fn words(property: &Value) -> Option<Vec<String>> {
    let listed = property.get("enum").and_then(Value::as_array).map(|words| words.iter().collect::<Vec<_>>());
    let constants = || {
        let options = property.get("oneOf").and_then(Value::as_array)?;
        options
            .iter()
            .map(|option| option.get("const").or_else(|| option.get("enum")?.get(0)))
            .collect::<Option<Vec<_>>>()
    };
    let words = listed.or_else(constants)?;
    let words = words.into_iter().filter(|word| !word.is_null()).map(|word| word.as_str().map(str::to_owned));
    words.collect::<Option<Vec<_>>>().filter(|words| !words.is_empty())
}

/// The names of `A`'s fields in the order of declaration: serde tells them to a deserializer before it reads anything.
fn field_names<A: DeserializeOwned>() -> &'static [&'static str] {
    match A::deserialize(AskFields) {
        Err(Answered(names)) => names,
        Ok(_) => &[],
    }
}

struct AskFields;

/// An error that carries the answer, for serde has no other way out.
#[derive(Debug)]
struct Answered(&'static [&'static str]);

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only the names of the fields were asked for")
    }
}

impl std::error::Error for Answered {}

impl de::Error for Answered {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for AskFields {
    type Error = Answered;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Answered> {
        Err(Answered(fields))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answered> {
        Err(Answered(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}
