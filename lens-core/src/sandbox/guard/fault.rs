//! An error that lens itself raises in a script, as it travels through the interpreter. Separate because it is the one
//! place where a [`QueryError`] without a position becomes an error of the interpreter and comes back out of it.

use std::fmt;

use crate::error::CallError;
use crate::sandbox::error::{QueryError, QueryErrorKind};

/// The result of everything that a script calls.
pub(super) type Checked<T> = starlark::Result<T>;

/// What lens raises; the place is added when it comes out of the interpreter.
#[derive(Clone, Debug)]
pub(super) struct Fault(pub(super) QueryError);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(super) fn new(kind: QueryErrorKind, message: impl Into<String>) -> Self {
        Self(QueryError::new(kind, message))
    }

    /// The script did something that its values do not allow.
    #[cold]
    pub(super) fn runtime(message: impl Into<String>) -> Self {
        Self::new(QueryErrorKind::Runtime, message)
    }

    /// An argument is wrong.
    #[cold]
    pub(super) fn argument(message: impl Into<String>) -> Self {
        Self::new(QueryErrorKind::Argument, message)
    }

    /// A limit was reached: which, its value, and what to do.
    #[cold]
    pub(super) fn limit(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self(QueryError::new(QueryErrorKind::Limit, message).help(help))
    }

    #[cold]
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self(self.0.help(help))
    }

    #[cold]
    pub(super) fn nearest(mut self, nearest: Option<String>) -> Self {
        self.0.nearest = nearest;
        self
    }
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        Self(error.into())
    }
}

impl From<Fault> for starlark::Error {
    #[cold]
    fn from(fault: Fault) -> Self {
        Self::new_other(fault)
    }
}
