//! How a place in the source is shown. Separate because the skills of one crate must show it alike.

use std::panic::Location;

/// `"src/cart.rs:41:9"`. Of a dependency's path only what begins with its name and version is kept
/// (`"hyper-1.7.0/src/rt.rs:9:5"`): the rest is where somebody's Cargo keeps its sources.
pub(crate) fn place(location: &Location<'_>) -> String {
    format!("{}:{}:{}", short(location.file()), location.line(), location.column())
}

/// The path without the directory in which Cargo keeps registries and checkouts.
fn short(path: &str) -> &str {
    ["/registry/src/", "/git/checkouts/"]
        .into_iter()
        .find_map(|directory| {
            let (_, rest) = path.split_once(directory)?;
            Some(rest.split_once('/')?.1)
        })
        .unwrap_or(path)
}

/// Whether the place is in lens itself.
pub(crate) fn is_lens(location: &Location<'_>) -> bool {
    // This file is `…/lens-tokio/src/tasks/place.rs`, however the build names the directory above.
    let own = file!().trim_end_matches("tasks/place.rs");
    location.file().starts_with(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependencys_path_begins_with_its_name() {
        assert_eq!(short("/home/a/.cargo/registry/src/index-1949/hyper-1.7.0/src/rt.rs"), "hyper-1.7.0/src/rt.rs");
        assert_eq!(short("src/cart.rs"), "src/cart.rs");
    }

    #[test]
    fn a_place_in_this_crate_is_lenss() {
        let here = Location::caller();
        assert!(is_lens(here));
        assert_eq!(place(here).rsplit_once("tasks/").unwrap().1, format!("place.rs:{}:{}", here.line(), here.column()));
    }
}
