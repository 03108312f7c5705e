//! `[[routes]]`: which records go to which sinks.

use muster_model::{Severity, Source, SourcePattern, TenantLabel};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// What it is called in the journey of a record; its number when it is missing.
    #[serde(default)]
    pub name: Option<String>,
    /// Slugs or ids of tenants; `*` stands for any letters.
    #[serde(default = "everyone")]
    pub tenants: Vec<String>,
    /// Sources; all when it is missing.
    #[serde(default = "all_sources", deserialize_with = "sources")]
    pub sources: Vec<SourcePattern>,
    /// Only records of this severity and worse. Records without one always pass.
    #[serde(default, deserialize_with = "severity")]
    pub min_severity: Severity,
    pub sinks: Vec<String>,
}

pub(super) fn everyone() -> Vec<String> {
    vec!["*".to_owned()]
}

fn all_sources() -> Vec<SourcePattern> {
    SourcePattern::ALL.to_vec()
}

fn sources<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<SourcePattern>, D::Error> {
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

fn severity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl RouteSettings {
    /// The section of the route at `index`, in mistakes.
    pub(super) fn section(index: usize) -> String {
        format!("routes #{}", index + 1)
    }

    /// What stands for a route that could not be read.
    pub(super) fn nowhere() -> Self {
        let (name, tenants, sources, sinks) = (None, everyone(), all_sources(), Vec::new());
        Self { name, tenants, sources, min_severity: Severity::Unknown, sinks }
    }

    /// What it is called, as the route at `index`.
    pub fn called(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("#{}", index + 1))
    }

    /// Whether records of `source` of this tenant take the route, where they are severe enough.
    pub fn serves(&self, tenant: &TenantLabel, source: Source) -> bool {
        self.sources.iter().any(|pattern| pattern.fits(source))
            && self.tenants.iter().any(|pattern| Self::names(pattern, tenant))
    }

    /// Whether a pattern of `tenants` fits a tenant.
    pub fn names(pattern: &str, tenant: &TenantLabel) -> bool {
        matches(pattern, tenant.slug.as_str()) || matches(pattern, &tenant.id.to_string())
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
