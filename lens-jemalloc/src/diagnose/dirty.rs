//! Whether free pages that were not given back are on their way or stay behind. Separate because one reading cannot tell:
//! only what each arena did since can.

use lens_core::Timestamp;

use crate::breakdown::product;
use crate::history::HeapPoint;
use crate::snapshot::Arena;
use crate::state::JemallocState;

/// How much longer than twice the decay time is waited where background threads purge: they first wake some 10 s later.
const BACKGROUND_WAKES_MS: u64 = 15_000;

/// The least span that is compared, whatever the decay time.
const LEAST_SPAN_MS: u64 = 2_000;

/// What becomes of an arena's dirty pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They are given back, as they should.
    Decays,
    /// They were freed lately, or lens has not watched for long enough.
    Open,
    /// They stay, and the arena is in use.
    Stays,
    /// They stay, and nobody allocates from the arena.
    StaysIdle,
    /// They are never given back: `dirty_decay_ms` is -1.
    Kept,
}

/// The dirty bytes of a heap by what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    pub(crate) decaying_bytes: u64,
    pub(crate) open_bytes: u64,
    pub(crate) kept_bytes: u64,
    /// What stays in arenas that are in use, and those arenas.
    pub(crate) stays_bytes: u64,
    pub(crate) stays: Vec<u64>,
    /// What stays in arenas that nobody allocates from, and those arenas.
    pub(crate) idle_bytes: u64,
    pub(crate) idle: Vec<u64>,
    /// The longest span that an arena has to be watched for.
    pub(crate) span_ms: u64,
}

impl Dirty {
    pub(crate) fn of(state: &JemallocState, now: Timestamp) -> Self {
        let mut dirty = Self::default();
        let background = state.configuration.has_background_threads;
        for arena in state.snapshot.arenas.iter().filter(|arena| arena.readings.pdirty > 0) {
            let bytes = arena.readings.pdirty.saturating_mul(state.classes.page_bytes);
            let span_ms = span_ms(arena, background);
            dirty.span_ms = dirty.span_ms.max(span_ms.unwrap_or(0));
            let sum = match fate(arena, span_ms.and_then(|span| state.history.before(now, span))) {
                Fate::Decays => &mut dirty.decaying_bytes,
                Fate::Open if span_ms.is_none() => &mut dirty.kept_bytes,
                Fate::Open => &mut dirty.open_bytes,
                Fate::Kept => &mut dirty.kept_bytes,
                Fate::Stays => {
                    dirty.stays.push(arena.index);
                    &mut dirty.stays_bytes
                }
                Fate::StaysIdle => {
                    dirty.idle.push(arena.index);
                    &mut dirty.idle_bytes
                }
            };
            *sum = sum.saturating_add(bytes);
        }
        dirty
    }
}

/// For how long an arena has to be watched; `None` where pages are never given back.
fn span_ms(arena: &Arena, has_background_threads: bool) -> Option<u64> {
    let decay = u64::try_from(arena.decay.dirty_decay_ms).ok()?;
    let wakes = if has_background_threads { BACKGROUND_WAKES_MS } else { 0 };
    Some(decay.saturating_mul(2).saturating_add(wakes).max(LEAST_SPAN_MS))
}

/// What becomes of the dirty pages of `arena`, seen from what it was `before`.
pub(crate) fn fate(arena: &Arena, before: Option<&HeapPoint>) -> Fate {
    /// Pages may come and go a little while nothing of note happens.
    const SAME_PERCENT: u64 = 105;
    if arena.decay.dirty_decay_ms < 0 {
        return Fate::Kept;
    }
    let Some(before) = before.and_then(|point| point.arena(arena.index)) else { return Fate::Open };
    if arena.readings.dirty_purged > before.dirty_purged {
        return Fate::Decays;
    }
    if product(arena.readings.pdirty, 100) > product(before.pdirty, SAME_PERCENT) {
        return Fate::Open;
    }
    if arena.blocks.events() == before.events { Fate::StaysIdle } else { Fate::Stays }
}
