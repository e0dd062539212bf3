//! What can be said of a script before it runs: everything that is wrong, with its place, and nothing that is right.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "hostile/grammar.rs"]
mod grammar;
#[path = "hostile/service.rs"]
mod service;

use lens_core::sandbox::{Limits, MAX_FINDINGS, QueryError, QueryErrorKind, Sandbox};

fn check(source: &str) -> Vec<QueryError> {
    Sandbox::new(Limits::default()).check(source, service::capture().registry()).unwrap()
}

/// Line, column, code and nearest name of each error.
fn found(source: &str) -> Vec<(u32, u32, &'static str, Option<String>)> {
    let place = |error: QueryError| (error.line.unwrap(), error.column.unwrap(), error.kind.code(), error.nearest);
    check(source).into_iter().map(place).collect()
}

/// Line, column and message of each error.
fn said(source: &str) -> Vec<(u32, u32, String)> {
    let place = |error: QueryError| (error.line.unwrap(), error.column.unwrap(), error.message);
    check(source).into_iter().map(place).collect()
}

fn near(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn every_error_is_found_at_its_place() {
    let source = "\
x = 1
while x < 3:
    x += 1
y = [t.nmae for t in tasks.list()]
def f(a):
    return a +
z = tasks.lst(limit=3)
top(tasks.list(), by=\"bussy_ms\")
\"a\".uper()
prnt(x)
if 1 < 2 < 3: pass
";
    assert_eq!(
        found(source),
        [
            (2, 1, "syntax", None),
            (4, 6, "unknown_name", near("name")),
            (6, 15, "syntax", None),
            (7, 5, "not_found", near("list")),
            (8, 22, "unknown_name", near("busy_ms")),
            (9, 1, "unknown_name", near("upper")),
            (10, 1, "unknown_name", near("print")),
            (11, 10, "syntax", None),
        ]
    );
}

#[test]
fn arguments_are_checked_against_the_definition() {
    assert_eq!(found("tasks.list(lmit=3)"), [(1, 12, "argument", near("limit"))]);
    assert_eq!(found("tasks.list(limit=\"many\")"), [(1, 12, "argument", None)]);
    assert_eq!(found("tasks.list(1, 2)"), [(1, 1, "argument", None)]);
    assert_eq!(found("n = 3\ntasks.list(limit=n)"), [], "n may be right");
    assert_eq!(found("a = {}\ntasks.list(**a)"), []);
    assert_eq!(found("sorted([1], revers=True)"), [(1, 13, "argument", near("reverse"))]);
    assert_eq!(found("where([1])"), [(1, 1, "argument", None)]);
    assert_eq!(found("abs(1, 2)"), [(1, 1, "argument", None)]);
    assert_eq!(found("where = lambda a: a\nwhere(1)"), [], "the script's own");
}

#[test]
fn an_argument_that_is_given_twice_is_found() {
    let twice = || "the argument `limit` of `tasks.list` is given twice".to_owned();
    assert_eq!(said("tasks.list(5, limit=5)"), [(1, 15, twice())]);
    assert_eq!(said("n = 3\ntasks.list(n, limit=n)"), [(2, 15, twice())]);
    assert_eq!(said("f\"{tasks.list(1, limit=1)}\""), [(1, 18, twice())]);
    assert_eq!(said("def unused():\n    return tasks.list(1, limit=\"x\")\n1"), [(2, 26, twice())]);
    assert_eq!(said("sorted([1], key=lambda x: len(tasks.list(x, limit=x)))"), [(1, 45, twice())]);
    let wrong = "the argument `limit` of `tasks.list` takes an integer between 0 and 4294967295, not \"x\"".to_owned();
    assert_eq!(said("tasks.list(\"x\", limit=5)"), [(1, 12, wrong), (1, 17, twice())]);
}

#[test]
fn each_wrong_argument_is_found_and_no_more_than_there_is_room_for() {
    let unknown = |name: &str| format!("`tasks.list` has no argument `{name}`; it takes `limit`");
    let wrong = "the argument `limit` of `tasks.list` takes an integer between 0 and 4294967295, not 2.5".to_owned();
    assert_eq!(said("tasks.list(2.5, abc=1)"), [(1, 12, wrong.clone()), (1, 17, unknown("abc"))]);
    assert_eq!(said("tasks.list(abc=1, limit=2.5)"), [(1, 12, unknown("abc")), (1, 19, wrong)]);
    let many: String = (0..250).map(|index| format!("a{index}=1, ")).collect();
    let found = said(&format!("tasks.list({many})"));
    assert_eq!(found.len(), MAX_FINDINGS);
    assert_eq!(found[MAX_FINDINGS - 1], (1, 135, unknown("a19")));
}

#[test]
fn a_key_can_be_what_it_can_be_when_the_script_runs() {
    let field = "a text cannot be called".to_owned();
    for (source, column) in [
        ("sorted(tasks.list(), key=\"busy_ms\")", 26),
        ("max(tasks.list(), key=\"busy_ms\")", 23),
        ("min(tasks.list(), key=f\"{1}\")", 23),
        ("map(\"busy_ms\", tasks.list())", 5),
        ("filter(\"busy_ms\", tasks.list())", 8),
    ] {
        assert_eq!(said(source), [(1, column, field.clone())], "{source}");
        let run = Sandbox::new(Limits::default()).run(source, service::capture()).unwrap_err();
        assert_eq!((run.kind, run.message), (QueryErrorKind::Runtime, field.clone()), "{source}");
    }
    let source = "table(tasks.list(), lambda t: t.id)";
    let run = Sandbox::new(Limits::default()).run(source, service::capture()).unwrap_err();
    assert_eq!(run.message, "`table` takes names of fields, not a function");
    assert_eq!(said(source), [(1, 21, run.message)]);
    for source in [
        "sorted(tasks.list(), key=lambda t: t.busy_ms)",
        "sorted([1], key=None)",
        "key = \"a\"\nmax([1], key=lambda t: key)",
        "filter(None, tasks.list())",
        "map(str, tasks.list())",
        "top(tasks.list(), 3, by=\"busy_ms\")",
        "top(tasks.list(), 3, \"busy_ms\")",
        "sum_by(tasks.list(), \"state\", lambda t: t.busy_ms)",
        "table(tasks.list(), \"id\", \"busy_ms\")",
        "max(tasks.list(limit=1), tasks.list(limit=2), key=lambda both: both.index(both[0]))",
    ] {
        assert_eq!(check(source), [], "{source}");
        Sandbox::new(Limits::default()).run(source, service::capture()).unwrap();
    }
}

#[test]
fn a_helper_is_looked_at_once() {
    let names: Vec<String> = (0..15).map(|index| format!("unknown_{index}")).collect();
    let source = format!("table([], table([], {}), {})", names[..10].join(", "), names[10..].join(", "));
    // If there was no room for all of them, they would have been found twice.
    let expected: Vec<String> = names.iter().map(|name| format!("there is no `{name}`")).collect();
    assert_eq!(said(&source).into_iter().map(|(.., message)| message).collect::<Vec<_>>(), expected);
}

#[test]
fn fields_are_known_through_assignments_loops_and_helpers() {
    for source in [
        "ts = tasks.list()\nfor t in ts: print(t.nmae)",
        "[t for t in tasks.list() if t.nmae]",
        "where(tasks.list(), lambda t: t.nmae)",
        "max(tasks.list(), key=lambda t: t.nmae)",
        "map(lambda t: t.nmae, tasks.list())",
        "filter(lambda t: t.id, tasks.list())[0].nmae",
        "table(tasks.list(), \"id\", \"nmae\")",
        "sorted(tasks.list(), key=lambda t: t.id)[0].nmae",
        "f\"{tasks.list()[0].nmae}\"",
        "def main():\n    rows = where(tasks.list(), \"busy_ms\")\n    return rows[0].nmae",
    ] {
        let all = check(source);
        assert_eq!(all.len(), 1, "{source}: {all:?}");
        assert_eq!(all[0].nearest.as_deref(), Some("name"), "{source}");
        let text = source.lines().nth(all[0].line.unwrap() as usize - 1).unwrap();
        let from_there = text.chars().skip(all[0].column.unwrap() as usize - 1).collect::<String>();
        assert!(from_there.contains("nmae"), "{source}: {from_there}");
    }
    // A name with two meanings has none that is known.
    assert_eq!(check("t = tasks.list()\nt = struct(nmae=1)\nt.nmae"), []);
    assert_eq!(check("t = 3\nt = tasks.list()[0]\nt.nmae"), []);
}

#[test]
fn names_are_resolved_in_their_scopes() {
    assert_eq!(found("[item for item in range(3)]\nitem"), [(2, 1, "unknown_name", None)]);
    assert_eq!(found("def f():\n    local = 1\nlocal"), [(3, 1, "unknown_name", None)]);
    assert_eq!(found("def f():\n    return later\nlater = 1\nf()"), []);
    assert_eq!(found("def f(n=missing): return n"), [(1, 9, "unknown_name", None)]);
}

#[test]
fn a_script_that_is_too_long_or_too_deep_has_one_error() {
    let long = "#".repeat(Limits::default().source_bytes + 1);
    let deep = "(".repeat(5000);
    for source in [long, deep] {
        let all = check(&source);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].kind, QueryErrorKind::Limit);
    }
    assert_eq!(check(&"while x:\n".repeat(2000)).len(), MAX_FINDINGS);
    assert_eq!(check(&"x +\n".repeat(2000)).len(), MAX_FINDINGS);
}

#[test]
fn what_runs_is_right_and_what_the_interpreter_refuses_is_found() {
    let sandbox = Sandbox::new(Limits::default());
    let is_static = |error: &QueryError| {
        error.kind == QueryErrorKind::Syntax
            || (error.kind == QueryErrorKind::UnknownName && error.message.starts_with("there is no `"))
    };
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..600 {
        let kind = if seed % 2 == 0 { grammar::Kind::Hostile } else { grammar::Kind::Plain };
        let script = grammar::script(seed, kind);
        let said = sandbox.check(&script, service::capture().registry()).unwrap();
        match sandbox.run(&script, service::capture()) {
            Ok(_) => {
                right += 1;
                assert!(!said.iter().any(is_static), "seed {seed}:\n{script}\n{said:?}");
            }
            Err(error) if is_static(&error) => {
                wrong += 1;
                assert!(
                    said.iter().any(|one| one.message == error.message),
                    "seed {seed}:\n{script}\n{error}\n{said:?}"
                );
            }
            Err(_) => assert!(!said.iter().any(is_static), "seed {seed}:\n{script}\n{said:?}"),
        }
    }
    assert!(right > 50 && wrong > 10, "{right} right, {wrong} wrong");
}

#[test]
fn what_may_be_right_is_left_alone() {
    for source in [
        "[x.nope for x in tasks.list() for x in [struct(nope=1)]]",
        "xs = tasks.list()\nxs.append(struct(nope=1))\n[x.nope for x in xs]",
        "xs = tasks.list()\nxs[0] = struct(nope=1)\nxs[0].nope",
        "xs = tasks.list()\nxs += [struct(nope=1)]\n[x.nope for x in xs]",
        "[t.nope for t in tasks.list() if hasattr(t, \"nope\")]",
    ] {
        assert_eq!(found(source), [], "{source}");
    }
    assert_eq!(found("xs = tasks.list()\n[x.nope for x in xs]"), [(2, 2, "unknown_name", None)]);
}
