//! What is known of the language's own functions: read off their definitions, which carry signature and example in their
//! docs. Separate because the check and the reference page read it; running a script does not.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use starlark::docs::{DocFunction, DocItem, DocMember, DocModule, DocParam};

use super::globals;

/// A function that every script can call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltinReference {
    /// Its name: `where`, `json.encode`.
    pub name: String,
    /// The call as a line of code: `top(xs: list, n: int = 10, by: key = None) -> list`. A `key` is a field's name or a
    /// function of the item.
    pub signature: String,
    /// What it gives.
    pub doc: String,
    /// A call that works on any service.
    pub example: String,
    /// What it takes.
    pub parameters: Vec<BuiltinParameter>,
}

/// One argument of a function of the language's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltinParameter {
    /// Its name.
    pub name: String,
    /// How it is given.
    pub given: Given,
    /// Whether it must be given.
    pub is_required: bool,
}

/// How an argument is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// By its place only.
    ByPlace,
    /// By its place or by its name.
    Either,
    /// By its name only.
    ByName,
    /// As many as there are, by place.
    Rest,
    /// As many as there are, by any name.
    AnyName,
}

/// Two functions whose docs are not beside them: the interpreter's own `type`, and `len`, which stands for its own.
const INTERPRETERS: &[(&str, &str, &str, &str)] = &[
    (
        "len",
        "len(x: str | list | dict | set) -> int",
        "How many items a value has, or a text characters.",
        "len([1, 2])",
    ),
    ("type", "type(x: any) -> str", "The name of a value's type.", "type(1) == \"int\""),
];

/// All of them, in alphabetical order.
pub(in crate::sandbox) fn all() -> &'static [BuiltinReference] {
    static ALL: OnceLock<Vec<BuiltinReference>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        collect("", &globals().documentation(), &mut all);
        all.sort_by(|one: &BuiltinReference, other| one.name.cmp(&other.name));
        all
    })
}

fn collect(prefix: &str, module: &DocModule, all: &mut Vec<BuiltinReference>) {
    for (name, item) in &module.members {
        let full = format!("{prefix}{name}");
        match item {
            // A name that begins with two underscores cannot be written in a script.
            DocItem::Member(DocMember::Function(function)) if !name.starts_with("__") => all.push(of(full, function)),
            DocItem::Module(within) => collect(&format!("{full}."), within, all),
            _ => {}
        }
    }
}

fn of(name: String, function: &DocFunction) -> BuiltinReference {
    let docs = function.docs.as_ref();
    let details = docs.and_then(|docs| docs.details.as_deref()).unwrap_or_default();
    let line = |marker: &str| {
        let found = details.lines().find_map(|line| line.trim().strip_prefix(marker));
        found.unwrap_or_default().trim().trim_matches('`').to_owned()
    };
    let own = INTERPRETERS.iter().find(|(known, ..)| *known == name);
    let (signature, doc, example) = match own {
        Some((_, signature, doc, example)) => ((*signature).to_owned(), (*doc).to_owned(), (*example).to_owned()),
        None => (line("Call:"), docs.map(|docs| docs.summary.clone()).unwrap_or_default(), line("Example:")),
    };
    let parameter = |given: Given| {
        move |parameter: &DocParam| BuiltinParameter {
            name: parameter.name.clone(),
            given,
            is_required: parameter.default_value.is_none() && !matches!(given, Given::Rest | Given::AnyName),
        }
    };
    let takes = &function.params;
    let parameters = (takes.pos_only.iter().map(parameter(Given::ByPlace)))
        .chain(takes.pos_or_named.iter().map(parameter(Given::Either)))
        .chain(takes.args.iter().map(parameter(Given::Rest)))
        .chain(takes.named_only.iter().map(parameter(Given::ByName)))
        .chain(takes.kwargs.iter().map(parameter(Given::AnyName)))
        .collect();
    BuiltinReference { name, signature, doc, example, parameters }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the parameters in a signature, without their types and defaults.
    fn named(signature: &str) -> Vec<String> {
        let (_, rest) = signature.split_once('(').unwrap();
        let (inner, _) = rest.rsplit_once(") ->").unwrap();
        let mut depth = 0;
        let parts = inner.split(|letter| {
            depth += i32::from("([{".contains(letter)) - i32::from(")]}".contains(letter));
            letter == ',' && depth == 0
        });
        let name = |part: &str| part.split([':', '=']).next().unwrap().trim().trim_start_matches('*').to_owned();
        parts.map(name).filter(|name| !name.is_empty()).collect()
    }

    #[test]
    fn each_has_docs_and_a_signature_of_its_own_parameters() {
        assert!(all().len() > 45, "{}", all().len());
        for function in all() {
            assert!(!function.doc.is_empty() && !function.example.is_empty(), "{function:?}");
            assert!(function.signature.starts_with(&format!("{}(", function.name)), "{function:?}");
            assert!(
                function.example.contains(&format!("{}(", function.name)) || function.name == "map",
                "{function:?}"
            );
            // These two take whatever they are given; the interpreter's docs of their parameters say no more.
            if !matches!(function.name.as_str(), "dict" | "struct" | "len" | "type") {
                let names: Vec<&str> = function.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
                assert_eq!(named(&function.signature), names, "{}", function.signature);
            }
        }
    }
}
