//! Which functions of a stack are shown, and how several stacks make a tree. Separate because it is about names only.

use crate::stack::{Frame, Origin};

use super::TreeFrame;

/// What tokio calls in a leaf that is traced: it and what is inside of it say nothing of the task.
const LEAF: &str = "tokio::runtime::task::trace::trace_leaf";

/// What polls to trace: it and what is outside of it neither.
const TRACING: &str = "tokio::runtime::task::trace::trace_with";

/// The frames of a leaf's stack that are the task's, innermost first.
pub(super) fn of_leaf(frames: &[Frame]) -> Vec<&Frame> {
    let starts = |name: &'static str| move |frame: &Frame| frame.function.starts_with(name);
    // Closures in it have its name, too.
    let inner = frames.iter().rposition(starts(LEAF)).map_or(0, |at| at + 1);
    let frames = &frames[inner..];
    let outer = frames.iter().position(starts(TRACING)).unwrap_or(frames.len());
    shown(&frames[..outer])
}

/// The frames of a running thread that are the task's, innermost first.
pub(super) fn of_thread(frames: &[Frame]) -> Vec<&Frame> {
    shown(frames)
}

/// Those up to the outermost that is not plumbing, without the standard library's and lens's between.
fn shown(frames: &[Frame]) -> Vec<&Frame> {
    let is_own = |frame: &Frame| matches!(frame.origin, Origin::Service | Origin::Dependency);
    let end = frames.iter().rposition(is_own).map_or(frames.len(), |last| last + 1);
    let is_between = |frame: &Frame| {
        let is_standard = frame.place.as_deref().is_some_and(|place| place.starts_with("library/"));
        let is_poll = frame.function.contains("as core::future") || frame.function.contains("core::ops::function");
        is_standard && is_poll
            || frame.function.starts_with("lens_tokio::")
            || frame.function.starts_with("<lens_tokio::")
    };
    frames[..end].iter().filter(|frame| !is_between(frame)).collect()
}

/// The innermost line of the service's own code, or of a library's if there is none: `"shop::cart::reserve (src/cart.rs:41)"`.
pub(super) fn waits_at(frames: &[&Frame]) -> Option<String> {
    let of = |origin| frames.iter().find(|frame| frame.origin == origin);
    let frame = of(Origin::Service).or_else(|| of(Origin::Dependency)).or(frames.first())?;
    let place = frame.place.as_deref().map_or(String::new(), |place| format!(" ({place})"));
    Some(format!("{}{place}", frame.function))
}

/// Several stacks, with what they have in common once.
#[derive(Default)]
pub(super) struct Tree {
    roots: Vec<Node>,
}

struct Node {
    function: String,
    place: Option<String>,
    children: Vec<Node>,
}

impl Tree {
    /// Adds a stack: innermost frame first.
    pub(super) fn add(&mut self, frames: &[&Frame]) {
        let mut nodes = &mut self.roots;
        for frame in frames.iter().rev() {
            let is_same = |node: &Node| node.function == frame.function && node.place == frame.place;
            // Only the last branch can go on: the leaves of one branch come one after the other.
            if !nodes.last().is_some_and(is_same) {
                let (function, place) = (frame.function.clone(), frame.place.clone());
                nodes.push(Node { function, place, children: Vec::new() });
            }
            let last = nodes.len() - 1;
            nodes = &mut nodes[last].children;
        }
    }

    /// The functions, each followed by those that it calls. Without recursion: a stack has up to 128 frames, inlined ones
    /// not counted.
    pub(super) fn into_frames(self) -> Vec<TreeFrame> {
        let mut rows = Vec::new();
        let mut next: Vec<(u32, Node)> = self.roots.into_iter().rev().map(|node| (0, node)).collect();
        while let Some((depth, Node { function, place, children })) = next.pop() {
            rows.push(TreeFrame { depth, function, place });
            next.extend(children.into_iter().rev().map(|child| (depth + 1, child)));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, place: &str, origin: Origin) -> Frame {
        Frame { function: function.into(), place: Some(place.into()), origin }
    }

    fn leaf(inner: &str) -> Vec<Frame> {
        vec![
            frame("backtrace::trace", "backtrace-0.3.77/src/lib.rs:9", Origin::Dependency),
            frame("tokio::runtime::task::trace::trace_leaf::{{closure}}", "tokio-1.54.1/src/a.rs:1", Origin::Plumbing),
            frame("std::thread::local::LocalKey<T>::try_with", "library/std/src/local.rs:1", Origin::Plumbing),
            frame("tokio::runtime::task::trace::trace_leaf", "tokio-1.54.1/src/a.rs:2", Origin::Plumbing),
            frame("tokio::time::sleep::Sleep::poll", "tokio-1.54.1/src/b.rs:2", Origin::Plumbing),
            frame(inner, "src/cart.rs:41", Origin::Service),
            frame("<F as core::future::future::Future>::poll", "library/core/src/future.rs:1", Origin::Plumbing),
            frame("shop::main::{{closure}}", "src/main.rs:7", Origin::Service),
            frame("tokio::runtime::task::trace::trace_with", "tokio-1.54.1/src/a.rs:3", Origin::Plumbing),
            frame("lens_tokio::trees::answer", "lens-tokio/src/trees.rs:80", Origin::Plumbing),
        ]
    }

    #[test]
    fn of_a_leaf_only_the_tasks_own_frames_are_shown() {
        let frames = leaf("shop::cart::reserve");
        let shown: Vec<_> = of_leaf(&frames).iter().map(|frame| frame.function.as_str()).collect();
        assert_eq!(shown, ["tokio::time::sleep::Sleep::poll", "shop::cart::reserve", "shop::main::{{closure}}"]);
        assert_eq!(waits_at(&of_leaf(&frames)).unwrap(), "shop::cart::reserve (src/cart.rs:41)");
    }

    #[test]
    fn branches_have_their_common_part_once() {
        let (one, other) = (leaf("shop::cart::reserve"), leaf("shop::cart::time_out"));
        let mut tree = Tree::default();
        tree.add(&of_leaf(&one));
        tree.add(&of_leaf(&other));
        let rows: Vec<_> = tree.into_frames().into_iter().map(|row| (row.depth, row.function)).collect();
        let rows: Vec<_> = rows.iter().map(|(depth, function)| (*depth, function.as_str())).collect();
        assert_eq!(
            rows,
            [
                (0, "shop::main::{{closure}}"),
                (1, "shop::cart::reserve"),
                (2, "tokio::time::sleep::Sleep::poll"),
                (1, "shop::cart::time_out"),
                (2, "tokio::time::sleep::Sleep::poll"),
            ]
        );
    }
}
