//! The executable and the libraries that are loaded: where their code is, and the tables that say how to unwind it.
//! Separate because it is read once and again only when code appears that nobody knows.
//!
//! Everything is read from `/proc/self/maps` and from memory, never by asking the dynamic linker, whose lock the
//! service's threads take too. What is read is copied: a library may be unloaded at any time.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::super::MAX_TABLES_BYTES;
use super::memory::Memory;
use super::{Address, LoadedFile};

/// A loaded file's code.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) file: Arc<LoadedFile>,
    /// Where its executable segments are.
    pub(crate) code: Vec<Range<u64>>,
    pub(crate) tables: Option<Tables>,
}

/// `.eh_frame_hdr` and `.eh_frame`, with the addresses that they have in memory.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) index: Section,
    pub(crate) frames: Section,
}

#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) address: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Module {
    pub(crate) fn contains(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }

    pub(crate) fn tables_bytes(&self) -> usize {
        self.tables.as_ref().map_or(0, |tables| tables.index.bytes.len() + tables.frames.bytes.len())
    }
}

/// Reads what is loaded now. A file that was loaded `before`, too, is the same one then and now.
pub(crate) fn read(memory: &Memory, before: &[Module]) -> io::Result<Vec<Module>> {
    read_with(memory, before, MAX_TABLES_BYTES)
}

/// Reads where the code of what is loaded now is, without the tables.
pub(crate) fn read_code(memory: &Memory, before: &[Module]) -> io::Result<Vec<Module>> {
    read_with(memory, before, 0)
}

/// Where `address` is in the files of `modules`.
pub(crate) fn address(modules: &[Module], address: u64) -> Address {
    let module = modules.iter().find(|module| module.contains(address));
    let address = address.wrapping_sub(module.map_or(0, |module| module.file.bias));
    Address { file: module.map(|module| Arc::clone(&module.file)), address }
}

fn read_with(memory: &Memory, before: &[Module], tables_bytes: usize) -> io::Result<Vec<Module>> {
    let maps = std::fs::read("/proc/self/maps")?;
    let maps = String::from_utf8_lossy(&maps);
    let maps: Vec<_> = maps.lines().filter_map(Mapping::parse).collect();
    // A file that is only mapped to be read, as lens itself does with line tables, begins alike.
    let is_executable = |address: u64| maps.iter().any(|map| map.is_executable && map.range.contains(&address));
    let mut modules = Vec::new();
    let mut left = tables_bytes;
    for map in &maps {
        // A loaded file begins with its header, mapped from offset 0; other mappings of it follow.
        if map.offset == 0
            && map.is_readable
            && let Some(mut module) = module(memory, map, is_executable, &mut left)
        {
            if let Some(same) = before.iter().find(|before| before.file == module.file) {
                module.file = Arc::clone(&same.file);
            }
            modules.push(module);
        }
    }
    Ok(modules)
}

struct Mapping<'a> {
    range: Range<u64>,
    offset: u64,
    is_readable: bool,
    is_executable: bool,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    /// `7f00-7f01 r-xp 00000000 fe:00 1234    /usr/lib/libc.so.6`
    fn parse(line: &'a str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let (permissions, rest) = rest.split_once(' ')?;
        let (offset, rest) = rest.split_once(' ')?;
        let path = rest.splitn(3, ' ').nth(2)?.trim_start();
        if !path.starts_with('/') && path != "[vdso]" {
            return None;
        }
        Some(Self {
            range: u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?,
            offset: u64::from_str_radix(offset, 16).ok()?,
            is_readable: permissions.starts_with('r'),
            is_executable: permissions.contains('x'),
            path,
        })
    }
}

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PF_X: u32 = 1;

/// One entry of the program headers.
struct Segment {
    kind: u32,
    flags: u32,
    address: u64,
    file_len: u64,
    len: u64,
}

fn module(memory: &Memory, map: &Mapping<'_>, is_executable: impl Fn(u64) -> bool, left: &mut usize) -> Option<Module> {
    let start = map.range.start;
    let header = memory.bytes(start, HEADER)?;
    // A 64-bit little-endian file; `e_type` says that it is an executable or a library.
    if !header.starts_with(b"\x7fELF\x02\x01") || !matches!(half(&header, 16)?, 2 | 3) {
        return None;
    }
    let segments = segments(memory, start, &header)?;
    let first = segments.iter().find(|segment| segment.kind == PT_LOAD)?;
    let bias = start.wrapping_sub(first.address & !0xfff);
    let code: Vec<Range<u64>> = segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD && segment.flags & PF_X != 0)
        .map(|segment| segment.range(bias))
        .collect();
    if !code.iter().any(|range| is_executable(range.start)) {
        return None;
    }
    let tables = tables(memory, bias, &segments, *left);
    let (path, is_deleted) = match map.path.strip_suffix(" (deleted)") {
        Some(path) => (path, true),
        None => (map.path, false),
    };
    let module =
        Module { file: Arc::new(LoadedFile { path: Path::new(path).to_owned(), is_deleted, bias }), code, tables };
    *left = left.saturating_sub(module.tables_bytes());
    Some(module)
}

impl Segment {
    fn range(&self, bias: u64) -> Range<u64> {
        let start = bias.wrapping_add(self.address);
        start..start.wrapping_add(self.len)
    }
}

fn segments(memory: &Memory, start: u64, header: &[u8]) -> Option<Vec<Segment>> {
    const MOST: usize = 128;
    let offset = long(header, 32)?;
    let count = usize::from(half(header, 56)?);
    if usize::from(half(header, 54)?) != PROGRAM_HEADER || count > MOST {
        return None;
    }
    let bytes = memory.bytes(start.checked_add(offset)?, count * PROGRAM_HEADER)?;
    bytes
        .chunks_exact(PROGRAM_HEADER)
        .map(|entry| {
            Some(Segment {
                kind: word(entry, 0)?,
                flags: word(entry, 4)?,
                address: long(entry, 16)?,
                file_len: long(entry, 32)?,
                len: long(entry, 40)?,
            })
        })
        .collect()
}

fn tables(memory: &Memory, bias: u64, segments: &[Segment], left: usize) -> Option<Tables> {
    let index = segments.iter().find(|segment| segment.kind == PT_GNU_EH_FRAME)?;
    let address = bias.wrapping_add(index.address);
    let len = usize::try_from(index.file_len).ok().filter(|&len| len <= left)?;
    let index = Section { address, bytes: memory.bytes(address, len)? };

    let frames = super::unwind::frames_address(&index)?;
    let segment =
        segments.iter().find(|segment| segment.kind == PT_LOAD && segment.range(bias).contains(&frames))?.range(bias);
    let most = usize::try_from(segment.end - frames).ok()?.min(left - len);
    Some(Tables { index, frames: Section { address: frames, bytes: copy_frames(memory, frames, most)? } })
}

/// Copies `.eh_frame`: its length is written nowhere, but every entry says its own, and the last one is 0. Where that
/// one is missing, what follows is taken for entries until it cannot be one; nothing refers to those.
fn copy_frames(memory: &Memory, address: u64, most: usize) -> Option<Vec<u8>> {
    const CHUNK: usize = 256 * 1024;
    let mut bytes = Vec::new();
    let mut end = 0;
    loop {
        if end + 4 > bytes.len() {
            let from = bytes.len();
            let to = (end + 4).next_multiple_of(CHUNK).min(most);
            if end + 4 > most {
                break;
            }
            bytes.resize(to, 0);
            if memory.read(address + from as u64, &mut bytes[from..]) < to - from {
                return None;
            }
        }
        match word(&bytes, end)? {
            0 => {
                end += 4;
                break;
            }
            // A length of 64 bits: nobody writes 4 GiB of tables.
            u32::MAX => break,
            len => match end + 4 + len as usize {
                past if past > most => break,
                past => end = past,
            },
        }
    }
    bytes.truncate(end);
    bytes.shrink_to_fit();
    Some(bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_the_libraries_and_the_vdso_are_found_with_their_tables() {
        let memory = Memory::open().unwrap();
        let modules = read(&memory, &[]).unwrap();
        let here = the_executable_the_libraries_and_the_vdso_are_found_with_their_tables as fn() as usize as u64;
        let own = modules.iter().find(|module| module.contains(here)).unwrap();
        assert_eq!(own.file.path, std::env::current_exe().unwrap());
        assert!(modules.iter().any(|module| module.file.name().starts_with("libc.so")));
        assert!(modules.iter().any(|module| module.file.name() == "[vdso]"));
        for module in &modules {
            assert!(module.tables.is_some(), "{} should have tables", module.file.name());
        }
    }

    #[test]
    fn a_file_that_is_only_mapped_to_be_read_is_not_loaded() {
        let path = std::env::current_exe().unwrap();
        let file = std::fs::File::open(&path).unwrap();
        // SAFETY: a running executable is not written to.
        #[expect(unsafe_code, reason = "that is how lens maps line tables")]
        let mapped = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        let modules = read(&Memory::open().unwrap(), &[]).unwrap();
        assert_eq!(modules.iter().filter(|module| module.file.path == path).count(), 1);
        drop(mapped);
    }

    #[test]
    fn a_replaced_file_and_an_anonymous_mapping_are_told_apart() {
        let line = "7f0000001000-7f0000002000 r--p 00000000 fe:00 42                        /opt/a b.so (deleted)";
        assert_eq!(Mapping::parse(line).unwrap().path, "/opt/a b.so (deleted)");
        assert!(Mapping::parse("7f0000001000-7f0000002000 rw-p 00000000 00:00 0 ").is_none());
        assert!(Mapping::parse("7f0000001000-7f0000002000 rw-p 00000000 00:00 0   [heap]").is_none());
    }
}
