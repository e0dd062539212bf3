//! `GET /tasks?debug=1`: all tasks as plain text, those that wait alike together, as Go prints its goroutines. Separate
//! because it is written for people in a terminal; what it says is what `tasks.awaiting` answers.

use std::fmt::Write;

use lens_core::signature::Arguments;
use lens_core::{CallError, Capture};
use serde_json::Value;

use crate::table::harmless;

/// The tasks of a capture, as text.
pub(super) fn text(capture: &Capture) -> Result<String, CallError> {
    let count = capture.call("tasks", "count", Arguments::default())?.to_json();
    let most = Arguments::named(vec![("limit".to_owned(), lens_tokio::tasks::MAX_ASKED.into())]);
    let groups = capture.call("tasks", "awaiting", most)?.to_json();
    let mut text = format!("tasks: {} live, {} of them lens's own, not shown\n", count["live"], count["own"]);
    for group in groups.as_array().into_iter().flatten() {
        write(&mut text, group);
    }
    Ok(text)
}

/// `12 idle, up to 3.2 s: "checkout/mailer" of src/mail.rs:41:9`, and the tree below.
fn write(text: &mut String, group: &Value) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\n{} {}", group["count"], word(&group["state"]));
    if let Some(idle_ms) = group["idle_ms"].as_f64() {
        let _ = write!(text, ", up to {:.1} s", idle_ms / 1e3);
    }
    text.push(':');
    if let Some(name) = group["name"].as_str() {
        let _ = write!(text, " \"{}\"", harmless(name));
    }
    let _ = writeln!(text, " of {}", harmless(group["place"].as_str().unwrap_or("an unknown place")));
    let ids: Vec<String> = group["tasks"].as_array().into_iter().flatten().map(Value::to_string).collect();
    let _ = writeln!(text, "    ids {}", ids.join(" "));
    if let Some(note) = group["note"].as_str() {
        let _ = writeln!(text, "    {}", harmless(note));
    }
    for frame in group["tree"].as_array().into_iter().flatten() {
        let depth = usize::try_from(frame["depth"].as_u64().unwrap_or(0)).unwrap_or(0);
        let _ = writeln!(text, "    {:indent$}{}", "", word(&frame["function"]), indent = depth * 2);
        if let Some(place) = frame["place"].as_str() {
            let _ = writeln!(text, "    {:indent$}    {}", "", harmless(place), indent = depth * 2);
        }
    }
}

fn word(value: &Value) -> String {
    harmless(value.as_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_is_written_with_its_tree() {
        let mut text = String::new();
        write(
            &mut text,
            &json!({
                "count": 12, "state": "idle", "idle_ms": 3210.0, "name": "checkout/mailer", "place": "src/mail.rs:41:9",
                "tasks": [3, 4], "note": null,
                "tree": [
                    {"depth": 0, "function": "shop::mail", "place": "src/mail.rs:7"},
                    {"depth": 1, "function": "tokio::sleep", "place": null},
                ],
            }),
        );
        let expected = "
12 idle, up to 3.2 s: \"checkout/mailer\" of src/mail.rs:41:9
    ids 3 4
    shop::mail
        src/mail.rs:7
      tokio::sleep
";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_name_forges_a_line_or_steers_the_terminal() {
        const EVIL: &str = "a\u{1b}[2J\n1 idle";
        let mut text = String::new();
        let tree = json!([{"depth": 0, "function": EVIL, "place": EVIL}]);
        let group =
            json!({"count": 1, "state": EVIL, "name": EVIL, "place": EVIL, "tasks": [1], "note": EVIL, "tree": tree});
        write(&mut text, &group);
        assert_eq!(text.matches("a\\u{1b}[2J\\n1 idle").count(), 6, "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains("\n1 idle"), "{text}");
    }
}
