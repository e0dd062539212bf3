//! What can go wrong in lens-core. Separate so that every module speaks of the same errors.

use std::borrow::Cow;
use std::io;

use serde::{Deserialize, Serialize};

use crate::reading::Unavailable;

/// A capture, a registry or a file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A skill's name cannot be used in a query.
    #[error("`{name}` cannot be a skill's name: {reason}")]
    SkillName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A function's name is a word of the query language, so no query could call it.
    #[error("`{skill}.{name}` cannot be called in a query: `{name}` is a word of the language; give it another name")]
    FunctionName {
        /// The skill.
        skill: String,
        /// The function's name.
        name: String,
    },
    /// Two skills have one name.
    #[error("two skills are called `{name}`; give one of them another name")]
    DuplicateSkill {
        /// The name.
        name: String,
    },
    /// A check is not in the form of a check, or its name is taken.
    #[error("the check `{name}` cannot be used: {why}")]
    Check {
        /// The check.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such threshold.
    #[error("there is no threshold `{name}`{}; thresholds are called `check.NAME`", crate::error::or_nearest(.nearest))]
    Threshold {
        /// The name.
        name: String,
        /// The one that was most likely meant.
        nearest: Option<String>,
    },
    /// A threshold is set to what no value can be compared with.
    #[error("the threshold `{name}` is set to {value}; it takes a finite number")]
    ThresholdValue {
        /// The name.
        name: String,
        /// What it is set to.
        value: f64,
    },
    /// The file is JSON, but no capture; or it is no JSON at all.
    #[error("this is not a lens capture: {reason}")]
    ForeignCapture {
        /// What was found instead.
        reason: String,
    },
    /// The file ends before the capture does.
    #[error("the capture is truncated: {reason}; copy or download it again")]
    TruncatedCapture {
        /// Where it ends.
        reason: String,
    },
    /// The file was written by a later lens.
    #[error("the capture has format {found}, this lens reads up to {supported}; open it with a newer lens")]
    NewerCapture {
        /// The format's version in the file.
        found: u64,
        /// The newest version that is understood here.
        supported: u64,
    },
    /// The file is larger than a capture may be.
    #[error("the file is larger than the {limit_bytes} bytes that a capture may have")]
    LargeCapture {
        /// The limit.
        limit_bytes: u64,
    },
    /// Queries cannot run in processes of their own.
    #[error("queries cannot run in processes of their own: {reason}")]
    NoWorker {
        /// What is missing.
        reason: &'static str,
    },
    /// Reading or writing failed.
    #[error("reading or writing a capture failed")]
    Io(#[from] io::Error),
    /// One of lens's threads cannot be started.
    #[error("the thread `{name}` cannot be started")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why a function gave no answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallError {
    /// An argument is wrong; the message names it and says what it takes.
    #[error("{message}")]
    Argument {
        /// The argument.
        name: String,
        /// What is wrong, and what is right.
        message: String,
        /// The nearest right word, for an unknown one.
        nearest: Option<String>,
    },
    /// There is no such skill, function, series or object.
    #[error("{message}")]
    NotFound {
        /// What was looked for.
        name: String,
        /// A sentence that says so.
        message: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// What the function reads cannot be read.
    #[error("{subject} is unavailable: {reason}")]
    Unavailable {
        /// What was asked for.
        subject: String,
        /// Why not, and the fix.
        reason: Unavailable,
    },
    /// The function panicked; its skill is reported as broken.
    #[error("`{function}` panicked: {message}")]
    Panicked {
        /// `skill.function`.
        function: String,
        /// The panic's message.
        message: String,
    },
    /// An answer is larger than an answer may be.
    #[error("{message}")]
    TooLarge {
        /// What is too large, the limit and what to do.
        message: String,
    },
}

impl CallError {
    /// There is no `what` of that name among `known`: proposes the nearest.
    #[must_use]
    pub fn not_found<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let nearest = nearest(name, known);
        let shown = shortened(name);
        let message = match &nearest {
            Some(near) => format!("there is no {what} `{shown}`; did you mean `{near}`?"),
            None => format!("there is no {what} `{shown}`"),
        };
        Self::NotFound { name: name.to_owned(), message, nearest }
    }

    /// The argument `name` is wrong: `message` says how, and what is right.
    #[must_use]
    pub fn argument(name: &str, message: impl Into<String>) -> Self {
        Self::Argument { name: name.to_owned(), message: message.into(), nearest: None }
    }
}

/// The proposal of the nearest name, if there is one.
fn or_nearest(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

/// The one of `known` that was most likely meant by `name`, if any is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Names are short; a long one is no misspelling and would only cost time.
    const LONGEST: usize = 100;
    /// The longest name that is proposed.
    const LONGEST_KNOWN: usize = 256;
    /// How many names are looked at.
    const MOST_KNOWN: usize = 4096;
    /// How many pairs of letters are compared in all: some milliseconds.
    const MOST_PAIRS: usize = 1 << 19;
    if name.len() > LONGEST {
        return None;
    }
    let letters = name.chars().count();
    let allowed = (letters / 3).max(1);
    let mut pairs = MOST_PAIRS;
    let mut distance = |candidate: &str| {
        if candidate.len() > LONGEST_KNOWN {
            return None;
        }
        let length = candidate.chars().count();
        if name.len() >= 3 && candidate.starts_with(name) {
            // It lacks the letters that follow.
            return Some(length - letters);
        }
        // Each letter that one has more is a difference.
        if length.abs_diff(letters) > allowed {
            return None;
        }
        pairs = pairs.checked_sub(length * letters)?;
        Some(strsim::damerau_levenshtein(name, candidate)).filter(|distance| *distance <= allowed)
    };
    known
        .into_iter()
        .take(MOST_KNOWN)
        .filter_map(|candidate| Some((distance(candidate)?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

/// Whether a letter would move a terminal's cursor, change its colours or turn other letters round.
#[must_use]
pub fn steers_terminal(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` with each letter that [`steers_terminal`] as its escape: what a service calls things may come from anywhere.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    replaced(text, steers_terminal, |letter| letter.escape_default().to_string())
}

/// `text` with each letter that `is_replaced` replaced `by` something else.
#[must_use]
pub fn replaced(text: &str, is_replaced: impl Fn(char) -> bool, by: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(&is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_replaced(letter) { shown.push_str(&by(letter)) } else { shown.push(letter) }
    }
    Cow::Owned(shown)
}

/// `name` as a message has room for it: a long one is cut.
#[must_use]
pub fn shortened(name: &str) -> Cow<'_, str> {
    const LONGEST: usize = 100;
    if name.len() <= LONGEST {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("{}…", &name[..name.floor_char_boundary(LONGEST)]))
}

/// Those of `known` that a message has room for, each in backquotes, with commas between them.
#[must_use]
pub fn listed<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 40;
    const MOST_BYTES: usize = 2000;
    let mut list = String::new();
    for name in known.into_iter().take(MOST) {
        let name = shortened(name);
        let between = if list.is_empty() { "" } else { ", " };
        if list.len() + between.len() + name.len() + 2 > MOST_BYTES {
            break;
        }
        list.push_str(between);
        list.push('`');
        list.push_str(&name);
        list.push('`');
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_proposes_a_misspelt_name_and_nothing_far() {
        let known = ["top", "list", "sites"];
        assert_eq!(nearest("tpo", known).as_deref(), Some("top"));
        assert_eq!(nearest("site", known).as_deref(), Some("sites"));
        assert_eq!(nearest("memory", known), None);
        assert_eq!(nearest("lis", ["listing", "lisp"]).as_deref(), Some("lisp"));
    }

    #[test]
    fn nearest_proposes_no_long_name_and_looks_at_few() {
        let name = "x".repeat(100);
        let long = format!("{name}{}", "y".repeat(1 << 20));
        assert_eq!(nearest(&name, [long.as_str()]), None);
        let near = "x".repeat(60) + &"y".repeat(40);
        let looked_at = std::cell::Cell::new(0);
        let many = std::iter::repeat_n(near.as_str(), 1 << 20).inspect(|_| looked_at.set(looked_at.get() + 1));
        assert_eq!(nearest(&name, many), None);
        assert_eq!(looked_at.get(), 4096);
    }

    #[test]
    fn names_in_messages_are_few_and_short() {
        let long = "é".repeat(1 << 20);
        assert_eq!(listed(["a", "b"]), "`a`, `b`");
        assert_eq!(shortened("a"), "a");
        assert_eq!(shortened(&long), format!("{}…", "é".repeat(50)));
        assert_eq!(listed(std::iter::repeat_n("a", 1000)).matches('a').count(), 40);
        assert!(listed(std::iter::repeat_n(long.as_str(), 1000)).len() <= 2000);
        let CallError::NotFound { message, .. } = CallError::not_found("series", &long, []) else {
            panic!("not found")
        };
        assert!(message.len() < 200, "{message}");
    }
}
