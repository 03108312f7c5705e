//! `[siem_feed]`: where the retired SIEM API of Defender for Endpoint is read, and of which devices.

use std::collections::{BTreeMap, BTreeSet};

use muster_microsoft::Cloud;
use muster_microsoft::sources::SiemFeed;
use muster_model::TenantId;
use serde::Deserialize;

/// `[siem_feed]`, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiemFeedSettings {
    /// The region whose host is asked: `us`, `eu` or `uk`.
    pub region: Option<String>,
    /// The ids of tenants in other regions, by region.
    pub regions: BTreeMap<String, Vec<TenantId>>,
    /// Only devices of one of these groups.
    pub machine_groups: Vec<String>,
    /// Only devices with this tag in their registry.
    pub device_tag: Option<String>,
    /// Only devices that were given these tags in the portal.
    pub cloud_tags: Vec<String>,
}

impl SiemFeedSettings {
    /// What the collector goes by.
    pub fn feed(&self) -> SiemFeed {
        let of_region = |(region, tenants): (&String, &Vec<TenantId>)| {
            let region = region.clone();
            tenants.iter().map(move |tenant| (*tenant, region.clone())).collect::<Vec<_>>()
        };
        SiemFeed {
            region: self.region.clone(),
            regions: self.regions.iter().flat_map(of_region).collect(),
            machine_groups: self.machine_groups.clone(),
            device_tag: self.device_tag.clone(),
            cloud_tags: self.cloud_tags.clone(),
        }
    }

    /// What is wrong with it in `cloud`: the key, and why.
    pub(super) fn mistakes(&self, cloud: &Cloud) -> Vec<(&'static str, String)> {
        let known = cloud.siem_regions();
        let named = self.region.iter().map(|region| ("region", region));
        let named = named.chain(self.regions.keys().map(|region| ("regions", region)));
        let mut mistakes: Vec<(&str, String)> = named
            .filter(|(_, region)| !known.contains(&region.as_str()))
            .map(|(key, region)| {
                let there = match known.is_empty() {
                    true => ", which has none".to_owned(),
                    false => format!(": use {}", known.join(", ")),
                };
                (key, format!("`{region}` is no region of the SIEM feed in this cloud{there}"))
            })
            .collect();
        let mut seen = BTreeSet::new();
        for tenant in self.regions.values().flatten() {
            if !seen.insert(tenant) {
                mistakes.push(("regions", format!("{tenant} stands there twice: a tenant is in one region")));
            }
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use muster_microsoft::NationalCloud;

    use super::*;

    const ONE: &str = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d";

    fn read(text: &str) -> SiemFeedSettings {
        toml::from_str(text).expect("a section")
    }

    #[test]
    fn regions_are_told_by_tenant() {
        let settings = read(&format!("region = 'eu'\nregions = {{ uk = ['{ONE}'] }}\ncloud_tags = ['a']"));
        assert_eq!(settings.mistakes(&Cloud::national(NationalCloud::Global)), []);
        let feed = settings.feed();
        assert_eq!(feed.region.as_deref(), Some("eu"));
        assert_eq!(feed.regions, BTreeMap::from([(ONE.parse().expect("a GUID"), "uk".to_owned())]));
        assert_eq!(feed.cloud_tags, ["a"]);
    }

    #[test]
    fn what_no_cloud_has_is_a_mistake() {
        let said = |text: &str, cloud| -> String {
            let mistakes = read(text).mistakes(&Cloud::national(cloud));
            mistakes.into_iter().map(|(key, why)| format!("{key}: {why}\n")).collect()
        };
        let global = NationalCloud::Global;
        assert!(said("region = 'au'", global).starts_with("region: `au` is no region"));
        assert!(said("region = 'au'", global).contains("use us, eu, uk"));
        assert!(said("region = 'eu'", NationalCloud::Gcc).contains("use us"));
        assert!(said("region = 'eu'", NationalCloud::China).contains("which has none"));
        let twice = format!("regions = {{ uk = ['{ONE}'], us = ['{ONE}'] }}");
        assert!(said(&twice, global).contains("stands there twice"));
        assert!(said(&format!("regions = {{ xx = ['{ONE}'] }}"), global).contains("`xx` is no region"));
    }
}
