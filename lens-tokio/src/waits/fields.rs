//! Reads the fields of tokio's spans and events. Separate because these names and texts are tokio's, and nothing else here
//! depends on how they are spelled.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};

use super::state::{Kind, Operation};

/// Which of tokio's functions an operation is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Lock,
    LockOwned,
    Read,
    ReadOwned,
    Write,
    WriteOwned,
    /// The public half of a semaphore's acquire.
    Acquire,
    /// The inner half, which mutexes, locks, semaphores and channels share.
    Inside,
    Receive,
    Closed,
    Arrive,
    Tick,
    Sleep,
    Other,
}

impl Source {
    fn named(text: &str) -> Self {
        match text {
            "Mutex::lock" => Self::Lock,
            "Mutex::lock_owned" => Self::LockOwned,
            "RwLock::read" => Self::Read,
            "RwLock::read_owned" => Self::ReadOwned,
            "RwLock::write" => Self::Write,
            "RwLock::write_owned" => Self::WriteOwned,
            "Acquire::new" => Self::Inside,
            "Receiver::await" => Self::Receive,
            "Sender::closed" => Self::Closed,
            "Barrier::wait" => Self::Arrive,
            "Interval::tick" => Self::Tick,
            "Sleep::new_timeout" | "Sleep::reset" => Self::Sleep,
            _ if text.starts_with("Semaphore::acquire") => Self::Acquire,
            _ => Self::Other,
        }
    }

    /// What must be waiting, if all that is known is what it waits for.
    pub(super) fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Mutex => Self::Lock,
            Kind::Oneshot => Self::Receive,
            Kind::Barrier => Self::Arrive,
            Kind::Sleep => Self::Sleep,
            Kind::Interval => Self::Tick,
            _ => Self::Other,
        }
    }

    /// What it waits for, if all that is known is the function.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Lock | Self::LockOwned => Kind::Mutex,
            Self::Read | Self::ReadOwned | Self::Write | Self::WriteOwned => Kind::RwLock,
            Self::Acquire => Kind::Semaphore,
            Self::Receive | Self::Closed => Kind::Oneshot,
            Self::Arrive => Kind::Barrier,
            Self::Tick => Kind::Interval,
            Self::Sleep => Kind::Sleep,
            Self::Inside | Self::Other => Kind::Other,
        }
    }

    pub(super) fn operation(self, kind: Kind) -> Operation {
        match self {
            Self::Lock | Self::LockOwned => Operation::Lock,
            Self::Read | Self::ReadOwned => Operation::Read,
            Self::Write | Self::WriteOwned => Operation::Write,
            Self::Inside if kind == Kind::Channel => Operation::Send,
            Self::Acquire | Self::Inside => Operation::Acquire,
            Self::Receive => Operation::Receive,
            Self::Closed => Operation::Closed,
            Self::Arrive => Operation::Arrive,
            Self::Tick | Self::Sleep => Operation::Sleep,
            Self::Other => Operation::Other,
        }
    }

    /// Whether it acquires a mutex or a read-write lock; these are followed by their own events alone.
    pub(super) fn is_lock(self) -> bool {
        matches!(self, Self::Lock | Self::LockOwned | Self::Read | Self::ReadOwned | Self::Write | Self::WriteOwned)
    }

    /// Whether its guard has no lifetime that ties it to its task.
    pub(super) fn gives_movable_guard(self) -> bool {
        !matches!(self, Self::Lock | Self::Read | Self::Write)
    }

    /// How many permits it wants of a read-write lock or mutex: [`ALL`](super::recorder::ALL) for a writer.
    pub(super) fn wanted(self) -> u64 {
        match self {
            Self::Write | Self::WriteOwned => super::recorder::ALL,
            Self::Lock | Self::LockOwned | Self::Read | Self::ReadOwned => 1,
            _ => 0,
        }
    }
}

/// The fields of `runtime.spawn`.
#[derive(Debug, Default)]
pub(super) struct Spawn {
    pub(super) task: u64,
    pub(super) name: Text<64>,
    pub(super) kind: Text<16>,
    pub(super) place: PlaceFields,
}

/// The fields of `runtime.resource`.
#[derive(Debug)]
pub(super) struct NewResource {
    pub(super) kind: Kind,
    pub(super) is_internal: bool,
    pub(super) place: PlaceFields,
}

impl Default for NewResource {
    fn default() -> Self {
        Self { kind: Kind::Other, is_internal: false, place: PlaceFields::default() }
    }
}

/// `loc.file`, `loc.line`, `loc.col`.
#[derive(Debug, Default)]
pub(super) struct PlaceFields {
    pub(super) file: Text<256>,
    pub(super) line: u64,
    pub(super) column: u64,
}

impl PlaceFields {
    fn record_u64(&mut self, name: &str, value: u64) {
        match name {
            "loc.line" => self.line = value,
            "loc.col" => self.column = value,
            _ => {}
        }
    }
}

impl Visit for Spawn {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "task.id" => self.task = value,
            name => self.place.record_u64(name, value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "loc.file" {
            self.place.file.keep_end(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "task.name" => self.name.keep_start(value),
            "kind" => self.kind.keep_start(value),
            _ => {}
        }
    }
}

impl Visit for NewResource {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.place.record_u64(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "is_internal" {
            self.is_internal = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "loc.file" => self.place.file.keep_end(value),
            "concrete_type" => {
                self.kind = match value {
                    "Mutex" => Kind::Mutex,
                    "RwLock" => Kind::RwLock,
                    "Semaphore" => Kind::Semaphore,
                    "Barrier" => Kind::Barrier,
                    "Sender|Receiver" => Kind::Oneshot,
                    "Sleep" => Kind::Sleep,
                    "Interval" => Kind::Interval,
                    _ => Kind::Other,
                };
            }
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The field `source` of `runtime.resource.async_op`.
#[derive(Debug)]
pub(super) struct SourceField(pub(super) Source);

impl Visit for SourceField {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "source" {
            self.0 = Source::named(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The field `is_ready` of `runtime::resource::poll_op`.
#[derive(Debug, Default)]
pub(super) struct Ready(pub(super) Option<bool>);

impl Visit for Ready {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "is_ready" {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// What a `state_update` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Said {
    #[default]
    Nothing,
    Locked(bool),
    WriteLocked(bool),
    Readers(u64),
    MaxReaders(u64),
    Permits(u64),
    Requested(u64),
    Obtained(u64),
    Size(u64),
}

/// How a `state_update` changes what it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Change {
    #[default]
    Set,
    Add,
    Subtract,
}

/// The fields of the two `state_update` events.
#[derive(Debug, Default)]
pub(super) struct Update {
    pub(super) said: Said,
    pub(super) change: Change,
}

/// The fields of `state_update` that [`Update`] reads.
pub(super) const READ_FIELDS: &[&str] = &[
    "locked",
    "write_locked",
    "current_readers",
    "max_readers",
    "permits",
    "permits_requested",
    "permits_obtained",
    "size",
];

impl Visit for Update {
    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "locked" => self.said = Said::Locked(value),
            "write_locked" => self.said = Said::WriteLocked(value),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.said = match field.name() {
            "permits" => Said::Permits(value),
            "permits_obtained" => Said::Obtained(value),
            "permits_requested" => Said::Requested(value),
            "current_readers" => Said::Readers(value),
            "max_readers" => Said::MaxReaders(value),
            "size" => Said::Size(value),
            _ => return,
        };
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_u64(field, value.unsigned_abs());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name().ends_with(".op") {
            self.change = match value {
                "add" => Change::Add,
                "sub" => Change::Subtract,
                _ => Change::Set,
            };
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// A text without memory of its own.
#[derive(Clone, Copy)]
pub(super) struct Text<const MAX: usize> {
    bytes: [u8; MAX],
    len: usize,
}

impl<const MAX: usize> Text<MAX> {
    pub(super) fn as_str(&self) -> &str {
        // Only whole characters are kept.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// Keeps a text, or the end of one that is too long.
    fn keep_end(&mut self, text: &str) {
        let end = &text[text.ceil_char_boundary(text.len().saturating_sub(MAX))..];
        self.bytes[..end.len()].copy_from_slice(end.as_bytes());
        self.len = end.len();
    }

    /// Keeps what is displayed, or the start of it if it is too long.
    fn keep_start(&mut self, value: &dyn fmt::Debug) {
        self.len = 0;
        // What does not fit is left out.
        let _ = write!(self, "{value:?}");
    }
}

impl<const MAX: usize> Default for Text<MAX> {
    fn default() -> Self {
        Self { bytes: [0; MAX], len: 0 }
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl<const MAX: usize> fmt::Write for Text<MAX> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = &text[..text.floor_char_boundary(MAX - self.len)];
        self.bytes[self.len..self.len + fits.len()].copy_from_slice(fits.as_bytes());
        self.len += fits.len();
        if fits.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut text = Text::<8>::default();
        text.keep_end("src/größe.rs");
        assert_eq!(text.as_str(), "öße.rs");
        text.keep_start(&format_args!("größeöffnung"));
        assert_eq!(text.as_str(), "größe");
        text.keep_start(&format_args!("kurz"));
        assert_eq!(text.as_str(), "kurz");
    }
}
