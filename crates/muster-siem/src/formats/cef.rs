//! ArcSight Common Event Format, with the field map that Microsoft gave ArcSight for Defender alerts, brought to
//! today's Graph names by Microsoft's own migration table. `docs/formats/cef.md` lists it field by field.
//!
//! Escaping follows the CEF guide ("ArcSight Common Event Format Implementation Standard"): `\` and `|` in the
//! header, `\` and `=` in the extension, newlines in the extension as `\n` and `\r`, in the header as a space. Beyond
//! the guide, a tab becomes a space, and every other control character, line separator and bidirectional override
//! becomes visible, such as `<U+202E>`: it is evidence, and must not act on a terminal. So no value can start a key,
//! a field, a line or an event.
//!
//! CEF is flat and evidence is not. The rule: the flat fields hold the first device, user, file, process, address and
//! URL; where there are more, a list of all of them stands in a key of our own (`muDevices`, …), items apart by
//! `; `, with a `;` inside an item written `%3B`.

use std::net::IpAddr;

use jiff::Timestamp;
use muster_model::{Record, Severity, TenantLabel};
use serde::Deserialize;

use super::json::Text;
use super::tape::Tape;
use super::view::{Alert, Facts, Incident, View};
use super::{Events, FormatError, RecordKind};

/// How many values a list of an incident holds: an incident can span thousands of alerts, which are sent themselves.
const INCIDENT_LIST_MAX: usize = 100;

/// The constants at the head of each line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CefOptions {
    /// Who made the product that raised the alert.
    pub device_vendor: String,
    /// The product. Older ArcSight content filters on `Windows Defender ATP`.
    pub device_product: String,
    /// The version of the mapping.
    pub device_version: String,
}

impl Default for CefOptions {
    /// Those of Microsoft's ArcSight field map.
    fn default() -> Self {
        Self {
            device_vendor: "Microsoft".to_owned(),
            device_product: "Microsoft Defender ATP".to_owned(),
            device_version: "2.0".to_owned(),
        }
    }
}

/// Appends the line of one record.
pub(super) fn write(
    options: &CefOptions,
    kind: RecordKind,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let tape = Tape::read(record.body)?;
    match View::of(kind, &tape) {
        View::Alert(alert) => {
            events.push_with(|buffer| write_alert(options, &alert, record, tenant, buffer));
        }
        View::Incident(incident) => {
            events.push_with(|buffer| write_incident(options, &incident, record, tenant, buffer));
        }
        View::HuntingRow(_) => {
            let alert = Alert::graph(tape.root());
            events.push_with(|buffer| write_alert(options, &alert, record, tenant, buffer));
        }
    }
    Ok(())
}

fn write_alert(
    options: &CefOptions,
    alert: &Alert<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
    buffer: &mut Vec<u8>,
) {
    let facts = Facts::of(std::slice::from_ref(alert));
    let mut line = Line { buffer, limit: usize::MAX };
    let signature = alert.detector_id.or(alert.category);
    line.header(options, signature, "alert", alert.title, record.head.severity);
    line.common(alert.id, alert.severity, record, tenant);
    line.text("msg", alert.description);
    line.time("start", parsed(alert.first_activity_at));
    line.time("end", parsed(alert.last_activity_at));
    line.text("cat", alert.category);
    line.text("sourceServiceName", alert.detection_source);
    line.text("deviceFacility", alert.service_source);
    line.labelled("cs1", "threatName", alert.threat_name);
    line.labelled("cs4", "actor", alert.actor);
    line.labelled("flexString1", "alertWebUrl", alert.alert_url);
    line.labelled("flexString2", "incidentId", alert.incident_id);
    line.labelled_time("deviceCustomDate2", "resolvedDateTime", parsed(alert.resolved_at));
    line.facts(&facts);
    line.text("muStatus", alert.status);
    line.text("muClassification", alert.classification);
    line.text("muDetermination", alert.determination);
    line.text("muAssignedTo", alert.assigned_to);
    line.text("muInvestigationState", alert.investigation_state);
    line.text("muProductName", alert.product_name);
    line.text("muAlertPolicyId", alert.policy_id);
    line.text("muProviderAlertId", alert.provider_alert_id);
    line.text("muIncidentWebUrl", alert.incident_url);
    line.text("muThreatFamily", alert.threat_family);
    line.list("muTechniques", &alert.techniques);
    line.list("muTags", &alert.tags);
}

fn write_incident(
    options: &CefOptions,
    incident: &Incident<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
    buffer: &mut Vec<u8>,
) {
    let alerts = &incident.alerts;
    let facts = Facts::of(alerts);
    let mut line = Line { buffer, limit: INCIDENT_LIST_MAX };
    line.header(options, Text::default(), "incident", incident.display_name, record.head.severity);
    line.common(incident.id, incident.severity, record, tenant);
    line.text("msg", incident.description.or(incident.summary));
    line.time("start", alerts.iter().filter_map(|alert| parsed(alert.first_activity_at)).min());
    line.time("end", alerts.iter().filter_map(|alert| parsed(alert.last_activity_at)).max());
    line.text("cat", first(alerts, |alert| alert.category));
    line.labelled("cs1", "threatName", first(alerts, |alert| alert.threat_name));
    line.labelled("cs4", "actor", first(alerts, |alert| alert.actor));
    line.number("cn3", "alertCount", alerts.len());
    line.labelled("flexString1", "incidentWebUrl", incident.incident_url);
    line.labelled("flexString2", "incidentId", incident.id);
    line.facts(&facts);
    line.text("muStatus", incident.status);
    line.text("muClassification", incident.classification);
    line.text("muDetermination", incident.determination);
    line.text("muAssignedTo", incident.assigned_to);
    line.text("muPriorityScore", incident.priority_score);
    line.text("muRedirectIncidentId", incident.redirect_incident_id);
    let of_alerts = |field: for<'s, 'a> fn(&'s Alert<'a>) -> &'s [Text<'a>]| {
        let mut distinct = super::view::Distinct::default();
        alerts.iter().flat_map(field).for_each(|text| distinct.add_text(*text));
        distinct
    };
    line.list("muAlertIds", of_alerts(|alert| std::slice::from_ref(&alert.id)).as_slice());
    line.list("muCategories", of_alerts(|alert| std::slice::from_ref(&alert.category)).as_slice());
    line.list("muTechniques", of_alerts(|alert| &alert.techniques).as_slice());
    line.list("muTags", &incident.tags);
}

/// The first text that is not blank among those of the alerts.
fn first<'a>(alerts: &[Alert<'a>], field: impl Fn(&Alert<'a>) -> Text<'a>) -> Text<'a> {
    alerts.iter().map(field).find(|text| !text.is_blank()).unwrap_or_default()
}

fn parsed(time: Text<'_>) -> Option<Timestamp> {
    time.as_written().parse().ok()
}

/// CEF's 0 to 10. The guide calls 0–3 low, 4–6 medium, 7–8 high and 9–10 very high; Microsoft's "high" is CEF's.
fn severity_number(severity: Severity) -> &'static str {
    match severity {
        Severity::Unknown => "0",
        Severity::Informational => "1",
        Severity::Low => "3",
        Severity::Medium => "6",
        Severity::High => "8",
    }
}

/// The words of Microsoft's field map.
fn severity_word(severity: Severity) -> Option<&'static str> {
    match severity {
        Severity::Unknown => None,
        Severity::Informational => Some("Informational"),
        Severity::Low => Some("Low"),
        Severity::Medium => Some("Medium"),
        Severity::High => Some("High"),
    }
}

/// A line that is being written.
struct Line<'b> {
    buffer: &'b mut Vec<u8>,
    /// How many values a list holds at most.
    limit: usize,
}

impl Line<'_> {
    fn header(
        &mut self,
        options: &CefOptions,
        signature: Text<'_>,
        default_signature: &str,
        name: Text<'_>,
        severity: Severity,
    ) {
        self.buffer.extend_from_slice(b"CEF:0|");
        for constant in [&options.device_vendor, &options.device_product, &options.device_version] {
            escape(self.buffer, constant, &HEADER);
            self.buffer.push(b'|');
        }
        for (text, default) in [(signature, default_signature), (name, "Microsoft Defender")] {
            if text.is_blank() {
                self.buffer.extend_from_slice(default.as_bytes());
            } else {
                text.pieces(|piece| escape(self.buffer, piece, &HEADER));
            }
            self.buffer.push(b'|');
        }
        self.buffer.extend_from_slice(severity_number(severity).as_bytes());
        self.buffer.push(b'|');
    }

    /// What alerts and incidents share. The first key comes right after the header's last bar.
    fn common(&mut self, id: Text<'_>, severity: Text<'_>, record: Record<'_>, tenant: &TenantLabel) {
        self.buffer.extend_from_slice(b"externalId=");
        // Never blank: a record without an id was not accepted. A number too is an id.
        if id.is_blank() {
            escape(self.buffer, &record.head.id, &EXTENSION);
        } else {
            self.value(id);
        }
        match severity_word(record.head.severity) {
            Some(word) => self.plain("deviceSeverity", word),
            None => self.text("deviceSeverity", severity),
        }
        self.time("rt", record.head.created_at);
        self.labelled_time("deviceCustomDate1", "lastUpdateDateTime", record.head.updated_at);
        let mut tenant_id = [0; 36];
        self.plain("cs2", tenant.id.as_uuid().as_hyphenated().encode_lower(&mut tenant_id));
        self.plain("cs2Label", "tenantId");
        if !tenant.name.trim().is_empty() {
            self.plain("cs3", &tenant.name);
            self.plain("cs3Label", "tenantName");
        }
    }

    /// The first of each kind of evidence in the flat fields, and the lists.
    fn facts(&mut self, facts: &Facts<'_>) {
        let Facts { device, user, file, process, .. } = facts;
        self.text("shost", device.name());
        self.text("sourceDnsDomain", device.domain());
        self.text("deviceExternalId", device.id);
        self.text("muOsPlatform", device.os_platform);
        self.text("muDeviceGroup", device.group);
        self.more("muDevices", facts.devices.as_slice(), 1);
        self.more("muDeviceIds", facts.device_ids.as_slice(), usize::from(!device.id.is_blank()));

        self.text("sntdom", user.domain());
        self.text("suser", user.name());
        self.text("muUserPrincipalName", user.principal);
        self.text("muUserSid", user.sid);
        self.text("muUserId", user.entra_id);
        if facts.users.as_slice().len() > 1 {
            self.items("muUsers", facts.users.as_slice(), |line, user| line.joined(&[user.0, user.1], "\\"));
        }
        let shown = [user.principal, user.sid, user.entra_id].iter().filter(|id| !id.is_blank()).count();
        self.more("muUserIds", facts.user_ids.as_slice(), shown);
        self.items("suid", facts.logged_on.as_slice(), |line, user| line.joined(&[user.0, user.1], "\\"));

        self.text("fname", file.name);
        self.text("filePath", file.path);
        if file.size.as_written().bytes().all(|byte| byte.is_ascii_digit()) {
            self.text("fsize", file.size);
        }
        self.text("fileHash", file.sha1);
        self.labelled("cs6", "sha256", file.sha256);
        self.labelled("cs5", "md5", file.md5);
        if facts.files.as_slice().len() > 1 {
            self.items("muFiles", facts.files.as_slice(), |line, (path, name)| {
                let slash = if path.as_written().contains('/') { "/" } else { "\\" };
                line.joined(&[*path, *name], slash);
            });
        }
        let shown = [file.sha1, file.sha256, file.md5].iter().filter(|hash| !hash.is_blank()).count();
        self.more("muHashes", facts.hashes.as_slice(), shown);

        self.text("sproc", process.image.name);
        self.text("spid", process.id);
        self.text("muCommandLine", process.command_line);
        self.text("muParentProcess", process.parent_image.name);
        self.text("muParentProcessId", process.parent_id);
        self.more("muProcesses", facts.processes.as_slice(), 1);
        self.flag("cn1", "wasExecutingWhileDetected", facts.was_executing);
        self.flag("cn2", "remediationIsSuccess", facts.remediated);
        self.text("act", facts.remediation);

        let addresses = facts.addresses.as_slice();
        let find = |fits: fn(&IpAddr) -> bool| {
            let is = |text: &&Text<'_>| text.as_written().parse().is_ok_and(|address| fits(&address));
            addresses.iter().find(is).copied().unwrap_or_default()
        };
        let (v4, v6) = (find(IpAddr::is_ipv4), find(IpAddr::is_ipv6));
        self.text("src", v4);
        self.labelled("c6a2", "Source IPv6 Address", v6);
        let shown = [v4, v6].iter().filter(|address| !address.is_blank()).count();
        self.more("muAddresses", addresses, shown);

        self.text("request", facts.urls.as_slice().first().copied().unwrap_or_default());
        self.more("muUrls", facts.urls.as_slice(), 1);
        self.text("duser", facts.recipients.as_slice().first().copied().unwrap_or_default());
        self.more("muRecipients", facts.recipients.as_slice(), 1);
        self.list("muSenders", facts.senders.as_slice());
        self.list("muMessages", facts.messages.as_slice());
        self.items("muRegistry", facts.registry.as_slice(), |line, registry| {
            line.joined(&[registry.hive, registry.key, registry.value_name, registry.value], "\\");
        });
        self.list("muEntities", facts.entities.as_slice());
        self.list("muVerdicts", facts.verdicts.as_slice());
        self.list("muEvidenceTypes", facts.kinds.as_slice());
    }

    fn key(&mut self, key: &str) {
        self.buffer.push(b' ');
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.push(b'=');
    }

    fn value(&mut self, text: Text<'_>) {
        text.pieces(|piece| escape(self.buffer, piece, &EXTENSION));
    }

    /// A key whose value is not blank.
    fn plain(&mut self, key: &str, value: &str) {
        self.key(key);
        escape(self.buffer, value, &EXTENSION);
    }

    /// A key and its value, or nothing.
    fn text(&mut self, key: &str, text: Text<'_>) {
        if !text.is_blank() {
            self.key(key);
            self.value(text);
        }
    }

    /// A custom field and its label, or nothing.
    fn labelled(&mut self, key: &str, label: &str, text: Text<'_>) {
        if !text.is_blank() {
            self.text(key, text);
            self.label(key, label);
        }
    }

    fn label(&mut self, key: &str, label: &str) {
        self.buffer.push(b' ');
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"Label=");
        self.buffer.extend_from_slice(label.as_bytes());
    }

    /// Milliseconds since 1970. Earlier times, such as .NET's "no date" of year 1, are left out.
    fn time(&mut self, key: &str, time: Option<Timestamp>) -> bool {
        let milliseconds = time.map_or(0, Timestamp::as_millisecond);
        if milliseconds > 0 {
            self.key(key);
            self.buffer.extend_from_slice(milliseconds.to_string().as_bytes());
        }
        milliseconds > 0
    }

    fn labelled_time(&mut self, key: &str, label: &str, time: Option<Timestamp>) {
        if self.time(key, time) {
            self.label(key, label);
        }
    }

    fn number(&mut self, key: &str, label: &str, number: usize) {
        self.plain(key, &number.to_string());
        self.label(key, label);
    }

    /// 1, 0, or nothing.
    fn flag(&mut self, key: &str, label: &str, flag: Option<bool>) {
        if let Some(flag) = flag {
            self.number(key, label, usize::from(flag));
        }
    }

    /// All values, if there are more than the flat fields already `shown`.
    fn more(&mut self, key: &str, values: &[Text<'_>], shown: usize) {
        if values.len() > shown {
            self.list(key, values);
        }
    }

    fn list(&mut self, key: &str, values: &[Text<'_>]) {
        self.items(key, values, |line, value| value.pieces(|piece| escape(line.buffer, piece, &ITEM)));
    }

    fn items<T>(&mut self, key: &str, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        for (position, item) in items.iter().take(self.limit).enumerate() {
            if position == 0 {
                self.key(key);
            } else {
                self.buffer.extend_from_slice(b"; ");
            }
            write(self, item);
        }
    }

    /// An item of a list made of several texts.
    fn joined(&mut self, parts: &[Text<'_>], separator: &str) {
        let mut apart = false;
        for part in parts.iter().filter(|part| !part.is_blank()) {
            if apart {
                escape(self.buffer, separator, &ITEM);
            }
            part.pieces(|piece| escape(self.buffer, piece, &ITEM));
            apart = true;
        }
    }
}

/// For each byte, whether a value must be looked at there.
type Special = [bool; 256];

const HEADER: Special = special(b"\\|");
const EXTENSION: Special = special(b"\\=");
const ITEM: Special = special(b"\\=;");

const fn special(own: &[u8]) -> Special {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[0x7f] = true;
    // The first bytes of U+0080 to U+009F, of U+061C, and of U+2000 to U+2FFF.
    table[0xc2] = true;
    table[0xd8] = true;
    table[0xe2] = true;
    let mut at = 0;
    while at < own.len() {
        table[own[at] as usize] = true;
        at += 1;
    }
    table
}

/// Appends `text` with its special characters made harmless. `special` also says where the text goes.
fn escape(buffer: &mut Vec<u8>, text: &str, special: &Special) {
    let in_header = special[usize::from(b'|')];
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| special[usize::from(byte)]) {
        let (clean, tail) = rest.split_at(at);
        buffer.extend_from_slice(clean.as_bytes());
        let mut characters = tail.chars();
        let Some(character) = characters.next() else { break };
        rest = characters.as_str();
        match character {
            '\\' | '|' | '=' => buffer.extend_from_slice(&[b'\\', character as u8]),
            ';' => buffer.extend_from_slice(b"%3B"),
            '\n' | '\r' if in_header => buffer.push(b' '),
            '\n' => buffer.extend_from_slice(b"\\n"),
            '\r' => buffer.extend_from_slice(b"\\r"),
            '\t' => buffer.push(b' '),
            _ if is_harmful(character) => {
                buffer.extend_from_slice(format!("<U+{:04X}>", u32::from(character)).as_bytes());
            }
            _ => buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    buffer.extend_from_slice(rest.as_bytes());
}

/// Control characters, line and paragraph separators, and what turns the direction of writing.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{EXTENSION, HEADER, ITEM, Special, escape};

    fn escaped(text: &str, special: &Special) -> String {
        let mut buffer = Vec::new();
        escape(&mut buffer, text, special);
        String::from_utf8(buffer).expect("text")
    }

    #[test]
    fn each_place_has_its_escapes() {
        let hostile = "a\\b|c=d;e\r\nf\tg\0h\u{85}i\u{2028}j\u{202e}k\u{a0}é😀–";
        let tail = "h<U+0085>i<U+2028>j<U+202E>k\u{a0}é😀–";
        assert_eq!(escaped(hostile, &HEADER), format!("a\\\\b\\|c=d;e  f g<U+0000>{tail}"));
        assert_eq!(escaped(hostile, &EXTENSION), format!("a\\\\b|c\\=d;e\\r\\nf g<U+0000>{tail}"));
        assert_eq!(escaped(hostile, &ITEM), format!("a\\\\b|c\\=d%3Be\\r\\nf g<U+0000>{tail}"));
    }
}
