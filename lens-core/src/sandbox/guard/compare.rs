//! Equality and order of values, within limits. Separate from the interpreter's own, which goes through all parts of both
//! values without asking for the time, and takes a value that is not known for one that differs.

use std::cmp::Ordering;

use starlark::values::structs::StructRef;
use starlark::values::{Heap, StringValue, Value};

use super::fault::{Checked, Fault};
use super::form::{self, Form, known};
use super::meter::{BYTES_PER_STEP, Meter};

/// Compares values for one query.
#[derive(Clone, Copy)]
pub(super) struct Compare<'a, 'v> {
    pub(super) meter: &'a Meter,
    pub(super) heap: &'v Heap,
}

impl<'v> Compare<'_, 'v> {
    /// Whether `a` equals `b`.
    #[inline]
    pub(super) fn equal(self, a: Value<'v>, b: Value<'v>) -> Checked<bool> {
        self.equal_at(a, b, 0)
    }

    /// How `a` and `b` are ordered.
    #[inline]
    pub(super) fn order(self, a: Value<'v>, b: Value<'v>) -> Checked<Ordering> {
        self.order_at(a, b, 0)
    }

    /// The place of the first item that equals `needle`.
    pub(super) fn position(self, items: &[Value<'v>], needle: Value<'v>) -> Checked<Option<usize>> {
        for (index, item) in items.iter().enumerate() {
            if self.equal(*item, needle)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn equal_at(self, a: Value<'v>, b: Value<'v>, depth: usize) -> Checked<bool> {
        self.meter.tick(self.heap)?;
        if let (Some(a), Some(b)) = (a.unpack_i32(), b.unpack_i32()) {
            return Ok(a == b);
        }
        if let (Some(a), Some(b)) = (a.unpack_str(), b.unpack_str()) {
            self.meter.spend(self.heap, a.len().min(b.len()) / BYTES_PER_STEP)?;
            return Ok(a == b);
        }
        known(a)?;
        known(b)?;
        if a.ptr_eq(b) {
            return Ok(true);
        }
        match (Form::of(a), Form::of(b)) {
            (Form::List(a), Form::List(b)) => self.all_equal(a, b, depth),
            (Form::Tuple(a), Form::Tuple(b)) => self.all_equal(a.content(), b.content(), depth),
            (Form::Dict(a), Form::Dict(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                let depth = self.deeper(depth)?;
                for (key, value) in a.iter_hashed() {
                    form::key(*key.key(), self.heap)?;
                    match b.get_hashed(key) {
                        Some(other) if self.equal_at(value, other, depth)? => {}
                        _ => return Ok(false),
                    }
                }
                Ok(true)
            }
            (Form::Struct(fields), Form::Struct(others)) => {
                if fields.iter().len() != others.iter().len() {
                    return Ok(false);
                }
                let depth = self.deeper(depth)?;
                for (name, value) in fields.iter() {
                    match b.get_attr(name.as_str(), self.heap)? {
                        Some(other) if self.equal_at(value, other, depth)? => {}
                        _ => return Ok(false),
                    }
                }
                Ok(true)
            }
            (Form::Set, Form::Set) => {
                if a.length()? != b.length()? {
                    return Ok(false);
                }
                for item in a.iterate(self.heap)? {
                    form::key(item, self.heap)?;
                    self.meter.tick(self.heap)?;
                    if !b.is_in(item)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            // At least one of them has no parts, or they are of different kinds.
            (one, other) if one.is_leaf() || other.is_leaf() => a.equals(b),
            _ => Ok(false),
        }
    }

    fn all_equal(self, a: &[Value<'v>], b: &[Value<'v>], depth: usize) -> Checked<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        let depth = self.deeper(depth)?;
        for (a, b) in a.iter().zip(b) {
            if !self.equal_at(*a, *b, depth)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn order_at(self, a: Value<'v>, b: Value<'v>, depth: usize) -> Checked<Ordering> {
        self.meter.tick(self.heap)?;
        if let (Some(a), Some(b)) = (a.unpack_i32(), b.unpack_i32()) {
            return Ok(a.cmp(&b));
        }
        if let (Some(a), Some(b)) = (a.unpack_str(), b.unpack_str()) {
            self.meter.spend(self.heap, a.len().min(b.len()) / BYTES_PER_STEP)?;
            return Ok(a.cmp(b));
        }
        // What most filters compare. Of a NaN the interpreter says where it belongs.
        if let (Some(a), Some(b)) = (form::number(a), form::number(b))
            && let Some(order) = a.partial_cmp(&b)
        {
            return Ok(order);
        }
        known(a)?;
        known(b)?;
        match (Form::of(a), Form::of(b)) {
            (Form::List(a), Form::List(b)) => self.all_ordered(a, b, depth),
            (Form::Tuple(a), Form::Tuple(b)) => self.all_ordered(a.content(), b.content(), depth),
            (Form::Struct(a), Form::Struct(b)) => {
                let sorted = |fields: &StructRef<'v>| -> Checked<Vec<(StringValue<'v>, Value<'v>)>> {
                    let mut fields: Vec<(StringValue<'v>, Value<'v>)> = fields.iter().collect();
                    // Each name is compared as often as the fields can be halved, and once with that of the other struct.
                    let bytes: usize = fields.iter().map(|(name, _)| name.as_str().len()).sum();
                    let rounds = fields.len().checked_ilog2().map_or(0, |halvings| halvings as usize + 2);
                    self.meter.spend(self.heap, rounds * (fields.len() + bytes / BYTES_PER_STEP))?;
                    fields.sort_by_key(|(name, _)| name.as_str());
                    Ok(fields)
                };
                let (a, b) = (sorted(&a)?, sorted(&b)?);
                let by_length = a.len().cmp(&b.len());
                if by_length.is_ne() {
                    return Ok(by_length);
                }
                let depth = self.deeper(depth)?;
                for ((a_name, a), (b_name, b)) in a.into_iter().zip(b) {
                    let by_name = a_name.as_str().cmp(b_name.as_str());
                    let order = if by_name.is_ne() { by_name } else { self.order_at(a, b, depth)? };
                    if order.is_ne() {
                        return Ok(order);
                    }
                }
                Ok(Ordering::Equal)
            }
            (Form::Int | Form::Float(_), Form::Int | Form::Float(_)) => a.compare(b),
            (Form::Bool(_), Form::Bool(_)) => a.compare(b),
            _ => Err(Fault::runtime(format!("{} and {} have no order", form::kind(a), form::kind(b)))
                .help("compare a number or a text of them, as with `key=`")
                .into()),
        }
    }

    fn all_ordered(self, a: &[Value<'v>], b: &[Value<'v>], depth: usize) -> Checked<Ordering> {
        let depth = self.deeper(depth)?;
        for (a, b) in a.iter().zip(b) {
            let order = self.order_at(*a, *b, depth)?;
            if order.is_ne() {
                return Ok(order);
            }
        }
        Ok(a.len().cmp(&b.len()))
    }

    fn deeper(self, depth: usize) -> Checked<usize> {
        let limit = self.meter.limits.nesting;
        if depth < limit {
            return Ok(depth + 1);
        }
        Err(Fault::limit(
            format!("these values are nested deeper than the limit of {limit} (`nesting`)"),
            "compare parts of them",
        )
        .into())
    }
}
