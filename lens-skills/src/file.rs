//! Reads the kernel's small text files. Separate because two skills read dozens of them every second, into one buffer
//! that is kept.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use lens_core::{Reading, Unavailable};

/// The most that is read of one file; nothing that is read here comes near.
const MAX_FILE_BYTES: usize = 16 << 20;

/// A buffer that grows to the largest file and then stays.
#[derive(Debug)]
pub(crate) struct Files {
    buffer: Vec<u8>,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 4096] }
    }

    /// The text of a file, or `None` if there is no such file. Files with names in any encoding are for
    /// [`lossy`](Self::lossy).
    pub(crate) fn read_if_there(&mut self, path: impl AsRef<Path>) -> Reading<Option<&str>> {
        let path = path.as_ref();
        match self.fill(path)? {
            None => Ok(None),
            Some(len) => std::str::from_utf8(&self.buffer[..len])
                .map(Some)
                .map_err(|_| Unavailable::failed(format!("{} is no text", path.display()))),
        }
    }

    /// The text of a file.
    pub(crate) fn read(&mut self, path: impl AsRef<Path>) -> Reading<&str> {
        let path = path.as_ref();
        match self.read_if_there(path)? {
            Some(text) => Ok(text),
            None => Err(Unavailable::failed(format!("there is no {} on this system", path.display()))),
        }
    }

    /// The text of a file in which names may be in any encoding.
    pub(crate) fn lossy(&mut self, path: impl AsRef<Path>) -> Reading<String> {
        let path = path.as_ref();
        match self.fill(path)? {
            Some(len) => Ok(String::from_utf8_lossy(&self.buffer[..len]).into_owned()),
            None => Err(Unavailable::failed(format!("there is no {} on this system", path.display()))),
        }
    }

    /// How many lines a file has. Long files don't make the buffer grow.
    pub(crate) fn count_lines(&mut self, path: impl AsRef<Path>) -> Reading<u64> {
        let path = path.as_ref();
        let failed = |error: std::io::Error| Unavailable::failed(format!("{} cannot be read: {error}", path.display()));
        let mut file = File::open(path).map_err(failed)?;
        let mut lines = 0;
        loop {
            match file.read(&mut self.buffer) {
                Ok(0) => return Ok(lines),
                Ok(read) => lines += self.buffer[..read].iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Bytes that the buffer takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Reads the file from the start of the buffer and gives its length; `None` if there is no such file.
    fn fill(&mut self, path: &Path) -> Reading<Option<usize>> {
        let failed = |error: std::io::Error| Unavailable::failed(format!("{} cannot be read: {error}", path.display()));
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut len = 0;
        loop {
            if len == self.buffer.len() {
                if len >= MAX_FILE_BYTES {
                    return Err(Unavailable::failed(format!("{} is larger than expected", path.display())));
                }
                self.buffer.resize(len * 2, 0);
            }
            match file.read(&mut self.buffer[len..]) {
                Ok(0) => return Ok(Some(len)),
                Ok(read) => len += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A thread or a cgroup that ended between open and read.
                Err(error) if error.raw_os_error().is_some_and(is_gone) => return Ok(None),
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// `ESRCH` of a thread's file and `ENODEV` of a cgroup's say that their subject ended meanwhile.
fn is_gone(errno: i32) -> bool {
    errno == libc::ESRCH || errno == libc::ENODEV
}
