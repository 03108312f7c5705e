//! Microsoft Graph `GET /security/incidents`, with the alerts of each.
//!
//! Source: Microsoft Graph "List incidents", "List alerts of an incident". More than 50 per page is refused by the service.
//! `$expand=alerts` fails in big tenants: then each incident's alerts are asked for by themselves.

use muster_model::PageLimits;
use muster_model::page::List;

use super::declaration::{DEFENDER_KEEPS, Declaration, Dialect, Field, Rung, values};
use crate::api::family::Api;
use crate::entra::permissions::{ResourceApp, known};

const FIELDS: [Field; 3] = [
    Field { name: "severity", values: &["informational", "low", "medium", "high", "unknown"] },
    Field {
        name: "status",
        values: &["active", "resolved", "inProgress", "redirected", "awaitingAction", "unknown"],
    },
    Field {
        name: "classification",
        values: &["unknown", "falsePositive", "truePositive", "informationalExpectedActivity"],
    },
];
const VALUES: [u8; FIELDS.len()] = values(&FIELDS);

pub(super) const DECLARATION: Declaration = Declaration {
    api: Some(Api::Graph),
    permissions: &[
        known(ResourceApp::Graph, "SecurityIncident.Read.All"),
        known(ResourceApp::Graph, "SecurityIncident.ReadWrite.All"),
    ],
    tokens_tell: true,
    product: "Microsoft Defender",
    path: "/v1.0/security/incidents",
    dialect: Dialect::OData,
    list: List::Field("value"),
    updated: "lastUpdateDateTime",
    sorts: true,
    page_size: 50,
    page_size_max: 50,
    fields: &FIELDS,
    limits: PageLimits { skip_max: 500, field_values: &VALUES, cuts_silently: true },
    counts: true,
    kept_for: Some(DEFENDER_KEEPS),
    end: None,
    ladder: &[Rung::Expand("$expand=alerts"), Rung::Each("alerts")],
};
