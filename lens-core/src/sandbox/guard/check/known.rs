//! What is known of a value before the script runs. Separate because it is little, and the rest of the check must treat
//! everything else as right.

use crate::registry::Entry;
use crate::signature::{Field, Returns, Type};

/// What is known of a value.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    /// Nothing.
    Nothing,
    /// It is a skill.
    Skill(&'a Entry),
    /// It is a list of rows with these fields.
    Rows(&'a [Field]),
    /// It is a row with these fields.
    Row(&'a [Field]),
    /// It is a list of objects within rows, with these fields.
    Objects(&'a [Field]),
    /// It is an object within a row, with these fields: to the script, a dict.
    Object(&'a [Field]),
    /// It is a text.
    Text,
    /// It is a list, of nothing known.
    List,
    /// It is a metric's history.
    History,
}

impl<'a> Known<'a> {
    /// What a function of a skill gives.
    pub(super) fn returned(returns: &'a Returns) -> Self {
        match returns {
            Returns::Rows(fields) if !fields.is_empty() => Self::Rows(fields),
            Returns::Record(fields) if !fields.is_empty() => Self::Row(fields),
            Returns::Rows(_) => Self::List,
            Returns::Record(_) => Self::Nothing,
            // It may as well be absent.
            Returns::Value(_) => Self::Nothing,
        }
    }

    /// What the field holds, if it is there.
    pub(super) fn held(field: &'a Field) -> Self {
        match &field.holds {
            _ if field.is_optional || field.may_be_unavailable => Self::Nothing,
            Type::Record(fields) if !fields.is_empty() => Self::Object(fields),
            Type::List(of) => match &**of {
                Type::Record(fields) if !fields.is_empty() => Self::Objects(fields),
                _ => Self::List,
            },
            Type::Text | Type::OneOf(_) | Type::Span | Type::Timestamp => Self::Text,
            _ => Self::Nothing,
        }
    }

    /// What its items are.
    pub(super) fn item(self) -> Self {
        match self {
            Self::Rows(fields) => Self::Row(fields),
            Self::Objects(fields) => Self::Object(fields),
            _ => Self::Nothing,
        }
    }

    /// A list of such items.
    pub(super) fn list(self) -> Self {
        match self {
            Self::Row(fields) => Self::Rows(fields),
            Self::Object(fields) => Self::Objects(fields),
            _ => Self::List,
        }
    }
}
