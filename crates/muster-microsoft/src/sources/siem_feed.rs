//! The retired SIEM API of Defender for Endpoint, `GET /api/alerts` at `wdatp-alertexporter-…`: detections, of which several
//! may belong to one alert.
//!
//! Source: Microsoft "Pull detections from Microsoft Defender for Endpoint using REST API". It is asked by the time at which a
//! detection was processed; no order, no next page and nothing to divide by are documented, and `limit` gives the newest. So
//! a full answer halves its window; one instant is asked for as many as there may be. Nor is it documented that as many
//! come as are asked for: the largest answers so far, and those of usual sizes, are halved as well, and the parts held against
//! the whole. Tokens are for Azure AD Graph
//! and do not say what may be read: the app is allowed in the customer's portal (Settings > Endpoints > APIs > SIEM).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use muster_model::page::List;
use muster_model::{PageLimits, PageQuery, TenantId};
use url::form_urlencoded;

use super::declaration::{AnnouncedEnd, Declaration, Dialect, Rung};
use crate::Cloud;
use crate::api::family::Api;
use crate::entra::permissions::{ResourceApp, known_scope};

/// The step of Microsoft's times.
const TICK: SignedDuration = SignedDuration::from_nanos(100);

pub(super) const DECLARATION: Declaration = Declaration {
    api: Some(Api::SiemFeed),
    permissions: &[known_scope(ResourceApp::AzureAdGraph, "User.Read")],
    tokens_tell: false,
    product: "Microsoft Defender for Endpoint",
    path: "/api/alerts",
    dialect: Dialect::Since,
    list: List::Bare,
    updated: "LastProcessedTimeUtc",
    sorts: false,
    page_size: 1_000,
    page_size_max: 5_000,
    fields: &[],
    limits: PageLimits { skip_max: 0, field_values: &[], cuts_silently: true },
    counts: false,
    kept_for: None,
    end: Some(AnnouncedEnd {
        date: "31 December 2024",
        any_time_since: true,
        replacement: "graph_alerts",
        announcement: "Microsoft Learn, \u{201c}Migrate from the SIEM API\u{201d}",
    }),
    ladder: &[Rung::Plain],
};

/// Path and query for the records of a span. Whether the bounds themselves are in it is not documented, so it begins a tick
/// before the span and ends with its last tick.
pub(super) fn path_and_query(path: &str, query: &PageQuery, top: u32) -> String {
    let before = |time: Timestamp| time.checked_sub(TICK).unwrap_or(time);
    let mut text = format!("{path}?sinceTimeUtc={}", before(query.from));
    if let Some(to) = query.to {
        text.push_str(&format!("&untilTimeUtc={}", before(to)));
    }
    text.push_str(&format!("&limit={top}"));
    text
}

/// Whether a query is for one instant, which cannot be divided further.
pub(super) fn is_an_instant(query: &PageQuery) -> bool {
    query.to.is_some_and(|to| to.duration_since(query.from) <= TICK)
}

/// Where the feed is asked, and for which devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiemFeed {
    /// The region whose host is asked: one of [`Cloud::siem_regions`]. None: that of the Defender APIs.
    pub region: Option<String>,
    /// Tenants that are in other regions.
    pub regions: BTreeMap<TenantId, String>,
    /// Only devices of one of these groups; none: of all.
    pub machine_groups: Vec<String>,
    /// Only devices that have this tag in their registry.
    pub device_tag: Option<String>,
    /// Only devices that were given these tags in the portal.
    pub cloud_tags: Vec<String>,
}

impl SiemFeed {
    /// The address of a path and query for a tenant.
    pub(crate) fn address(&self, cloud: &Cloud, tenant: TenantId, path: &str) -> String {
        let region = self.regions.get(&tenant).or(self.region.as_ref());
        let mut address = cloud.siem_address(region.map(String::as_str), path);
        let groups = self.machine_groups.iter().map(|group| ("machinegroups", group));
        let of_device = self.device_tag.iter().map(|tag| ("DeviceCreatedMachineTags", tag));
        let of_cloud = self.cloud_tags.iter().map(|tag| ("CloudCreatedMachineTags", tag));
        for (name, value) in groups.chain(of_device).chain(of_cloud) {
            let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            address.push_str(&format!("&{name}={}", value.replace('+', "%20")));
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NationalCloud;

    #[test]
    fn a_tenant_is_asked_in_its_region_and_for_the_devices_that_are_wanted() {
        let (ours, other) =
            (TenantId::from(uuid::Uuid::from_u128(1)), TenantId::from(uuid::Uuid::from_u128(2)));
        let feed = SiemFeed {
            region: Some("eu".to_owned()),
            regions: BTreeMap::from([(other, "uk".to_owned())]),
            machine_groups: vec!["UKMachines".to_owned(), "A & B".to_owned()],
            device_tag: Some("vip".to_owned()),
            cloud_tags: vec!["x=1".to_owned()],
        };
        let cloud = Cloud::national(NationalCloud::Global);
        assert_eq!(
            feed.address(&cloud, ours, "/api/alerts?limit=1"),
            "https://wdatp-alertexporter-eu.securitycenter.windows.com/api/alerts?limit=1&machinegroups=UKMachines&machinegroups=A%20%26%20B&DeviceCreatedMachineTags=vip&CloudCreatedMachineTags=x%3D1"
        );
        let plain = SiemFeed { regions: feed.regions, ..SiemFeed::default() };
        assert_eq!(
            plain.address(&cloud, other, "/api/alerts?limit=1"),
            "https://wdatp-alertexporter-uk.securitycenter.windows.com/api/alerts?limit=1"
        );
    }
}
