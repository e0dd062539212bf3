//! Goes through a script as the interpreter would resolve its names: module, functions, comprehensions. Separate from the
//! checks of calls because it alone knows the scopes.

use std::collections::{BTreeMap, HashSet};

use starlark_syntax::codemap::Span;
use starlark_syntax::syntax::AstModule;
use starlark_syntax::syntax::ast::{
    AssignTargetP, AstAssignTarget, AstExpr, AstLiteral, AstNoPayload, AstParameter, AstStmt, BinOp, Clause, ClauseP,
    DefP, ExprP, ForClause, ParameterP, StmtP,
};
use starlark_syntax::syntax::module::AstModuleFields as _;

use super::known::Known;
use super::{Rest, Time};
use crate::registry::Registry;
use crate::sandbox::error::QueryError;
use crate::sandbox::guard::fstring::Plain;
use crate::sandbox::guard::lex::{self, Kind, Token};
use crate::sandbox::guard::place::Place;
use crate::sandbox::guard::{builtins, explain, is_builtin, lists, methods, namespace, texts};
use crate::sandbox::limits::MAX_FINDINGS;
use crate::signature::Field;

/// Adds what is wrong with a script that can be read, until there are [`MAX_FINDINGS`] or the time is over.
pub(super) fn walk(
    rest: &Rest,
    plain: &Plain,
    module: &AstModule,
    registry: &Registry,
    time: &mut Time,
    found: &mut Vec<QueryError>,
) {
    let hints = Hints::of(&rest.text);
    let mut walk = Walk { rest, plain, registry, hints, time, found, scopes: Vec::new(), shift: 0 };
    walk.body(module.statement(), &[]);
}

/// What a script may change about what is known: read off its tokens, and rather too much than too little.
struct Hints<'a> {
    /// Names of lists and dicts to which it may add something of another kind.
    changed: HashSet<&'a str>,
    /// Texts that it may ask for with `hasattr` before it reads them as fields.
    asked: HashSet<&'a str>,
}

impl<'a> Hints<'a> {
    fn of(source: &'a str) -> Self {
        let tokens = lex::tokens(source);
        let text = |index: usize| tokens.get(index).map_or("", |token: &Token| token.text(source));
        let mut changed = HashSet::new();
        for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Name) {
            let begins = index == 0 || matches!(text(index - 1), "\n" | ":" | ";");
            let grows = text(index + 1) == "." && matches!(text(index + 2), "append" | "extend" | "insert" | "update");
            if grows || (begins && matches!(text(index + 1), "[" | "+=" | "|=")) {
                changed.insert(token.text(source));
            }
        }
        let asks = tokens.iter().any(|token| token.text(source) == "hasattr");
        let texts = tokens.iter().filter(|token| asks && matches!(token.kind, Kind::Text { .. }));
        let asked = texts.map(|token| token.text(source).trim_start_matches('r').trim_matches(['"', '\''])).collect();
        Self { changed, asked }
    }
}

/// The names of one scope: how often each is bound, and what is known of it. They have an order, so that of two names that
/// are equally near it is always the same one that is proposed.
#[derive(Default)]
struct Scope<'a> {
    names: BTreeMap<&'a str, (usize, Known<'a>)>,
}

impl<'a> Scope<'a> {
    fn bind(&mut self, name: &'a str) {
        self.names.entry(name).or_insert((0, Known::Nothing)).0 += 1;
    }
}

pub(super) struct Walk<'a, 'f> {
    rest: &'a Rest,
    plain: &'a Plain,
    pub(super) registry: &'a Registry,
    hints: Hints<'a>,
    time: &'f mut Time,
    found: &'f mut Vec<QueryError>,
    scopes: Vec<Scope<'a>>,
    /// Within an f-string, what must be added to a span to have the place in the script.
    shift: isize,
}

impl<'a> Walk<'a, '_> {
    /// Notes `error`, at `span`.
    pub(super) fn add(&mut self, span: Span, error: QueryError) {
        if !self.is_full() {
            let place = |at: u32| (at as usize).saturating_add_signed(self.shift);
            let (start, end) = (place(span.begin().get()), place(span.end().get()));
            self.found.push(Place::new(&self.rest.text, start, end).locate(error));
        }
    }

    /// Whether there is no room for another finding: then nobody needs to look for one.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= MAX_FINDINGS
    }

    /// Whether the next part of the script is looked at.
    fn goes_on(&mut self) -> bool {
        !self.is_full() && !self.time.is_over_at_next()
    }

    /// Whether the script gives `name` a meaning of its own, or could.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.rest.unread.contains(name) || self.scopes.iter().any(|scope| scope.names.contains_key(name))
    }

    /// The module, or a function: what it binds counts everywhere in it, and functions within see all of it.
    fn body(&mut self, body: &'a AstStmt, parameters: &'a [AstParameter]) {
        let mut scope = Scope::default();
        for parameter in parameters.iter().filter_map(|parameter| parameter.node.ident()) {
            scope.bind(&parameter.node.ident);
        }
        bind_statement(&mut scope, body);
        self.scopes.push(scope);
        let mut functions = Vec::new();
        self.statement(body, &mut functions);
        for function in functions {
            self.body(&function.body, &function.params);
        }
        self.scopes.pop();
    }

    fn statement(&mut self, statement: &'a AstStmt, functions: &mut Vec<&'a DefP<AstNoPayload>>) {
        if !self.goes_on() {
            return;
        }
        match &statement.node {
            StmtP::Def(function) => {
                self.defaults(&function.params);
                functions.push(function);
            }
            StmtP::Assign(assign) => {
                let known = self.expression(&assign.rhs);
                self.target(&assign.lhs, known);
            }
            StmtP::AssignModify(target, _, value) => {
                self.expression(value);
                self.target(target, Known::Nothing);
            }
            StmtP::For(each) => {
                let known = self.expression(&each.over);
                self.target(&each.var, known.item());
                self.statement(&each.body, functions);
            }
            StmtP::Statements(statements) => statements.iter().for_each(|one| self.statement(one, functions)),
            StmtP::If(condition, body) => {
                self.expression(condition);
                self.statement(body, functions);
            }
            StmtP::IfElse(condition, bodies) => {
                self.expression(condition);
                self.statement(&bodies.0, functions);
                self.statement(&bodies.1, functions);
            }
            StmtP::Expression(value) | StmtP::Return(Some(value)) => self.look(value),
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

    fn target(&mut self, target: &'a AstAssignTarget, known: Known<'a>) {
        match &target.node {
            AssignTargetP::Tuple(targets) => targets.iter().for_each(|target| self.target(target, Known::Nothing)),
            AssignTargetP::Identifier(name) => {
                let own = self.scopes.last_mut().and_then(|scope| scope.names.get_mut(name.node.ident.as_str()));
                // A name with two meanings has none that is known.
                if let Some((count, meaning)) = own {
                    *meaning = if *count == 1 { known } else { Known::Nothing };
                }
            }
            AssignTargetP::Index(parts) => {
                self.expression(&parts.0);
                self.expression(&parts.1);
            }
            AssignTargetP::Dot(object, _) => self.look(object),
        }
    }

    /// Looks at an expression whose value does not matter.
    pub(super) fn look(&mut self, expression: &'a AstExpr) {
        let _: Known<'_> = self.expression(expression);
    }

    /// Looks at an expression; what is known of its value. Each may be looked at once only: it looks at those within it, and
    /// twice at each level would be too often.
    pub(super) fn expression(&mut self, expression: &'a AstExpr) -> Known<'a> {
        if !self.goes_on() {
            return Known::Nothing;
        }
        match &expression.node {
            ExprP::Identifier(name) => self.name(&name.node.ident, expression.span),
            ExprP::Literal(AstLiteral::String(_)) => Known::Text,
            ExprP::Literal(_) => Known::Nothing,
            ExprP::Dot(object, name) => {
                let object = self.expression(object);
                self.attribute(object, &name.node, expression.span)
            }
            ExprP::Call(callee, arguments) => self.call(expression.span, callee, &arguments.args),
            ExprP::Index(parts) => {
                self.expression(&parts.1);
                self.expression(&parts.0).item()
            }
            ExprP::Slice(object, start, stop, step) => {
                for bound in [start, stop, step].into_iter().flatten() {
                    self.expression(bound);
                }
                self.expression(object)
            }
            ExprP::Lambda(lambda) => {
                self.lambda(&lambda.params, &lambda.body, Known::Nothing);
                Known::Nothing
            }
            ExprP::If(parts) => {
                self.expression(&parts.0);
                self.expression(&parts.1);
                self.expression(&parts.2);
                Known::Nothing
            }
            ExprP::Op(left, operator, right) => {
                let (left, right) = (self.expression(left), self.expression(right));
                match (operator, left, right) {
                    (BinOp::Add, Known::Text, Known::Text) => Known::Text,
                    _ => Known::Nothing,
                }
            }
            ExprP::ListComprehension(item, each, clauses) => {
                self.clauses(each, clauses);
                let item = self.expression(item);
                self.scopes.pop();
                item.list()
            }
            ExprP::DictComprehension(entry, each, clauses) => {
                self.clauses(each, clauses);
                self.expression(&entry.0);
                self.expression(&entry.1);
                self.scopes.pop();
                Known::Nothing
            }
            ExprP::List(items) => {
                items.iter().for_each(|item| self.look(item));
                Known::List
            }
            other => {
                other.visit_expr(|part| self.look(part));
                Known::Nothing
            }
        }
    }

    /// A lambda, whose first parameter is known when a helper calls it with the items of a list.
    pub(super) fn lambda(&mut self, parameters: &'a [AstParameter], body: &'a AstExpr, first: Known<'a>) {
        self.defaults(parameters);
        let mut scope = Scope::default();
        for (index, name) in parameters.iter().filter_map(|parameter| parameter.node.ident()).enumerate() {
            scope.bind(&name.node.ident);
            if let (0, Some((_, meaning))) = (index, scope.names.get_mut(name.node.ident.as_str())) {
                *meaning = first;
            }
        }
        self.scopes.push(scope);
        self.expression(body);
        self.scopes.pop();
    }

    /// The clauses of a comprehension, in a scope that is left open for its item.
    fn clauses(&mut self, each: &'a ForClause, clauses: &'a [Clause]) {
        let known = self.expression(&each.over);
        self.scopes.push(Scope::default());
        self.for_clause(each, known);
        for clause in clauses {
            match clause {
                ClauseP::For(each) => {
                    let known = self.expression(&each.over);
                    self.for_clause(each, known);
                }
                ClauseP::If(condition) => self.look(condition),
            }
        }
    }

    fn for_clause(&mut self, each: &'a ForClause, known: Known<'a>) {
        if let Some(scope) = self.scopes.last_mut() {
            bind_target(scope, &each.var);
        }
        self.target(&each.var, known.item());
    }

    fn name(&mut self, name: &'a str, span: Span) -> Known<'a> {
        if let Some(fstring) = self.plain.fstring(name) {
            for expression in fstring.expressions() {
                let outer = std::mem::replace(&mut self.shift, expression.shift());
                if let Some(value) = expression.value() {
                    self.expression(value);
                }
                self.shift = outer;
            }
            return Known::Text;
        }
        if let Some((_, known)) = self.scopes.iter().rev().find_map(|scope| scope.names.get(name)) {
            return if self.hints.changed.contains(name) { Known::Nothing } else { *known };
        }
        let is_given = name == "capture" || is_builtin(name) || builtins::names().any(|known| known == name);
        if is_given || self.rest.unread.contains(name) {
            return Known::Nothing;
        }
        if let Ok(entry) = self.registry.get(name) {
            return Known::Skill(entry);
        }
        let own = self.scopes.iter().flat_map(|scope| scope.names.keys().copied());
        let known = builtins::names().map(|name| -> &'a str { name });
        let error = explain::unknown(name, known.chain(self.registry.names()).chain(["capture"]).chain(own));
        self.add(span, error);
        Known::Nothing
    }

    /// `object.name`, uncalled.
    pub(super) fn attribute(&mut self, object: Known<'a>, name: &str, span: Span) -> Known<'a> {
        match object {
            Known::Skill(entry) => {
                self.skill_function(entry, name, span);
                Known::Nothing
            }
            Known::Row(fields) => self.field(fields, name, span),
            Known::Object(fields) if !methods::DICT_METHODS.contains(&name) => self.field(fields, name, span),
            Known::Text => self.method("a text", texts::METHODS, name, span),
            Known::List | Known::Rows(_) | Known::Objects(_) => self.method("a list", lists::METHODS, name, span),
            Known::History => {
                let all: Vec<&str> = namespace::History::names().collect();
                self.method("a series", &all, name, span)
            }
            Known::Object(_) | Known::Nothing => Known::Nothing,
        }
    }

    /// A field of a row; what it holds.
    pub(super) fn field(&mut self, fields: &'a [Field], name: &str, span: Span) -> Known<'a> {
        if let Some(field) = fields.iter().find(|field| field.name == name) {
            return Known::held(field);
        }
        if self.hints.asked.contains(name) {
            return Known::Nothing;
        }
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        self.add(span, methods::no_attribute("a row", name, &names).0);
        Known::Nothing
    }

    fn method(&mut self, kind: &str, known: &[&str], name: &str, span: Span) -> Known<'a> {
        if !known.contains(&name) {
            self.add(span, methods::no_attribute(kind, name, known).0);
        }
        Known::Nothing
    }
}

fn bind_statement<'a>(scope: &mut Scope<'a>, statement: &'a AstStmt) {
    match &statement.node {
        StmtP::Def(function) => scope.bind(&function.name.node.ident),
        StmtP::Assign(assign) => bind_target(scope, &assign.lhs),
        StmtP::AssignModify(target, ..) => bind_target(scope, target),
        StmtP::For(each) => {
            bind_target(scope, &each.var);
            bind_statement(scope, &each.body);
        }
        StmtP::Statements(statements) => statements.iter().for_each(|one| bind_statement(scope, one)),
        StmtP::If(_, body) => bind_statement(scope, body),
        StmtP::IfElse(_, bodies) => {
            bind_statement(scope, &bodies.0);
            bind_statement(scope, &bodies.1);
        }
        _ => {}
    }
}

fn bind_target<'a>(scope: &mut Scope<'a>, target: &'a AstAssignTarget) {
    match &target.node {
        AssignTargetP::Tuple(targets) => targets.iter().for_each(|target| bind_target(scope, target)),
        AssignTargetP::Identifier(name) => scope.bind(&name.node.ident),
        AssignTargetP::Index(_) | AssignTargetP::Dot(..) => {}
    }
}
