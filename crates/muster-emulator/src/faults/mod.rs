//! What goes wrong on purpose: see [`kind`].

pub(crate) mod active;
pub(crate) mod kind;
pub(crate) mod mixture;
pub(crate) mod quirks;
pub(crate) mod spoil;
