//! Expressions. Separate from statements because these are where things act.

use std::collections::HashSet;

use starlark_syntax::codemap::Span;
use starlark_syntax::syntax::ast::{
    ArgumentP, AssignOp, AstArgument, AstExpr, AstLiteral, AstParameter, BinOp, Clause, ClauseP, ExprP, ForClause,
    ParameterP,
};

use super::effects::is_number;
use super::{Writer, Written};
use crate::sandbox::guard::access::MOST_ARGUMENTS;
use crate::sandbox::guard::fstring::{FString, PREFIX, Part};

/// The guard's function for an operator; `None` for `and` and `or`, which do not evaluate both sides.
fn binary(operator: BinOp) -> Option<&'static str> {
    Some(match operator {
        BinOp::And | BinOp::Or => return None,
        BinOp::Equal => "__eq",
        BinOp::NotEqual => "__ne",
        BinOp::Less => "__lt",
        BinOp::Greater => "__gt",
        BinOp::LessOrEqual => "__le",
        BinOp::GreaterOrEqual => "__ge",
        BinOp::In => "__in",
        BinOp::NotIn => "__not_in",
        BinOp::Subtract => "__sub",
        BinOp::Add => "__add",
        BinOp::Multiply => "__mul",
        BinOp::Percent => "__mod",
        BinOp::Divide => "__div",
        BinOp::FloorDivide => "__floor_div",
        BinOp::BitAnd => "__and",
        BinOp::BitOr => "__or",
        BinOp::BitXor => "__xor",
        BinOp::LeftShift => "__shl",
        BinOp::RightShift => "__shr",
    })
}

/// The guard's function that compares a field; `None` for what compares nothing.
fn of_field(operator: BinOp) -> Option<&'static str> {
    Some(match operator {
        BinOp::Equal => "__field_eq",
        BinOp::NotEqual => "__field_ne",
        BinOp::Less => "__field_lt",
        BinOp::Greater => "__field_gt",
        BinOp::LessOrEqual => "__field_le",
        BinOp::GreaterOrEqual => "__field_ge",
        _ => return None,
    })
}

/// The guard's function for an assignment with an operator; those of lists and dicts change the value in its place.
pub(super) fn augmented(operator: AssignOp) -> &'static str {
    match operator {
        AssignOp::Add => "__iadd",
        AssignOp::Subtract => "__sub",
        AssignOp::Multiply => "__mul",
        AssignOp::Divide => "__div",
        AssignOp::FloorDivide => "__floor_div",
        AssignOp::Percent => "__mod",
        AssignOp::BitAnd => "__and",
        AssignOp::BitOr => "__ior",
        AssignOp::BitXor => "__xor",
        AssignOp::LeftShift => "__shl",
        AssignOp::RightShift => "__shr",
    }
}

/// The most entries of a dict that is written out whose keys may be long.
const FEW_ENTRIES: usize = 64;

/// How many items a list may have before it counts as a step of its own.
pub(super) const LONG_LIST: usize = 64;
/// The most bytes of a name that a script binds: functions keep copies of them.
pub(in crate::sandbox::guard) const LONGEST_NAME: usize = 256;
/// The most parameters of a function.
const MOST_PARAMETERS: usize = 256;
/// What each evaluation of a `def` or `lambda` takes outside of the interpreter's heap, without names and parameters.
const FUNCTION_BYTES: usize = 64;
/// What each parameter takes there, without its name: its places in the list and the table of parameters, which double.
const PARAMETER_BYTES: usize = 192;

impl Writer<'_> {
    pub(super) fn expression(&mut self, expression: &AstExpr) -> Written {
        if self.depth > 2 * self.nesting {
            return Err(self.too_deep(expression.span, "this expression is", 2 * self.nesting));
        }
        self.depth += 1;
        let written = self.noted(expression.span, |writer| writer.inner(expression));
        self.depth -= 1;
        written
    }

    fn inner(&mut self, expression: &AstExpr) -> Written {
        match &expression.node {
            ExprP::Identifier(name) => match self.plain.fstring(&name.node.ident) {
                Some(fstring) => self.fstring(fstring),
                None => {
                    self.put(&name.node.ident);
                    Ok(())
                }
            },
            ExprP::Literal(literal) => self.constant(literal, expression.span),
            ExprP::Tuple(items) => {
                self.put("(");
                for item in items {
                    self.expression(item)?;
                    self.put(", ");
                }
                self.put(")");
                Ok(())
            }
            ExprP::List(items) => {
                let is_long = items.len() > LONG_LIST;
                self.put(if is_long { "__list([" } else { "[" });
                self.between(items, |writer, item| writer.expression(item))?;
                self.put(if is_long { "])" } else { "]" });
                Ok(())
            }
            ExprP::Dict(entries) if entries.is_empty() => {
                self.put("{}");
                Ok(())
            }
            ExprP::Dict(entries) => {
                self.put("__dict({");
                let check = if entries.len() > FEW_ENTRIES { "__short_key" } else { "__key" };
                self.between(entries, |writer, (key, value)| {
                    writer.key(key, check)?;
                    writer.put(": ");
                    writer.expression(value)
                })?;
                self.put("})");
                Ok(())
            }
            ExprP::Dot(object, name) => {
                self.put("__attr(");
                self.expression(object)?;
                self.put(", ");
                self.literal(&name.node);
                self.put(")");
                Ok(())
            }
            ExprP::Call(callee, arguments) => self.call(callee, &arguments.args),
            ExprP::Index(parts) => self.function("__at", &[&parts.0, &parts.1]),
            ExprP::Index2(_) => Err(self
                .error(expression.span, "an index has one part")
                .help("index twice, as in `x[a][b]`, or use a tuple as a dict's key: `d[(a, b)]`")),
            ExprP::Slice(object, start, stop, step) => {
                self.put("__slice(");
                self.expression(object)?;
                for bound in [start, stop, step] {
                    self.put(", ");
                    match bound {
                        Some(bound) => self.expression(bound)?,
                        None => self.put("None"),
                    }
                }
                self.put(")");
                Ok(())
            }
            ExprP::Lambda(lambda) => self.within_function(expression.span, |writer| {
                let bytes = writer.function_bytes("lambda", &lambda.params, expression.span);
                writer.put(&format!("(__take({bytes}) and (lambda "));
                writer.parameters(&lambda.params, true)?;
                writer.put(": ");
                writer.expression(&lambda.body)?;
                writer.put("))");
                Ok(())
            }),
            ExprP::Not(value) => {
                self.put("(not ");
                self.condition(value)?;
                self.put(")");
                Ok(())
            }
            ExprP::Minus(value) if is_number(value) => {
                self.put("(-");
                self.expression(value)?;
                self.put(")");
                Ok(())
            }
            ExprP::Minus(value) => self.function("__neg", &[value]),
            ExprP::Plus(value) => self.function("__pos", &[value]),
            ExprP::BitNot(value) => self.function("__inv", &[value]),
            ExprP::Op(left, operator, right) => match (binary(*operator), of_field(*operator), &left.node) {
                (_, Some(function), ExprP::Dot(object, name)) if self.is_at_hand(right) => {
                    self.put(function);
                    self.put("(");
                    self.noted(left.span, |writer| {
                        writer.expression(object)?;
                        writer.put(", ");
                        writer.literal(&name.node);
                        Ok(())
                    })?;
                    self.put(", ");
                    self.expression(right)?;
                    self.put(")");
                    Ok(())
                }
                (Some(function), ..) => self.function(function, &[left, right]),
                (None, ..) => {
                    self.put("(");
                    self.condition(left)?;
                    self.put(if *operator == BinOp::And { " and " } else { " or " });
                    self.expression(right)?;
                    self.put(")");
                    Ok(())
                }
            },
            ExprP::If(parts) => {
                let (condition, then, otherwise) = &**parts;
                self.put("(");
                self.expression(then)?;
                self.put(" if ");
                self.condition(condition)?;
                self.put(" else ");
                self.expression(otherwise)?;
                self.put(")");
                Ok(())
            }
            ExprP::ListComprehension(item, each, clauses) => {
                self.put("[");
                self.expression(item)?;
                self.clauses(each, clauses, self.ticks(item))?;
                self.put("]");
                Ok(())
            }
            ExprP::DictComprehension(entry, each, clauses) => {
                self.put("{__new(");
                self.expression(&entry.0)?;
                self.put("): ");
                self.expression(&entry.1)?;
                self.clauses(each, clauses, true)?;
                self.put("}");
                Ok(())
            }
            // They were taken out before.
            ExprP::FString(_) => Err(self.error(expression.span, "this f-string cannot be read")),
        }
    }

    /// Whether a field can be compared with it in one call. Anything else could do something before the field is read; a
    /// name can only be missing.
    fn is_at_hand(&self, right: &AstExpr) -> bool {
        match &right.node {
            ExprP::Literal(_) => true,
            ExprP::Identifier(name) => self.plain.fstring(&name.node.ident).is_none(),
            ExprP::Minus(value) => is_number(value),
            _ => false,
        }
    }

    fn constant(&mut self, literal: &AstLiteral, span: Span) -> Written {
        match literal {
            AstLiteral::Int(number) => self.put(&number.node.to_string()),
            AstLiteral::Float(number) if number.node.is_finite() => self.put(&format!("{:?}", number.node)),
            AstLiteral::Float(_) => self.put("__inf"),
            AstLiteral::String(text) => self.literal(&text.node),
            AstLiteral::Ellipsis => return Err(self.error(span, "`...` stands for nothing here").help("write `pass`")),
        }
        Ok(())
    }

    /// A call of one of the guard's functions.
    pub(super) fn function(&mut self, name: &str, arguments: &[&AstExpr]) -> Written {
        self.put(name);
        self.put("(");
        self.between(arguments, |writer, argument| writer.expression(argument))?;
        self.put(")");
        Ok(())
    }

    fn call(&mut self, callee: &AstExpr, arguments: &[AstArgument]) -> Written {
        self.few_names(callee.span, arguments.iter().filter(|argument| argument.node.name().is_some()).count())?;
        match &callee.node {
            // The one method that grows what it is called on, in most loops: the interpreter knows an instruction for it.
            ExprP::Dot(object, method) if method.node == "append" => {
                self.function("__appendable", &[object])?;
                self.put(".append(");
            }
            ExprP::Dot(object, method) => {
                let are_plain = arguments.iter().all(|argument| matches!(argument.node, ArgumentP::Positional(_)));
                self.put(match arguments.len() {
                    0 => "__m0(",
                    1 if are_plain => "__m1(",
                    2 if are_plain => "__m2(",
                    _ => "__m(",
                });
                self.expression(object)?;
                self.put(", ");
                self.literal(&method.node);
                if !arguments.is_empty() {
                    self.put(", ");
                }
            }
            ExprP::Identifier(name) if self.names.is_function(&name.node.ident) => {
                self.expression(callee)?;
                self.put("(");
            }
            _ => {
                self.put("__call(");
                self.expression(callee)?;
                self.put(")(");
            }
        }
        self.between(arguments, |writer, argument| match &argument.node {
            ArgumentP::Positional(value) => writer.expression(value),
            ArgumentP::Named(name, value) => {
                writer.name(&name.node, name.span)?;
                writer.put(" = ");
                writer.expression(value)
            }
            ArgumentP::Args(values) => {
                writer.put("*");
                writer.function("__star", &[values])
            }
            ArgumentP::KwArgs(values) => {
                writer.put("**");
                writer.function("__stars", &[values])
            }
        })?;
        self.put(")");
        Ok(())
    }

    /// Names that were chosen to fall together make each call quadratic.
    fn few_names(&self, span: Span, count: usize) -> Written {
        if count <= MOST_ARGUMENTS {
            return Ok(());
        }
        Err(self.error(span, format!("a call has at most {MOST_ARGUMENTS} arguments by name, not {count}")))
    }

    /// A name that the script gives to something.
    pub(super) fn name(&mut self, name: &str, span: Span) -> Written {
        if name.len() > LONGEST_NAME {
            let message = format!("a name has at most {LONGEST_NAME} bytes, not {}", name.len());
            return Err(self.error(span, message).help("shorten the name"));
        }
        if matches!(name, "None" | "True" | "False") {
            return Err(self.error(span, format!("`{name}` always means the same")).help("use another name"));
        }
        // The parser takes the name that stands for an f-string, which may be that of one of the guard's own functions.
        if name.starts_with(PREFIX) {
            let error = self.error(span, "a text stands where a name is needed");
            return Err(error.help("give it a name without quotes, as in `total = 1`"));
        }
        self.put(name);
        Ok(())
    }

    /// What each evaluation of a function takes outside of the interpreter's heap: it copies the names, and what the
    /// function uses of the functions around it.
    pub(super) fn function_bytes(&self, name: &str, parameters: &[AstParameter], span: Span) -> usize {
        let names: usize =
            parameters.iter().filter_map(|parameter| parameter.node.ident()).map(|name| name.node.ident.len()).sum();
        let (start, end) = self.range(span);
        let text = self.source.get(start..end).unwrap_or(self.source);
        // At most each word of it is such a variable.
        let words: HashSet<&str> = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
        FUNCTION_BYTES
            + 2 * (name.len() + names)
            + parameters.len() * PARAMETER_BYTES
            + words.len() * size_of::<usize>()
    }

    pub(super) fn parameters(&mut self, parameters: &[AstParameter], is_lambda: bool) -> Written {
        if let Some(first) = parameters.get(MOST_PARAMETERS) {
            let message = format!("a function has at most {MOST_PARAMETERS} parameters, not {}", parameters.len());
            return Err(self.error(first.span, message).help("hand over several values in one struct, dict or list"));
        }
        self.between(parameters, |writer, parameter| {
            match &parameter.node {
                ParameterP::Slash => writer.put("/"),
                ParameterP::NoArgs => writer.put("*"),
                ParameterP::Normal(name, _, default) => {
                    writer.name(&name.node.ident, name.span)?;
                    if let Some(default) = default {
                        writer.put(" = ");
                        writer.expression(default)?;
                    }
                }
                ParameterP::Args(name, _) => {
                    writer.put("*");
                    writer.name(&name.node.ident, name.span)?;
                }
                // Each call makes a dict for them, which only a statement can count.
                ParameterP::KwArgs(..) if is_lambda => {
                    return Err(writer
                        .error(parameter.span, "a lambda cannot take any named argument")
                        .help("define a function with `def`"));
                }
                ParameterP::KwArgs(name, _) => {
                    writer.put("**");
                    writer.name(&name.node.ident, name.span)?;
                }
            }
            Ok(())
        })
    }

    /// A key of a dict that is written out.
    fn key(&mut self, key: &AstExpr, check: &str) -> Written {
        if matches!(key.node, ExprP::Literal(_)) { self.expression(key) } else { self.function(check, &[key]) }
    }

    /// An expression whose truth decides.
    pub(super) fn condition(&mut self, condition: &AstExpr) -> Written {
        if self.is_known(condition) { self.expression(condition) } else { self.function("__is", &[condition]) }
    }

    /// What is looped over.
    pub(super) fn each(&mut self, over: &AstExpr) -> Written {
        self.function("__each", &[over])
    }

    /// The clauses of a comprehension. After each `for` comes either something that counts a step, or a step.
    fn clauses(&mut self, each: &ForClause, clauses: &[Clause], item_ticks: bool) -> Written {
        self.for_clause(each)?;
        self.tick_unless(clauses.first(), item_ticks);
        for (index, clause) in clauses.iter().enumerate() {
            match clause {
                ClauseP::For(clause) => {
                    self.for_clause(clause)?;
                    self.tick_unless(clauses.get(index + 1), item_ticks);
                }
                ClauseP::If(condition) => {
                    self.put(" if ");
                    self.condition(condition)?;
                }
            }
        }
        Ok(())
    }

    fn for_clause(&mut self, clause: &ForClause) -> Written {
        self.put(" for ");
        self.target(&clause.var)?;
        self.put(" in ");
        self.each(&clause.over)
    }

    fn tick_unless(&mut self, next: Option<&Clause>, item_ticks: bool) {
        let ticks = match next {
            None => item_ticks,
            Some(ClauseP::If(condition)) => !self.is_known(condition) || self.ticks(condition),
            // What it loops over is checked.
            Some(ClauseP::For(_)) => true,
        };
        if !ticks {
            self.put(" if __tick()");
        }
    }

    fn fstring(&mut self, fstring: &FString) -> Written {
        self.put("__join(");
        self.between(&fstring.parts, |writer, part| match part {
            Part::Text(text) => {
                writer.literal(text);
                Ok(())
            }
            Part::Field { expression, conversion, spec } => {
                writer.put("__format(");
                let outer = std::mem::replace(&mut writer.shift, expression.shift());
                let written = match expression.value() {
                    Some(value) => writer.expression(value),
                    None => Err(writer.error(expression.span(), "only an expression can be in braces")),
                };
                writer.shift = outer;
                written?;
                writer.put(", ");
                writer.literal(&conversion.to_string());
                writer.put(", ");
                writer.literal(spec);
                writer.put(")");
                Ok(())
            }
        })?;
        self.put(")");
        Ok(())
    }
}
