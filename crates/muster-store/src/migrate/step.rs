//! What is told of a move.

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveStep<'a> {
    /// The source is looked through for damage.
    Checking,
    /// Rows of a table are copied: so many of so many are there.
    Copying(&'a str, u64, u64),
    /// Both sides of a table are compared.
    Comparing(&'a str),
}
