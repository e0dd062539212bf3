//! How deeply a script is nested, read off its tokens. Separate because the parser, its syntax tree and the compiler
//! recurse as deep as a script is nested: what is too deep must not reach them.
//!
//! A tree cannot be deeper than the tokens that are open at one place: within a pair of brackets, those since the last
//! comma; outside of brackets, those of the line. So their sum over all open brackets bounds the tree's depth, whatever
//! the grammar makes of it (`not not not …`, `a.b.c…`, `lambda: lambda: …`). Blocks are bounded by their indentation, and
//! `elif` by its number, since each is a block within the last one's. A comma between names that are bound ends nothing.

use super::lex::{Kind, Token};
use super::place::Place;
use crate::sandbox::error::{QueryError, QueryErrorKind};
use crate::sandbox::limits::Limits;

/// How many tokens may be open for each level that [`Limits::nesting`] allows: a long sum is one level for a reader, but
/// one per term for the parser.
const OPEN_PER_LEVEL: usize = 10;
/// The most digits of a number.
const MAX_DIGITS: usize = 310;

/// The error for a script that is nested too deeply, at the place where it becomes so.
pub(super) fn check(source: &str, tokens: &[Token], limits: &Limits) -> Result<(), QueryError> {
    let line = Bracket::default();
    let block = Block { indent: 0, elifs: 0 };
    Depth { source, limits, open: vec![line], total: 0, blocks: vec![block] }.check(tokens)
}

struct Depth<'a> {
    source: &'a str,
    limits: &'a Limits,
    /// The line itself, and each open bracket.
    open: Vec<Bracket>,
    /// The open tokens of them all.
    total: usize,
    blocks: Vec<Block>,
}

#[derive(Default)]
struct Bracket {
    /// The tokens since the last comma.
    tokens: usize,
    /// The lambdas whose parameters have not ended: their commas end nothing.
    lambdas: usize,
    /// Whether it is between the `for` and the `in` of a loop, whose commas end nothing either.
    is_in_target: bool,
}

struct Block {
    indent: usize,
    /// The `elif`s of the `if` that is open.
    elifs: usize,
}

impl Depth<'_> {
    fn check(mut self, tokens: &[Token]) -> Result<(), QueryError> {
        let mut starts_line = true;
        for token in tokens {
            if starts_line && token.kind != Kind::Newline {
                self.line(token)?;
            }
            starts_line = false;
            match token.kind {
                Kind::Open => {
                    self.add();
                    self.open.push(Bracket::default());
                    if self.open.len() - 1 > self.limits.nesting {
                        return Err(self.too_deep(token, "brackets are"));
                    }
                }
                Kind::Close => {
                    if self.open.len() > 1 {
                        self.reset();
                        self.open.pop();
                    }
                    self.add();
                }
                Kind::Newline => {
                    self.reset();
                    starts_line = true;
                }
                Kind::Sign
                    if token.text(self.source) == ";" || (token.text(self.source) == "," && !self.in_names()) =>
                {
                    self.reset();
                }
                Kind::Number if token.end - token.start > MAX_DIGITS => {
                    let message = format!("this number has more than {MAX_DIGITS} digits");
                    return Err(self.place(token).error(QueryErrorKind::Limit, message));
                }
                _ => {
                    self.add();
                    self.names(token);
                }
            }
            if self.total > self.limits.nesting * OPEN_PER_LEVEL {
                return Err(self.too_deep(token, "this expression is"));
            }
        }
        Ok(())
    }

    /// The first token of a line: the block that it is in.
    fn line(&mut self, token: &Token) -> Result<(), QueryError> {
        let before = &self.source[..token.start];
        let indent = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        // The parser counts the spaces before the backslash; nobody begins a line like this.
        if before.len() > indent
            && before[..before.len() - indent].lines().last().is_some_and(|line| line.trim() == "\\")
        {
            return Err(self
                .place(token)
                .error(QueryErrorKind::Syntax, "a line cannot begin with a backslash")
                .help("begin the line where the backslash is"));
        }
        while self.blocks.last().is_some_and(|last| last.indent > indent) {
            self.blocks.pop();
        }
        if self.blocks.last().is_none_or(|last| last.indent < indent) {
            self.blocks.push(Block { indent, elifs: 0 });
        }
        // A block costs the compiler more than a bracket does.
        if self.blocks.len() > self.limits.nesting / 4 {
            return Err(self.too_deep(token, "blocks are"));
        }
        if let Some(block) = self.blocks.last_mut() {
            match token.text(self.source) {
                "elif" => block.elifs += 1,
                "else" => {}
                _ => block.elifs = 0,
            }
        }
        if self.blocks.iter().map(|block| block.elifs).sum::<usize>() > self.limits.nesting {
            return Err(self.too_deep(token, "`elif`s are"));
        }
        Ok(())
    }

    /// Whether commas are between names that something binds.
    fn in_names(&self) -> bool {
        self.open.last().is_some_and(|bracket| bracket.lambdas > 0 || bracket.is_in_target)
    }

    /// Notes where the parameters of a lambda, and the names of a loop, begin and end.
    fn names(&mut self, token: &Token) {
        if let Some(bracket) = self.open.last_mut() {
            match token.text(self.source) {
                "lambda" => bracket.lambdas += 1,
                ":" => bracket.lambdas = bracket.lambdas.saturating_sub(1),
                "for" => bracket.is_in_target = true,
                "in" => bracket.is_in_target = false,
                _ => {}
            }
        }
    }

    fn add(&mut self) {
        if let Some(last) = self.open.last_mut() {
            last.tokens += 1;
            self.total += 1;
        }
    }

    fn reset(&mut self) {
        if let Some(last) = self.open.last_mut() {
            self.total -= last.tokens;
            *last = Bracket::default();
        }
    }

    fn place(&self, token: &Token) -> Place<'_> {
        Place::new(self.source, token.start, token.end)
    }

    #[cold]
    fn too_deep(&self, token: &Token, what: &str) -> QueryError {
        let message = format!("{what} nested deeper than the limit of {} levels (`nesting`)", self.limits.nesting);
        self.place(token)
            .error(QueryErrorKind::Limit, message)
            .help("give parts of it a name of their own, or a list to loop over")
    }
}
