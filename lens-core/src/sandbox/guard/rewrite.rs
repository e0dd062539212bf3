//! Writes a script anew so that nothing of it acts unchecked: every operator, method, attribute, index, slice, key, callee
//! and condition becomes a call of one of the guard's own functions, whose names no user can write. Separate because it
//! is the guard's heart: what it leaves as it was is all that a script may do without being asked.
//!
//! | the script | becomes |
//! |---|---|
//! | `a + b`, `-a` | `__add(a, b)`, `__neg(a)` |
//! | `x.f < 5`, `x.f < y` | `__field_lt(x, "f", 5)`, `__field_lt(x, "f", y)` |
//! | `x.f`, `x.f(a)` | `__attr(x, "f")`, `__m1(x, "f", a)` |
//! | `x[k]`, `x[a:b]` | `__at(x, k)`, `__slice(x, a, b, None)` |
//! | `f(a, *b, **c)` | `__call(f)(a, *__star(b), **__stars(c))` |
//! | `{k: v}`, `x[k] = v`, `x[k], y = v` | `__dict({__key(k): v})`, `__assign(v, x, k)`, `((x)[__new(k)], y) = v` |
//! | `x += y`, `x[k] += y` | `x = __iadd(x, y)`, `__update(x, k, "__iadd", y)` |
//! | `x[k] += f()` | `__after(__before(x, k), "__iadd", f())` |
//! | `if c:`, `a and b`, `not c` | `if __is(c):`, `__is(a) and b`, `not __is(c)` |
//! | `def f(a): …`, `lambda a: a` | `__take(n)` before it, `(__take(n) and (lambda a: a))` |
//! | `f"{x:.2f}"` | `__join(__format(x, "s", ".2f"))` |
//! | `[e for x in xs]` | `[e for x in xs if __tick()]`, unless `e` calls a checked function anyway |
//!
//! The interpreter's statement hook sees every other statement. Constants are not folded, since there are no operators
//! left; comments (one of which would turn on the interpreter's type checker) are gone.

mod effects;
mod expression;
mod names;
mod statement;

use std::cmp::Reverse;

use starlark_syntax::codemap::Span;
use starlark_syntax::syntax::AstModule;
use starlark_syntax::syntax::module::AstModuleFields as _;

use super::fstring::Plain;
use super::place::Place;
use crate::sandbox::error::{QueryError, QueryErrorKind};
use crate::sandbox::limits::Limits;
use names::{Free, Names};

pub(super) use expression::LONGEST_NAME;

type Written = Result<(), QueryError>;

/// How many functions may be written within each other.
const FUNCTION_NESTING: usize = 8;

/// A script as the interpreter gets it.
pub(super) struct Rewritten {
    pub(super) text: String,
    /// The statement that gives the script's value.
    pub(super) last: Option<(usize, usize)>,
    /// The names to which it gives no meaning where it uses them.
    pub(super) free: Vec<Free>,
    /// The names that it gives one.
    pub(super) bound: Vec<String>,
    places: Vec<Origin>,
}

/// A range of the text that was written, and the range of the script that it stands for.
#[derive(Clone, Copy)]
struct Origin {
    from: usize,
    to: usize,
    start: usize,
    end: usize,
}

impl Rewritten {
    /// The range of the script that stands behind the bytes `from` to `to`: the smallest that was noted around them.
    pub(super) fn origin(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        let around = self.places.iter().filter(|place| place.from <= from && to <= place.to);
        around.min_by_key(|place| place.to - place.from).map(|place| (place.start, place.end))
    }

    /// The range of the field that the call of the bytes `from` to `to` compares: what was noted first within it.
    pub(super) fn field(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        let within = self.places.iter().filter(|place| from < place.from && place.to < to);
        within.min_by_key(|place| (place.from, Reverse(place.to))).map(|place| (place.start, place.end))
    }
}

/// Rewrites a parsed script.
pub(super) fn rewrite(
    source: &str,
    module: &AstModule,
    plain: &Plain,
    limits: &Limits,
) -> Result<Rewritten, QueryError> {
    let names = Names::of(module, plain, limits);
    let mut writer = Writer {
        source,
        plain,
        names: &names,
        nesting: limits.nesting,
        text: String::with_capacity(source.len() * 4),
        places: Vec::new(),
        shift: 0,
        depth: 0,
        functions: 0,
    };
    writer.script(module.statement())?;
    let last = writer.places.last().map(|place| (place.start, place.end));
    let (text, places) = (writer.text, writer.places);
    Ok(Rewritten { text, last, bound: names.bound(), free: names.free, places })
}

struct Writer<'a> {
    source: &'a str,
    plain: &'a Plain,
    names: &'a Names<'a>,
    nesting: usize,
    text: String,
    places: Vec<Origin>,
    /// What must be added to a span to have the place in the script: within an f-string, the tree is of a part of it.
    shift: isize,
    depth: usize,
    functions: usize,
}

impl Writer<'_> {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Writes a text literal.
    fn literal(&mut self, text: &str) {
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' => self.put("\\\""),
                '\\' => self.put("\\\\"),
                '\n' => self.put("\\n"),
                // A directive of the interpreter begins with it, and it looks for that even within texts.
                '@' => self.put("\\x40"),
                control if u32::from(control) < 0x20 || control == '\x7f' => {
                    self.put(&format!("\\x{:02x}", u32::from(control)));
                }
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    /// Notes that what `write` writes stands for `span`.
    fn noted(&mut self, span: Span, write: impl FnOnce(&mut Self) -> Written) -> Written {
        let from = self.text.len();
        write(self)?;
        let (start, end) = self.range(span);
        self.places.push(Origin { from, to: self.text.len(), start, end });
        Ok(())
    }

    fn range(&self, span: Span) -> (usize, usize) {
        let place = |at: u32| (at as usize).saturating_add_signed(self.shift);
        (place(span.begin().get()), place(span.end().get()))
    }

    fn between<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T) -> Written) -> Written {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.put(", ");
            }
            write(self, item)?;
        }
        Ok(())
    }

    #[cold]
    fn error(&self, span: Span, message: impl Into<String>) -> QueryError {
        let (start, end) = self.range(span);
        Place::new(self.source, start, end).error(QueryErrorKind::Syntax, message)
    }

    #[cold]
    fn too_deep(&self, span: Span, what: &str, limit: usize) -> QueryError {
        let (start, end) = self.range(span);
        let message = format!("{what} nested deeper than the limit of {limit} levels (`nesting`)");
        Place::new(self.source, start, end)
            .error(QueryErrorKind::Limit, message)
            .help("give parts of it a name of their own")
    }

    /// Enters a function, a lambda or one within.
    fn within_function(&mut self, span: Span, write: impl FnOnce(&mut Self) -> Written) -> Written {
        if self.functions >= FUNCTION_NESTING {
            return Err(self.too_deep(span, "functions are", FUNCTION_NESTING));
        }
        self.functions += 1;
        let written = write(self);
        self.functions -= 1;
        written
    }
}
