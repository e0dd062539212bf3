//! What the kernel says of the process's memory. Separate because it is read without the allocator, and is all that is
//! known where the allocator is not jemalloc.

use std::fs::File;
use std::io::Read;

use serde::{Deserialize, Serialize};

use lens_core::{Reading, Unavailable};

/// The process's memory by kind, as the kernel counts it page by page.
///
/// # Source
///
/// `/proc/self/status`, and `/proc/self/smaps_rollup` for what only it tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMemory {
    /// Bytes in memory: anonymous, file-backed and shared.
    pub rss_bytes: u64,
    /// Of them, those that nothing but the process keeps: heaps, stacks, anonymous mappings.
    pub anonymous_bytes: u64,
    /// Of them, those read from files: the program itself, libraries, mapped files.
    pub file_bytes: u64,
    /// Of them, those shared with other processes.
    pub shared_bytes: u64,
    /// Bytes that were swapped out.
    pub swap_bytes: u64,
    /// Threads.
    pub thread_count: u64,
    /// What takes the kernel a walk over all pages.
    pub walked: Reading<WalkedMemory>,
}

/// What `/proc/self/smaps_rollup` adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkedMemory {
    /// Bytes that were marked as free with `MADV_FREE` and are still in memory.
    pub lazy_free_bytes: u64,
    /// Anonymous bytes in huge pages.
    pub huge_page_bytes: u64,
}

/// The heap of the C library's allocator: all of Rust's where no other allocator is set, else that of C code.
///
/// # Source
///
/// [`mallinfo2`](https://man7.org/linux/man-pages/man3/mallinfo.3.html): its `arena`, `hblkhd`, `uordblks` and `fordblks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CHeap {
    /// Bytes that it took from the kernel.
    pub held_bytes: u64,
    /// Bytes that were handed out.
    pub used_bytes: u64,
    /// Bytes in free chunks, which it keeps.
    pub free_bytes: u64,
}

impl ProcessMemory {
    /// Reads both files. The second costs the kernel some 10 ms for each GiB in memory: for lens's own threads, and not
    /// every second.
    pub(crate) fn read() -> Reading<Self> {
        let mut memory = Self::read_status()?;
        memory.walked = read_walked();
        Ok(memory)
    }

    /// Reads the first file, without the walk and without allocating.
    pub(crate) fn read_status() -> Reading<Self> {
        let mut buffer = [0; BUFFER_BYTES];
        let fields = Fields::read("/proc/self/status", &mut buffer)?;
        Ok(Self {
            rss_bytes: fields.bytes("VmRSS")?,
            anonymous_bytes: fields.bytes("RssAnon")?,
            file_bytes: fields.bytes("RssFile")?,
            shared_bytes: fields.bytes("RssShmem")?,
            swap_bytes: fields.bytes("VmSwap")?,
            thread_count: fields.number("Threads")?,
            walked: Err(Unavailable::NotYet { until: std::borrow::Cow::Borrowed("the skill is collected") }),
        })
    }
}

fn read_walked() -> Reading<WalkedMemory> {
    let mut buffer = [0; BUFFER_BYTES];
    let fields = Fields::read("/proc/self/smaps_rollup", &mut buffer)?;
    Ok(WalkedMemory { lazy_free_bytes: fields.bytes("LazyFree")?, huge_page_bytes: fields.bytes("AnonHugePages")? })
}

/// Either file has some 1.5 KiB.
const BUFFER_BYTES: usize = 8192;

/// A file of the kernel's, of lines like `VmRSS:     1234 kB`.
struct Fields<'a> {
    path: &'static str,
    text: &'a str,
}

impl<'a> Fields<'a> {
    fn read(path: &'static str, buffer: &'a mut [u8]) -> Reading<Self> {
        let unreadable = |why: &dyn std::fmt::Display| {
            if cfg!(target_os = "linux") {
                Unavailable::failed(format!("`{path}` cannot be read: {why}"))
            } else {
                Unavailable::UnsupportedPlatform { needs: path.into() }
            }
        };
        let mut file = File::open(path).map_err(|error| unreadable(&error))?;
        let mut len = 0;
        loop {
            match file.read(&mut buffer[len..]) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
        let text = std::str::from_utf8(&buffer[..len]).map_err(|error| unreadable(&error))?;
        Ok(Self { path, text })
    }

    fn bytes(&self, name: &'static str) -> Reading<u64> {
        const KIB: u64 = 1024;
        self.number(name).map(|kib| kib * KIB)
    }

    fn number(&self, name: &'static str) -> Reading<u64> {
        let value = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| Unavailable::failed(format!("`{}` has no number `{name}`", self.path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_memory_add_up_to_what_is_in_memory() {
        let memory = ProcessMemory::read().unwrap();
        assert_eq!(memory.rss_bytes, memory.anonymous_bytes + memory.file_bytes + memory.shared_bytes);
        assert!(memory.thread_count >= 1);
        assert!(memory.walked.unwrap().huge_page_bytes <= memory.rss_bytes);
    }

    #[test]
    fn a_missing_field_is_named() {
        let fields = Fields { path: "/proc/self/status", text: "VmRSS:\t    12 kB\nVmRSSx: 3\n" };
        assert_eq!(fields.bytes("VmRSS").unwrap(), 12_288);
        assert_eq!(fields.number("RssAnon").unwrap_err().to_string(), "`/proc/self/status` has no number `RssAnon`");
    }
}
