//! The address of an alert or incident in the portal, in the right tenant.
//!
//! Microsoft writes an address into most records. It is followed by people who are signed in to many tenants, so it must name the
//! tenant; and it comes out of a record, so that it is only believed where it leads to the portal.

use muster_model::{RecordKind, TenantId};
use url::Url;

/// Where a record is shown in the portal, in its tenant. `links` are what the record says, of which the first that leads there is
/// followed; `portal` is the cloud's portal.
pub(crate) fn portal_link(
    kind: RecordKind,
    (id, links): (&str, &[&str]),
    tenant: TenantId,
    portal: Option<&str>,
) -> Option<String> {
    let portal = Url::parse(portal?).ok()?;
    let leads_there = |said: &Url| {
        said.scheme() == "https"
            && said.host_str() == portal.host_str()
            && said.port().is_none()
            && said.username().is_empty()
            && said.password().is_none()
    };
    let said = links.iter().find_map(|link| Url::parse(link).ok().filter(leads_there));
    let mut url = match (said, kind) {
        (Some(said), _) => said,
        (None, RecordKind::HuntingRow) => return None,
        (None, kind) => {
            let folder = match kind {
                RecordKind::GraphIncident | RecordKind::XdrIncident => "incidents",
                _ => "alerts",
            };
            let mut url = portal;
            url.path_segments_mut().ok()?.clear().extend([folder, id]);
            url
        }
    };
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("tid"))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair("tid", &tenant.to_string());
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_names_the_tenant_and_leads_to_the_portal() {
        let tenant: TenantId = "00000000-0000-0000-0000-000000000002".parse().expect("an id");
        let of = |kind, id: &str, link: &str| {
            portal_link(kind, (id, &[link]), tenant, Some("https://security.microsoft.com"))
                .unwrap_or_default()
        };
        let tid = "tid=00000000-0000-0000-0000-000000000002";
        let alert = RecordKind::GraphAlert;
        for (link, expected) in [
            ("https://security.microsoft.com/alerts/da1?tid=other", format!("/alerts/da1?{tid}")),
            ("https://security.microsoft.com/alerts/da1", format!("/alerts/da1?{tid}")),
            ("https://security.microsoft.com/x?a=b&TID=y#f", format!("/x?a=b&{tid}#f")),
            ("https://evil.example/alerts/da1", format!("/alerts/da%2F1%3Fx?{tid}")),
            ("https://security.microsoft.com@evil.example/", format!("/alerts/da%2F1%3Fx?{tid}")),
            ("javascript:alert(1)", format!("/alerts/da%2F1%3Fx?{tid}")),
            ("", format!("/alerts/da%2F1%3Fx?{tid}")),
        ] {
            assert_eq!(
                of(alert, "da/1?x", link),
                format!("https://security.microsoft.com{expected}"),
                "{link}"
            );
        }
        assert_eq!(
            of(RecordKind::XdrIncident, "7", ""),
            format!("https://security.microsoft.com/incidents/7?{tid}")
        );
        assert_eq!(of(RecordKind::HuntingRow, "7", ""), "");
        assert_eq!(portal_link(alert, ("1", &[]), tenant, None), None);
        // Of several the first that leads there.
        let links =
            ["https://evil.example/", "https://security.microsoft.com/a", "https://security.microsoft.com/b"];
        let link = portal_link(alert, ("1", &links), tenant, Some("https://security.microsoft.com"));
        assert_eq!(link, Some(format!("https://security.microsoft.com/a?{tid}")));
    }
}
