//! Queries line by line, with history, completion and functions over several lines. Separate from the single query
//! because only here something is remembered: what was defined is put before the next query.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Cmd, CompletionType, Config, Context, Editor, Event, Helper, KeyCode, KeyEvent, Modifiers};

use super::complete::complete;
use super::target::{Failure, Target};
use super::{Shape, show};
use lens_core::reference::Reference;

const HELP: &str = "\
A query is Starlark, a small Python; its answer is the value of its last expression.
  tasks.sites(by=\"busy\", limit=5)                  a function of a skill
  [w.state for w in runtime.workers()]             rows have fields
  Tab completes skills, functions, arguments and fields. An open bracket or a `:` continues on the next line; an empty
  line ends a block. What you define stays: `def f(x): …`, `ws = runtime.workers()`.

  :help NAME   a skill, a function or a helper        :help all   the whole reference
  :json        answers as JSON                        :table      answers as tables
  :forget      drops what was defined                 :quit       ends (Ctrl-D too)";

/// Reads and answers queries until the input ends.
pub(super) fn run(target: &dyn Target, name: &str) -> Result<(), Failure> {
    let reference = target.reference()?;
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let terminal = |error: ReadlineError| Failure::Command(format!("the terminal cannot be used: {error}"));
    let mut editor: Editor<Line, FileHistory> = Editor::with_config(config).map_err(terminal)?;
    editor.set_helper(Some(Line { reference, names: Vec::new() }));
    // Enter in the middle of a query sends it, as at its end.
    editor.bind_sequence(
        Event::KeySeq(vec![KeyEvent(KeyCode::Enter, Modifiers::NONE)]),
        Cmd::AcceptOrInsertLine { accept_in_the_middle: true },
    );
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    show::say(format_args!("lens {} · {name} · :help", env!("CARGO_PKG_VERSION")));
    let mut session = Session { defined: String::new(), shape: Shape::Table, told: HashSet::new() };
    loop {
        match editor.readline("lens> ") {
            Ok(line) => {
                if line.trim() == ":quit" {
                    break;
                }
                if let Some(helper) = editor.helper_mut() {
                    session.answer(target, helper, &line);
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal(error)),
        }
    }
    if let Some(file) = history
        && let Err(error) = keep(&mut editor, &file)
    {
        show::note(format_args!("the history cannot be kept in {}: {error}", file.display()));
    }
    Ok(())
}

fn keep(editor: &mut Editor<Line, FileHistory>, file: &std::path::Path) -> rustyline::Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    editor.save_history(file)
}

/// Where the queries of earlier sessions are: below the state directory of the user.
fn history_file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("lens/history"))
}

/// What is remembered between two queries.
struct Session {
    /// What was defined so far, as a script.
    defined: String,
    shape: Shape,
    /// The gaps that were told, which would be after each answer.
    told: HashSet<String>,
}

impl Session {
    fn answer(&mut self, target: &dyn Target, line: &mut Line, text: &str) {
        let asked = text.trim();
        match asked.split_once(char::is_whitespace).unwrap_or((asked, "")) {
            ("", _) => {}
            (":help", "") => show::say(HELP),
            (":help", name) => show::say(help(&line.reference, name.trim())),
            (":json", _) => self.shape = Shape::Json,
            (":table", _) => self.shape = Shape::Table,
            (":forget", _) => {
                self.defined.clear();
                line.names.clear();
            }
            (command, _) if command.starts_with(':') => {
                show::say(format_args!("there is no {command}; :help lists what there is"))
            }
            _ => self.ask(target, line, text),
        }
    }

    /// Whether a gap was not told yet, but for its figures.
    fn is_news(&mut self, gap: &str) -> bool {
        self.told.insert(gap.chars().filter(|letter| !letter.is_ascii_digit()).collect())
    }

    fn ask(&mut self, target: &dyn Target, line: &mut Line, text: &str) {
        let before = self.defined.lines().count();
        let names = defined(text);
        match target.ask(&format!("{}{text}\n", self.defined)) {
            Ok(reply) => {
                // An assignment has no value to show, and `main` defined earlier is no answer to it.
                if names.is_empty() || !ends_in_definition(text) {
                    show::value(&reply, self.shape);
                    show::gaps(&reply).iter().filter(|gap| self.is_news(gap)).for_each(show::note);
                    show::note(format_args!("# {}", show::cost(&reply)));
                }
                if !names.is_empty() {
                    self.defined.push_str(text.trim_end());
                    self.defined.push('\n');
                    line.names.extend(names);
                }
            }
            Err(Failure::Query(rendered)) => show::note(moved(&rendered, before)),
            Err(failure) => show::note(failure),
        }
    }
}

/// The names that a query defines at its top level.
fn defined(text: &str) -> Vec<String> {
    let is_name = |name: &str| {
        name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let name = |line: &str| match line.strip_prefix("def ") {
        Some(rest) => rest.split('(').next().map(|name| name.trim().to_owned()),
        None => {
            let (name, rest) = line.split_once('=')?;
            (!rest.starts_with('=')).then(|| name.trim().to_owned())
        }
    };
    let outer = text.lines().filter(|line| !line.starts_with([' ', '\t']));
    outer.filter_map(name).filter(|name| is_name(name)).collect()
}

/// Whether a query's last statement defines something: then it has no value.
fn ends_in_definition(text: &str) -> bool {
    let is_outer = |line: &&str| !line.trim().is_empty() && !line.starts_with([' ', '\t', ')', ']', '}', '#']);
    text.lines().rev().find(is_outer).is_some_and(|line| !defined(line).is_empty())
}

/// An error whose place counts from the query, not from what was defined before it.
fn moved(rendered: &str, before: usize) -> String {
    let Some(line) = line_of(rendered).filter(|line| *line > before) else { return rendered.to_owned() };
    let (old, new) = (line.to_string(), (line - before).to_string());
    let padded = format!("{new:>width$}", width = old.len());
    let mut text = rendered.replacen(&format!("--> query:{old}:"), &format!("--> query:{new}:"), 1);
    if let Some(at) = text.find(&format!("\n{old} | ")) {
        text.replace_range(at + 1..at + 1 + old.len(), &padded);
    }
    text
}

fn line_of(rendered: &str) -> Option<usize> {
    let (_, place) = rendered.split_once("--> query:")?;
    place.split(':').next()?.parse().ok()
}

/// What the reference says of a skill, a function or a helper.
fn help(reference: &Reference, name: &str) -> String {
    if name == "all" {
        return reference.text();
    }
    let name = name.trim_end_matches(['(', ')', '.']);
    if let Some(builtin) = reference.builtins.iter().find(|builtin| builtin.name == name) {
        return format!("{}\n  {}\n  example: {}", builtin.signature, builtin.doc, builtin.example);
    }
    let (skill, function) = name.split_once('.').map_or((name, None), |(skill, function)| (skill, Some(function)));
    let mut part = reference.clone();
    part.builtins.clear();
    part.skills.retain(|known| known.name == skill);
    for known in &mut part.skills {
        known.functions.retain(|known| function.is_none_or(|function| known.reference.name == function));
    }
    let is_found = part.skills.iter().any(|known| function.is_none() || !known.functions.is_empty());
    if is_found {
        return part.skills_text().trim().to_owned();
    }
    let skills = reference.skills.iter().flat_map(|skill| {
        let functions = skill.functions.iter().map(|function| format!("{}.{}", skill.name, function.reference.name));
        std::iter::once(skill.name.clone()).chain(functions)
    });
    let known: Vec<String> = skills.chain(reference.builtins.iter().map(|builtin| builtin.name.clone())).collect();
    match lens_core::error::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("nothing is called {name}; did you mean {near}?"),
        None => format!("nothing is called {name}; :help all shows everything"),
    }
}

/// The line editor's view of the language.
struct Line {
    reference: Reference,
    /// What was defined in this session.
    names: Vec<String>,
}

impl Helper for Line {}

impl Hinter for Line {
    type Hint = String;
}

impl Highlighter for Line {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Borrowed(prompt)
    }
}

impl Completer for Line {
    type Candidate = Pair;

    fn complete(&self, text: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, words) = complete(&self.reference, &self.names, text, at);
        Ok((start, words.into_iter().map(|word| Pair { display: word.clone(), replacement: word }).collect()))
    }
}

impl Validator for Line {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Whether nothing is missing at the query's end: brackets and long texts are closed, and a block was ended by an empty
/// line.
fn is_whole(text: &str) -> bool {
    let mut open = 0usize;
    let mut quote: Option<&str> = None;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let mut step = letter.len_utf8();
        match quote {
            Some(end) if rest.starts_with(end) => {
                step = end.len();
                quote = None;
            }
            Some(_) if letter == '\\' => step += rest[1..].chars().next().map_or(0, char::len_utf8),
            // The parser will say that it is not closed.
            Some(end) if end.len() == 1 && letter == '\n' => quote = None,
            Some(_) => {}
            None => match letter {
                '#' => step = rest.find('\n').unwrap_or(rest.len()),
                '"' | '\'' => {
                    let long = ["\"\"\"", "'''"].into_iter().find(|long| rest.starts_with(long));
                    let end = long.unwrap_or(if letter == '"' { "\"" } else { "'" });
                    step = end.len();
                    quote = Some(end);
                }
                '(' | '[' | '{' => open += 1,
                ')' | ']' | '}' => open = open.saturating_sub(1),
                _ => {}
            },
        }
        rest = &rest[step..];
    }
    if open > 0 || quote.is_some_and(|quote| quote.len() == 3) {
        return false;
    }
    let opens_block = |line: &str| line.split('#').next().unwrap_or_default().trim_end().ends_with(':');
    let has_block = text.lines().any(opens_block);
    !has_block || text.ends_with('\n') || text.lines().last().is_some_and(|last| last.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_goes_on_while_something_is_open() {
        for whole in ["1 + 1", "f(\n1)", "def f():\n    return 1\n", "\"a(\"", "x = {\"a\": 1}", "# [", "\"open"] {
            assert!(is_whole(whole), "{whole:?}");
        }
        for part in ["f(", "[\n1,", "def f():", "def f():\n    return 1", "\"\"\"a", "if x: # why\n    y"] {
            assert!(!is_whole(part), "{part:?}");
        }
    }

    #[test]
    fn definitions_are_told_from_questions() {
        assert_eq!(defined("def f(x):\n    y = 1\n    return y"), ["f"]);
        assert_eq!(defined("xs = [1]\nxs == 2\nf(a=1)"), ["xs"]);
        assert!(ends_in_definition("x = 1"));
        assert!(ends_in_definition("def f():\n    return 1\n"));
        assert!(!ends_in_definition("x = 1\nx"));
        assert!(!ends_in_definition("x == 1"));
    }

    #[test]
    fn an_error_is_counted_from_the_query() {
        let rendered = "error: no\n  --> query:12:3\n   |\n12 | abc\n   |   ^";
        assert_eq!(moved(rendered, 10), "error: no\n  --> query:2:3\n   |\n 2 | abc\n   |   ^");
        assert_eq!(moved(rendered, 12), rendered, "it is in what was defined before");
    }
}
