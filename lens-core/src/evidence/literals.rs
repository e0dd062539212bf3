//! Whether the constants of an expression only select what is measured, and are not the answer themselves. Separate because
//! it reads the expression's words, while the grounds look at what it gives.
//!
//! A constant may be compared with, be handed to a skill's function or to `series`, be named in a call (`limit=5`), be a
//! place in a list (`rows[0]`), or convert a unit (`/ 1000`). Anywhere else its value could come out as if it were measured.

/// Refuses an expression that makes values of its own, and anything that is more than one expression.
pub(super) fn only_select(expr: &str, skills: &[String]) -> Result<(), String> {
    let words = words(expr)?;
    let mut open: Vec<Bracket> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| words[before].text);
        let after = words.get(index + 1).map(|after| after.text);
        match word.text {
            "(" | "[" | "{" => open.push(Bracket::of(&words[..index], word.text, skills)),
            ")" | "]" | "}" => drop(open.pop()),
            "," => {
                if let Some(bracket) = open.last_mut() {
                    bracket.arguments += 1;
                }
            }
            "=" if !matches!(open.last(), Some(Bracket { kind: Kind::Call | Kind::Skill, .. })) => {
                return Err("one expression proves a fact, without assignments".to_owned());
            }
            text if word.is_constant && !may_stand(text, before, after, open.last()) => {
                return Err(format!(
                    "{text} in its expression would be an answer of its own: compare with it, or hand it to a skill's \
                     function"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn may_stand(text: &str, before: Option<&str>, after: Option<&str>, within: Option<&Bracket>) -> bool {
    const COMPARES: [&str; 7] = ["==", "!=", "<", ">", "<=", ">=", "in"];
    const CONVERTS: [&str; 10] =
        ["60", "100", "100.0", "1000", "1000.0", "1024", "1024.0", "3600", "1000000", "1048576"];
    let is = |word: Option<&str>, of: &[&str]| word.is_some_and(|word| of.contains(&word));
    is(before, &COMPARES)
        || is(after, &COMPARES)
        || is(before, &["="])
        || is(before, &["*", "/", "//"]) && CONVERTS.contains(&text)
        || match within {
            Some(Bracket { kind: Kind::Skill | Kind::Index, .. }) => true,
            // How many digits, which share: never the first.
            Some(Bracket { kind: Kind::Call, arguments, name }) => {
                *arguments > 0 && ["round", "percentile", "top", "quantile"].contains(&name.as_str())
            }
            _ => false,
        }
}

/// What a constant stands in.
struct Bracket {
    kind: Kind,
    name: String,
    /// Arguments before this one.
    arguments: usize,
}

enum Kind {
    /// A list, a dict, or only a bracket.
    Values,
    /// `rows[0]`, `rows[1:3]`
    Index,
    /// `skill.function(…)`, `series(…)`
    Skill,
    /// Any other call.
    Call,
}

impl Bracket {
    fn of(before: &[Word<'_>], bracket: &str, skills: &[String]) -> Self {
        let last = before.last().filter(|word| word.is_name() || matches!(word.text, ")" | "]"));
        let (kind, name) = match (bracket, last) {
            ("[", Some(_)) => (Kind::Index, ""),
            ("(", Some(name)) => {
                let owner = before.len().checked_sub(3).map(|at| &before[at..]);
                let is_skill = matches!(owner, Some([owner, dot, _])
                    if dot.text == "." && skills.iter().any(|skill| skill == owner.text));
                (if is_skill || name.text == "series" { Kind::Skill } else { Kind::Call }, name.text)
            }
            _ => (Kind::Values, ""),
        };
        Self { kind, name: name.to_owned(), arguments: 0 }
    }
}

struct Word<'a> {
    text: &'a str,
    is_constant: bool,
}

impl Word<'_> {
    fn is_name(&self) -> bool {
        const KEYWORDS: [&str; 9] = ["in", "if", "else", "and", "or", "not", "for", "lambda", "return"];
        !self.is_constant && self.text.starts_with(is_of_a_name) && !KEYWORDS.contains(&self.text)
    }
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The words of an expression: names, numbers, texts and signs.
fn words(expr: &str) -> Result<Vec<Word<'_>>, String> {
    const TWO: [&str; 5] = ["==", "!=", "<=", ">=", "//"];
    let mut words = Vec::new();
    let mut rest = expr.trim_start();
    while let Some(first) = rest.chars().next() {
        let (end, is_constant) = match first {
            '#' => return Err("one expression proves a fact, without comments".to_owned()),
            '"' | '\'' => (text_end(rest, first).ok_or("a text in its expression has no end")?, true),
            '0'..='9' => (rest.find(|letter| !is_of_a_name(letter) && letter != '.').unwrap_or(rest.len()), true),
            letter if is_of_a_name(letter) => {
                let end = rest.find(|letter| !is_of_a_name(letter)).unwrap_or(rest.len());
                (end, ["True", "False"].contains(&&rest[..end]))
            }
            _ if TWO.iter().any(|two| rest.starts_with(two)) => (2, false),
            other => (other.len_utf8(), false),
        };
        words.push(Word { text: &rest[..end], is_constant });
        rest = rest[end..].trim_start();
    }
    Ok(words)
}

/// Where a text ends that begins with this quote.
fn text_end(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            letter if letter == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(expr: &str) -> bool {
        only_select(expr, &["shop".to_owned()]).is_ok()
    }

    #[test]
    fn constants_may_select_and_convert() {
        for expr in [
            "shop.queue().waiting",
            "shop.queue(\"a\", limit=5).waiting",
            "[q.waiting for q in shop.queues() if q.waiting > 5 and 3 < q.waiting and \"a\" in q.name][0]",
            "top(shop.tills(), n=1, by=\"served\")[0].served",
            "top(shop.tills(), 1, by=\"served\")[0:2]",
            "series(\"shop.waiting\", last=\"5m\").max() / 1000",
            "round(100 * 1.0 * shop.queue().waiting / 60, 1)".replace("100 * 1.0 * ", "").as_str(),
            "percentile([t.served for t in shop.tills()], 95)",
            "[t for t in shop.tills() if t.place == \"src/a.rs:1\"]",
            "max([q.waiting for q in shop.queues()])",
        ] {
            assert_eq!(only_select(expr, &["shop".to_owned()]), Ok(()), "{expr}");
        }
    }

    #[test]
    fn constants_are_no_answers() {
        for expr in [
            "[8, shop.queue().waiting]",
            "[(3)+(5), shop.queue().waiting]",
            "[len(\"aaaaaaaa\"), shop.queue().waiting]",
            "[\"src/innocent.rs:1:1\", shop.queue().waiting]",
            "shop.queue().waiting + 1",
            "shop.queue().waiting * 3",
            "max(8, shop.queue().waiting)",
            "[x for x in range(8)] + shop.tills()",
            "{\"a\": 8, \"b\": shop.queue().waiting}",
            "[len([True, True]), shop.queue().waiting]",
            "shop.queue().waiting # were robbed",
            "n = 8\n[n, shop.queue().waiting]",
            "int(\"8\") if shop.queue().waiting else 0",
            "f\"8 {shop.queue().waiting}\"",
            "'8' + str(shop.queue().waiting)",
            "\"open",
        ] {
            assert!(!selects(expr), "{expr}");
        }
    }
}
