//! `os` on systems other than Linux: unavailable, and says so. Separate because a platform picks a file, never a type.

use lens_core::{Metrics, Reading, Source, Store, Unavailable};

use super::state::State;

#[derive(Debug)]
pub(super) struct Live;

impl Live {
    pub(super) fn new() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "Linux keeps samples")]
    pub(super) fn collect(&mut self) -> Reading<State> {
        Err(unsupported())
    }

    #[expect(clippy::unused_self, reason = "Linux keeps samples")]
    pub(super) fn metrics(&mut self, _: &mut Metrics) {}

    #[expect(clippy::unused_self, reason = "Linux keeps samples")]
    pub(super) fn sources(&self) -> Vec<Source> {
        vec![Source::live("/proc", "processors, memory, this process", "nothing").when(&Err::<(), _>(unsupported()))]
    }

    #[expect(clippy::unused_self, reason = "Linux keeps samples")]
    pub(super) fn stores(&self) -> Vec<Store> {
        Vec::new()
    }
}

fn unsupported() -> Unavailable {
    Unavailable::UnsupportedPlatform { needs: "Linux's /proc".into() }
}
