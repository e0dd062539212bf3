//! Queries that the service has by name: read and checked once, when lens starts, and asked as often as anyone likes.
//! Separate because a wrong one is an error of `start`, and everything after that cannot be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lens_core::Registry;
use lens_core::sandbox::{Sandbox, Script};

use crate::error::Error;

/// Where a saved query's script is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Here.
    Text(String),
    /// In a file, which is read when lens starts.
    File(PathBuf),
}

/// The saved queries, by name.
#[derive(Debug, Default)]
pub(crate) struct Queries(
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP asks for saved queries by name"))]
    BTreeMap<String, Saved>,
);

/// One of them.
#[derive(Debug)]
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP asks for saved queries by name"))]
pub(crate) struct Saved {
    /// The comment that the script begins with.
    pub(crate) doc: String,
    pub(crate) source: String,
    pub(crate) script: Script,
}

/// The longest name.
const LONGEST_NAME: usize = 60;

impl Queries {
    /// Reads and checks them all.
    pub(crate) fn compile(
        queries: Vec<(String, Place)>,
        sandbox: &Sandbox,
        registry: &Arc<Registry>,
    ) -> Result<Self, Error> {
        let mut compiled = BTreeMap::new();
        for (name, place) in queries {
            let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
            if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_letter) || name.starts_with('.') {
                return Err(Error::Setting {
                    what: format!(
                        "{name:?} cannot be a saved query's name: it takes up to {LONGEST_NAME} letters, digits, `-`, \
                         `_` and `.`, and does not begin with `.`"
                    ),
                });
            }
            let source = match place {
                Place::Text(text) => text,
                Place::File(path) => std::fs::read_to_string(&path).map_err(|source| Error::QueryFile {
                    name: name.clone(),
                    path,
                    source,
                })?,
            };
            let script = sandbox
                .compile(&source, registry)
                .map_err(|source| Error::Query { name: name.clone(), source: Box::new(source) })?;
            let saved = Saved { doc: doc(&source), source, script };
            if compiled.insert(name.clone(), saved).is_some() {
                return Err(Error::Setting { what: format!("two saved queries are called {name:?}") });
            }
        }
        Ok(Self(compiled))
    }
}

#[cfg(feature = "http")]
impl Queries {
    /// The query called `name`.
    ///
    /// # Errors
    ///
    /// There is none; the nearest name is proposed.
    pub(crate) fn get(&self, name: &str) -> Result<&Saved, lens_core::CallError> {
        self.0
            .get(name)
            .ok_or_else(|| lens_core::CallError::not_found("saved query", name, self.0.keys().map(String::as_str)))
    }

    /// All of them, in alphabetical order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Saved)> {
        self.0.iter().map(|(name, saved)| (name.as_str(), saved))
    }
}

/// The comment that a script begins with.
fn doc(source: &str) -> String {
    let comment = source.lines().map_while(|line| line.trim().strip_prefix('#'));
    comment.map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}
