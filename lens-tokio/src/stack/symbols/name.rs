//! How functions and places of stacks are written, and whose they are. Separate because these are rules about names: they
//! read nothing.

use lens_core::place::{dependency, is_standard};

use super::{Frame, Origin};

/// A frame of a function with its symbol as it is in the file, and the file and line.
pub(crate) fn frame(symbol: &str, place: Option<(&str, u32)>, directory: Option<&str>) -> Frame {
    let function = function(symbol);
    let origin = match place {
        Some((path, _)) => origin(path, &function),
        None if function.starts_with("std::") || function.starts_with("core::") => Origin::Plumbing,
        None => Origin::System,
    };
    let place = place.map(|(path, line)| format!("{}:{line}", shorten(path, directory)));
    Frame { function, place, origin }
}

/// A frame of which only the address is known.
pub(crate) fn nameless(address: &str) -> Frame {
    Frame { function: address.to_owned(), place: None, origin: Origin::System }
}

/// The path of a function, without the hash that the compiler adds.
fn function(symbol: &str) -> String {
    // A version that the dynamic linker's symbols have: `clock_nanosleep@@GLIBC_2.17`.
    let symbol = symbol.split_once('@').map_or(symbol, |(name, _)| name);
    format!("{:#}", rustc_demangle::demangle(symbol))
}

fn origin(path: &str, function: &str) -> Origin {
    // jemalloc is built from C below the directory of build outputs; the functions that call it are put down to the line
    // of `#[global_allocator]`.
    if is_standard(path) || path.contains("/tikv-jemalloc-sys-") || function.starts_with("__rustc::") {
        return Origin::Plumbing;
    }
    let Some(dependency) = dependency(path) else {
        return if is_lens(path, function) { Origin::Plumbing } else { Origin::Service };
    };
    let is_plumbing =
        ["tokio-1.", "tracing-", "lens-", "tikv-jemalloc"].iter().any(|name| dependency.starts_with(name));
    if is_plumbing { Origin::Plumbing } else { Origin::Dependency }
}

/// Whether it is lens's, where that is built from a folder beside the service. A closure's function can begin with the
/// trait that it is called by, so the path counts as well.
fn is_lens(path: &str, function: &str) -> bool {
    let function = function.trim_start_matches('<');
    ["lens::", "lens_core::", "lens_jemalloc::", "lens_skills::", "lens_tokio::"]
        .iter()
        .any(|name| function.starts_with(name))
        || ["/lens-core/src/", "/lens-jemalloc/src/", "/lens-skills/src/", "/lens-tokio/src/"]
            .iter()
            .any(|folder| path.contains(folder))
}

/// The path as `file!()` has it, or from the name of the dependency on.
fn shorten<'a>(path: &'a str, directory: Option<&str>) -> &'a str {
    if is_standard(path)
        && let Some(at) = path.find("/library/")
    {
        return &path[at + 1..];
    }
    dependency(path).or_else(|| path.strip_prefix(directory?)?.strip_prefix('/')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &str, symbol: &str) -> (String, Origin) {
        let frame = frame(symbol, Some((path, 41)), Some("/home/a/shop"));
        (frame.place.unwrap(), frame.origin)
    }

    #[test]
    fn places_are_written_as_the_source_names_them() {
        assert_eq!(seen("/home/a/shop/src/cart.rs", "shop::reserve"), ("src/cart.rs:41".into(), Origin::Service));
        assert_eq!(
            seen("/home/a/.cargo/registry/src/index-19/hyper-1.7.0/src/rt.rs", "hyper::x"),
            ("hyper-1.7.0/src/rt.rs:41".into(), Origin::Dependency)
        );
        assert_eq!(
            seen("/home/a/.cargo/registry/src/index-19/tokio-1.54.1/src/runtime/task/core.rs", "tokio::x"),
            ("tokio-1.54.1/src/runtime/task/core.rs:41".into(), Origin::Plumbing)
        );
        assert_eq!(
            seen("/rustc/abc/library/std/src/thread/mod.rs", "std::thread::sleep"),
            ("library/std/src/thread/mod.rs:41".into(), Origin::Plumbing)
        );
        assert_eq!(
            seen("/rust/deps/hashbrown-0.16.1/src/raw.rs", "hashbrown::raw::RawTable<T,A>::find"),
            ("hashbrown-0.16.1/src/raw.rs:41".into(), Origin::Plumbing)
        );
    }

    #[test]
    fn the_allocator_and_lens_are_no_service() {
        let plumbing = [
            ("/home/a/shop/src/main.rs", "__rustc::__rust_alloc"),
            ("/home/a/shop/target/release/build/tikv-jemalloc-sys-0123/out/build/src/prof.c", "prof_backtrace_impl"),
            (
                "/home/a/.cargo/registry/src/index-19/tikv-jemallocator-0.7.0/src/lib.rs",
                "<tikv_jemallocator::Jemalloc>::alloc",
            ),
            ("/home/a/lens/src/http.rs", "<lens::http::Server as x::Y>::z"),
            ("/home/a/lens/lens-tokio/src/stack/linux/debug.rs", "<&mut lens_tokio::x::{closure#0} as y::FnMut>::call"),
        ];
        for (path, function) in plumbing {
            assert_eq!(seen(path, function).1, Origin::Plumbing, "{function}");
        }
        assert_eq!(seen("/home/a/shop/src/lenses.rs", "lenses::grind").1, Origin::Service);
    }

    #[test]
    fn functions_have_no_hash_and_no_version() {
        assert_eq!(function("_ZN4shop4cart7reserve17h0123456789abcdefE"), "shop::cart::reserve");
        assert_eq!(function("clock_nanosleep@@GLIBC_2.17"), "clock_nanosleep");
        assert_eq!(nameless("libc.so.6+0x9f2e").place, None);
    }
}
