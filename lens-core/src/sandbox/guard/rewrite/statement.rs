//! Statements. Separate from expressions because they are only carried over: the interpreter's hook sees each of them.

use starlark_syntax::codemap::Span;
use starlark_syntax::syntax::ast::{
    AssignTargetP, AstAssignTarget, AstExpr, AstNoPayload, AstParameter, AstStmt, DefP, ForP, ParameterP, StmtP,
};

use super::expression::augmented;
use super::names::top_functions;
use super::{Writer, Written};

/// What the dict of a function's `**named` takes for each call besides its entries: its table has room for several.
const NAMED_BYTES: usize = 192;

/// The name of the script's last `main`, if that cannot be called without arguments.
fn needs_arguments(script: &AstStmt) -> Option<Span> {
    let main = top_functions(script).rev().find(|function| function.name.node.ident == "main")?;
    let is_needed = |parameter: &AstParameter| matches!(parameter.node, ParameterP::Normal(_, _, None));
    main.params.iter().any(is_needed).then_some(main.name.span)
}

impl Writer<'_> {
    /// The whole script. Its value is that of its last expression, or of `main()`.
    pub(super) fn script(&mut self, script: &AstStmt) -> Written {
        self.statement(script, 0)?;
        let last = match &script.node {
            StmtP::Statements(statements) => statements.last(),
            _ => Some(script),
        };
        let ends_in_value = last.is_some_and(|last| matches!(last.node, StmtP::Expression(_)));
        if !ends_in_value && self.names.has_main() {
            if let Some(main) = needs_arguments(script) {
                let error = self.error(main, "`main` is called without arguments, but takes some");
                return Err(error.help("give each a default, or end the script with a call, as in `main(10)`"));
            }
            return self.noted(script.span, |writer| {
                writer.put("main()\n");
                Ok(())
            });
        }
        Ok(())
    }

    fn statement(&mut self, statement: &AstStmt, indent: usize) -> Written {
        let span = statement.span;
        match &statement.node {
            StmtP::Statements(statements) => statements.iter().try_for_each(|one| self.statement(one, indent)),
            StmtP::If(..) | StmtP::IfElse(..) => self.branch("if ", statement, indent),
            StmtP::For(each) => self.each_statement(each, span, indent),
            StmtP::Def(function) => self.within_function(span, |writer| writer.definition(function, span, indent)),
            _ => {
                self.indent(indent);
                self.noted(span, |writer| writer.simple(statement))?;
                self.put("\n");
                Ok(())
            }
        }
    }

    fn simple(&mut self, statement: &AstStmt) -> Written {
        match &statement.node {
            StmtP::Break => self.put("break"),
            StmtP::Continue => self.put("continue"),
            StmtP::Return(None) => self.put("return"),
            StmtP::Return(Some(value)) => {
                self.put("return ");
                self.expression(value)?;
            }
            StmtP::Expression(value) => self.expression(value)?,
            StmtP::Assign(assign) => match &assign.lhs.node {
                AssignTargetP::Index(parts) => self.function("__assign", &[&assign.rhs, &parts.0, &parts.1])?,
                _ => {
                    self.target(&assign.lhs)?;
                    self.put(" = ");
                    self.expression(&assign.rhs)?;
                }
            },
            StmtP::AssignModify(target, operator, value) => self.modify(target, augmented(*operator), value)?,
            StmtP::Load(_) => return Err(self.error(statement.span, "there is no `load`")),
            _ => self.put("pass"),
        }
        Ok(())
    }

    fn modify(&mut self, target: &AstAssignTarget, function: &str, value: &AstExpr) -> Written {
        match &target.node {
            AssignTargetP::Identifier(name) => {
                self.name(&name.node.ident, name.span)?;
                self.put(&format!(" = {function}({}, ", name.node.ident));
                self.expression(value)?;
            }
            AssignTargetP::Index(parts) => {
                // What is there is read before the value is made, which can only matter where that calls something.
                let is_changed = self.calls(value);
                self.put(if is_changed { "__after(__before(" } else { "__update(" });
                self.expression(&parts.0)?;
                self.put(", ");
                self.expression(&parts.1)?;
                self.put(if is_changed { ")" } else { "" });
                self.put(&format!(", \"{function}\", "));
                self.expression(value)?;
            }
            AssignTargetP::Dot(..) | AssignTargetP::Tuple(_) => return self.target(target),
        }
        self.put(")");
        Ok(())
    }

    pub(super) fn target(&mut self, target: &AstAssignTarget) -> Written {
        match &target.node {
            AssignTargetP::Identifier(name) => self.name(&name.node.ident, name.span),
            AssignTargetP::Tuple(targets) => {
                self.put("(");
                for target in targets {
                    self.target(target)?;
                    self.put(", ");
                }
                self.put(")");
                Ok(())
            }
            AssignTargetP::Index(parts) => self.noted(target.span, |writer| {
                writer.put("(");
                writer.expression(&parts.0)?;
                writer.put(")[__new(");
                writer.expression(&parts.1)?;
                writer.put(")]");
                Ok(())
            }),
            AssignTargetP::Dot(..) => Err(self
                .error(target.span, "a field cannot be changed: a query only reads")
                .help("keep what you compute in a dict, as in `d[\"name\"] = value`, or make a new `struct(…)`")),
        }
    }

    /// An `if` and all its `elif`, which are nested in the tree and side by side here.
    fn branch(&mut self, word: &str, statement: &AstStmt, indent: usize) -> Written {
        let mut word = word;
        let mut statement = statement;
        loop {
            let (condition, body, rest) = match &statement.node {
                StmtP::If(condition, body) => (condition, &**body, None),
                StmtP::IfElse(condition, bodies) => (condition, &bodies.0, Some(&bodies.1)),
                _ => {
                    self.indent(indent);
                    self.put("else:\n");
                    return self.block(statement, indent + 1);
                }
            };
            self.indent(indent);
            self.put(word);
            self.noted(condition.span, |writer| writer.condition(condition))?;
            self.put(":\n");
            self.block(body, indent + 1)?;
            match rest {
                Some(rest) => statement = rest,
                None => return Ok(()),
            }
            word = "elif ";
        }
    }

    fn each_statement(&mut self, each: &ForP<AstNoPayload>, span: Span, indent: usize) -> Written {
        self.indent(indent);
        self.noted(span, |writer| {
            writer.put("for ");
            writer.target(&each.var)?;
            writer.put(" in ");
            writer.each(&each.over)
        })?;
        self.put(":\n");
        if !self.statement_ticks(&each.body) {
            self.indent(indent + 1);
            self.noted(span, |writer| {
                writer.put("__tick()");
                Ok(())
            })?;
            self.put("\n");
        }
        self.block(&each.body, indent + 1)
    }

    fn definition(&mut self, function: &DefP<AstNoPayload>, span: Span, indent: usize) -> Written {
        let bytes = self.function_bytes(&function.name.node.ident, &function.params, span);
        self.indent(indent);
        self.noted(span, |writer| {
            writer.put(&format!("__take({bytes})"));
            Ok(())
        })?;
        self.put("\n");
        self.indent(indent);
        self.noted(span, |writer| {
            writer.put("def ");
            writer.name(&function.name.node.ident, function.name.span)?;
            writer.put("(");
            writer.parameters(&function.params, false)?;
            writer.put("):\n");
            Ok(())
        })?;
        for parameter in &function.params {
            if let ParameterP::KwArgs(name, _) = &parameter.node {
                let name = &name.node.ident;
                for call in [format!("__take({NAMED_BYTES})"), format!("__named({name})")] {
                    self.indent(indent + 1);
                    self.noted(parameter.span, |writer| {
                        writer.put(&call);
                        Ok(())
                    })?;
                    self.put("\n");
                }
            }
        }
        self.block(&function.body, indent + 1)
    }

    fn block(&mut self, body: &AstStmt, indent: usize) -> Written {
        if indent > self.nesting / 4 {
            return Err(self.too_deep(body.span, "blocks are", self.nesting / 4));
        }
        let before = self.text.len();
        self.statement(body, indent)?;
        if self.text.len() == before {
            self.indent(indent);
            self.put("pass\n");
        }
        Ok(())
    }

    fn indent(&mut self, levels: usize) {
        for _ in 0..levels {
            self.put(" ");
        }
    }
}
