//! The form of a check's file. Separate because its comments and constants are read by lens and not by the interpreter:
//! from them come the reference and the thresholds that a service can override.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use super::CheckReference;
use crate::capture::Capture;
use crate::error::Error;
use crate::sandbox::{Outcome, QueryError, Sandbox, Script};

/// The largest check.
pub const MAX_CHECK_BYTES: usize = 16 << 10;

/// What every check can call: added below its script, so that lines keep their numbers.
const PRELUDE: &str = include_str!("prelude.star");

/// A check as it is written: a name and a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The name, which is the file's: lower case letters, digits and underscores.
    pub name: Cow<'static, str>,
    /// The script.
    pub source: Cow<'static, str>,
}

impl Check {
    /// A check that is compiled in.
    #[must_use]
    pub const fn new(name: &'static str, source: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), source: Cow::Borrowed(source) }
    }
}

/// A number from which on something is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// Its name in the script.
    pub name: String,
    /// What it is here.
    pub value: f64,
    /// What it is unless the service overrides it.
    pub default: f64,
    /// Why it is that: the comment beside it.
    pub doc: String,
}

/// A check that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) name: String,
    pub(super) skill: String,
    pub(super) skills: Vec<String>,
    doc: String,
    thresholds: Vec<Constant>,
    source: String,
    /// What the interpreter runs.
    pub(super) script: String,
    /// The same, read once.
    prepared: OnceLock<Script>,
}

/// A threshold and its line, from 0.
#[derive(Debug)]
struct Constant {
    threshold: Threshold,
    line: usize,
}

impl Parsed {
    pub(super) fn new(skill: String, check: &Check) -> Result<Self, Error> {
        let no = |why: String| Error::Check { name: check.name.to_string(), why };
        let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if check.name.is_empty() || check.name.len() > 40 || !check.name.chars().all(is_letter) {
            return Err(no("its name must be 1 to 40 lower case letters, digits and underscores".to_owned()));
        }
        if check.source.len() > MAX_CHECK_BYTES {
            return Err(no(format!("it has more than {MAX_CHECK_BYTES} bytes")));
        }
        let lines: Vec<&str> = check.source.lines().collect();
        let comment = lines.iter().map_while(|line| line.strip_prefix('#')).map(str::trim);
        let (skills, doc): (Vec<&str>, Vec<&str>) = comment.partition(|line| line.starts_with("skills:"));
        let doc = doc.join("\n").trim().to_owned();
        if doc.is_empty() {
            return Err(no("it must start with a comment that says what it finds".to_owned()));
        }
        let [skills] = skills.as_slice() else {
            return Err(no(
                "its first comment must have one line `# skills: …` with the skills that it asks".to_owned()
            ));
        };
        let skills = skills.trim_start_matches("skills:").split(',').map(|name| name.trim().to_owned()).collect();
        if !lines.iter().any(|line| line.starts_with("def main():")) {
            return Err(no("it must define `def main():`, which gives a list of findings".to_owned()));
        }
        let thresholds = lines.iter().enumerate().filter_map(|(line, text)| constant(line, text)).collect();
        let mut parsed = Self {
            name: check.name.to_string(),
            skill,
            skills,
            doc,
            thresholds,
            source: check.source.to_string(),
            script: String::new(),
            prepared: OnceLock::new(),
        };
        parsed.build();
        Ok(parsed)
    }

    /// Overrides a threshold; false if there is none of that name.
    pub(super) fn set(&mut self, name: &str, value: f64) -> bool {
        let Some(found) = self.thresholds.iter_mut().find(|constant| constant.threshold.name == name) else {
            return false;
        };
        found.threshold.value = value;
        self.build();
        true
    }

    /// Runs it over `capture`; the caller waits.
    pub(super) fn run(&self, sandbox: &Sandbox, capture: &Arc<Capture>) -> Result<Outcome, QueryError> {
        let script = match self.prepared.get() {
            Some(script) => script,
            None => {
                let script = sandbox.prepare(&self.script)?;
                self.prepared.get_or_init(|| script)
            }
        };
        sandbox.run_script(script, Arc::clone(capture))
    }

    pub(super) fn threshold_names(&self) -> impl Iterator<Item = String> {
        self.thresholds.iter().map(|constant| format!("{}.{}", self.name, constant.threshold.name))
    }

    pub(super) fn reference(&self) -> CheckReference {
        CheckReference {
            name: self.name.clone(),
            skill: self.skill.clone(),
            doc: self.doc.clone(),
            skills: self.skills.clone(),
            thresholds: self.thresholds.iter().map(|constant| constant.threshold.clone()).collect(),
            source: self.source.clone(),
        }
    }

    fn build(&mut self) {
        let mut lines: Vec<Cow<'_, str>> = self.source.lines().map(Cow::Borrowed).collect();
        for Constant { threshold, line } in &self.thresholds {
            if threshold.value.to_bits() != threshold.default.to_bits() {
                lines[*line] = Cow::Owned(format!("{} = {:?}", threshold.name, threshold.value));
            }
        }
        self.script = format!("{}\n\n{PRELUDE}", lines.join("\n"));
        self.prepared = OnceLock::new();
    }
}

/// A line `NAME = number  # why`.
fn constant(line: usize, text: &str) -> Option<Constant> {
    let (name, rest) = text.split_once(" = ")?;
    let is_letter = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    if !name.starts_with(|letter: char| letter.is_ascii_uppercase()) || !name.chars().all(is_letter) {
        return None;
    }
    let (value, doc) = rest.split_once('#')?;
    let value = value.trim().replace('_', "").parse::<f64>().ok().filter(|value| value.is_finite())?;
    let threshold = Threshold { name: name.to_owned(), value, default: value, doc: doc.trim().to_owned() };
    Some(Constant { threshold, line })
}
