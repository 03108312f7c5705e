//! What an alert is looked for by.

use std::collections::BTreeSet;

use muster_model::{Asked, Record, RecordKind, RouteFacts, Severity};
use muster_siem::summary::Summary;

use super::words::Words;
use crate::pattern::Pattern;

/// What records are looked for by; each that is given must fit.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    severities: BTreeSet<u8>,
    /// As [`RouteFacts::word`] has them.
    services: Vec<String>,
    hosts: Vec<Name>,
    users: Vec<Name>,
    texts: Vec<Words>,
}

/// A name that is looked for, and what the bytes of a record hold where it is in it.
#[derive(Debug)]
struct Name {
    pattern: Pattern,
    part: Words,
}

impl Name {
    fn new(pattern: &Pattern) -> Self {
        // A user is written as `domain\name`, which are two texts in a record.
        let part = pattern.longest_part();
        let part = part.rsplit('\\').find(|part| !part.is_empty()).unwrap_or_default();
        Self { pattern: pattern.clone(), part: Words::new(part) }
    }
}

impl Filter {
    /// What is looked for: all of it must fit, and of several values of one kind any.
    pub(crate) fn new(
        severities: &[Severity],
        services: &[String],
        hosts: &[Pattern],
        users: &[Pattern],
        texts: &[String],
    ) -> Self {
        Self {
            severities: severities.iter().map(|severity| severity.number()).collect(),
            services: services.iter().map(|service| RouteFacts::word(service)).collect(),
            hosts: hosts.iter().map(Name::new).collect(),
            users: users.iter().map(Name::new).collect(),
            texts: texts.iter().map(|text| Words::new(text)).collect(),
        }
    }

    /// Whether a record is looked for. The cheapest questions come first: most records answer one of them with no.
    pub(crate) fn takes(&self, kind: RecordKind, record: Record<'_>) -> bool {
        if !self.severities.is_empty() && !self.severities.contains(&record.head.severity.number()) {
            return false;
        }
        let may =
            |names: &[Name]| names.is_empty() || names.iter().any(|name| name.part.may_be_in(record.body));
        if !may(&self.hosts) || !may(&self.users) || !self.texts.iter().all(|text| text.is_in(record.body)) {
            return false;
        }
        if !self.services.is_empty() {
            let asked = Asked { service: true, ..Asked::default() };
            let said = RouteFacts::read(kind, record.body, asked).services;
            if !self.services.iter().any(|wanted| said.contains(wanted)) {
                return false;
            }
        }
        if self.hosts.is_empty() && self.users.is_empty() {
            return true;
        }
        let Some(summary) = Summary::of(kind, record.body) else { return false };
        let of = |names: &[Name], lists: [&[String]; 2], ends: char| {
            names.is_empty() || names.iter().any(|name| is_among(&name.pattern, lists, ends))
        };
        of(&self.hosts, [&summary.hosts, &summary.host_ids], '.')
            && of(&self.users, [&summary.users, &summary.user_ids], '@')
    }
}

/// Whether a name is one of these, as a whole or by its short form: what stands before the first dot of a computer's, before the
/// `@` of a person's and behind the domain.
fn is_among(pattern: &Pattern, lists: [&[String]; 2], ends: char) -> bool {
    lists.into_iter().flatten().any(|name| {
        let account = name.rsplit('\\').next().unwrap_or_default();
        let short = account.split(ends).next().unwrap_or_default();
        [name.as_str(), account, short].into_iter().any(|name| pattern.is(name))
    })
}

#[cfg(test)]
mod tests {
    use muster_model::RecordHead;

    use super::*;

    const BODY: &str = r##"{"id":"da1","title":"Mimikatz","severity":"high","status":"new","lastUpdateDateTime":"2026-01-01T00:00:00Z",
        "serviceSource":"microsoftDefenderForEndpoint","evidence":[
        {"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"srv1.contoso.example"},
        {"@odata.type":"#microsoft.graph.security.userEvidence",
         "userAccount":{"accountName":"alice","domainName":"CONTOSO","userPrincipalName":"alice.w@contoso.example"}}]}"##;

    fn takes(severity: &[Severity], service: &[&str], host: &[&str], user: &[&str], text: &[&str]) -> bool {
        let patterns =
            |of: &[&str]| of.iter().map(|of| of.parse().expect("a pattern")).collect::<Vec<Pattern>>();
        let owned = |of: &[&str]| of.iter().map(|of| (*of).to_owned()).collect::<Vec<_>>();
        let filter = Filter::new(severity, &owned(service), &patterns(host), &patterns(user), &owned(text));
        let head = RecordHead::read(RecordKind::GraphAlert, BODY).expect("an alert");
        filter.takes(RecordKind::GraphAlert, Record { head: &head, body: BODY, replay: None })
    }

    #[test]
    fn each_that_is_given_must_fit() {
        assert!(takes(&[], &[], &[], &[], &[]));
        assert!(takes(
            &[Severity::High],
            &["Microsoft Defender for Endpoint"],
            &["srv1"],
            &["alice"],
            &["mimi"]
        ));
        assert!(!takes(&[Severity::Low], &[], &["srv1"], &[], &[]));
        assert!(takes(&[Severity::Low, Severity::High], &[], &["srv2", "SRV1.contoso.example"], &[], &[]));
        for (host, is) in [("srv", false), ("srv*", true), ("srv10", false), ("alice", false)] {
            assert_eq!(takes(&[], &[], &[host], &[], &[]), is, "{host}");
        }
        for (user, is) in
            [("contoso\\alice", true), ("alice.w", true), ("alice.w@contoso.example", true), ("ali", false)]
        {
            assert_eq!(takes(&[], &[], &[], &[user], &[]), is, "{user}");
        }
        assert!(!takes(&[], &[], &[], &[], &["mimikatz", "other"]), "each text must be there");
        assert!(!takes(&[], &["mdo"], &[], &[], &[]));
    }
}
