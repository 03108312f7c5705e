//! `[[routes]]`: which records go to which sinks.

use muster_model::{Asked, Redaction, RouteFacts, Severity, Slug, Source, SourcePattern, Tenant, TenantId};
use serde::{Deserialize, Serialize};

use super::words::{Fit, Words};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// What it is called in the journey of a record; its number when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Slugs or ids of tenants; `*` stands for any letters.
    #[serde(default = "everyone")]
    pub tenants: Vec<String>,
    /// Tags of which a tenant must have one, with `*` as above; all tenants when it is missing.
    #[serde(default, deserialize_with = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Sources; all when it is missing.
    #[serde(default = "all_sources", deserialize_with = "sources", serialize_with = "source_names")]
    pub sources: Vec<SourcePattern>,
    /// Only records of this severity and worse. Records without one always pass.
    #[serde(default, deserialize_with = "severity")]
    pub min_severity: Severity,
    /// Only records of one of these statuses; `none` stands for records that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Words>,
    /// Only records that one of these services raised, by their `serviceSource` or `detectionSource`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Words>,
    /// Only records of one of these categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<Words>,
    /// Fields of records that its sinks do not get.
    #[serde(default, deserialize_with = "paths", skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Fields of which its sinks get no more than that they are there.
    #[serde(default, deserialize_with = "paths", skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<String>,
    pub sinks: Vec<String>,
}

/// Why a route does not take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    /// It is another tenant's.
    Tenant,
    /// Its tenant has none of the tags.
    Tag,
    /// It comes from another source.
    Source,
    /// It is less severe.
    Severity,
    Status(Fit),
    Service(Fit),
    Category(Fit),
}

pub(super) fn everyone() -> Vec<String> {
    vec!["*".to_owned()]
}

fn all_sources() -> Vec<SourcePattern> {
    SourcePattern::ALL.to_vec()
}

pub(super) fn sources<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<SourcePattern>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let (mut sources, mut wrong) = (Vec::new(), Vec::new());
    for name in &names {
        match name.parse::<SourcePattern>() {
            Ok(source) => sources.push(source),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    match wrong.is_empty() {
        true => Ok(sources),
        false => Err(serde::de::Error::custom(wrong.join("; "))),
    }
}

fn source_names<S: serde::Serializer>(sources: &[SourcePattern], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(sources.iter().map(SourcePattern::to_string))
}

fn tags<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let patterns = Vec::<String>::deserialize(deserializer)?;
    if patterns.is_empty() {
        return Err(serde::de::Error::custom(
            "it is empty, so it fits no tenant: leave it out where tags do not matter",
        ));
    }
    for pattern in &patterns {
        // With something in place of each star it must be a tag.
        let filled = pattern.replace('*', "x");
        if let Err(error) = filled.parse::<muster_model::Tag>() {
            let said = if pattern.contains('*') {
                format!("`{}` can fit no tag", muster_model::text::shown(pattern, 80))
            } else {
                error.to_string()
            };
            return Err(serde::de::Error::custom(said));
        }
    }
    Ok(Some(patterns))
}

fn paths<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let paths = Vec::<String>::deserialize(deserializer)?;
    let wrong = match Redaction::new(&paths, &[]) {
        Ok(_) => return Ok(paths),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    Err(serde::de::Error::custom(wrong.join("; ")))
}

fn severity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl RouteSettings {
    /// A route of all records to these sinks.
    pub fn of_all(sinks: Vec<String>) -> Self {
        Self {
            name: None,
            tenants: everyone(),
            tags: None,
            sources: all_sources(),
            min_severity: Severity::Unknown,
            statuses: None,
            services: None,
            categories: None,
            drop: Vec::new(),
            mask: Vec::new(),
            sinks,
        }
    }

    /// The section of the route at `index`, in mistakes.
    pub(super) fn section(index: usize) -> String {
        format!("routes #{}", index + 1)
    }

    /// What stands for a route that could not be read.
    pub(super) fn nowhere() -> Self {
        Self::of_all(Vec::new())
    }

    /// What it is called, as the route at `index`.
    pub fn called(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("#{}", index + 1))
    }

    /// Whether records of `source` of this tenant take the route, where they say what it asks for.
    pub fn serves(&self, tenant: &Tenant, source: Source) -> bool {
        self.is_from(source) && self.is_for(tenant)
    }

    /// Why the route does not take a record: everything that is against it. Empty where it takes the record.
    pub fn objections(
        &self,
        tenant: &Tenant,
        source: Source,
        severity: Severity,
        facts: &RouteFacts,
    ) -> Vec<Objection> {
        let mut objections = Vec::new();
        if !self.names_tenant(tenant) {
            objections.push(Objection::Tenant);
        }
        if !self.has_tag_of(tenant) {
            objections.push(Objection::Tag);
        }
        if !self.is_from(source) {
            objections.push(Objection::Source);
        }
        objections.extend(self.objections_to_what_it_says(severity, facts));
        objections
    }

    /// The same, for a record whose tenant and source the route serves.
    pub fn objections_to_what_it_says(&self, severity: Severity, facts: &RouteFacts) -> Vec<Objection> {
        let mut objections = Vec::new();
        if !severity.passes(self.min_severity) {
            objections.push(Objection::Severity);
        }
        let mut look = |wanted: &Option<Words>, said: &[String], objection: fn(Fit) -> Objection| match wanted
            .as_ref()
            .map_or(Fit::Takes, |wanted| wanted.fit(said))
        {
            Fit::Takes => {}
            fit => objections.push(objection(fit)),
        };
        look(&self.statuses, &facts.statuses, Objection::Status);
        look(&self.services, &facts.services, Objection::Service);
        look(&self.categories, &facts.categories, Objection::Category);
        objections
    }

    /// What of records its sinks do not get.
    pub fn redaction(&self) -> Redaction {
        // The paths were looked at when the settings were read. Whatever else cannot be told apart is kept back.
        Redaction::new(&self.drop, &self.mask).unwrap_or_else(|_| Redaction::of_everything())
    }

    /// What of a record it asks for, beside its severity.
    pub fn asks(&self) -> Asked {
        Asked {
            status: self.statuses.is_some(),
            service: self.services.is_some(),
            category: self.categories.is_some(),
        }
    }

    /// Whether it leads to this sink.
    pub fn leads_to(&self, sink: &str) -> bool {
        self.sinks.iter().any(|name| name == sink)
    }

    /// Whether it is for records of this source.
    pub fn is_from(&self, source: Source) -> bool {
        self.sources.iter().any(|pattern| pattern.fits(source))
    }

    /// Whether it is for this tenant, by name and tag.
    pub fn is_for(&self, tenant: &Tenant) -> bool {
        self.names_tenant(tenant) && self.has_tag_of(tenant)
    }

    fn names_tenant(&self, tenant: &Tenant) -> bool {
        self.tenants.iter().any(|pattern| Self::names(pattern, (&tenant.slug, tenant.id)))
    }

    fn has_tag_of(&self, tenant: &Tenant) -> bool {
        let fits = |pattern: &String| Self::tags(pattern, tenant);
        self.tags.as_ref().is_none_or(|patterns| patterns.iter().any(fits))
    }

    /// Whether a pattern of `tenants` fits a tenant.
    pub fn names(pattern: &str, (slug, id): (&Slug, TenantId)) -> bool {
        matches(pattern, slug.as_str()) || matches(pattern, &id.to_string())
    }

    /// Whether a text fits a pattern in which `*` stands for any letters.
    pub fn fits(pattern: &str, text: &str) -> bool {
        matches(pattern, text)
    }

    /// Whether a pattern of `tags` fits one of a tenant's.
    pub fn tags(pattern: &str, tenant: &Tenant) -> bool {
        tenant.tags.iter().any(|tag| matches(pattern, tag.as_str()))
    }
}

impl Objection {
    /// Whether it is only that the record does not say what the route asks for.
    pub fn is_silence(self) -> bool {
        matches!(
            self,
            Self::Status(Fit::NotSaid) | Self::Service(Fit::NotSaid) | Self::Category(Fit::NotSaid)
        )
    }
}

/// Whether `text` fits a pattern in which `*` stands for any letters, also none.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, rest)) => text.strip_prefix(before).is_some_and(|text| {
            (0..=text.len()).any(|skip| text.is_char_boundary(skip) && matches(rest, &text[skip..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("*", "contoso"),
            ("contoso", "contoso"),
            ("con*", "contoso"),
            ("*o", "contoso"),
            ("c*t*o", "contoso"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "contoso"), ("conto", "contoso"), ("*x", "contoso"), ("c*tx*", "contoso")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
