//! A place in the user's script. Separate because every step before the script runs finds errors there, and all of them
//! are shown alike.

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
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        // A line that no terminal shows is cut; the caret would be off the screen anyway.
        const LONGEST: usize = 500;
        let shown = line.char_indices().nth(LONGEST).map_or(line, |(end, _)| &line[..end]);
        QueryError {
            line: Some(1 + u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX)),
            column: Some(1 + count(&self.source[line_start..self.start])),
            excerpt: Some(Box::new(Excerpt { text: shown.to_owned(), width: count(meant).clamp(1, 200) })),
            ..error
        }
    }
}
