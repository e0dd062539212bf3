//! The functions that every script can call. Separate from the operators because these are the language's library: that of
//! Starlark, written anew so that each goes through its arguments a step at a time, and a few of Python's.

mod collections;
mod helpers;
pub(in crate::sandbox) mod reference;
mod scalars;
mod sort;

use std::collections::HashSet;
use std::sync::OnceLock;

use starlark::environment::{Globals, GlobalsBuilder, LibraryExtension};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;

use super::fault::Fault;
use super::form::{self, known};
use super::meter::BYTES_PER_STEP;
use super::operators::Hand;
use super::{access, fields, methods, operators};

/// The interpreter's own library: what the guard's functions call once they have checked everything.
fn own() -> &'static Globals {
    static OWN: OnceLock<Globals> = OnceLock::new();
    OWN.get_or_init(|| GlobalsBuilder::extended_by(&[LibraryExtension::SetType]).build())
}

/// A function of the interpreter's own library.
#[expect(clippy::expect_used, reason = "each name is a literal in this module, and a test calls every function")]
pub(super) fn base<'v>(name: &str) -> Value<'v> {
    // Values of the globals live as long as they do: for ever.
    let (_, function) = own().iter().find(|(known, _)| *known == name).expect("the interpreter has this function");
    function.to_value()
}

#[starlark_module]
fn counted(builder: &mut GlobalsBuilder) {
    /// How many items a value has, or a text characters.
    ///
    /// Call: `len(x: str | list | dict | set) -> int`
    ///
    /// Example: `len([1, 2])`
    fn len<'v>(#[starlark(require = pos)] x: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<i32> {
        let hand = Hand::new(eval)?;
        if let Some(text) = x.unpack_str() {
            hand.meter.spend(hand.heap, text.len() / BYTES_PER_STEP)?;
        }
        known(x)?;
        x.length().map_err(|_| Fault::argument(format!("{} has no length", form::kind(x))).into())
    }

    /// Memory that the interpreter is about to take outside of its heap.
    fn __take<'v>(#[starlark(require = pos)] bytes: usize, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<bool> {
        let hand = Hand::new(eval)?;
        hand.meter.take(hand.heap, bytes)?;
        Ok(true)
    }
}

/// Everything that a script finds without a capture.
pub(super) fn globals() -> &'static Globals {
    static GLOBALS: OnceLock<Globals> = OnceLock::new();
    GLOBALS.get_or_init(|| {
        let mut builder = GlobalsBuilder::new();
        for (name, value) in own().iter() {
            // Constants, and the one function for which the interpreter has an instruction that looks at nothing but
            // the value itself.
            if matches!(name, "None" | "True" | "False" | "type") {
                builder.set(name, value);
            }
        }
        builder.set("__inf", f64::INFINITY);
        counted(&mut builder);
        operators::register(&mut builder);
        access::register(&mut builder);
        fields::register(&mut builder);
        methods::register(&mut builder);
        collections::register(&mut builder);
        scalars::register(&mut builder);
        helpers::register(&mut builder);
        builder.build()
    })
}

/// Whether `name` is one of the functions that every script can call.
pub(super) fn is_function(name: &str) -> bool {
    static NAMES: OnceLock<HashSet<String>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let functions = globals().iter().filter(|(_, value)| value.to_value().get_type() == "function");
        functions.map(|(name, _)| name.to_owned()).collect()
    });
    names.contains(name)
}

/// The names that a script can use, without those that it cannot write.
pub(in crate::sandbox) fn names() -> impl Iterator<Item = &'static str> {
    globals().iter().map(|(name, _)| name).filter(|name| !name.starts_with("__"))
}
