//! A script means the same with the guard as without: the same value, and an error where there is one. Where lens differs by
//! intent, the scripts here don't go: floats are shown in full, dicts can be read by field, texts can be formatted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "hostile/grammar.rs"]
mod grammar;
#[path = "hostile/service.rs"]
mod service;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use lens_core::sandbox::{Limits, Sandbox};
use starlark::PrintHandler;
use starlark::environment::{Globals, LibraryExtension, Module};
use starlark::eval::Evaluator;
use starlark::syntax::{AstModule, Dialect};

/// Prints nothing: only values are compared.
struct Silent;

impl PrintHandler for Silent {
    fn println(&self, _: &str) -> starlark::Result<()> {
        Ok(())
    }
}

/// The value of `script` in the bare interpreter, as text.
fn bare(script: &str) -> Result<String, String> {
    use LibraryExtension::{Filter, Json, Map, Print, SetType, StructType};
    let globals = Globals::extended_by(&[StructType, Map, Filter, Json, Print, SetType]);
    let dialect = Dialect {
        enable_top_level_stmt: true,
        enable_keyword_only_arguments: true,
        enable_load: false,
        ..Dialect::Standard
    };
    let module = Module::new();
    let mut evaluator = Evaluator::new(&module);
    evaluator.set_print_handler(&Silent);
    evaluator.set_max_callstack_size(100).map_err(|error| error.to_string())?;
    let mut run = || {
        let ast = AstModule::parse("query", script.to_owned(), &dialect)?;
        evaluator.eval_module(ast, &globals)
    };
    run().map(|value| value.to_str()).map_err(|error| error.to_string())
}

/// The value of `script` in the sandbox, which must be a text.
fn guarded(sandbox: &Sandbox, script: &str) -> Result<String, String> {
    let outcome = sandbox.run(script, service::capture()).map_err(|error| error.to_string())?;
    Ok(outcome.value.as_str().map_or_else(|| outcome.value.to_string(), str::to_owned))
}

/// Whether two texts differ in nothing but the digits of floats: the bare interpreter shows seven of them, lens all.
fn are_equal_but_for_digits(bare: &str, guarded: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '+' | '-');
    let words = |text: &str| -> Vec<String> {
        text.split_inclusive(|letter| !is_part(letter))
            .flat_map(|word| {
                let (number, rest) = word.split_at(word.trim_end_matches(|letter| !is_part(letter)).len());
                [number.to_owned(), rest.to_owned()]
            })
            .collect()
    };
    let (bare, guarded) = (words(bare), words(guarded));
    bare.len() == guarded.len()
        && bare.iter().zip(&guarded).all(|(bare, guarded)| match (bare.parse::<f64>(), guarded.parse::<f64>()) {
            (Ok(shown), Ok(whole)) if guarded.contains(['.', 'e']) => (shown - whole).abs() <= whole.abs() * 1e-6,
            _ => bare == guarded,
        })
}

/// What differs between the two, if anything does. Values that are the same are counted in `values`.
fn difference(sandbox: &Sandbox, name: &str, script: &str, values: &Cell<usize>) -> Option<String> {
    let (bare, guarded) = (bare(script), guarded(sandbox, script));
    let is_same = match (&bare, &guarded) {
        (Ok(bare), Ok(guarded)) => {
            values.set(values.get() + 1);
            bare == guarded || are_equal_but_for_digits(bare, guarded)
        }
        (Err(_), Err(_)) => true,
        _ => false,
    };
    (!is_same).then(|| format!("{name}:\n{script}\nbare    {bare:?}\nguarded {guarded:?}\n"))
}

/// What the interpreter's own test files call, so that each of their checks becomes a value to compare.
const CHECKS: &str = r#"
seen = []
def see(*values): seen.append([repr(v) for v in values])
asserts = struct(eq=see, ne=see, lt=see, contains=see, true=see, fails=lambda f, text: None)
freeze = lambda value: value
"#;

/// The directory of the interpreter's own test files, in its unpacked package.
fn own_tests() -> PathBuf {
    let cargo = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let about = cargo(&["--version", "--verbose"]);
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // What only other systems need was not downloaded.
    let metadata = cargo(&[
        "metadata",
        "--format-version=1",
        "--locked",
        &format!("--filter-platform={host}"),
        concat!("--manifest-path=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let starlark = packages.iter().find(|package| package["name"] == "starlark").unwrap();
    Path::new(starlark["manifest_path"].as_str().unwrap()).with_file_name("testcases").join("eval/go")
}

#[test]
fn interpreters_own_tests_mean_the_same() {
    let sandbox = Sandbox::new(Limits::default());
    let (values, mut found) = (Cell::new(0), Vec::new());
    for file in ["assign", "bool", "builtin", "control", "dict", "float", "function", "misc", "set", "tuple"] {
        let text = std::fs::read_to_string(own_tests().join(file).with_extension("star")).unwrap();
        for (index, chunk) in text.split("\n---\n").enumerate() {
            let lines = chunk.lines().filter(|line| !line.starts_with("load("));
            let script = format!("{CHECKS}{}\nrepr(seen)", lines.collect::<Vec<_>>().join("\n"));
            found.extend(difference(&sandbox, &format!("{file} {index}"), &script, &values));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(values.get() > 20, "only {} chunks have a value", values.get());
}

#[test]
fn random_programs_mean_the_same() {
    let sandbox = Sandbox::new(Limits::default());
    let count: u64 = std::env::var("LENS_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(2000);
    let values = Cell::new(0);
    let found = (0..count).filter_map(|seed| {
        let script = grammar::script(seed, grammar::Kind::Plain);
        difference(&sandbox, &format!("seed {seed}"), &script, &values)
    });
    let found: Vec<String> = found.take(20).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    // Two errors are the same whatever they say; enough programs must do better.
    assert!(values.get() * 8 > usize::try_from(count).unwrap(), "only {} programs have a value", values.get());
}

/// Values of every kind, as they are written.
const VALUES: &[&str] = &[
    "None",
    "True",
    "False",
    "0",
    "1",
    "-7",
    "3",
    "255",
    "2147483647",
    "-2147483648",
    "9223372036854775807",
    "1 << 70",
    "0.0",
    "1.5",
    "-0.25",
    "\"\"",
    "\"a\"",
    "\"abc abc\"",
    "\"é€\"",
    "\"A b\\n\"",
    "[]",
    "[1, 2, 3]",
    "[\"b\", \"a\"]",
    "[[1], []]",
    "()",
    "(1,)",
    "(1, \"a\")",
    "{}",
    "{\"a\": 1, \"b\": 2}",
    "{1: [2]}",
    "set([])",
    "set([1, 2])",
    "range(4)",
    "range(5, 0, -2)",
    "struct(a=1)",
    "len",
];

const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "//", "%", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "&", "|", "^", ">>", "and", "or",
];

/// Calls and parts of a value `v`.
const FORMS: &[&str] = &[
    "repr(v)",
    "str(v)",
    "type(v)",
    "bool(v)",
    "len(v)",
    "list(v)",
    "tuple(v)",
    "set(v)",
    "dict(v)",
    "sorted(v)",
    "reversed(v)",
    "enumerate(v)",
    "enumerate(v, 5)",
    "zip(v, v)",
    "min(v)",
    "max(v)",
    "any(v)",
    "all(v)",
    "abs(v)",
    "int(v)",
    "float(v)",
    "hash(v)",
    "ord(v)",
    "chr(v)",
    "range(v)",
    "dir(v)",
    "-v",
    "+v",
    "not v",
    "~v",
    "v[0]",
    "v[-1]",
    "v[1:]",
    "v[:-1]",
    "v[::-1]",
    "v[::2]",
    "v[5:1]",
    "v[\"a\"]",
    "[x for x in v]",
    "[x for x in v if x]",
    "{x: 1 for x in v}",
    "v if v else 0",
    "hasattr(v, \"append\")",
    "getattr(v, \"a\", 7)",
    "v.a",
    "map(str, v)",
    "filter(None, v)",
    "filter(bool, v)",
    "sorted(v, key=str)",
    "sorted(v, reverse=True)",
    "max(v, key=lambda x: -x)",
    "v.upper()",
    "v.title()",
    "v.split()",
    "v.split(\" \", 1)",
    "v.strip(\"a\")",
    "v.replace(\"a\", \"xy\")",
    "v.find(\"b\")",
    "v.rfind(\"b\")",
    "v.index(\"b\")",
    "v.count(\"a\")",
    "v.startswith(\"a\")",
    "v.endswith((\"c\", \"a\"))",
    "v.join([\"x\", \"y\"])",
    "v.partition(\" \")",
    "v.elems()",
    "v.isalpha()",
    "v.splitlines()",
    "v.capitalize()",
    "v.lower()",
    "v.removeprefix(\"a\")",
    "v.keys()",
    "v.values()",
    "v.items()",
    "v.get(\"a\")",
    "v.get(3, \"no\")",
    "v.pop()",
    "v.pop(0)",
    "v.pop(\"a\", None)",
    "v.append(9)",
    "v.extend([8])",
    "v.insert(0, 1)",
    "v.remove(1)",
    "v.clear()",
    "v.index(2)",
    "v.setdefault(\"z\", 1)",
    "v.update({\"k\": 1})",
    "v.popitem()",
    "v.union([9])",
    "v.add(4)",
    "v.intersection([1])",
    "v.difference([1])",
    "v.issubset([1, 2, 3])",
    "v.discard(1)",
    "json.encode(v)",
    "\"%s\" % [v]",
    "\"%r|%s\" % (v, v)",
    "\"{} {}\".format(v, v)",
];

/// Programs with more than one statement.
const PROGRAMS: &[&str] = &[
    "def f(a, b=2, *c, d=4, **e): return [a, b, c, d, e]\nrepr([f(1), f(1, 3, 5, d=6, z=7), f(*[1, 2], **{\"d\": 9})])",
    "def f(n):\n    r = []\n    for i in range(n):\n        if i == 2: continue\n        if i == 5: break\n        r.append(i)\n    return r\nrepr(f(9))",
    "x = [1, 2]\ny = x\ny += [3]\nrepr((x, y))",
    "x = (1, 2)\ny = x\ny += (3,)\nrepr((x, y))",
    "d = {}\nd[\"a\"] = 1\nd[\"a\"] += 4\nd |= {\"b\": 2}\nrepr(d)",
    "a, (b, [c, d]) = 1, (2, [3, 4])\nrepr([a, b, c, d])",
    "l = [0, 1, 2]\nl[1] = l[-1] = 9\nrepr(l)",
    "l = [0, 1, 2]\nl[1] *= 5\nrepr(l)",
    "def outer():\n    n = [0]\n    def inner(): n[0] += 1\n    inner()\n    inner()\n    return n\nrepr(outer())",
    "repr([(x, y) for x in range(3) if x for y in range(x)])",
    "repr({k: v for k, v in [(1, 2), (3, 4), (1, 5)]})",
    "def f(): return g()\ndef g(): return 7\nrepr(f())",
    "l = [1, 2, 3]\nfor x in l: l.append(x)\nrepr(l)",
    "d = {1: 2}\nfor k in d: d[k + 1] = 3\nrepr(d)",
    "def f(x=[]):\n    x.append(1)\n    return x\nf()\nrepr(f())",
    "f = lambda x, y=3: x * y\nrepr([f(2), f(2, 5), f(y=1, x=9)])",
    "repr([x for x in [3, 1, 2] if x in (1, 2)] or \"none\")",
    "def f(*, a): return a\nf(1)",
    "def f(a, /): return a\nf(a=1)",
    "def f(a): return a\nf(1, a=2)",
    "def f(): f()\nf()",
    "x = 1\ndef f():\n    y = x\n    x = 2\n    return y\nf()",
    "l = [1]\nl.append(l)\nlen(l)",
    "s = set([1])\nt = s\nt |= set([2])\nrepr((s, t))",
    "repr(sorted([(2, \"b\"), (1, \"z\"), (2, \"a\")]))",
    "repr(sorted([3, 1, 2, 1], key=lambda x: -x))",
    "repr([1, 2, 3, 4, 5][-4:-1:2])",
    "repr(1 if [] else 2 if {} else 3)",
    "repr((1 == 1.0, hash(\"a\") == hash(\"a\"), {1: \"a\"}.get(1.0)))",
    "repr([7 // 2, -7 // 2, 7 % -2, -7 % 2, 7 / 2, 1 << 40, -1 >> 3])",
    "repr([0x1f, 0o17, 0b101, 1e3, .5, \"\\x41\\u00e9\\t\", r\"\\n\", \'\'\'a\nb\'\'\'])",
];

/// Where lens means something else by intent: the value (or a part of how it is written), the form, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("2147483647", "range(v)", "a range has no more items than a list may have"),
    ("9223372036854775807", "json.encode(v)", "a large integer is a number, not a text"),
    ("1 << 70", "json.encode(v)", "an integer that no reader of JSON keeps is an error"),
    ("range", "json.encode(v)", "a range is a list"),
    ("\"", "elems()", "the characters are a list"),
    ("\"\"", "for x in v", "an empty text is no list either"),
    ("{\"a\"", "dir(v)", "the keys of a dict can be read as fields"),
    ("{\"a\"", "getattr(", "the keys of a dict can be read as fields"),
    ("{\"a\"", "v.a", "the keys of a dict can be read as fields"),
];

fn is_meant_to_be_the_same(value: &str, form: &str) -> bool {
    !DIFFERENT.iter().any(|(v, f, _)| value.trim_start_matches('-').starts_with(v) && form.contains(f))
}

/// How many of the values are used in pairs: every third, or all with `LENS_CONFORMANCE=all`.
fn step() -> usize {
    if std::env::var("LENS_CONFORMANCE").is_ok_and(|chosen| chosen == "all") { 1 } else { 3 }
}

fn check_all(programs: impl Iterator<Item = String>, least: usize) {
    let sandbox = Sandbox::new(Limits::default());
    let (values, mut count, mut found) = (Cell::new(0), 0, Vec::new());
    for program in programs {
        count += 1;
        found.extend(difference(&sandbox, "program", &program, &values));
    }
    assert!(found.is_empty(), "{} of {count}:\n{}", found.len(), found[..found.len().min(25)].join("\n"));
    // Two errors are the same whatever they say; enough programs must have a value.
    assert!(values.get() >= least, "only {} of {count} have a value", values.get());
}

#[test]
fn programs_mean_the_same() {
    let whole = PROGRAMS.iter().map(|program| (*program).to_owned());
    // What a method has done to its receiver counts as well.
    let forms = VALUES.iter().flat_map(|value| {
        FORMS
            .iter()
            .filter(move |form| is_meant_to_be_the_same(value, form))
            .map(move |form| format!("v = {value}\nr = {form}\nrepr((r, v))"))
    });
    check_all(whole.chain(forms), 1000);
}

#[test]
fn operators_mean_the_same_on_every_two_values() {
    let pairs =
        VALUES.iter().step_by(step()).flat_map(|left| VALUES.iter().step_by(step()).map(move |right| (left, right)));
    // The interpreter takes `None | x` for that of types, and goes through all parts of `x`: the guard has none of it.
    let is_of_types = |left: &str, operator: &str| (left, operator) == ("None", "|");
    let programs = pairs.flat_map(|(left, right)| {
        let operators = OPERATORS.iter().filter(move |operator| !is_of_types(left, operator));
        operators.map(move |operator| format!("repr(({left}) {operator} ({right}))"))
    });
    check_all(programs, 600);
}

/// A comparison of a field is one call, and must be what reading the field and then comparing is: the same value or error,
/// and as many steps.
#[test]
fn a_compared_field_means_what_its_value_means() {
    let sandbox = Sandbox::new(Limits::default());
    let run = |script: &str| {
        let outcome = sandbox.run(script, service::capture());
        outcome
            .map(|outcome| (outcome.value, outcome.cost.steps))
            .map_err(|error| (error.kind, error.message, error.help))
    };
    let fields = [
        "id",
        "name",
        "state",
        "busy_ms",
        "parks",
        "place",
        "place.line",
        "place.file",
        "tags",
        "tags.append",
        "absent",
        "parks.fix",
        "name.upper",
        "id.absent",
    ];
    let others =
        ["5", "0.5", "-1", "\"idle\"", "\"\"", "None", "True", "known", "unknown", "huge", "nothing", "float_nan"];
    for (row, field) in [0, 1, 4].into_iter().flat_map(|row| fields.map(|field| (row, field))) {
        for other in others {
            for operator in ["==", "!=", "<", ">", "<=", ">="] {
                let names = format!(
                    "rows = tasks.list(6)\nr = rows[{row}]\nknown = rows[4].busy_ms\nunknown = rows[1].parks\n\
                     huge = rows[0].id\nfloat_nan = float(\"nan\")\n"
                );
                let fused = run(&format!("{names}r.{field} {operator} {other}"));
                let apart = run(&format!("{names}(r.{field},)[0] {operator} {other}"));
                match (fused, apart) {
                    // An index is a step of its own.
                    (Ok((fused, fused_steps)), Ok((apart, apart_steps))) => {
                        assert_eq!((fused, fused_steps), (apart, apart_steps - 1), "r.{field} {operator} {other}");
                    }
                    (fused, apart) => assert_eq!(fused, apart, "r.{field} {operator} {other}"),
                }
            }
        }
    }
}

#[test]
fn an_error_of_a_compared_field_is_where_it_belongs() {
    let sandbox = Sandbox::new(Limits::default());
    let meant = |script: &str| {
        let error = sandbox.run(script, service::capture()).unwrap_err();
        let (at, excerpt) = (error.column.unwrap() as usize - 1, error.excerpt.unwrap());
        excerpt.text.chars().skip(at).take(excerpt.width as usize).collect::<String>()
    };
    assert_eq!(meant("[t for t in tasks.list(3) if t.busy > 5]"), "t.busy");
    assert_eq!(meant("[t for t in tasks.list(3) if t.place.lin > 5]"), "t.place.lin");
    assert_eq!(meant("[t for t in tasks.list(3) if t.plce.line > 5]"), "t.plce");
    assert_eq!(meant("[t for t in tasks.list(3) if t.name > 5]"), "t.name > 5");
    assert_eq!(meant("x = tasks.list(3)[1]\nx.parks == 5"), "x.parks == 5");
    assert_eq!(meant("t = tasks.list(3)[1]\nf\"{t.id} {t.busy > 5}\""), "t.busy");
    assert_eq!(meant("t = None\n[t.a < 5]"), "t.a");
}
