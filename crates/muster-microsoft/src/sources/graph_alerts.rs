//! Microsoft Graph `GET /security/alerts_v2`.
//!
//! Source: Microsoft Graph "List alerts_v2". Pages of up to 1,000 are given by the service; 500 keeps one page at a few
//! megabytes. No `$orderby` is documented: it is asked for, and not relied on.

use muster_model::PageLimits;
use muster_model::page::List;

use super::declaration::{DEFENDER_KEEPS, Declaration, Dialect, Field, Rung, values};
use crate::api::family::Api;
use crate::entra::permissions::{ResourceApp, known};

const FIELDS: [Field; 4] = [
    Field { name: "severity", values: &["informational", "low", "medium", "high", "unknown"] },
    Field { name: "status", values: &["new", "inProgress", "resolved", "unknown"] },
    Field {
        name: "serviceSource",
        values: &[
            "microsoftDefenderForEndpoint",
            "microsoftDefenderForIdentity",
            "microsoftDefenderForCloudApps",
            "microsoftDefenderForOffice365",
            "microsoft365Defender",
            "azureAdIdentityProtection",
            "microsoftAppGovernance",
            "dataLossPrevention",
            "microsoftDefenderForCloud",
            "microsoftSentinel",
        ],
    },
    Field { name: "classification", values: &["unknown", "falsePositive", "truePositive"] },
];
const VALUES: [u8; FIELDS.len()] = values(&FIELDS);

pub(super) const DECLARATION: Declaration = Declaration {
    api: Some(Api::Graph),
    permissions: &[
        known(ResourceApp::Graph, "SecurityAlert.Read.All"),
        known(ResourceApp::Graph, "SecurityAlert.ReadWrite.All"),
    ],
    tokens_tell: true,
    product: "Microsoft Defender",
    path: "/v1.0/security/alerts_v2",
    dialect: Dialect::OData,
    list: List::Field("value"),
    updated: "lastUpdateDateTime",
    sorts: true,
    page_size: 500,
    page_size_max: 1_000,
    fields: &FIELDS,
    limits: PageLimits { skip_max: 500, field_values: &VALUES, cuts_silently: true },
    counts: true,
    kept_for: Some(DEFENDER_KEEPS),
    end: None,
    ladder: &[Rung::Plain],
};
