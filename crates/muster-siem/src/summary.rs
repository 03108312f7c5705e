//! What a record is about in a few words, for people who look for it: whatever its kind, in one shape.
//!
//! All of it is text that came from outside, as Microsoft wrote it: whoever shows it escapes it for the place where it is shown.

use muster_model::RecordKind;
use muster_model::json::{Tape, Text};
use serde::Serialize;

use crate::formats::view::{Evidence, Facts, HuntingRow, User, View, all_evidence};

/// A record in a few words. What it does not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its title; of a hunting row its table.
    pub title: String,
    /// What happened.
    pub description: String,
    /// Microsoft's word for how far it has been worked on.
    pub status: String,
    /// The service that raised it.
    pub service: String,
    /// What kind of attack it is.
    pub category: String,
    /// Its address in the portal, as Microsoft wrote it.
    pub link: String,
    /// The id of its incident.
    pub incident_id: String,
    /// Names of its devices, the one that it is mostly about first.
    pub hosts: Vec<String>,
    /// Ids of its devices.
    pub host_ids: Vec<String>,
    /// Names of its users, with their domains, the one that it is mostly about first.
    pub users: Vec<String>,
    /// Principal names, SIDs and ids of its users.
    pub user_ids: Vec<String>,
    /// Its evidence.
    pub evidence: Vec<EvidenceSummary>,
}

/// A piece of evidence in a few words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EvidenceSummary {
    /// What it is, as Graph names it.
    pub kind: String,
    /// Its name: of a file with its folder, of a user with the domain.
    pub name: String,
    /// What Microsoft thinks of it.
    pub verdict: String,
}

impl Summary {
    /// A record of this kind in a few words; `None` where it cannot be read.
    #[must_use]
    pub fn of(kind: RecordKind, body: &str) -> Option<Self> {
        if !body.trim_ascii_start().starts_with('{') {
            return None;
        }
        let tape = Tape::read(body).ok()?;
        Some(match View::of(kind, &tape) {
            View::Alert(alert) => {
                let all = all_evidence(std::slice::from_ref(&*alert));
                let facts = Facts::of_evidence(std::slice::from_ref(&*alert), &all);
                Self {
                    title: said(alert.title),
                    description: said(alert.description),
                    status: said(alert.status),
                    service: said(alert.service_source.or(alert.detection_source)),
                    category: said(alert.category),
                    link: said(alert.alert_url),
                    incident_id: said(alert.incident_id),
                    ..Self::default()
                }
                .with(&facts, &all)
            }
            View::Incident(incident) => {
                let all = all_evidence(&incident.alerts);
                let facts = Facts::of_evidence(&incident.alerts, &all);
                let first = |of: fn(&crate::formats::view::Alert<'_>) -> String| {
                    incident.alerts.iter().map(of).find(|text| !text.is_empty()).unwrap_or_default()
                };
                Self {
                    title: said(incident.display_name),
                    description: said(incident.description.or(incident.summary)),
                    status: said(incident.status),
                    service: first(|alert| said(alert.service_source.or(alert.detection_source))),
                    category: first(|alert| said(alert.category)),
                    link: said(incident.incident_url),
                    incident_id: said(incident.id),
                    ..Self::default()
                }
                .with(&facts, &all)
            }
            View::HuntingRow(row) => Self::of_row(&row),
        })
    }

    fn with(mut self, facts: &Facts<'_>, all: &[Evidence<'_>]) -> Self {
        add(&mut self.hosts, facts.device.name());
        facts.devices.as_slice().iter().for_each(|name| add(&mut self.hosts, *name));
        facts.device_ids.as_slice().iter().for_each(|id| add(&mut self.host_ids, *id));
        let (domain, name) = (facts.user.domain(), facts.user.name());
        let users = facts.users.as_slice().iter().chain(facts.logged_on.as_slice());
        for (domain, name) in std::iter::once(&(domain, name)).chain(users) {
            add_user(&mut self.users, *domain, *name);
        }
        facts.user_ids.as_slice().iter().for_each(|id| add(&mut self.user_ids, *id));
        self.evidence = all.iter().map(evidence).collect();
        self
    }

    fn of_row(row: &HuntingRow<'_>) -> Self {
        let device = row.device();
        let mut summary = Self {
            title: said(row.text("Title").or(row.table)),
            service: said(row.text("ServiceSource").or(row.text("DetectionSource"))),
            category: said(row.text("Category")),
            ..Self::default()
        };
        add(&mut summary.hosts, device.name());
        add(&mut summary.host_ids, device.id);
        for User { account, domain, principal, sid, entra_id, display_name } in
            [row.account(), row.initiating_account()]
        {
            add_user(&mut summary.users, domain, account.or(principal).or(display_name));
            [principal, sid, entra_id].into_iter().for_each(|id| add(&mut summary.user_ids, id));
        }
        summary
    }
}

fn evidence(evidence: &Evidence<'_>) -> EvidenceSummary {
    let (device, user, file) = (evidence.device(), evidence.user(), evidence.file());
    let mut name = match user.domain().is_blank() {
        true => said(user.name()),
        false => format!("{}\\{}", said(user.domain()), said(user.name())),
    };
    // The most telling that it has: the process before the account that ran it, and what it is before where it was found.
    let mut others = vec![evidence.process().shown()];
    evidence.pivots(&mut |_, text| others.push(text));
    let message = evidence.message();
    others.extend([message.subject, file.sha256, file.sha1]);
    if !file.name.is_blank() {
        let folder = said(file.path);
        let between = if folder.is_empty() || folder.ends_with(['\\', '/']) { "" } else { "\\" };
        name = format!("{folder}{between}{}", said(file.name));
    } else if let Some(process) = Some(evidence.process().shown()).filter(|text| !text.is_blank()) {
        name = said(process);
    } else if name.is_empty() {
        let rest = others.into_iter().chain([device.name(), device.id]);
        name = said(rest.into_iter().find(|text| !text.is_blank()).unwrap_or_default());
    }
    EvidenceSummary { kind: said(evidence.type_name()), name, verdict: said(evidence.verdict()) }
}

fn said(text: Text<'_>) -> String {
    text.decoded().trim().to_owned()
}

fn add(list: &mut Vec<String>, text: Text<'_>) {
    let text = said(text);
    // The first may be among those that follow; what is in lists is in them once.
    if !text.is_empty() && list.first() != Some(&text) {
        list.push(text);
    }
}

fn add_user(list: &mut Vec<String>, domain: Text<'_>, name: Text<'_>) {
    let (domain, name) = (said(domain), said(name));
    let whole = match (domain.is_empty(), name.is_empty()) {
        (_, true) => return,
        (true, false) => name,
        (false, false) => format!("{domain}\\{name}"),
    };
    if list.first() != Some(&whole) {
        list.push(whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_tells_whose_it_is_and_on_what() {
        let body = r##"{"id":"da1","title":"Mimikatz \u2013 \"x\"","severity":"high","status":"new",
            "serviceSource":"microsoftDefenderForEndpoint","category":"CredentialAccess","alertWebUrl":"https://s/alerts/da1?tid=t",
            "incidentId":"7","evidence":[
            {"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"srv1.contoso.example","hostName":"srv1",
             "mdeDeviceId":"abc","loggedOnUsers":[{"accountName":"bob","domainName":"CONTOSO"}]},
            {"@odata.type":"#microsoft.graph.security.userEvidence","verdict":"suspicious",
             "userAccount":{"accountName":"alice","domainName":"CONTOSO","userPrincipalName":"alice@contoso.example"}},
            {"@odata.type":"#microsoft.graph.security.fileEvidence","fileDetails":{"fileName":"m.exe","filePath":"C:\\tmp"}}]}"##;
        let summary = Summary::of(RecordKind::GraphAlert, body).expect("an alert");
        assert_eq!(summary.title, "Mimikatz – \"x\"");
        assert_eq!((summary.status.as_str(), summary.incident_id.as_str()), ("new", "7"));
        assert_eq!(summary.hosts, ["srv1.contoso.example"]);
        assert_eq!(summary.users, ["CONTOSO\\alice", "CONTOSO\\bob"]);
        assert!(summary.user_ids.contains(&"alice@contoso.example".to_owned()), "{summary:?}");
        let evidence: Vec<_> =
            summary.evidence.iter().map(|of| (of.kind.as_str(), of.name.as_str())).collect();
        assert_eq!(
            evidence,
            [
                ("deviceEvidence", "srv1.contoso.example"),
                ("userEvidence", "CONTOSO\\alice"),
                ("fileEvidence", "C:\\tmp\\m.exe")
            ]
        );
        assert_eq!(Summary::of(RecordKind::GraphAlert, "nonsense"), None);
    }

    #[test]
    fn a_hunting_row_tells_it_too() {
        let body = r#"{"DeviceName":"srv1","AccountName":"alice","AccountDomain":"c","Timestamp":"2026-01-01T00:00:00Z"}"#;
        let summary = Summary::of(RecordKind::HuntingRow, body).expect("a row");
        assert_eq!((summary.hosts, summary.users), (vec!["srv1".to_owned()], vec!["c\\alice".to_owned()]));
    }
}
