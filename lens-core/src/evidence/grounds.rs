//! Whether a value bears out a sentence: each number in the sentence must be one of the value's (as it is, or in the unit
//! that follows it), and each word with digits (a place, a name) must be in it. Separate because this is what keeps a
//! sentence honest, whoever wrote it.

use std::collections::HashSet;

use serde_json::Value;

use super::literals::{self, Side};

/// Checks the numbers of `text` against `value`, and against the constants of `expr`.
pub(super) fn check(text: &str, expr: &str, value: &Value) -> Result<(), String> {
    let mut known = Known { is_strict: false, numbers: literals(expr), words: expr.to_owned(), quoted: HashSet::new() };
    known.add(value);
    let words: Vec<&str> = text.split_whitespace().collect();
    for (index, word) in words.iter().enumerate() {
        let word = trimmed(word);
        let Some((number, own_unit)) = leading_number(word) else { continue };
        let unit = if own_unit.is_empty() { words.get(index + 1).map_or("", |next| trimmed(next)) } else { own_unit };
        let is_shown = if is_number(own_unit) { known.has(&number, unit) } else { known.words.contains(word) };
        // A text of the value may be quoted, numbers and all.
        let holds = is_shown || known.quoted.contains(word);
        if !holds {
            return Err(format!("its expression does not give \"{word}\""));
        }
    }
    Ok(())
}

/// Checks `text` more strictly, for sentences that nobody vouches for: a number that stands in `expr` itself is not
/// measured by it, a number has the unit of what it is a value of, and the sentence must say something that is measured.
pub(super) fn check_measured(text: &str, expr: &str, value: &Value) -> Result<(), String> {
    if calculates_constants(expr) {
        return Err("its expression calculates with constants: ask for what is measured".to_owned());
    }
    if let Some(odd) = text.chars().find(|letter| letter.is_numeric() && !letter.is_ascii_digit()) {
        return Err(format!("\"{odd}\" is no digit: write numbers with 0 to 9"));
    }
    let constants = literals(expr);
    let bounds = literals::bounds(expr);
    let converts = literals::converts(expr);
    let mut measured = Known { is_strict: true, numbers: Vec::new(), words: String::new(), quoted: HashSet::new() };
    measured.add(value);
    let is_constant = |number: &f64| constants.iter().any(|constant| constant.to_bits() == number.to_bits());
    measured.numbers.retain(|number| !is_constant(number));
    let words: Vec<&str> = text.split_whitespace().map(trimmed).collect();
    let mut says_something = words.iter().any(|word| word.len() > 2 && measured.quoted.contains(*word));
    for (index, word) in words.iter().enumerate() {
        let Some((number, own_unit)) = leading_number(word) else { continue };
        let unit = if own_unit.is_empty() { words.get(index + 1).copied().unwrap_or_default() } else { own_unit };
        // A number among others of a text, as in a place, is not the one that is meant.
        let is_quoted =
            if is_number(own_unit) { measured.quoted.contains(*word) } else { measured.words.contains(word) };
        if is_quoted {
            says_something = true;
            continue;
        }
        if measured.has(&number, unit) {
            says_something = true;
            match Dimension::of(unit)? {
                Some(dimension) if !dimension.is_given_by(expr, value) => {
                    return Err(format!("\"{word}\" is no {unit}: its expression gives nothing in such a unit"));
                }
                None if converts => {
                    return Err(format!("its expression converts a unit: say in which \"{word}\" is"));
                }
                _ => continue,
            }
        }
        let said = |back: usize| index.checked_sub(back).map_or(String::new(), |before| words[before].to_lowercase());
        if may_be_bound(&number, &said(1), &said(2), &bounds, &constants) {
            continue;
        }
        return Err(if is_constant(&number.number) {
            format!("\"{word}\" stands in its expression and is not measured by it")
        } else {
            format!("its expression does not give \"{word}\" in {unit}")
        });
    }
    if says_something {
        return Ok(());
    }
    Err("it names no number and no name that its expression gives: say what is measured".to_owned())
}

/// Whether a number that is not measured is told as what the expression selects by: after "last" or "top" a constant of it,
/// after "more than" and the like one that it compares with in this way.
fn may_be_bound(number: &Shown, before: &str, earlier: &str, bounds: &[(f64, Side)], constants: &[f64]) -> bool {
    const LESS: [&str; 8] = ["less", "fewer", "shorter", "smaller", "lower", "sooner", "younger", "earlier"];
    let is_it = |constant: f64| constant.to_bits() == number.number.to_bits();
    let compares = |side| bounds.iter().any(|(constant, of)| *of == side && is_it(*constant));
    match before {
        "last" | "first" | "top" | "limit" | "within" => constants.iter().any(|constant| is_it(*constant)),
        "over" | "above" | "least" => compares(Side::Above),
        "under" | "below" | "most" => compares(Side::Below),
        "than" => compares(if LESS.contains(&earlier) { Side::Below } else { Side::Above }),
        _ => false,
    }
}

/// What a unit measures.
#[derive(Clone, Copy)]
enum Dimension {
    Time,
    Bytes,
    Share,
}

impl Dimension {
    /// # Errors
    ///
    /// A unit that lens does not use.
    fn of(unit: &str) -> Result<Option<Self>, String> {
        Ok(match unit.trim_end_matches("/s") {
            "ms" | "s" | "sec" | "seconds" | "second" | "min" | "minute" | "minutes" | "h" | "hour" | "hours" | "d"
            | "day" | "days" | "milliseconds" | "millisecond" => Some(Self::Time),
            "B" | "byte" | "bytes" | "KiB" | "MiB" | "GiB" | "TiB" => Some(Self::Bytes),
            "%" | "percent" => Some(Self::Share),
            "kB" | "KB" | "MB" | "GB" | "TB" | "k" | "M" | "G" | "ns" | "us" | "µs" | "μs" | "‰" | "weeks"
            | "months" | "years" => {
                return Err(format!("{unit} is no unit of lens: use ms, s, min, h, d, KiB, MiB, GiB or %"));
            }
            _ => None,
        })
    }

    /// Whether a field's name that is in the expression or the value is of this dimension.
    fn is_given_by(self, expr: &str, value: &Value) -> bool {
        let ends: &[&str] = match self {
            Self::Time => &["ms", "s", "ns", "us", "seconds"],
            Self::Bytes => &["bytes"],
            Self::Share => &["ratio", "percent"],
        };
        // `busy_ms`, `cpu_ms_total`, `live_bytes_per_s`; the last is no time.
        let is_of = |name: &str| name.replace("per_s", "").split('_').any(|part| ends.contains(&part));
        expr.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).any(is_of) || has_field(value, &is_of)
    }
}

fn has_field(value: &Value, is_wanted: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| has_field(item, is_wanted)),
        Value::Object(fields) => fields.iter().any(|(name, field)| is_wanted(name) || has_field(field, is_wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether a word that begins with a number is one, by what follows in it: nothing or a unit.
fn is_number(rest: &str) -> bool {
    rest.is_empty() || scales(rest).len() > 1
}

/// Whether two numbers that stand in the expression make a third.
fn calculates_constants(expr: &str) -> bool {
    let bytes: Vec<u8> = expr.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    bytes.windows(3).any(|three| {
        three[0].is_ascii_digit() && b"+-*/%".contains(&three[1]) && (three[2].is_ascii_digit() || three[2] == b'/')
    })
}

/// Which of `skills` the expression asks: `skill.function(…)`, or `series("skill.metric")`.
pub(super) fn skills<'a>(expr: &str, skills: impl Iterator<Item = &'a str>) -> Vec<String> {
    let is_asked = |skill: &&str| {
        let mut rest = expr;
        while let Some(at) = rest.find(skill) {
            let before = rest[..at].chars().next_back();
            let after = &rest[at + skill.len()..];
            if after.starts_with('.') && !before.is_some_and(|letter| letter.is_alphanumeric() || "._".contains(letter))
            {
                return true;
            }
            rest = after;
        }
        false
    };
    skills.filter(is_asked).map(str::to_owned).collect()
}

struct Known {
    /// Whether a number in a unit that lens never uses must have been converted to it.
    is_strict: bool,
    numbers: Vec<f64>,
    words: String,
    /// The words of the value's texts.
    quoted: HashSet<String>,
}

impl Known {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Number(number) => self.numbers.extend(number.as_f64()),
            Value::String(text) => {
                self.words.push(' ');
                self.words.push_str(text);
                self.quoted.extend(text.split_whitespace().map(|word| trimmed(word).to_owned()));
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.add(field)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn has(&self, shown: &Shown, unit: &str) -> bool {
        let of_unit = match scales(unit) {
            _ if self.is_strict && unit == "%" => &[100.0],
            [_, converted @ ..] if self.is_strict && !converted.is_empty() && !is_on_the_wire(unit) => converted,
            all => all,
        };
        let is_it = |known: &f64| {
            of_unit.iter().any(|scale| {
                let scaled = known * scale;
                let has_sign = !self.is_strict || scaled.is_sign_negative() == shown.is_negative || scaled == 0.0;
                has_sign && (scaled.abs() - shown.number).abs() <= shown.slack + scaled.abs() * 1e-9
            })
        };
        self.numbers.iter().any(is_it)
    }
}

/// Whether values come in this unit, too.
fn is_on_the_wire(unit: &str) -> bool {
    matches!(unit, "s" | "s/s" | "seconds" | "second")
}

/// By how much a value may have been multiplied to be shown in `unit`.
fn scales(unit: &str) -> &'static [f64] {
    const KIB: f64 = 1024.0;
    match unit {
        "%" => &[1.0, 100.0],
        "s" | "s/s" | "seconds" | "second" => &[1.0, 1e-3],
        "min" | "minutes" => &[1.0, 1.0 / 60.0, 1.0 / 60e3],
        "h" | "hours" => &[1.0, 1.0 / 3600.0, 1.0 / 3600e3],
        "d" | "days" => &[1.0, 1.0 / 86_400.0, 1.0 / 86_400e3],
        "KiB" | "KiB/s" => &[1.0, 1.0 / KIB],
        "MiB" | "MiB/s" => &[1.0, 1.0 / (KIB * KIB)],
        "GiB" | "GiB/s" => &[1.0, 1.0 / (KIB * KIB * KIB)],
        "TiB" | "TiB/s" => &[1.0, 1.0 / (KIB * KIB * KIB * KIB)],
        _ => &[1.0],
    }
}

/// A number as it is written, and how far what it was rounded from may be.
struct Shown {
    number: f64,
    slack: f64,
    is_negative: bool,
}

/// The word without the punctuation around it.
fn trimmed(word: &str) -> &str {
    word.trim_matches(|letter: char| "()[]{},.;:!?\"'`„“”".contains(letter))
}

/// The number that a word starts with, and the rest of the word; `None` for a word without digits. A word in which digits
/// come later is all rest.
fn leading_number(word: &str) -> Option<(Shown, &str)> {
    if !word.contains(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let mut digits = word.trim_start_matches(['-', '−', '+', '×', '~', '≥', '<', '>']);
    let is_negative = word.starts_with(['-', '−']);
    let end = digits.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(digits.len());
    let (mut number, mut rest) = digits.split_at(end);
    if number.matches('.').count() > 1 || number.is_empty() {
        digits = word;
        (number, rest) = ("0", digits);
    }
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let slack = 0.5 * 10_f64.powi(-i32::try_from(decimals).unwrap_or(i32::MAX));
    Some((Shown { number: number.parse().unwrap_or(f64::NAN), slack, is_negative }, rest))
}

/// The numbers that stand in an expression as they are, those of spans (`"10s"`) included.
fn literals(expr: &str) -> Vec<f64> {
    let words = expr.split(|letter: char| !(letter.is_alphanumeric() || letter == '.' || letter == '_'));
    let number = |word: &str| word.trim_end_matches(['s', 'm', 'h']).parse().ok();
    words.filter_map(number).filter(|number: &f64| number.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(text: &str, value: &Value) -> bool {
        check(text, "f(limit=20, last=\"90s\")", value).is_ok()
    }

    #[test]
    fn numbers_must_be_the_values() {
        assert!(holds("2 of 3 workers have stood still for 523 ms", &json!([2, 3, 523.4])));
        assert!(!holds("2 of 3 workers have stood still for 524 ms", &json!([2, 3, 523.4])));
        assert!(holds("the ratio is 0.95, which is 95 %", &json!(0.9512)));
        assert!(!holds("it is 96 %", &json!(0.9512)));
        assert!(holds("at most 20 of them", &json!("none")), "a constant of the expression");
        assert!(holds("in the last 90 s", &json!(true)));
        assert!(holds("no number at all", &json!(true)));
        assert!(!holds("3 tasks", &json!(true)));
    }

    #[test]
    fn a_constant_of_the_expression_is_not_measured() {
        let measured = |text: &str, expr: &str, value: Value| check_measured(text, expr, &value);
        assert_eq!(measured("7 customers wait", "shop.queue().waiting", json!(7)), Ok(()));
        let planted = measured("8 customers wait", "[8, shop.queue().waiting]", json!([8, 7]));
        assert!(planted.unwrap_err().contains("not measured"));
        let made = measured("8 customers wait", "[7 + 1, shop.queue().waiting]", json!([8, 7]));
        assert!(made.unwrap_err().contains("calculates"));
        assert!(measured("nobody waits", "shop.queue().waiting > 0", json!(true)).is_err(), "it says nothing measured");
        assert_eq!(measured("in the last 90 s, 7 waited", "shop.waited(last=\"90s\")", json!(7)), Ok(()));
        assert_eq!(measured("7 wait, more than 5", "[q for q in shop.queues() if q.waiting > 5]", json!([7])), Ok(()));
        assert_eq!(measured("`till-a` waits", "shop.tills()", json!(["till-a"])), Ok(()));
        assert!(measured("they wait for 7 minutes", "shop.queue().waiting", json!(7)).is_err(), "7 what?");
        assert_eq!(measured("they wait for 7 min", "shop.queue().waited_ms", json!(420_000)), Ok(()));
        for (text, expr, value) in [
            (
                "till-a served 31 and waited 8000 ms",
                "[t for t in shop.tills() if t.served != 8000]",
                json!(["till-a", 31]),
            ),
            ("31, more than 8000 customers wait", "[t for t in shop.tills() if t.served != 8000]", json!([31])),
            ("31, more than 8000 customers wait", "[t for t in shop.tills() if not t.served > 8000]", json!([31])),
            ("31, more than 8000 customers wait", "[t for t in shop.tills() if t.served < 8000]", json!([31])),
            ("7 % of customers wait", "shop.queue().waiting", json!(7)),
            ("7 GB wait in the queue", "shop.queue().waiting", json!(7)),
            ("7 ms", "shop.queue().waiting", json!(7)),
            ("7 GB wait in the queue", "shop.queue()", json!({"waiting": 7, "place": "src/shop.rs:17:5"})),
            ("7 s", "shop.queue().left_per_s", json!(7)),
            ("7 MiB/s come", "shop.queue().waiting_bytes", json!(7)),
            ("the queue grows by 5 in a second", "series(\"shop.waiting\").slope", json!(-5)),
            ("0.007 customers wait", "shop.queue().waiting / 1000", json!(0.007)),
            ("９ tills have served 31", "shop.tills()[0]", json!(31)),
            ("½ of 31", "shop.tills()[0]", json!(31)),
        ] {
            assert!(measured(text, expr, value).is_err(), "{text}: {expr}");
        }
        for (text, expr, value) in [
            ("31 have been served, less than 8000", "[t for t in shop.tills() if t.served < 8000]", json!([31])),
            ("31, at least 30", "[t.served for t in shop.tills() if 30 <= t.served]", json!([31])),
            ("its slope is -5 in a second", "series(\"shop.waiting\").slope", json!(-5)),
            ("95.1 % are busy", "shop.queue().busy_ratio", json!(0.951)),
            ("7 s went by", "shop.queue().waited_ms / 1000", json!(7.0)),
            ("5 MiB/s come", "series(\"shop.queue_bytes\", last=\"60s\").slope", json!(5_242_880)),
            ("12.5 ms", "shop.tills()", json!([{"longest_poll_ms": 12.5}])),
        ] {
            assert_eq!(measured(text, expr, value), Ok(()), "{text}: {expr}");
        }
    }

    #[test]
    fn a_number_may_be_shown_in_a_larger_unit() {
        assert!(holds("6.83 MiB were kept", &json!(7_161_839)));
        assert!(!holds("6.84 MiB were kept", &json!(7_161_839)));
        assert!(holds("for 1.5 min", &json!(90_000.0)));
        assert!(holds("(2.0 s)", &json!(2_004)));
        assert!(holds("12.5%", &json!(0.125)));
        assert!(!holds("7 ms", &json!(7_000)), "milliseconds are never rescaled");
    }

    #[test]
    fn places_and_names_must_be_the_values() {
        assert!(holds("it waits in src/cart.rs:41:9.", &json!({"place": "src/cart.rs:41:9"})));
        assert!(holds("`worker-2` waits", &json!(["worker-2"])));
        assert!(!holds("it waits in src/cart.rs:42", &json!({"place": "src/cart.rs:41:9"})));
        assert!(!holds("version 5.3.0", &json!("5.3.1")));
        assert!(holds("it said: cannot write 17 of 20 bytes", &json!(["cannot write 17 of 20 bytes"])));
        assert!(!holds("41 tasks wait", &json!({"place": "src/cart.rs:41:9"})));
    }

    #[test]
    fn the_skills_of_an_expression_are_found() {
        let of = |expr| skills(expr, ["heap", "os", "stalls"].into_iter());
        assert_eq!(of("[s for s in stalls.now() if s.place == \"os\"]"), ["stalls"]);
        assert_eq!(of("series(\"os.fd_count\", last=\"1m\").last + heap.stats().live_bytes"), ["heap", "os"]);
        assert_eq!(of("chaos.x + row.os.y"), Vec::<String>::new());
    }
}
