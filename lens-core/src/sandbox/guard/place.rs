//! A place in the user's script. Separate because every step before the script runs finds errors there, and all of them
//! are shown alike.

use unicode_width::UnicodeWidthStr as _;

use crate::error::{replaced, steers_terminal};
use crate::sandbox::error::{Excerpt, QueryError, QueryErrorKind};

/// A range of bytes of a script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    source: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Place<'a> {
    /// The place from `start` to `end`; either is moved to the nearest character before it.
    pub(super) fn new(source: &'a str, start: usize, end: usize) -> Self {
        let start = source.floor_char_boundary(start.min(source.len()));
        let end = source.floor_char_boundary(end.clamp(start, source.len()));
        Self { source, start, end }
    }

    /// An error here.
    #[cold]
    pub(super) fn error(self, kind: QueryErrorKind, message: impl Into<String>) -> QueryError {
        self.locate(QueryError::new(kind, message))
    }

    /// The same error, here.
    #[cold]
    pub(super) fn locate(self, error: QueryError) -> QueryError {
        let before = &self.source[..self.start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &self.source[line_start..];
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let meant = self.source[self.start..self.end].split(['\n', '\r']).next().unwrap_or_default();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (prefix, rest) = (&before[line_start..], &line[self.start.min(line_start + line.len()) - line_start..]);
        let shown_prefix = match prefix.char_indices().nth_back(MOST_BEFORE) {
            Some((start, _)) => format!("…{}", shown(&prefix[start..])),
            None => shown(prefix),
        };
        let shown_rest = match rest.char_indices().nth(MOST_FROM) {
            Some((end, _)) => format!("{}…", shown(&rest[..end])),
            None => shown(rest),
        };
        let width = shown(meant).width().clamp(1, MOST_FROM);
        QueryError {
            line: Some(1 + count(before.matches('\n').count())),
            column: Some(1 + count(prefix.chars().count())),
            excerpt: Some(Box::new(Excerpt {
                before: count(shown_prefix.width()),
                text: shown_prefix + &shown_rest,
                width: count(width),
            })),
            ..error
        }
    }
}

/// How many characters of a line are shown before what is meant.
const MOST_BEFORE: usize = 150;
/// How many characters are shown from there.
const MOST_FROM: usize = 200;

/// A part of a line as every terminal shows it.
fn shown(part: &str) -> String {
    let by = |letter: char| if letter == '\t' { " " } else { "\u{fffd}" }.to_owned();
    replaced(part, steers_terminal, by).into_owned()
}
