//! One format spec: `[[fill]align][sign][#][0][width][,][.precision][type]`. Separate because reading it and applying it is
//! all there is to it, and it is the same for all three ways to format.

use starlark::values::float::UnpackFloat;
use starlark::values::{Heap, UnpackValue as _, Value};

use crate::error::shortened;
use crate::sandbox::guard::fault::{Checked, Fault};
use crate::sandbox::guard::form::{Form, known};
use crate::sandbox::guard::meter::Meter;
use crate::sandbox::guard::show;

/// The greatest width and precision; more is a mistake, and would only fill memory.
const MOST: usize = 1000;

/// A format spec, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    /// What stands beside the value, if it is said; spaces otherwise.
    fill: Option<char>,
    align: Option<char>,
    sign: char,
    is_prefixed: bool,
    pads_zeros: bool,
    width: usize,
    group: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    const PLAIN: Self = Self {
        fill: None,
        align: None,
        sign: '-',
        is_prefixed: false,
        pads_zeros: false,
        width: 0,
        group: None,
        precision: None,
        kind: None,
    };

    /// Reads what stands after the colon.
    pub(super) fn parse(text: &str) -> Checked<Self> {
        let bad = || Fault::argument(format!("`{}` is no format", shortened(text))).help(HELP);
        let mut spec = Self::PLAIN;
        let mut rest = text;
        let mut characters = text.chars();
        let (first, second) = (characters.next(), characters.next());
        match (first, second) {
            (Some(fill), Some(align @ ('<' | '>' | '^' | '='))) => {
                spec.fill = Some(fill);
                spec.align = Some(align);
                rest = &text[fill.len_utf8() + 1..];
            }
            (Some(align @ ('<' | '>' | '^' | '=')), _) => {
                spec.align = Some(align);
                rest = &text[1..];
            }
            _ => {}
        }
        if let Some(sign) = rest.chars().next().filter(|sign| matches!(sign, '+' | '-' | ' ')) {
            spec.sign = sign;
            rest = &rest[1..];
        }
        if let Some(after) = rest.strip_prefix('#') {
            spec.is_prefixed = true;
            rest = after;
        }
        // Zeros stand after the sign, unless it is said where the value stands.
        if rest.starts_with('0') {
            spec.pads_zeros = spec.align.is_none();
            spec.fill = spec.fill.or(Some('0'));
        }
        (spec.width, rest) = number(rest).unwrap_or((0, rest));
        if let Some(group) = rest.chars().next().filter(|group| matches!(group, ',' | '_')) {
            spec.group = Some(group);
            rest = &rest[1..];
        }
        if let Some(after) = rest.strip_prefix('.') {
            let (precision, after) = number(after).ok_or_else(bad)?;
            spec.precision = Some(precision);
            rest = after;
        }
        let mut kinds = rest.chars();
        spec.kind = kinds.next();
        let is_known = spec.kind.is_none_or(|kind| "sdfFeEgG%xXobcn".contains(kind));
        if !is_known || kinds.next().is_some() {
            return Err(bad().into());
        }
        spec.checked()
    }

    /// Reads what stands after `%`; the letter that ends it, and the rest.
    pub(super) fn percent(text: &str) -> Checked<(Self, char, &str)> {
        let mut spec = Self::PLAIN;
        let flags = text.len() - text.trim_start_matches(['-', '+', ' ', '0', '#']).len();
        for flag in text[..flags].chars() {
            match flag {
                '-' => spec.align = Some('<'),
                '0' => spec.pads_zeros = true,
                '#' => spec.is_prefixed = true,
                sign => spec.sign = sign,
            }
        }
        let (width, mut rest) = number(&text[flags..]).unwrap_or((0, &text[flags..]));
        spec.width = width;
        if let Some(after) = rest.strip_prefix('.') {
            let (precision, after) = number(after).unwrap_or((0, after));
            spec.precision = Some(precision);
            rest = after;
        }
        let mut characters = rest.chars();
        let kind = match characters.next() {
            Some('i' | 'u') => 'd',
            Some(kind) if "srdoxXeEfFgGc".contains(kind) => kind,
            Some(other) => return Err(Fault::argument(format!("`%{other}` is no format")).help(HELP).into()),
            None => {
                return Err(Fault::argument("a format ends in a single `%`")
                    .help("write `%%` for a percent sign")
                    .into());
            }
        };
        spec.kind = Some(kind);
        spec.pads_zeros &= !matches!(kind, 's' | 'r' | 'c');
        // Texts stand at the right as well, unlike in braces.
        spec.align = spec.align.or(Some('>').filter(|_| !spec.pads_zeros));
        Ok((spec.checked()?, kind, characters.as_str()))
    }

    fn checked(self) -> Checked<Self> {
        if self.width.max(self.precision.unwrap_or(0)) > MOST {
            return Err(Fault::argument(format!("a format's width and precision are at most {MOST}")).into());
        }
        Ok(self)
    }

    /// A text in this format.
    pub(super) fn text(&self, text: &str) -> Checked<String> {
        if !matches!(self.kind, None | Some('s' | 'r')) {
            return Err(self.unfit("text"));
        }
        let cut = match self.precision {
            Some(most) => text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end]),
            None => text,
        };
        Ok(self.pad("", cut, '<'))
    }

    /// A value in this format.
    pub(super) fn value<'v>(&self, value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<String> {
        match Form::of(value) {
            Form::Text(text) => self.text(text),
            Form::Int => self.int(value, meter, heap),
            Form::Float(number) => self.float(number),
            Form::Bool(truth) if self.kind.is_some_and(|kind| kind != 's') => {
                self.int(heap.alloc(i32::from(truth)), meter, heap)
            }
            _ => {
                known(value)?;
                let shown = show::plain(value, meter, heap)?;
                self.text(&shown).map_err(|_| self.unfit(value.get_type()))
            }
        }
    }

    fn int<'v>(&self, value: Value<'v>, meter: &Meter, heap: &'v Heap) -> Checked<String> {
        let digits = show::plain(value, meter, heap)?;
        match self.kind {
            None | Some('d' | 'n') if self.precision.is_none() => {
                let (sign, digits) = self.signed(&digits);
                Ok(self.pad(sign, &self.grouped(digits), '>'))
            }
            Some(kind @ ('x' | 'X' | 'o' | 'b')) => {
                let number: i128 = digits.parse().map_err(|_| self.unfit("integer of more than 127 bits"))?;
                let (sign, _) = self.signed(&digits);
                let size = number.unsigned_abs();
                let (prefix, digits) = match kind {
                    'x' => ("0x", format!("{size:x}")),
                    'X' => ("0X", format!("{size:X}")),
                    'o' => ("0o", format!("{size:o}")),
                    _ => ("0b", format!("{size:b}")),
                };
                let prefix = if self.is_prefixed { prefix } else { "" };
                Ok(self.pad(&format!("{sign}{prefix}"), &self.grouped_by(&digits, 4), '>'))
            }
            Some('c') => {
                let character = value.unpack_i32().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
                let character = character.ok_or_else(|| Fault::argument("this integer is no character"))?;
                Ok(self.pad("", &character.to_string(), '<'))
            }
            Some('s') => Ok(self.pad("", &digits, '>')),
            Some('d' | 'n') => {
                Err(Fault::argument("an integer has no precision").help("write `.0f` for a rounded number").into())
            }
            _ => match UnpackFloat::unpack_value(value) {
                Ok(Some(number)) => self.float(number.0),
                _ => Err(self.unfit("int")),
            },
        }
    }

    fn float(&self, number: f64) -> Checked<String> {
        if self.kind == Some('d') && number.is_finite() {
            // As `%d` does: without its fraction.
            let digits = format!("{:.0}", number.trunc());
            let (sign, digits) = self.signed(&digits);
            return Ok(self.pad(sign, &self.grouped(digits), '>'));
        }
        let precision = self.precision.unwrap_or(6);
        let digits = match self.kind {
            _ if !number.is_finite() => show::float(number).trim_start_matches('+').to_owned(),
            None if self.precision.is_none() => show::float(number),
            Some('s') => show::float(number),
            Some('f' | 'F') => format!("{number:.precision$}"),
            Some('%') => format!("{:.precision$}%", number * 100.0),
            Some('e') => exponent(format!("{number:.precision$e}")),
            Some('E') => exponent(format!("{number:.precision$e}")).to_uppercase(),
            Some('g') => general(number, precision),
            None => with_a_fraction(general(number, precision)),
            Some('G') => general(number, precision).to_uppercase(),
            Some(_) => return Err(self.unfit("float")),
        };
        let (sign, digits) = self.signed(&digits);
        Ok(self.pad(sign, &self.grouped(digits), '>'))
    }

    /// The sign to write, and the digits without theirs.
    fn signed<'a>(&self, digits: &'a str) -> (&'static str, &'a str) {
        match digits.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => match self.sign {
                '+' => ("+", digits),
                ' ' => (" ", digits),
                _ => ("", digits),
            },
        }
    }

    /// The digits in groups of three, up to a fraction or an exponent.
    fn grouped(&self, digits: &str) -> String {
        self.grouped_by(digits, 3)
    }

    fn grouped_by(&self, digits: &str, size: usize) -> String {
        let Some(group) = self.group else { return digits.to_owned() };
        let is_digit = |digit: char| if size == 4 { digit.is_ascii_hexdigit() } else { digit.is_ascii_digit() };
        let whole = digits.find(|digit| !is_digit(digit)).unwrap_or(digits.len());
        let mut grouped = String::new();
        for (index, digit) in digits[..whole].chars().enumerate() {
            if index > 0 && (whole - index) % size == 0 {
                grouped.push(group);
            }
            grouped.push(digit);
        }
        grouped + &digits[whole..]
    }

    /// Sign and digits (or a text) with as much around them as the width asks for.
    fn pad(&self, sign: &str, body: &str, default: char) -> String {
        let length = sign.chars().count() + body.chars().count();
        let missing = self.width.saturating_sub(length);
        let fill = |count: usize, with: char| std::iter::repeat_n(with, count).collect::<String>();
        let is_number = default == '>';
        let with = self.fill.unwrap_or(' ');
        match self.align {
            None if self.pads_zeros && is_number => format!("{sign}{}{body}", fill(missing, '0')),
            Some('=') => format!("{sign}{}{body}", fill(missing, with)),
            align => match align.unwrap_or(default) {
                '<' => format!("{sign}{body}{}", fill(missing, with)),
                '^' => format!("{}{sign}{body}{}", fill(missing / 2, with), fill(missing - missing / 2, with)),
                _ => format!("{}{sign}{body}", fill(missing, with)),
            },
        }
    }

    #[cold]
    fn unfit(&self, what: &str) -> starlark::Error {
        let kind = self.kind.unwrap_or('s');
        Fault::argument(format!("the format `{kind}` does not fit a {what}")).help(HELP).into()
    }
}

const HELP: &str = "formats are like `>10`, `.2f`, `,`, `.1%`, `05d`, `x`";

/// The number at the start of a text, and the rest.
fn number(text: &str) -> Option<(usize, &str)> {
    let end = text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len());
    let digits = &text[..end];
    (!digits.is_empty()).then(|| (digits.parse().unwrap_or(usize::MAX), &text[end..]))
}

/// As a float is shown that has no kind: never like an integer.
fn with_a_fraction(digits: String) -> String {
    if digits.contains(['.', 'e', 'n']) { digits } else { digits + ".0" }
}

/// Rust's `1.5e2` as C's `1.5e+02`.
fn exponent(text: String) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// C's `%g`: as many significant digits as the precision, in whichever form is shorter, without zeros at the end.
fn general(number: f64, precision: usize) -> String {
    let precision = precision.max(1);
    let scientific = format!("{number:.*e}", precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    let trim = |digits: &str| {
        if digits.contains('.') {
            digits.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            digits.to_owned()
        }
    };
    if power < -4 || usize::try_from(power).is_ok_and(|power| power >= precision) {
        let (digits, _) = scientific.split_once('e').unwrap_or((&scientific, ""));
        return exponent(format!("{}e{power}", trim(digits)));
    }
    let decimals = usize::try_from(i64::try_from(precision).unwrap_or(6) - 1 - i64::from(power)).unwrap_or(0);
    trim(&format!("{number:.decimals$}"))
}
