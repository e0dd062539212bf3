//! Where a provider's key comes from. Separate because a key must not be seen, and this is all that touches it.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// The part of a key's file that is read.
const MAX_FILE_BYTES: u64 = 64 << 10;

type Giving = Pin<Box<dyn Future<Output = Result<SecretString, String>> + Send>>;

/// A provider's key, or the way to it. Neither `Debug` nor an error shows it.
#[derive(Clone)]
pub struct Key(Source);

#[derive(Clone)]
enum Source {
    Value(SecretString),
    Variable(String),
    File {
        path: PathBuf,
        /// Held by whoever reads it: a file system that hangs costs one thread, not one for each call.
        place: Arc<Semaphore>,
    },
    Function(Arc<dyn Fn() -> Giving + Send + Sync>),
}

impl Key {
    /// This key.
    #[must_use]
    pub fn value(key: impl Into<String>) -> Self {
        Self(Source::Value(SecretString::from(key.into())))
    }

    /// The value of an environment variable, when the settings are built.
    #[must_use]
    pub fn variable(name: impl Into<String>) -> Self {
        Self(Source::Variable(name.into()))
    }

    /// The first line of a file, read when the settings are built, and again at each call, so that something else can renew
    /// it: on a thread for what blocks, so that a file system that hangs costs the call and nothing else.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File { path: path.into(), place: Arc::new(Semaphore::new(1)) })
    }

    /// What `give` gives, asked at each call on lens's own thread: for access tokens that expire. An error is told as
    /// [`Unauthorized`](lens_core::model::ErrorClass::Unauthorized).
    #[must_use]
    pub fn function<F>(give: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<SecretString, String>> + Send + 'static,
    {
        Self(Source::Function(Arc::new(move || Box::pin(give()))))
    }

    /// The key with its variable read, or what is missing.
    pub(super) fn resolved(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let key = match self.0 {
            Source::Variable(name) => match variable(&name).filter(|value| !value.trim().is_empty()) {
                Some(value) => Self::value(value.trim()),
                None => return Err(format!("the environment variable {name} is not set")),
            },
            source => Self(source),
        };
        match &key.0 {
            Source::Value(value) if !is_sendable(value.expose_secret()) => {
                Err("the key is empty or has letters that cannot be sent in a header".to_owned())
            }
            Source::File { path, .. } => read_file(path).map(|_| key),
            _ => Ok(key),
        }
    }

    /// The key itself.
    pub(super) async fn secret(&self) -> Result<SecretString, String> {
        let secret = match &self.0 {
            Source::Value(value) => return Ok(value.clone()),
            Source::Variable(name) => return Err(format!("the environment variable {name} was not read")),
            Source::File { path, place } => {
                let ended = |_| "lens has stopped".to_owned();
                let place = Arc::clone(place).acquire_owned().await.map_err(ended)?;
                let path = path.clone();
                let reading = tokio::task::spawn_blocking(move || {
                    let _place = place;
                    read_file(&path)
                });
                reading.await.map_err(|_| "the thread that reads its file has ended".to_owned())??
            }
            Source::Function(give) => give().await?,
        };
        match is_sendable(secret.expose_secret()) {
            true => Ok(secret),
            false => Err("the key is empty or has letters that cannot be sent in a header".to_owned()),
        }
    }
}

/// The key in a file; the calling thread waits.
fn read_file(path: &Path) -> Result<SecretString, String> {
    let shown = path.display();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
        .map_err(|error| format!("the key's file {shown}: {error}"))?;
    let line = text.lines().next().unwrap_or_default().trim();
    match is_sendable(line) {
        true => Ok(SecretString::from(line)),
        false => Err(format!("the first line of the key's file {shown} is no key")),
    }
}

fn is_sendable(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Value(_) => f.write_str("Key([redacted])"),
            Source::Variable(name) => write!(f, "Key(${name})"),
            Source::File { path, .. } => write!(f, "Key({})", path.display()),
            Source::Function(_) => f.write_str("Key(function)"),
        }
    }
}
