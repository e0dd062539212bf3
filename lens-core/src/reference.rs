//! Everything that can be asked, in one place: the language's own functions and every skill's. Separate because a page, the
//! command line and the prompts of models are made from it, of a service as of a file.
//!
//! All of it is derived from where the functions are defined; as text it is for terminals and for prompts.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::registry::{Entry, Registry};
use crate::sandbox::{BuiltinReference, Sandbox};
use crate::signature::{Field, FunctionReference, Returns, Type};

/// The language in a few lines, for whoever reads the reference first.
pub const LANGUAGE: &str = "\
A query is a script in Starlark, a small Python: expressions, assignments, if, for, def, lambda, comprehensions, f-strings.
Its answer is the value of its last expression. Skills are called by name, as in tasks.sites(limit=3); rows have fields,
as in row.live. It sees one frozen instant: no I/O, no clock, no while, no import, no class, no try, no recursion.
A value that is not known raises its fix when it is used; available(x) asks first.
A `key` is the name of a field or a function of the item; a `span` is a text like \"90s\" or \"5m\".";

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reference {
    /// What a script is.
    pub language: String,
    /// The functions that every script can call.
    pub builtins: Vec<BuiltinReference>,
    /// The skills and their functions.
    pub skills: Vec<SkillReference>,
}

/// One skill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SkillReference {
    /// The name by which it is called.
    pub name: String,
    /// A title for people.
    pub title: String,
    /// What it knows, in one line.
    pub description: String,
    /// What to watch for.
    pub prompt: String,
    /// Why nothing can be asked of it here, and the fix.
    pub unavailable: Option<String>,
    /// What can be asked of it.
    pub functions: Vec<SkillFunction>,
}

/// One function of a skill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SkillFunction {
    /// The call as a line of code.
    pub signature: String,
    /// Its arguments and what it gives.
    #[serde(flatten)]
    pub reference: FunctionReference,
}

impl Reference {
    /// What can be asked of the skills of `registry`. No skill is read.
    #[must_use]
    pub fn of(registry: &Registry) -> Self {
        Self {
            language: LANGUAGE.to_owned(),
            builtins: Sandbox::builtins().to_vec(),
            skills: registry.entries().map(SkillReference::of).collect(),
        }
    }

    /// The reference as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n# the language's own\n", self.language, self.skills_text());
        for builtin in &self.builtins {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{}\n  {}\n  example: {}\n", builtin.signature, builtin.doc, builtin.example);
        }
        text
    }

    /// The skills and their functions as text.
    #[must_use]
    pub fn skills_text(&self) -> String {
        self.skills.iter().map(SkillReference::text).collect()
    }
}

impl SkillReference {
    /// What can be asked of one skill. It is not read.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let about = entry.about();
        let function = |reference: &FunctionReference| SkillFunction {
            signature: reference.signature(&about.name),
            reference: reference.clone(),
        };
        Self {
            name: about.name.to_string(),
            title: about.title.to_string(),
            description: about.description.to_string(),
            prompt: about.prompt.to_string(),
            unavailable: entry.absence().map(ToString::to_string),
            functions: entry.functions().into_iter().map(function).collect(),
        }
    }

    /// The skill and its functions as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(text, "\n# {}: {}\n", self.name, self.description);
        if !self.prompt.is_empty() {
            let _ = writeln!(text, "{}", self.prompt);
        }
        match &self.unavailable {
            Some(fix) if self.functions.is_empty() => {
                let _ = writeln!(text, "unavailable: {fix}");
            }
            _ => {}
        }
        for function in &self.functions {
            function.write(&mut text);
        }
        text
    }
}

impl SkillFunction {
    fn write(&self, text: &mut String) {
        let reference = &self.reference;
        let _ = write!(text, "\n{}\n  {}\n", self.signature, line(&reference.doc));
        for parameter in &reference.parameters {
            let _ = writeln!(text, "  {}: {}", parameter.name, line(&parameter.doc));
        }
        match &reference.returns {
            Returns::Rows(fields) | Returns::Record(fields) if !fields.is_empty() => {
                text.push_str("  fields:\n");
                write_fields(text, fields, 2);
            }
            _ => {}
        }
        if reference.is_free_text {
            text.push_str("  gives free text\n");
        }
        let _ = writeln!(text, "  example: {}", reference.example);
        if let Some(effect) = &reference.effect {
            let _ = writeln!(text, "  acts on the service: {effect}");
        }
    }
}

/// Docs in one line: where their source breaks them means nothing here.
fn line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn write_fields(text: &mut String, fields: &[Field], level: usize) {
    for field in fields {
        let doc = line(&field.doc);
        let _ = writeln!(text, "{:level$}{}: {}  {doc}", "", field.name, kind(field), level = level * 2);
        if let Some(within) = within(&field.holds) {
            write_fields(text, within, level + 1);
        }
    }
}

/// A field's type, unit and whether it may be absent: `float (ms), may be unavailable`.
#[must_use]
pub fn kind(field: &Field) -> String {
    let mut kind = field.holds.name();
    if let Some(unit) = &field.unit {
        let _ = write!(kind, " ({unit})");
    }
    if field.is_optional {
        kind.push_str(" | None");
    }
    if field.may_be_unavailable {
        kind.push_str(", may be unavailable");
    }
    if field.is_free_text {
        kind.push_str(", free text");
    }
    kind
}

/// The fields of the objects that a value of this type is or holds.
#[must_use]
pub fn within(holds: &Type) -> Option<&[Field]> {
    match holds {
        Type::Record(fields) if !fields.is_empty() => Some(fields),
        Type::List(of) => within(of),
        _ => None,
    }
}
