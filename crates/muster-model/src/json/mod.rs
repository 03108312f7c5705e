//! JSON as Microsoft writes it, and as attackers do through Microsoft: read without a tree, without recursion and
//! without refusing more than has to be refused.
//!
//! [`skim`] checks a value and shows the fields of the outermost object. [`Reader`] takes one value after the other.
//! [`Tape`] takes a whole record apart, for a hundred look-ups. [`meaning`] says which values are the same. [`Text`] is what
//! any of them finds in a string.

pub mod meaning;
pub mod names;
mod reader;
pub mod scan;
pub mod skim;
mod tape;
mod text;

pub use reader::Reader;
pub use tape::{Kind, Tape, Value};
pub use text::{Text, from_answer, lenient, text, unescape};

/// The deepest nesting that is read. Records nest at most 100 deep.
pub const DEPTH_MAX: usize = 128;

/// Why a text cannot be read as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON.
    #[error("it is not JSON from byte {at} on")]
    Malformed {
        /// The first byte that cannot be understood.
        at: usize,
    },
    /// Nested more deeply than [`DEPTH_MAX`].
    #[error("it nests more than {DEPTH_MAX} levels deep")]
    TooDeep,
}
