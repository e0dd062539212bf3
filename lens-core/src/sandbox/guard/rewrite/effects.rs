//! What evaluating an expression or a statement does or gives for certain, or may do. Separate because this decides which of the
//! guard's calls are left out, and writes nothing.

use starlark_syntax::lexer::TokenInt;
use starlark_syntax::syntax::ast::{AssignTargetP, AstExpr, AstLiteral, AstStmt, BinOp, ExprP, ParameterP, StmtP};

use super::Writer;
use super::expression::LONG_LIST;

impl Writer<'_> {
    /// Whether the value cannot be one that is not known, so that its truth needs no check.
    pub(super) fn is_known(&self, expression: &AstExpr) -> bool {
        const TRUTHS: &[&str] = &["all", "any", "available", "bool", "hasattr", "len"];
        match &expression.node {
            ExprP::Op(_, BinOp::And | BinOp::Or, right) => self.is_known(right),
            ExprP::Op(..)
            | ExprP::Not(_)
            | ExprP::Literal(_)
            | ExprP::List(_)
            | ExprP::Tuple(_)
            | ExprP::Dict(_)
            | ExprP::ListComprehension(..)
            | ExprP::DictComprehension(..)
            | ExprP::Lambda(_) => true,
            ExprP::Identifier(name) => matches!(name.node.ident.as_str(), "True" | "False" | "None"),
            ExprP::Call(callee, _) => match &callee.node {
                ExprP::Identifier(name) => {
                    TRUTHS.contains(&name.node.ident.as_str()) && self.names.is_unbound(&name.node.ident)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether evaluating it may call something, which may then change anything.
    pub(super) fn calls(&self, expression: &AstExpr) -> bool {
        match &expression.node {
            ExprP::Call(..) => true,
            // Its body is not evaluated yet.
            ExprP::Lambda(lambda) => lambda.params.iter().any(|parameter| match &parameter.node {
                ParameterP::Normal(_, _, Some(default)) => self.calls(default),
                _ => false,
            }),
            ExprP::Identifier(name) => self.plain.fstring(&name.node.ident).is_some(),
            other => {
                let mut calls = false;
                other.visit_expr(|part| calls |= self.calls(part));
                calls
            }
        }
    }

    /// Whether evaluating it certainly calls a function that counts a step.
    pub(super) fn ticks(&self, expression: &AstExpr) -> bool {
        match &expression.node {
            ExprP::Op(left, BinOp::And | BinOp::Or, _) => !self.is_known(left) || self.ticks(left),
            ExprP::Op(..) | ExprP::Dot(..) | ExprP::Index(_) | ExprP::Slice(..) => true,
            ExprP::Plus(_) | ExprP::BitNot(_) | ExprP::Lambda(_) => true,
            ExprP::ListComprehension(..) | ExprP::DictComprehension(..) => true,
            ExprP::Minus(value) => !is_number(value),
            ExprP::Dict(entries) => !entries.is_empty(),
            ExprP::Identifier(name) => self.plain.fstring(&name.node.ident).is_some(),
            ExprP::Call(callee, arguments) => match &callee.node {
                // `type` is the interpreter's own, which knows an instruction for it; the script's own functions may
                // have nothing in them.
                ExprP::Identifier(name) if self.names.is_function(&name.node.ident) => {
                    let name = name.node.ident.as_str();
                    (self.names.is_unbound(name) && name != "type")
                        || arguments.args.iter().any(|argument| self.ticks(argument.node.expr()))
                }
                _ => true,
            },
            ExprP::Not(value) => !self.is_known(value) || self.ticks(value),
            ExprP::If(parts) => !self.is_known(&parts.0) || self.ticks(&parts.0),
            ExprP::List(items) => items.len() > LONG_LIST || items.iter().any(|item| self.ticks(item)),
            ExprP::Tuple(items) => items.iter().any(|item| self.ticks(item)),
            ExprP::Index2(_) | ExprP::Literal(_) | ExprP::FString(_) => false,
        }
    }

    /// Whether the first thing that a loop's body does certainly counts a step.
    pub(super) fn statement_ticks(&self, statement: &AstStmt) -> bool {
        match &statement.node {
            StmtP::Statements(statements) => statements.first().is_some_and(|first| self.statement_ticks(first)),
            StmtP::AssignModify(..) | StmtP::Break | StmtP::Return(_) => true,
            StmtP::Assign(assign) => matches!(assign.lhs.node, AssignTargetP::Index(_)) || self.ticks(&assign.rhs),
            StmtP::Expression(value) => self.ticks(value),
            StmtP::If(condition, _) | StmtP::IfElse(condition, _) => !self.is_known(condition) || self.ticks(condition),
            _ => false,
        }
    }
}

/// Whether it is a number that the interpreter negates within its heap: a wide integer has its digits beside it.
pub(super) fn is_number(expression: &AstExpr) -> bool {
    match &expression.node {
        ExprP::Literal(AstLiteral::Int(number)) => matches!(number.node, TokenInt::I32(_)),
        ExprP::Literal(AstLiteral::Float(_)) => true,
        _ => false,
    }
}
