//! Why a record cannot be written in a format.

use muster_model::json;

/// Why a record cannot be written in a format. Pages are checked when they are fetched, so neither is ordinary life.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not JSON.
    #[error("the record is not JSON from byte {at} on")]
    Malformed {
        /// The first byte that cannot be understood.
        at: usize,
    },
    /// Nested more deeply than any record that is accepted.
    #[error("the record nests too deeply")]
    TooDeep,
    /// Longer than the sink takes, whatever is done with it.
    #[error(
        "the event is {bytes} bytes long and the sink takes {max}: raise its event_size_max and the receiver's limit"
    )]
    TooBig {
        /// The length of its shortest form.
        bytes: usize,
        /// The longest that the sink takes.
        max: usize,
    },
}

impl From<json::Error> for FormatError {
    fn from(error: json::Error) -> Self {
        match error {
            json::Error::Malformed { at } => Self::Malformed { at },
            json::Error::TooDeep => Self::TooDeep,
        }
    }
}
