//! Arithmetic on the numbers of a state. Separate because a state may come from a file that anybody wrote: a number in it
//! can be as large as its type allows, and a function must then neither panic nor wrap around.

/// The sum of `numbers`; [`u64::MAX`] if it would be more.
#[must_use]
pub fn total(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn a_sum_stops_at_the_greatest_number() {
        assert_eq!(total([]), 0);
        assert_eq!(total([1, 2, 3]), 6);
        assert_eq!(total([u64::MAX - 1, 1]), u64::MAX);
        assert_eq!(total([u64::MAX, u64::MAX, 1]), u64::MAX);
    }
}
