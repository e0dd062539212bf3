//! Prints answers: the value to the standard output, what belongs to it to the standard error, so that a pipe gets the
//! value alone. Separate because a single query and the line-by-line mode print alike.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use super::Shape;
use super::target::Reply;
use crate::table;

/// Prints an answer.
pub(super) fn answer(reply: &Reply, shape: Shape) {
    value(reply, shape);
    gaps(reply).iter().for_each(note);
}

/// Prints the value and what the script printed.
pub(super) fn value(reply: &Reply, shape: Shape) {
    let value = match shape {
        Shape::Table => table::render(&reply.value, &reply.columns, width()),
        Shape::Json => table::json(&reply.value),
    };
    for line in &reply.printed {
        match shape {
            Shape::Table => say(table::harmless(line)),
            Shape::Json => note(line),
        }
    }
    // As in `say`.
    let _ = std::io::stdout().lock().write_all(value.as_bytes());
}

/// Prints a line to the standard output. A closed pipe is no failure: whoever reads the output may have seen enough.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{}", table::harmless_lines(&line.to_string()));
}

/// Prints a line to the standard error, if anybody reads it.
pub(super) fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{}", table::harmless_lines(&line.to_string()));
}

/// What was not there, or not all of it, a line each.
pub(super) fn gaps(reply: &Reply) -> Vec<String> {
    let line = |gap: &serde_json::Value| {
        let [skill, source, fix] = ["skill", "source", "fix"].map(|name| table::harmless(table::text(&gap[name])));
        format!("# {skill}: {source}: {fix}")
    };
    reply.coverage.iter().map(line).collect()
}

/// How wide the terminal is, if the output is one.
fn width() -> Option<usize> {
    let output = std::io::stdout();
    let size = output.is_terminal().then(|| rustix::termios::tcgetwinsize(&output).ok()).flatten()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

/// What an answer took, in one line.
pub(super) fn cost(reply: &Reply) -> String {
    let elapsed = reply.cost["elapsed_ms"].as_f64().map_or_else(String::new, |ms| format!("{ms:.2} ms · "));
    format!("{elapsed}{} steps · captured at {}", table::text(&reply.cost["steps"]), reply.captured_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::target::Failure;

    #[test]
    fn an_error_keeps_its_lines_and_steers_nothing() {
        let failure = Failure::Query("error: \u{1b}]0;x\u{7}\u{2066}\n --> query:1:1\n\n1 | \tfail()\r".to_owned());
        let shown = "error: \\u{1b}]0;x\\u{7}\\u{2066}\n --> query:1:1\n\n1 | \tfail()\\r";
        assert_eq!(table::harmless_lines(&failure.to_string()), shown);
        assert_eq!(table::harmless_lines("a\n"), "a\n");
    }
}
