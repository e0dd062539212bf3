//! Python's format specs, for f-strings, `"{}".format(…)` and `"%s" % …`. Separate because the interpreter has no widths
//! and precisions at all, and its own formatting is as long and as deep as its arguments.

mod spec;

use starlark::values::dict::DictRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{Heap, Value};

use super::fault::{Checked, Fault};
use super::form::{self, known};
use super::meter::Meter;
use super::show;
use crate::error::shortened;
use spec::Spec;

/// A value in a field with a spec; `is_repr` for `!r`.
pub(super) fn field<'v>(value: Value<'v>, is_repr: bool, spec: &str, meter: &Meter, heap: &'v Heap) -> Checked<String> {
    if spec.is_empty() {
        return if is_repr { show::quoted(value, meter, heap) } else { show::plain(value, meter, heap) };
    }
    let spec = Spec::parse(spec)?;
    if is_repr {
        return spec.text(&show::quoted(value, meter, heap)?);
    }
    spec.value(value, meter, heap)
}

/// `template.format(…)`.
pub(super) fn braces<'v>(
    template: &str,
    positional: &[Value<'v>],
    named: &[(String, Value<'v>)],
    meter: &Meter,
    heap: &'v Heap,
) -> Checked<Value<'v>> {
    let mut text = String::new();
    let mut rest = template;
    let mut next = Some(0);
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        meter.tick(heap)?;
        if rest.starts_with("{{") || rest.starts_with("}}") {
            text.push_str(&rest[..1]);
            rest = &rest[2..];
            continue;
        }
        let end = match rest.strip_prefix('{').and_then(|inner| inner.find('}')) {
            Some(end) => end + 1,
            None => {
                let brace = &rest[..1];
                return Err(Fault::argument(format!("a single `{brace}` in a format"))
                    .help(format!("write `{brace}{brace}` for a brace"))
                    .into());
            }
        };
        let inner = &rest[1..end];
        rest = &rest[end + 1..];
        let (name, spec) = inner.split_once(':').unwrap_or((inner, ""));
        let (name, conversion) = name.split_once('!').unwrap_or((name, "s"));
        if !matches!(conversion, "s" | "r") {
            return Err(Fault::argument(format!("`!{}` is neither `!s` nor `!r`", shortened(conversion))).into());
        }
        let value = chosen(name, &mut next, positional, named)?;
        text.push_str(&field(value, conversion == "r", spec, meter, heap)?);
        form::at_most_text(text.len(), meter, heap)?;
    }
    text.push_str(rest);
    form::at_most_text(text.len(), meter, heap)?;
    Ok(heap.alloc(text))
}

/// The argument that a field names: the next one, one by number, or one by name.
fn chosen<'v>(
    name: &str,
    next: &mut Option<usize>,
    positional: &[Value<'v>],
    named: &[(String, Value<'v>)],
) -> Checked<Value<'v>> {
    let by_place = |place: usize| {
        positional.get(place).copied().ok_or_else(|| {
            Fault::argument(format!(
                "the format needs {} arguments and got {}",
                place.saturating_add(1),
                positional.len()
            ))
            .into()
        })
    };
    let mixed = || Fault::argument("a format has either numbers in its braces or none");
    if name.is_empty() {
        let place = next.ok_or_else(mixed)?;
        *next = Some(place + 1);
        return by_place(place);
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        if next.is_some_and(|next| next > 0) {
            return Err(mixed().into());
        }
        *next = None;
        return by_place(name.parse().unwrap_or(usize::MAX));
    }
    match named.iter().find(|(known, _)| known == name) {
        Some((_, value)) => Ok(*value),
        None => {
            let name = shortened(name);
            let help = match name.contains(['.', '[']) {
                true => format!("fields and items can only be read in an f-string, as in `f\"{{{name}}}\"`"),
                false => format!("give it by name, as in `.format({name}=…)`, or write an f-string"),
            };
            Err(Fault::argument(format!("the format has no argument `{name}`")).help(help).into())
        }
    }
}

/// `template % values`.
pub(super) fn percent<'v>(template: &str, values: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<Value<'v>> {
    let single = [values];
    let tuple = TupleRef::from_value(values);
    let mut given = tuple.map_or(single.as_slice(), |tuple| tuple.content()).iter();
    let mut text = String::new();
    let mut rest = template;
    let mut uses_names = false;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        meter.tick(heap)?;
        if let Some(after) = rest.strip_prefix('%') {
            text.push('%');
            rest = after;
            continue;
        }
        let mut named = None;
        if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            uses_names = true;
            rest = after;
            let found = DictRef::from_value(values).and_then(|dict| dict.get_str(name));
            let missing = || Fault::argument(format!("the format has no value for `{}`", shortened(name)));
            named = Some(found.ok_or_else(missing)?);
        }
        let (spec, conversion, after) = Spec::percent(rest)?;
        rest = after;
        let value = match named.or_else(|| given.next().copied()) {
            Some(value) => value,
            None => return Err(Fault::argument("the format needs more values than it got").into()),
        };
        let shown = match conversion {
            's' => spec.text(&show::plain(value, meter, heap)?)?,
            'r' => spec.text(&show::quoted(value, meter, heap)?)?,
            _ => spec.value(value, meter, heap)?,
        };
        text.push_str(&shown);
        form::at_most_text(text.len(), meter, heap)?;
    }
    text.push_str(rest);
    if !uses_names && given.next().is_some() {
        return Err(Fault::argument("the format got more values than it needs").into());
    }
    known(values)?;
    form::at_most_text(text.len(), meter, heap)?;
    Ok(heap.alloc(text))
}
