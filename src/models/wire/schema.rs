//! JSON schemas as each provider takes them: each understands a part of the language and refuses the rest. Separate because
//! protocols share it. What is left out only widens what is allowed; whoever asked checks the answer anyway.

use serde_json::{Map, Value};

/// A provider's part of the language.
struct Dialect {
    /// Words that it refuses, and that bound what is allowed: they become part of the description, as a hint.
    bounds: &'static [&'static str],
    /// Whether a fixed value has to be a choice of one.
    const_is_enum: bool,
    /// Whether a reference must stand alone.
    lonely_references: bool,
    /// Whether each schema is of one type or of none, and each object is closed.
    is_narrow: bool,
}

/// Words that say nothing of what is allowed, and that one provider or another refuses.
const REMARKS: [&str; 8] =
    ["title", "default", "examples", "format", "$comment", "readOnly", "writeOnly", "deprecated"];

/// For servers that take all of it.
pub(super) fn plain(schema: &Value) -> Value {
    without_root_words(schema.clone())
}

/// For `OpenAI`, and whether it is in the strict form, which it then enforces: each object closed, each of its fields
/// required. What may be missing may be null instead.
pub(super) fn for_openai(schema: &Value) -> (Value, bool) {
    const OPENAI: Dialect = Dialect {
        bounds: &["minLength", "maxLength", "uniqueItems"],
        const_is_enum: false,
        lonely_references: true,
        is_narrow: false,
    };
    let mut schema = OPENAI.adapt(&without_root_words(schema.clone()));
    require_nullable(&mut schema);
    let is_strict = schema.get("anyOf").is_none() && schema.get("properties").is_some() && is_strict(&schema);
    (schema, is_strict)
}

/// For Anthropic, which enforces it. Bedrock takes the same.
pub(super) fn for_anthropic(schema: &Value) -> Value {
    const ANTHROPIC: Dialect = Dialect {
        bounds: &[
            "minLength",
            "maxLength",
            "pattern",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "minItems",
            "maxItems",
            "uniqueItems",
        ],
        const_is_enum: false,
        lonely_references: true,
        is_narrow: true,
    };
    ANTHROPIC.adapt(&without_root_words(schema.clone()))
}

/// For Google.
pub(super) fn for_gemini(schema: &Value) -> Value {
    const GEMINI: Dialect = Dialect {
        bounds: &[
            "minLength",
            "maxLength",
            "pattern",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "uniqueItems",
        ],
        const_is_enum: true,
        lonely_references: false,
        is_narrow: false,
    };
    GEMINI.adapt(&without_root_words(schema.clone()))
}

/// The schema without the words that only its root has, and that say nothing of what is allowed.
fn without_root_words(mut schema: Value) -> Value {
    if let Some(words) = schema.as_object_mut() {
        words.remove("$schema");
        words.remove("title");
    }
    schema
}

impl Dialect {
    fn adapt(&self, schema: &Value) -> Value {
        let Value::Object(words) = schema else { return schema.clone() };
        if let (true, Some(reference)) = (self.lonely_references, words.get("$ref")) {
            let whole = [("$ref".to_owned(), reference.clone())];
            let definitions = words.get("$defs").map(|inner| ("$defs".to_owned(), self.adapt_each(inner)));
            return Value::Object(whole.into_iter().chain(definitions).collect());
        }
        if let (true, Some(Value::Array(types))) = (self.is_narrow, words.get("type")) {
            return self.adapt(&Value::Object(of_one_type_each(words, types)));
        }
        let mut adapted = Map::new();
        let mut hints = Vec::new();
        for (word, value) in words.iter().filter(|(word, _)| !REMARKS.contains(&word.as_str())) {
            if self.bounds.contains(&word.as_str()) {
                hints.push(format!("{word}: {value}"));
                continue;
            }
            let (word, value) = match word.as_str() {
                "properties" | "$defs" | "definitions" => (word.as_str(), self.adapt_each(value)),
                "oneOf" | "anyOf" => ("anyOf", self.adapt_all(value)),
                "allOf" | "prefixItems" => (word.as_str(), self.adapt_all(value)),
                "items" | "additionalProperties" => (word.as_str(), self.adapt(value)),
                "const" if self.const_is_enum => ("enum", Value::from(vec![value.clone()])),
                _ => (word.as_str(), value.clone()),
            };
            adapted.insert(word.to_owned(), value);
        }
        if !hints.is_empty() {
            let hint = format!("{{{}}}", hints.join(", "));
            let description = match adapted.get("description").and_then(Value::as_str) {
                Some(description) => format!("{description} {hint}"),
                None => hint,
            };
            adapted.insert("description".to_owned(), description.into());
        }
        if self.is_narrow {
            if adapted.contains_key("const") || adapted.contains_key("enum") {
                adapted.remove("type");
            }
            if adapted.get("type").and_then(Value::as_str) == Some("object") {
                adapted.entry("properties").or_insert_with(|| Value::Object(Map::new()));
                adapted.insert("additionalProperties".to_owned(), false.into());
            }
        }
        Value::Object(adapted)
    }

    fn adapt_each(&self, schemas: &Value) -> Value {
        let each = schemas.as_object().into_iter().flatten();
        Value::Object(each.map(|(name, schema)| (name.clone(), self.adapt(schema))).collect())
    }

    fn adapt_all(&self, schemas: &Value) -> Value {
        Value::Array(schemas.as_array().into_iter().flatten().map(|schema| self.adapt(schema)).collect())
    }
}

/// A schema of several types as a choice of schemas with one.
fn of_one_type_each(words: &Map<String, Value>, types: &[Value]) -> Map<String, Value> {
    let (mut outer, inner): (Map<_, _>, Map<_, _>) = words
        .clone()
        .into_iter()
        .filter(|(word, _)| word != "type")
        .partition(|(word, _)| word == "description" || word == "$defs");
    let choices = types.iter().map(|kind| {
        let mut choice = if kind.as_str() == Some("null") { Map::new() } else { inner.clone() };
        choice.insert("type".to_owned(), kind.clone());
        Value::Object(choice)
    });
    outer.insert("anyOf".to_owned(), choices.collect());
    outer
}

/// Requires fields that may be null.
fn require_nullable(schema: &mut Value) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let more = properties.iter().filter(|(name, schema)| {
            takes_null(schema) && !required.iter().any(|required| required.as_str() == Some(name))
        });
        let all: Vec<Value> =
            required.iter().cloned().chain(more.map(|(name, _)| Value::from(name.as_str()))).collect();
        schema["required"] = all.into();
    }
    each_inner(schema, &mut require_nullable);
}

fn takes_null(schema: &Value) -> bool {
    let is_null = |kind: &Value| kind.as_str() == Some("null");
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_null),
        Some(kind) => is_null(kind),
        None => schema.get("anyOf").and_then(Value::as_array).is_some_and(|all| all.iter().any(takes_null)),
    }
}

fn is_strict(schema: &Value) -> bool {
    let Some(words) = schema.as_object() else { return false };
    if words.contains_key("allOf") || words.contains_key("prefixItems") {
        return false;
    }
    let says_what = ["type", "anyOf", "$ref", "enum", "const"].iter().any(|word| words.contains_key(*word));
    let kind = words.get("type").and_then(Value::as_str);
    let is_closed = kind != Some("object") || {
        let required = words.get("required").and_then(Value::as_array);
        let has = |name: &str| required.is_some_and(|all| all.iter().any(|required| required.as_str() == Some(name)));
        words.get("additionalProperties") == Some(&Value::Bool(false))
            && words.get("properties").and_then(Value::as_object).is_none_or(|all| all.keys().all(|name| has(name)))
    };
    let has_items = kind != Some("array") || words.contains_key("items");
    let mut is_inner_strict = true;
    let mut inner = schema.clone();
    each_inner(&mut inner, &mut |schema| is_inner_strict &= is_strict(schema));
    says_what && is_closed && has_items && is_inner_strict
}

/// Calls `with` for each schema directly inside.
fn each_inner(schema: &mut Value, with: &mut dyn FnMut(&mut Value)) {
    let Some(words) = schema.as_object_mut() else { return };
    for (word, value) in words.iter_mut() {
        match word.as_str() {
            "properties" | "$defs" => value.as_object_mut().into_iter().flatten().for_each(|(_, schema)| with(schema)),
            "anyOf" => value.as_array_mut().into_iter().flatten().for_each(&mut *with),
            "items" => with(value),
            "additionalProperties" if value.is_object() => with(value),
            _ => {}
        }
    }
}
