//! The greatest few of many. Separate because a million tasks are not to be sorted for ten rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Up to so many are kept aside while the others go by.
const FEW: usize = 1000;

/// The `limit` items with the greatest keys, greatest first; of equal ones, those that come first.
pub(super) fn greatest<T>(items: impl Iterator<Item = (u64, T)>, limit: u32) -> Vec<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let ranked = items.enumerate().map(|(position, (key, item))| Ranked { rank: (key, Reverse(position)), item });
    if limit > FEW {
        return greatest_of_all(ranked, limit);
    }
    // The least of those kept is on top.
    let mut kept: BinaryHeap<Reverse<Ranked<T>>> = BinaryHeap::new();
    for item in ranked {
        if kept.len() < limit {
            kept.push(Reverse(item));
        } else if let Some(mut least) = kept.peek_mut()
            && item.rank > least.0.rank
        {
            *least = Reverse(item);
        }
    }
    // Ascending by `Reverse` is descending by rank.
    kept.into_sorted_vec().into_iter().map(|kept| kept.0.item).collect()
}

/// The same for many of them: all are put in order.
fn greatest_of_all<T>(ranked: impl Iterator<Item = Ranked<T>>, limit: usize) -> Vec<T> {
    let mut all: Vec<Ranked<T>> = ranked.collect();
    if all.len() > limit {
        all.select_nth_unstable_by_key(limit, |item| Reverse(item.rank));
        all.truncate(limit);
    }
    all.sort_unstable_by_key(|item| Reverse(item.rank));
    all.into_iter().map(|item| item.item).collect()
}

/// An item with what it is ordered by.
struct Ranked<T> {
    rank: (u64, Reverse<usize>),
    item: T,
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl<T> Eq for Ranked<T> {}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_come_first_and_equal_ones_in_their_order() {
        let items = [(3, 'a'), (9, 'b'), (3, 'c'), (1, 'd'), (9, 'e')];
        let letters = |limit| greatest(items.into_iter(), limit).into_iter().collect::<String>();
        assert_eq!(letters(3), "bea");
        assert_eq!(letters(10), "beacd");
        assert_eq!(letters(0), "");
    }

    #[test]
    fn many_are_ordered_as_few_are() {
        let items: Vec<(u64, usize)> = (0..5000).map(|at| (at as u64 * 7919 % 613, at)).collect();
        let most = |limit| greatest(items.iter().copied(), limit);
        assert_eq!(most(1001)[..1000], most(1000));
        let all = most(u32::MAX);
        assert_eq!(all.len(), 5000);
        assert!(all.is_sorted_by_key(|&at| (Reverse(items[at].0), at)));
    }
}
