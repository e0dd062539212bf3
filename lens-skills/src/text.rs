//! Text of bounded length that needs no allocation. Separate because it is written in the service's threads, where a
//! panic or an event is recorded, and read in lens's.

use std::fmt;

/// At most `N` bytes of text; what does not fit is cut off, at a character's boundary, and shown as `…`.
#[derive(Clone, Copy)]
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    len: u16,
    is_cut: bool,
}

impl<const N: usize> Text<N> {
    pub(crate) const fn new() -> Self {
        assert!(N <= u16::MAX as usize, "the length is kept in 16 bits");
        Self { bytes: [0; N], len: 0, is_cut: false }
    }

    pub(crate) fn of(text: &str) -> Self {
        let mut this = Self::new();
        this.push(text);
        this
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds as much of `text` as fits.
    pub(crate) fn push(&mut self, text: &str) {
        if self.is_cut {
            return;
        }
        let len = usize::from(self.len);
        let room = N - len;
        let kept = if text.len() <= room { text } else { &text[..text.floor_char_boundary(room)] };
        self.bytes[len..len + kept.len()].copy_from_slice(kept.as_bytes());
        self.len += u16::try_from(kept.len()).unwrap_or(0);
        self.is_cut = kept.len() < text.len();
    }

    /// The text, without the mark of what was cut off.
    pub(crate) fn kept(&self) -> &str {
        // What `push` copies ends at a character's boundary.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    /// Fails once it is full, so that a value of any length stops formatting itself.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        if self.is_cut { Err(fmt::Error) } else { Ok(()) }
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kept())?;
        if self.is_cut { f.write_str("…") } else { Ok(()) }
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.kept(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn what_fits_is_kept_whole() {
        assert_eq!(Text::<8>::of("12345678").to_string(), "12345678");
    }

    #[test]
    fn what_does_not_fit_is_cut_between_characters() {
        assert_eq!(Text::<4>::of("aäöü").to_string(), "aä…");
    }

    #[test]
    fn nothing_is_added_behind_a_cut() {
        let mut text = Text::<4>::of("aäöü");
        text.push("b");
        assert_eq!(text.to_string(), "aä…");
    }

    #[test]
    fn a_value_stops_formatting_itself_when_the_text_is_full() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("again ")?;
                }
            }
        }
        let mut text = Text::<16>::new();
        write!(text, "{Endless}").unwrap_err();
        assert_eq!(text.to_string(), "again again agai…");
    }
}
