//! The names that a script gives a meaning of its own. Separate because a call of a name that no script changes needs no
//! check: it is the guard's own function, or one that the script defines.

use std::collections::{BTreeSet, HashMap, HashSet};

use starlark_syntax::syntax::AstModule;
use starlark_syntax::syntax::ast::{
    AssignTargetP, AstAssignTarget, AstExpr, AstParameter, AstStmt, ClauseP, ExprP, ForClause, StmtP,
};
use starlark_syntax::syntax::module::AstModuleFields as _;

use crate::sandbox::guard::fstring::{Part, Plain};

/// How each name of a script is bound, anywhere in it.
#[derive(Default)]
pub(super) struct Names {
    /// Names that are only ever defined as functions.
    functions: HashSet<String>,
    /// Names of functions within functions: elsewhere each may be that of something else, which is no function.
    inner: HashSet<String>,
    /// All others that are bound.
    others: HashSet<String>,
    /// Functions defined at the top level, with the number of their parameters.
    top: HashMap<String, usize>,
}

impl Names {
    pub(super) fn of(module: &AstModule, plain: &Plain) -> Self {
        let mut names = Self::default();
        names.statement(module.statement(), true);
        for part in plain.fstrings.iter().flat_map(|fstring| &fstring.parts) {
            if let Part::Field { expression, .. } = part {
                names.statement(expression.statement(), false);
            }
        }
        names.others.extend(names.inner.drain().filter(|name| !names.top.contains_key(name)));
        names.functions.retain(|name| !names.others.contains(name));
        names
    }

    /// The names that the script binds.
    pub(super) fn bound(&self) -> Vec<String> {
        self.functions.iter().chain(&self.others).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether the script binds `name` nowhere.
    pub(super) fn is_free(&self, name: &str) -> bool {
        !self.functions.contains(name) && !self.others.contains(name)
    }

    /// Whether `name` can only be a function: one that the script defines, or a built-in one.
    pub(super) fn is_function(&self, name: &str) -> bool {
        self.functions.contains(name) || (self.is_free(name) && crate::sandbox::guard::is_builtin(name))
    }

    /// Whether the script defines a function `main` at its top level.
    pub(super) fn has_main(&self) -> bool {
        self.top.contains_key("main") && self.functions.contains("main")
    }

    fn statement(&mut self, statement: &AstStmt, is_top: bool) {
        match &statement.node {
            StmtP::Def(def) => {
                let name = def.name.node.ident.clone();
                if is_top {
                    self.top.insert(name.clone(), def.params.len());
                } else {
                    self.inner.insert(name.clone());
                }
                self.functions.insert(name);
                self.parameters(&def.params);
                self.statement(&def.body, false);
            }
            StmtP::Assign(assign) => {
                self.target(&assign.lhs);
                self.expression(&assign.rhs);
            }
            StmtP::AssignModify(target, _, value) => {
                self.target(target);
                self.expression(value);
            }
            StmtP::For(each) => {
                self.target(&each.var);
                self.expression(&each.over);
                self.statement(&each.body, false);
            }
            StmtP::Statements(statements) => {
                for statement in statements {
                    self.statement(statement, is_top);
                }
            }
            StmtP::If(condition, body) => {
                self.expression(condition);
                self.statement(body, false);
            }
            StmtP::IfElse(condition, bodies) => {
                self.expression(condition);
                self.statement(&bodies.0, false);
                self.statement(&bodies.1, false);
            }
            StmtP::Expression(value) | StmtP::Return(Some(value)) => self.expression(value),
            StmtP::Return(None) | StmtP::Break | StmtP::Continue | StmtP::Pass | StmtP::Load(_) => {}
        }
    }

    fn parameters(&mut self, parameters: &[AstParameter]) {
        for parameter in parameters {
            if let Some(name) = parameter.node.ident() {
                self.others.insert(name.node.ident.clone());
            }
            if let starlark_syntax::syntax::ast::ParameterP::Normal(_, _, Some(default)) = &parameter.node {
                self.expression(default);
            }
        }
    }

    fn target(&mut self, target: &AstAssignTarget) {
        match &target.node {
            AssignTargetP::Tuple(targets) => targets.iter().for_each(|target| self.target(target)),
            AssignTargetP::Identifier(name) => {
                self.others.insert(name.node.ident.clone());
            }
            AssignTargetP::Index(parts) => {
                self.expression(&parts.0);
                self.expression(&parts.1);
            }
            AssignTargetP::Dot(object, _) => self.expression(object),
        }
    }

    /// Expressions bind names in comprehensions and as parameters of lambdas.
    fn expression(&mut self, expression: &AstExpr) {
        match &expression.node {
            ExprP::Lambda(lambda) => {
                self.parameters(&lambda.params);
                self.expression(&lambda.body);
            }
            ExprP::ListComprehension(item, each, clauses) => {
                self.expression(item);
                self.clauses(each, clauses);
            }
            ExprP::DictComprehension(entry, each, clauses) => {
                self.expression(&entry.0);
                self.expression(&entry.1);
                self.clauses(each, clauses);
            }
            other => other.visit_expr(|part| self.expression(part)),
        }
    }

    fn clauses(&mut self, each: &ForClause, clauses: &[starlark_syntax::syntax::ast::Clause]) {
        self.target(&each.var);
        self.expression(&each.over);
        for clause in clauses {
            match clause {
                ClauseP::For(each) => {
                    self.target(&each.var);
                    self.expression(&each.over);
                }
                ClauseP::If(condition) => self.expression(condition),
            }
        }
    }
}
