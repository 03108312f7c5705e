//! Where an event goes at a broker: a text of the settings, such as a subject or a routing key, with places for the
//! tenant and the source.

use std::str::FromStr;

use muster_model::{DeliveryBatch, Source, TenantLabel};
use serde::Deserialize;

use crate::formats::{Template, TemplateError};

/// The longest text that a placeholder becomes: a slug, an id, or a source with the name of a saved query.
const PLACEHOLDER_BYTES_MAX: usize = 96;

/// A text with places for `{{ tenant.slug }}`, `{{ tenant.id }}` and `{{ source }}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PlaceTemplate(Vec<PlacePiece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum PlacePiece {
    Tenant(Template),
    Source,
}

impl PlaceTemplate {
    /// The text for a tenant and a source. The `/` before a saved query's name becomes `-`: at brokers it has no
    /// meaning, and in their commands it may.
    #[must_use]
    pub fn expand(&self, tenant: &TenantLabel, source: Source) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            PlacePiece::Tenant(template) => template.expand(tenant),
            PlacePiece::Source => source.as_str().replace('/', "-"),
        });
        pieces.collect()
    }

    /// The text with `*` where something of the tenant or the source stands.
    #[must_use]
    pub fn pattern(&self) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            PlacePiece::Tenant(template) => template.pattern(),
            PlacePiece::Source => "*".to_owned(),
        });
        pieces.collect()
    }

    /// The longest text that it becomes, in bytes.
    pub(super) fn bytes_max(&self) -> usize {
        let pattern = self.pattern();
        pattern.len() + pattern.matches('*').count() * PLACEHOLDER_BYTES_MAX
    }
}

/// Where each record of a delivery batch goes.
pub(super) struct Places {
    places: Vec<(Source, String)>,
    /// By record.
    of_records: Vec<usize>,
}

impl Places {
    pub(super) fn of(template: &PlaceTemplate, batch: DeliveryBatch<'_>) -> Self {
        // Few sources come together, each in a row.
        let mut places: Vec<(Source, String)> = Vec::new();
        let of_records = batch.records().map(|(source, _)| {
            places.iter().rposition(|(known, _)| *known == source).unwrap_or_else(|| {
                places.push((source, template.expand(batch.tenant, source)));
                places.len() - 1
            })
        });
        let of_records = of_records.collect();
        Self { places, of_records }
    }

    pub(super) fn of_record(&self, record: usize) -> &str {
        let place = self.of_records.get(record).and_then(|place| self.places.get(*place));
        place.map(|(_, place)| place.as_str()).unwrap_or_default()
    }
}

impl FromStr for PlaceTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tenants = |text: &str| match text.parse::<Template>() {
            Ok(template) if template.has_names() => {
                Err("cannot hold tenant.name, which may be anything: use tenant.slug or tenant.id".to_owned())
            }
            Ok(_) if text.contains('*') => Err("cannot hold `*`".to_owned()),
            Ok(template) => Ok(PlacePiece::Tenant(template)),
            Err(TemplateError::Placeholder(other)) => {
                Err(format!("`{other}` is no placeholder: use tenant.slug, tenant.id or source"))
            }
            Err(error) => Err(error.to_string()),
        };
        let (mut pieces, mut of_tenant, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            of_tenant.push_str(before);
            let (name, after) = after.split_once("}}").ok_or_else(|| TemplateError::Open.to_string())?;
            if name.trim() == "source" {
                if !of_tenant.is_empty() {
                    pieces.push(tenants(&std::mem::take(&mut of_tenant))?);
                }
                pieces.push(PlacePiece::Source);
            } else {
                for text in ["{{", name, "}}"] {
                    of_tenant.push_str(text);
                }
            }
            rest = after;
        }
        of_tenant.push_str(rest);
        if !of_tenant.is_empty() || pieces.is_empty() {
            pieces.push(tenants(&of_tenant)?);
        }
        Ok(Self(pieces))
    }
}

impl TryFrom<String> for PlaceTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::testing::tenant;

    #[test]
    fn places_are_filled_in() {
        let template: PlaceTemplate =
            "muster.{{source}}.{{ tenant.slug }}.x-{{ tenant.id }}".parse().expect("one");
        let hunt: Source = "graph_hunting/encoded-commands".to_owned().try_into().expect("a source");
        assert_eq!(
            template.expand(&tenant(0), hunt),
            "muster.graph_hunting-encoded-commands.tenant-0.x-00000000-0000-0000-0000-000000000001"
        );
        assert_eq!(template.pattern(), "muster.*.*.x-*");
        let adjacent: PlaceTemplate = "{{ tenant.slug }}{{ tenant.id }}".parse().expect("one");
        assert_eq!(adjacent.expand(&tenant(0), hunt), "tenant-000000000-0000-0000-0000-000000000001");
        for (text, why) in [
            ("", "empty"),
            ("a.{{ source", "has no `}}`"),
            ("a.{{ severity }}", "use tenant.slug, tenant.id or source"),
            ("{{ source }}.{{ tenant.name }}", "cannot hold tenant.name"),
            ("a.*", "cannot hold `*`"),
        ] {
            let said = text.parse::<PlaceTemplate>().expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
