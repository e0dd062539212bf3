//! Methods as values. Separate because the interpreter's types are declared here, and the calls are made next door.
#![expect(unsafe_code, reason = "only derived: `ProvidesStaticType` names a type for the interpreter's downcasts")]

use std::fmt;

use allocative::Allocative;
use starlark::any::ProvidesStaticType;
use starlark::eval::{Arguments, Evaluator};
use starlark::values::{NoSerialize, StarlarkValue, Trace, UnpackValue, Value, starlark_value};

use super::call;
use crate::sandbox::guard::fault::{Checked, Fault};
use crate::sandbox::guard::namespace::unpack;

/// A method that is not called at once, as in `key=d.get`.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative, Trace)]
pub(in crate::sandbox::guard) struct Bound<'v> {
    pub(in crate::sandbox::guard) receiver: Value<'v>,
    pub(in crate::sandbox::guard) name: &'static str,
}

impl fmt::Display for Bound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<method {}>", self.name)
    }
}

#[starlark_value(type = "function")]
impl<'v> StarlarkValue<'v> for Bound<'v> {
    fn invoke(&self, _: Value<'v>, given: &Arguments<'v, '_>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
        let (arguments, named) = unpack(given, eval)?;
        call(self.receiver, self.name, &arguments, &named, eval)
    }
}

/// `x.name(…)` with arguments of any kind.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(super) struct CallMethod;

starlark::starlark_simple_value!(CallMethod);

impl fmt::Display for CallMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a method")
    }
}

#[starlark_value(type = "function")]
impl<'v> StarlarkValue<'v> for CallMethod {
    fn invoke(&self, _: Value<'v>, given: &Arguments<'v, '_>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
        let (arguments, named) = unpack(given, eval)?;
        match arguments.as_slice() {
            [receiver, name, rest @ ..] => {
                let name = <&str>::unpack_value(*name)?.unwrap_or_default();
                call(*receiver, name, rest, &named, eval)
            }
            _ => Err(Fault::runtime("a method of nothing").into()),
        }
    }
}
