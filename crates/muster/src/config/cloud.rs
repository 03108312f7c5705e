//! `[cloud]`: which of Microsoft's clouds the tenants are in.

use std::path::PathBuf;

use muster_microsoft::{Cloud, CloudError, NationalCloud};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloudSettings {
    /// `global`, `gcc`, `gcc_high`, `dod`, `china`, `france`, `germany`, `singapore` or `custom`.
    pub name: String,
    /// The identity platform, for `custom`.
    pub login: Option<String>,
    /// Microsoft Graph, for `custom`.
    pub graph: Option<String>,
    /// What Graph's tokens are asked for, where it is not `https://graph.microsoft.com`; for `custom`.
    pub graph_resource: Option<String>,
    /// The region whose hosts of the Defender APIs are asked: `us`, `eu`, `uk`, `au`, `swa`, `ina` or `aea`.
    pub region: Option<String>,
    /// PEM certificates that are trusted for these hosts beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Ask for tokens that live long and may be ended at any time (continuous access evaluation).
    pub continuous_access: bool,
}

impl Default for CloudSettings {
    fn default() -> Self {
        Self {
            name: "global".to_owned(),
            login: None,
            graph: None,
            graph_resource: None,
            region: None,
            ca_file: None,
            continuous_access: false,
        }
    }
}

impl CloudSettings {
    /// The hosts.
    ///
    /// # Errors
    /// When the name is unknown, an address cannot be used, or addresses are given without `custom`.
    pub fn cloud(&self) -> Result<Cloud, CloudError> {
        let cloud = self.whole_cloud()?;
        self.region.as_ref().map_or(Ok(cloud.clone()), |region| cloud.in_region(region))
    }

    fn whole_cloud(&self) -> Result<Cloud, CloudError> {
        if self.name != "custom" {
            let national: NationalCloud = self.name.parse()?;
            if let Some(address) =
                self.login.as_ref().or(self.graph.as_ref()).or(self.graph_resource.as_ref())
            {
                return Err(CloudError::Address(address.clone(), "addresses are for name = \"custom\" only"));
            }
            return Ok(Cloud::national(national));
        }
        let missing =
            |name: &str| CloudError::Address(name.to_owned(), "it is missing, and a custom cloud needs it");
        let login = self.login.as_deref().ok_or_else(|| missing("login"))?;
        let graph = self.graph.as_deref().ok_or_else(|| missing("graph"))?;
        Cloud::custom(login, graph, self.graph_resource.clone())
    }
}
