//! The names that lens brings into a script: each skill with its functions, `capture`, and the object that `series`
//! gives. Separate because these ask the capture; values only hold what it answered.

#![expect(unsafe_code, reason = "only derived: `ProvidesStaticType` names a type for the interpreter's downcasts")]

use std::fmt;
use std::sync::{Arc, OnceLock};

use allocative::Allocative;
use starlark::any::ProvidesStaticType;
use starlark::environment::Module;
use starlark::eval::{Arguments as Given, Evaluator, ParametersSpec};
use starlark::starlark_simple_value;
use starlark::values::list::AllocList;
use starlark::values::structs::AllocStruct;
use starlark::values::tuple::UnpackTuple;
use starlark::values::{FrozenValue, Heap, NoSerialize, StarlarkValue, Value, starlark_value};

use super::encode;
use super::fault::{Checked, Fault};
use super::form::ENTRY_BYTES;
use super::meter::{BYTES_PER_STEP, Meter, charge};
use super::value::{self, TEXT_BYTES};
use crate::answer::Answer;
use crate::capture::Capture;
use crate::error::CallError;
use crate::reading::Unavailable;
use crate::recorder::Series;
use crate::sandbox::error::QueryErrorKind;
use crate::signature::Arguments;

/// The bytes of one row in a list: its header, its table and its place.
const ROW_BYTES: usize = 48;
/// The entries for which the interpreter's dict of named arguments has room at least.
const LEAST_NAMED: usize = 4;
/// What an answer takes besides its rows.
const ANSWER_BYTES: usize = 1024;
/// How often the name of an argument is copied on its way: here, into a symbol, and into the heap or a skill's arguments.
const NAME_COPIES: usize = 3;

/// Puts the capture's skills and `capture` into a script's module.
pub(super) fn install(module: &Module, capture: &Arc<Capture>) {
    let heap = module.heap();
    for name in capture.registry().names() {
        module.set(name, heap.alloc(Skill { name: name.to_owned(), capture: Arc::clone(capture) }));
    }
    let at = AllocStruct([("at", heap.alloc(capture.at().to_string()))]);
    module.set("capture", heap.alloc(at));
}

/// A skill, as the namespace of its functions.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(super) struct Skill {
    name: String,
    #[allocative(skip)]
    capture: Arc<Capture>,
}

starlark_simple_value!(Skill);

impl Skill {
    /// Calls one of its functions.
    pub(super) fn call<'v>(
        &self,
        function: &str,
        positional: &[Value<'v>],
        named: &[(String, Value<'v>)],
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> Checked<Value<'v>> {
        call(&self.name, function, positional, named, eval)
    }

    fn function_names(&self) -> Vec<String> {
        let entry = self.capture.registry().get(&self.name);
        entry.map(|entry| entry.functions().iter().map(|function| function.name.clone()).collect()).unwrap_or_default()
    }

    /// Why the skill has no attribute `name`.
    #[cold]
    pub(super) fn no_attribute(&self, name: &str) -> Fault {
        let entry = match self.capture.registry().get(&self.name) {
            Ok(entry) => entry,
            Err(error) => return error.into(),
        };
        if entry.has_functions() {
            return entry.function(name).err().map_or_else(
                || Fault::new(QueryErrorKind::Internal, format!("`{}.{name}` exists but was not found", self.name)),
                Fault::from,
            );
        }
        let reason = self.capture.state(&self.name).err();
        let reason = reason.unwrap_or_else(|| Unavailable::failed("the skill has no functions"));
        CallError::Unavailable { subject: format!("`{}.{name}`", self.name), reason }.into()
    }
}

impl fmt::Display for Skill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<skill {}>", self.name)
    }
}

#[starlark_value(type = "skill")]
impl<'v> StarlarkValue<'v> for Skill {
    fn get_attr(&self, name: &str, heap: &'v Heap) -> Option<Value<'v>> {
        let entry = self.capture.registry().get(&self.name).ok()?;
        entry.function(name).ok()?;
        charge(TEXT_BYTES + self.name.len() + TEXT_BYTES + name.len());
        Some(heap.alloc(Function { skill: self.name.clone(), name: name.to_owned() }))
    }

    fn dir_attr(&self) -> Vec<String> {
        self.function_names()
    }
}

/// A function of a skill.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(super) struct Function {
    skill: String,
    name: String,
}

starlark_simple_value!(Function);

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function {}.{}>", self.skill, self.name)
    }
}

#[starlark_value(type = "function")]
impl<'v> StarlarkValue<'v> for Function {
    fn invoke(&self, _: Value<'v>, given: &Given<'v, '_>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
        let (positional, named) = unpack(given, eval)?;
        call(&self.skill, &self.name, &positional, &named, eval)
    }
}

/// Arguments by position and by name.
pub(super) type Unpacked<'v> = (Vec<Value<'v>>, Vec<(String, Value<'v>)>);

/// The arguments of a call, whatever they are.
pub(super) fn unpack<'v>(given: &Given<'v, '_>, eval: &mut Evaluator<'v, '_, '_>) -> Checked<Unpacked<'v>> {
    static ANY: OnceLock<ParametersSpec<FrozenValue>> = OnceLock::new();
    let any = ANY.get_or_init(|| ParametersSpec::new_parts("function", [], [], true, [], true));
    let named = given.names_map()?;
    let (meter, heap) = (Meter::of(eval), eval.heap());
    if !named.is_empty() {
        let bytes: usize = named.keys().map(|name| name.as_str().len()).sum();
        // The dict that the parser makes of them stays in the interpreter's heap, with its table beside it.
        let table = named.len().max(LEAST_NAMED) * ENTRY_BYTES;
        meter.take(heap, bytes.saturating_mul(NAME_COPIES).saturating_add(table))?;
        // Names that were chosen to fall together are compared in full.
        meter.spend(heap, named.len().saturating_mul(named.len() + bytes / BYTES_PER_STEP) / 16)?;
    }
    let positional = any.parser(given, eval, |parser, _| {
        let positional: UnpackTuple<Value<'v>> = parser.next()?;
        let _: Value<'v> = parser.next()?;
        Ok(positional.items)
    })?;
    meter.spend(heap, positional.len() / 16)?;
    let named = named.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect();
    Ok((positional, named))
}

/// Asks the capture, and turns the answer into a value.
pub(super) fn call<'v>(
    skill: &str,
    function: &str,
    positional: &[Value<'v>],
    named: &[(String, Value<'v>)],
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    let meter = Meter::of(eval);
    let heap = eval.heap();
    let json = |value: Value<'v>| encode::argument(value, meter, heap);
    let arguments = Arguments {
        positional: positional.iter().map(|value| json(*value)).collect::<Checked<_>>()?,
        named: named.iter().map(|(name, value)| Ok((name.clone(), json(*value)?))).collect::<Checked<_>>()?,
        are_text: false,
    };
    meter.asks(skill);
    let answer = meter.capture.call(skill, function, arguments).map_err(Fault::from)?;
    meter.look()?;
    match answer {
        Answer::Rows(table) => {
            let rows = table.len();
            if rows > meter.limits.rows {
                return Err(Fault::limit(
                    format!("`{skill}.{function}` gave {rows} rows; the limit is {} (`rows`)", meter.limits.rows),
                    "ask for fewer with the function's arguments",
                )
                .into());
            }
            meter.take(heap, rows.saturating_mul(table.row_bytes()).saturating_add(ANSWER_BYTES))?;
            meter.reserve(heap, rows.saturating_mul(ROW_BYTES))?;
            Ok(value::rows(table, heap))
        }
        Answer::Record(table) => {
            meter.take(heap, table.row_bytes().saturating_add(ANSWER_BYTES))?;
            Ok(value::row(table, heap))
        }
        Answer::Value(json) => Ok(value::from_json(&json, heap)),
    }
}

/// A metric's history, as `series` gives it.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(super) struct History {
    #[allocative(skip)]
    pub(super) series: Series,
}

starlark_simple_value!(History);

impl History {
    pub(super) const METHODS: &'static [&'static str] = &["max", "mean", "min", "quantile", "slope_per_s"];
    const FIELDS: &'static [&'static str] = &["last", "name", "points", "resolution_s", "unit"];

    /// The names of its fields and methods.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::FIELDS.iter().chain(Self::METHODS).copied()
    }

    /// The history of `name`.
    pub(super) fn of<'v>(name: &str, last: &str, eval: &Evaluator<'v, '_, '_>) -> Checked<Value<'v>> {
        let meter = Meter::of(eval);
        let last = serde_json::from_value(last.into())
            .map_err(|error| Fault::argument(format!("the argument `last` of `series`: {error}")))?;
        if let Some((skill, _)) = name.split_once('.') {
            meter.asks(skill);
        }
        let series = meter.capture.series(name, last).map_err(Fault::from)?;
        let points = series.points.capacity() * size_of::<crate::recorder::Point>();
        meter.take(eval.heap(), 2 * TEXT_BYTES + series.name.capacity() + points)?;
        Ok(eval.heap().alloc(Self { series }))
    }

    /// The points and all that is known of them.
    pub(super) fn to_json(&self) -> Checked<serde_json::Value> {
        serde_json::to_value(&self.series)
            .map_err(|error| Fault::runtime(format!("the series cannot be JSON: {error}")).into())
    }

    /// What a method of it gives; `None` if there is no such method.
    pub(super) fn ask<'v>(&self, method: &str, arguments: &[f64], heap: &'v Heap) -> Option<Checked<Value<'v>>> {
        let series = &self.series;
        let none = |value: f64| {
            if arguments.is_empty() {
                Ok(heap.alloc(value))
            } else {
                Err(Fault::argument(format!("`{method}` takes no argument")).into())
            }
        };
        Some(match method {
            "max" => none(series.max()),
            "mean" => none(series.mean()),
            "min" => none(series.min()),
            "slope_per_s" => match series.slope_per_s() {
                Some(slope) => none(slope),
                None => {
                    let until = "a second value has been recorded in that time".into();
                    let reason = Unavailable::NotYet { until };
                    Ok(value::Unavailable::alloc(reason.code(), reason.to_string(), heap))
                }
            },
            "quantile" => match arguments {
                [share] if (0.0..=1.0).contains(share) => Ok(heap.alloc(series.quantile(*share))),
                _ => Err(Fault::argument("`quantile` takes one number between 0 and 1").into()),
            },
            _ => return None,
        })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<series {}>", self.series.name)
    }
}

#[starlark_value(type = "series")]
impl<'v> StarlarkValue<'v> for History {
    fn get_attr(&self, name: &str, heap: &'v Heap) -> Option<Value<'v>> {
        Some(match name {
            "last" => heap.alloc(self.series.last()),
            "name" => heap.alloc(self.series.name.as_str()),
            "unit" => {
                serde_json::to_value(self.series.unit).map_or(Value::new_none(), |unit| value::from_json(&unit, heap))
            }
            "resolution_s" => heap.alloc(self.series.resolution_s),
            "points" => {
                super::meter::charge(self.series.points.len() * 2 * ENTRY_BYTES);
                let point = |point: &crate::recorder::Point| {
                    AllocStruct([("at", heap.alloc(point.at.to_string())), ("value", heap.alloc(point.value))])
                };
                heap.alloc(AllocList(self.series.points.iter().map(point)))
            }
            _ => return None,
        })
    }

    fn dir_attr(&self) -> Vec<String> {
        Self::names().map(str::to_owned).collect()
    }
}
