//! The functions at addresses that somebody else found, such as those of a heap profile. Separate from the stacks that are
//! taken here because the caller's thread does it: whoever asks waits anyway.

use lens_core::Reading;
use lens_core::stack::{Functions, Symbolize};

use super::platform::{self, Arena, Files};

/// Resolves addresses by the files that are loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadedFiles;

impl Symbolize for LoadedFiles {
    fn serve(
        &self,
        next: &mut dyn FnMut() -> Option<Vec<u64>>,
        answer: &mut dyn FnMut(&[u64], Vec<Functions>),
    ) -> Reading<()> {
        let memory = Arena::default();
        let mut files = Files::new(&memory);
        let mut loaded = platform::Loaded::default();
        while let Some(addresses) = next() {
            let located = loaded.locate(&addresses)?;
            let frames = located.iter().map(|address| {
                let file = files.index(address.file.as_ref());
                files.frames(file, address.address)
            });
            let frames = frames.collect();
            answer(&addresses, frames);
        }
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::*;
    use lens_core::stack::Origin;

    #[inline(never)]
    fn known() -> u32 {
        line!()
    }

    #[test]
    fn an_address_is_the_function_that_is_there() {
        let mut asked = Some(vec![known as fn() -> u32 as usize as u64, 1]);
        let mut frames = Vec::new();
        LoadedFiles.serve(&mut || asked.take(), &mut |_, found| frames = found).unwrap();
        assert_eq!(frames[0][0].function, "lens_tokio::stack::loaded::tests::known");
        // Which of its three lines the first instruction is of depends on how it was built.
        let (file, line) = frames[0][0].place.as_ref().unwrap().rsplit_once(':').unwrap();
        assert_eq!(file, "lens-tokio/src/stack/loaded.rs");
        assert!((known() - 1..=known() + 1).contains(&line.parse().unwrap()), "{line}");
        assert_eq!(frames[0][0].origin, Origin::Plumbing, "lens itself is no service");
        assert_eq!(frames[1][0].function, "0x1", "nothing is loaded there");
    }
}
