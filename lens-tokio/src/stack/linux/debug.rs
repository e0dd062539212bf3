//! The symbols and line tables of loaded files. Separate because it is the only code that opens them: each file is mapped
//! once, when an address of it is asked for, and given back with the arena.
#![expect(unsafe_code, reason = "files are mapped, not read: line tables may be hundreds of megabytes")]

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use addr2line::Context;
use gimli::{EndianSlice, LittleEndian, UnitOffset};
use lens_core::place::is_standard;
use lens_core::{Reading, Unavailable};
use memmap2::Mmap;
use object::{CompressionFormat, Object, ObjectSection, SymbolMap, SymbolMapName};

use super::{Loaded, LoadedFile};
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

/// A function at an address.
struct Function<'a> {
    name: Option<String>,
    /// Its entry in the debug information. Wherever it is inlined, it has another.
    entry: Option<UnitOffset>,
    /// The file and line that runs or that called.
    place: Option<(&'a str, u32)>,
}

impl Function<'_> {
    /// Whether it is the same one, and inlined at the same place.
    fn is(&self, other: &Self) -> bool {
        self.entry.is_some() && (self.entry, &self.name) == (other.entry, &other.name)
    }
}

impl<'a> Files<'a> {
    pub(crate) fn new(arena: &'a Arena) -> Self {
        Self { arena, open: Vec::new() }
    }

    /// Whether no file was asked for.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
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

    /// Whether what it says of the file with that number stays true: it could be read, and is the executable, which is never
    /// unloaded or written to.
    pub(crate) fn is_lasting(&self, index: usize) -> bool {
        let file = index.checked_sub(1).and_then(|index| self.open.get(index));
        file.is_some_and(|(file, tables)| tables.is_some() && is_executable(file))
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
        let mut functions = self.functions(address);
        self.find_missing_lines(address, &mut functions);
        // The outermost is the function that has the symbol; the others are inlined into it.
        match (functions.last_mut(), symbol) {
            (Some(function), Some(symbol)) => function.name = Some(symbol.to_owned()),
            (None, Some(symbol)) => {
                functions.push(Function { name: Some(symbol.to_owned()), entry: None, place: None });
            }
            (_, None) => {}
        }
        functions
            .into_iter()
            .filter_map(|function| Some(symbols::frame(&function.name?, function.place, directory.as_deref())))
            .collect()
    }

    /// The functions at `address`, innermost first.
    fn functions(&self, address: u64) -> Vec<Function<'_>> {
        let mut functions = Vec::new();
        if let Ok(mut found) = self.lines.find_frames(address).skip_all_loads() {
            while let Ok(Some(frame)) = found.next() {
                functions.push(Function {
                    name: frame.function.and_then(|function| Some(function.raw_name().ok()?.into_owned())),
                    entry: frame.dw_die_offset,
                    place: frame.location.and_then(|location| Some((location.file?, location.line?))),
                });
            }
        }
        functions
    }

    /// Gives functions without a line that of the nearest instruction before, or else after, that is in the same function:
    /// compilers put some instructions down to none, such as those that move a value between memory and a register.
    fn find_missing_lines<'t>(&'t self, address: u64, functions: &mut [Function<'t>]) {
        /// How far is near.
        const BYTES: u64 = 4096;
        const ROWS: usize = 64;
        let is_found = |functions: &[Function<'t>]| functions.iter().all(|function| function.place.is_some());
        if is_found(functions) {
            return;
        }
        let starts = |from: u64, to: u64| {
            let rows = self.lines.find_location_range(from, to).into_iter().flatten();
            rows.map(|(start, _, _)| start).collect::<Vec<u64>>()
        };
        let before = starts(address.saturating_sub(BYTES), address.saturating_add(1));
        let after = starts(address, address.saturating_add(BYTES));
        let nearest: [&mut dyn Iterator<Item = u64>; 2] = [&mut before.into_iter().rev(), &mut after.into_iter()];
        for starts in nearest {
            for start in starts.take(ROWS) {
                let near = self.functions(start);
                if !functions.last().zip(near.last()).is_some_and(|(function, near)| function.is(near)) {
                    break;
                }
                for (function, near) in functions.iter_mut().rev().zip(near.iter().rev()) {
                    if !function.is(near) {
                        break;
                    }
                    function.place = function.place.or(near.place);
                }
                if is_found(functions) {
                    return;
                }
            }
        }
    }

    /// Where the compiler ran, which the paths of the service's own files begin with.
    fn directory(&self, address: u64) -> Option<String> {
        let unit = self.lines.find_dwarf_and_unit(address).skip_all_loads()?;
        Some(unit.comp_dir.as_ref()?.to_string_lossy().into_owned())
    }
}

fn open<'a>(arena: &'a Arena, file: &LoadedFile) -> Option<Tables<'a>> {
    let object = map(arena, path_of(file)?)?;
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

/// Where the file is, if it is there.
fn path_of(file: &LoadedFile) -> Option<&Path> {
    match is_executable(file) {
        // It is there under this name even when its file was replaced.
        true => Some(Path::new("/proc/self/exe")),
        false => (!file.is_deleted).then_some(&file.path),
    }
}

fn is_executable(file: &LoadedFile) -> bool {
    // The name of one that was replaced has a remark at its end.
    let path = file.path.as_os_str().as_encoded_bytes();
    std::env::current_exe().is_ok_and(|own| own.as_os_str().as_encoded_bytes().starts_with(path))
}

fn map<'a>(arena: &'a Arena, path: &Path) -> Option<object::File<'a>> {
    let opened = File::open(path).ok()?;
    // SAFETY: the file is one that this process runs from. Whoever writes into it, instead of replacing it, changes the
    // running code too; linkers and package managers replace.
    let mapped = arena.mapped.alloc(unsafe { Mmap::map(&opened) }.ok()?);
    object::File::parse(&**mapped).ok()
}

/// Whether the file that lens is in, which is the service's, has lines of other code than the standard library's, which
/// comes with its own.
///
/// Cost: two or three milliseconds, most of them for finding the file among those that are loaded.
///
/// # Errors
///
/// It has none; the reason says how to get them. Where that cannot be told, it may.
pub(crate) fn has_lines() -> Reading<()> {
    let arena = Arena::default();
    let own = Loaded::default().locate(&[has_lines as fn() -> Reading<()> as usize as u64]);
    let file = own.ok().and_then(|own| own.into_iter().next()?.file);
    let object = file.and_then(|file| map(&arena, path_of(&file)?));
    match object.and_then(|object| has_lines_in(&object)) {
        Some(true) | None => Ok(()),
        Some(false) => Err(Unavailable::NotCompiledIn {
            what: "the line table of the service's own code".into(),
            fix: "set debug = \"line-tables-only\" in the profile that the service is built with, and do not strip it"
                .into(),
        }),
    }
}

/// The same of a file; `None` where it would have to be unpacked.
fn has_lines_in(object: &object::File<'_>) -> Option<bool> {
    let section = |id: gimli::SectionId| {
        let section = object.section_by_name(id.name());
        let is_packed = |section: &object::Section<'_, '_>| {
            section.compressed_file_range().is_ok_and(|range| range.format != CompressionFormat::None)
        };
        if section.as_ref().is_some_and(is_packed) {
            return Err(());
        }
        let bytes = section.and_then(|section| section.data().ok()).unwrap_or_default();
        Ok(EndianSlice::new(bytes, LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(section).ok()?;
    let mut units = dwarf.units();
    while let Some(header) = units.next().ok()? {
        let unit = dwarf.unit(header).ok()?;
        let name = unit.name.map(|name| name.to_string_lossy());
        let directory = unit.comp_dir.map(|directory| directory.to_string_lossy());
        // Of a unit whose other part is in a file of its own, the name is there.
        let is_rust = unit.dwo_id.is_some() || name.as_ref().is_some_and(|name| name.contains(".rs/"));
        if is_rust && ![name, directory].into_iter().flatten().any(|path| is_standard(&path)) {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// The lines between which it is.
    #[inline(never)]
    fn spins(ended: &AtomicBool) -> RangeInclusive<u32> {
        let first = line!();
        while !ended.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        first - 2..=line!() + 1
    }

    #[test]
    fn each_instruction_is_of_a_line_of_its_function() {
        let located = Loaded::default().locate(&[spins as fn(&AtomicBool) -> RangeInclusive<u32> as usize as u64]);
        let start = &located.unwrap()[0];
        let arena = Arena::default();
        let tables = open(&arena, start.file.as_ref().unwrap()).unwrap();
        let own = concat!(module_path!(), "::spins");
        let lines = spins(&AtomicBool::new(true));
        let (mut seen, mut without_line) = (0, 0);
        for address in start.address.. {
            let frames = tables.frames(address);
            let Some(outermost) = frames.last().filter(|frame| frame.function == own) else { break };
            let (file, line) = outermost.place.as_ref().unwrap().rsplit_once(':').unwrap();
            assert_eq!(file, file!());
            assert!(lines.contains(&line.parse().unwrap()), "{address:#x}: {line}");
            seen += 1;
            without_line += usize::from(tables.functions(address).iter().any(|function| function.place.is_none()));
        }
        assert!(seen > 0);
        // Where nothing is optimized, the value that the loop looks at is moved to memory and back.
        assert!(without_line > 0 || !cfg!(debug_assertions));
    }

    #[test]
    fn a_function_that_is_inlined_elsewhere_is_another() {
        let of = |entry: Option<usize>, name: &str| Function {
            name: Some(name.to_owned()),
            entry: entry.map(UnitOffset),
            place: None,
        };
        assert!(of(Some(1), "a").is(&of(Some(1), "a")));
        assert!(!of(Some(1), "a").is(&of(Some(2), "a")), "it is inlined at another place");
        assert!(!of(Some(1), "a").is(&of(Some(1), "b")), "it is of another unit");
        assert!(!of(None, "a").is(&of(None, "a")), "it is not known");
    }

    #[test]
    fn a_program_without_lines_of_its_own_is_told() {
        assert_eq!(has_lines(), Ok(()));
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("program.rs");
        let program = directory.path().join("program");
        std::fs::write(&source, "fn main() {}").unwrap();
        for (arguments, expected) in [
            (&["-Cdebuginfo=0"][..], Some(false)),
            (&["-Cdebuginfo=2", "-Cstrip=symbols"], Some(false)),
            (&["-Cdebuginfo=line-tables-only"], Some(true)),
            (&["-Cdebuginfo=2"], Some(true)),
            (&["-Cdebuginfo=2", "-Csplit-debuginfo=packed"], Some(true)),
            (&["-Cdebuginfo=0", "-Clink-arg=-Wl,--compress-debug-sections=zlib"], None),
        ] {
            let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
            let mut rustc = std::process::Command::new(rustc);
            let compiled = rustc.args(arguments).arg("-o").arg(&program).arg(&source).status().unwrap();
            assert!(compiled.success());
            let arena = Arena::default();
            assert_eq!(has_lines_in(&map(&arena, &program).unwrap()), expected, "{arguments:?}");
        }
    }
}
