//! More scripts that want to hurt, written after the guard stood: against what its authors may not have thought of.
//! Separate from the first corpus because it is organised by the guard's parts, not by what is attacked.

use super::corpus::Script;

/// All of them.
pub(crate) fn all() -> Vec<Script> {
    let mut all = Vec::new();
    let mut class = |name: &str, sources: Vec<String>| {
        let script = |(index, source)| Script { name: format!("further_{name}_{index}"), source };
        all.extend(sources.into_iter().enumerate().map(script));
    };
    class("callees", callees());
    class("collisions", collisions());
    class("callbacks", callbacks());
    class("texts", texts());
    class("numbers", numbers());
    class("messages", messages());
    class("values", values());
    class("sources", sources());
    class("checks", checks());
    class("memory", memory());
    class("skills", skills());
    all.extend(files());
    all
}

/// Those that are files of their own, each against one line of the guard: `LENS_HOSTILE=file_` runs them all.
fn files() -> Vec<Script> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/scripts");
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .expect("the directory is there")
        .map(|file| file.expect("it can be read").path())
        .collect();
    paths.sort();
    assert!(paths.len() > 200, "{paths:?}");
    let script = |path: std::path::PathBuf| {
        let name = format!("file_{}", path.file_stem().expect("it has a name").display());
        Script { name, source: std::fs::read_to_string(path).expect("it is a text") }
    };
    paths.into_iter().map(script).collect()
}

/// A tuple, list, dict or struct nested a hundred thousand deep, as `d`.
const DEEP: &[&str] = &[
    "d = ()\nfor _ in range(100000): d = (d,)\n",
    "d = []\nfor _ in range(100000): d = [d]\n",
    "d = {}\nfor _ in range(100000): d = {1: d}\n",
    "d = struct()\nfor _ in range(100000): d = struct(a=d)\n",
    "d = 0\nfor _ in range(100000): d = struct(append=d, upper=d, get=d)\n",
];

/// Deep values in every place from which the interpreter could show, compare, hash or call them.
fn callees() -> Vec<String> {
    const USES: &[&str] = &[
        "struct(append=d).append(1)",
        "{\"append\": d}.append(1)",
        "{\"go\": d}.go(1)",
        "d.append(d)",
        "d.upper()",
        "d.get(d)",
        "m = [].append\nm(d)\nstr(m)",
        "repr([].append) + repr(d.get)",
        "a, b = d",
        "for a, b in [d]: pass",
        "[a for a, b in [(d, d, d)]]",
        "{a: b for a, b in [(d, 1)]}",
        "(lambda x: x)(*d)",
        "(lambda x: x)(**d)",
        "(lambda *, x: x)(d)",
        "def f(a, b): return a\nf(d)",
        "def f(a): return a\nf(a=d, b=d)",
        "def f(**k): return k\nstr(f(a=d))",
        "struct(a=d) == struct(a=d)",
        "hasattr(d, \"a\")\ngetattr(d, \"b\", d)\ngetattr(d, \"b\")",
        "dir(d)\ntype(d)\nbool(d)\nlen(d)",
        "d[d]",
        "d[0] = d",
        "d[0][0][0] += d",
        "x = [d]\nx[0] += 1",
        "-d",
        "d < d",
        "d in [d, d]",
        "d in {1: 2}",
        "d in \"a\"",
        "d % d",
        "\"%s\" % (d,)",
        "\"{}\".format(d)",
        "f\"{d}\"",
        "f\"{d!r:>10}\"",
        "\",\".join([d])",
        "int(d)",
        "float(d)",
        "range(d)",
        "hash(d)",
        "abs(d)",
        "chr(d)",
        "sorted([d, d])",
        "sorted([1, 2], key=d)",
        "sorted([2, 1], key=lambda x: d)",
        "max([d, d])",
        "min(1, d)",
        "zip(d, [1])",
        "enumerate(d)",
        "reversed(d)",
        "list(d)\ntuple(d)\nset(d)\ndict(d)",
        "map(d, [1])",
        "filter(d, [1])",
        "any([d])",
        "sum([d])",
        "sum([1], d)",
        "round(d)",
        "pow(d, d)",
        "where([d], d)",
        "pluck([d], \"a\")",
        "group_by([d], lambda x: d)",
        "count_by([d], lambda x: 1)",
        "sum_by([1], lambda x: 1, lambda x: d)",
        "top([d, d], 1)",
        "uniq([d, d])",
        "mean([d])",
        "summary([d])",
        "histogram([1], [d])",
        "table([struct(a=d)], \"a\")",
        "human_ms(d)",
        "series(d)",
        "available(d)",
        "fail(d)",
        "print(d)",
        "json.encode(d)",
        "json.decode(d)",
        "tasks.list(limit=d)",
        "tasks.list(d)",
        "tasks.list(**{\"a\": d})",
        "set([1]).union([d])",
        "{1: 2}.get(d, d)",
        "{1: 2}.setdefault(1, d)",
        "{1: d}.popitem()",
        "[1].index(d)",
        "[d].remove(d)",
        "[1].insert(d, d)",
        "1 if d else 2",
        "not d",
        "d and d or d",
        "d()",
        "[d][0](1)",
        "{\"f\": d}[\"f\"](1)",
    ];
    DEEP.iter().flat_map(|make| USES.iter().map(move |us| format!("{make}{us}"))).collect()
}

/// Texts that all have one hash, in everything that has a table.
fn collisions() -> Vec<String> {
    // Of eight bytes, the low four decide what is left of the hash; these begin alike.
    let keys = "ks = [\"same\" + \"%s%s%s\" % (chr(65 + i % 50), chr(65 + i // 50 % 50), chr(65 + i // 2500)) + \"x\" for i in range(90000)]\n";
    let uses = [
        "json.decode(\"{\" + \",\".join([\"\\\"%s\\\":1\" % k for k in ks]) + \"}\")",
        "json.decode(\"[\" + \",\".join([\"{\\\"%s\\\":1}\" % k for k in ks]) + \"]\")",
        "{k: 1 for k in ks}",
        "d = {}\nfor k in ks: d[k] = 1\nlen(d)",
        "d = {}\nfor k in ks: d.setdefault(k, 1)\nlen(d)",
        "set(ks)",
        "s = set()\nfor k in ks: s.add(k)\nlen(s)",
        "dict([(k, 1) for k in ks])",
        "dict(zip(ks, ks)) == dict(zip(ks, ks))",
        "set(ks[:3000]) | set(ks[3000:6000])",
        "set(ks[:6000]) & set(ks[:6000])",
        "set(ks[:6000]) ^ set(ks[3000:9000])",
        "set(ks[:6000]).difference(ks)",
        "set(ks[:6000]).issubset(set(ks[:6000]))",
        "count_by(ks, lambda k: k)",
        "group_by(ks, lambda k: k)",
        "uniq(ks)",
        "sum_by(ks, lambda k: k, lambda k: 1)",
        "struct(**{k: 1 for k in ks[:256]})",
        "(lambda **kw: kw)(**{k: 1 for k in ks[:256]})",
        "def f(**kw): return kw\n[f(**{k: 1 for k in ks[:256]}) for _ in range(10000)]",
        "d = {k: 1 for k in ks[:3000]}\n[d.pop(k) for k in ks[:3000]]",
        "d = {k: 1 for k in ks[:3000]}\nd.update({k: 2 for k in ks[:3000]})\nfor _ in range(1000): d |= d",
        "d = {k: 1 for k in ks[:3000]}\nfor _ in range(100): d = d | {}\nlen(d)",
        "json.encode({k: 1 for k in ks[:3000]})",
        "[k in ks for k in ks]",
        "[ks.index(k) for k in ks]",
        "dir({k: 1 for k in ks[:3000]})",
        "{k: 1 for k in ks[:3000]}.missing",
        "{k: 1 for k in ks[:3000]}[\"same\"]",
    ];
    uses.iter().map(|us| format!("{keys}{us}")).collect()
}

/// Functions of the script that change what is gone through.
fn callbacks() -> Vec<String> {
    [
        "l = [1, 2, 3]\nsorted(l, key=lambda x: l.clear())",
        "l = list(range(1000))\nsorted(l, key=lambda x: l.append(x))",
        "l = [3, 1, 2]\nmax(l, key=lambda x: l.pop() if l else 0)",
        "d = {1: 2}\nwhere(d, lambda k: d.update({k + 1: 1}))",
        "d = {1: 2, 3: 4}\n[d.pop(k) for k in d]",
        "s = set([1, 2])\nfor x in s: s.add(x + 10)",
        "l = [1]\nmap(lambda x: l.extend(l), range(100))",
        "l = [1]\n[l.extend(l) for _ in range(100)]",
        "l = []\nmap(l.append, range(1000000))",
        "l = []\nm = l.append\n[m(l) for _ in range(10000)]\nstr(l)",
        "group_by(range(1000), lambda x: group_by(range(1000), lambda y: x))",
        "def f(x): return sorted([1, 2], key=f)\nf(1)",
        "def f(x): return max([1, 2], key=f)\nf(1)",
        "def f(x): return where([1], f)\nf(1)",
        "def f(x): return map(f, [x])\nf(1)",
        "f = [None]\nf[0] = lambda x: f[0](x)\nf[0](1)",
        "(lambda f: f(f))(lambda f: f(f))",
        "def f(x=[]):\n    x.append(x)\n    return f()\nf()",
        "g = lambda f, n: [f(f, n - 1), f(f, n - 1)] if n else 1\ng(g, 90)",
        "sorted(range(100000), key=lambda x: sorted(range(100), key=lambda y: -y))",
        "top(range(1000000), 1, by=lambda x: [x])",
        "d = {}\nd[1] = d\nd.update(d)\nd == d",
        "l = [1]\nl[0] = l\nl == l\nl < l\nstr(l)\nl in l",
        "l = []\nl.append(l)\nuniq([l])",
        "l = []\nl.append(l)\nsorted([l, l])",
        "d = {}\nd[\"d\"] = d\njson.encode(d)",
        "d = {}\nd[\"d\"] = d\ntasks.list(limit=d)",
        "s = struct(f=lambda: 1)\ns.f()\ns.f\nstr(s)",
        "x = [len, str, tasks.list, [].append, \"\".upper, lambda: 1, tasks]\nstr(x)\nx == x\nx",
        "sorted([len, str])",
        "{len: 1}",
        "set([tasks, tasks.list])",
        "hash(tasks.list)",
        "{tasks.list()[0]: 1}",
        "sorted(tasks.list())",
        "uniq(tasks.list())",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn texts() -> Vec<String> {
    [
        "(\"a\" * 500000 + \"b\").find(\"a\" * 250000 + \"c\")",
        "(\"a\" * 500000).count(\"a\" * 250000)",
        "(\"ab\" * 500000).replace(\"\", \"xyz\")",
        "(\"a\" * 1000000).split(\"\")",
        "(\"a \" * 500000).split()",
        "[(\"a \" * 500000).split() for _ in range(1000)]",
        "(\"a\" * 1000000).strip(\"a\" * 1000000)",
        "(\"é\" * 400000).strip(\"è\" * 400000)",
        "(\"a\" * 1000000).elems()",
        "(\"\\n\" * 1000000).splitlines()",
        "(\"a\" * 1000000).title()",
        "(\"ß\" * 500000).upper()",
        "(\"ŉ\" * 500000).upper().upper()",
        "(\"İ\" * 500000).lower()",
        "(\"a\" * 1000000)[::-1]",
        "[(\"é\" * 500000)[i] for i in range(500000)]",
        "[(\"é\" * 500000)[i:] for i in range(500000)]",
        "(\"{}\" * 500000).format()",
        "(\"{0}\" * 300000).format(\"a\" * 1000)",
        "(\"{a.b}\").format(a=struct(b=1))",
        "\"{0[0]}\".format([1])",
        "\"{:>1000000000}\".format(1)",
        "f\"{1:>1000000000}\"",
        "f\"{1.5:.1000000000f}\"",
        "f\"{1e308:f}\" * 3000",
        "\"%1000000000d\" % 1",
        "\"%s\" * 300000 % tuple([\"a\" * 1000] * 300000)",
        "(\"%\" * 1000000) % ()",
        "\"%d\" % float(\"nan\")",
        "\"%c\" % 1114112",
        "\"a\".join([\"b\" * 1000] * 1000000)",
        "(\"a\" * 1000).join([\"\"] * 1000000)",
        "s = \"a\"\nfor _ in range(100): s = f\"{s}{s}\"",
        "s = \"a\"\nfor _ in range(100): s = \"%s%s\" % (s, s)",
        "s = \"\\\\\"\nfor _ in range(100): s = repr(s)",
        "s = \"\\x01\" * 200000\nrepr(repr(s))",
        "chr(0xd800)",
        "chr(-1)",
        "ord(\"\")",
        "\"\\u202e\\ufeff\\x00\"",
        "\"a\" < \"b\" * 1000000",
        "[(\"a\" * 1000000) == (\"a\" * 1000000) for _ in range(100000)]",
        "[hash(\"a\" * 1000000) for _ in range(100000)]",
        "[(\"a\" * 1000000) in (\"a\" * 1000000) for _ in range(100000)]",
        "(\"a\" * 500000 + \"b\").rfind(\"b\" + \"a\" * 400000)",
        "(\"a\" * 1000000).partition(\"a\" * 999999 + \"b\")",
        "(\"ab\" * 500000).removeprefix(\"ab\" * 499999)",
        "\"a\".startswith(tuple([\"b\"] * 1000000))",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn numbers() -> Vec<String> {
    [
        "sorted([float(\"nan\"), 1.0, float(\"inf\"), 0.0, float(\"nan\")] * 1000)",
        "max([float(\"nan\"), 1, float(\"nan\")])",
        "percentile([float(\"nan\")] * 1000, 50)",
        "summary([float(\"nan\"), float(\"inf\"), -float(\"inf\")])",
        "histogram([float(\"nan\")], [float(\"nan\")])",
        "histogram([1], [float(\"inf\"), float(\"inf\")])",
        "{float(\"nan\"): 1, float(\"nan\"): 2}",
        "set([float(\"nan\")] * 1000)",
        "uniq([float(\"nan\")] * 1000)",
        "int(float(\"inf\"))",
        "int(1e308)",
        "int(1e308) * int(1e308) * int(1e308)",
        "round(1e308)",
        "round(float(\"nan\"))",
        "round(1.5, 16)",
        "round(1.5, -2147483648)",
        "pow(2, 2147483647)",
        "pow(-1, 2147483647)",
        "pow(1, 2147483647)",
        "pow(0, 2147483647)",
        "pow(1 << 1000, 2)",
        "pow(2.0, 1e308)",
        "pow(-1, 0.5)",
        "x = 3\nfor _ in range(100000): x = x * x",
        "x = 1\nfor _ in range(1000000): x = x + x",
        "x = 1 << 1000\n[x * x for _ in range(100000)]",
        "x = (1 << 1023) - 1\n[str(x) for _ in range(1000000)]",
        "-(1 << 1023) // 7 % 3 >> 1000",
        "1 << -1",
        "1 >> -1",
        "1 << 2147483648",
        "1 >> 9223372036854775808",
        "~(1 << 1023)",
        "(1 << 1000) / (1 << 999)",
        "float(1 << 1023) * 4",
        "1 // 0",
        "1 % 0",
        "1.0 / 0",
        "1e308 * 10 // 1",
        "-2147483648 // -1",
        "-9223372036854775808 // -1",
        "-9223372036854775808 % -1",
        "abs(-9223372036854775808)",
        "abs(-2147483648)",
        "range(-2147483648, 2147483647, 2147483647)",
        "len(range(2147483647, -2147483648, -1))",
        "range(0, 10, -2147483648)",
        "list(range(0, 1000000))[-2147483648:2147483647:-2147483648]",
        "[1][-2147483648]",
        "[1, 2][::9223372036854775807]",
        "enumerate([1], 2147483647)",
        "\"a\" * -2147483648",
        "[1] * -2147483648",
        "int(\"-\" + \"9\" * 309)",
        "int(\"0x\" + \"f\" * 300, 16)",
        "int(\"z\" * 300, 36)",
        "int(\"1\", 37)",
        "int(\"1\", -2147483648)",
        "float(\"1e999999999\")",
        "float(\"9\" * 310)",
        "human_bytes(float(\"nan\"))",
        "human_ms(-1e308)",
        "human_bytes(1 << 1000)",
        "sum([1 << 1000] * 100000)",
        "mean([1e308] * 10)",
        "hash(\"\") ^ (1 << 1000)",
        "0x",
        "1__0",
        "1e",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What makes messages long, or the search for the nearest name.
fn messages() -> Vec<String> {
    [
        "getattr(tasks.list()[0], \"a\" * 1000000)",
        "getattr(tasks, \"a\" * 1000000)",
        "series(\"a\" * 1000000)",
        "series(\"lens.x\", last=\"9\" * 1000000)",
        "tasks.list(limit=\"a\" * 1000000)",
        "tasks.list(**{\"a\" * 1000000: 1})",
        "(lambda x: x)(**{\"a\" * 1000000: 1})",
        "struct(**{\"a\" * 1000000: 1}).b",
        "{\"a\" * 1000 + str(i): 1 for i in range(1000)}[\"b\" * 1000]",
        "{\"a\" * 99 + str(i): 1 for i in range(1000)}[\"b\" * 100]",
        "{\"a\" * 30000 + str(i): 1 for i in range(1000)}[\"aaaa\"]",
        "{\"a\" * 30000 + str(i): 1 for i in range(1000)}.aaaa",
        "fail(\"a\" * 1000000)",
        "fail([\"a\" * 1000] * 1000)",
        "print(\"a\" * 100000)",
        "print(*[\"a\" * 1000] * 100)",
        "[1].index(\"a\" * 1000000)",
        "{}[\"a\" * 1000000]",
        "int(\"a\" * 300)",
        "float(\"é\" * 300)",
        "\"a\".format(**{\"b\" * 1000000: 1})",
        "(\"{\" + \"a\" * 900000 + \"}\").format(a=1)",
        "json.decode(\"[\" * 1000000)",
        "json.decode(\"[\" * 127 + \"]\" * 127)",
        "json.decode(\"1\" * 1000000)",
        "json.decode(\"-\" + \"9\" * 400 + \".\" + \"9\" * 400)",
        "json.decode(\"1e999\")",
        "json.decode(\"\\\"\\\\ud800\\\"\")",
        "json.decode(\"[\" + \"{},\" * 300000 + \"{}]\")",
        "json.decode('{\"unavailable\": \"a\", \"fix\": \"' + \"b\" * 900000 + '\"}') + 1",
        "[json.decode('{\"unavailable\": \"a\", \"fix\": \"b\"}') for _ in range(100000)][0] == 1",
        "sorted([json.decode('{\"unavailable\": \"a\", \"fix\": \"b\"}')] * 10)",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Values that double, share or contain each other.
fn values() -> Vec<String> {
    let doubled = "l = [1]\nfor _ in range(60): l = [l, l]\n";
    let uses = [
        "l",
        "str(l)",
        "l == l",
        "l == [l[0], l[1]]",
        "l < [l[0], l[1]]",
        "json.encode(l)",
        "{1: l}",
        "struct(a=l)",
        "print(l)",
        "fail(l)",
        "[l] in [[l]]",
        "f\"{l}\"",
        "tasks.list(limit=l)",
        "sorted([l, l])",
        "uniq([l])",
        "\"%s\" % [l]",
    ];
    let tuples = "l = (1,)\nfor _ in range(60): l = (l, l)\n";
    let hashed =
        ["{l: 1}", "set([l])", "{1: 2}.get(l)", "count_by([l], lambda x: x)", "group_by([1], lambda x: l)", "l in {}"];
    let all = uses.iter().map(|us| format!("{doubled}{us}"));
    all.chain(hashed.iter().map(|us| format!("{tuples}{us}"))).collect()
}

/// Scripts whose text is the attack.
fn sources() -> Vec<String> {
    let repeat = |text: &str, count: usize| text.repeat(count);
    vec![
        repeat("f\"{1}\" + ", 3000) + "\"\"",
        format!("f\"{}\"", repeat("{1}", 8000)),
        format!("f'{}'", repeat("{[x for x in range(9)]}", 1300)),
        format!("f\"{}\"", repeat("{{", 15000)),
        format!("f\"{}1{}\"", repeat("{", 5000), repeat("}", 5000)),
        format!("f\"{{{}1{}}}\"", repeat("[", 150), repeat("]", 150)),
        format!("f\"{{{}1}}\"", repeat("lambda: ", 50)),
        format!("f'''{}'''", repeat("{1\n}", 4000)),
        format!("x = {}", repeat("f'{", 200)),
        format!("[{}]", repeat("{},", 10000)),
        format!("{{{}}}", (0..3000).map(|i| format!("{i}: {i}, ")).collect::<String>()),
        (0..2500).map(|i| format!("def f{i}(): pass\n")).collect(),
        (0..1500).map(|i| format!("def f{i}(x): return f{}(x)\n", i + 1)).collect::<String>() + "f0(1)",
        (0..400).map(|i| format!("def f{i}({}): pass\n", repeat("a", i % 50 + 1))).collect(),
        format!("def f({}): pass\nf()", (0..256).map(|i| format!("a{i}, ")).collect::<String>()),
        format!("f({})", (0..3000).map(|i| format!("{i}, ")).collect::<String>()),
        format!("lambda {}: 1", (0..250).map(|i| format!("a{i}=[], ")).collect::<String>()),
        repeat("if 1:\n pass\nelif 1:\n pass\n", 1000),
        format!("if 1:\n pass\n{}", repeat("elif 1:\n pass\n", 180)),
        (0..45).map(|i| format!("{}if 1:\n", " ".repeat(i))).collect::<String>() + &" ".repeat(45) + "pass",
        (0..45).map(|i| format!("{}for a{i} in [1, 2]:\n", " ".repeat(i))).collect::<String>()
            + &" ".repeat(45)
            + "pass",
        format!("[1{}]", (0..60).map(|i| format!(" for a{i} in [1, 2]")).collect::<String>()),
        format!("[1{}]", repeat(" if 1", 1500)),
        format!("x = 1\nx{}", repeat(".a", 1500)),
        format!("x = 1\nx{}", repeat("[0]", 190)),
        format!("x = []\nx{}", repeat(".append(1)", 190)),
        format!("1{}", repeat(" if 1 else 1", 190)),
        format!("1{}", repeat(" + 1", 900)),
        format!("1{}", repeat(" or 1", 900)),
        format!("1{}", repeat(" in [1]", 300)),
        format!("{}1", repeat("not ", 900)),
        format!("x = {}1", repeat("x = ", 900)),
        repeat("a, ", 5000) + "= 1",
        format!("({}) = 1", repeat("(", 150) + "a" + &repeat(",)", 150)),
        repeat("\\\n", 10000) + "1",
        repeat("#", 30000),
        repeat("\r\n", 15000) + "1",
        repeat("\t", 30000) + "1",
        "\u{feff}1".to_owned(),
        "\u{0}".to_owned(),
        "1\u{85}2\u{2028}3".to_owned(),
        "ａ = 1".to_owned(),
        "\"\\U0010ffff\\U00110000\"".to_owned(),
        format!("r{}", repeat("\"\\\"", 5000)),
        repeat("'", 30001),
        repeat("\"\"\"", 9999),
        repeat("$", 30000),
        repeat("`", 30000),
        repeat("_", 30000),
        repeat("a", 30000) + "()",
        format!("def {}(): pass", repeat("a", 30000)),
        "@starlark-rust: typecheck\na = [1]".to_owned(),
        format!("# @starlark-rust: typecheck\n{}", repeat("a = [a]\n", 12)),
        "load(\"a\", \"b\")".to_owned(),
        "def f(x: (lambda: 1)()): return x\nf(1)".to_owned(),
        "x: [1 for _ in range(1000000)] = 1".to_owned(),
        "def f() -> [1] * 1000000: return 1\nf()".to_owned(),
        "__add(1, 2)".to_owned(),
        "getattr(1, \"__add\")".to_owned(),
        "x.__class__".to_owned(),
        "(lambda __x: 1)(1)".to_owned(),
        "def f(): return f\nf()()()()".to_owned(),
    ]
}

/// Scripts of which there is much to say before they run.
fn checks() -> Vec<String> {
    let each = |count: usize, write: &dyn Fn(usize) -> String| (0..count).map(write).collect::<String>();
    vec![
        format!("[{}]", each(2000, &|i| format!("abcdefghij{i:04},"))),
        format!(
            "{}[{}]",
            each(280, &|i| format!("{}{i:03}=1\n", "a".repeat(96))),
            each(20, &|i| "ab".repeat(48 + i % 3) + ",")
        ),
        format!("[{}]", "\"\".zz,".repeat(5000)),
        format!("t = tasks.list()[0]\n[{}]", "t.zz,".repeat(6000)),
        format!("[{}]", "tasks.zz,".repeat(3600)),
        format!("tasks.list({})", each(256, &|i| format!("a{i}=\"{}\",", "x".repeat(100)))),
        format!("{}{}", "y = [1, 2, 3, f\"{y}\"]\n".repeat(1300), "x = = 1\n".repeat(25)),
    ]
}

fn memory() -> Vec<String> {
    [
        "x = [struct(a=i) for i in range(1000000)]",
        "x = [{} for i in range(1000000)]",
        "x = [set() for i in range(1000000)]",
        "x = [[] for i in range(1000000)]",
        "x = [lambda: i for i in range(1000000)]",
        "x = [[].append for i in range(1000000)]",
        "x = [range(i) for i in range(1000000)]",
        "x = [i * 1.5 for i in range(1000000)]",
        "x = [str(i) for i in range(1000000)]",
        "x = [(i, i) for i in range(1000000)]",
        "x = [1 << 900 for i in range(1000000)]",
        "x = [tasks.list for i in range(1000000)]",
        "x = [tasks.list()[0] for i in range(100000)]",
        "x = [tasks.list(limit=200000) for i in range(1000)]",
        "x = [t.name for t in tasks.list(limit=200000) for _ in range(10)]",
        "x = [t.place for t in tasks.list(limit=200000)]",
        "x = [t.tags for t in tasks.list(limit=200000)]",
        "x = [json.encode(t) for t in tasks.list(limit=200000)]",
        "x = [f\"{i}{i}\" for i in range(1000000)]",
        "x = [\"a\" * 1000 for i in range(1000000)]",
        "x = [list(range(1000)) for i in range(1000000)]",
        "x = {i: [i] for i in range(1000000)}",
        "x = {(i, i): i for i in range(1000000)}",
        "x = [0] * 1000000\nfor i in range(1000): x[i] = [0] * 1000000",
        "x = []\nfor i in range(1000): x.append(x + x)",
        "x = []\nfor i in range(100): x.extend(list(range(1000000)))",
        "x = [group_by(range(1000), lambda i: i) for _ in range(1000)]",
        "x = [sorted(range(100000)) for _ in range(1000)]",
        "x = [top(range(100000)) for _ in range(1000)]",
        "x = [zip(range(100000), range(100000)) for _ in range(1000)]",
        "zip(*[range(1000000)] * 200)",
        "max(*[range(1000000)] * 200)",
        "print(*[list(range(10000))] * 200)",
        "[enumerate(range(1000000)) for _ in range(10)]",
        "table([struct(a=1)] * 1000000, \"a\")",
        "histogram([1] * 1000000, range(1000000))",
        "[summary(range(100000)) for _ in range(10000)]",
        "dict([(i, i) for i in range(1000000)]) | {}",
        "d = {i: i for i in range(100000)}\n[d | d for _ in range(1000)]",
        "s = set(range(100000))\n[s | s for _ in range(1000)]",
        "\"a\".join([str(i) for i in range(1000000)])",
        "[[i] * 1000 for i in range(1000000)]",
        "def f(*a, **k): return (a, k)\n[f(*range(200), **{str(i): i for i in range(200)}) for _ in range(100000)]",
        "[dir({str(i): 1 for i in range(200)}) for _ in range(100000)]",
        "x = [\"%s\" % i for i in range(1000000)]\n\"\".join(x)",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn skills() -> Vec<String> {
    [
        "tasks.list(limit=4294967295)",
        "tasks.list(limit=-1)",
        "tasks.list(limit=1 << 100)",
        "tasks.list(limit=1.5)",
        "tasks.list(limit=float(\"nan\"))",
        "tasks.list(limit=[[[[1]]]])",
        "[tasks.list(limit=i) for i in range(1000000)]",
        "sorted(tasks.list(limit=200000), key=lambda t: t.name)",
        "tasks.list(limit=200000)",
        "group_by(tasks.list(limit=200000), \"name\")",
        "[t.place.line for t in tasks.list(limit=200000)]",
        "[t.nothing for t in tasks.list(limit=200000)]",
        "tasks",
        "str(tasks)",
        "tasks == tasks",
        "tasks < tasks",
        "tasks = 1\ntasks + 1",
        "tasks.list = 1",
        "tasks.list.name",
        "tasks[\"list\"]()",
        "getattr(tasks, \"list\")(limit=1)",
        "map(tasks.list, range(100000))",
        "sorted([3, 2], key=tasks.list)",
        "absent.x()",
        "absent",
        "capture.at",
        "capture.at.x",
        "capture = 1",
        "series(\"tasks.x\")",
        "series(None)",
    ]
    .map(str::to_owned)
    .to_vec()
}
