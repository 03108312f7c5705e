//! Defender for Endpoint `GET /api/alerts`, with the evidence of each.
//!
//! Source: Microsoft "List alerts API" and "Get alert information by ID API" of Defender for Endpoint. Up to 10,000 per page
//! are given; with evidence an alert takes about 5 kB, so 500 keep a page at a few megabytes. No `$orderby` and no next page
//! are documented. Without `$expand=evidence` the list of evidence is empty, not missing; one alert by its id has it.

use muster_model::PageLimits;
use muster_model::page::List;

use super::declaration::{DEFENDER_KEEPS, Declaration, Dialect, Field, Rung, values};
use crate::api::family::Api;
use crate::entra::permissions::{ResourceApp, known};

const FIELDS: [Field; 3] = [
    Field { name: "severity", values: &["Informational", "Low", "Medium", "High", "UnSpecified"] },
    Field { name: "status", values: &["New", "InProgress", "Resolved", "Unknown"] },
    Field {
        name: "detectionSource",
        values: &["WindowsDefenderAtp", "WindowsDefenderAv", "CustomDetection", "AutomatedInvestigation"],
    },
];
const VALUES: [u8; FIELDS.len()] = values(&FIELDS);

pub(super) const DECLARATION: Declaration = Declaration {
    api: Some(Api::DefenderForEndpoint),
    permissions: &[
        known(ResourceApp::DefenderForEndpoint, "Alert.Read.All"),
        known(ResourceApp::DefenderForEndpoint, "Alert.ReadWrite.All"),
    ],
    tokens_tell: true,
    product: "Microsoft Defender for Endpoint",
    path: "/api/alerts",
    dialect: Dialect::OData,
    list: List::Field("value"),
    updated: "lastUpdateTime",
    sorts: false,
    page_size: 500,
    page_size_max: 10_000,
    fields: &FIELDS,
    limits: PageLimits { skip_max: 10_000, field_values: &VALUES, cuts_silently: true },
    counts: false,
    kept_for: Some(DEFENDER_KEEPS),
    end: None,
    ladder: &[Rung::Expand("$expand=evidence"), Rung::ByItself("evidence")],
};
