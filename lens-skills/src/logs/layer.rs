//! The tracing layer. Separate because only this file knows how events and registries look.

use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lens_core::{Timestamp, redact};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::text::Text;

use super::record::{FIELDS, MESSAGE, Origin, Record, Recorder, SPANS, key_of};

/// How many spans around an event are named, from the innermost outwards.
const MAX_SPANS: usize = 4;

/// The target of events that the `log` crate's records become; what they are about is in their fields.
const LOG_TARGET: &str = "log";

/// Counts events and keeps their text.
#[derive(Debug)]
pub(super) struct LogsLayer {
    recorder: Arc<Recorder>,
    level: LevelFilter,
}

impl LogsLayer {
    pub(super) fn new(recorder: Arc<Recorder>, level: LevelFilter) -> Self {
        Self { recorder, level }
    }

    fn record<S>(&self, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let metadata = event.metadata();
        let mut log = LogRecord::default();
        let (counted, is_kept) = if metadata.target() == LOG_TARGET {
            event.record(&mut log);
            let origin = log.origin(Origin::of(metadata));
            self.recorder.count(origin.key(), origin)
        } else {
            self.recorder.count(key_of(metadata), Origin::of(metadata))
        };
        if !is_kept {
            return;
        }
        let mut text = Writer::default();
        // A value of the service's that panics when it is shown must not do so because lens looks at it.
        let _ = catch_unwind(AssertUnwindSafe(|| event.record(&mut text)));
        self.recorder.keep(Record {
            at: Timestamp::now(),
            level: metadata.level().into(),
            place: counted.number,
            message: text.message,
            fields: text.fields,
            spans: spans(event, context),
            task: (self.recorder.task)(),
        });
    }
}

impl<S> Layer<S> for LogsLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_layer(&mut self, _subscriber: &mut S) {
        self.recorder.attach(self.level);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.record(event, &context);
    }
}

/// The names of the spans around an event, the innermost first.
fn spans<S>(event: &Event<'_>, context: &Context<'_, S>) -> Text<SPANS>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut names = Text::new();
    let scope = context.event_scope(event).into_iter().flatten().take(MAX_SPANS);
    for (place, span) in scope.enumerate() {
        if place > 0 {
            names.push(" < ");
        }
        names.push(span.name());
    }
    names
}

/// Writes an event's message and its other fields.
#[derive(Default)]
struct Writer {
    message: Text<MESSAGE>,
    fields: Text<FIELDS>,
}

impl Visit for Writer {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // A value that does not fit is cut off.
        if name == "message" {
            let _ = write!(self.message, "{value:?}");
        } else if !name.starts_with("log.") {
            if !self.fields.is_empty() {
                self.fields.push(" ");
            }
            let _ = if redact::is_secret_name(name) {
                write!(self.fields, "{name}={}", redact::REDACTED)
            } else {
                write!(self.fields, "{name}={value:?}")
            };
        }
    }
}

/// What a record of the `log` crate says of its origin, in fields that `tracing-log` gives it.
#[derive(Default)]
struct LogRecord {
    target: Text<128>,
    file: Text<192>,
    line: Option<u32>,
}

impl LogRecord {
    /// `of` where the record says nothing better.
    fn origin<'a>(&'a self, of: Origin<'a>) -> Origin<'a> {
        let or = |text: &'a str| (!text.is_empty()).then_some(text);
        Origin {
            level: of.level,
            target: or(self.target.kept()).unwrap_or(of.target),
            file: or(self.file.kept()).or(of.file),
            line: self.line.or(of.line),
        }
    }
}

impl Visit for LogRecord {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "log.target" => self.target.push(value),
            "log.file" => self.file.push(value),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "log.line" {
            self.line = u32::try_from(value).ok();
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}
