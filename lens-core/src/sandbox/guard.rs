//! Runs a script in the interpreter, with every limit that the interpreter has. Separate because the interpreter is seen
//! from here and below only.

mod encode;
mod fault;
mod meter;
mod namespace;
mod value;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use starlark::PrintHandler;
use starlark::codemap::FileSpanRef;
use starlark::environment::{Globals, GlobalsBuilder, LibraryExtension, Module};
use starlark::eval::{BeforeStmtFuncDyn, Evaluator};
use starlark::starlark_module;
use starlark::syntax::{AstModule, Dialect};
use starlark::values::Value;
use starlark::{Error, ErrorKind};

use super::Outcome;
use super::error::{QueryError, QueryErrorKind};
use super::limits::Limits;
use crate::capture::Capture;
use fault::{Checked, Fault};
use meter::Meter;
use namespace::History;

/// The error for a script that is longer than it may be.
pub(super) fn refuse_long(source: &str, limits: &Limits) -> Option<QueryError> {
    (source.len() > limits.source_bytes).then(|| {
        let message =
            format!("the script has {} bytes; the limit is {} (`source_bytes`)", source.len(), limits.source_bytes);
        QueryError::new(QueryErrorKind::Limit, message).help("shorten it, or save it as a query of the service")
    })
}

struct EveryStatement;

impl<'a, 'e: 'a> BeforeStmtFuncDyn<'a, 'e> for EveryStatement {
    fn call<'v>(&mut self, _: FileSpanRef<'_>, eval: &mut Evaluator<'v, 'a, 'e>) -> Checked<()> {
        Meter::of(eval).tick(eval.heap())
    }
}

impl PrintHandler for Meter {
    fn println(&self, text: &str) -> Checked<()> {
        self.print(text)
    }
}

#[starlark_module]
fn own_names(builder: &mut GlobalsBuilder) {
    fn series<'v>(name: &str, last: Option<&str>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        History::of(name, last.unwrap_or("10m"), eval)
    }
    fn available<'v>(#[starlark(require = pos)] value: Value<'v>) -> starlark::Result<bool> {
        Ok(value::Unavailable::of(value).is_none())
    }
}

fn globals() -> &'static Globals {
    static GLOBALS: OnceLock<Globals> = OnceLock::new();
    GLOBALS.get_or_init(|| {
        use LibraryExtension::{Filter, Json, Map, Print, SetType, StructType};
        GlobalsBuilder::extended_by(&[StructType, Map, Filter, Print, Json, SetType]).with(own_names).build()
    })
}

/// Evaluates `source` over `capture` on this thread.
pub(super) fn evaluate(
    source: &str,
    capture: &Arc<Capture>,
    limits: &Arc<Limits>,
    is_cancelled: &Arc<AtomicBool>,
) -> Result<Outcome, QueryError> {
    let meter = Meter::new(limits, capture, is_cancelled);
    run(source, &meter).map_err(|error| QueryError { printed: meter.take_printed(), ..query_error(error, source) })
}

fn run(source: &str, meter: &Meter) -> Checked<Outcome> {
    let dialect = Dialect {
        enable_top_level_stmt: true,
        enable_f_strings: true,
        enable_keyword_only_arguments: true,
        enable_load: false,
        ..Dialect::Standard
    };
    let ast = AstModule::parse("query", source.to_owned(), &dialect)?;
    let module = Module::new();
    namespace::install(&module, &meter.capture);
    let before: Vec<String> = module.names().map(|name| name.as_str().to_owned()).collect();
    let mut evaluator = Evaluator::new(&module);
    evaluator.disable_gc();
    evaluator.extra = Some(meter);
    evaluator.set_print_handler(meter);
    evaluator.set_max_callstack_size(meter.limits.call_depth)?;
    evaluator.before_stmt_for_dap((Box::new(EveryStatement) as Box<dyn BeforeStmtFuncDyn<'_, '_>>).into());
    let mut value = evaluator.eval_module(ast, globals())?;
    if value.is_none() && !before.iter().any(|name| name == "main") {
        if let Some(main) = module.get("main").filter(|main| main.get_type() == "function") {
            value = evaluator.eval_function(main, &[], &[])?;
        }
    }
    let value = encode::answer(value, meter, module.heap())?;
    Ok(Outcome {
        value,
        printed: meter.take_printed(),
        cost: meter.cost(Some(module.heap())),
        touched: meter.capture.touched().into_iter().map(str::to_owned).collect(),
    })
}

fn query_error(error: Error, source: &str) -> QueryError {
    let mut query_error = match error.kind() {
        ErrorKind::Other(inner) | ErrorKind::Native(inner) => match inner.downcast_ref::<Fault>() {
            Some(fault) => fault.0.clone(),
            None => QueryError::new(QueryErrorKind::Runtime, inner.to_string()),
        },
        ErrorKind::Parser(inner) => QueryError::new(QueryErrorKind::Syntax, inner.to_string()),
        ErrorKind::Scope(inner) => QueryError::new(QueryErrorKind::UnknownName, inner.to_string()),
        ErrorKind::StackOverflow(inner) => QueryError::new(QueryErrorKind::Limit, inner.to_string()),
        kind => QueryError::new(QueryErrorKind::Runtime, kind.to_string()),
    };
    if let Some(span) = error.span() {
        let begin = span.resolve_span().begin;
        query_error.line = u32::try_from(begin.line + 1).ok();
        query_error.column = u32::try_from(begin.column + 1).ok();
        query_error.source_line = source.lines().nth(begin.line).map(str::to_owned);
    }
    query_error
}
