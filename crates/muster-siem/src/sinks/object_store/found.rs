//! What comes of making an object, of looking at one, and of reading some of one.

use bytes::Bytes;
use muster_model::Trouble;

/// What came of making an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It is there now.
    Created,
    /// There is one of that name; or another writer is about to make one.
    Exists,
}

/// What is there under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// These very bytes.
    Same,
    /// Something else.
    Other,
    Nothing,
}

/// Some bytes of a blob.
#[derive(Debug)]
pub struct Piece {
    /// As many as were asked for, or fewer where it ends.
    pub bytes: Bytes,
    /// The content that they are of.
    pub etag: String,
    /// How long all of that is, in bytes.
    pub size: u64,
}

/// Why a blob brought no bytes.
#[derive(Debug)]
pub enum ReadTrouble {
    /// It is not there any more.
    Gone,
    /// It has become shorter than what is asked for.
    Changed,
    /// This blob is refused; others may not be.
    Refused(Trouble),
    /// Nothing can be read now.
    Down(Trouble),
}
