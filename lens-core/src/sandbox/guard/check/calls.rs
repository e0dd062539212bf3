//! Calls, checked against what is called: functions of skills, the language's own, methods. Separate because only here is
//! an argument compared with a parameter.

use std::ops::Range;

use serde_json::Value as Json;
use starlark_syntax::codemap::Span;
use starlark_syntax::syntax::ast::{ArgumentP, AstArgument, AstExpr, AstLiteral, ExprP};

use super::known::Known;
use super::walk::Walk;
use crate::error::{CallError, nearest};
use crate::reading::Unavailable;
use crate::registry::Entry;
use crate::sandbox::error::{QueryError, QueryErrorKind};
use crate::sandbox::guard::builtins::reference::{self, BuiltinParameter, BuiltinReference, Given};
use crate::sandbox::guard::methods::NO_FUNCTION;
use crate::signature::{Arguments, FunctionReference, Parameter};

/// Helpers that take a list and give some of its items.
const SELECTING: &[&str] = &["filter", "list", "reversed", "sorted", "top", "uniq", "where"];
/// Helpers that ask something of the items of a list, what they take for that, and as which arguments; by name it is `key`,
/// `by` or `value`.
const ASKING: &[(&str, Key, Range<usize>)] = &[
    ("where", Key::Any, 1..2),
    ("pluck", Key::Any, 1..2),
    ("group_by", Key::Any, 1..2),
    ("count_by", Key::Any, 1..2),
    ("sum_by", Key::Any, 1..3),
    ("top", Key::Any, 2..3),
    ("mean", Key::Any, 1..2),
    ("percentile", Key::Any, 2..3),
    ("summary", Key::Any, 1..2),
    ("histogram", Key::Any, 2..3),
    ("table", Key::Field, 1..usize::MAX),
    ("sorted", Key::Function, 0..0),
    ("max", Key::Function, 0..0),
    ("min", Key::Function, 0..0),
    ("filter", Key::Function, 0..1),
    ("map", Key::Function, 0..1),
];

/// What a helper takes to ask something of an item.
#[derive(Clone, Copy)]
enum Key {
    /// A field's name or a function.
    Any,
    /// A field's name.
    Field,
    /// A function.
    Function,
}

impl<'a> Walk<'a, '_> {
    pub(super) fn call(&mut self, span: Span, callee: &'a AstExpr, arguments: &'a [AstArgument]) -> Known<'a> {
        match &callee.node {
            ExprP::Dot(object, name) => {
                let object = self.expression(object);
                if let Known::Skill(entry) = object {
                    self.all(arguments);
                    return match self.skill_function(entry, &name.node, callee.span) {
                        Some(function) => {
                            self.bound(span, entry, function, arguments);
                            Known::returned(&function.returns)
                        }
                        None => Known::Nothing,
                    };
                }
                self.attribute(object, &name.node, callee.span);
                self.all(arguments);
                Known::Nothing
            }
            ExprP::Identifier(name) if !self.is_own(&name.node.ident) => {
                self.expression(callee);
                self.builtin(span, &name.node.ident, arguments)
            }
            _ => {
                self.expression(callee);
                self.all(arguments);
                Known::Nothing
            }
        }
    }

    fn all(&mut self, arguments: &'a [AstArgument]) {
        for argument in arguments {
            self.expression(argument.node.expr());
        }
    }

    /// The function `name` of a skill; that there is none, or that nobody knows, is noted.
    pub(super) fn skill_function(&mut self, entry: &'a Entry, name: &str, span: Span) -> Option<&'a FunctionReference> {
        if !entry.has_functions() {
            let subject = format!("`{}.{name}`", entry.about().name);
            let reason = entry.absence().cloned().unwrap_or_else(|| Unavailable::failed("the skill has no functions"));
            let error = CallError::Unavailable { subject, reason };
            self.add(span, error.into());
            return None;
        }
        match entry.function(name) {
            Ok(function) => Some(function),
            Err(error) => {
                self.add(span, error.into());
                None
            }
        }
    }

    /// Checks arguments as a call would, where they are written out; one that is not could be right.
    fn bound(&mut self, span: Span, entry: &Entry, function: &FunctionReference, arguments: &'a [AstArgument]) {
        let could_be_any = arguments.iter().any(|a| matches!(a.node, ArgumentP::Args(_) | ArgumentP::KwArgs(_)));
        if could_be_any {
            return;
        }
        let skill = &entry.about().name;
        let by_place = arguments.iter().filter(|argument| matches!(argument.node, ArgumentP::Positional(_))).count();
        if by_place > function.parameters.len() {
            let given = Arguments { positional: vec![Json::Null; by_place], ..Arguments::default() };
            if let Err(error) = function.bind(skill, given) {
                self.add(span, error.into());
            }
            return;
        }
        let sample = |parameter: &Parameter| (parameter.name.clone(), parameter.takes.sample());
        let mut is_given = vec![false; function.parameters.len()];
        // Each argument on its own, as if all others were right.
        for (index, argument) in arguments.iter().enumerate() {
            if self.is_full() {
                return;
            }
            let (takes, name, value) = match &argument.node {
                // The parser has seen to it that they are the first.
                ArgumentP::Positional(value) => (Some(index), function.parameters[index].name.as_str(), value),
                ArgumentP::Named(name, value) => {
                    let takes = function.parameters.iter().position(|parameter| parameter.name == name.node);
                    (takes, name.node.as_str(), value)
                }
                ArgumentP::Args(_) | ArgumentP::KwArgs(_) => continue,
            };
            let value = literal(value).or_else(|| Some(function.parameters[takes?].takes.sample()));
            let is_second = takes.is_some_and(|takes| std::mem::replace(&mut is_given[takes], true));
            let others = function.parameters.iter().enumerate();
            let others = others.filter(|(other, parameter)| match takes {
                Some(takes) if takes == *other => is_second,
                _ => parameter.is_required(),
            });
            let mut named = vec![(name.to_owned(), value.unwrap_or_default())];
            named.extend(others.map(|(_, parameter)| sample(parameter)));
            if let Err(error) = function.bind(skill, Arguments::named(named)) {
                self.add(argument.span, error.into());
            }
        }
        let given = function.parameters.iter().zip(is_given).filter(|(_, is_given)| *is_given);
        let named = given.map(|(parameter, _)| sample(parameter)).collect();
        if let Err(error) = function.bind(skill, Arguments::named(named)) {
            self.add(span, error.into());
        }
    }

    fn builtin(&mut self, span: Span, name: &'a str, arguments: &'a [AstArgument]) -> Known<'a> {
        let asks = ASKING.iter().find(|(helper, ..)| *helper == name);
        let list_at = usize::from(matches!(name, "filter" | "map"));
        let list = match arguments.get(list_at).map(|argument| &argument.node) {
            Some(ArgumentP::Positional(list)) => self.expression(list),
            _ => Known::Nothing,
        };
        // Of several arguments, these two compare the arguments themselves.
        let has_items = !matches!(name, "max" | "min")
            || arguments.get(1).is_none_or(|second| matches!(second.node, ArgumentP::Named(..)));
        let items = if has_items { list.item() } else { Known::Nothing };
        for (index, argument) in arguments.iter().enumerate() {
            let (value, is_key) = match &argument.node {
                ArgumentP::Positional(_) if index == list_at => continue,
                ArgumentP::Positional(value) => (value, asks.is_some_and(|(_, _, places)| places.contains(&index))),
                ArgumentP::Named(name, value) => (value, matches!(name.node.as_str(), "key" | "by" | "value")),
                ArgumentP::Args(value) | ArgumentP::KwArgs(value) => (value, false),
            };
            match asks.filter(|_| is_key) {
                Some((_, key, _)) => self.key(*key, value, items),
                None => self.look(value),
            }
        }
        if let Some(function) = reference::all().iter().find(|function| function.name == name) {
            self.fits(span, function, arguments);
        }
        match name {
            "series" => Known::History,
            "str" | "repr" | "human_bytes" | "human_ms" => Known::Text,
            _ if SELECTING.contains(&name) => list.item().list(),
            _ => Known::Nothing,
        }
    }

    /// An argument that is asked of `items`. What it cannot be is said in the words of the run.
    fn key(&mut self, takes: Key, argument: &'a AstExpr, items: Known<'a>) {
        match (&argument.node, takes, items) {
            (ExprP::Literal(AstLiteral::String(name)), Key::Any | Key::Field, Known::Row(fields)) => {
                self.field(fields, &name.node, argument.span);
            }
            (ExprP::Lambda(lambda), ..) => {
                self.lambda(&lambda.params, &lambda.body, items);
                if let Key::Field = takes {
                    let error =
                        QueryError::new(QueryErrorKind::Argument, "`table` takes names of fields, not a function");
                    self.add(argument.span, error.help("write `table(xs, \"id\", \"busy_ms\")`"));
                }
            }
            _ => {
                if let (Key::Function, Known::Text) = (takes, self.expression(argument)) {
                    let error = QueryError::new(QueryErrorKind::Runtime, "a text cannot be called");
                    self.add(argument.span, error.help(NO_FUNCTION));
                }
            }
        }
    }

    /// Whether the arguments can be those of `function`.
    fn fits(&mut self, span: Span, function: &BuiltinReference, arguments: &'a [AstArgument]) {
        let mut positional = 0;
        let mut named = Vec::new();
        for argument in arguments {
            match &argument.node {
                ArgumentP::Positional(_) => positional += 1,
                ArgumentP::Named(name, _) => named.push((name.node.as_str(), argument.span)),
                ArgumentP::Args(_) | ArgumentP::KwArgs(_) => return,
            }
        }
        let called = format!("it is called as `{}`", function.signature);
        let argument = |message: String| QueryError::new(QueryErrorKind::Argument, message).help(called.clone());
        let parameters = &function.parameters;
        let by_place: Vec<&BuiltinParameter> =
            parameters.iter().filter(|parameter| matches!(parameter.given, Given::ByPlace | Given::Either)).collect();
        if positional > by_place.len() && !parameters.iter().any(|parameter| parameter.given == Given::Rest) {
            let message =
                format!("`{}` takes at most {} arguments by place, not {positional}", function.name, by_place.len());
            self.add(span, argument(message));
            return;
        }
        if !parameters.iter().any(|parameter| parameter.given == Given::AnyName) {
            let names = || {
                let by_name = parameters.iter().filter(|one| matches!(one.given, Given::ByName | Given::Either));
                by_name.map(|parameter| parameter.name.as_str())
            };
            for (name, place) in &named {
                if self.is_full() {
                    return;
                }
                if !names().any(|known| known == *name) {
                    let near = nearest(name, names());
                    let message = match &near {
                        Some(near) => format!("`{}` has no argument `{name}`; did you mean `{near}`?", function.name),
                        None => format!("`{}` has no argument `{name}`", function.name),
                    };
                    self.add(*place, QueryError { nearest: near, ..argument(message) });
                }
            }
        }
        let missing = by_place
            .iter()
            .skip(positional)
            .find(|parameter| parameter.is_required && !named.iter().any(|(name, _)| *name == parameter.name));
        if let Some(missing) = missing {
            self.add(span, argument(format!("`{}` needs the argument `{}`", function.name, missing.name)));
        }
    }
}

/// The JSON that a literal stands for.
fn literal(expression: &AstExpr) -> Option<Json> {
    match &expression.node {
        ExprP::Literal(AstLiteral::String(text)) => Some(Json::String(text.node.clone())),
        ExprP::Literal(AstLiteral::Int(number)) => number.node.to_string().parse::<i64>().ok().map(Json::from),
        ExprP::Literal(AstLiteral::Float(number)) => Some(Json::from(number.node)),
        ExprP::Identifier(name) => match name.node.ident.as_str() {
            "None" => Some(Json::Null),
            "True" => Some(Json::Bool(true)),
            "False" => Some(Json::Bool(false)),
            _ => None,
        },
        ExprP::Minus(value) => match literal(value)? {
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Some(Json::from(-whole)),
                None => number.as_f64().map(|float| Json::from(-float)),
            },
            _ => None,
        },
        _ => None,
    }
}
