use serde_json::json;

use super::value::number;
use super::*;

/// Little room, so that little is left out of what is short.
const LITTLE: Most = Most { columns: 2, bytes: 24 };

/// `value` where there is little room.
fn little(value: &Value) -> String {
    rendered(value, &[], None, LITTLE)
}

#[test]
fn rows_are_columns_in_the_given_order() {
    let rows = json!([
        {"id": 7, "name": "a", "busy_ms": 1.5, "steals": {"unavailable": "x", "fix": "build it"}},
        {"id": 1234, "name": "blé", "busy_ms": null, "steals": 3},
    ]);
    let order = ["name".to_owned(), "id".to_owned(), "gone".to_owned()];
    let expected = "\
name    id  busy_ms  steals
a        7    1.500       –
blé   1234                3
– steals is unavailable: build it
";
    assert_eq!(render(&rows, &order, None), expected);
    assert_eq!(render(&rows, &order, Some(40)), expected);
    let narrow = render(&rows, &order, Some(10));
    assert!(narrow.starts_with("name     a\nid       7\nbusy_ms  1.500\n"), "{narrow}");
    assert!(narrow.contains("\n\nname     blé\n"), "{narrow}");
}

#[test]
fn other_values_are_lines() {
    assert_eq!(render(&json!([]), &[], None), "nothing\n");
    assert_eq!(render(&json!([["a", 1], ["bb", 20]]), &[], None), "a    1\nbb  20\n");
    assert_eq!(render(&json!(["x", 2, null]), &[], None), "x\n2\n\n");
    assert_eq!(render(&json!({"a": 1.0, "long": "two\nlines"}), &[], None), "a     1\nlong  two\\nlines\n");
    assert_eq!(render(&json!("text"), &[], None), "text\n");
    assert_eq!(render(&json!({"unavailable": "x", "fix": "build it"}), &[], None), "unavailable: build it\n");
}

#[test]
fn a_name_cannot_steer_the_terminal_and_is_cut() {
    let hostile = json!([{"name": "\u{1b}[2Jx\r\u{202e}"}]);
    assert_eq!(render(&hostile, &[], None), "name\n\\u{1b}[2Jx\\r\\u{202e}\n");
    let long = render(&json!([{"name": "é".repeat(500)}]), &[], None);
    assert_eq!(long.lines().nth(1).map(|line| line.chars().count()), Some(WIDEST));
}

#[test]
fn letters_that_turn_the_direction_or_end_a_line_are_escaped() {
    for letter in
        ['\u{61c}', '\u{85}', '\u{9b}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{2066}', '\u{2069}']
    {
        assert_eq!(harmless(format!("a{letter}b")), format!("a\\u{{{:x}}}b", u32::from(letter)));
    }
    assert_eq!(harmless("a\u{301}日\u{200d}–"), "a\u{301}日\u{200d}–");
}

#[test]
fn why_something_is_not_known_cannot_steer_the_terminal_either() {
    let fix = json!({"unavailable": "x", "fix": "\u{1b}[2J\n# os: run this"});
    assert_eq!(render(&fix, &[], None), "unavailable: \\u{1b}[2J\\n# os: run this\n");
    let below = "a\\u{1b}\n–\n– a\\u{1b} is unavailable: \\u{1b}[2J\\n# os: run this\n";
    assert_eq!(render(&json!([{"a\u{1b}": fix}]), &[], None), below);
    let long = render(&json!([{"a": {"unavailable": "x", "fix": "y".repeat(1_000_000)}}]), &[], None);
    assert_eq!(long, format!("a\n–\n– a is unavailable: {}…\n", "y".repeat(LONGEST)));
}

#[test]
fn letters_without_a_width_do_not_make_a_cell_endless() {
    let cell = Cell::of(&json!("a".to_owned() + &"\u{301}".repeat(450_000)));
    assert_eq!((cell.text.len(), cell.width), (LONGEST - 1 + "…".len(), 2));
    assert!(cell.text.ends_with("\u{301}…"));
}

#[test]
fn numbers_have_as_many_digits_as_help() {
    let shown = [
        (0.0, "0"),
        (-3.0, "-3"),
        (1.5, "1.500"),
        (0.01, "0.010"),
        (0.0004, "0.0004"),
        (-0.001_234_5, "-0.00123"),
        (0.009_999_9, "0.01"),
        (1e-300, "1e-300"),
        (123_456_789_012_345.0, "123456789012345"),
        (1e300, "1e300"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "NaN"),
    ];
    for (value, text) in shown {
        assert_eq!(number(value), text);
    }
}

#[test]
fn columns_without_room_are_named_below() {
    let rows = json!([{"a": 1, "d": 1, "b": {"unavailable": "x", "fix": "y"}}, {"b": 2, "c": 3}]);
    let room = |first: &[&str]| {
        let first: Vec<String> = first.iter().map(ToString::to_string).collect();
        rendered(&rows, &first, None, Most { bytes: 100, ..LITTLE })
    };
    let then = "ask for the fields that you want, or for JSON\n";
    assert_eq!(
        room(&[]),
        format!("a  b\n1  –\n   2\n– b is unavailable: y\n… 2 more fields, such as `d`, `c`: {then}")
    );
    assert_eq!(room(&["d", "c"]), format!("d  c\n1\n   3\n… 2 more fields, such as `a`, `b`: {then}"));
    let lists = json!([[1, 2, 3], [4]]);
    assert_eq!(little(&lists), "1  2\n4\n… 1 more column: ask for those that you want, or for JSON\n");
    // Below each other there is room for all.
    let narrow = rendered(&json!([{"a": 1, "b": 2, "c": 3}]), &[], Some(3), LITTLE);
    assert_eq!(narrow, "a  1\nb  2\nc  3\n");
}

#[test]
fn rows_without_room_are_counted_below() {
    let then = ": ask for fewer, or for JSON\n";
    let eight = vec![json!("1234567"); 8];
    assert_eq!(little(&json!(eight)), format!("1234567\n1234567\n1234567\n… 5 more rows{then}"));
    let rows: Vec<Value> = eight.iter().map(|text| json!([text])).collect();
    assert_eq!(little(&json!(rows)), format!("1234567\n1234567\n1234567\n… 5 more rows{then}"));
    let rows: Vec<Value> = eight.iter().take(3).map(|text| json!({"a": text})).collect();
    assert_eq!(little(&json!(rows)), format!("a\n1234567\n1234567\n… 1 more row{then}"));
    let narrow = rendered(&json!(rows), &[], Some(3), LITTLE);
    assert_eq!(narrow, format!("a  1234567\n\na  1234567\n… 1 more row{then}"));
}

#[test]
fn fields_and_text_without_room_are_told_below() {
    let record = json!({"a": "1234567", "b": "1234567", "c": "x".repeat(100)});
    let then = "such as `c`: ask for the fields that you want, or for JSON";
    assert_eq!(little(&record), format!("a  1234567\nb  1234567\n… 1 more field, {then}\n"));
    assert_eq!(little(&json!("x".repeat(24))), "x".repeat(24) + "\n");
    let more = "…\n… there is more: ask for a part of it, or for JSON\n";
    assert_eq!(little(&json!("é".repeat(13))), "é".repeat(12) + more);
}

#[test]
fn names_are_cut_like_cells() {
    let name = "k".repeat(60_000);
    let cut = "k".repeat(WIDEST - 1) + "…";
    assert_eq!(render(&json!([{&name: 1, "z": 2}]), &[], None), format!("{cut}  z\n{}1  2\n", " ".repeat(WIDEST - 1)));
    let space = " ".repeat(WIDEST - 1);
    assert_eq!(render(&json!({"a": 1, &name: 2}), &[], None), format!("a{space}  1\n{cut}  2\n"));
}

#[test]
fn nothing_follows_the_last_cell_of_a_line() {
    let long = "x".repeat(1_000_000);
    let lines = render(&json!({"a": 1, "z": long}), &[], None);
    assert_eq!(lines, format!("a  1\nz  {long}\n"));
    assert_eq!(render(&json!([{"a": 1, "b": "long"}, {"a": 2}]), &[], None), "a  b\n1  long\n2\n");
}

#[test]
fn rows_with_a_field_of_their_own_each_take_no_more_room_than_others() {
    let rows: Vec<Value> = (0..30_000).map(|index| json!({format!("{index:05}"): 1})).collect();
    let text = render(&json!(rows), &[], None);
    let lines: Vec<&str> = text.lines().collect();
    // The rows of which nothing is shown are lines too.
    assert_eq!(lines.len(), 1 + 30_000 + 1);
    assert_eq!(lines[100], format!("{}1", " ".repeat(99 * 7 + 4)));
    assert!(lines[101..=30_000].iter().all(|line| line.is_empty()));
    let left = "… 29900 more fields, such as `00100`, `00101`, `00102`: ask for the fields that you want, or for JSON";
    assert_eq!(lines[30_001], left);
    let padded: usize = (0..100).map(|place| place * 7 + 5 + 1).sum();
    assert_eq!(text.len(), 100 * 7 - 2 + 1 + padded + 29_900 + left.len() + 1);
}

#[test]
fn a_wide_list_does_not_make_the_others_wide() {
    let mut rows = vec![json!([]); 200_001];
    rows[0] = (0..200_000).collect();
    let text = render(&json!(rows), &[], None);
    let first: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let left = "… 199900 more columns: ask for those that you want, or for JSON";
    assert_eq!(text, format!("{}{}{left}\n", first.join("  "), "\n".repeat(200_001)));
}

#[test]
fn json_is_indented_unless_that_makes_it_long() {
    assert_eq!(
        json(&json!({"a": [1, "\u{9b}2J\u{202e}\u{1b}"]})),
        "{\n  \"a\": [\n    1,\n    \"\\u009b2J\\u202e\\u001b\"\n  ]\n}\n"
    );
    let mut deep = json!(vec![0; 100_000]);
    for _ in 0..95 {
        deep = json!([deep]);
    }
    assert_eq!(json(&deep), format!("{}{}0{}\n", "[".repeat(96), "0,".repeat(99_999), "]".repeat(96)));
}
