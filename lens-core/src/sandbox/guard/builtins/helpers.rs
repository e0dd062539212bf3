//! What everyone reaches for in a query: to filter, group, rank and summarize rows. Separate from Starlark's own library,
//! and in Rust rather than in a prelude of Starlark, because they go through whole answers of skills.
//!
//! A `key` is the name of a field (of a row, a struct or a dict) or a function of the item.

use std::cmp::Ordering;
use std::collections::HashSet;

use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::list::AllocList;
use starlark::values::structs::AllocStruct;
use starlark::values::tuple::UnpackTuple;
use starlark::values::{Heap, StringValue, UnpackValue as _, Value};

use super::collections::ask;
use super::sort::{merge_sort, sort};
use crate::error::shortened;
use crate::sandbox::guard::fault::{Checked, Fault};
use crate::sandbox::guard::form::{self, ENTRY_BYTES, known};
use crate::sandbox::guard::lists::{int, items_of, number, text};
use crate::sandbox::guard::meter::{BYTES_PER_STEP, Held};
use crate::sandbox::guard::methods::callable;
use crate::sandbox::guard::namespace::History;
use crate::sandbox::guard::operators::{Hand, add, multiply};
use crate::sandbox::guard::value::{Unavailable, WIDE_INT_BYTES};
use crate::sandbox::guard::{access, tables};

/// The bytes of the digits of the largest float.
const FLOAT_DIGITS_BYTES: usize = 1024 / 8;

/// How to read one thing off an item.
#[derive(Clone, Copy)]
enum Key<'v> {
    Item,
    Field(&'v str),
    Function(Value<'v>),
}

impl<'v> Key<'v> {
    fn of(key: Option<Value<'v>>) -> Checked<Self> {
        match key {
            None => Ok(Self::Item),
            Some(key) if key.is_none() => Ok(Self::Item),
            Some(key) => match key.unpack_str() {
                Some(name) => Ok(Self::Field(name)),
                None => {
                    callable(key).map_err(|_| {
                        Fault::argument(format!("a key is a field's name or a function, not {}", form::kind(key)))
                            .help("write \"busy_ms\" or `lambda t: t.busy_ms`")
                    })?;
                    Ok(Self::Function(key))
                }
            },
        }
    }

    fn read(self, item: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
        match self {
            Self::Item => {
                Hand::new(eval)?;
                Ok(item)
            }
            Self::Field(name) => access::field(item, name, Hand::new(eval)?),
            Self::Function(function) => ask(function, item, eval),
        }
    }

    /// What it reads off each of `items`.
    fn read_all(self, items: &[Value<'v>], eval: &mut Evaluator<'v, '_, '_>) -> Checked<Held<Value<'v>>> {
        let hand = Hand::new(eval)?;
        let mut values = Held::with_capacity(items.len(), hand.meter, hand.heap)?;
        for item in items {
            values.push(self.read(*item, eval)?);
        }
        Ok(values)
    }
}

/// There is no number because there is nothing to take it of.
fn nothing<'v>(of: &str, heap: &'v Heap) -> Value<'v> {
    Unavailable::alloc("no_values", format!("there are no values to take the {of} of"), heap)
}

/// The numbers of `values`, none of which may be unknown.
fn numbers<'v>(of: &str, values: &[Value<'v>], hand: Hand<'_, 'v>) -> Checked<Held<f64>> {
    hand.meter.spend(hand.heap, values.len())?;
    let mut numbers = Held::with_capacity(values.len(), hand.meter, hand.heap)?;
    for value in values {
        numbers.push(number(of, *value)?);
    }
    Ok(numbers)
}

#[expect(clippy::cast_precision_loss, reason = "a list has at most some millions of items")]
fn mean_of(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

/// The place of the percentile `percent` among `count` sorted values: the nearest rank.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are 0 to 100 percent, so the rank is within 1 and the count"
)]
fn rank(count: usize, percent: f64) -> usize {
    // More than two roundings can have added.
    const ERROR: f64 = 4.0 * f64::EPSILON;
    ((percent * count as f64 / 100.0 * (1.0 - ERROR)).ceil() as usize).clamp(1, count.max(1)) - 1
}

/// A dict's entries, the largest value first.
fn largest_first<'v>(dict: Value<'v>, hand: Hand<'_, 'v>) -> Checked<Value<'v>> {
    let entries = starlark::values::dict::DictRef::from_value(dict);
    let mut pairs = Held::with_capacity(entries.as_ref().map_or(0, |dict| dict.len()), hand.meter, hand.heap)?;
    pairs.extend(entries.iter().flat_map(|dict| dict.iter()));
    drop(entries);
    sort(&mut pairs, true, hand)?;
    let sorted = tables::new_dict(hand.heap);
    for (key, value) in pairs.iter() {
        tables::insert(sorted, *key, *value, hand)?;
    }
    Ok(sorted)
}

/// A number with one or two digits after the point, and the largest unit of `units` that it reaches.
fn human(value: f64, units: &[(f64, &str)]) -> String {
    let in_unit = |index: usize| {
        let (size, unit) = units.get(index).copied().unwrap_or((1.0, ""));
        let scaled = value / size;
        let digits = match scaled.abs() {
            _ if scaled.fract() == 0.0 => 0,
            100.0.. => 0,
            10.0.. => 1,
            _ => 2,
        };
        (format!("{scaled:.digits$}"), size, unit)
    };
    let reached = units.iter().rposition(|(size, _)| value.abs() >= *size).unwrap_or(0);
    let (mut number, size, mut unit) = in_unit(reached);
    // Rounded up, it may reach the next one.
    let rounded = number.parse::<f64>().unwrap_or(value).abs() * size;
    if units.get(reached + 1).is_some_and(|(next, _)| rounded >= *next) {
        (number, _, unit) = in_unit(reached + 1);
    }
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    let number = if number == "-0" { "0" } else { number };
    format!("{number} {unit}")
}

#[starlark_module]
pub(super) fn register(builder: &mut GlobalsBuilder) {
    /// The items for which a function (or a field) is true.
    ///
    /// Call: `where(xs: list, is: key) -> list`
    ///
    /// Example: `where(runtime.workers(), lambda w: w.state == "no_progress")`
    fn r#where<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        #[starlark(require = pos)] is: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let is = Key::of(Some(is))?;
        let items = items_of(xs, hand)?;
        let mut kept = Held::with_capacity(items.len(), hand.meter, hand.heap)?;
        for item in items.iter().copied() {
            let answer = is.read(item, eval)?;
            known(answer)?;
            if answer.to_bool() {
                kept.push(item);
            }
        }
        hand.list(kept.len())?;
        Ok(hand.heap.alloc(AllocList(kept.iter().copied())))
    }

    /// One field of each item.
    ///
    /// Call: `pluck(xs: list, key: key) -> list`
    ///
    /// Example: `pluck(runtime.workers(), "state")`
    fn pluck<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        #[starlark(require = pos)] key: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let values = Key::of(Some(key))?.read_all(&items_of(xs, hand)?, eval)?;
        hand.list(values.len())?;
        Ok(hand.heap.alloc(AllocList(values.iter().copied())))
    }

    /// A dict of lists: the items with each value of the key.
    ///
    /// Call: `group_by(xs: list, key: key) -> dict`
    ///
    /// Example: `{state: len(workers) for state, workers in group_by(runtime.workers(), "state").items()}`
    fn group_by<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        #[starlark(require = pos)] key: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let key = Key::of(Some(key))?;
        let items = items_of(xs, hand)?;
        // Where each group is among the lists below.
        let places = tables::new_dict(hand.heap);
        let mut groups: Vec<(Value<'v>, Vec<Value<'v>>)> = Vec::new();
        // As many items are in the groups as there are, in vectors that double.
        hand.meter.take(hand.heap, items.len().saturating_mul(2 * size_of::<Value<'v>>()))?;
        for item in items.iter().copied() {
            let by = key.read(item, eval)?;
            let place = match tables::get(places, by, hand)? {
                Some(place) => place.unpack_i32().and_then(|place| usize::try_from(place).ok()).unwrap_or(0),
                None => {
                    let place = groups.len();
                    tables::insert(places, by, hand.heap.alloc(i32::try_from(place).unwrap_or(i32::MAX)), hand)?;
                    hand.meter.take(hand.heap, ENTRY_BYTES)?;
                    groups.push((by, Vec::new()));
                    place
                }
            };
            if let Some((_, group)) = groups.get_mut(place) {
                group.push(item);
            }
        }
        let grouped = tables::new_dict(hand.heap);
        for (by, group) in groups {
            hand.list(group.len())?;
            tables::insert(grouped, by, hand.heap.alloc(AllocList(group)), hand)?;
        }
        Ok(grouped)
    }

    /// A dict of numbers: how many items have each value of the key, the most frequent first.
    ///
    /// Call: `count_by(xs: list, key: key) -> dict`
    ///
    /// Example: `count_by(runtime.workers(), "state")`
    fn count_by<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        #[starlark(require = pos)] key: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let key = Key::of(Some(key))?;
        let counts = tables::new_dict(hand.heap);
        for item in items_of(xs, hand)?.iter().copied() {
            let by = key.read(item, eval)?;
            let count = tables::get(counts, by, hand)?.and_then(|count| count.unpack_i32()).unwrap_or(0);
            tables::replace(counts, by, hand.heap.alloc(count + 1), hand)?;
        }
        largest_first(counts, hand)
    }

    /// A dict of numbers: the sum of a value over the items with each value of the key, the largest first.
    ///
    /// Call: `sum_by(xs: list, key: key, value: key) -> dict`
    ///
    /// Example: `sum_by(lens.stores(), "skill", "memory_bytes")`
    fn sum_by<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        #[starlark(require = pos)] key: Value<'v>,
        #[starlark(require = pos)] value: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let (key, value) = (Key::of(Some(key))?, Key::of(Some(value))?);
        let sums = tables::new_dict(hand.heap);
        for item in items_of(xs, hand)?.iter().copied() {
            let by = key.read(item, eval)?;
            let more = value.read(item, eval)?;
            number("sum_by", more)?;
            let sum = match tables::get(sums, by, hand)? {
                Some(sum) => add(sum, more, hand)?,
                None => more,
            };
            tables::replace(sums, by, sum, hand)?;
        }
        largest_first(sums, hand)
    }

    /// The `n` items that are largest by a key.
    ///
    /// Call: `top(xs: list, n: int = 10, by: key = None) -> list`
    ///
    /// Example: `top(lens.stores(), 3, by="memory_bytes")`
    fn top<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        n: Option<Value<'v>>,
        by: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        if let Some(field) = n.and_then(|n| n.unpack_str()) {
            let help = format!("write `top(xs, by=\"{}\")`", shortened(field));
            return Err(Fault::argument("the second argument of `top` is how many there are to be").help(help).into());
        }
        let count = usize::try_from(n.map_or(Ok(10), |n| int("top", n))?).unwrap_or(0);
        let key = Key::of(by)?;
        let items = items_of(xs, hand)?;
        let mut keyed = Held::with_capacity(items.len(), hand.meter, hand.heap)?;
        for item in items.iter() {
            keyed.push((*item, key.read(*item, eval)?));
        }
        sort(&mut keyed, true, hand)?;
        keyed.truncate(count);
        hand.list(keyed.len())?;
        Ok(hand.heap.alloc(AllocList(keyed.iter().map(|(item, _)| *item))))
    }

    /// Each value once, in the order of its first place.
    ///
    /// Call: `uniq(xs: list) -> list`
    ///
    /// Example: `uniq([s.skill for s in lens.stores()])`
    fn uniq<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let seen = tables::new_dict(hand.heap);
        let items = items_of(xs, hand)?;
        let mut kept = Held::with_capacity(items.len(), hand.meter, hand.heap)?;
        for item in items.iter().copied() {
            if tables::get(seen, item, hand)?.is_none() {
                tables::insert(seen, item, Value::new_none(), hand)?;
                kept.push(item);
            }
        }
        hand.list(kept.len())?;
        Ok(hand.heap.alloc(AllocList(kept.iter().copied())))
    }

    /// The mean of numbers, or of one field.
    ///
    /// Call: `mean(xs: list, key: key = None) -> float`
    ///
    /// Example: `mean([1, 2, 6])`
    fn mean<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        key: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let values = Key::of(key)?.read_all(&items_of(xs, hand)?, eval)?;
        let mean = mean_of(&numbers("mean", &values, hand)?);
        Ok(mean.map_or_else(|| nothing("mean", hand.heap), |mean| hand.heap.alloc(mean)))
    }

    /// The value at or below which `p` percent of the values are.
    ///
    /// Call: `percentile(xs: list, p: int | float, key: key = None) -> any`
    ///
    /// Example: `percentile([1, 2, 3, 4], 50)`
    fn percentile<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        #[starlark(require = pos)] p: Value<'v>,
        key: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let percent = number("percentile", p)?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(Fault::argument("`percentile` takes a number between 0 and 100").into());
        }
        let values = Key::of(key)?.read_all(&items_of(xs, hand)?, eval)?;
        let mut pairs = Held::with_capacity(values.len(), hand.meter, hand.heap)?;
        pairs.extend(values.iter().map(|value| (*value, *value)));
        sort(&mut pairs, false, hand)?;
        let found = pairs.get(rank(pairs.len(), percent));
        Ok(found.map_or_else(|| nothing("percentile", hand.heap), |(value, _)| *value))
    }

    /// Count, least, greatest, mean and percentiles of numbers, or of one field.
    ///
    /// Call: `summary(xs: list, key: key = None) -> struct`
    ///
    /// Example: `summary(lens.stores(), "memory_bytes").max`
    fn summary<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        key: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let values = Key::of(key)?.read_all(&items_of(xs, hand)?, eval)?;
        let mut numbers = numbers("summary", &values, hand)?;
        let is_before = |a: &f64, b: &f64| {
            hand.meter.tick(hand.heap)?;
            Ok(a.total_cmp(b).is_lt())
        };
        merge_sort(&mut numbers, is_before, hand)?;
        let heap = hand.heap;
        let at = |percent: f64, of: &str| {
            let found = numbers.get(rank(numbers.len(), percent));
            found.map_or_else(|| nothing(of, heap), |number| heap.alloc(*number))
        };
        hand.meter.take(heap, 8 * 2 * ENTRY_BYTES)?;
        let count = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
        Ok(heap.alloc(AllocStruct([
            ("count", heap.alloc(count)),
            ("min", at(0.0, "least")),
            ("mean", mean_of(&numbers).map_or_else(|| nothing("mean", heap), |mean| heap.alloc(mean))),
            ("p50", at(50.0, "median")),
            ("p90", at(90.0, "percentile")),
            ("p99", at(99.0, "percentile")),
            ("max", at(100.0, "greatest")),
        ])))
    }

    /// How many values are at most each of the bounds (and more than the one before), and how many are above all.
    ///
    /// Call: `histogram(xs: list, bounds: list, key: key = None) -> list[struct]`
    ///
    /// Example: `histogram([1, 5, 50], [1, 10])`
    fn histogram<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        #[starlark(require = pos)] bounds: Value<'v>,
        key: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let values = Key::of(key)?.read_all(&items_of(xs, hand)?, eval)?;
        let bounds = numbers("histogram", &items_of(bounds, hand)?, hand)?;
        let rises = |pair: &[f64]| pair[0].partial_cmp(&pair[1]) == Some(Ordering::Less);
        if !bounds.windows(2).all(rises) || bounds.iter().any(|bound| bound.is_nan()) {
            return Err(Fault::argument("the bounds of a `histogram` must rise").into());
        }
        let mut counts = Held::with_capacity(bounds.len() + 1, hand.meter, hand.heap)?;
        counts.extend(std::iter::repeat_n(0i64, bounds.len() + 1));
        for value in numbers("histogram", &values, hand)?.iter().copied() {
            hand.meter.tick(hand.heap)?;
            if value.is_nan() {
                return Err(Fault::argument("a `histogram` has no place for what is no number (`nan`)")
                    .help("leave such values out, as in `[x for x in xs if x == x]`")
                    .into());
            }
            counts[bounds.partition_point(|bound| *bound < value)] += 1;
        }
        let heap = hand.heap;
        hand.list(counts.len())?;
        hand.meter.take(heap, counts.len() * 3 * ENTRY_BYTES)?;
        let bounds = bounds.iter().map(|bound| heap.alloc(*bound)).chain([Value::new_none()]);
        let row = |(bound, count): (Value<'v>, i64)| AllocStruct([("up_to", bound), ("count", heap.alloc(count))]);
        Ok(heap.alloc(AllocList(bounds.zip(counts.iter().copied()).map(row).collect::<Vec<_>>())))
    }

    /// The same items with only some of their fields.
    ///
    /// Call: `table(xs: list, *fields) -> list[struct]`
    ///
    /// Example: `table(lens.stores(), "store", "len_count", "cap_count")`
    fn table<'v>(
        #[starlark(require = pos)] xs: Value<'v>,
        #[starlark(args)] fields: UnpackTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        if fields.items.len() > access::MOST_ARGUMENTS {
            return Err(Fault::limit(
                format!("`table` takes at most {} fields, not {}", access::MOST_ARGUMENTS, fields.items.len()),
                "ask for fewer fields, or use the items themselves",
            )
            .into());
        }
        let names = fields.items.iter().map(|field| {
            StringValue::new(*field).ok_or_else(|| {
                Fault::argument(format!("`table` takes names of fields, not {}", form::kind(*field)))
                    .help("write `table(xs, \"id\", \"busy_ms\")`")
                    .into()
            })
        });
        let names = names.collect::<Checked<Vec<StringValue<'v>>>>()?;
        let mut seen = HashSet::with_capacity(names.len());
        let mut name_steps = 0;
        for name in names.iter().map(|name| name.as_str()) {
            let steps = name.len() / BYTES_PER_STEP;
            hand.meter.spend(hand.heap, steps + 1)?;
            name_steps += steps;
            if !seen.insert(name) {
                return Err(Fault::argument(format!("`table` has the field `{}` twice", shortened(name))).into());
            }
        }
        let items = items_of(xs, hand)?;
        let mut rows = Held::with_capacity(items.len(), hand.meter, hand.heap)?;
        for item in items.iter().copied() {
            hand.meter.take(hand.heap, (names.len() + 1) * 2 * ENTRY_BYTES)?;
            hand.meter.spend(hand.heap, names.len() + 1 + name_steps)?;
            // The rows share the names, which are not copied.
            let read = |name: &StringValue<'v>| Ok((*name, access::field(item, name.as_str(), hand)?));
            let cells = names.iter().map(read).collect::<Checked<Vec<_>>>()?;
            rows.push(hand.heap.alloc(AllocStruct(cells)));
        }
        hand.list(rows.len())?;
        Ok(hand.heap.alloc(AllocList(rows.iter().copied())))
    }

    /// A number rounded to `n` digits after the point; without `n`, an integer.
    ///
    /// Call: `round(x: int | float, n: int = None) -> int | float`
    ///
    /// Example: `round(2.345, 1)`
    fn round<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        n: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let value = number("round", x)?;
        let digits = n.filter(|n| !n.is_none()).map(|n| int("round", n)).transpose()?;
        if x.get_type() == "int" && digits.is_none_or(|digits| digits >= 0) {
            return Ok(x);
        }
        match digits {
            None => {
                let rounded = value.round_ties_even();
                if rounded.abs() > f64::from(i32::MAX) {
                    hand.meter.take(hand.heap, WIDE_INT_BYTES + FLOAT_DIGITS_BYTES)?;
                }
                let whole = hand.heap.alloc(rounded);
                eval.eval_function(super::base("int"), &[whole], &[])
            }
            Some(digits) if (0..=15).contains(&digits) => {
                // The nearest decimal, as its digits are written; a factor would round twice.
                let digits = usize::try_from(digits).unwrap_or(0);
                Ok(hand.heap.alloc(format!("{value:.digits$}").parse::<f64>().unwrap_or(value)))
            }
            Some(_) => Err(Fault::argument("`round` takes between 0 and 15 digits").into()),
        }
    }

    /// `x` to the power of `y`.
    ///
    /// Call: `pow(x: int | float, y: int | float) -> int | float`
    ///
    /// Example: `pow(2, 10)`
    fn pow<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] y: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let hand = Hand::new(eval)?;
        let (base, exponent) = (number("pow", x)?, number("pow", y)?);
        if base == 0.0 && exponent < 0.0 {
            return Err(Fault::argument("0 has no negative power").into());
        }
        let are_whole = x.get_type() == "int" && y.get_type() == "int";
        if !are_whole || exponent < 0.0 {
            let power = base.powf(exponent);
            if power.is_nan() && !base.is_nan() && !exponent.is_nan() {
                return Err(Fault::argument("a negative number has whole powers only").into());
            }
            return Ok(hand.heap.alloc(power));
        }
        // The turns that change nothing any more are left out: 0, 1 and -1 have powers beyond any limit.
        let turns = match (x.unpack_i32(), i64::unpack_value(y).ok().flatten()) {
            (Some(0 | 1), exponent) => exponent.map_or(1, |exponent| exponent.min(1)),
            (Some(-1), _) => i64::from(y.percent(hand.heap.alloc(2), hand.heap)?.unpack_i32() != Some(0)),
            (_, exponent) => exponent.unwrap_or(i64::MAX),
        };
        let mut power = hand.heap.alloc(1);
        // Squaring would be faster; the size of an integer allows no more than a thousand turns.
        for _ in 0..turns {
            hand.meter.tick(hand.heap)?;
            power = multiply(power, x, hand)?;
        }
        Ok(power)
    }

    /// Bytes as people write them: `1536` is `1.5 KiB`.
    ///
    /// Call: `human_bytes(n: int | float) -> str`
    ///
    /// Example: `human_bytes(1536)`
    fn human_bytes<'v>(
        #[starlark(require = pos)] n: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<String> {
        Hand::new(eval)?;
        const UNITS: &[(f64, &str)] = &[
            (1.0, "B"),
            (1024.0, "KiB"),
            (1_048_576.0, "MiB"),
            (1_073_741_824.0, "GiB"),
            (1_099_511_627_776.0, "TiB"),
        ];
        Ok(human(number("human_bytes", n)?, UNITS))
    }

    /// Milliseconds as people write them: `90000` is `1.5 min`.
    ///
    /// Call: `human_ms(ms: int | float) -> str`
    ///
    /// Example: `human_ms(90000)`
    fn human_ms<'v>(
        #[starlark(require = pos)] ms: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<String> {
        Hand::new(eval)?;
        const UNITS: &[(f64, &str)] =
            &[(1e-3, "µs"), (1.0, "ms"), (1e3, "s"), (6e4, "min"), (3.6e6, "h"), (8.64e7, "d")];
        Ok(human(number("human_ms", ms)?, UNITS))
    }

    /// The history of a metric.
    ///
    /// Call: `series(name: str, last: span = "10m") -> series`
    ///
    /// Example: `series("lens.threads", last="5m").max()`
    fn series<'v>(
        #[starlark(require = pos)] name: Value<'v>,
        last: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Hand::new(eval)?;
        let last = last.map_or(Ok("10m"), |last| text("series", last))?;
        History::of(text("series", name)?, last, eval)
    }
}
