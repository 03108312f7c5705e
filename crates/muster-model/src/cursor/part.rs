//! Part of an instant.

use serde::{Deserialize, Serialize};

/// Part of the records of one instant: those with one value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which of the source's fields.
    pub field: u8,
    /// Which of its values; one more than there are stands for all other values.
    pub value: u8,
}
