//! pprof's format. Separate because it is somebody else's wire: `profile.proto` of
//! <https://github.com/google/pprof/blob/main/proto/profile.proto>, as much of it as a heap profile needs.

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::dump::Use;
use super::{HeapProfile, Shown};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(super) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(super) sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(super) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(super) function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub(super) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(super) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(super) period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub(super) period: i64,
    #[prost(int64, repeated, tag = "13")]
    pub(super) comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    pub(super) default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(super) r#type: i64,
    #[prost(int64, tag = "2")]
    pub(super) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(super) value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Location {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Line {
    #[prost(uint64, tag = "1")]
    pub(super) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(super) line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Function {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(int64, tag = "2")]
    pub(super) name: i64,
    #[prost(int64, tag = "3")]
    pub(super) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(super) filename: i64,
}

/// The texts, each once; the first is empty.
struct Texts {
    table: Vec<String>,
    index: HashMap<String, i64>,
}

impl Texts {
    fn new() -> Self {
        Self { table: vec![String::new()], index: HashMap::from([(String::new(), 0)]) }
    }

    fn of(&mut self, text: &str) -> i64 {
        if let Some(&at) = self.index.get(text) {
            return at;
        }
        let at = signed(self.table.len() as u64);
        self.table.push(text.to_owned());
        self.index.insert(text.to_owned(), at);
        at
    }
}

pub(super) fn encode(profile: &HeapProfile, shown: Shown) -> Vec<u8> {
    let bytes = message(profile, shown).encode_to_vec();
    let mut file = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = file.write_all(&bytes);
    file.finish().unwrap_or_default()
}

fn message(profile: &HeapProfile, shown: Shown) -> Profile {
    let mut texts = Texts::new();
    let (bytes, count) = (texts.of("bytes"), texts.of("count"));
    let mut sample_type = vec![
        ValueType { r#type: texts.of("inuse_objects"), unit: count },
        ValueType { r#type: texts.of("inuse_space"), unit: bytes },
    ];
    // What was ever allocated has no base.
    let has_total = shown == Shown::Alive && profile.stacks.iter().any(|stack| stack.total.is_some());
    if has_total {
        sample_type.push(ValueType { r#type: texts.of("alloc_objects"), unit: count });
        sample_type.push(ValueType { r#type: texts.of("alloc_space"), unit: bytes });
    }
    let mut functions: HashMap<(i64, i64), u64> = HashMap::new();
    let mut function = Vec::new();
    let mut location = Vec::new();
    for (frame, id) in profile.frames.iter().zip(1..) {
        let (file, line) = split(frame.place.as_deref());
        let (name, filename) = (texts.of(&frame.function), texts.of(file));
        let function_id = *functions.entry((name, filename)).or_insert_with(|| {
            let id = function.len() as u64 + 1;
            function.push(Function { id, name, system_name: name, filename });
            id
        });
        location.push(Location { id, line: vec![Line { function_id, line }] });
    }
    let sample = profile.stacks.iter().filter_map(|stack| {
        let base = if shown == Shown::Grown { stack.base } else { Use::default() };
        let live = |of: fn(&Use) -> u64| signed(of(&stack.live)) - signed(of(&base));
        let mut value = vec![live(|all| all.count), live(|all| all.bytes)];
        if has_total {
            let total = stack.total.unwrap_or_default();
            value.extend([signed(total.count), signed(total.bytes)]);
        }
        let location_id = stack.frames.iter().map(|&frame| u64::from(frame) + 1).collect();
        value.iter().any(|&value| value != 0).then_some(Sample { location_id, value })
    });
    let sample = sample.collect();
    let left_out = profile.left_out;
    let comment = (left_out.stack_count > 0)
        .then(|| texts.of(&format!("{} stacks with {} bytes are left out", left_out.stack_count, left_out.live.bytes)));
    Profile {
        sample_type,
        sample,
        location,
        function,
        time_nanos: nanos(profile.at),
        duration_nanos: match (shown, profile.base_at) {
            (Shown::Grown, Some(base)) => nanos(profile.at) - nanos(base),
            _ => 0,
        },
        period_type: Some(ValueType { r#type: texts.of("space"), unit: bytes }),
        period: signed(profile.sampling.sample_bytes),
        comment: comment.into_iter().collect(),
        default_sample_type: texts.of("inuse_space"),
        string_table: texts.table,
    }
}

/// `"src/cart.rs:41"`
fn split(place: Option<&str>) -> (&str, i64) {
    let parts = place.and_then(|place| place.rsplit_once(':'));
    parts.and_then(|(file, line)| Some((file, line.parse().ok()?))).unwrap_or((place.unwrap_or_default(), 0))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn nanos(at: lens_core::Timestamp) -> i64 {
    let since = std::time::SystemTime::from(at).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
