//! Messages over a pipe with a deadline: whatever the other end does, reading and writing end in time. Separate because
//! it is the only code that waits for the child.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// How long a wait lasts before the cancellation is looked at again.
const SLICE: Duration = Duration::from_millis(4);

/// How much is read or written at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Until when a query may go on, and whether anybody still waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience<'a> {
    pub(super) deadline: Instant,
    pub(super) is_cancelled: &'a AtomicBool,
}

/// Why a message did not come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is too late.
    Late,
    /// Nobody waits any more.
    Cancelled,
    /// The other end is gone, or says what no message is.
    Gone,
}

impl Patience<'_> {
    /// Waits until `pipe` can be read or written.
    fn wait(self, pipe: &impl AsFd, events: PollFlags) -> Result<(), Broken> {
        loop {
            if self.is_cancelled.load(Ordering::Relaxed) {
                return Err(Broken::Cancelled);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Broken::Late);
            }
            let slice = Timespec::try_from(left.min(SLICE)).map_err(|_| Broken::Late)?;
            match poll(&mut [PollFd::new(pipe, events)], Some(&slice)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(_) => return Err(Broken::Gone),
            }
        }
    }
}

/// Makes reads and writes return instead of waiting.
pub(super) fn never_block(pipe: &impl AsFd) -> rustix::io::Result<()> {
    fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)
}

pub(super) fn send(pipe: &mut (impl Write + AsFd), message: &[u8], patience: Patience<'_>) -> Result<(), Broken> {
    let length = u32::try_from(message.len()).map_err(|_| Broken::Gone)?;
    let head = length.to_le_bytes();
    for mut rest in [head.as_slice(), message] {
        while !rest.is_empty() {
            patience.wait(pipe, PollFlags::OUT)?;
            match pipe.write(&rest[..rest.len().min(CHUNK_BYTES)]) {
                Ok(0) => return Err(Broken::Gone),
                Ok(written) => rest = &rest[written..],
                Err(error) if is_passing(&error) => {}
                Err(_) => return Err(Broken::Gone),
            }
        }
    }
    Ok(())
}

pub(super) fn receive(pipe: &mut (impl Read + AsFd), most: usize, patience: Patience<'_>) -> Result<Vec<u8>, Broken> {
    let mut head = [0; 4];
    fill(pipe, &mut head, patience)?;
    let length = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    if length > most {
        return Err(Broken::Gone);
    }
    let mut message = Vec::new();
    // Memory is taken as it comes, not as it is announced.
    while message.len() < length {
        let start = message.len();
        message.resize((start + CHUNK_BYTES).min(length), 0);
        fill(pipe, &mut message[start..], patience)?;
    }
    Ok(message)
}

fn fill(pipe: &mut (impl Read + AsFd), mut buffer: &mut [u8], patience: Patience<'_>) -> Result<(), Broken> {
    while !buffer.is_empty() {
        patience.wait(pipe, PollFlags::IN)?;
        match pipe.read(buffer) {
            Ok(0) => return Err(Broken::Gone),
            Ok(read) => buffer = &mut buffer[read..],
            Err(error) if is_passing(&error) => {}
            Err(_) => return Err(Broken::Gone),
        }
    }
    Ok(())
}

fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted)
}
