//! What formats write with.

pub(crate) mod distinct;
pub(crate) mod edit;
pub(crate) mod field;
pub(crate) mod quote;
pub(crate) mod template;
pub(crate) mod unit;
pub(crate) mod visible;
