//! What each function of the query language gives, and what each mistake is told: values that follow from the script
//! alone, written out.

#[path = "hostile/service.rs"]
mod service;

use std::collections::BTreeSet;
use std::time::Duration;

use lens_core::sandbox::{Limits, QueryError, Sandbox};
use serde_json::Value;

/// A script and its value as JSON.
const VALUES: &[(&str, &str)] = &[
    (
        "[list(range(10)[::-3]), list(range(20, 0, -3)[-9:4:2]), range(0, 2147483647, 2147483646)[:1][0]]",
        "[[9, 6, 3, 0], [20, 14], 0]",
    ),
    ("[1 if 0else-1, 0x1f, 0b11, 1_000, 1e3, .5, 1.5e-1, 0o17]", "[-1, 31, 3, 1000, 1000.0, 0.5, 0.15, 15]"),
    ("[abs(-3), abs(2.5), abs(-5000000000)]", "[3, 2.5, 5000000000]"),
    ("[all([]), all([1, 0]), any([]), any([0, 1])]", "[true, false, false, true]"),
    ("[available(1), available(None), available(mean([]))]", "[true, true, false]"),
    ("[bool(), bool([]), bool(\"a\"), bool(0.0)]", "[false, false, true, false]"),
    ("[chr(228), ord(\"ä\")]", "[\"ä\", 228]"),
    ("dict([(\"a\", 1)], b=2)", "{\"a\": 1, \"b\": 2}"),
    (
        "[x for x in dir(\"\") if x.startswith(\"is\")]",
        "[\"isalnum\", \"isalpha\", \"isdigit\", \"islower\", \"isspace\", \"istitle\", \"isupper\"]",
    ),
    ("dir(struct(b=1, a=2))", "[\"a\", \"b\"]"),
    ("enumerate([\"a\", \"b\"], 5)", "[[5, \"a\"], [6, \"b\"]]"),
    ("len(enumerate(range(300000)))", "300000"),
    ("filter(lambda x: x > 1, [1, 2, 3])", "[2, 3]"),
    ("filter(None, [0, None, 1])", "[0, 1]"),
    ("[float(\"1.5\"), float(True), int(-2.9), int(\"ff\", 16), int(5000000000.0)]", "[1.5, 1.0, -2, 255, 5000000000]"),
    ("[getattr(struct(a=1), \"a\"), getattr(struct(a=1), \"b\", 0)]", "[1, 0]"),
    ("[hasattr(struct(a=1), \"a\"), hasattr([], \"append\"), hasattr(1, \"a\")]", "[true, true, false]"),
    ("hash(\"a\") == hash(\"a\") and hash(\"a\") != hash(\"b\")", "true"),
    ("json.decode(json.encode({\"a\": [1, None, 2.5, \"é\"]}))", "{\"a\": [1, null, 2.5, \"é\"]}"),
    ("json.encode({\"b\": 1, \"a\": (True, None)})", "\"{\\\"b\\\":1,\\\"a\\\":[true,null]}\""),
    ("[len(\"äé\"), len([1]), len({1: 2}), len(set([1, 1])), len(range(7)), len((1, 2))]", "[2, 1, 1, 1, 7, 2]"),
    ("[list(), list((1, 2)), list({\"a\": 1})]", "[[], [1, 2], [\"a\"]]"),
    ("map(str, [1, \"a\"])", "[\"1\", \"a\"]"),
    ("[max([1, 3, 2]), max(1, 3), max([\"aa\", \"b\"], key=len), max([], default=0)]", "[3, 3, \"aa\", 0]"),
    ("[min([1, 3, 2]), min(1, 3), min([\"aa\", \"b\"], key=len), min([], default=0)]", "[1, 1, \"b\", 0]"),
    ("[list(range(3)), list(range(5, 1, -2))]", "[[0, 1, 2], [5, 3]]"),
    ("[repr(\"a\"), str(\"a\"), str([\"a\", None, 1.0])]", "[\"\\\"a\\\"\", \"a\", \"[\\\"a\\\", None, 1.0]\"]"),
    ("reversed((1, 2, 3))", "[3, 2, 1]"),
    (
        "[sorted([3, 1, 2]), sorted([\"bb\", \"a\", \"cc\"], key=len, reverse=True)]",
        "[[1, 2, 3], [\"bb\", \"cc\", \"a\"]]",
    ),
    ("struct(b=1, a=[2]).a[0]", "2"),
    ("s = struct(append=lambda x: x + 1)\ns.append(1)", "2"),
    ("[sum([]), sum([1, 2.5]), sum([[1], [2]], []), sum([5000000000, 5000000000])]", "[0, 3.5, [1, 2], 10000000000]"),
    ("[tuple(), tuple([1, 2])]", "[[], [1, 2]]"),
    (
        "[type(1), type(\"\"), type(None), type(1.0), type([])]",
        "[\"int\", \"string\", \"NoneType\", \"float\", \"list\"]",
    ),
    ("zip([1, 2, 3], \"ab\".elems())", "[[1, \"a\"], [2, \"b\"]]"),
    ("len(zip(range(200000), range(200000)))", "200000"),
    // Helpers take the name of a field or a function of the item.
    ("where([{\"n\": 1}, {\"n\": 0}], \"n\")", "[{\"n\": 1}]"),
    ("where([1, 2, 3], lambda x: x > 1)", "[2, 3]"),
    ("pluck([struct(n=1), {\"n\": 2}], \"n\")", "[1, 2]"),
    // An entry may be called as a method is.
    ("pluck([{\"items\": 3}, {\"items\": 5}], \"items\")", "[3, 5]"),
    ("where([{\"keys\": 0}, {\"keys\": 5}], \"keys\")", "[{\"keys\": 5}]"),
    ("table([{\"get\": 1, \"a\": 2}], \"get\")", "[{\"get\": 1}]"),
    ("table([struct(a=1, b=2, c=3)], \"c\", \"a\")", "[{\"c\": 3, \"a\": 1}]"),
    ("group_by([1, 2, 3], lambda x: \"odd\" if x % 2 else \"even\")", "{\"odd\": [1, 3], \"even\": [2]}"),
    ("repr(count_by([1, 2, 2], None))", "\"{2: 2, 1: 1}\""),
    (
        "repr(sum_by([(\"a\", 1), (\"b\", 5), (\"a\", 2)], lambda p: p[0], lambda p: p[1]))",
        "\"{\\\"b\\\": 5, \\\"a\\\": 3}\"",
    ),
    ("top([1, 5, 3], 2)", "[5, 3]"),
    (
        "top([{\"a\": 1, \"n\": 1}, {\"a\": 2, \"n\": 1}, {\"a\": 3, \"n\": 2}], 2, by=\"n\")",
        "[{\"a\": 3, \"n\": 2}, {\"a\": 1, \"n\": 1}]",
    ),
    ("[top([1], -1), top([], 3)]", "[[], []]"),
    ("uniq([2, 1, 2])", "[2, 1]"),
    ("[mean([1, 2, 6]), mean([{\"n\": 4}], \"n\")]", "[3.0, 4.0]"),
    // The nearest rank, which no rounding of a product may move.
    ("[p for p in range(1, 101) if percentile(range(1, 101), p) != p]", "[]"),
    ("[p for p in range(1, 101) if percentile(range(1, 1001), p) != p * 10]", "[]"),
    (
        "[percentile(range(1, 1001), p) for p in [0, 0.05, 0.1, 0.11, 99.9, 99.91, 100]]",
        "[1, 1, 1, 2, 999, 1000, 1000]",
    ),
    ("[percentile(range(1, 101), 50.00000001), percentile(range(1, 101), 50)]", "[51, 50]"),
    ("[percentile([7], 0), percentile([7], 100), percentile([2, 1], 50), percentile([2, 1], 51)]", "[7, 7, 1, 2]"),
    (
        "summary([4, 1, 3, 2])",
        "{\"count\": 4, \"min\": 1.0, \"mean\": 2.5, \"p50\": 2.0, \"p90\": 4.0, \"p99\": 4.0, \"max\": 4.0}",
    ),
    (
        "s = summary(range(100000, 0, -1))\n[s.count, s.min, s.p50, s.p90, s.p99, s.max]",
        "[100000, 1.0, 50000.0, 90000.0, 99000.0, 100000.0]",
    ),
    ("[available(x) for x in [summary([]).max, mean([]), percentile([], 50)]]", "[false, false, false]"),
    ("[(h.up_to, h.count) for h in histogram([1, 5, 10, 50], [1, 10])]", "[[1.0, 1], [10.0, 2], [null, 1]]"),
    ("[(h.up_to, h.count) for h in histogram([1, 2], [])]", "[[null, 2]]"),
    ("[round(2.345, 1), round(2.5), round(3.5), round(-0.4), round(7, 2)]", "[2.3, 2, 4, 0, 7]"),
    ("[pow(2, 10), pow(2.0, 0.5) > 1.41, pow(2, -1), pow(0, 0), pow(-1, 2000000001)]", "[1024, true, 0.5, 1, -1]"),
    ("[pow(-1, 1 << 70), pow(-1, (1 << 70) + 1), pow(1, 1 << 70), pow(0, 1 << 70)]", "[1, -1, 1, 0]"),
    (
        "f = lambda a, *rest: len(rest)\ng = lambda a, *, b=2: b\n[f(1, 2, 3), g(0), [lambda x, *y: y][0](1, 2)]",
        "[2, 2, [2]]",
    ),
    ("f, g = lambda x=1: x, lambda y=2: y\n[f(), g()]", "[1, 2]"),
    ("repr(enumerate([\"a\", \"b\"], 2147483647))", "\"[(2147483647, \\\"a\\\"), (2147483648, \\\"b\\\")]\""),
    ("[pow(1, 10000000000), pow(0, 5), pow(-1, 10000000000), str(pow(2, 1000))[:5]]", "[1, 0, 1, \"10715\"]"),
    ("[str(1 << 1000)[:5], 0 << 5000, str(int(\"9\" * 300) * 1)[:3]]", "[\"10715\", 0, \"999\"]"),
    (
        "[human_bytes(n) for n in [0, 1536, 1023.9, 1048575, 1048576, -2048, -0.001, 10 << 30]]",
        "[\"0 B\", \"1.5 KiB\", \"1 KiB\", \"1 MiB\", \"1 MiB\", \"-2 KiB\", \"0 B\", \"10 GiB\"]",
    ),
    (
        "[human_ms(n) for n in [0, 0.5, 999.9, 59999, 90000, 3600000, 86400000]]",
        "[\"0 µs\", \"500 µs\", \"1 s\", \"1 min\", \"1.5 min\", \"1 h\", \"1 d\"]",
    ),
    // What is repeated may be empty, however often.
    (
        "[\"\" * 2147483647, [] * 2147483647, 2147483647 * (), \"ab\" * 2, 2 * [1], (1,) * -1]",
        "[\"\", [], [], \"abab\", [1, 1], []]",
    ),
    // What is there is read before what is added to it.
    ("d = {\"a\": 1}\ndef f():\n    d[\"a\"] = 10\n    return 1\nd[\"a\"] += f()\nd", "{\"a\": 2}"),
    ("d = {\"a\": 1}\ndef f():\n    d[\"a\"] = 10\n    return 1\nd[\"a\"] += [f() for _ in [0]][0]\nd", "{\"a\": 2}"),
    (
        "d = {\"a\": [1]}\ndef f():\n    d[\"a\"] = [9]\n    return 2\nd[\"a\"] += [lambda v=f(): v][:0] + [2]\nd",
        "{\"a\": [1, 2]}",
    ),
    ("xs = [1, 2]\nxs[0], xs[1] = 5, 6\nxs[0] -= 1\nxs", "[4, 6]"),
    ("d = {}\ndef go():\n    d[\"n\"] = 1\n    return 2\nd[\"go\"] = go\n[d.go(), d[\"n\"]]", "[2, 1]"),
    ("xs = [0] * 500000\nxs += [1] * 500000\nlen(xs)", "1000000"),
    ("len((\"a\" * 600000).replace(\"a\", \"b\"))", "600000"),
    // Formats, as Python has them.
    (
        "[f\"{5:>05}\", f\"{-5:05}\", f\"{1.5:>08.2f}\", \"{:<4}|\".format(\"a\")]",
        "[\"00005\", \"-0005\", \"00001.50\", \"a   |\"]",
    ),
    (
        "[f\"{5: <05}\", f\"{5:*=05}\", f\"{'ab':05}\", f\"{100.0:.4}\", f\"{1048575:_x}\"]",
        "[\"5    \", \"****5\", \"ab000\", \"100.0\", \"f_ffff\"]",
    ),
    (
        "[\"%05s\" % \"ab\", \"%05d\" % -5, \"%-5s|\" % \"ab\", \"%05.1f\" % 2.5]",
        "[\"   ab\", \"-0005\", \"ab   |\", \"002.5\"]",
    ),
    ("x = 1\n[rf\"C:\\{x}\", rf\"{x}\\{x}\", f\"{x:03d}\", f\"{x + 1}\"]", "[\"C:\\\\1\", \"1\\\\1\", \"001\", \"2\"]"),
    ("[1_000, 0xff_ff, 1.5e3]", "[1000, 65535, 1500.0]"),
    ("[0Xff_E, 0x_ff, 0b_11, 0o_1_7]", "[4094, 255, 3, 15]"),
    ("def outer():\n    def tasks(): return 1\n    return tasks()\n[outer(), type(tasks)]", "[1, \"skill\"]"),
    // Rows are the same if their fields are.
    ("tasks.list(limit=2)[0] == tasks.list(limit=2)[0]", "true"),
    ("tasks.list(limit=2)[0] == tasks.list(limit=2)[1]", "false"),
    ("tasks.list(limit=3)[2] in tasks.list(limit=5)", "true"),
];

/// Scripts that store the same again and again: only what is new takes memory, of which there is little.
const FRUGAL: &[(&str, &str)] = &[
    ("d = {}\nfor i in range(20000):\n    d[\"n\"] = i\nd", "{\"n\": 19999}"),
    ("d = {\"n\": 0}\nfor i in range(20000):\n    d[\"n\"] += 1\nd", "{\"n\": 20000}"),
    ("d = {}\nfor i in range(20000):\n    d.setdefault(0, i)\nd", "{\"0\": 0}"),
    ("s = set()\nfor i in range(20000):\n    s.add(i % 2)\nlen(s)", "2"),
];

/// A script, what is wrong with it, and what to do.
const ERRORS: &[(&str, &str, Option<&str>)] = &[
    ("bussy = 1\nbusy", "there is no `busy`; did you mean `bussy`?", None),
    (
        "def f():\n    return nope\n1",
        "there is no `nope`",
        Some("GET /debug/lens/skills lists what there is; a text needs quotes"),
    ),
    (
        "[0 for z in []]\nz",
        "there is no `z` here: only the function or list that binds it knows it",
        Some("return it, or bind it out here"),
    ),
    (
        "def f(b): return b\n[f(1), b]",
        "there is no `b` here: only the function or list that binds it knows it",
        Some("return it, or bind it out here"),
    ),
    (
        "[x for y in x for x in [[1]]]",
        "there is no `x` here: only the function or list that binds it knows it",
        Some("return it, or bind it out here"),
    ),
    ("f\"{1}{zz}\"", "there is no `zz`", Some("GET /debug/lens/skills lists what there is; a text needs quotes")),
    ("x = max(1, 2\nfor y in [1]:\n    x", "this `(` is not closed", None),
    ("None = 1", "`None` always means the same", Some("use another name")),
    ("def f(True): return 1", "`True` always means the same", Some("use another name")),
    (
        "{1: \"a\", \"1\": \"b\"}",
        "two keys of this dict are both \"1\" in JSON",
        Some("let all keys be of one kind, as in `{str(k): v for k, v in d.items()}`"),
    ),
    (
        "json.encode({None: 1, \"null\": 2})",
        "two keys of this dict are both \"null\" in JSON",
        Some("let all keys be of one kind, as in `{str(k): v for k, v in d.items()}`"),
    ),
    (
        "json.encode({\"null\": 1, None: 2})",
        "two keys of this dict are both \"null\" in JSON",
        Some("let all keys be of one kind, as in `{str(k): v for k, v in d.items()}`"),
    ),
    (
        "histogram([float(\"nan\")], [1])",
        "a `histogram` has no place for what is no number (`nan`)",
        Some("leave such values out, as in `[x for x in xs if x == x]`"),
    ),
    ("histogram([1], [float(\"nan\")])", "the bounds of a `histogram` must rise", None),
    ("percentile([1], 101)", "`percentile` takes a number between 0 and 100", None),
    ("pow(0, -1)", "0 has no negative power", None),
    ("pow(-8, 1 / 3)", "a negative number has whole powers only", None),
    (
        "pow(2, 10000000000)",
        "an integer of 1026 bits is larger than its limit of 1024 (`int_bits`)",
        Some("use a float, as in `float(n)`"),
    ),
    (
        "1 << (1 << 40)",
        "an integer of billions of bits is larger than its limit of 1024 (`int_bits`)",
        Some("use a float, as in `float(n)`"),
    ),
    ("tasks.list(limit=float(\"nan\"))", "an argument is a finite number", None),
    ("range(3000000000)", "`range` takes integers between -2147483648 and 2147483647", None),
    (
        "range(0, 2147483647, 2147483646)[::2]",
        "this slice of a `range` goes further than 2147483647",
        Some("make a list of the range first, as in `list(r)[::-1]`"),
    ),
    (
        "range(0, 2147483647, 2147483646)[::-1]",
        "this slice of a `range` goes further than 2147483647",
        Some("make a list of the range first, as in `list(r)[::-1]`"),
    ),
    ("\"a\".replace(\"a\", \"b\", [1])", "`replace` of a text does not take a list", None),
    (
        "def count(**named):\n    return len(named)\ncount(**{\"n\" * 257: 1})",
        "the name of an argument has 257 bytes; the limit is 256",
        Some("hand the dict itself to the function"),
    ),
    ("\"{18446744073709551615}\".format(1)", "the format needs 18446744073709551615 arguments and got 1", None),
    ("range(1.5)", "`range` takes an integer, not a float", Some("round the number first, as in `int(x)`")),
    ("[1][1 << 40]", "this index is outside of a list: it is no integer between -2147483648 and 2147483647", None),
    ("[1][:1 << 40]", "a slice is bounded by integers between -2147483648 and 2147483647", None),
    ("sum([1 > 0])", "`sum` takes numbers, not a bool", Some("count what is true: `len([x for x in xs if x])`")),
    ("sum([\"a\"])", "`sum` takes numbers, not a text", Some("join texts: `\", \".join(xs)`")),
    (
        "sum([], mean([]))",
        "this value is unavailable: there are no values to take the mean of",
        Some("there are no values to take the mean of; or leave such values out with `available(x)`"),
    ),
    (
        "len(mean([]))",
        "this value is unavailable: there are no values to take the mean of",
        Some("there are no values to take the mean of; or leave such values out with `available(x)`"),
    ),
    ("len(5)", "an int has no length", None),
    (
        "top(tasks.list(), \"busy_ms\")",
        "the second argument of `top` is how many there are to be",
        Some("write `top(xs, by=\"busy_ms\")`"),
    ),
    (
        "max(tasks.list(), key=\"busy_ms\")",
        "a text cannot be called",
        Some("write a function, as in `lambda t: t.busy_ms`"),
    ),
    ("sum(x for x in [1])", "there are no generator expressions", Some("make a list: `sum([x.n for x in xs])`")),
    ("len({1, 2})", "there is no `{}` for sets", Some("write `set([1, 2])`, or `set([x for x in xs])`")),
    ("{x for x in [1]}", "there is no `{}` for sets", Some("write `set([1, 2])`, or `set([x for x in xs])`")),
    ("1 > 0 && 2 > 1", "there is no `&&`", Some("write `and`")),
    ("1 > 0 || 2 > 1", "there is no `||`", Some("write `or`")),
    ("a = b = 1", "assignments cannot be chained", Some("assign to each name on a line of its own")),
    ("first, *rest = [1, 2]", "a list cannot be unpacked here", Some("take its parts: `first, rest = xs[0], xs[1:]`")),
    (
        "struct(a=1).f\"{1}\"",
        "a text stands where a name is needed",
        Some("write the name, as in `t.name`, or `getattr(t, name)`"),
    ),
    ("f\"{1)+(2}\"", "this bracket was not opened", None),
    ("1o_r 2", "unexpected identifier 'o_r' here", None),
    (" \\\n1", "a line cannot begin with a backslash", Some("begin the line where the backslash is")),
    (
        "x = 1\ndef main(x): return x",
        "`main` is called without arguments, but takes some",
        Some("give each a default, or end the script with a call, as in `main(10)`"),
    ),
    ("def g():\n    def tasks(): return 1\n    return tasks()\ntasks()", "a skill cannot be called", None),
    (
        "{}[\"a\" * 61]",
        "the dict has no key \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        Some("use `d.get(key)`, or ask first: `if key in d:`"),
    ),
    (
        "\"{a[0]}\".format(a=[1])",
        "the format has no argument `a[0]`",
        Some("fields and items can only be read in an f-string, as in `f\"{a[0]}\"`"),
    ),
    (
        "getattr({\"\\x1b[31mred\": 1}, \"\\x1b[2Jx\")",
        "a dict has no `\\u{1b}[2Jx`",
        Some(
            "it has `\\u{1b}[31mred`, `clear`, `get`, `items`, `keys`, `pop`, `popitem`, `setdefault`, `update`, `values`",
        ),
    ),
    (
        "print(\"\\n\" * 2000)",
        "the query printed more than its limit of 1000 lines (`printed_lines`)",
        Some("print totals instead of single items, or return them as the script's value"),
    ),
];

fn ask(script: &str) -> Result<Value, QueryError> {
    ask_within(Limits::default(), script)
}

fn ask_within(mut limits: Limits, script: &str) -> Result<Value, QueryError> {
    // A debug build needs seconds for a million turns.
    limits.wall = Duration::from_secs(30);
    Sandbox::new(limits).run(script, service::capture()).map(|outcome| outcome.value)
}

#[test]
fn each_function_gives_what_it_says() {
    for (script, expected) in VALUES {
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(ask(script).as_ref().map_err(ToString::to_string), Ok(&expected), "{script}");
    }
}

#[test]
fn what_is_stored_again_takes_no_memory() {
    for (script, expected) in FRUGAL {
        let mut limits = Limits::default();
        limits.heap_bytes = 1 << 20;
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(ask_within(limits, script).as_ref().map_err(ToString::to_string), Ok(&expected), "{script}");
    }
}

#[test]
fn a_comprehension_has_only_so_many_loops() {
    let loops = |count: usize| ask(&format!("[0 {}]", "for a, b in [(1, 2)] ".repeat(count)));
    assert_eq!(loops(50), Ok(serde_json::json!([0])));
    let error = loops(500).unwrap_err();
    assert_eq!(error.message, "this expression is nested deeper than the limit of 100 levels (`nesting`)");
}

#[test]
fn a_list_that_is_full_can_be_made_shorter() {
    let mut limits = Limits::default();
    limits.rows = 3;
    let script = "x = [1, 2, 3]\ny = list(x)\ny.clear()\nx.pop()\n[x, y]";
    assert_eq!(ask_within(limits.clone(), script), Ok(serde_json::json!([[1, 2], []])));
    let error = ask_within(limits, "x = [1, 2, 3]\nx.append(4)").unwrap_err();
    assert_eq!(error.message, "a list of 4 items is longer than its limit of 3 (`rows`)");
}

#[test]
fn an_answers_memory_is_counted_as_whoever_reads_it_needs_it() {
    const LISTS: u64 = 100_000;
    let bytes = |script: &str| {
        let mut limits = Limits::default();
        // A debug build needs its time.
        limits.wall = Duration::from_secs(30);
        Sandbox::new(limits).run(script, service::capture()).unwrap().cost.heap_bytes
    };
    let taken = bytes("[[1]] * 100000") - bytes("len([[1]] * 100000)");
    // Room for four values, where only one is, and what the allocator needs.
    assert!(taken >= LISTS * (32 + 4 * 32 + 16), "{taken}");
    let taken = bytes("[[1, 1, 1, 1, 1]] * 100000") - bytes("len([[1, 1, 1, 1, 1]] * 100000)");
    // Eight are next, when four are not enough.
    assert!(taken >= LISTS * (32 + 8 * 32 + 16), "{taken}");
    let empty = bytes("[[]] * 100000") - bytes("len([[]] * 100000)");
    assert!((LISTS * 32..LISTS * 64).contains(&empty), "{empty}");
}

#[test]
fn each_function_has_a_value_here() {
    let is_called = |name: &str| {
        VALUES.iter().any(|(script, _)| script.contains(&format!("{name}(")) || script.contains(&format!("({name},")))
    };
    // What these do is no value, or needs a recorder.
    let others: BTreeSet<&str> = BTreeSet::from(["fail", "print", "series"]);
    let missing: Vec<String> = Sandbox::builtins()
        .iter()
        .map(|function| function.name.clone())
        .filter(|name| !is_called(name) && !others.contains(name.as_str()))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn each_mistake_is_told_what_to_do() {
    for (script, message, help) in ERRORS {
        let error = ask(script).unwrap_err();
        assert_eq!((error.message.as_str(), error.help.as_deref()), (*message, *help), "{script}");
        assert!(error.line.is_some(), "{error}");
    }
}

#[test]
fn messages_are_short_whatever_is_named_in_them() {
    let names = [
        "(\"{:\" + \"q\" * 900000 + \"}\").format(1)",
        "(\"{!\" + \"q\" * 900000 + \"}\").format(1)",
        "(\"{\" + \"q\" * 900000 + \"}\").format(1)",
        "(\"%(\" + \"q\" * 900000 + \")s\") % {}",
        "n = \"n\" * 900000\ntable([{\"a\": 1}], n, n)",
        "tasks.list(**{\"x\" * 60000: 1})",
        "fail(\"x\" * 900000)",
        "[].remove(\"x\" * 900000)",
    ];
    for script in names {
        let error = ask(script).unwrap_err();
        let shown = error.to_string();
        assert!(shown.len() < 5000, "{script}: {} bytes", shown.len());
    }
}

#[test]
fn a_place_is_shown_where_a_terminal_shows_it() {
    let shown = |script: &str| ask(script).unwrap_err().to_string();
    let lines = |script: &str| shown(script).lines().skip(3).take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines("x = \"日本\" + nope"), ["1 | x = \"日本\" + nope", "  |              ^^^^"]);
    assert_eq!(lines("x = \"e\u{301}\" + nope"), ["1 | x = \"e\u{301}\" + nope", "  |           ^^^^"]);
    assert_eq!(
        lines("x = \"\u{1b}[2J\u{202e}\" + nope"),
        ["1 | x = \"\u{fffd}[2J\u{fffd}\" + nope", "  |               ^^^^"]
    );
    let long = lines(&format!("x = \"{}\" + nope + \"{}\"", "y".repeat(3000), "z".repeat(3000)));
    let before = format!("…{}\" + ", "y".repeat(147));
    assert_eq!(long[0], format!("1 | {before}nope + \"{}…", "z".repeat(192)));
    assert_eq!(long[1], format!("  | {}^^^^", " ".repeat(before.chars().count())));
    assert_eq!(shown("fail(\"\\x1b[2J\")").lines().next(), Some("error: fail: \\u{1b}[2J"));
}

/// Integers at the edges of 32 and 64 bits, by whoever computes with twice as many.
#[test]
fn integers_are_exact_whatever_their_size() {
    let edges =
        [0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 255, 1 << 15, 1 << 16, 1 << 30, (1 << 31) - 1, 1 << 31, (1 << 31) + 1];
    let far = [(1 << 32) - 1, 1 << 32, (1 << 53) + 1, (1 << 62) - 1, i64::MAX.into(), 1 << 63];
    let numbers: Vec<i128> = edges.iter().chain(&far).flat_map(|number: &i128| [*number, -number]).collect();
    for a in &numbers {
        let mut script = format!("a = {a}\nr = [-a, ~a, abs(a), int(str(a))]\n");
        let mut expected = vec![-a, !a, a.abs(), *a];
        for b in &numbers {
            script += &format!("b = {b}\nr += [a + b, a - b, a * b, a & b, a | b, a ^ b, int(a < b), int(a == b)]\n");
            expected.extend([a + b, a - b, a * b, a & b, a | b, a ^ b, i128::from(a < b), i128::from(a == b)]);
            if *b != 0 {
                script += "r += [a // b, a % b]\n";
                // As Python divides: towards the lesser, and the rest has the divisor's sign.
                let (quotient, rest) = (a.div_euclid(*b), a.rem_euclid(*b));
                let is_off = *b < 0 && rest != 0;
                expected.extend(if is_off { [quotient - 1, rest + b] } else { [quotient, rest] });
            }
            if (0..=60).contains(b) {
                script += "r += [a << b, a >> b]\n";
                expected.extend([a << b, a >> b]);
            }
        }
        let expected: Vec<String> = expected.iter().map(i128::to_string).collect();
        let given: Vec<String> = serde_json::from_value(ask(&(script + "[str(x) for x in r]")).unwrap()).unwrap();
        let differing = given.iter().zip(&expected).position(|(given, expected)| given != expected);
        let shown = differing.map(|at| format!("{a}: {} not {} at {at}", given[at], expected[at]));
        assert_eq!((shown, given.len()), (None, expected.len()));
    }
}

/// An answer's bytes are counted as they are written, escapes and long numbers included.
#[test]
fn answers_are_as_long_as_they_may_be() {
    let values = [
        "[1] * n",
        "[-2147483648] * n",
        "[9007199254740993] * n",
        "[1.7976931348623157e308] * n",
        "[False] * n",
        "[0.5] * n",
        "[\"a\\nb\"] * n",
        "[{\"a\": [1, {\"b\": 2.5}]}] * n",
        "json.decode(json.encode([0.5] * n))",
        "[\"\\x01\\x7f\\\"\\u202e\"] * n",
        "[{\"\\x01\": 1}] * n",
        "[[]] * n",
        "tasks.list(limit=n)",
    ];
    for value in values {
        let mut limits = Limits::default();
        limits.output_bytes = 100_000;
        let answer = |n: usize| ask_within(limits.clone(), &format!("n = {n}\n{value}"));
        let (mut most, mut too_many) = (1, 100_000);
        while most + 1 < too_many {
            let between = usize::midpoint(most, too_many);
            *(if answer(between).is_ok() { &mut most } else { &mut too_many }) = between;
        }
        let bytes = answer(most).unwrap().to_string().len();
        assert!((60_000..=100_000).contains(&bytes), "{value}: {bytes}");
    }
}
