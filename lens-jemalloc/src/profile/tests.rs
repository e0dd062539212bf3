//! Profiles that are made by hand, against what pprof's and the flame graph's readers see in them.

use std::io::Read;

use lens_core::Timestamp;
use lens_core::stack::{Frame, Origin};
use prost::Message;

use super::{HeapProfile, LeftOut, Sampling, Shown, StackUse, Use, pprof};

/// A profile of nothing.
pub(super) fn empty() -> HeapProfile {
    HeapProfile {
        at: Timestamp::now(),
        sampling: Sampling { is_on: true, sample_bytes: 1 << 19, since: None, until: None, windows_total: 0 },
        base_at: None,
        frames: Vec::new(),
        stacks: Vec::new(),
        left_out: LeftOut::default(),
    }
}

fn profile(stacks: &[(&[&str], u64)]) -> HeapProfile {
    let mut made = empty();
    for (functions, bytes) in stacks {
        let frames = functions.iter().map(|function| {
            let frame = Frame {
                function: format!("shop::{function}"),
                place: Some(format!("src/{function}.rs:7")),
                origin: Origin::Service,
            };
            let at = made.frames.iter().position(|known| *known == frame).unwrap_or_else(|| {
                made.frames.push(frame);
                made.frames.len() - 1
            });
            u32::try_from(at).unwrap()
        });
        let frames = frames.collect();
        let live = Use { bytes: *bytes, count: bytes / 100 };
        made.stacks.push(StackUse { frames, sample_count: 1, live, ..StackUse::default() });
    }
    made
}

/// What a reader of pprof's format sees: functions with lines, outermost last, and the values.
fn read(file: &[u8]) -> Vec<(Vec<String>, Vec<i64>)> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let read = pprof::Profile::decode(&*bytes).unwrap();
    let text = |at: i64| read.string_table[usize::try_from(at).unwrap()].as_str();
    assert_eq!(read.string_table[0], "");
    assert_eq!(text(read.default_sample_type), "inuse_space");
    let stack = |locations: &[u64]| {
        let frame = |id: &u64| {
            let location = read.location.iter().find(|location| location.id == *id).unwrap();
            let [line] = location.line[..] else { panic!("{location:?}") };
            let function = read.function.iter().find(|function| function.id == line.function_id).unwrap();
            format!("{} {}:{}", text(function.name), text(function.filename), line.line)
        };
        locations.iter().map(frame).collect()
    };
    read.sample.iter().map(|sample| (stack(&sample.location_id), sample.value.clone())).collect()
}

#[test]
fn pprof_has_every_stack_with_its_functions_lines_objects_and_bytes() {
    let made = profile(&[(&["add", "main"], 1000), (&["load", "main"], 300)]);
    let read = read(&made.to_pprof(Shown::Alive));
    let expected = [
        (vec!["shop::add src/add.rs:7".to_owned(), "shop::main src/main.rs:7".to_owned()], vec![10, 1000]),
        (vec!["shop::load src/load.rs:7".to_owned(), "shop::main src/main.rs:7".to_owned()], vec![3, 300]),
    ];
    assert_eq!(read, expected);
}

#[test]
fn what_has_grown_is_the_difference_and_what_has_gone_is_negative() {
    let earlier = profile(&[(&["gone", "main"], 500), (&["same"], 200), (&["add", "main"], 400)]);
    let later = profile(&[(&["add", "main"], 1000), (&["same"], 200), (&["new"], 100)]);
    let difference = later.since(&earlier);
    assert_eq!(difference.base_at, Some(earlier.at));
    let read = read(&difference.to_pprof(Shown::Grown));
    let grown: Vec<(&str, i64)> = read.iter().map(|(stack, value)| (stack[0].as_str(), value[1])).collect();
    assert_eq!(
        grown,
        [("shop::add src/add.rs:7", 600), ("shop::new src/new.rs:7", 100), ("shop::gone src/gone.rs:7", -500),]
    );
    let drawn = String::from_utf8(difference.to_flame_graph(Shown::Grown).unwrap()).unwrap();
    assert!(drawn.contains("shop::add (src/add.rs:7) (600 bytes"), "{drawn}");
    assert!(!drawn.contains("shop::gone"));
}

#[test]
fn a_flame_graph_of_nothing_says_so() {
    let error = empty().to_flame_graph(Shown::Alive).unwrap_err();
    assert_eq!(error.code(), "not_yet");
}
