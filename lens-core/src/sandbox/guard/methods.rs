//! Methods: `x.name(…)`. Separate because this is the only way from a script to a method of the interpreter's own: what
//! is not named here cannot be called.

mod bound;

use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::{Value, ValueLike};

use super::fault::{Checked, Fault};
use super::form::{self, Form};
use super::lists::own;
use super::namespace::{self, Skill};
use super::operators::Hand;
use super::{access, lists, show, tables, texts};
use crate::error::{listed, nearest, shortened};
pub(super) use bound::Bound;
use bound::CallMethod;

pub(super) const DICT_METHODS: &[&str] =
    &["clear", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];
pub(super) const SET_METHODS: &[&str] = &[
    "add",
    "clear",
    "difference",
    "discard",
    "intersection",
    "issubset",
    "issuperset",
    "pop",
    "remove",
    "symmetric_difference",
    "union",
    "update",
];

type Named<'v> = [(String, Value<'v>)];

/// The methods that values of this kind have.
pub(super) fn names(form: &Form<'_>) -> &'static [&'static str] {
    match form {
        Form::Text(_) => texts::METHODS,
        Form::List(_) => lists::METHODS,
        Form::Dict(_) => DICT_METHODS,
        Form::Set => SET_METHODS,
        Form::History(_) => namespace::History::METHODS,
        _ => &[],
    }
}

/// Calls the method `name` of `receiver`.
pub(super) fn call<'v>(
    receiver: Value<'v>,
    name: &str,
    arguments: &[Value<'v>],
    named: &Named<'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    let hand = Hand::new(eval)?;
    let form = Form::of(receiver);
    let is_method = names(&form).contains(&name);
    if is_method && !named.is_empty() && !matches!((&form, name), (Form::Text(_), "format") | (Form::Dict(_), "update"))
    {
        return Err(Fault::argument(format!("`{name}` takes no named arguments")).into());
    }
    let given = match form {
        Form::Text(text) if is_method => texts::call(receiver, text, name, arguments, named, hand, eval),
        Form::List(items) if is_method => lists::call(receiver, items, name, arguments, hand, eval),
        Form::Dict(entries) if is_method => {
            drop(entries);
            dict(receiver, name, arguments, named, hand, eval)
        }
        Form::Set if is_method => set(receiver, name, arguments, hand, eval),
        Form::History(history) if is_method => {
            let numbers = arguments.iter().map(|value| lists::number(name, *value)).collect::<Checked<Vec<f64>>>()?;
            history.ask(name, &numbers, hand.heap).unwrap_or_else(|| Ok(Value::new_none()))
        }
        form => {
            // A dict that is told apart is borrowed, and what is called may change it.
            drop(form);
            if let Some(skill) = receiver.downcast_ref::<Skill>() {
                return skill.call(name, arguments, named, eval);
            }
            // A field that holds a function.
            let function = access::attribute(receiver, name, hand)?;
            callable(function)?;
            let named: Vec<(&str, Value<'v>)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            return eval.eval_function(function, arguments, &named);
        }
    }?;
    hand.meter.tick(hand.heap)?;
    Ok(given)
}

/// What to do where a field's name stands in the place of a function.
pub(super) const NO_FUNCTION: &str = "write a function, as in `lambda t: t.busy_ms`";

/// Refuses to call anything but a function: for an error in it, the interpreter shows what was called in full, however
/// deep it is.
pub(super) fn callable(function: Value<'_>) -> Checked<()> {
    if function.get_type() == "function" {
        return Ok(());
    }
    form::known(function)?;
    let fault = Fault::runtime(format!("{} cannot be called", form::kind(function)));
    Err(if function.unpack_str().is_some() { fault.help(NO_FUNCTION) } else { fault }.into())
}

fn dict<'v>(
    receiver: Value<'v>,
    name: &str,
    arguments: &[Value<'v>],
    named: &Named<'v>,
    hand: Hand<'_, 'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    let length = form::length(receiver, hand.meter)?;
    if let ("get" | "pop" | "setdefault", Some(key)) = (name, arguments.first()) {
        form::key(*key, hand.heap)?;
    }
    match (name, arguments) {
        ("get", [key, rest @ ..]) if rest.len() <= 1 => {
            let found = match DictRef::from_value(receiver) {
                Some(dict) => dict.get(*key)?,
                None => None,
            };
            return Ok(found.or(rest.first().copied()).unwrap_or_else(Value::new_none));
        }
        ("update", [] | [_]) => {
            if let Some(source) = arguments.first() {
                tables::update_dict(receiver, *source, hand)?;
            }
            for (key, value) in named {
                tables::insert(receiver, hand.heap.alloc(key.as_str()), *value, hand)?;
            }
            return Ok(Value::new_none());
        }
        // The interpreter's own error shows the whole dict.
        ("pop", [key]) if !receiver.is_in(*key)? => return Err(access::no_key(receiver, *key, hand)),
        ("pop", [_] | [_, _]) | ("popitem", []) => hand.meter.spend(hand.heap, length / 64)?,
        ("setdefault", [key] | [key, _]) => hand.entries(usize::from(!receiver.is_in(*key)?))?,
        ("items", []) => hand.tuples(length, 2)?,
        ("keys" | "values", []) => hand.list(length)?,
        ("clear", []) => {}
        _ => return Err(wrong_count("dict", name, arguments.len())),
    }
    own(receiver, name, arguments, eval)
}

fn set<'v>(
    receiver: Value<'v>,
    name: &str,
    arguments: &[Value<'v>],
    hand: Hand<'_, 'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Checked<Value<'v>> {
    let length = form::length(receiver, hand.meter)?;
    match (name, arguments) {
        ("add" | "remove" | "discard", [item]) => {
            form::key(*item, hand.heap)?;
            form::at_most_rows(length + 1, hand.meter)?;
            if name == "add" && !receiver.is_in(*item)? {
                hand.entries(1)?;
            }
            // To remove an item is to move all that follow it.
            hand.meter.spend(hand.heap, if name == "add" { 0 } else { length / 64 })?;
            // The interpreter's own error shows the whole set.
            if name == "remove" && !receiver.is_in(*item)? {
                let shown = show::brief(*item, hand.meter, hand.heap);
                return Err(Fault::runtime(format!("{shown} is not in the set")).help("use `discard`").into());
            }
            own(receiver, name, arguments, eval)
        }
        ("update", [more]) => {
            let items = tables::keys_of(*more, hand)?;
            form::at_most_rows(length + items.len(), hand.meter)?;
            tables::update_set(receiver, &items, hand, eval)?;
            Ok(Value::new_none())
        }
        ("clear" | "pop", []) => own(receiver, name, arguments, eval),
        ("issubset" | "issuperset" | "union" | "difference" | "intersection" | "symmetric_difference", [other]) => {
            let other = match Form::of(*other) {
                Form::Set => *other,
                _ => {
                    let items = tables::keys_of(*other, hand)?;
                    tables::new_set(&items, hand, eval)?
                }
            };
            match name {
                "issubset" => tables::is_subset(receiver, other, hand).map(Value::new_bool),
                "issuperset" => tables::is_subset(other, receiver, hand).map(Value::new_bool),
                // Of the method the order is that of the set itself; of `&` it is that of the other one.
                "intersection" => tables::combine_sets(name, other, receiver, hand, eval),
                _ => tables::combine_sets(name, receiver, other, hand, eval),
            }
        }
        _ => Err(wrong_count("set", name, arguments.len())),
    }
}

#[cold]
fn wrong_count(of: &str, method: &str, count: usize) -> starlark::Error {
    Fault::argument(format!("`{method}` of a {of} does not take {count} arguments")).into()
}

/// Why a value has no attribute `name`.
#[cold]
pub(super) fn no_attribute(kind: &str, name: &str, known: &[&str]) -> Fault {
    let near = nearest(name, known.iter().copied());
    let name = shortened(name);
    let message = match &near {
        Some(near) => format!("{kind} has no `{name}`; did you mean `{near}`?"),
        None => format!("{kind} has no `{name}`"),
    };
    let fault = Fault::new(crate::sandbox::error::QueryErrorKind::UnknownName, message).nearest(near);
    if known.is_empty() {
        return fault;
    }
    fault.help(format!("it has {}", listed(known.iter().copied())))
}

pub(super) fn register(builder: &mut GlobalsBuilder) {
    builder.set("__m", CallMethod);
    fixed(builder);
}

#[starlark_module]
fn fixed(builder: &mut GlobalsBuilder) {
    fn __m0<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        call(x, name, &[], &[], eval)
    }

    fn __m1<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        call(x, name, &[a], &[], eval)
    }

    fn __m2<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        call(x, name, &[a, b], &[], eval)
    }
}
