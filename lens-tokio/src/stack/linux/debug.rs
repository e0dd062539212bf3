//! The symbols and line tables of loaded files. Separate because it is the only code that opens them: each file is mapped
//! once, when an address of it is asked for, and given back with the arena.
#![expect(unsafe_code, reason = "files are mapped, not read: line tables may be hundreds of megabytes")]

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use addr2line::Context;
use gimli::{EndianSlice, LittleEndian};
use memmap2::Mmap;
use object::{Object, ObjectSection, SymbolMap, SymbolMapName};

use super::LoadedFile;
use crate::stack::symbols::{self, Frame};

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// What the files' tables borrow from.
#[derive(Default)]
pub(crate) struct Arena {
    mapped: typed_arena::Arena<Mmap>,
    /// Sections that are compressed in the file.
    inflated: typed_arena::Arena<Vec<u8>>,
}

/// The files that addresses were asked of.
pub(crate) struct Files<'a> {
    arena: &'a Arena,
    open: Vec<(Arc<LoadedFile>, Option<Tables<'a>>)>,
}

struct Tables<'a> {
    lines: Context<Bytes<'a>>,
    symbols: SymbolMap<SymbolMapName<'a>>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(arena: &'a Arena) -> Self {
        Self { arena, open: Vec::new() }
    }

    /// A number for the file; 0 for code that is in none.
    pub(crate) fn index(&mut self, file: Option<&Arc<LoadedFile>>) -> usize {
        let Some(file) = file else { return 0 };
        // Two readers of stacks have the same file twice.
        let known = self.open.iter().position(|(open, _)| Arc::ptr_eq(open, file) || open == file);
        let index = known.unwrap_or_else(|| {
            let tables = open(self.arena, file);
            self.open.push((Arc::clone(file), tables));
            self.open.len() - 1
        });
        index + 1
    }

    /// The functions at `address` of the file with that number, innermost first: at least one.
    pub(crate) fn frames(&self, index: usize, address: u64) -> Vec<Frame> {
        let Some((file, tables)) = index.checked_sub(1).and_then(|index| self.open.get(index)) else {
            return vec![symbols::nameless(&format!("{address:#x}"))];
        };
        let found = tables.as_ref().map(|tables| tables.frames(address)).unwrap_or_default();
        if found.is_empty() { vec![symbols::nameless(&format!("{}+{address:#x}", file.name()))] } else { found }
    }
}

impl Tables<'_> {
    fn frames(&self, address: u64) -> Vec<Frame> {
        let symbol = self.symbols.containing(address).map(SymbolMapName::name);
        let directory = self.directory(address);
        let mut frames = Vec::new();
        if let Ok(mut found) = self.lines.find_frames(address).skip_all_loads() {
            while let Ok(Some(frame)) = found.next() {
                let function =
                    frame.function.as_ref().and_then(|function| Some(function.raw_name().ok()?.into_owned()));
                let place = frame.location.as_ref().and_then(|location| Some((location.file?, location.line?)));
                frames.push((function, place));
            }
        }
        // The outermost is the function that has the symbol; the others are inlined into it.
        match (frames.last_mut(), symbol) {
            (Some((function, _)), Some(symbol)) => *function = Some(symbol.to_owned()),
            (None, Some(symbol)) => frames.push((Some(symbol.to_owned()), None)),
            (_, None) => {}
        }
        frames
            .into_iter()
            .filter_map(|(function, place)| Some(symbols::frame(&function?, place, directory.as_deref())))
            .collect()
    }

    /// Where the compiler ran, which the paths of the service's own files begin with.
    fn directory(&self, address: u64) -> Option<String> {
        let unit = self.lines.find_dwarf_and_unit(address).skip_all_loads()?;
        Some(unit.comp_dir.as_ref()?.to_string_lossy().into_owned())
    }
}

fn open<'a>(arena: &'a Arena, file: &LoadedFile) -> Option<Tables<'a>> {
    let own = std::env::current_exe().ok();
    // The executable is there under this name even when its file was replaced.
    let path = if own
        .as_ref()
        .is_some_and(|own| own.as_os_str().as_encoded_bytes().starts_with(file.path.as_os_str().as_encoded_bytes()))
    {
        Path::new("/proc/self/exe")
    } else if file.is_deleted {
        return None;
    } else {
        &file.path
    };
    let opened = File::open(path).ok()?;
    // SAFETY: the file is one that this process runs from. Whoever writes into it, instead of replacing it, changes the
    // running code too; linkers and package managers replace.
    let mapped = arena.mapped.alloc(unsafe { Mmap::map(&opened) }.ok()?);
    let object = object::File::parse(&**mapped).ok()?;
    let section = |id: gimli::SectionId| -> Result<Bytes<'a>, gimli::Error> {
        let data = object.section_by_name(id.name()).and_then(|section| section.uncompressed_data().ok());
        let bytes: &'a [u8] = match data {
            Some(Cow::Borrowed(bytes)) => bytes,
            Some(Cow::Owned(bytes)) => arena.inflated.alloc(bytes),
            None => &[],
        };
        Ok(EndianSlice::new(bytes, LittleEndian))
    };
    let lines = Context::from_dwarf(gimli::Dwarf::load(section).ok()?).ok()?;
    Some(Tables { lines, symbols: object.symbol_map() })
}
