//! How ECS documents are made.

use muster_model::{Severity, TenantLabel};
use serde::Deserialize;

use crate::formats::writing::template::Template;

/// How ECS documents are made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EcsOptions {
    /// The version of ECS, stated in each document.
    pub ecs_version: EcsVersion,
    /// `data_stream.namespace`, with places for `{{ tenant.slug }}` and the like; `default` when missing. What Elastic
    /// does not take in a namespace becomes `_`.
    pub namespace: Option<Template>,
    /// Whether `event.original` holds Microsoft's record once more, as one string.
    pub event_original: bool,
}

impl EcsOptions {
    /// `data_stream.namespace` of this tenant's documents.
    #[must_use]
    pub fn namespace_of(&self, tenant: &TenantLabel) -> String {
        let Some(template) = &self.namespace else {
            return "default".to_owned();
        };
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        let letters = template.expand(tenant).to_lowercase();
        letters.chars().map(|letter| if fits(letter) { letter } else { '_' }).take(100).collect()
    }
}

/// A version of ECS that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum EcsVersion {
    /// That of Elastic's integrations up to their versions of 2024. `event.severity` counts from 1 to 4.
    #[serde(rename = "8.11")]
    V8_11,
    /// The newest. `event.severity` is 21, 47, 73 or 99, as in Elastic's detection engine.
    #[default]
    #[serde(rename = "9.4")]
    V9_4,
}

impl EcsVersion {
    /// As it is written in `ecs.version`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V8_11 => "8.11.0",
            Self::V9_4 => "9.4.0",
        }
    }

    /// `event.severity` of Microsoft's severity; `None` for one that says nothing.
    pub(super) fn severity(self, severity: Severity) -> Option<i64> {
        use Severity::{High, Informational, Low, Medium, Unknown};
        let (old, new) = match severity {
            Unknown => return None,
            Informational => (1, 21),
            Low => (2, 47),
            Medium => (3, 73),
            High => (4, 99),
        };
        Some(match self {
            Self::V8_11 => old,
            Self::V9_4 => new,
        })
    }
}
