//! Asks a registry whether it lets events through, without logging one. Separate because it needs callsites that no code
//! logs at.

use tracing::callsite::{Callsite, Identifier};
use tracing::dispatcher::Dispatch;
use tracing::field::FieldSet;
use tracing::level_filters::LevelFilter;
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};

use super::layer::LogsLayer;

/// The callsite of an event that nobody logs.
struct Lookalike(&'static Metadata<'static>);

macro_rules! lookalike {
    ($name:ident, $level:ident) => {
        static $name: Lookalike = Lookalike({
            static METADATA: Metadata<'static> = Metadata::new(
                "lens looks",
                "lens",
                Level::$level,
                None,
                None,
                None,
                FieldSet::new(&[], Identifier(&$name)),
                Kind::EVENT,
            );
            &METADATA
        });
    };
}

lookalike!(ERROR, ERROR);
lookalike!(WARN, WARN);
lookalike!(INFO, INFO);
lookalike!(DEBUG, DEBUG);
lookalike!(TRACE, TRACE);

impl Callsite for Lookalike {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.0
    }
}

/// Whether the calling thread's registry has a layer of this crate.
pub(super) fn has_layer() -> bool {
    tracing::dispatcher::get_default(|dispatch| dispatch.is::<LogsLayer>())
}

/// The most verbose level that the calling thread's registry lets through to some layer, for a target that no filter names.
pub(super) fn allowed() -> LevelFilter {
    let is_let_through =
        |dispatch: &Dispatch, level: &'static Lookalike| !dispatch.register_callsite(level.0).is_never();
    tracing::dispatcher::get_default(|dispatch| {
        [&TRACE, &DEBUG, &INFO, &WARN, &ERROR]
            .into_iter()
            .find(|level| is_let_through(dispatch, level))
            .map_or(LevelFilter::OFF, |level| LevelFilter::from_level(*level.0.level()))
    })
}
