//! What messages have in common that differ only in their values. Separate because it is a rule about text.

/// The message with `#` for every run of digits (and for hexadecimal ids and UUIDs), and `"…"` for everything in double
/// quotes.
pub(super) fn template(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let len = if first == '"' {
            let len = rest[1..].find('"').map_or(rest.len(), |end| end + 2);
            out.push_str("\"…\"");
            len
        } else if first.is_ascii_alphanumeric() {
            let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(rest.len());
            word(&rest[..len], &mut out);
            len
        } else {
            out.push(first);
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    out
}

/// A word: an id as a whole, else with its digits replaced.
fn word(word: &str, out: &mut String) {
    if is_id(word) {
        out.push('#');
        return;
    }
    let mut was_digit = false;
    for letter in word.chars() {
        let is_digit = letter.is_ascii_digit();
        match (is_digit, was_digit) {
            (true, true) => {}
            (true, false) => out.push('#'),
            (false, _) => out.push(letter),
        }
        was_digit = is_digit;
    }
}

/// Whether it is hexadecimal, as a UUID or a trace's id is, and no word such as "decade".
fn is_id(word: &str) -> bool {
    word.len() >= 8
        && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        && word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_and_words_stay() {
        let cases = [
            ("order 17 took 31.5 ms", "order # took #.# ms"),
            ("user 67e55044-10b1-426f-9247-bb680e5fe0c8 is gone", "user # is gone"),
            ("trace 4bf92f3577b34da6 of worker-3", "trace # of worker-#"),
            (r#"cannot parse "a, b" at 3"#, r#"cannot parse "…" at #"#),
            (r#"open quote "abc"#, r#"open quote "…""#),
            ("grüße, decade", "grüße, decade"),
        ];
        for (message, expected) in cases {
            assert_eq!(template(message), expected);
        }
    }
}
