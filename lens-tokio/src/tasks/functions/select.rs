//! The greatest few of many. Separate because a million tasks are not to be sorted for ten rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The `limit` greatest by `key`, greatest first; of equal ones, those that come first.
pub(super) fn greatest<'a, T>(items: impl Iterator<Item = &'a T>, limit: u32, key: impl Fn(&T) -> u64) -> Vec<&'a T> {
    struct Kept<'a, T> {
        rank: (u64, Reverse<usize>),
        item: &'a T,
    }
    impl<T> PartialEq for Kept<'_, T> {
        fn eq(&self, other: &Self) -> bool {
            self.rank == other.rank
        }
    }
    impl<T> Eq for Kept<'_, T> {}
    impl<T> PartialOrd for Kept<'_, T> {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl<T> Ord for Kept<'_, T> {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.rank.cmp(&other.rank)
        }
    }

    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // The least of those kept is on top.
    let mut kept: BinaryHeap<Reverse<Kept<'a, T>>> = BinaryHeap::new();
    for (position, item) in items.enumerate() {
        let rank = (key(item), Reverse(position));
        if kept.len() < limit {
            kept.push(Reverse(Kept { rank, item }));
        } else if let Some(mut least) = kept.peek_mut()
            && rank > least.0.rank
        {
            *least = Reverse(Kept { rank, item });
        }
    }
    // Ascending by `Reverse` is descending by rank.
    kept.into_sorted_vec().into_iter().map(|kept| kept.0.item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_come_first_and_equal_ones_in_their_order() {
        let items = [(3, 'a'), (9, 'b'), (3, 'c'), (1, 'd'), (9, 'e')];
        let letters =
            |limit| greatest(items.iter(), limit, |item| item.0).into_iter().map(|item| item.1).collect::<String>();
        assert_eq!(letters(3), "bea");
        assert_eq!(letters(10), "beacd");
        assert_eq!(letters(0), "");
    }
}
