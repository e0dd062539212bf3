//! Why a query gave no answer, for people and for programs. Separate from the sandbox because HTTP, the command line and
//! a model's feedback all print it.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{CallError, replaced, steers_terminal};

/// A query that gave no answer.
///
/// `Display` is in the style of rustc:
///
/// ```text
/// error: there is no function of `tasks` called `tpo`; did you mean `top`?
///  --> query:1:1
///   |
/// 1 | tasks.tpo(limit=3)
///   | ^^^^^^^^^^^^^^^^^^
///   = help: write `top`
/// ```
///
/// As JSON it has the fields `code`, `message`, `line`, `column`, `nearest`, `help` and `printed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueryError {
    /// What went wrong, for programs.
    #[serde(rename = "code")]
    pub kind: QueryErrorKind,
    /// What went wrong, in one sentence.
    pub message: String,
    /// The line in the script, from 1.
    pub line: Option<u32>,
    /// The column in that line in characters, from 1.
    pub column: Option<u32>,
    /// The nearest name that exists, for an unknown one.
    pub nearest: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// What the script printed before.
    pub printed: Vec<String>,
    /// The script at that place.
    #[serde(skip)]
    pub excerpt: Option<Box<Excerpt>>,
}

/// A line of a script as a terminal shows it, and how much of it is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// The line; of a long one the part around what is meant.
    pub text: String,
    /// How many columns of a terminal come before what is meant.
    pub before: u32,
    /// How many columns are meant.
    pub width: u32,
}

/// What kind of error ended a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryErrorKind {
    /// The script is not in the query language.
    Syntax,
    /// A name, attribute or function in the script does not exist.
    UnknownName,
    /// A function got an argument that it does not take.
    Argument,
    /// A skill was asked for something that it does not have.
    NotFound,
    /// What was asked for cannot be read; the help is the fix.
    Unavailable,
    /// A limit of the sandbox was reached.
    Limit,
    /// The script did something that its values do not allow.
    Runtime,
    /// Whoever asked no longer waits.
    Cancelled,
    /// As many queries as allowed are running; this one was not started.
    Overloaded,
    /// A defect of lens or of a skill.
    Internal,
}

impl QueryErrorKind {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownName => "unknown_name",
            Self::Argument => "argument",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Limit => "limit",
            Self::Runtime => "runtime",
            Self::Cancelled => "cancelled",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }
}

impl QueryErrorKind {
    const ALL: [Self; 10] = [
        Self::Syntax,
        Self::UnknownName,
        Self::Argument,
        Self::NotFound,
        Self::Unavailable,
        Self::Limit,
        Self::Runtime,
        Self::Cancelled,
        Self::Overloaded,
        Self::Internal,
    ];
}

impl<'de> Deserialize<'de> for QueryErrorKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        let found = Self::ALL.into_iter().find(|kind| kind.code() == code);
        found.ok_or_else(|| serde::de::Error::custom(format!("{code:?} is no code of an error")))
    }
}

impl Serialize for QueryErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl QueryError {
    /// An error without a place in the script.
    pub(super) fn new(kind: QueryErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: said(&message.into()),
            line: None,
            column: None,
            nearest: None,
            help: None,
            printed: Vec::new(),
            excerpt: None,
        }
    }

    /// The same error, with what to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(said(&help.into()));
        self
    }
}

/// What a message says, however long and strange the names in it are.
fn said(text: &str) -> String {
    const LONGEST: usize = 4000;
    let shown = match text.get(..text.floor_char_boundary(LONGEST)) {
        Some(start) if text.len() > LONGEST => Cow::Owned(format!("{start}…")),
        _ => Cow::Borrowed(text),
    };
    let is_replaced = |letter: char| letter != '\n' && steers_terminal(letter);
    replaced(&shown, is_replaced, |letter| letter.escape_default().to_string()).into_owned()
}

impl From<CallError> for QueryError {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::Argument { nearest, .. } => Self { nearest, ..Self::new(QueryErrorKind::Argument, message) },
            CallError::NotFound { nearest, .. } => Self { nearest, ..Self::new(QueryErrorKind::NotFound, message) },
            CallError::Unavailable { reason, .. } => {
                Self::new(QueryErrorKind::Unavailable, message).help(reason.to_string())
            }
            CallError::TooLarge { .. } => Self::new(QueryErrorKind::Limit, message),
            CallError::Panicked { .. } => Self::new(QueryErrorKind::Internal, message),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "\n{margin}--> query:{line}:{column}")?;
            if let Some(excerpt) = &self.excerpt {
                let Excerpt { text, before, width } = &**excerpt;
                let (before, carets) = (" ".repeat(*before as usize), "^".repeat((*width as usize).max(1)));
                write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {before}{carets}")?;
            }
            if let Some(help) = &self.help {
                write!(f, "\n{margin} = help: {help}")?;
            }
        } else if let Some(help) = &self.help {
            write!(f, "\n = help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for QueryError {}
