//! Runs a script so that nothing in it can hurt the process. Separate because the interpreter is seen here and below only.
//!
//! The interpreter's own limits do not contain a script: a list nested a million deep overflows the stack when it is shown,
//! `"a" * n` aborts when memory ends, `max(range(n))` does not look at the clock. So a script passes these steps:
//!
//! 1. [`lex`] splits it into tokens; [`nesting`] refuses what would make the parser recurse too deeply, [`habits`] what
//!    only Python has.
//! 2. [`fstring`] takes out the f-strings, and the interpreter's parser makes a tree of the rest.
//! 3. [`rewrite`] writes it anew: every operator, method, attribute, index, key, callee and condition becomes a call of a
//!    function of the guard's own.
//! 4. The interpreter runs that. The guard's functions ask the [`meter`] before they act, and never hand a value that
//!    could be deep or long to code of the interpreter that recurses or does not stop: [`show`], [`compare`] and
//!    [`encode`] are the guard's own.
//! 5. The interpreter's statement hook asks the meter as well, its collector is off (it recurses, and the heap's size is
//!    then all that was ever made), and a panic ends the query only.
//! 6. [`explain`] puts an error where it belongs in the script as the user wrote it.
//!
//! What cannot be defended here: an allocation that fails in spite of the limits, a bug in the interpreter's `unsafe`
//! code, and a path to a recursive function that nobody has found. Scripts that nobody vouches for belong into a process
//! of their own.

mod access;
mod builtins;
mod check;
mod compare;
mod dialect;
mod encode;
mod explain;
mod fault;
mod fields;
mod form;
mod format;
mod fstring;
mod habits;
mod lex;
mod lists;
mod meter;
mod methods;
mod namespace;
mod nesting;
mod operators;
mod place;
mod rewrite;
mod show;
mod tables;
mod texts;
mod value;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use starlark::codemap::FileSpanRef;
use starlark::environment::Module;
use starlark::eval::{BeforeStmtFuncDyn, Evaluator};
use starlark_syntax::syntax::AstModule;

use super::Outcome;
use super::error::{QueryError, QueryErrorKind};
use super::limits::Limits;
use crate::capture::Capture;
pub(super) use builtins::{names, reference};
pub(super) use check::check;
use fault::Checked;
use fstring::Plain;
use meter::Meter;
#[cfg(target_os = "linux")]
pub(super) use meter::{cancelled, late};
use place::Place;
use rewrite::Rewritten;

/// The error for a script that is longer than it may be.
pub(super) fn refuse_long(source: &str, limits: &Limits) -> Option<QueryError> {
    (source.len() > limits.source_bytes).then(|| {
        let message =
            format!("the script has {} bytes; the limit is {} (`source_bytes`)", source.len(), limits.source_bytes);
        QueryError::new(QueryErrorKind::Limit, message).help("shorten it, or ask in several queries")
    })
}

/// A script that was read and rewritten, to be run any number of times.
pub(super) struct Prepared {
    source: String,
    script: Rewritten,
    module: AstModule,
}

/// Evaluates `script` over `capture` on this thread. What it gives is handed to `deliver` before its values are dropped,
/// which can take as long as it took to make them.
pub(super) fn evaluate(
    script: &Prepared,
    capture: &Arc<Capture>,
    limits: &Arc<Limits>,
    is_cancelled: &Arc<AtomicBool>,
    deliver: impl FnOnce(Result<Outcome, QueryError>),
) {
    let meter = Meter::new(limits, capture, is_cancelled);
    evaluate_by(&meter, script, deliver);
}

fn evaluate_by(meter: &Meter, script: &Prepared, deliver: impl FnOnce(Result<Outcome, QueryError>)) {
    let module = Module::new();
    let result = run(script, &module, meter);
    deliver(result.map_err(|error| QueryError { printed: meter.take_printed(), ..error }));
}

/// Reads `source` and [evaluates](evaluate) it.
pub(super) fn evaluate_source(
    source: &str,
    capture: &Arc<Capture>,
    limits: &Arc<Limits>,
    is_cancelled: &Arc<AtomicBool>,
    deliver: impl FnOnce(Result<Outcome, QueryError>),
) {
    let meter = Meter::new(limits, capture, is_cancelled);
    match prepare(source, limits) {
        Ok(script) => evaluate_by(&meter, &script, deliver),
        Err(error) => deliver(Err(error)),
    }
}

/// Steps 1 to 3: the script as the interpreter may have it.
pub(super) fn prepare(source: &str, limits: &Limits) -> Result<Prepared, QueryError> {
    if let Some(error) = refuse_long(source, limits) {
        return Err(error);
    }
    let tokens = lex::tokens(source);
    nesting::check(source, &tokens, limits)?;
    habits::check(source, &tokens)?;
    let plain = Plain::new(source, &tokens, limits)?;
    let module = AstModule::parse(dialect::NAME, plain.text.clone(), &dialect::user())
        .map_err(|error| explain::syntax(&error, source, &tokens))?;
    let script = rewrite::rewrite(source, &module, &plain, limits)?;
    let module = AstModule::parse(dialect::NAME, script.text.clone(), &dialect::core())
        .map_err(|error| explain::internal(&error))?;
    Ok(Prepared { source: source.to_owned(), script, module })
}

/// The interpreter asks this before each statement.
struct EveryStatement;

impl<'a, 'e: 'a> BeforeStmtFuncDyn<'a, 'e> for EveryStatement {
    fn call<'v>(&mut self, _: FileSpanRef<'_>, eval: &mut Evaluator<'v, 'a, 'e>) -> Checked<()> {
        Meter::of(eval).tick(eval.heap())
    }
}

fn run(prepared: &Prepared, module: &Module, meter: &Meter) -> Result<Outcome, QueryError> {
    let Prepared { source, script, module: ast } = prepared;
    namespace::install(module, &meter.capture);
    let known = || known_names(&meter.capture);
    // The interpreter looks for a similar name wherever one is unknown, in all of the script before its first step.
    let is_known = |name: &str| builtins::names().any(|own| own == name) || is_of_capture(name, &meter.capture);
    if let Some((name, (start, end))) = script.free.iter().find(|(name, _)| !is_known(name)) {
        let error = if script.bound.contains(name) {
            explain::elsewhere(name)
        } else {
            let known = known();
            explain::unknown(name, known.iter().chain(&script.bound).map(String::as_str))
        };
        return Err(Place::new(source, *start, *end).locate(error));
    }
    let mut evaluator = Evaluator::new(module);
    evaluator.disable_gc();
    evaluator.extra = Some(meter);
    evaluator.set_print_handler(&Silent);
    // It is set once, and not to 0.
    let set = evaluator.set_max_callstack_size(meter.limits.call_depth.max(1));
    debug_assert!(set.is_ok(), "the call depth is set once");
    evaluator.before_stmt_for_dap((Box::new(EveryStatement) as Box<dyn BeforeStmtFuncDyn<'_, '_>>).into());
    let value = evaluator
        .eval_module(ast.clone(), builtins::globals())
        .map_err(|error| explain::runtime(&error, script, source, meter, known))?;
    let columns = encode::columns(value);
    let value = encode::answer(value, meter, module.heap())
        .map_err(|error| explain::answer(&error, script, source, &meter.limits, known))?;
    Ok(Outcome {
        value,
        columns,
        printed: meter.take_printed(),
        cost: meter.cost(Some(module.heap())),
        touched: meter.take_asked(),
    })
}

/// Whether `name` stands for a part of the capture.
fn is_of_capture(name: &str, capture: &Capture) -> bool {
    name == "capture" || capture.registry().names().any(|skill| skill == name)
}

/// The names that a script over `capture` can use.
fn known_names(capture: &Capture) -> Vec<String> {
    let own = builtins::names().map(str::to_owned);
    own.chain(capture.registry().names().map(str::to_owned)).chain(["capture".to_owned()]).collect()
}

/// The guard's `print` goes to the meter; should the interpreter ever print, it must not be to the service's output.
struct Silent;

impl starlark::PrintHandler for Silent {
    fn println(&self, _: &str) -> Checked<()> {
        Ok(())
    }
}

/// Whether `name` is one of the functions that every script can call.
fn is_builtin(name: &str) -> bool {
    builtins::is_function(name)
}
