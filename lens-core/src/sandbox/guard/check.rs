//! Says what is wrong with a script without running it. Separate from evaluation because it goes on after the first error:
//! what cannot be read is taken out, line by line, and the rest is looked at all the same.
//!
//! It knows what the skills' functions take and give, so a wrong argument or field is found as well, where the script
//! says plainly whose it is. What it does not know it does not complain about.

mod calls;
mod known;
mod walk;

use std::collections::HashSet;
use std::time::Instant;

use starlark_syntax::syntax::AstModule;

use super::fstring::Plain;
use super::lex::{self, Kind, Token};
use super::meter::late;
use super::{dialect, explain, habits, nesting, refuse_long, rewrite};
use crate::registry::Registry;
use crate::sandbox::error::QueryError;
use crate::sandbox::limits::{Limits, MAX_FINDINGS};

/// How many parts of a script are looked at between two looks at the clock.
const PARTS_PER_LOOK: usize = 64;

/// What is wrong with `source` over the skills of `registry`: at most [`MAX_FINDINGS`] errors, in the order of their
/// places.
///
/// # Errors
///
/// It took longer than [`Limits::wall`].
pub(in crate::sandbox) fn check(
    source: &str,
    registry: &Registry,
    limits: &Limits,
) -> Result<Vec<QueryError>, QueryError> {
    if let Some(error) = refuse_long(source, limits) {
        return Ok(vec![error]);
    }
    let mut time = Time::new(limits);
    let tokens = lex::tokens(source);
    // What is nested too deeply must not reach the parser, whatever is taken out of it.
    if let Err(error) = nesting::check(source, &tokens, limits) {
        return Ok(vec![error]);
    }
    let mut found = habits::all(source, &tokens, MAX_FINDINGS);
    let mut rest = Rest { text: source.to_owned(), unread: HashSet::new() };
    for error in &found {
        rest.leave_out(error.line);
    }
    while found.len() < MAX_FINDINGS {
        if time.is_over() {
            break;
        }
        match rest.read(limits) {
            Ok((plain, module)) => {
                walk::walk(&rest, &plain, &module, registry, &mut time, &mut found);
                break;
            }
            Err(error) => {
                let goes_on = rest.leave_out(error.line);
                found.push(error);
                if !goes_on {
                    break;
                }
            }
        }
    }
    found.sort_by_key(|error| (error.line, error.column));
    found.dedup_by(|one, other| (one.line, one.column, &one.message) == (other.line, other.column, &other.message));
    found.truncate(MAX_FINDINGS);
    if time.is_over { Err(late(limits).help("shorten the script, or ask in several queries")) } else { Ok(found) }
}

/// The time that a check may take. Each part of a script is looked at once, so none comes near it; it is here so that a
/// defect of the check costs a script its answer, and not the sandbox a thread.
struct Time {
    deadline: Instant,
    is_over: bool,
    /// How many parts of the script were looked at.
    parts: usize,
}

impl Time {
    fn new(limits: &Limits) -> Self {
        Self { deadline: Instant::now() + limits.wall, is_over: false, parts: 0 }
    }

    /// Looks at the clock; once it is over it stays so.
    fn is_over(&mut self) -> bool {
        self.is_over = self.is_over || Instant::now() >= self.deadline;
        self.is_over
    }

    /// The same, before the next part of the script: it looks at the clock every few.
    fn is_over_at_next(&mut self) -> bool {
        let looks = self.parts.is_multiple_of(PARTS_PER_LOOK);
        self.parts += 1;
        if looks { self.is_over() } else { self.is_over }
    }
}

/// The part of a script that can be read.
struct Rest {
    text: String,
    /// The names in what was left out: it may have been what gives them a value.
    unread: HashSet<String>,
}

impl Rest {
    fn read(&self, limits: &Limits) -> Result<(Plain, AstModule), QueryError> {
        let tokens = lex::tokens(&self.text);
        let plain = Plain::new(&self.text, &tokens, limits)?;
        let module = AstModule::parse(dialect::NAME, plain.text.clone(), &dialect::user())
            .map_err(|error| explain::syntax(&error, &self.text, &tokens))?;
        // It refuses what the parser takes and the guard does not.
        rewrite::rewrite(&self.text, &module, &plain, limits)?;
        Ok((plain, module))
    }

    /// Leaves out the statement at `line`, and if that was done already or it heads a block, everything up to the next
    /// line that is not indented. Whether anything was left to leave out.
    fn leave_out(&mut self, line: Option<u32>) -> bool {
        const NOTHING: &str = "pass";
        let Some(line) = line else { return false };
        let tokens = lex::tokens(&self.text);
        let statements: Vec<&[Token]> =
            tokens.split(|token| token.kind == Kind::Newline).filter(|tokens| !tokens.is_empty()).collect();
        let ends = |tokens: &[Token]| tokens.last().map_or(0, |token| token.end);
        let line_start = self.line_start(line);
        let Some(index) =
            statements.iter().position(|tokens| ends(tokens) > line_start).or(statements.len().checked_sub(1))
        else {
            return false;
        };
        let (start, end) = (statements[index][0].start, ends(statements[index]));
        let text = &self.text[start..end];
        if text != NOTHING && text.len() >= NOTHING.len() && !text.ends_with(':') {
            self.blank(start, end);
            self.text.replace_range(start..start + NOTHING.len(), NOTHING);
            return true;
        }
        let is_outer = |tokens: &&[Token]| {
            let start = tokens[0].start;
            (start == 0 || self.text.as_bytes()[start - 1] == b'\n')
                && !matches!(tokens[0].text(&self.text), "elif" | "else")
        };
        let first = statements[..=index].iter().rposition(is_outer).unwrap_or(0);
        let next = statements[index + 1..].iter().find(|tokens| is_outer(tokens));
        let end = next.map_or(self.text.len(), |tokens| tokens[0].start);
        self.blank(statements[first][0].start, end);
        true
    }

    fn line_start(&self, line: u32) -> usize {
        let newlines = self.text.match_indices('\n').map(|(at, _)| at + 1);
        std::iter::once(0).chain(newlines).nth(line.saturating_sub(1) as usize).unwrap_or(self.text.len())
    }

    /// Replaces the bytes from `start` to `end`, which are whole tokens, by spaces; lines stay.
    fn blank(&mut self, start: usize, end: usize) {
        let part = &self.text[start..end];
        let names = lex::tokens(part).into_iter().filter(|token| token.kind == Kind::Name);
        self.unread.extend(names.map(|token| token.text(part).to_owned()));
        let spaces = part.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect::<String>();
        self.text.replace_range(start..end, &spaces);
    }
}

#[cfg(test)]
mod tests;
