//! Writes scripts at random, by the language's grammar. Separate because two tests read them: one for whether they do harm,
//! one for whether they mean the same with the guard and without.

/// Numbers that are the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// What kind of scripts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything that can be written, with values that hurt.
    Hostile,
    /// What means the same in the bare interpreter: no helpers of lens's own, no other floats than short ones.
    Plain,
}

const NAMES: &[&str] = &["a", "b", "c", "d", "x", "y", "f", "g"];
const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "//", "%", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "&", "|", "^", "<<", ">>", "and",
    "or",
];
/// The bare interpreter would take all memory for `1 << 2147483647`, and all time for long products.
const PLAIN_OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "//", "%", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "&", "|", "^", ">>", "and", "or",
];
const ASSIGNS: &[&str] = &["=", "=", "=", "+=", "-=", "*=", "//=", "%=", "|=", "&="];
const FUNCTIONS: &[&str] = &[
    "abs",
    "all",
    "any",
    "bool",
    "chr",
    "dict",
    "dir",
    "enumerate",
    "float",
    "hash",
    "int",
    "len",
    "list",
    "max",
    "min",
    "ord",
    "range",
    "repr",
    "reversed",
    "set",
    "sorted",
    "str",
    "tuple",
    "type",
    "zip",
    "map",
    "filter",
    "hasattr",
    "getattr",
    "struct",
];
const HELPERS: &[&str] = &[
    "sum",
    "round",
    "pow",
    "where",
    "pluck",
    "group_by",
    "count_by",
    "sum_by",
    "top",
    "uniq",
    "mean",
    "percentile",
    "summary",
    "histogram",
    "table",
    "human_bytes",
    "human_ms",
    "available",
    "series",
    "json.encode",
    "json.decode",
    "print",
    "fail",
    "tasks.list",
    "absent.x",
];
const METHODS: &[&str] = &[
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "index",
    "clear",
    "get",
    "items",
    "keys",
    "values",
    "setdefault",
    "update",
    "popitem",
    "add",
    "union",
    "discard",
    "join",
    "split",
    "rsplit",
    "strip",
    "lstrip",
    "upper",
    "lower",
    "replace",
    "find",
    "rfind",
    "count",
    "startswith",
    "endswith",
    "partition",
    "title",
    "capitalize",
    "isdigit",
    "splitlines",
    "removeprefix",
    "intersection",
    "difference",
    "issubset",
    "symmetric_difference",
    "format",
];
const FIELDS: &[&str] = &["id", "name", "parks", "place", "tags", "last", "at", "fix", "a", "b"];

/// Writes one script.
pub(crate) fn script(seed: u64, kind: Kind) -> String {
    let mut writer = Writer { dice: Dice::new(seed), kind, text: String::new(), depth: 0 };
    if kind == Kind::Hostile && writer.dice.one_in(25) {
        writer.hurting_value();
    }
    if !writer.text.contains("zz") {
        writer.text.push_str("zz = [7, 'z']\n");
    }
    // Every name has a value, so that most of what follows does something.
    for (name, value) in NAMES.iter().zip(["1", "'ab'", "[1, 2, 3]", "{'a': 1}", "(1, 'b')", "2.5"]) {
        writer.text.push_str(&format!("{name} = {value}\n"));
    }
    writer.text.push_str("f = lambda *args: len(args)\ndef g(p=1, *args, q=2): return [p, q]\n");
    // A plain script is short: the first error ends it, and two errors are not much to compare.
    let statements = if kind == Kind::Plain { 2 } else { 6 };
    for _ in 0..1 + writer.dice.below(statements) {
        writer.statement(0);
    }
    match kind {
        Kind::Hostile => writer.expression(),
        Kind::Plain => writer.text.push_str("repr([a, b, c, d, x, y])"),
    }
    writer.text
}

struct Writer {
    dice: Dice,
    kind: Kind,
    text: String,
    depth: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn hurting_value(&mut self) {
        let made = self.dice.pick(&[
            "x = []\nfor _ in range(100000): x = [x]\n",
            "x = ()\nfor _ in range(100000): x = (x,)\n",
            "x = 1\nfor _ in range(100000): x = {1: x}\n",
            "x = 1\nfor _ in range(60): x = [x, x]\n",
            "x = 1\nfor _ in range(60): x = struct(a=x, b=x)\n",
            "x = [1]\nx.append(x)\n",
            "x = {}\nx[1] = x\n",
            "x = list(range(500000))\n",
            "x = 'a' * 1000000\n",
            "x = 1 << 1000\n",
        ]);
        let name = self.dice.pick(NAMES);
        self.put(&made.replace("x ", &format!("{name} ")).replace("x.", &format!("{name}.")));
        // The names below would take its place again.
        self.put(&format!("zz = {name}\n"));
    }

    fn indent(&mut self, level: usize) {
        self.put(&" ".repeat(level));
    }

    fn statement(&mut self, level: usize) {
        self.indent(level);
        match self.dice.below(if level < 3 { 12 } else { 6 }) {
            0..=2 => {
                self.target();
                let assign = self.dice.pick(ASSIGNS);
                self.put(&format!(" {assign} "));
                self.expression();
                self.put("\n");
            }
            3 => {
                let (one, other) = (self.dice.pick(NAMES), self.dice.pick(NAMES));
                self.put(&format!("{one}, {other} = "));
                self.expression();
                self.put("\n");
            }
            4 | 5 => {
                self.expression();
                self.put("\n");
            }
            6 | 7 => {
                self.put("for ");
                let name = self.dice.pick(NAMES);
                self.put(name);
                self.put(" in ");
                self.iterable();
                self.put(":\n");
                self.block(level + 1);
            }
            8 | 9 => {
                self.put("if ");
                self.expression();
                self.put(":\n");
                self.block(level + 1);
                if self.dice.one_in(2) {
                    self.indent(level);
                    self.put("else:\n");
                    self.block(level + 1);
                }
            }
            10 => {
                let name = self.dice.pick(&["f", "g"]);
                self.put(&format!("def {name}(p=1, *args, q=2):\n"));
                self.indent(level + 1);
                self.put("return ");
                self.expression();
                self.put("\n");
            }
            _ => self.put("pass\n"),
        }
    }

    fn block(&mut self, level: usize) {
        for _ in 0..1 + self.dice.below(2) {
            self.statement(level);
        }
        if self.dice.one_in(8) && self.text.contains("for ") && level > 1 {
            self.indent(level);
            self.put("pass\n");
        }
    }

    fn target(&mut self) {
        let name = self.dice.pick(NAMES);
        self.put(name);
        if self.dice.one_in(4) {
            self.put("[");
            self.expression();
            self.put("]");
        }
    }

    /// Something that a loop ends with: not the list that its body appends to.
    fn iterable(&mut self) {
        match self.dice.below(5) {
            0 => self.put("range(5)"),
            1 => self.put("[3, 1, 2]"),
            2 => self.put("{'a': 1, 'b': 2}"),
            3 => self.put("list(range(3))"),
            _ => self.expression(),
        }
    }

    fn expression(&mut self) {
        self.depth += 1;
        let deepest = if self.kind == Kind::Plain { 2 } else { 5 };
        let choice = if self.depth > deepest { self.dice.below(4) } else { self.dice.below(22) };
        match choice {
            0 | 1 => self.name(),
            2 | 3 => self.constant(),
            4..=7 => {
                self.put("(");
                self.expression();
                let operator = self.dice.pick(if self.kind == Kind::Plain { PLAIN_OPERATORS } else { OPERATORS });
                self.put(&format!(" {operator} "));
                self.expression();
                self.put(")");
            }
            8 => {
                let sign = self.dice.pick(&["-", "+", "~", "not "]);
                self.put(&format!("({sign}"));
                self.expression();
                self.put(")");
            }
            9..=11 => self.call(),
            12 | 13 => {
                self.expression();
                let method = self.dice.pick(METHODS);
                self.put(&format!(".{method}"));
                self.arguments();
            }
            14 => {
                self.expression();
                self.put("[");
                self.expression();
                self.put("]");
            }
            15 => {
                self.expression();
                let slice = self.dice.pick(&["[1:]", "[:2]", "[::-1]", "[-2:]", "[::2]", "[:]", "[5:1]"]);
                self.put(slice);
            }
            16 => self.display(),
            17 => {
                self.put("[");
                self.expression();
                let name = self.dice.pick(NAMES);
                self.put(&format!(" for {name} in "));
                self.iterable();
                if self.dice.one_in(2) {
                    self.put(" if ");
                    self.simple();
                }
                self.put("]");
            }
            18 => {
                let name = self.dice.pick(NAMES);
                self.put("{");
                self.simple();
                self.put(": ");
                self.expression();
                self.put(&format!(" for {name} in "));
                self.iterable();
                self.put("}");
            }
            19 => {
                self.put("(");
                self.expression();
                self.put(" if ");
                self.expression();
                self.put(" else ");
                self.expression();
                self.put(")");
            }
            20 => {
                let name = self.dice.pick(NAMES);
                self.put(&format!("(lambda {name}=1, *args: "));
                self.expression();
                self.put(")");
            }
            _ => self.special(),
        }
        self.depth -= 1;
    }

    /// An expression that can stand where a whole one cannot.
    fn simple(&mut self) {
        if self.dice.one_in(2) { self.name() } else { self.constant() }
    }

    fn name(&mut self) {
        let name = if self.kind == Kind::Hostile && self.dice.one_in(12) { "zz" } else { self.dice.pick(NAMES) };
        self.put(name);
    }

    fn constant(&mut self) {
        let constant = match self.kind {
            Kind::Hostile => self.dice.pick(&[
                "(0)",
                "(1)",
                "(-1)",
                "(7)",
                "(2147483647)",
                "(9223372036854775808)",
                "(1.5)",
                "(1e308)",
                "''",
                "'ab'",
                "'é,b'",
                "None",
                "True",
                "[]",
                "()",
                "{}",
                "set()",
                "range(3)",
                "'{}'",
                "'%s'",
                "'a' * 1000",
                "[1] * 1000",
                "(1 << 900)",
                "float('nan')",
                "tasks",
                "capture",
                "print",
            ]),
            Kind::Plain => self.dice.pick(&[
                "(0)",
                "(1)",
                "(2)",
                "(-1)",
                "(7)",
                "(1.5)",
                "(0.25)",
                "'ab'",
                "'a b,c'",
                "None",
                "True",
                "False",
                "[]",
                "[1, 2]",
                "()",
                "(1,)",
                "{}",
                "{'a': 2}",
                "range(3)",
                "set([1, 2])",
            ]),
        };
        self.put(constant);
    }

    fn display(&mut self) {
        let (open, close) = match self.dice.below(3) {
            0 => ("[", "]"),
            1 => ("(", ",)"),
            _ => {
                self.put("{");
                self.simple();
                self.put(": ");
                self.expression();
                self.put("}");
                return;
            }
        };
        self.put(open);
        for index in 0..1 + self.dice.below(3) {
            if index > 0 {
                self.put(", ");
            }
            self.expression();
        }
        self.put(close);
    }

    fn call(&mut self) {
        match self.dice.below(6) {
            0 if self.kind == Kind::Hostile => {
                self.put("(");
                self.expression();
                self.put(")");
            }
            1 => {
                let name = self.dice.pick(NAMES);
                self.put(name);
            }
            2 | 3 if self.kind == Kind::Hostile => {
                let helper = self.dice.pick(HELPERS);
                self.put(helper);
            }
            _ => {
                let function = self.dice.pick(FUNCTIONS);
                self.put(function);
            }
        }
        self.arguments();
    }

    fn arguments(&mut self) {
        self.put("(");
        let count = self.dice.below(4);
        for index in 0..count {
            if index > 0 {
                self.put(", ");
            }
            if index + 1 == count && self.dice.one_in(6) {
                let named = self.dice.pick(&["key=", "reverse=", "q=", "a=", "*", "**"]);
                self.put(named);
                if named == "key=" {
                    let function = self.dice.pick(&["len", "str", "f", "lambda t: t", "lambda t: -t"]);
                    self.put(function);
                    continue;
                }
            }
            self.expression();
        }
        self.put(")");
    }

    fn special(&mut self) {
        if self.kind == Kind::Plain {
            return self.name();
        }
        match self.dice.below(4) {
            0 => {
                self.expression();
                let field = self.dice.pick(FIELDS);
                self.put(&format!(".{field}"));
            }
            1 => {
                let name = self.dice.pick(NAMES);
                let spec = self.dice.pick(&["", ":.2f", ":>10", "!r", ":,", ":x", "="]);
                self.put(&format!("f'<{{{name}{spec}}}>'"));
            }
            2 => {
                self.put("'%s|%r|%d' % ");
                self.expression();
            }
            _ => {
                self.put("'{}{:>5}{a!r}'.format");
                self.arguments();
            }
        }
    }
}
