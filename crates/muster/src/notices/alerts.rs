//! Which alerts of a journal batch somebody is told of, and what is said of them: as Defender's own mails have it, the
//! organisation, the tenant, the device, the title, the severity, and a link in the right tenant.

use jiff::{SignedDuration, Timestamp};
use muster_model::{Asked, ChangeKind, Record, RouteFacts, Severity, Tenant};
use muster_siem::detection::Detection;
use muster_store::{JournalSlice, NotedAlerts};

use super::conditions::{TenantNamed, Urgency};
use super::message::{Event, Notice, line};
use super::plan::push;
use crate::config::{AlertSettings, Fit, NoticeSettings};
use crate::portal::portal_link;

/// What of Microsoft's cloud links may lead to.
#[derive(Debug, Clone, Copy)]
pub struct Portal {
    /// The Defender portal, where the cloud has one.
    pub defender: Option<&'static str>,
}

/// What becomes of one batch for one receiver.
#[must_use]
pub fn of_batch(
    slice: &JournalSlice,
    tenant: Option<&Tenant>,
    (name, receiver): (&str, &NoticeSettings),
    from: u64,
    portal: Portal,
    is_snoozed: bool,
    now: Timestamp,
) -> NotedAlerts {
    let mut noted = NotedAlerts {
        receiver: name.to_owned(),
        from,
        to: slice.batch,
        messages: Vec::new(),
        snoozed: 0,
        old: 0,
        unread: 0,
    };
    let kind = slice.source.kind();
    let (Some(wanted), Some(tenant)) = (&receiver.keys.alerts, tenant) else { return noted };
    let is_of_it = Detection::KINDS.contains(&kind)
        && wanted.sources.iter().any(|source| source.fits(slice.source))
        && receiver.keys.is_for(tenant);
    if !is_of_it {
        return noted;
    }
    let batch = match &slice.records {
        Ok(batch) => batch,
        Err(reason) => {
            tracing::error!(
                batch = slice.batch,
                tenant.id = %tenant.id,
                receiver = name,
                reason,
                "a batch cannot be read, so nobody is told of what is in it; it is counted: `muster notice list`"
            );
            noted.unread = 1;
            return noted;
        }
    };
    for record in batch.records() {
        if !is_new(&record) || !is_wanted(wanted, kind, &record) {
            continue;
        }
        if is_old(&record, wanted, slice.accepted_at) {
            noted.old += 1;
        } else if is_snoozed {
            noted.snoozed += 1;
        } else if let Some(notice) = notice(kind, record, tenant, portal, slice.accepted_at) {
            push(&mut noted.messages, (name, receiver), &notice, Some(tenant.id), now);
        }
    }
    noted
}

/// Whether it is the first version of its record.
fn is_new(record: &Record<'_>) -> bool {
    record.head.change.as_ref().is_none_or(|change| change.kind == ChangeKind::Created)
}

fn is_wanted(wanted: &AlertSettings, kind: muster_model::RecordKind, record: &Record<'_>) -> bool {
    if !record.head.severity.passes(wanted.min_severity) {
        return false;
    }
    let Some(services) = &wanted.services else { return true };
    let asked = Asked { service: true, ..Asked::default() };
    services.fit(&RouteFacts::read(kind, record.body, asked).services) == Fit::Takes
}

fn is_old(record: &Record<'_>, wanted: &AlertSettings, accepted_at: Timestamp) -> bool {
    let made = record.head.created_at.or(record.head.updated_at);
    let most = SignedDuration::try_from(wanted.max_age.0).unwrap_or(SignedDuration::MAX);
    made.is_some_and(|made| accepted_at.duration_since(made) > most)
}

/// What is said of one alert; nothing where it cannot be read, which the journal's formats tell.
fn notice(
    kind: muster_model::RecordKind,
    record: Record<'_>,
    tenant: &Tenant,
    portal: Portal,
    accepted_at: Timestamp,
) -> Option<Notice> {
    let severity = record.head.severity;
    let detection = Detection::of(kind, record, accepted_at)?;
    let title = match line(&detection.alert_title) {
        title if title.is_empty() => "An alert without a title".to_owned(),
        title => title,
    };
    let mut facts = vec![
        ("Organisation".to_owned(), line(&tenant.name)),
        ("Severity".to_owned(), severity_in_words(severity, &detection.severity)),
    ];
    for (label, value) in [
        ("Device", &detection.computer_dns_name),
        ("User", &detection.user_name),
        ("File", &detection.file_name),
        ("Category", &detection.category),
        ("Service", &detection.source),
    ] {
        if !value.trim().is_empty() {
            facts.push((label.to_owned(), line(value)));
        }
    }
    facts.push(("Tenant".to_owned(), tenant.id.to_string()));
    facts.push(("Alert".to_owned(), line(&record.head.id)));
    Some(Notice {
        event: Event::Alert,
        key: format!("alert/{}/{}", tenant.id, line(&record.head.id)),
        kind: None,
        named: tenant.slug.to_string(),
        tenant: Some(TenantNamed { id: tenant.id, slug: tenant.slug.to_string(), name: line(&tenant.name) }),
        level: if severity == Severity::High { Urgency::Critical } else { Urgency::Warning },
        title: line(&format!("{}: {title}", tenant.name)),
        what: muster_model::text::shown(&detection.description, 600),
        remedy: String::new(),
        at: accepted_at,
        since: record.head.created_at,
        lasted_seconds: None,
        facts,
        link: link(kind, &detection, &record.head.id, tenant, portal),
        count: 1,
    })
}

fn severity_in_words(severity: Severity, said: &str) -> String {
    match severity {
        Severity::Unknown if !said.trim().is_empty() => line(said),
        known => known.to_string(),
    }
}

/// Where the alert is looked at, in the tenant that it is of; without what a record has behind a `#`.
fn link(
    kind: muster_model::RecordKind,
    detection: &Detection,
    id: &str,
    tenant: &Tenant,
    portal: Portal,
) -> Option<String> {
    let links = [detection.link_to_mtp.as_ref(), detection.link_to_wdatp.as_ref()];
    let link = portal_link(kind, (id, &links), tenant.id, portal.defender)?;
    link.split('#').next().map(str::to_owned)
}

/// What is said of an alert that never was, to see how it looks.
#[must_use]
pub fn sample(portal: Portal, now: Timestamp) -> Notice {
    let tenant = TenantNamed {
        id: uuid::Uuid::from_u128(0x1111_1111_2222_3333_4444_5555_5555_5555).into(),
        slug: "contoso".to_owned(),
        name: "Contoso Ltd.".to_owned(),
    };
    let link = portal.defender.map(|portal| format!("{portal}/?tid={}", tenant.id));
    Notice {
        event: Event::Alert,
        key: "test/alert".to_owned(),
        kind: None,
        named: tenant.slug.clone(),
        level: Urgency::Critical,
        title: "Contoso Ltd.: A test of alert notices, no real alert".to_owned(),
        what: "somebody ran `muster notice test --alert`".to_owned(),
        remedy: String::new(),
        at: now,
        since: Some(now),
        lasted_seconds: None,
        facts: vec![
            ("Organisation".to_owned(), tenant.name.clone()),
            ("Severity".to_owned(), "high".to_owned()),
            ("Device".to_owned(), "device.contoso.example".to_owned()),
            ("Tenant".to_owned(), tenant.id.to_string()),
        ],
        tenant: Some(tenant),
        link,
        count: 1,
    }
}
