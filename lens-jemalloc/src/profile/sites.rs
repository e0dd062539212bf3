//! Which line a stack's bytes are put down to. Separate because it is a rule about names: the innermost line of the
//! service's own code, and where there is none, of a dependency's.

use std::collections::HashMap;

use lens_core::stack::{Frame, Origin};

use super::dump::Use;
use super::{HeapProfile, StackUse};

/// What one call site holds.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// The line that allocates: the innermost of the service's own code, else of a dependency's, else of anybody's. Absent
    /// where a stack has no frame.
    pub frame: Option<&'a Frame>,
    /// How many samples that are alive it is estimated from.
    pub sample_count: u64,
    /// What is alive.
    pub live: Use,
    /// What was alive at the base.
    pub base: Use,
    /// What was ever allocated; only counted with jemalloc's option `prof_accum`.
    pub total: Option<Use>,
    /// The stack that holds most of it.
    pub largest: &'a StackUse,
}

/// The call sites of a profile, in no order.
#[must_use]
pub fn sites(profile: &HeapProfile) -> Vec<Site<'_>> {
    let mut sites: HashMap<Option<(&str, Option<&str>)>, Site<'_>> = HashMap::new();
    for stack in &profile.stacks {
        let frame = site(profile, stack);
        let key = frame.map(|frame| (frame.function.as_str(), frame.place.as_deref()));
        let site = sites.entry(key).or_insert_with(|| Site {
            frame,
            sample_count: 0,
            live: Use::default(),
            base: Use::default(),
            total: None,
            largest: stack,
        });
        site.sample_count = site.sample_count.saturating_add(stack.sample_count);
        site.live = site.live + stack.live;
        site.base = site.base + stack.base;
        if let Some(total) = stack.total {
            site.total = Some(site.total.unwrap_or_default() + total);
        }
        if stack.live.bytes > site.largest.live.bytes {
            site.largest = stack;
        }
    }
    sites.into_values().collect()
}

fn site<'a>(profile: &'a HeapProfile, stack: &'a StackUse) -> Option<&'a Frame> {
    let of = |origin| move |frame: &&Frame| frame.origin == origin;
    let mut frames = profile.frames_of(stack);
    let first = frames.next();
    let all = || profile.frames_of(stack);
    // What a library allocates for lens is lens's.
    let others = if all().any(starts_lens_thread) { Origin::Plumbing } else { Origin::Dependency };
    all().find(of(Origin::Service)).or_else(|| all().find(of(others))).or(first)
}

/// Whether it is one of the functions that lens's threads begin in.
fn starts_lens_thread(frame: &Frame) -> bool {
    ["lens_core::threads::", "lens_core::sandbox::threads::"].iter().any(|path| frame.function.contains(path))
}

/// The stack without the allocator's own functions, which are in front of every one.
pub(super) fn without_allocator<'a, 'b>(frames: &'b [&'a Frame]) -> &'b [&'a Frame] {
    let is_others =
        |frame: &&Frame| matches!(frame.origin, Origin::Service | Origin::Dependency) && !is_allocator(frame);
    let own = frames.iter().position(is_others).unwrap_or(frames.len());
    let last = frames[..own].iter().rposition(|frame| is_allocator(frame));
    &frames[last.map_or(0, |last| last + 1)..]
}

fn is_allocator(frame: &Frame) -> bool {
    let name = frame.function.trim_start_matches('<');
    let is_named = ["_rjem_", "__rust_", "__rg_", "__rustc::", "alloc::alloc::", "tikv_jemalloc", "prof_backtrace"]
        .iter()
        .any(|start| name.starts_with(start));
    is_named || frame.place.as_deref().is_some_and(|place| place.contains("jemalloc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, origin: Origin) -> Frame {
        Frame { function: function.to_owned(), place: None, origin }
    }

    #[test]
    fn a_site_is_the_innermost_line_of_the_service() {
        let frames = [
            frame("prof_backtrace_impl", Origin::System),
            frame("<tikv_jemallocator::Jemalloc as core::alloc::global::GlobalAlloc>::alloc", Origin::Plumbing),
            frame("alloc::alloc::exchange_malloc", Origin::Plumbing),
            frame("alloc::raw_vec::RawVec<T>::grow_one", Origin::Plumbing),
            frame("bytes::BytesMut::reserve", Origin::Dependency),
            frame("shop::cart::add", Origin::Service),
            frame("shop::main", Origin::Service),
        ];
        let all: Vec<&Frame> = frames.iter().collect();
        let own = without_allocator(&all);
        assert_eq!(own[0].function, "alloc::raw_vec::RawVec<T>::grow_one");
        let profile = HeapProfile {
            frames: own.iter().map(|&frame| frame.clone()).collect(),
            stacks: vec![StackUse { frames: (0..4).collect(), ..StackUse::default() }],
            ..super::super::tests::empty()
        };
        assert_eq!(sites(&profile)[0].frame.unwrap().function, "shop::cart::add");
    }

    #[test]
    fn what_a_library_allocates_in_a_thread_of_lens_is_not_the_librarys() {
        let inside =
            [frame("alloc::raw_vec::RawVec<T>::grow_one", Origin::Plumbing), frame("zstd::x", Origin::Dependency)];
        let lens = frame("lens_tokio::stack::linux::debug::tables", Origin::Plumbing);
        let outside = frame("<lens_core::threads::spawn<F>::{closure#0} as FnOnce<()>>::call_once", Origin::Plumbing);
        let site = |frames: Vec<Frame>| {
            let stacks = vec![StackUse { frames: (0..).take(frames.len()).collect(), ..StackUse::default() }];
            let profile = HeapProfile { frames, stacks, ..super::super::tests::empty() };
            let frame = sites(&profile)[0].frame.unwrap().clone();
            (frame.function, frame.origin)
        };
        let of_lens = site([&inside[..], &[lens.clone(), outside.clone()]].concat());
        assert_eq!(of_lens.1, Origin::Plumbing);
        // A skill of the service's own runs in lens's threads, too.
        let skill = frame("shop::skill::collect", Origin::Service);
        assert_eq!(site([&inside[..], &[skill, outside]].concat()).0, "shop::skill::collect");
        // And what the service spawns through lens runs in its own.
        assert_eq!(site([&inside[..], &[lens]].concat()).0, "zstd::x");
    }
}
