//! A flame graph for a browser. Separate because it is drawn by a library of its own.

use std::collections::BTreeMap;

use inferno::flamegraph::{self, Options};
use lens_core::Unavailable;

use super::{HeapProfile, Shown};

pub(super) fn draw(profile: &HeapProfile, shown: Shown) -> Result<Vec<u8>, Unavailable> {
    let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
    for stack in &profile.stacks {
        let base = if shown == Shown::Grown { stack.base.bytes } else { 0 };
        let Some(grown) = stack.live.bytes.checked_sub(base).filter(|&grown| grown > 0) else { continue };
        // Outermost first. `;` parts functions here, and a function's name may have one: `[u8; 4]`.
        let names = profile.frames_of(stack).rev().map(|frame| match &frame.place {
            Some(place) => format!("{} ({place})", frame.function).replace(';', ","),
            None => frame.function.replace(';', ","),
        });
        let sum = bytes.entry(names.collect::<Vec<_>>().join(";")).or_default();
        *sum = sum.saturating_add(grown);
    }
    if bytes.is_empty() {
        return Err(Unavailable::NotYet {
            until: "something is allocated that stays: no sampled allocation is alive".into(),
        });
    }
    let lines: Vec<String> = bytes.iter().map(|(stack, bytes)| format!("{stack} {bytes}")).collect();
    let mut options = Options::default();
    options.title = match profile.base_at {
        Some(base) if shown == Shown::Grown => format!("Heap: what has come since {base}"),
        _ => format!("Heap: what is alive at {}", profile.at),
    };
    "bytes".clone_into(&mut options.count_name);
    let mut drawn = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut drawn)
        .map_err(|error| Unavailable::failed(format!("the flame graph cannot be drawn: {error}")))?;
    Ok(drawn)
}
