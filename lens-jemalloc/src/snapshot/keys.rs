//! Groups of names that are read together. Separate because the macro writes, from one table, the struct that rows are
//! made of, its documentation and the keys that fill it, so that none of the three can differ.

/// A struct of readings, with the keys to read it. `[ARENA = i, CLASS = j]` in a read replaces the indices in the names.
macro_rules! readings {
    (
        $(#[$doc:meta])*
        pub struct $Readings:ident, $Keys:ident<$depth:literal> {
            $( $(#[$field_doc:meta])* $field:ident: $T:ty => $Raw:ty = $name:literal, )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $Readings {
            $( $(#[$field_doc])* pub $field: $T, )*
        }

        #[derive(Debug)]
        pub(crate) struct $Keys {
            $( $field: $crate::ffi::mallctl::Key<$Raw, $depth>, )*
        }

        impl $Keys {
            pub(crate) fn new() -> Result<Self, $crate::ffi::mallctl::Refused> {
                Ok(Self { $( $field: $crate::ffi::mallctl::Key::new($name)?, )* })
            }

            /// Reads all of them, with each `(place, index)` put into the names.
            pub(crate) fn read(
                &self,
                at: &[(usize, usize)],
            ) -> Result<$Readings, $crate::ffi::mallctl::Refused> {
                Ok($Readings { $( $field: at.iter().fold(self.$field, |key, &(place, index)| key.with(place, index)).read()?, )* })
            }
        }
    };
}
pub(crate) use readings;
