//! The permissions that Muster knows: their ids, what each allows, and why Muster asks for it.
//!
//! Source: Microsoft Graph permissions reference; Defender permission lists.

use muster_model::Source;

/// An API that permissions belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceApp {
    /// Microsoft Graph.
    Graph,
    /// Defender for Endpoint (`WindowsDefenderATP`).
    DefenderForEndpoint,
    /// Microsoft 365 Defender (`Microsoft Threat Protection`).
    DefenderXdr,
    /// Azure AD Graph, retired; the audience of the old SIEM feed.
    AzureAdGraph,
}

impl ResourceApp {
    /// Every API.
    pub const ALL: [Self; 4] =
        [Self::Graph, Self::DefenderForEndpoint, Self::DefenderXdr, Self::AzureAdGraph];

    /// Its application id, the same in every tenant.
    #[must_use]
    pub fn app_id(self) -> &'static str {
        match self {
            Self::Graph => "00000003-0000-0000-c000-000000000000",
            Self::DefenderForEndpoint => "fc780465-2017-40d4-a0c5-307022471b92",
            Self::DefenderXdr => "8ee8fdad-f234-4243-8f3b-15c294843740",
            Self::AzureAdGraph => "00000002-0000-0000-c000-000000000000",
        }
    }

    /// Its name in Microsoft's portals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Graph => "Microsoft Graph",
            Self::DefenderForEndpoint => "WindowsDefenderATP",
            Self::DefenderXdr => "Microsoft Threat Protection",
            Self::AzureAdGraph => "Windows Azure Active Directory",
        }
    }
}

/// A permission of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Whose.
    pub resource: ResourceApp,
    /// The application permission's name and id.
    pub role: Option<(&'static str, &'static str)>,
    /// The delegated permission's name and id.
    pub scope: Option<(&'static str, &'static str)>,
    /// What it allows, in plain words.
    pub allows: &'static str,
    /// Why Muster asks for it.
    pub why: &'static str,
}

/// What `source` needs: any one of these will do, the first is the least.
#[must_use]
#[expect(clippy::todo, reason = "signatures first")]
pub fn for_source(source: Source) -> &'static [Permission] {
    let _ = source;
    todo!()
}

/// Every permission that is known.
#[must_use]
#[expect(clippy::todo, reason = "signatures first")]
pub fn all() -> &'static [Permission] {
    todo!()
}

/// The permission of this name, as a role or as a scope.
#[must_use]
pub fn by_name(resource: Option<ResourceApp>, name: &str) -> Option<&'static Permission> {
    all().iter().find(|permission| {
        resource.is_none_or(|resource| resource == permission.resource)
            && [permission.role, permission.scope].into_iter().flatten().any(|(known, _)| known == name)
    })
}
