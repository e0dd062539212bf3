//! What a model must answer: one JSON object `{"action": {"intent": …}}`, and how it is read out of what it does answer.
//! Separate because it is the one place that is tolerant with a model: everything behind it has types.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::model::{Completion, Form, Stop};

/// The longest answer that is looked at.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// The object around an action: providers want an object at the root of a schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<T> {
    /// The one thing to do next.
    pub(super) action: T,
}

/// The actions that a loop offers.
pub(super) trait Action: DeserializeOwned + JsonSchema + Send {
    /// What the form is called, and the actions with it.
    const NAME: &'static str;

    /// The form of an answer.
    fn form() -> Form {
        Form { name: Self::NAME.to_owned(), schema: schemars::schema_for!(Envelope<Self>).to_value() }
    }
}

/// How many bytes are looked at in search of objects, again and again those that are within others: four of the longest
/// answers. A hostile one would else keep the thread that all investigations run on.
const MAX_LOOKED_BYTES: usize = 4 * MAX_ANSWER_BYTES;

/// Reads an action: as it is, or the first balanced object in the answer that is one (there may be words or a fence around
/// it). Nothing is repaired: what is cut off or misspelt goes back to the model.
pub(super) fn read<T: Action>(completion: &Completion) -> Result<T, String> {
    match completion.stop {
        Stop::End => {}
        Stop::MaxTokens => {
            return Err("the answer was cut off at the most tokens that it may have: answer in fewer words".to_owned());
        }
        Stop::Refusal => return Err("the answer was withheld".to_owned()),
    }
    let text = completion.text.trim();
    if text.len() > MAX_ANSWER_BYTES {
        return Err(format!("the answer has more than {MAX_ANSWER_BYTES} bytes"));
    }
    let mut wrong = match serde_json::from_str::<Envelope<T>>(text) {
        Ok(envelope) => return Ok(envelope.action),
        Err(error) => error.to_string(),
    };
    let mut is_first = true;
    for object in (Objects { rest: text, left: MAX_LOOKED_BYTES }) {
        match serde_json::from_str::<Envelope<T>>(object) {
            Ok(envelope) => return Ok(envelope.action),
            Err(error) if is_first => (wrong, is_first) = (error.to_string(), false),
            Err(_) => {}
        }
    }
    Err(wrong)
}

/// The balanced objects of a text, one after and within the other, as far as it may be looked at.
struct Objects<'a> {
    rest: &'a str,
    /// Bytes that may still be looked at.
    left: usize,
}

impl<'a> Iterator for Objects<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.rest = &self.rest[self.rest.find('{')?..];
            let object = balanced(self.rest, &mut self.left);
            if self.left == 0 {
                return None;
            }
            // If it is not closed, another one may begin within.
            self.rest = &self.rest[1..];
            if object.is_some() {
                return object;
            }
        }
    }
}

/// The object at the start of `text`, up to the brace that closes it; `left` bytes may be looked at.
fn balanced<'a>(text: &'a str, left: &mut usize) -> Option<&'a str> {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for (index, byte) in text.bytes().enumerate().take(*left) {
        *left -= 1;
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' if !is_text => depth += 1,
            b'}' if !is_text => {
                depth -= 1;
                if depth == 0 {
                    return Some(&text[..=index]);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
    enum Move {
        Go { place: String, ms: u64 },
        Done {},
    }

    impl Action for Move {
        const NAME: &'static str = "move";
    }

    fn said(text: &str, stop: Stop) -> Completion {
        Completion { text: text.to_owned(), usage: None, stop, model: "test/scripted".to_owned(), unanswered: 0 }
    }

    fn go(place: &str) -> Move {
        Move::Go { place: place.to_owned(), ms: 5 }
    }

    /// LLM-05: typed output, read tolerantly.
    #[test]
    fn an_action_is_read_with_words_and_fences_around_it() {
        let plain = r#"{"action": {"intent": "go", "place": "a}\"{b", "ms": 5}}"#;
        for text in [
            plain.to_owned(),
            format!("```json\n{plain}\n```"),
            format!("I think I should go.\n{plain}\nThat is all."),
            format!("<think>maybe {{x}} or {{\"y\": 1}}</think>{plain}"),
            format!("{plain}{{\"action\": {{\"intent\": \"done\"}}}}"),
            format!("{{ {plain}"),
        ] {
            assert_eq!(read::<Move>(&said(&text, Stop::End)), Ok(go("a}\"{b")), "{text}");
        }
    }

    #[test]
    fn what_is_no_action_is_refused_with_the_reason_and_nothing_is_repaired() {
        for (text, why) in [
            ("", "EOF"),
            ("go to a", "expected"),
            (r#"{"action": {"intent": "fly"}}"#, "unknown variant `fly`, expected `go` or `done`"),
            (r#"{"action": {"intent": "go", "place": "a", "ms": "5"}}"#, "invalid type: string"),
            (r#"{"action": {"intent": "go", "place": "a", "ms": -5}}"#, "invalid value"),
            (r#"{"action": {"intent": "done", "why": 1}}"#, "unknown field `why`"),
            (r#"{"action": {"intent": "done"}, "more": 1}"#, "unknown field `more`"),
            (r#"{"action": {"intent": "go", "place": "a", "ms": 5"#, "EOF"),
            (r#"{"action": {"intent": "go", "place": "a"}}"#, "missing field `ms`"),
        ] {
            let error = read::<Move>(&said(text, Stop::End)).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_was_cut_off_is_never_used_even_if_it_can_be_read() {
        let whole = r#"{"action": {"intent": "done"}}"#;
        assert!(read::<Move>(&said(whole, Stop::MaxTokens)).unwrap_err().contains("cut off"));
        assert!(read::<Move>(&said(whole, Stop::Refusal)).unwrap_err().contains("withheld"));
    }

    #[test]
    fn a_search_in_hostile_braces_ends_after_as_many_bytes_as_may_be_looked_at() {
        let action = r#"{"action": {"intent": "done"}}"#;
        for part in ["{", "{}", "{\"", "{}{", "{\"a\":"] {
            let braces = part.repeat((MAX_ANSWER_BYTES - action.len()) / part.len());
            let mut objects = Objects { rest: &braces, left: MAX_LOOKED_BYTES };
            let looked: usize = objects.by_ref().map(str::len).sum();
            assert!(looked <= MAX_LOOKED_BYTES, "{part}: {looked}");
            assert!(objects.left == 0 || !objects.rest.contains('{'), "{part}: it has ended");
            let before = format!("{action}{braces}");
            assert_eq!(read::<Move>(&said(&before, Stop::End)), Ok(Move::Done {}), "{part}");
        }
        let pairs = format!("{}{action}", "{}".repeat(1_000));
        assert_eq!(read::<Move>(&said(&pairs, Stop::End)), Ok(Move::Done {}), "many small ones are no search");
    }

    #[test]
    fn the_form_is_an_object_that_needs_an_action() {
        let schema = Move::form().schema;
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["required"], serde_json::json!(["action"]));
        assert_eq!(schema["additionalProperties"], false);
    }
}
