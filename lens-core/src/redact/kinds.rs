//! How secrets look in text. Separate from what is done with text and JSON because it grows by a line for each kind.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex, RegexSet};

use super::{REDACTED, fields};

/// Keys that begin with what tells whose they are. Each is long enough that no word is one.
const PREFIXES: [&str; 22] = [
    "(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{12,}",            // AWS
    "gh[pousr]_[A-Za-z0-9]{16,}",                      // GitHub
    "github_pat_[A-Za-z0-9_]{20,}",                    //
    "gl(?:pat|dt|rt|ptt|soat|cbt)-[A-Za-z0-9_-]{16,}", // GitLab
    "xox[a-z]-[A-Za-z0-9-]{10,}",                      // Slack
    "xapp-[0-9]-[A-Za-z0-9-]{10,}",                    //
    "[srp]k_(?:live|test|prod)_[A-Za-z0-9]{10,}",      // Stripe
    "whsec_[A-Za-z0-9+/=]{16,}",                       //
    "AIza[0-9A-Za-z_-]{20,}",                          // Google
    r"ya29\.[0-9A-Za-z_-]{16,}",                       //
    "GOCSPX-[0-9A-Za-z_-]{16,}",                       //
    "npm_[A-Za-z0-9]{20,}",                            // registries
    "pypi-[A-Za-z0-9_-]{32,}",                         //
    "cio[A-Za-z0-9]{32}",                              //
    "hf_[A-Za-z0-9]{20,}",                             // models
    "gsk_[A-Za-z0-9]{20,}",                            //
    "xai-[A-Za-z0-9]{20,}",                            //
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",     // SendGrid
    "dop_v1_[0-9a-f]{32,}",                            // DigitalOcean
    "shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{24,}",             // Shopify
    r"hv[sb]\.[A-Za-z0-9_-]{20,}",                     // Vault
    "AGE-SECRET-KEY-1[0-9A-Z]{20,}",                   // age
];

type Left = fn(&Captures<'_>) -> Option<String>;

/// A kind of secret.
enum Kind {
    /// How it looks, and what is left of it (`None`: it is none after all).
    Pattern(Regex, Left),
    /// Values of fields with secret names.
    Fields,
}

struct Kinds {
    /// For each kind, what text must have to hold one: found in one pass for all of them.
    signs: RegexSet,
    kinds: Vec<Kind>,
}

static KINDS: LazyLock<Kinds> = LazyLock::new(|| {
    let pattern = |pattern: &str, left: Left| {
        Kind::Pattern(Regex::new(pattern).expect("a constant pattern is a regular expression"), left)
    };
    let field_sign = fields::sign();
    let prefixes = PREFIXES.join("|");
    let all: Left = |_| Some(REDACTED.to_owned());
    let after_first: Left = |found| Some(format!("{}{REDACTED}", &found[1]));
    let table = [
        // A block that is cut off goes to the end of the text.
        (
            "-----BEGIN ",
            pattern(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*-----|\z)", all),
        ),
        ("://", pattern(r"://[^\s/?#:@]*:[^\s/?#]*@", |_| Some(format!("://{REDACTED}@")))),
        ("://", pattern(r"://[^\s/?#:@]{16,}@", |_| Some(format!("://{REDACTED}@")))),
        ("(?i)hooks?", pattern(r"(?i)(//[a-z0-9.-]+/(?:api/web)?(?:hooks|services)/)[A-Za-z0-9_/-]{20,}", after_first)),
        (
            "(?i)(?:sig|signature|credential|token)=",
            pattern(
                r#"(?i)([?&](?:x-(?:amz|goog)-(?:signature|credential|security-token)|sig)=)[^\s&"'<>]+"#,
                after_first,
            ),
        ),
        (&field_sign, Kind::Fields),
        (
            "(?i)bearer|basic",
            pattern(r"(?i)(?-u:\b)(bearer|basic)\s+([a-z0-9._~+/=-]{8,})", |found| {
                looks_random(&found[2]).then(|| format!("{} {REDACTED}", &found[1]))
            }),
        ),
        (
            "eyJ|sk-|[0-9]:AA|AKIA|ASIA|ABIA|ACCA|gh[pousr]_|github_pat_|gl[a-z]+-|xox|xapp-|k_[ltp]|whsec_|AIza|ya29|GOCSPX|npm_|pypi-|cio|hf_|gsk_|xai-|SG\\.|dop_|shp|hv[sb]\\.|AGE-",
            pattern(
                &format!(
                    r"(?-u:\b)(?:eyJ[A-Za-z0-9_-]{{6,}}\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*|[0-9]{{8,10}}:AA[A-Za-z0-9_-]{{30,}}|(sk-[A-Za-z0-9_-]{{16,}})|{prefixes})"
                ),
                |found| found.get(1).is_none_or(|key| looks_random(key.as_str())).then(|| REDACTED.to_owned()),
            ),
        ),
        (
            "@",
            pattern(r"([A-Za-z0-9._%+-]+)@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", |found| {
                // Everybody's name at a host of repositories.
                (&found[1] != "git").then(|| REDACTED.to_owned())
            }),
        ),
        (
            "[A-Za-z0-9+/=]{40}",
            pattern(r"[A-Za-z0-9+/=]{40,}", |found| is_secret_key(&found[0]).then(|| REDACTED.to_owned())),
        ),
        (
            "[A-Za-z0-9+_=-]{24}",
            pattern(r"[A-Za-z0-9+_=-]{24,}", |found| is_long_random(&found[0]).then(|| REDACTED.to_owned())),
        ),
        (
            r"[0-9](?:[ -]?[0-9]){12}",
            pattern(r"(?-u:\b)[0-9](?:[ -]?[0-9]){12,18}(?-u:\b)", |found| {
                is_card(&found[0]).then(|| REDACTED.to_owned())
            }),
        ),
    ];
    let signs = RegexSet::new(table.iter().map(|(sign, _)| *sign)).expect("constant patterns are regular expressions");
    Kinds { signs, kinds: table.into_iter().map(|(_, kind)| kind).collect() }
});

/// The text with [`REDACTED`] where secrets were.
pub(super) fn without_secrets(text: &str) -> Cow<'_, str> {
    KINDS.signs.matches(text).into_iter().fold(Cow::Borrowed(text), |text, number| {
        let replaced = match &KINDS.kinds[number] {
            Kind::Pattern(pattern, left) => {
                pattern.replace_all(&text, |found: &Captures<'_>| left(found).unwrap_or_else(|| found[0].to_owned()))
            }
            Kind::Fields => fields::without_secret_values(&text),
        };
        match replaced {
            Cow::Borrowed(_) => text,
            Cow::Owned(replaced) => Cow::Owned(replaced),
        }
    })
}

/// Whether it is no plain word: "basic authentication" is no credential.
fn looks_random(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit() || byte == b'=')
        || text.bytes().skip(1).any(|byte| byte.is_ascii_uppercase())
}

/// Small and capital letters and several digits in one piece: names and hexadecimal ids are not like that. Symbols of
/// functions are, and begin as nothing else does.
fn is_long_random(text: &str) -> bool {
    !text.starts_with("_ZN")
        && !text.starts_with("_R")
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && text.bytes().filter(u8::is_ascii_digit).count() >= 3
}

/// The same with slashes, as base64 has them: much more of both cases than a path, whose slashes are dense.
fn is_secret_key(text: &str) -> bool {
    let slashes = text.bytes().filter(|byte| *byte == b'/').count();
    let upper = text.bytes().filter(u8::is_ascii_uppercase).count();
    let lower = text.bytes().filter(u8::is_ascii_lowercase).count();
    slashes * 10 <= text.len() && upper * 5 >= text.len() && lower * 8 >= text.len() && is_long_random(text)
}

/// Whether the digits begin and are as many as a payment card's, and have its check sum (Luhn).
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.bytes().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0')).collect();
    let lengths: &[usize] = match digits[..] {
        [4, ..] => &[13, 16, 19],
        [5, 1..=5, ..] | [2, 2..=7, ..] => &[16],
        [3, 4 | 7, ..] => &[15],
        [6, 0, 1, 1, ..] | [6, 2 | 4 | 5, ..] | [3, 5, ..] => &[16, 17, 18, 19],
        [3, 0 | 6 | 8, ..] => &[14, 16],
        _ => &[],
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) => double % 10 + double / 10,
        })
        .sum();
    lengths.contains(&digits.len()) && sum.is_multiple_of(10)
}
