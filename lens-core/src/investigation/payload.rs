//! What of the service's data may be sent to a model, and how much of it. Separate because it is the one gate through which
//! all of it goes: what is sent is what is kept, and neither has secrets.

use serde_json::{Value, json};

use crate::redact::Redactor;

/// 16 KiB of one answer are sent. More shows a model more rows at once, and costs tokens in every later request.
pub const MAX_RESULT_BYTES: usize = 16 << 10;

/// 2 KiB of one text are sent.
pub const MAX_TEXT_BYTES: usize = 2 << 10;

/// Skills that hold free text which the service, or whoever talks to it, wrote, whether or not they mark it: of those that do
/// not, only single words are sent.
pub const HOLD_TEXT: [&str; 4] = ["logs", "panics", "trace", "db"];

/// What stands for a free text that is not shared.
const WITHHELD: &str = "[free text is not shared]";

/// Takes secrets out of all texts of a value, free text too if it `withholds` that, and cuts long ones.
pub(super) fn clean(value: &mut Value, withholds: bool, redactor: &Redactor) {
    redactor.json(value);
    shorten(value, withholds);
}

fn shorten(value: &mut Value, withholds: bool) {
    match value {
        Value::String(text) if withholds && is_free(text) => WITHHELD.clone_into(text),
        Value::String(text) => *text = short(text, MAX_TEXT_BYTES),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, withholds)),
        Value::Object(fields) => {
            // Names of fields may be texts of the service, too.
            let names_are_free =
                |(name, _): (&String, &Value)| name.len() > MAX_TEXT_BYTES || withholds && is_free(name);
            if fields.iter().any(names_are_free) {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .enumerate()
                    .map(|(index, (name, field))| match withholds && is_free(&name) {
                        true => (format!("{WITHHELD} {index}"), field),
                        false => (short(&name, MAX_TEXT_BYTES), field),
                    })
                    .collect();
            }
            fields.values_mut().for_each(|field| shorten(field, withholds));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Takes every text out of a value, names of fields too.
pub(super) fn withhold_all(value: &mut Value) {
    match value {
        Value::String(text) => WITHHELD.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(withhold_all),
        Value::Object(fields) => {
            let whole = std::mem::take(fields).into_iter().enumerate();
            fields.extend(whole.map(|(index, (_, field))| (format!("{WITHHELD} {index}"), field)));
            fields.values_mut().for_each(withhold_all);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether it is more than a name, a place or a word.
fn is_free(text: &str) -> bool {
    text.len() > 100 || text.contains(char::is_whitespace)
}

/// A value that fits into a message: of a list, the first rows that do.
pub(super) fn capped(value: Value) -> Value {
    let bytes = length(&value);
    if bytes <= MAX_RESULT_BYTES {
        return value;
    }
    let Value::Array(rows) = value else {
        return json!({"too_large": {"bytes": bytes, "limit_bytes": MAX_RESULT_BYTES}, "do": "ask for less"});
    };
    let count = rows.len();
    let mut left = MAX_RESULT_BYTES;
    let fits = |row: &Value| {
        let bytes = length(row) + 1;
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    let shown: Vec<Value> = rows.into_iter().take_while(fits).collect();
    json!({"rows": shown, "shown": shown.len(), "of": count, "do": "filter, sort or aggregate to see the rest"})
}

/// How many rows a value has that is sent: of a list that was cut, those that are left.
pub(super) fn rows(value: &Value) -> u64 {
    let shown = value.get("rows").filter(|_| value.get("of").is_some()).unwrap_or(value);
    shown.as_array().map_or(1, Vec::len) as u64
}

fn length(value: &Value) -> usize {
    value.to_string().len()
}

/// The beginning of a text.
pub(super) fn short(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_at_a_row_and_says_so() {
        let rows: Vec<Value> = (0..5_000).map(|id| json!({"id": id, "place": "src/cart.rs:41:9"})).collect();
        let sent = capped(Value::Array(rows));
        assert!(sent.to_string().len() < MAX_RESULT_BYTES + 200);
        assert_eq!((&sent["of"], &sent["rows"][1]["id"]), (&json!(5_000), &json!(1)));
        let count = super::rows;
        assert_eq!((json!(count(&sent)), count(&json!([1, 2])), count(&json!(7))), (sent["shown"].clone(), 2, 1));
        let map: Value = (0..5_000).map(|id| (id.to_string(), json!("src/cart.rs"))).collect();
        assert_eq!(capped(map)["too_large"]["limit_bytes"], MAX_RESULT_BYTES);
        assert_eq!(capped(json!([1])), json!([1]));
    }

    #[test]
    fn free_text_is_withheld_and_names_are_not() {
        let mut value = json!({"message": "user anna failed", "place": "src/a.rs:1:2", "level": "ERROR", "n": 3});
        clean(&mut value, true, &Redactor::default());
        assert_eq!(value, json!({"message": WITHHELD, "place": "src/a.rs:1:2", "level": "ERROR", "n": 3}));
        let mut value = json!({"user anna failed": 1, "ok": 2});
        clean(&mut value, true, &Redactor::default());
        assert!(!value.to_string().contains("anna"), "{value}");
        assert_eq!(value["ok"], 2);
    }

    #[test]
    fn the_services_own_redaction_sees_every_text() {
        let redactor = Redactor::new(|text: &mut String| *text = text.replace("anna", "[user]"));
        let mut value = json!([{"message": "anna failed"}, "anna"]);
        clean(&mut value, false, &redactor);
        assert_eq!(value, json!([{"message": "[user] failed"}, "[user]"]));
        let mut long = json!("é".repeat(5_000));
        clean(&mut long, false, &Redactor::default());
        assert!(long.as_str().unwrap().len() < MAX_TEXT_BYTES + 4);
    }
}
