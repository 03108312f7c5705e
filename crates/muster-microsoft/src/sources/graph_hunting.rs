//! A saved query asked by Microsoft Graph `POST /security/runHuntingQuery`. What is asked stands in the settings: see `hunting/saved.rs`.
//!
//! Source: Microsoft "security: runHuntingQuery". Rows of the last 30 days, at most 100,000 of them.

use muster_model::page::List;

use super::declaration::{Declaration, Dialect, HUNTING_KEEPS, HUNTING_LIMITS, Rung};
use crate::hunting::{HuntingApi, ROWS_MAX};

pub(super) const DECLARATION: Declaration = Declaration {
    api: Some(HuntingApi::Graph.api()),
    permissions: HuntingApi::Graph.permissions(),
    tokens_tell: true,
    product: "Microsoft Defender XDR (advanced hunting)",
    path: HuntingApi::Graph.path(),
    dialect: Dialect::OData,
    list: List::Field("value"),
    updated: "Timestamp",
    sorts: false,
    page_size: ROWS_MAX,
    page_size_max: ROWS_MAX,
    fields: &[],
    limits: HUNTING_LIMITS,
    counts: false,
    kept_for: Some(HUNTING_KEEPS),
    end: HuntingApi::Graph.end_of_source(),
    ladder: &[Rung::Plain],
};
