//! Places that a task was spawned at. Separate because the skills of this crate must tell lens's own alike.

use std::panic::Location;

/// `"src/cart.rs:41:9"`; see [`lens_core::Place`].
pub(crate) fn place(location: &Location<'_>) -> String {
    lens_core::Place::from(location).to_string()
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
    fn a_place_in_this_crate_is_lenss() {
        let here = Location::caller();
        assert!(is_lens(here));
        assert_eq!(place(here).rsplit_once("tasks/").unwrap().1, format!("place.rs:{}:{}", here.line(), here.column()));
    }
}
