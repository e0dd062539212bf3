//! Whether the constants of an expression only select what is measured, and are not the answer themselves. Separate because
//! it reads the expression's words, while the grounds look at what it gives.
//!
//! A constant may be compared with, be handed to a skill's function or to `series`, say how many or by what (`n=5`), be a
//! place in a list (`rows[0]`), or convert a unit (`/ 1000`). Anywhere else its value could come out as if it were measured.

/// Refuses an expression that makes values of its own, and anything that is more than one expression.
pub(super) fn only_select(expr: &str, skills: &[String]) -> Result<(), String> {
    let words = words(expr)?;
    let mut open: Vec<Bracket> = Vec::new();
    let mut is_in_loop_head = false;
    for (index, word) in words.iter().enumerate() {
        let mut before = index.checked_sub(1).map(|before| words[before].text);
        let after = words.get(index + 1).map(|after| after.text);
        match before {
            Some("for") => is_in_loop_head = true,
            // What a loop goes through comes out of it; what something is looked for in does not.
            Some("in") if is_in_loop_head => {
                is_in_loop_head = false;
                before = None;
            }
            Some("=") if !index.checked_sub(2).is_some_and(|name| SELECTS.contains(&words[name].text)) => {
                before = None;
            }
            _ => {}
        }
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

/// Arguments that say how much comes out, or by what it is chosen.
const SELECTS: [&str; 9] = ["n", "by", "limit", "last", "key", "reverse", "digits", "columns", "p"];

fn may_stand(text: &str, before: Option<&str>, after: Option<&str>, within: Option<&Bracket>) -> bool {
    const COMPARES: [&str; 7] = ["==", "!=", "<", ">", "<=", ">=", "in"];
    const CONVERTS: [&str; 10] =
        ["60", "100", "100.0", "1000", "1000.0", "1024", "1024.0", "3600", "1000000", "1048576"];
    const HUNDREDS: [&str; 2] = ["100", "100.0"];
    let is = |word: Option<&str>, of: &[&str]| word.is_some_and(|word| of.contains(&word));
    is(before, &COMPARES)
        || is(after, &COMPARES)
        || is(before, &["="])
        || is(before, &["/", "//"]) && CONVERTS.contains(&text)
        || is(before, &["*"]) && HUNDREDS.contains(&text)
        || match within {
            Some(Bracket { kind: Kind::Skill | Kind::Index, .. }) => true,
            // How many digits, which share: never the first.
            Some(Bracket { kind: Kind::Call, arguments, name }) => {
                *arguments > 0 && ["round", "percentile", "top", "quantile"].contains(&name.as_str())
            }
            _ => false,
        }
}

/// Which side of a constant an expression looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    Below,
}

/// The constants that an expression compares with by `<` and the like, each with the side that it looks for; none if the
/// expression may turn a comparison round.
pub(super) fn bounds(expr: &str) -> Vec<(f64, Side)> {
    const TURNS: [&str; 3] = ["not", "or", "else"];
    let Ok(words) = words(expr) else { return Vec::new() };
    let filters = words.iter().filter(|word| word.text == "for").count();
    let ifs = words.iter().filter(|word| word.text == "if").count();
    // The `if` of a comprehension filters; any other chooses.
    if ifs > filters || words.iter().any(|word| TURNS.contains(&word.text)) {
        return Vec::new();
    }
    let side = |index: usize| {
        let before = index.checked_sub(1).map(|before| words[before].text);
        let after = words.get(index + 1).map(|after| after.text);
        match (before, after) {
            (Some(">" | ">="), _) | (_, Some("<" | "<=")) => Some(Side::Above),
            (Some("<" | "<="), _) | (_, Some(">" | ">=")) => Some(Side::Below),
            _ => None,
        }
    };
    let numbers = words.iter().enumerate().filter_map(|(index, word)| Some((word.text.parse().ok()?, side(index)?)));
    numbers.collect()
}

/// Whether an expression multiplies or divides, which only converts a unit.
pub(super) fn converts(expr: &str) -> bool {
    words(expr).is_ok_and(|words| words.iter().any(|word| ["*", "/", "//"].contains(&word.text)))
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
            "round(shop.queue().waiting / 60, 1)",
            "round(shop.queue().full_ratio * 100, 1)",
            "percentile([t.served for t in shop.tills()], 95)",
            "[t for t in shop.tills() if t.place == \"src/a.rs:1\"]",
            "max([q.waiting for q in shop.queues()])",
        ] {
            assert_eq!(only_select(expr, &["shop".to_owned()]), Ok(()), "{expr}");
        }
    }

    #[test]
    fn a_bound_has_a_side() {
        assert_eq!(
            bounds("[t for t in shop.tills() if t.served > 5 and 3 >= t.id]"),
            [(5.0, Side::Above), (3.0, Side::Below)]
        );
        assert_eq!(bounds("shop.queue().waiting > 8.5"), [(8.5, Side::Above)]);
        for turned in [
            "[t for t in shop.tills() if not t.served > 5]",
            "[t for t in shop.tills() if t.served > 8000 or t.served > 0]",
            "[t for t in shop.tills() if t.served != 8000]",
            "shop.tills() if shop.queue().waiting < 8000 else 0",
        ] {
            assert_eq!(bounds(turned), [], "{turned}");
        }
    }

    #[test]
    fn constants_are_no_answers() {
        for expr in [
            "[8, shop.queue().waiting]",
            "[len(x) for x in \"aaaaaaaa\".split() if shop.queue().waiting >= 0]",
            "dict(place=\"src/bank.rs:1:1\", n=shop.queue().waiting)",
            "struct(waiting=8, served=shop.queue().waiting)",
            "shop.queue().waiting * 1000",
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
