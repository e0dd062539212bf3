//! Splits a script into tokens, before anything else looks at it. Separate from the interpreter's own lexer because
//! three things have to be known before the parser may see a script: how deeply it is nested, where its f-strings are,
//! and which habits of Python it has.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Name,
    /// A number.
    Number,
    /// A text; `prefix` is the length of the letters before its quotes, `quotes` how many quotes open it.
    Text {
        /// Whether it is an f-string.
        is_format: bool,
        /// Whether a backslash stands for itself.
        is_raw: bool,
        /// The letters before the quotes.
        prefix: usize,
        /// 1 or 3; the closing ones are as many.
        quotes: usize,
        /// Whether it ends before the line (or the script) does.
        is_closed: bool,
    },
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// The end of a line outside of brackets.
    Newline,
    /// An operator, or anything else.
    Sign,
}

/// A token and its bytes in the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    /// The token's own text.
    pub(super) fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.start..self.end]
    }
}

/// The tokens of `source`. It never fails: what is no token of the language is a [`Kind::Sign`], and the parser says so.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { bytes: source.as_bytes(), at: 0, brackets: 0, tokens: Vec::new() };
    while lexer.at < lexer.bytes.len() {
        lexer.next();
    }
    lexer.tokens
}

/// The tokens of `source` from `start` to `end`, which are taken to be within brackets.
pub(super) fn tokens_within(source: &str, start: usize, end: usize) -> Vec<Token> {
    let mut lexer = Lexer { bytes: &source.as_bytes()[..end], at: start, brackets: 1, tokens: Vec::new() };
    while lexer.at < lexer.bytes.len() {
        lexer.next();
    }
    lexer.tokens
}

struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    brackets: usize,
    tokens: Vec<Token>,
}

/// The operators of more than one character, longest first; `**=` and `:=` are none of the language, but habits.
const SIGNS: &[&str] = &[
    "**=", "//=", "<<=", ">>=", "...", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "->", ":=", "+=", "-=", "*=",
    "/=", "%=", "&=", "|=", "^=",
];

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let end = (self.at + length).min(self.bytes.len());
        self.tokens.push(Token { kind, start: self.at, end });
        self.at = end;
    }

    fn next(&mut self) {
        match self.peek(0) {
            b' ' | b'\t' | b'\r' => self.at += 1,
            b'\\' if self.peek(1) == b'\n' => self.at += 2,
            b'\\' if self.peek(1) == b'\r' && self.peek(2) == b'\n' => self.at += 3,
            b'#' => {
                while self.at < self.bytes.len() && self.peek(0) != b'\n' {
                    self.at += 1;
                }
            }
            b'\n' if self.brackets == 0 => self.push(Kind::Newline, 1),
            b'\n' => self.at += 1,
            b'(' | b'[' | b'{' => {
                self.brackets += 1;
                self.push(Kind::Open, 1);
            }
            b')' | b']' | b'}' => {
                self.brackets = self.brackets.saturating_sub(1);
                self.push(Kind::Close, 1);
            }
            b'"' | b'\'' => self.text(0),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            byte if byte.is_ascii_alphabetic() || byte == b'_' => self.name(),
            _ => self.sign(),
        }
    }

    fn name(&mut self) {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let length = self.bytes[self.at..].iter().take_while(|byte| is_part(**byte)).count();
        let is_prefix = self.bytes[self.at..self.at + length].iter().all(|byte| b"rRbBfFuU".contains(byte));
        if length <= 2 && is_prefix && matches!(self.peek(length), b'"' | b'\'') {
            self.text(length);
        } else {
            self.push(Kind::Name, length);
        }
    }

    /// A number ends where the parser's does: `1else` is a number and a name.
    fn number(&mut self) {
        let digits = |from: usize, is_digit: fn(&u8) -> bool| {
            let rest = self.bytes.get(self.at + from..).unwrap_or_default();
            from + rest.iter().take_while(|byte| is_digit(byte) || **byte == b'_').count()
        };
        let of_base: Option<fn(&u8) -> bool> = match (self.peek(0), self.peek(1)) {
            (b'0', b'x' | b'X') => Some(u8::is_ascii_hexdigit),
            (b'0', b'o' | b'O') => Some(|byte| (b'0'..=b'7').contains(byte)),
            (b'0', b'b' | b'B') => Some(|byte| matches!(byte, b'0' | b'1')),
            _ => None,
        };
        let prefix = 2;
        let length = match of_base.map(|is_digit| digits(prefix, is_digit)) {
            Some(length) if length > prefix => length,
            _ => {
                let whole = digits(0, u8::is_ascii_digit);
                let fraction = if self.peek(whole) == b'.' { digits(whole + 1, u8::is_ascii_digit) } else { whole };
                let sign = usize::from(matches!(self.peek(fraction + 1), b'+' | b'-'));
                let exponent = fraction + 1 + sign;
                let has_exponent = matches!(self.peek(fraction), b'e' | b'E') && self.peek(exponent).is_ascii_digit();
                if has_exponent { digits(exponent, u8::is_ascii_digit) } else { fraction }
            }
        };
        self.push(Kind::Number, length);
    }

    fn text(&mut self, prefix: usize) {
        let letters = &self.bytes[self.at..self.at + prefix];
        let is_format = letters.iter().any(|byte| matches!(byte, b'f' | b'F'));
        let is_raw = letters.iter().any(|byte| matches!(byte, b'r' | b'R'));
        let quote = self.peek(prefix);
        let quotes = if self.peek(prefix + 1) == quote && self.peek(prefix + 2) == quote { 3 } else { 1 };
        let mut length = prefix + quotes;
        let mut is_closed = false;
        loop {
            match self.peek(length) {
                _ if self.at + length >= self.bytes.len() => break,
                // As the parser does: an escaped end of line does not end the text, on Windows neither.
                b'\\' if self.peek(length + 1) == b'\r' && self.peek(length + 2) == b'\n' => length += 3,
                b'\\' => length += 2,
                b'\n' if quotes == 1 => break,
                byte if byte == quote
                    && (quotes == 1 || (self.peek(length + 1) == quote && self.peek(length + 2) == quote)) =>
                {
                    is_closed = true;
                    length += quotes;
                    break;
                }
                _ => length += 1,
            }
        }
        self.push(Kind::Text { is_format, is_raw, prefix, quotes, is_closed }, length);
    }

    fn sign(&mut self) {
        let rest = &self.bytes[self.at..];
        let known = SIGNS.iter().find(|sign| rest.starts_with(sign.as_bytes()));
        // A character of more than one byte is kept whole, so that slices of the script stay texts.
        let whole = 1 + rest[1..].iter().take_while(|byte| (**byte & 0xc0) == 0x80).count();
        self.push(Kind::Sign, known.map_or(whole, |sign| sign.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).iter().map(|token| token.text(source)).collect()
    }

    #[test]
    fn tokens_are_names_numbers_texts_and_signs() {
        assert_eq!(texts("a.b >= 1_0.5e-3 # no\nx"), ["a", ".", "b", ">=", "1_0.5e-3", "\n", "x"]);
        assert_eq!(texts("[\n1,\n2]\n"), ["[", "1", ",", "2", "]", "\n"]);
        assert_eq!(texts("f'a{b}' r\"\\\" '''a\n'b'''"), ["f'a{b}'", "r\"\\\" '''a", "\n", "'b'", "''"]);
        assert_eq!(texts("\"é\" + ü"), ["\"é\"", "+", "ü"]);
    }
}
