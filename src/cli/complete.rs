//! What a line can be completed with: skills, functions, arguments, words that an argument takes, fields. Separate from
//! the line editor because it is a function of the reference and the text alone.

use lens_core::signature::{Field, Returns, Type};

use lens_core::reference::{self, Reference, SkillFunction};

const KEYWORDS: &[&str] = &[
    "and", "def", "elif", "else", "for", "if", "in", "lambda", "not", "or", "return", "capture", "True", "False",
    "None",
];

/// What the text before `at` can be completed with, and where the completed word begins.
pub(super) fn complete(reference: &Reference, names: &[String], text: &str, at: usize) -> (usize, Vec<String>) {
    let before = &text[..at];
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let start = before.len() - before.chars().rev().take_while(|letter| is_part(*letter)).count();
    let (head, word) = before.split_at(start);
    let mut all = if let Some(quote) = open_text(head) {
        words(reference, text, &head[..quote])
    } else if let Some(head) = head.strip_suffix('.') {
        let object = head.rsplit(|letter: char| !is_part(letter)).next().unwrap_or_default();
        parts(reference, text, object)
    } else {
        let mut all = arguments(reference, head);
        all.extend(reference.skills.iter().map(|skill| format!("{}.", skill.name)));
        all.extend(reference.builtins.iter().filter(|one| !one.name.contains('.')).map(|one| format!("{}(", one.name)));
        all.push("json.".to_owned());
        all.extend(KEYWORDS.iter().map(|word| (*word).to_owned()));
        all.extend(names.iter().cloned());
        all
    };
    all.retain(|candidate| candidate.starts_with(word) && candidate != word);
    // A list of candidates is printed as it is, and one alone is typed.
    all.retain(|candidate| !candidate.contains(lens_core::error::steers_terminal));
    all.sort();
    all.dedup();
    (start, all)
}

/// Where the text begins that is open at the end of `text`.
fn open_text(text: &str) -> Option<usize> {
    let mut open: Option<(usize, char)> = None;
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match open {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if letter == '\\' => is_escaped = true,
            Some((_, quote)) if letter == quote || letter == '\n' => open = None,
            None if matches!(letter, '"' | '\'') => open = Some((at, letter)),
            _ => {}
        }
    }
    open.map(|(at, _)| at)
}

/// After a dot: the functions of a skill, or the fields of what the text asks for.
fn parts(reference: &Reference, text: &str, object: &str) -> Vec<String> {
    if let Some(skill) = reference.skills.iter().find(|skill| skill.name == object) {
        return skill.functions.iter().map(|function| format!("{}(", function.reference.name)).collect();
    }
    if object == "json" {
        return vec!["decode(".to_owned(), "encode(".to_owned()];
    }
    fields(reference, text)
}

/// Within a text: the words that the argument takes, or the fields of what the script asks for.
fn words(reference: &Reference, text: &str, head: &str) -> Vec<String> {
    let argument = head.trim_end().strip_suffix('=').map(|head| {
        let head = head.trim_end();
        head.rsplit(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).next().unwrap_or_default()
    });
    if let (Some(function), Some(argument)) = (called(reference, head), argument) {
        let parameter = function.reference.parameters.iter().find(|parameter| parameter.name == argument);
        return match parameter.map(|parameter| &parameter.takes) {
            Some(Type::OneOf(words)) => words.clone(),
            _ => Vec::new(),
        };
    }
    fields(reference, text)
}

/// The arguments of the function within whose call `head` ends.
fn arguments(reference: &Reference, head: &str) -> Vec<String> {
    let parameters = called(reference, head).map(|function| &function.reference.parameters);
    parameters.into_iter().flatten().map(|parameter| format!("{}=", parameter.name)).collect()
}

/// The function of a skill whose call is open at the end of `head`.
fn called<'a>(reference: &'a Reference, head: &str) -> Option<&'a SkillFunction> {
    let mut closed = 0usize;
    let open = head.char_indices().rev().find(|(_, letter)| match letter {
        ')' | ']' | '}' => {
            closed += 1;
            false
        }
        '(' | '[' | '{' if closed > 0 => {
            closed -= 1;
            false
        }
        '(' | '[' | '{' => true,
        _ => false,
    });
    let (at, _) = open.filter(|(_, letter)| *letter == '(')?;
    functions(reference).find(|(name, _)| head[..at].ends_with(name.as_str())).map(|(_, function)| function)
}

/// The fields of the rows of every function that the text calls.
fn fields(reference: &Reference, text: &str) -> Vec<String> {
    fn add(all: &mut Vec<String>, fields: &[Field]) {
        for field in fields {
            all.push(field.name.clone());
            add(all, reference::within(&field.holds).unwrap_or_default());
        }
    }
    let mut all = Vec::new();
    for (name, function) in functions(reference) {
        if let Returns::Rows(fields) | Returns::Record(fields) = &function.reference.returns
            && text.contains(&format!("{name}("))
        {
            add(&mut all, fields);
        }
    }
    all
}

fn functions(reference: &Reference) -> impl Iterator<Item = (String, &SkillFunction)> {
    let of = |skill: &lens_core::reference::SkillReference| skill.name.clone();
    reference.skills.iter().flat_map(move |skill| {
        let name = of(skill);
        skill.functions.iter().map(move |function| (format!("{name}.{}", function.reference.name), function))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own::Own;

    fn completed(text: &str) -> Vec<String> {
        let mut registry = lens_core::RegistryBuilder::for_captures();
        let sandbox = lens_core::sandbox::Sandbox::new(lens_core::sandbox::Limits::default());
        registry.skill(Own::new(&Default::default(), &sandbox, &Default::default())).unwrap();
        registry.skill(lens_tokio::TasksSkill::new()).unwrap();
        complete(&Reference::of(&registry.build()), &["mine".to_owned()], text, text.len()).1
    }

    #[test]
    fn names_of_every_kind_are_completed() {
        assert_eq!(completed("[x for x in le"), ["len(", "lens."]);
        assert_eq!(completed("lens.c"), ["cost(", "coverage("]);
        assert_eq!(completed("mi"), ["min(", "mine"]);
        assert_eq!(completed("json.e"), ["encode("]);
        assert_eq!(completed("nothing.e"), [""; 0]);
        assert_eq!(completed("lens.cost("), completed(""), "no argument");
    }

    #[test]
    fn arguments_their_words_and_fields_are_completed() {
        assert_eq!(completed("tasks.sites(li"), ["limit=", "list("]);
        assert_eq!(completed("tasks.sites(by=\"liv"), ["live"]);
        assert_eq!(completed("top(lens.stores(), by=\"cap"), ["cap_count"]);
        assert_eq!(completed("[s.sto for s in lens.stores()]; s.sto"), ["store"]);
        let text = "[s.mem for s in lens.stores()]";
        let mut registry = lens_core::RegistryBuilder::for_captures();
        let sandbox = lens_core::sandbox::Sandbox::new(lens_core::sandbox::Limits::default());
        registry.skill(Own::new(&Default::default(), &sandbox, &Default::default())).unwrap();
        let within = complete(&Reference::of(&registry.build()), &[], text, "[s.mem".len());
        assert_eq!(within, (3, vec!["memory_bytes".to_owned()]), "what comes after says what `s` is");
    }

    #[test]
    fn a_name_that_steers_the_terminal_is_left_out() {
        let mut registry = lens_core::RegistryBuilder::for_captures();
        let sandbox = lens_core::sandbox::Sandbox::new(lens_core::sandbox::Limits::default());
        registry.skill(Own::new(&Default::default(), &sandbox, &Default::default())).unwrap();
        let mut reference = Reference::of(&registry.build());
        reference.skills[0].name = "zz\u{1b}[2J".to_owned();
        reference.skills[0].functions[0].reference.name = "zz\u{202e}".to_owned();
        reference.builtins[0].name = "zz\u{9b}".into();
        assert_eq!(complete(&reference, &["zzz".to_owned()], "zz", 2).1, ["zzz"]);
        reference.skills[0].name = "zz".to_owned();
        assert_eq!(complete(&reference, &[], "zz.zz", 5).1, [""; 0]);
    }
}
