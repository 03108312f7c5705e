//! Advanced hunting: a small part of KQL over a few tables of the emulated world, asked through three APIs.

mod kql;
mod rows;
pub(crate) mod service;
pub(crate) mod tables;
