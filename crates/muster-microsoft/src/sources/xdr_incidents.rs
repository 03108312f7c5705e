//! Microsoft Defender XDR `GET /api/incidents`, which gives each incident with its alerts.
//!
//! Source: Microsoft "List incidents API in Microsoft Defender XDR". At most 100 per page, newest first, and no next page is
//! ever named; only times, status and the assigned person can be asked by. An oversized offset is not documented: it is
//! learnt when it is refused.

use muster_model::PageLimits;
use muster_model::page::List;

use super::declaration::{DEFENDER_KEEPS, Declaration, Dialect, Field, Rung, values};
use crate::api::family::Api;
use crate::entra::permissions::{ResourceApp, known};

const FIELDS: [Field; 1] =
    [Field { name: "status", values: &["Active", "InProgress", "Resolved", "Redirected"] }];
const VALUES: [u8; FIELDS.len()] = values(&FIELDS);

pub(super) const DECLARATION: Declaration = Declaration {
    api: Some(Api::DefenderXdr),
    permissions: &[
        known(ResourceApp::DefenderXdr, "Incident.Read.All"),
        known(ResourceApp::DefenderXdr, "Incident.ReadWrite.All"),
    ],
    tokens_tell: true,
    product: "Microsoft Defender XDR",
    path: "/api/incidents",
    dialect: Dialect::OData,
    list: List::Field("value"),
    updated: "lastUpdateTime",
    sorts: false,
    page_size: 100,
    page_size_max: 100,
    fields: &FIELDS,
    limits: PageLimits { skip_max: 10_000, field_values: &VALUES, cuts_silently: true },
    counts: false,
    kept_for: Some(DEFENDER_KEEPS),
    end: None,
    ladder: &[Rung::Plain],
};
