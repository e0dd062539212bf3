use std::time::Duration;

use super::*;
use crate::registry::RegistryBuilder;

fn registry() -> Registry {
    RegistryBuilder::new().build()
}

/// How many parts of a script are looked at, and what is found.
fn looked_at(source: &str) -> (usize, Vec<String>) {
    let limits = Limits { wall: Duration::from_secs(60), ..Limits::default() };
    let rest = Rest { text: source.to_owned(), unread: HashSet::new() };
    let (plain, module) = rest.read(&limits).unwrap();
    let (mut time, mut found) = (Time::new(&limits), Vec::new());
    walk::walk(&rest, &plain, &module, &registry(), &mut time, &mut found);
    assert!(!time.is_over, "{source}");
    (time.parts, found.into_iter().map(|error| error.message).collect())
}

#[test]
fn each_part_is_looked_at_once() {
    // The statement, `1`, and at each level the call, the callee, a literal and what `{}` stands for beside the level within.
    for (around, parts) in [
        ("table(0, {})", 3),
        ("table(0, [{}])", 4),
        ("table(0, [lambda x: {}])", 5),
        ("table(0, lambda x: {})", 3),
        ("where(0, lambda x: {})", 3),
        ("max(0, 0, key=lambda x: {})", 4),
        ("map({}, 0)", 3),
        ("filter(lambda x: {}, 0)", 3),
        ("top({}, 0, by=0)", 4),
        ("f\"{{}}\"", 1),
    ] {
        let depth = if around.starts_with('f') && around.contains('"') { 1 } else { 8 };
        let nested = (0..depth).fold("1".to_owned(), |within, _| around.replacen("{}", &within, 1));
        assert_eq!(looked_at(&nested).0, 2 + depth * parts, "{nested}");
    }
    let deep = format!("{}1{}", "table(0, ".repeat(45), ")".repeat(45));
    assert_eq!(looked_at(&deep), (2 + 45 * 3, Vec::new()));
}

#[test]
fn nothing_is_looked_for_once_there_is_no_room() {
    let (parts, found) = looked_at(&format!("[{}]", "zz,".repeat(9000)));
    assert_eq!(found, vec!["there is no `zz`"; MAX_FINDINGS]);
    // The statement, the list and the names.
    assert_eq!(parts, 2 + MAX_FINDINGS);
    let (parts, found) = looked_at(&format!("[{}]", "\"\".zz,".repeat(4000)));
    assert_eq!(found, vec!["a text has no `zz`"; MAX_FINDINGS]);
    assert_eq!(parts, 2 + 2 * MAX_FINDINGS);
    let (_, found) = looked_at(&format!("abs({})", (0..250).map(|i| format!("a{i}=1,")).collect::<String>()));
    assert_eq!(found.len(), MAX_FINDINGS);
    assert_eq!(found[MAX_FINDINGS - 1], "`abs` has no argument `a19`");
}

#[test]
fn a_check_ends_when_its_time_is_over() {
    let limits = Limits { wall: Duration::ZERO, ..Limits::default() };
    let error = check("1", &registry(), &limits).unwrap_err();
    assert_eq!(error, late(&limits).help("shorten the script, or ask in several queries"));

    let rest = Rest { text: "[zz, zz]".to_owned(), unread: HashSet::new() };
    let (plain, module) = rest.read(&limits).unwrap();
    let (mut time, mut found) = (Time::new(&limits), Vec::new());
    walk::walk(&rest, &plain, &module, &registry(), &mut time, &mut found);
    assert_eq!((time.is_over, time.parts, found), (true, 1, Vec::new()));
}

#[test]
fn of_names_that_are_equally_near_the_first_is_proposed() {
    let own: String = ('b'..='z').rev().map(|letter| format!("q{letter}q = 1\n")).collect();
    for _ in 0..20 {
        assert_eq!(looked_at(&format!("{own}qaq")).1, ["there is no `qaq`; did you mean `qbq`?"]);
    }
}
