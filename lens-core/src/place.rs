//! How a place in the source is shown. Separate because every skill of every crate must show it alike.

use std::fmt;

/// A place in the source, shown as `src/cart.rs:41:9`, or `src/cart.rs:41` where no column is known.
///
/// Of a dependency's path only what begins with its name and version is kept (`hyper-1.7.0/src/rt.rs:9:5`): the rest is
/// where somebody's Cargo keeps its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file, as the compiler names it.
    pub file: &'a str,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: Option<u32>,
}

impl<'a> From<&'a std::panic::Location<'_>> for Place<'a> {
    fn from(location: &'a std::panic::Location<'_>) -> Self {
        Self { file: location.file(), line: location.line(), column: Some(location.column()) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", dependency(self.file).unwrap_or(self.file), self.line)?;
        self.column.map_or(Ok(()), |column| write!(f, ":{column}"))
    }
}

/// What follows the directory in which Cargo keeps registries and checkouts, or in which the standard library was built with
/// its own dependencies: `hyper-1.7.0/src/rt.rs`. `None` for a file that is no dependency's.
#[must_use]
pub fn dependency(path: &str) -> Option<&str> {
    path.strip_prefix(STANDARD_DEPENDENCIES).or_else(|| {
        ["/registry/src/", "/git/checkouts/"]
            .into_iter()
            .find_map(|directory| Some(path.split_once(directory)?.1.split_once('/')?.1))
    })
}

/// Whether the file is the standard library's or one of its dependencies', such as `hashbrown`'s, as its builds name them.
#[must_use]
pub fn is_standard(path: &str) -> bool {
    path.starts_with("/rustc/")
        || path.starts_with(STANDARD_DEPENDENCIES)
        || path.contains("/rustlib/src/rust/library/")
}

/// Where the standard library is built with its dependencies.
const STANDARD_DEPENDENCIES: &str = "/rust/deps/";

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::*;

    #[test]
    fn a_dependencys_path_begins_with_its_name() {
        let file = "/home/a/.cargo/registry/src/index-1949/hyper-1.7.0/src/rt.rs";
        assert_eq!(Place { file, line: 9, column: Some(5) }.to_string(), "hyper-1.7.0/src/rt.rs:9:5");
        assert_eq!(dependency("/rust/deps/hashbrown-0.16.1/src/raw.rs"), Some("hashbrown-0.16.1/src/raw.rs"));
        assert_eq!(dependency("/home/a/rust/deps/src/cart.rs"), None);
    }

    #[test]
    fn a_place_without_a_column_ends_with_its_line() {
        assert_eq!(Place { file: "src/cart.rs", line: 41, column: None }.to_string(), "src/cart.rs:41");
    }

    #[test]
    fn a_location_is_shown_with_its_column() {
        let here = Location::caller();
        assert_eq!(Place::from(here).to_string(), here.to_string());
    }
}
