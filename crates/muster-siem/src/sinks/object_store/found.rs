//! What comes of making an object, and of looking at one.

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
