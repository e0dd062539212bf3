//! What the names of a script mean: which ones have no meaning where they stand, and which can only be functions, so that
//! calling them needs no check. Separate because it must be exactly as the interpreter resolves them: where that finds no
//! meaning, it looks for a similar name among all that there are, at each use, in all of the script before its first step,
//! and nothing could stop it.

use std::collections::{BTreeSet, HashSet};

use starlark_syntax::syntax::AstModule;
use starlark_syntax::syntax::ast::{
    AssignTargetP, AstAssignTarget, AstExpr, AstNoPayload, AstParameter, AstStmt, Clause, ClauseP, DefP, ExprP,
    ForClause, ParameterP, StmtP,
};
use starlark_syntax::syntax::module::AstModuleFields as _;

use crate::sandbox::guard::fstring::{Part, Plain};

/// A name, and the range of the script where it comes first.
pub(in crate::sandbox::guard) type Free = (String, (usize, usize));

/// The names of a script.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// Those without a meaning where the script uses them.
    pub(super) free: Vec<Free>,
    /// Functions that the script defines at its top level.
    top: HashSet<&'a str>,
    /// All functions that it defines.
    defined: HashSet<&'a str>,
    /// All names that it gives a meaning in another way: variables, parameters.
    assigned: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn of(module: &'a AstModule, plain: &'a Plain) -> Self {
        let script = module.statement();
        let mut scopes = Scopes { plain, open: Vec::new(), shift: 0, seen: HashSet::new(), names: Self::default() };
        scopes.names.top = functions(script).map(|function| function.name.node.ident.as_str()).collect();
        let bound = scopes.names.bound_in(script);
        scopes.within(bound, |scopes| scopes.statement(script));
        scopes.names
    }

    /// The names that the script binds, anywhere in it.
    pub(super) fn bound(&self) -> Vec<String> {
        let bound: BTreeSet<_> = self.defined.union(&self.assigned).collect();
        bound.into_iter().map(|&name| name.to_owned()).collect()
    }

    /// Whether the script binds `name` nowhere.
    pub(super) fn is_unbound(&self, name: &str) -> bool {
        !self.defined.contains(name) && !self.assigned.contains(name)
    }

    /// Whether `name` can only be a function: one that the script defines, or a built-in one. What is only defined within a
    /// function may be something else outside of it.
    pub(super) fn is_function(&self, name: &str) -> bool {
        let is_own = self.top.contains(name) && !self.assigned.contains(name);
        is_own || (self.is_unbound(name) && crate::sandbox::guard::is_builtin(name))
    }

    /// Whether the script defines a function `main` at its top level.
    pub(super) fn has_main(&self) -> bool {
        self.is_function("main")
    }

    /// What the statements of a scope bind, without those of functions within.
    fn bound_in(&mut self, statement: &'a AstStmt) -> HashSet<&'a str> {
        let mut bound = HashSet::new();
        self.bind_statement(&mut bound, statement);
        bound
    }

    fn bind_statement(&mut self, bound: &mut HashSet<&'a str>, statement: &'a AstStmt) {
        match &statement.node {
            StmtP::Def(def) => {
                bound.insert(&def.name.node.ident);
                self.defined.insert(&def.name.node.ident);
            }
            StmtP::Assign(assign) => self.bind(bound, &assign.lhs),
            StmtP::AssignModify(target, ..) => self.bind(bound, target),
            StmtP::For(each) => {
                self.bind(bound, &each.var);
                self.bind_statement(bound, &each.body);
            }
            StmtP::Statements(statements) => statements.iter().for_each(|one| self.bind_statement(bound, one)),
            StmtP::If(_, body) => self.bind_statement(bound, body),
            StmtP::IfElse(_, bodies) => {
                self.bind_statement(bound, &bodies.0);
                self.bind_statement(bound, &bodies.1);
            }
            _ => {}
        }
    }

    fn bind(&mut self, bound: &mut HashSet<&'a str>, target: &'a AstAssignTarget) {
        match &target.node {
            AssignTargetP::Tuple(targets) => targets.iter().for_each(|target| self.bind(bound, target)),
            AssignTargetP::Identifier(name) => {
                bound.insert(&name.node.ident);
                self.assigned.insert(&name.node.ident);
            }
            AssignTargetP::Index(_) | AssignTargetP::Dot(..) => {}
        }
    }

    fn bind_parameters(&mut self, bound: &mut HashSet<&'a str>, parameters: &'a [AstParameter]) {
        let names = parameters.iter().filter_map(|parameter| parameter.node.ident());
        for name in names.map(|name| name.node.ident.as_str()) {
            bound.insert(name);
            self.assigned.insert(name);
        }
    }
}

/// The functions that a script defines at its top level.
pub(super) fn functions(script: &AstStmt) -> impl DoubleEndedIterator<Item = &DefP<AstNoPayload>> {
    let statements = match &script.node {
        StmtP::Statements(statements) => statements.as_slice(),
        _ => std::slice::from_ref(script),
    };
    statements.iter().filter_map(|statement| match &statement.node {
        StmtP::Def(function) => Some(function),
        _ => None,
    })
}

struct Scopes<'a> {
    plain: &'a Plain,
    /// What is bound in each scope around, the module's first.
    open: Vec<HashSet<&'a str>>,
    /// What must be added to a span to have the place in the script.
    shift: isize,
    /// The names in `names.free`.
    seen: HashSet<&'a str>,
    names: Names<'a>,
}

impl<'a> Scopes<'a> {
    fn within(&mut self, bound: HashSet<&'a str>, walk: impl FnOnce(&mut Self)) {
        self.open.push(bound);
        walk(self);
        self.open.pop();
    }

    fn statement(&mut self, statement: &'a AstStmt) {
        match &statement.node {
            StmtP::Def(def) => {
                self.defaults(&def.params);
                let mut bound = self.names.bound_in(&def.body);
                self.names.bind_parameters(&mut bound, &def.params);
                self.within(bound, |scopes| scopes.statement(&def.body));
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
                self.statement(&each.body);
            }
            StmtP::Statements(statements) => statements.iter().for_each(|one| self.statement(one)),
            StmtP::If(condition, body) => {
                self.expression(condition);
                self.statement(body);
            }
            StmtP::IfElse(condition, bodies) => {
                self.expression(condition);
                self.statement(&bodies.0);
                self.statement(&bodies.1);
            }
            StmtP::Expression(value) | StmtP::Return(Some(value)) => self.expression(value),
            StmtP::Return(None) | StmtP::Break | StmtP::Continue | StmtP::Pass | StmtP::Load(_) => {}
        }
    }

    fn defaults(&mut self, parameters: &'a [AstParameter]) {
        for parameter in parameters {
            if let ParameterP::Normal(_, _, Some(default)) = &parameter.node {
                self.expression(default);
            }
        }
    }

    /// What is evaluated where something is assigned: `d` and `k` of `d[k] = …`.
    fn target(&mut self, target: &'a AstAssignTarget) {
        match &target.node {
            AssignTargetP::Tuple(targets) => targets.iter().for_each(|target| self.target(target)),
            AssignTargetP::Identifier(_) => {}
            AssignTargetP::Index(parts) => {
                self.expression(&parts.0);
                self.expression(&parts.1);
            }
            AssignTargetP::Dot(object, _) => self.expression(object),
        }
    }

    fn expression(&mut self, expression: &'a AstExpr) {
        match &expression.node {
            ExprP::Identifier(name) => self.name(&name.node.ident, expression),
            ExprP::Lambda(lambda) => {
                self.defaults(&lambda.params);
                let mut bound = HashSet::new();
                self.names.bind_parameters(&mut bound, &lambda.params);
                self.within(bound, |scopes| scopes.expression(&lambda.body));
            }
            ExprP::ListComprehension(item, each, clauses) => self.comprehension(&[item], each, clauses),
            ExprP::DictComprehension(entry, each, clauses) => {
                self.comprehension(&[&entry.0, &entry.1], each, clauses);
            }
            other => other.visit_expr(|part| self.expression(part)),
        }
    }

    /// The first clause belongs to the scope around; the names of all clauses count in all that follows.
    fn comprehension(&mut self, items: &[&'a AstExpr], each: &'a ForClause, clauses: &'a [Clause]) {
        self.for_clause(each);
        let mut bound = HashSet::new();
        self.names.bind(&mut bound, &each.var);
        for clause in clauses {
            if let ClauseP::For(each) = clause {
                self.names.bind(&mut bound, &each.var);
            }
        }
        self.within(bound, |scopes| {
            for clause in clauses {
                match clause {
                    ClauseP::For(each) => scopes.for_clause(each),
                    ClauseP::If(condition) => scopes.expression(condition),
                }
            }
            items.iter().for_each(|item| scopes.expression(item));
        });
    }

    fn for_clause(&mut self, each: &'a ForClause) {
        self.expression(&each.over);
        self.target(&each.var);
    }

    fn name(&mut self, name: &'a str, expression: &'a AstExpr) {
        if let Some(fstring) = self.plain.fstring(name) {
            for part in &fstring.parts {
                if let Part::Field { expression, start, .. } = part {
                    // The tree's first byte is a bracket that the script does not have.
                    let shift = isize::try_from(*start).unwrap_or(isize::MAX) - 1;
                    let outer = std::mem::replace(&mut self.shift, shift);
                    self.statement(expression.statement());
                    self.shift = outer;
                }
            }
            return;
        }
        let is_bound = self.open.iter().any(|scope| scope.contains(name));
        if !is_bound && self.seen.insert(name) {
            let place = |at: u32| (at as usize).saturating_add_signed(self.shift);
            let span = expression.span;
            self.names.free.push((name.to_owned(), (place(span.begin().get()), place(span.end().get()))));
        }
    }
}
