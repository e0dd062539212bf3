//! What a diagnosis of a fault must find: its cause, and the place in this program. A place is found by a comment
//! beside the offending code when the program is compiled, so that it cannot fall behind the code.

use std::fmt;

use serde::{Serialize, Serializer};

/// Why a service is slow, stuck or growing, in the words of lens's findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are lens's, and are explained there")]
pub enum Cause {
    AllocChurn,
    BlockingCall,
    BlockingPoolExhausted,
    BusyLoop,
    CpuHog,
    Deadlock,
    DownstreamSlow,
    ErrorBurst,
    FdLeak,
    Fragmentation,
    HeapLeak,
    LockConvoy,
    LogStorm,
    PanicLoop,
    PoolExhausted,
    QueueGrowth,
    RetryStorm,
    SlowConsumer,
    TaskLeak,
    TimerStorm,
}

/// What a diagnosis must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// Why.
    pub cause: Cause,
    /// The offending line.
    pub place: Place,
    /// Other lines that are as right: where the same thing shows for one who cannot see the line itself.
    pub also: &'static [Place],
    /// Where the tasks are spawned that do it.
    pub spawned_at: &'static [Place],
    /// Where the locks, semaphores and channels are created that are waited for.
    pub created_at: &'static [Place],
}

impl Truth {
    pub(super) const fn new(cause: Cause, place: Place) -> Self {
        Self { cause, place, also: &[], spawned_at: &[], created_at: &[] }
    }

    pub(super) const fn also(mut self, also: &'static [Place]) -> Self {
        self.also = also;
        self
    }

    pub(super) const fn spawned_at(mut self, spawned_at: &'static [Place]) -> Self {
        self.spawned_at = spawned_at;
        self
    }

    pub(super) const fn created_at(mut self, created_at: &'static [Place]) -> Self {
        self.created_at = created_at;
        self
    }
}

/// A line of this program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The file, as the compiler names it.
    pub file: &'static str,
    /// The line, from 1.
    pub line: u32,
}

impl Place {
    /// The only line of `source` that ends with the comment `// here: {marker}`. The comment itself is not written in
    /// one piece here, or it would be found as well.
    ///
    /// # Panics
    ///
    /// There is no such line, or more than one: when it is used in a constant, the program does not compile.
    #[must_use]
    pub const fn marked(file: &'static str, source: &str, marker: &str) -> Self {
        let (source, marker, lead) = (source.as_bytes(), marker.as_bytes(), b"// here: ");
        let (mut at, mut line, mut found) = (0, 1, 0);
        while at < source.len() {
            if source[at] == b'\n' {
                line += 1;
            } else if source[at] == b'/' && continues(source, at, lead) && continues(source, at + lead.len(), marker) {
                let end = at + lead.len() + marker.len();
                if end == source.len() || source[end] == b'\n' {
                    assert!(found == 0, "the marker is there twice");
                    found = line;
                }
            }
            at += 1;
        }
        assert!(found != 0, "the marker is not there");
        Self { file, line: found }
    }
}

const fn continues(text: &[u8], at: usize, expected: &[u8]) -> bool {
    let mut index = 0;
    while index < expected.len() {
        if at + index >= text.len() || text[at + index] != expected[index] {
            return false;
        }
        index += 1;
    }
    true
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The line of this file, whose name is given once more, that is marked with `// here: {marker}`.
macro_rules! here {
    ($marker:literal in $source:literal) => {
        $crate::faults::truth::Place::marked(file!(), include_str!($source), $marker)
    };
}
pub(crate) use here;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_line_is_found() {
        let source = "one\ntwo // here: leaks\nthree // here: leak\n// here: lea";
        assert_eq!(Place::marked("a.rs", source, "leak").to_string(), "a.rs:3");
        assert_eq!(Place::marked("a.rs", source, "lea").to_string(), "a.rs:4");
        assert_eq!(Place::marked("a.rs", source, "leaks").to_string(), "a.rs:2");
    }

    #[test]
    #[should_panic(expected = "the marker is there twice")]
    fn a_marker_that_is_there_twice_is_refused() {
        let _ = Place::marked("a.rs", "// here: a\n// here: a", "a");
    }

    #[test]
    #[should_panic(expected = "the marker is not there")]
    fn a_marker_that_is_not_there_is_refused() {
        let _ = Place::marked("a.rs", "// here: abc", "ab");
    }
}
