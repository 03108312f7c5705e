//! A stream: rows that Defender XDR writes into a storage account. It is read there, and Microsoft's APIs are not asked, so
//! no app needs a permission for it.
//!
//! Source: Microsoft "Stream Microsoft Defender XDR events to your Storage account".

use muster_model::page::List;

use super::declaration::{Declaration, Dialect, HUNTING_LIMITS, Rung};

pub(super) const DECLARATION: Declaration = Declaration {
    api: None,
    permissions: &[],
    tokens_tell: false,
    product: "Microsoft Defender XDR (streaming)",
    path: "",
    dialect: Dialect::OData,
    list: List::Field("records"),
    updated: "Timestamp",
    sorts: false,
    page_size: 0,
    page_size_max: 0,
    fields: &[],
    limits: HUNTING_LIMITS,
    counts: false,
    kept_for: None,
    end: None,
    ladder: &[Rung::Plain],
};
