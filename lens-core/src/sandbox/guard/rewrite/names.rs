//! What the names of a script mean: which ones have no meaning where they stand, and which can only be functions. Separate
//! because it must be exactly as the interpreter resolves them. Where that finds no meaning, it looks for a similar name
//! among all that there are, at each use, in all of the script before its first step, and nothing could stop it. And what
//! can only be a function is called unchecked: a name that is taken for one and is none would be a hole in the guard.

use std::collections::{BTreeSet, HashSet};

use starlark_syntax::syntax::AstModule;
use starlark_syntax::syntax::ast::{
    AssignTargetP, AstAssignTarget, AstExpr, AstNoPayload, AstParameter, AstStmt, Clause, ClauseP, DefP, ExprP,
    ForClause, ParameterP, StmtP,
};
use starlark_syntax::syntax::module::AstModuleFields as _;

use crate::sandbox::guard::fstring::Plain;
use crate::sandbox::limits::Limits;

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
    pub(super) fn of(module: &'a AstModule, plain: &'a Plain, limits: &Limits) -> Self {
        let script = module.statement();
        let mut scopes = Scopes {
            plain,
            open: Vec::new(),
            depth_left: 6 * limits.nesting + 16,
            shift: 0,
            seen: HashSet::new(),
            names: Self::default(),
        };
        scopes.names.top = top_functions(script).map(|function| function.name.node.ident.as_str()).collect();
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

    /// Whether `name` can only be a function: one that the script defines, or a built-in one.
    pub(super) fn is_function(&self, name: &str) -> bool {
        self.is_own_function(name) || (self.is_unbound(name) && crate::sandbox::guard::is_builtin(name))
    }

    /// Whether the script defines a function `main` at its top level.
    pub(super) fn has_main(&self) -> bool {
        self.is_own_function("main")
    }

    /// What is only defined within a function, an `if` or a `for` may be something else elsewhere.
    fn is_own_function(&self, name: &str) -> bool {
        self.top.contains(name) && !self.assigned.contains(name)
    }

    /// What the statements of a scope bind, without those of functions within; notes it for all of the script, too, like
    /// everything here that binds.
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
pub(super) fn top_functions(script: &AstStmt) -> impl DoubleEndedIterator<Item = &DefP<AstNoPayload>> {
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
    /// How deep expressions may yet be. The writer refuses a script with such that are deeper than four levels for each of
    /// `nesting`, and one more.
    depth_left: usize,
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
        let Some(depth_left) = self.depth_left.checked_sub(1) else { return };
        let outer = std::mem::replace(&mut self.depth_left, depth_left);
        self.expression_within(expression);
        self.depth_left = outer;
    }

    fn expression_within(&mut self, expression: &'a AstExpr) {
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
            for expression in fstring.expressions() {
                let outer = std::mem::replace(&mut self.shift, expression.shift());
                if let Some(value) = expression.value() {
                    self.expression(value);
                }
                self.shift = outer;
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

#[cfg(test)]
mod tests {
    use crate::sandbox::guard::prepare;
    use crate::sandbox::limits::{Limits, STACK_BYTES};

    /// Whether the script calls `name` without a check.
    fn is_called_unchecked(script: &str, name: &str) -> bool {
        let text = prepare(script, &Limits::default()).unwrap_or_else(|error| panic!("{script}: {error}")).script.text;
        let text = text.replace(&format!("def {name}("), "");
        let all = text.matches(&format!("{name}(")).count();
        let checked = text.matches(&format!("__call({name})(")).count();
        assert_eq!(all + checked, 1, "{script}: {text}");
        checked == 0
    }

    #[test]
    fn names_are_found_as_deep_as_scripts_may_be() {
        let limits = Limits::default();
        let look = move || {
            let is_found = |calls: usize| {
                let prepared = prepare(&format!("zzz{}", ".f()".repeat(calls)), &limits).ok()?;
                Some(prepared.script.free.iter().any(|(name, _)| name == "zzz"))
            };
            let found: Vec<_> = (1..3 * limits.nesting).map_while(is_found).collect();
            assert_eq!(found, vec![true; 2 * limits.nesting], "deeper ones are refused");
        };
        crate::threads::spawn("lens-test", Some(STACK_BYTES), look).unwrap().join().unwrap();
    }

    #[test]
    fn what_may_be_no_function_is_called_with_a_check() {
        for script in [
            "len([])",
            "f = lambda: len([])",
            "def f(x):\n  return [len(y) for y in x]",
            "x = f\"{len([])}\"",
            "def len(x):\n  return 1\nlen ([])",
        ] {
            assert!(is_called_unchecked(script, "len"), "{script}");
        }
        for script in [
            "len = 1\nlen([])",
            "len += 1\nlen([])",
            "a, (b, len) = 1, (2, 3)\nlen([])",
            "for len in []:\n  len([])",
            "for a, len in []:\n  pass\nlen([])",
            "[len([]) for len in []]",
            "[0 for a in [] for len in []]\nlen([])",
            "{1: len([]) for len in []}",
            "f = lambda len: len([])",
            "f = lambda *len: 0\nlen([])",
            "def f(len):\n  return len([])",
            "def f(a, len = 1):\n  return 1\nlen([])",
            "def f(*len):\n  return len([])",
            "def f(**len):\n  return len([])",
            "def f():\n  def len (x):\n    return 1\nlen([])",
            "if True:\n  def len (x):\n    return 1\nlen([])",
            "def len (x):\n  return 1\nlen = 2\nlen([])",
            "def len (x):\n  return 1\ndef f(x):\n  len = x\n  return len([])",
            "x = f\"{[len for len in []]}\"\nlen([])",
            "x = f\"{(lambda len: 1)}\"\nlen([])",
            "[1 for a in [lambda len: 1]]\nlen([])",
            "x = {1: lambda len: 1}\nlen([])",
            "x = [1][(lambda len: 1)(0):]\nlen([])",
            "def f(a = lambda len: 1):\n  return 1\nlen([])",
        ] {
            assert!(!is_called_unchecked(script, "len"), "{script}");
        }
    }
}
