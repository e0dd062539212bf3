//! Comparisons of a field, as `t.busy_ms > 5`. Separate because filters are made of them: in one call, and of a row's
//! number or text without making it a value of the interpreter first, a hundred thousand take two thirds of the time. They
//! mean, raise and count as steps what reading the field and then comparing does; memory is counted for what is made.

use std::cmp::Ordering;

use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::{Value, ValueLike as _};

use super::access;
use super::fault::Checked;
use super::form;
use super::meter::BYTES_PER_STEP;
use super::operators::Hand;
use super::value::{Row, from_cell};
use crate::answer::Cell;

/// A field that was read.
enum Field<'v> {
    OfRow(Cell),
    OfOther(Value<'v>),
}

impl<'v> Field<'v> {
    /// `value.name`, and the step of what is done with it.
    #[inline]
    fn read<'a>(value: Value<'v>, name: &str, eval: &Evaluator<'v, 'a, '_>) -> Checked<(Self, Hand<'a, 'v>)> {
        let hand = Hand::new(eval)?;
        hand.meter.reads_field.set(true);
        let field = match value.downcast_ref::<Row<'v>>() {
            Some(row) => Self::OfRow(row.cell(name).ok_or_else(|| access::no_field(row, name))?),
            None => Self::OfOther(access::attribute(value, name, hand)?),
        };
        hand.meter.reads_field.set(false);
        hand.meter.tick(hand.heap)?;
        Ok((field, hand))
    }

    fn into_value(self, hand: Hand<'_, 'v>) -> Value<'v> {
        match self {
            Self::OfRow(cell) => from_cell(cell, hand.heap),
            Self::OfOther(value) => value,
        }
    }
}

#[inline]
fn order<'v>(x: Value<'v>, name: &str, b: Value<'v>, eval: &Evaluator<'v, '_, '_>) -> Checked<Ordering> {
    if let Some(row) = x.downcast_ref::<Row<'v>>()
        && let Some(a) = row.quick_float(name)
        && let Some(order) = form::number(b).and_then(|b| a.partial_cmp(&b))
    {
        // For the field, the operator and the comparison.
        let hand = Hand::new(eval)?;
        hand.meter.spend(hand.heap, 2)?;
        return Ok(order);
    }
    let (field, hand) = Field::read(x, name, eval)?;
    hand.compare().order(field.into_value(hand), b)
}

#[inline]
fn equal<'v>(x: Value<'v>, name: &str, b: Value<'v>, eval: &Evaluator<'v, '_, '_>) -> Checked<bool> {
    let (field, hand) = Field::read(x, name, eval)?;
    if let (Field::OfRow(Cell::Text(a)), Some(b)) = (&field, b.unpack_str()) {
        hand.meter.spend(hand.heap, 1 + a.len().min(b.len()) / BYTES_PER_STEP)?;
        return Ok(a == b);
    }
    hand.compare().equal(field.into_value(hand), b)
}

#[starlark_module]
pub(super) fn register(builder: &mut GlobalsBuilder) {
    fn __field_eq<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        equal(x, name, b, eval)
    }

    fn __field_ne<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(!equal(x, name, b, eval)?)
    }

    fn __field_lt<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(order(x, name, b, eval)?.is_lt())
    }

    fn __field_gt<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(order(x, name, b, eval)?.is_gt())
    }

    fn __field_le<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(order(x, name, b, eval)?.is_le())
    }

    fn __field_ge<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        Ok(order(x, name, b, eval)?.is_ge())
    }
}
