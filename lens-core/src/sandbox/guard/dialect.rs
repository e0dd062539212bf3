//! The dialects in which scripts are parsed, and what the parser says. Separate because the parser is called at three
//! steps, which must agree.

use starlark_syntax::ErrorKind;
use starlark_syntax::syntax::ast::{AstLiteral, ExprP, StmtP};
use starlark_syntax::syntax::module::AstModuleFields as _;
use starlark_syntax::syntax::{AstModule, Dialect, DialectTypes};

/// The name of a script in the interpreter's own messages.
pub(super) const NAME: &str = "query";

/// What a user may write. f-strings are taken out before; type annotations are dropped.
pub(super) fn user() -> Dialect {
    Dialect {
        enable_top_level_stmt: true,
        enable_f_strings: false,
        enable_keyword_only_arguments: true,
        enable_positional_only_arguments: true,
        enable_load: false,
        enable_types: DialectTypes::ParseOnly,
        ..Dialect::Standard
    }
}

/// What the guard writes.
pub(super) fn core() -> Dialect {
    Dialect { enable_types: DialectTypes::Disable, ..user() }
}

/// The bytes of the parsed text that an error is about.
pub(super) fn span(error: &starlark_syntax::Error) -> Option<(usize, usize)> {
    let span = error.span()?.span;
    Some((span.begin().get() as usize, span.end().get() as usize))
}

/// What the parser says, without its prefix and the list of all tokens that it would have taken.
pub(super) fn syntax_message(error: &starlark_syntax::Error) -> String {
    let text = match error.kind() {
        ErrorKind::Parser(inner) | ErrorKind::Other(inner) => inner.to_string(),
        other => other.to_string(),
    };
    let text = text.strip_prefix("Parse error: ").unwrap_or(&text);
    let text = text.split(", expected").next().unwrap_or(text);
    text.replace("unexpected new line here", "this line ends too early")
}

/// The text that a module consists of, if it is nothing but a literal.
pub(super) fn single_text(module: &AstModule) -> Option<String> {
    match &module.statement().node {
        StmtP::Expression(expression) => match &expression.node {
            ExprP::Literal(AstLiteral::String(text)) => Some(text.node.clone()),
            _ => None,
        },
        _ => None,
    }
}
