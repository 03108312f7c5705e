//! Texts of the settings with places for what a tenant is called.

use std::str::FromStr;

use muster_model::TenantLabel;
use serde::Deserialize;

/// A text with places for `{{ tenant.slug }}`, `{{ tenant.id }}` and `{{ tenant.name }}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(pub(crate) Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(String),
    Slug,
    Id,
    Name,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// `{{` without `}}`.
    #[error("`{{{{` has no `}}}}`")]
    Open,
    /// Not one of the placeholders.
    #[error("`{0}` is no placeholder: use tenant.slug, tenant.id or tenant.name")]
    Placeholder(String),
    /// Something that Splunk does not take in the name of an index.
    #[error(
        "`{0}` cannot be in the name of an index: lower-case letters, digits, `_` and `-`, the first one a letter or \
         digit, with tenant.slug or tenant.id"
    )]
    Index(String),
}

impl Template {
    /// The text for `tenant`.
    #[must_use]
    pub fn expand(&self, tenant: &TenantLabel) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Slug => text.push_str(tenant.slug.as_str()),
                Piece::Id => text.push_str(&tenant.id.to_string()),
                Piece::Name => text.push_str(&tenant.name),
            }
        }
        text
    }
}

impl Template {
    /// The text with `*` where a tenant's own stands.
    #[must_use]
    pub fn pattern(&self) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Literal(literal) => literal.as_str(),
            Piece::Slug | Piece::Id | Piece::Name => "*",
        });
        pieces.collect()
    }

    /// Whether a tenant's name is in it, which may be anything.
    pub fn has_names(&self) -> bool {
        self.0.contains(&Piece::Name)
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("{{") {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let (name, after) = after.split_once("}}").ok_or(TemplateError::Open)?;
            pieces.push(match name.trim() {
                "tenant.slug" => Piece::Slug,
                "tenant.id" => Piece::Id,
                "tenant.name" => Piece::Name,
                other => return Err(TemplateError::Placeholder(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        if pieces.is_empty() { Err(TemplateError::Empty) } else { Ok(Self(pieces)) }
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
