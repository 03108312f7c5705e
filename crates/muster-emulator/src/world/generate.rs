//! Bodies of synthetic alerts and incidents, each made from its seed alone.

use bytes::Bytes;

use crate::world::cast::{Cast, TenantFacts};
use crate::world::dice::{Dice, derive};
use crate::world::evidence::EvidenceWriter;
use crate::world::json_text::JsonText;
use crate::world::story::{self, AlertKind, STORIES};
use crate::world::ticks::Ticks;

/// JSON of one version, with the places that older callers do not see.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) full: Bytes,
    masks: Vec<(u32, u32)>,
}

impl Body {
    pub(crate) fn untouched(full: Bytes) -> Self {
        Self { full, masks: Vec::new() }
    }

    fn written(json: JsonText) -> Self {
        let (text, masks) = json.finish();
        // Bodies stay for the emulator's life: no spare room is kept.
        Self { full: Bytes::from(text.into_bytes().into_boxed_slice()), masks }
    }

    /// Appends the body as a caller sees it.
    pub(crate) fn append_to(&self, page: &mut Vec<u8>, unknown_members_wanted: bool) {
        if unknown_members_wanted || self.masks.is_empty() {
            page.extend_from_slice(&self.full);
            return;
        }
        let mut from = 0;
        for &(start, length) in &self.masks {
            page.extend_from_slice(&self.full[from..start as usize]);
            page.extend_from_slice(b"unknownFutureValue");
            from = (start + length) as usize;
        }
        page.extend_from_slice(&self.full[from..]);
    }
}

/// What an alert is, before its text is written. Everything a `$filter` may ask for is here.
#[derive(Debug, Clone)]
pub(crate) struct AlertPlan {
    pub(crate) id: String,
    pub(crate) seed: u64,
    pub(crate) kind: (u16, u16),
    /// The incident's place in its tenant's table.
    pub(crate) incident: u32,
    pub(crate) incident_number: u64,
    pub(crate) incident_id: u64,
    pub(crate) created: Ticks,
    pub(crate) updated: Ticks,
    pub(crate) resolved: Option<Ticks>,
    pub(crate) severity: &'static str,
    pub(crate) status: &'static str,
    pub(crate) classification: Option<&'static str>,
    pub(crate) determination: Option<&'static str>,
    pub(crate) assigned_to: Option<String>,
    pub(crate) version: u32,
    pub(crate) target_bytes: u32,
    pub(crate) title: Option<String>,
}

/// What an incident is, before its text is written.
#[derive(Debug, Clone)]
pub(crate) struct IncidentPlan {
    pub(crate) number: u64,
    pub(crate) story: u16,
    pub(crate) incident_id: u64,
    pub(crate) created: Ticks,
    pub(crate) updated: Ticks,
    pub(crate) severity: &'static str,
    pub(crate) status: &'static str,
    pub(crate) classification: &'static str,
    pub(crate) determination: &'static str,
    pub(crate) assigned_to: Option<String>,
    /// The incident that it was merged into.
    pub(crate) redirect: Option<u64>,
}

pub(crate) const SEVERITIES: [&str; 4] = ["informational", "low", "medium", "high"];

/// Which story an incident tells.
pub(crate) fn choose_story(dice: &mut Dice) -> u16 {
    let total: u64 = STORIES.iter().map(|story| story.weight).sum();
    let mut left = dice.below(total);
    for (index, story) in STORIES.iter().enumerate() {
        if left < story.weight {
            return u16::try_from(index).unwrap_or(0);
        }
        left -= story.weight;
    }
    0
}

impl AlertPlan {
    /// A new alert of an incident. `large_one_in` is how rare alerts of half a megabyte are (0: never).
    pub(crate) fn new(
        seed: u64,
        incident: u32,
        of: &IncidentPlan,
        created: Ticks,
        large_one_in: u32,
    ) -> Self {
        let mut dice = Dice::new(seed);
        let alerts = STORIES[usize::from(of.story)].alerts;
        let which = dice.index(alerts.len());
        let kind = &alerts[which];
        let severity = if dice.chance(0.8) { kind.severity } else { dice.choose(&SEVERITIES) };
        let (status, classification, determination) = dice.choose(&[
            ("new", None, None),
            ("new", None, None),
            ("new", None, None),
            ("new", None, None),
            ("inProgress", Some("unknown"), Some("unknown")),
            ("inProgress", None, None),
            ("resolved", Some("falsePositive"), Some("notMalicious")),
            ("resolved", Some("truePositive"), Some("malware")),
        ]);
        Self {
            id: alert_id(&mut dice, kind, created),
            seed,
            kind: (of.story, u16::try_from(which).unwrap_or(0)),
            incident,
            incident_number: of.number,
            incident_id: of.incident_id,
            created,
            updated: created,
            resolved: (status == "resolved").then_some(created),
            severity,
            status,
            classification,
            determination,
            assigned_to: None,
            version: 0,
            target_bytes: target_bytes(&mut dice, large_one_in),
            title: None,
        }
    }

    pub(crate) fn kind(&self) -> &'static AlertKind {
        &STORIES[usize::from(self.kind.0)].alerts[usize::from(self.kind.1)]
    }

    /// The next version: work goes on, and more is found out.
    pub(crate) fn advanced(&self, tenant: &TenantFacts, now: Ticks) -> Self {
        let mut dice = Dice::derived(&[self.seed, 0xada9, u64::from(self.version)]);
        let mut next = self.clone();
        next.version += 1;
        next.updated = now;
        next.target_bytes += 900;
        match self.status {
            "new" => next.status = "inProgress",
            "inProgress" => {
                next.status = "resolved";
                next.resolved = Some(now);
                (next.classification, next.determination) = dice.choose(&[
                    (Some("truePositive"), Some("compromisedAccount")),
                    (Some("truePositive"), Some("multiStagedAttack")),
                    (Some("falsePositive"), Some("notEnoughDataToValidate")),
                    (Some("informationalExpectedActivity"), Some("securityTesting")),
                ]);
            }
            _ => next.status = "new",
        }
        if dice.chance(0.4) {
            next.severity = dice.choose(&SEVERITIES);
        }
        next.assigned_to.get_or_insert_with(|| format!("soc{}@{}", dice.between(1, 9), tenant.domain));
        next
    }

    /// The alert as Graph writes it, keys in Graph's order.
    pub(crate) fn write(&self, tenant: &TenantFacts) -> Body {
        let cast = Cast::of_incident(tenant, self.incident_number);
        let kind = self.kind();
        let mut dice = Dice::derived(&[self.seed, 0xb0d7]);
        let mut json = JsonText::with_capacity(self.target_bytes as usize + 4096);
        let w = &mut json;
        w.open();
        w.string("id", &self.id);
        w.string("providerAlertId", &self.id[2..]);
        w.string("incidentId", &self.incident_id.to_string());
        w.string("status", self.status);
        w.string("severity", self.severity);
        w.optional("classification", self.classification);
        w.optional("determination", self.determination);
        w.evolvable("serviceSource", kind.service, story::is_hidden_source(kind.service));
        w.evolvable("detectionSource", kind.detection, story::is_hidden_source(kind.detection));
        w.string("productName", story::product_name(kind.service));
        w.string("detectorId", &Dice::derived(&[u64::from(self.kind.0), u64::from(self.kind.1)]).guid());
        w.string("tenantId", &tenant.id);
        let title = self.title.clone().unwrap_or_else(|| filled(kind.title, &cast));
        w.string("title", &title);
        w.string("description", &filled(kind.description, &cast));
        let advice = [dice.choose(ADVICE_FIRST), dice.choose(story::ADVICE)];
        w.string("recommendedActions", &advice.join("\n\n"));
        w.string("category", kind.category);
        w.strings("categories", &[kind.category]);
        w.optional("assignedTo", self.assigned_to.as_deref());
        w.string(
            "alertWebUrl",
            &format!("https://security.microsoft.com/alerts/{}?tid={}", self.id, tenant.id),
        );
        w.string("incidentWebUrl", &incident_url(self.incident_id, tenant));
        w.null("actorDisplayName");
        let threat = kind.threat.then_some(cast.malware);
        w.optional("threatDisplayName", threat.map(|threat| threat.0));
        w.optional("threatFamilyName", threat.map(|threat| threat.1));
        w.strings("mitreTechniques", kind.techniques);
        w.time("createdDateTime", self.created);
        w.time("lastUpdateDateTime", self.updated);
        match self.resolved {
            Some(at) => w.time("resolvedDateTime", at),
            None => w.null("resolvedDateTime"),
        }
        w.time("firstActivityDateTime", self.created.plus_seconds(-dice.between(20, 900)));
        w.time("lastActivityDateTime", self.created.plus_seconds(-dice.between(0, 19)));
        w.strings::<&str>("systemTags", if dice.chance(0.04) { &["Defender Experts"] } else { &[] });
        w.null("alertPolicyId");
        let state = dice.choose(&[
            "queued",
            "unsupportedAlertType",
            "running",
            "benign",
            "successfullyRemediated",
            "pendingApproval",
            "terminatedBySystem",
            "partiallyInvestigated",
            "unsupportedOs",
            "failed",
        ]);
        if dice.chance(0.5) {
            w.string("investigationState", state);
        } else {
            w.null("investigationState");
        }
        w.open_array("comments");
        for version in 1..=self.version.min(8) {
            w.open();
            w.string("@odata.type", "#microsoft.graph.security.alertComment");
            w.string(
                "comment",
                &format!(
                    "Step {version}: looked at {} and asked {}.",
                    cast.hosts[0].name, cast.users[0].display
                ),
            );
            w.string("createdByDisplayName", self.assigned_to.as_deref().unwrap_or("Automation"));
            w.time("createdDateTime", self.updated);
            w.close();
        }
        w.close_array();
        w.open_object("customDetails");
        w.close();
        w.open_array("evidence");
        let target = self.target_bytes as usize;
        let (mut count, mut last) = (0, 0);
        // As many pieces as the size asks for; never an alert without any, nor one without an end.
        while count == 0 || (w.len() + last / 2 < target && count < 2000) {
            let tail = kind.evidence[count % kind.evidence.len()];
            let before = w.len();
            EvidenceWriter { json: w, cast: &cast, dice: &mut dice, at: self.created }.element(tail);
            last = w.len() - before;
            count += 1;
        }
        w.close_array();
        if dice.chance(0.1) {
            w.open_object("additionalData");
            w.string("Alert generation status", "Full");
            w.close();
        } else {
            w.null("additionalData");
        }
        w.close();
        Body::written(json)
    }
}

const ADVICE_FIRST: &[&str] = &[
    "Check that the alert is real: compare the command line, the publisher and the time with what the person usually does, and ask them before changing anything.",
    "See whether the same file, address or account appears in other alerts of the last days; if so, treat them together.",
];

impl IncidentPlan {
    pub(crate) fn new(tenant: &TenantFacts, number: u64, created: Ticks) -> Self {
        let mut dice = Dice::derived(&[tenant.seed, 0x14c1, number]);
        Self {
            number,
            story: choose_story(&mut dice),
            incident_id: 1000 + tenant.seed % 90_000 + number,
            created,
            updated: created,
            severity: "informational",
            status: "active",
            classification: "unknown",
            determination: "unknown",
            assigned_to: None,
            redirect: None,
        }
    }

    /// How many alerts belong to it, from 1 to 8.
    pub(crate) fn size(&self, tenant: &TenantFacts) -> u32 {
        let mut dice = Dice::derived(&[tenant.seed, 0x517e, self.number]);
        dice.choose(&[1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8])
    }

    /// The incident without its alerts.
    pub(crate) fn write(&self, tenant: &TenantFacts) -> Body {
        let cast = Cast::of_incident(tenant, self.number);
        let mut dice = Dice::derived(&[tenant.seed, 0x14c2, self.number]);
        let name = filled(STORIES[usize::from(self.story)].name, &cast);
        let mut json = JsonText::with_capacity(1400);
        let w = &mut json;
        w.open();
        w.string("id", &self.incident_id.to_string());
        w.string("tenantId", &tenant.id);
        w.evolvable("status", self.status, self.status == "awaitingAction");
        w.string("incidentWebUrl", &incident_url(self.incident_id, tenant));
        w.optional("redirectIncidentId", self.redirect.map(|id| id.to_string()).as_deref());
        w.string("displayName", &name);
        w.time("createdDateTime", self.created);
        w.time("lastUpdateDateTime", self.updated);
        w.optional("assignedTo", self.assigned_to.as_deref());
        w.string("classification", self.classification);
        w.string("determination", self.determination);
        w.string("severity", self.severity);
        w.strings::<&str>("customTags", if dice.chance(0.2) { &["Crown jewels"] } else { &[] });
        w.strings::<&str>("systemTags", if dice.chance(0.05) { &["Defender Experts"] } else { &[] });
        w.null("description");
        w.string("lastModifiedBy", "Microsoft 365 Defender-AlertCorrelation");
        w.null("resolvingComment");
        w.null("summary");
        w.number("priorityScore", dice.between(1, 100));
        w.open_array("comments");
        w.close_array();
        w.close();
        Body::written(json)
    }
}

fn incident_url(id: u64, tenant: &TenantFacts) -> String {
    format!("https://security.microsoft.com/incidents/{id}?tid={}", tenant.id)
}

fn filled(template: &str, cast: &Cast<'_>) -> String {
    template
        .replace("{host}", &cast.hosts[0].name)
        .replace("{user}", &cast.users[0].display)
        .replace("{malware}", cast.malware.2)
        .replace("{file}", &cast.file)
}

fn alert_id(dice: &mut Dice, kind: &AlertKind, created: Ticks) -> String {
    let prefix = story::id_prefix(kind.service);
    match prefix {
        // Defender for Endpoint counts ticks since the year 1.
        "da" => format!(
            "da{}_{}",
            created.0 + 621_355_968_000_000_000,
            dice.between(-2_147_483_648, 2_147_483_647)
        ),
        "ad" => format!("ad{}", dice.hex(64)),
        _ => format!("{prefix}{}", dice.guid()),
    }
}

/// Sizes as met in life: most between 4 and 8 kB, a tail to 20 kB, a very few of half a megabyte.
fn target_bytes(dice: &mut Dice, large_one_in: u32) -> u32 {
    if large_one_in > 0 && dice.below(u64::from(large_one_in)) == 0 {
        return 500_000;
    }
    let spread = dice.fraction() + dice.fraction() + dice.fraction();
    let tail = if dice.chance(0.08) { dice.between(2_000, 11_000) } else { 0 };
    2_450 + u32::try_from(tail).unwrap_or(0) + (spread * 2_350.0) as u32
}

/// The seed of the n-th alert of a tenant.
pub(crate) fn alert_seed(tenant: &TenantFacts, number: u64) -> u64 {
    derive(&[tenant.seed, 0xa1e47, number])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::cast;
    use crate::world::evidence;
    use std::collections::HashSet;

    fn plans(count: u64) -> (TenantFacts, Vec<AlertPlan>) {
        let tenant = cast::tenant(7, 3);
        let now = Ticks::parse("2026-11-21T03:46:39Z").unwrap();
        let plans = (0..count)
            .map(|number| {
                let incident = IncidentPlan::new(&tenant, number / 3, now);
                AlertPlan::new(alert_seed(&tenant, number), 0, &incident, now, 0)
            })
            .collect();
        (tenant, plans)
    }

    #[test]
    fn alerts_look_like_life() {
        let (tenant, plans) = plans(3000);
        let (mut bytes, mut types, mut services, mut severities, mut ids) =
            (0, HashSet::new(), HashSet::new(), HashSet::new(), HashSet::new());
        for plan in &plans {
            let body = plan.write(&tenant);
            let value: serde_json::Value = serde_json::from_slice(&body.full).unwrap();
            bytes += body.full.len();
            assert!((2_000..24_000).contains(&body.full.len()), "{}", body.full.len());
            for evidence in value["evidence"].as_array().unwrap() {
                types.insert(
                    evidence["@odata.type"].as_str().unwrap().replace("#microsoft.graph.security.", ""),
                );
            }
            services.insert(value["serviceSource"].to_string());
            severities.insert(value["severity"].to_string());
            assert!(ids.insert(plan.id.clone()));
        }
        let mean = bytes / plans.len();
        println!("mean size {mean} bytes");
        assert!((6_000..7_300).contains(&mean), "mean {mean}");
        for kind in evidence::types() {
            assert!(types.contains(&format!("{kind}Evidence")), "{kind} never appears");
        }
        assert!(services.len() >= 12, "{services:?}");
        assert_eq!(severities.len(), 4);
    }

    #[test]
    fn newer_enum_members_are_hidden_unless_asked_for() {
        let (tenant, plans) = plans(400);
        let plan = plans.iter().find(|plan| plan.kind().service == "microsoftSentinel").unwrap();
        let body = plan.write(&tenant);
        let (mut plain, mut asked) = (Vec::new(), Vec::new());
        body.append_to(&mut plain, false);
        body.append_to(&mut asked, true);
        let plain: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        let asked: serde_json::Value = serde_json::from_slice(&asked).unwrap();
        assert_eq!(plain["serviceSource"], "unknownFutureValue");
        assert_eq!(asked["serviceSource"], "microsoftSentinel");
    }

    #[test]
    fn a_large_alert_is_half_a_megabyte() {
        let (tenant, mut plans) = plans(1);
        let plan = &mut plans[0];
        plan.target_bytes = 500_000;
        let size = plan.write(&tenant).full.len();
        assert!((450_000..560_000).contains(&size), "{size}");
    }

    #[test]
    fn an_update_changes_the_work_and_adds_evidence() {
        let (tenant, plans) = plans(1);
        let plan = &plans[0];
        let next = plan.advanced(&tenant, plan.updated.plus_seconds(60));
        let (before, after) = (plan.write(&tenant), next.write(&tenant));
        let before: serde_json::Value = serde_json::from_slice(&before.full).unwrap();
        let after: serde_json::Value = serde_json::from_slice(&after.full).unwrap();
        assert_eq!(before["id"], after["id"]);
        assert_ne!(before["status"], after["status"]);
        let count = |value: &serde_json::Value| value["evidence"].as_array().unwrap().len();
        assert!(count(&after) >= count(&before));
    }
}
