//! A stable sort that can stop. Separate from the standard library's, which can neither return an error from a comparison
//! nor be sure of an order when one was.

use std::cmp::Ordering;

use starlark::values::Value;

use crate::sandbox::guard::fault::Checked;
use crate::sandbox::guard::meter::Held;
use crate::sandbox::guard::operators::Hand;

/// An item and what it is ordered by.
pub(super) type Keyed<'v> = (Value<'v>, Value<'v>);

/// How many items are sorted by insertion before they are merged.
const RUN: usize = 8;

/// Sorts `items` by their keys: equal ones stay in their order, also when the order is reversed.
pub(super) fn sort<'v>(items: &mut Held<Keyed<'v>>, is_reversed: bool, hand: Hand<'_, 'v>) -> Checked<()> {
    let compare = hand.compare();
    let comes_first = |a: &Keyed<'v>, b: &Keyed<'v>| {
        let order = compare.order(a.1, b.1)?;
        Ok(order == if is_reversed { Ordering::Greater } else { Ordering::Less })
    };
    merge_sort(items, comes_first, hand)
}

/// Sorts `items` so that none comes before one that `comes_first`, which counts its steps.
pub(super) fn merge_sort<T: Copy>(
    items: &mut Held<T>,
    comes_first: impl Fn(&T, &T) -> Checked<bool>,
    hand: Hand<'_, '_>,
) -> Checked<()> {
    for run in items.chunks_mut(RUN) {
        for end in 1..run.len() {
            let mut at = end;
            while at > 0 && comes_first(&run[at], &run[at - 1])? {
                run.swap(at, at - 1);
                at -= 1;
            }
        }
    }
    let mut width = RUN;
    let mut merged = Held::with_capacity(items.len(), hand.meter, hand.heap)?;
    while width < items.len() {
        merged.clear();
        for pair in items.chunks(width * 2) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([a, after_a @ ..], [b, after_b @ ..]) = (left, right) {
                if comes_first(b, a)? {
                    merged.push(*b);
                    right = after_b;
                } else {
                    merged.push(*a);
                    left = after_a;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(&mut **items, &mut *merged);
        width *= 2;
    }
    Ok(())
}
