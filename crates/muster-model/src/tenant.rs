//! A customer's Entra directory, and the names it goes by.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Source, Tag, text};

/// The id of a customer's Entra tenant: a GUID, always shown in lower case with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenantId(Uuid);

impl TenantId {
    /// The id as a UUID.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for TenantId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// What is wrong with the words that were to name a tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseTenantError {
    /// Not a GUID.
    #[error("`{0}` is not a tenant id: a GUID such as 5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d is wanted")]
    Id(String),
    /// Not a domain name.
    #[error("`{0}` is not a domain name: letters, digits, hyphens and dots, such as contoso.example")]
    Domain(String),
    /// Neither a GUID nor a domain name.
    #[error("`{0}` is neither a tenant id (a GUID) nor a domain name such as contoso.example")]
    Reference(String),
    /// Not a state.
    #[error("`{0}` is not a state of a tenant")]
    State(String),
    /// Not a slug.
    #[error("`{0}` is not a slug: lower-case letters, digits and hyphens, at most 63, such as contoso")]
    Slug(String),
}

impl FromStr for TenantId {
    type Err = ParseTenantError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        // Only the hyphenated form: the other spellings of a UUID (braces, urn) are never a tenant id.
        let id = (value.len() == 36).then(|| Uuid::try_parse(value).ok()).flatten();
        id.filter(|id| !id.is_nil()).map(Self).ok_or_else(|| ParseTenantError::Id(shown(value)))
    }
}

/// A domain name that a tenant has verified, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

impl DomainName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = ParseTenantError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let fits = value.len() <= 253 && value.contains('.') && value.split('.').all(label);
        if fits { Ok(Self(value.to_ascii_lowercase())) } else { Err(ParseTenantError::Domain(shown(value))) }
    }
}

impl TryFrom<String> for DomainName {
    type Error = ParseTenantError;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl From<DomainName> for String {
    fn from(value: DomainName) -> Self {
        value.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a person may type to mean a tenant that is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantReference {
    /// The tenant id.
    Id(TenantId),
    /// A verified domain, to be resolved by the identity platform.
    Domain(DomainName),
}

impl FromStr for TenantReference {
    type Err = ParseTenantError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = value.parse() {
            return Ok(Self::Id(id));
        }
        value.parse().map(Self::Domain).map_err(|_| ParseTenantError::Reference(shown(value)))
    }
}

/// The short name of a tenant in commands, index names and metrics: `[a-z0-9-]`, at most 63, unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

impl Slug {
    /// The slug.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A slug made from a display or domain name: `Contoso Ltd.` gives `contoso-ltd`. `None` when nothing of the
    /// name can be used.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut slug = String::new();
        for character in name.chars().map(|character| character.to_ascii_lowercase()) {
            if character.is_ascii_alphanumeric() {
                slug.push(character);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
            if slug.len() == 63 {
                break;
            }
        }
        let slug = slug.trim_end_matches('-');
        (!slug.is_empty()).then(|| Self(slug.to_owned()))
    }
}

impl FromStr for Slug {
    type Err = ParseTenantError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let fits = (1..=63).contains(&value.len())
            && !value.starts_with('-')
            && !value.ends_with('-')
            && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if fits { Ok(Self(value.to_owned())) } else { Err(ParseTenantError::Slug(shown(value))) }
    }
}

impl TryFrom<String> for Slug {
    type Error = ParseTenantError;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl From<Slug> for String {
    fn from(value: Slug) -> Self {
        value.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How far a tenant has come. Only an active one is fetched; what was accepted before is delivered in every state but
/// the last.
///
/// That something fails is no state: it is seen in the checks and in how the sources are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    /// Its administrator has been asked for consent.
    Invited,
    /// Its administrator has consented, as far as the answer tells.
    Consented,
    /// A token was had there, and its sources are being checked.
    Verifying,
    /// Its sources are fetched.
    Active,
    /// Nothing is fetched until it is resumed.
    Paused,
    /// All that was kept of it is gone but its name.
    Offboarded,
}

impl TenantState {
    /// Every state, in the order in which a tenant goes through them.
    pub const ALL: [Self; 6] =
        [Self::Invited, Self::Consented, Self::Verifying, Self::Active, Self::Paused, Self::Offboarded];

    /// The word in commands, tables and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Consented => "consented",
            Self::Verifying => "verifying",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Offboarded => "offboarded",
        }
    }
}

impl FromStr for TenantState {
    type Err = ParseTenantError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == value);
        state.ok_or_else(|| ParseTenantError::State(shown(value)))
    }
}

impl fmt::Display for TenantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A customer's tenant as Muster knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// The Entra tenant id.
    pub id: TenantId,
    /// The short, unique name.
    pub slug: Slug,
    /// The name shown to people.
    pub name: String,
    /// The domain by which it was added, if it was.
    pub domain: Option<DomainName>,
    /// The name of the app (of the settings) that reads this tenant.
    pub app: String,
    /// What is read.
    pub sources: BTreeSet<Source>,
    /// What it is grouped by, for routes.
    pub tags: BTreeSet<Tag>,
    /// Whether it is worked on.
    pub state: TenantState,
    /// When it was added.
    pub added_at: Timestamp,
    /// From when on records are fetched the first time.
    pub since: Timestamp,
}

impl Tenant {
    /// The names that formats write into events.
    #[must_use]
    pub fn label(&self) -> TenantLabel {
        TenantLabel { id: self.id, slug: self.slug.clone(), name: self.name.clone() }
    }

    /// Those of its sources of which Microsoft is asked: all but streams, which are read where they lie.
    pub fn asked(&self) -> impl Iterator<Item = Source> + Clone + '_ {
        self.sources.iter().copied().filter(|source| source.stream().is_none())
    }
}

/// The names of a tenant that formats write into events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLabel {
    /// The Entra tenant id.
    pub id: TenantId,
    /// The short, unique name.
    pub slug: Slug,
    /// The name shown to people.
    pub name: String,
}

/// A bit of hostile input, fit for an error message.
fn shown(value: &str) -> String {
    text::shown(value, 80)
}

#[cfg(test)]
mod tests {
    use super::{DomainName, Slug, TenantId, TenantReference, TenantState};

    #[test]
    fn states_are_read_back_from_their_words() {
        for state in TenantState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            let json = serde_json::to_string(&state).expect("a word");
            assert_eq!(json, format!("\"{state}\""));
        }
        assert!("Active".parse::<TenantState>().is_err());
        assert!("failing".parse::<TenantState>().is_err());
    }

    #[test]
    fn tenant_ids_are_hyphenated_guids_only() {
        let id: TenantId = "5F0D2C3E-8A41-4B52-9C1E-0D6F7A8B9C0D".parse().expect("a GUID");
        assert_eq!(id.to_string(), "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d");
        for wrong in [
            "",
            "common",
            "{5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d}",
            "5f0d2c3e8a414b529c1e0d6f7a8b9c0d",
            "../x",
        ] {
            assert!(wrong.parse::<TenantId>().is_err(), "{wrong}");
        }
        assert!("00000000-0000-0000-0000-000000000000".parse::<TenantId>().is_err());
    }

    #[test]
    fn domains_cannot_leave_their_place_in_a_url() {
        assert_eq!("Contoso.Example".parse::<DomainName>().expect("a domain").as_str(), "contoso.example");
        for wrong in [
            "contoso",
            "contoso..example",
            "a/b.example",
            "a%2f.example",
            "-a.example",
            "a.example?x",
            "ä.example",
        ] {
            assert!(wrong.parse::<DomainName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reference_is_a_guid_or_a_domain() {
        assert!(matches!("contoso.example".parse(), Ok(TenantReference::Domain(_))));
        assert!(matches!("5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse(), Ok(TenantReference::Id(_))));
        let error = "no\nsuch".parse::<TenantReference>().expect_err("neither");
        assert_eq!(
            error.to_string(),
            "`no such` is neither a tenant id (a GUID) nor a domain name such as contoso.example"
        );
    }

    #[test]
    fn slugs_are_made_from_names() {
        assert_eq!(Slug::from_name("Contoso Ltd.").expect("usable").as_str(), "contoso-ltd");
        assert_eq!(Slug::from_name("  Åre & Söner ").expect("usable").as_str(), "re-s-ner");
        assert_eq!(Slug::from_name("中国"), None);
    }
}
