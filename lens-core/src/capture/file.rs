//! A capture as a file: one JSON document, so that anything can read it, with a format, a version and a length that tell
//! a foreign, newer or truncated file from a good one. Separate because only this module knows the format.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Capture, Frozen};
use crate::error::Error;
use crate::reading::{Reading, Source, Unavailable};
use crate::recorder::SavedHistory;
use crate::registry::Registry;
use crate::time::Timestamp;

/// The version of the format that is written, and the newest that is read.
pub const FORMAT_VERSION: u64 = 1;

/// The largest file that is opened: 512 MiB. One of a million tasks has about 100 MB, and the history of a day as much again.
/// More lets files in that take as much memory while they are opened; less refuses those of large services.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

const FORMAT: &str = "lens-capture";

/// `S` is a skill's state: JSON to write, or its text, so that what is read is only ever made into the skill's own type.
#[derive(Serialize, Deserialize)]
struct File<S> {
    format: String,
    version: u64,
    written_by: String,
    captured_at: Timestamp,
    /// Files of before there were ids have none.
    #[serde(default)]
    id: Option<String>,
    skills: BTreeMap<String, SavedSkill<S>>,
    history: SavedHistory,
}

#[derive(Serialize, Deserialize)]
struct SavedSkill<S> {
    sources: Vec<Source>,
    state: Result<S, Unavailable>,
}

/// What is read first, whatever else the file holds.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
}

impl Capture {
    /// Reads every skill that was not read yet and writes the capture whole.
    ///
    /// # Errors
    ///
    /// Writing failed.
    pub fn save(&self, to: &mut dyn Write) -> Result<(), Error> {
        self.collect_all();
        let mut skills = BTreeMap::new();
        for (name, cell) in self.skills.iter() {
            if let Some(Frozen { state, sources }) = cell.get() {
                let state: Reading<Value> = state.clone().and_then(|state| {
                    state.to_json().map_err(|error| Unavailable::failed(format!("the state is no JSON: {error}")))
                });
                skills.insert(name.clone(), SavedSkill { sources: sources.clone(), state });
            }
        }
        let file = File {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            written_by: concat!("lens ", env!("CARGO_PKG_VERSION")).to_owned(),
            captured_at: self.at,
            id: Some(self.id.clone()),
            skills,
            history: self.history.save(),
        };
        serde_json::to_writer(&mut *to, &file).map_err(std::io::Error::from)?;
        to.write_all(b"\n")?;
        Ok(())
    }

    /// Opens a capture that was saved. Skills that `registry` does not have are left out of it.
    ///
    /// # Errors
    ///
    /// The file is no capture, is truncated, too large or was written by a newer lens; or reading failed.
    pub fn open(registry: &Arc<Registry>, from: impl Read) -> Result<Self, Error> {
        let mut text = String::new();
        let read = from.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
        if let Err(error) = read {
            return Err(match error.kind() {
                std::io::ErrorKind::InvalidData => Error::ForeignCapture { reason: "it is not text".to_owned() },
                _ => Error::Io(error),
            });
        }
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(Error::LargeCapture { limit_bytes: MAX_FILE_BYTES });
        }
        let file = parse(&text)?;
        let mut skills = BTreeMap::new();
        for (name, saved) in file.skills {
            if let Ok(entry) = registry.get(&name) {
                let state = saved.state.and_then(|json| entry.decode(json));
                skills.insert(name, OnceLock::from(Frozen { state, sources: saved.sources }));
            }
        }
        Ok(Self {
            id: file.id.unwrap_or_else(|| file.captured_at.to_string()),
            at: file.captured_at,
            registry: Arc::clone(registry),
            skills: Arc::new(skills),
            history: Arc::new(file.history),
            is_live: false,
            may_act: true,
            withheld: Arc::default(),
            read_withheld: Arc::default(),
        })
    }
}

fn parse(text: &str) -> Result<File<&RawValue>, Error> {
    let foreign = |reason: &str| Error::ForeignCapture { reason: reason.to_owned() };
    if text.trim().is_empty() {
        return Err(Error::TruncatedCapture { reason: "it is empty".to_owned() });
    }
    match serde_json::from_str::<Head>(text) {
        // A list is read as the fields in their order.
        Ok(_) if !text.trim_start().starts_with('{') => return Err(foreign("it is JSON without a format")),
        Ok(head) if head.format != FORMAT => return Err(foreign(&format!("its format is {:?}", head.format))),
        Ok(head) if head.version > FORMAT_VERSION => {
            return Err(Error::NewerCapture { found: head.version, supported: FORMAT_VERSION });
        }
        Ok(_) => {}
        // A capture starts with its format, so a file that ends too early can still be told from a foreign one.
        Err(error) if error.is_eof() && text.starts_with("{\"format\":\"lens-capture\"") => {
            let reason = format!("it ends after {} bytes, in the middle of line {}", text.len(), error.line());
            return Err(Error::TruncatedCapture { reason });
        }
        Err(error) if error.is_data() => return Err(foreign("it is JSON without a format")),
        Err(_) => return Err(foreign("it is not JSON")),
    }
    serde_json::from_str(text).map_err(|error| foreign(&format!("it says that it is one, but {error}")))
}
