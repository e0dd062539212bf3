//! Why lens did not start. Separate because it is all that a service sees go wrong: once started, lens reports what is
//! wrong with itself in its answers.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use lens_core::sandbox::QueryError;

/// Why [`Builder::start`](crate::Builder::start) refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// lens runs already. One is enough: it sees all runtimes of the process.
    #[error("lens is already running in this process; keep the `Lens` of the first start and use that")]
    AlreadyRunning,
    /// The address cannot be listened on.
    #[error("lens cannot listen on {address}; choose another with `Builder::address`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// A skill cannot be added, or one of lens's threads cannot be started.
    #[error(transparent)]
    Core(#[from] lens_core::Error),
    /// A saved query is wrong.
    #[error("the saved query {name:?} is wrong")]
    Query {
        /// Its name.
        name: String,
        /// What is wrong, and where.
        source: Box<QueryError>,
    },
    /// The file of a saved query cannot be read.
    #[error("the saved query {name:?} cannot be read from {}", path.display())]
    QueryFile {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A setting of the language models is wrong (feature `llm`).
    #[error("the model's settings are wrong: {field}: {what}")]
    Model {
        /// Which, and where it stands.
        field: String,
        /// What is wrong, and what is right.
        what: String,
    },
    /// The file with the settings of the language models cannot be read (feature `llm`).
    #[error("the model's settings cannot be read from {}", path.display())]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process's console server cannot be read.
    #[error("{reason}")]
    Console {
        /// Why, with its address.
        reason: lens_core::Unavailable,
    },
    /// A setting makes no sense.
    #[error("{what}")]
    Setting {
        /// What is wrong and what is right.
        what: String,
    },
}
