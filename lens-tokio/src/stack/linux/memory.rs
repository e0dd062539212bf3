//! Reads this process's memory through the kernel. Separate because everything that looks at another thread's stack or at
//! a module's tables goes through it: an address that is not mapped, or not any more, is an error and never a fault.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// `/proc/self/mem`.
#[derive(Debug)]
pub(crate) struct Memory(File);

impl Memory {
    /// # Errors
    ///
    /// `/proc` is not mounted, or the process may not read it (it is not dumpable).
    pub(crate) fn open() -> io::Result<Self> {
        File::open("/proc/self/mem").map(Self)
    }

    /// Copies what is mapped from `address` on, and gives how many bytes that was.
    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        while done < into.len() {
            let Some(at) = address.checked_add(done as u64) else { break };
            match self.0.read_at(&mut into[done..], at) {
                Ok(read) if read > 0 => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        done
    }

    /// Copies `len` bytes; `None` unless all of them are mapped.
    pub(crate) fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        (self.read(address, &mut bytes) == len).then_some(bytes)
    }
}

/// A copy of part of a stack, from the stack pointer on, that grows as far as it is read.
#[derive(Debug)]
pub(crate) struct StackCopy<'a> {
    memory: Option<&'a Memory>,
    base: u64,
    bytes: Vec<u8>,
}

/// How much of a stack is copied at once.
const CHUNK: usize = 16 * 1024;

/// How much of a stack is copied at most: deeper frames are left out.
const MAX_STACK: usize = 1024 * 1024;

impl<'a> StackCopy<'a> {
    /// Reads from `memory` when asked. `buffer` is only there to be used again.
    pub(crate) fn lazy(memory: &'a Memory, base: u64, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { memory: Some(memory), base, bytes: buffer }
    }

    /// What was copied already.
    pub(crate) fn whole(base: u64, bytes: Vec<u8>) -> Self {
        Self { memory: None, base, bytes }
    }

    /// The word at `address`, if it is on the stack above the stack pointer.
    pub(crate) fn word(&mut self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.base)?).ok()?;
        let end = offset.checked_add(8)?;
        if end > self.bytes.len() {
            self.grow(end)?;
        }
        let word = self.bytes.get(offset..end)?;
        Some(u64::from_le_bytes(word.try_into().ok()?))
    }

    fn grow(&mut self, end: usize) -> Option<()> {
        let memory = self.memory?;
        if end > MAX_STACK {
            return None;
        }
        let from = self.bytes.len();
        self.bytes.resize(end.next_multiple_of(CHUNK), 0);
        let read = memory.read(self.base + from as u64, &mut self.bytes[from..]);
        self.bytes.truncate(from + read);
        if from + read < end {
            // The stack ends here.
            self.memory = None;
        }
        Some(())
    }

    /// The buffer, for the next copy.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmapped_memory_is_an_error() {
        let memory = Memory::open().unwrap();
        assert_eq!(memory.read(0, &mut [0; 8]), 0);
        assert_eq!(memory.read(u64::MAX - 3, &mut [0; 8]), 0);
        let own = [7_u8; 64];
        assert_eq!(memory.bytes(own.as_ptr() as u64, 64), Some(vec![7; 64]));
    }

    #[test]
    fn a_copy_ends_where_the_stack_ends() {
        let memory = Memory::open().unwrap();
        let words: Vec<u64> = (0..CHUNK as u64).collect();
        let base = words.as_ptr() as u64;
        let mut copy = StackCopy::lazy(&memory, base, Vec::new());
        assert_eq!(copy.word(base), Some(0));
        assert_eq!(copy.word(base + 8 * 3000), Some(3000));
        assert_eq!(copy.word(base - 8), None);
        assert_eq!(copy.word(base + MAX_STACK as u64), None);

        let mut copy = StackCopy::whole(64, vec![1, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(copy.word(64), Some(1));
        assert_eq!(copy.word(72), None);
    }
}
