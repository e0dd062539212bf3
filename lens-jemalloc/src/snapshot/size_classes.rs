//! jemalloc's size classes. Separate because they never change while the process lives: they are read once.

use serde::{Deserialize, Serialize};

use lens_core::Reading;

use crate::ffi::mallctl::{Key, number};

/// In names like `arenas.bin.0.size`, the place of the class.
const CLASS: usize = 2;

/// The sizes that requests are rounded up to, and how jemalloc lays blocks of them out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeClasses {
    /// Bytes of a page of jemalloc's. `arenas.page`.
    pub page_bytes: u64,
    /// Classes that share slabs.
    pub small: Vec<SmallClass>,
    /// Bytes of the largest block of each class that has pages of its own. Blocks are rounded up to it in jemalloc 5.3.0,
    /// and to pages only in 5.3.1. `arenas.lextent.<j>.size`.
    pub large_bytes: Vec<u64>,
}

/// A size class of which many regions share a slab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallClass {
    /// Bytes of a region. `arenas.bin.<j>.size`.
    pub size: u64,
    /// Regions in a slab. `arenas.bin.<j>.nregs`.
    pub nregs: u64,
    /// Bytes of a slab. `arenas.bin.<j>.slab_size`.
    pub slab_size: u64,
}

impl SizeClasses {
    pub(crate) fn read() -> Reading<Self> {
        let size = Key::<usize, 4>::new(c"arenas.bin.0.size")?;
        let nregs = Key::<u32, 4>::new(c"arenas.bin.0.nregs")?;
        let slab_size = Key::<usize, 4>::new(c"arenas.bin.0.slab_size")?;
        let mut small = Vec::new();
        for class in 0..count(number::<u32>(c"arenas.nbins")?) {
            small.push(SmallClass {
                size: size.with(CLASS, class).read()?,
                nregs: nregs.with(CLASS, class).read()?,
                slab_size: slab_size.with(CLASS, class).read()?,
            });
        }
        let large = Key::<usize, 4>::new(c"arenas.lextent.0.size")?;
        let mut large_bytes = Vec::new();
        for class in 0..count(number::<u32>(c"arenas.nlextents")?) {
            large_bytes.push(large.with(CLASS, class).read()?);
        }
        Ok(Self { page_bytes: number::<usize>(c"arenas.page")?, small, large_bytes })
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0)
}
