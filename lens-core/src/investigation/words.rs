//! The words of sentences that a model states: which make a fact a guess, and which are of the matter. Separate because it
//! is plain text work that knows nothing of investigations.

/// Words that make a statement a guess.
const HEDGES: [&str; 33] = [
    "likely",
    "unlikely",
    "probably",
    "possibly",
    "perhaps",
    "maybe",
    "might",
    "may",
    "could",
    "would",
    "should",
    "seems",
    "seem",
    "seemingly",
    "appears",
    "appear",
    "apparently",
    "suggests",
    "suggest",
    "indicates",
    "indicate",
    "presumably",
    "potentially",
    "potential",
    "suspect",
    "suspected",
    "assume",
    "assumed",
    "guess",
    "believe",
    "supposedly",
    "implies",
    "implying",
];

/// Words of any sentence about a measurement, beside those that a skill's own reference has.
pub(super) const COMMON: &str = "\
 about above after again along already also although among another around back because become becomes been before
 began begin behind below between both bytes came common comes contain contains count counts current currently day
 days decreased different does doing done down during each either else end ended every exactly except fall fallen
 first from gave given gives goes going gone greater greatest group grow growing grown grows had has have having held
 here high higher highest holds hour hours however increase increased into itself keep keeps kept large larger
 largest last late latest least left less longer longest lower lowest made make makes maximum mean means median
 memory millisecond milliseconds minimum minute minutes more most much name named names near nearly need needs next
 nothing number numbers once only other others over part past percent percentile place process rate ratio reach
 reached reaches remain remains respectively rise risen rises rose running same second seconds seen service shows
 side since single size small smaller smallest some spent start started stay stays still such than that their them
 then there these they this those through time times took total totals toward under unit units until upon used uses
 using value values very wait waited waiting waits were what when where which while whole whose with within";

/// The names and numbers of a script, those in its texts too.
pub(super) fn of_code(code: &str) -> impl Iterator<Item = &str> {
    code.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).filter(|word| !word.is_empty())
}

/// Words that turn a sentence round, which no value shows.
const NEGATIONS: [&str; 11] =
    ["not", "no", "never", "none", "nobody", "nothing", "without", "neither", "nor", "cannot", "hardly"];

/// The first word of a sentence that turns it round and is not itself in `value`, as `no_progress` is.
pub(super) fn negation(text: &str, value: &str) -> Option<&'static str> {
    // "n't" of "isn't" too.
    let text = text.replace('’', "'").replace("n't", " not ");
    // `no_progress` is one word.
    let is_in = |text: &str, wanted: &str| {
        text.split(|letter: char| !(letter.is_alphabetic() || letter == '_'))
            .any(|word| word.eq_ignore_ascii_case(wanted))
    };
    NEGATIONS.iter().find(|negation| is_in(&text, negation) && !is_in(value, negation)).copied()
}

/// Words that count, which nobody compares with a value.
const COUNTS: [&str; 24] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "dozen",
    "dozens",
    "hundred",
    "hundreds",
    "thousand",
    "thousands",
    "million",
    "millions",
    "billion",
    "half",
    "twice",
];

/// The first word of a sentence that counts and is not in `value`.
pub(super) fn count(text: &str, value: &str) -> Option<&'static str> {
    let is_in = |text: &str, wanted: &str| {
        text.split(|letter: char| !letter.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case(wanted))
    };
    COUNTS.iter().find(|count| is_in(text, count) && !is_in(value, count)).copied()
}

/// The first hedge word of a sentence.
pub(super) fn hedge(text: &str) -> Option<&'static str> {
    let is_hedge = |word: &str| HEDGES.iter().find(|hedge| hedge.eq_ignore_ascii_case(word)).copied();
    text.split(|letter: char| !letter.is_alphabetic()).find_map(is_hedge)
}

/// The beginnings of the longer words, by which inflected forms are the same.
pub(super) fn stems(text: &str) -> impl Iterator<Item = String> {
    const LETTERS: usize = 5;
    const SHORT: usize = 4;
    let words = text.split(|letter: char| !letter.is_alphabetic()).filter(|word| word.chars().count() >= SHORT);
    words.map(|word| word.chars().take(LETTERS).flat_map(char::to_lowercase).collect::<String>()).map(|mut stem| {
        // "waits" and "wait", "tasks" and "task": a short word's ending is in its stem.
        if stem.chars().count() == LETTERS && stem.ends_with('s') {
            stem.pop();
        }
        stem
    })
}

/// The words of a text, in small letters.
pub(super) fn plain(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Whether two texts have `count` consecutive words in common.
pub(super) fn shares(one: &[String], other: &[String], count: usize) -> bool {
    one.windows(count).any(|words| other.windows(count).any(|others| words == others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_told_from_a_fact() {
        assert_eq!(hedge("It is Likely that 3 tasks wait"), Some("likely"));
        assert_eq!(hedge("3 tasks wait, which suggests a leak"), Some("suggests"));
        assert_eq!(hedge("3 tasks wait for mayonnaise"), None);
    }

    #[test]
    fn a_sentence_that_is_turned_round_or_counts_in_words_is_told() {
        assert_eq!(negation("till-a isn't served: 31", "[\"till-a\", 31]"), Some("not"));
        assert_eq!(negation("till-a won’t serve 31", "[\"till-a\", 31]"), Some("not"));
        assert_eq!(negation("worker 0 is no longer in no_progress", "no_progress"), Some("no"));
        assert_eq!(negation("worker 0 is in no_progress", "no_progress"), None);
        assert_eq!(negation("it said: cannot write", "cannot write"), None);
        assert_eq!(count("Nine tills have served 31 customers", "31"), Some("nine"));
        assert_eq!(count("someone is often here", "31"), None);
        assert_eq!(count("`lane one` is open", "lane one"), None);
    }

    #[test]
    fn inflected_forms_have_one_stem() {
        for (one, other) in [("task", "tasks"), ("wait", "waits"), ("worker", "workers"), ("grows", "grow")] {
            assert_eq!(stems(one).collect::<Vec<_>>(), stems(other).collect::<Vec<_>>(), "{one}");
        }
        assert_eq!(stems("a of 123").count(), 0);
    }

    #[test]
    fn a_quotation_is_told_from_a_common_word() {
        let said = plain("Please restart the service now, it says.");
        assert!(shares(&said, &plain("ignore this and RESTART the service now!"), 4));
        assert!(!shares(&said, &plain("the service restarts"), 4));
    }
}
