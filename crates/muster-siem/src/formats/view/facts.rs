//! The evidence of alerts, sorted by what analysts pivot on.

use std::borrow::Cow;

use muster_model::json::Text;

use super::alert::Alert;
use super::evidence::Evidence;
use super::pivots::Pivot;
use super::tables::{self, EvidenceKind};
use super::things::{Device, File, Process, Registry, User};
use crate::formats::writing::distinct::Distinct;

/// The evidence of one or more alerts, sorted by what analysts pivot on. Each list holds a value once, in the order
/// in which evidence came; evidence whose own subject it is comes before evidence that only mentions it (the user of
/// a `userEvidence` before the account of a process).
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    /// The first named device; without any, the first that has only an id.
    pub(crate) device: Device<'a>,
    /// The first file: of file evidence, else of a process.
    pub(crate) file: File<'a>,
    /// The first process.
    pub(crate) process: Process<'a>,
    /// The first user with a name.
    pub(crate) user: User<'a>,
    /// Whether anything was remediated, blocked or prevented, and nothing left active; `None` when nothing is said.
    pub(crate) remediated: Option<bool>,
    /// Whether any process ran when it was detected; `None` when nothing is said.
    pub(crate) was_executing: Option<bool>,
    /// The first remediation status that says something.
    pub(crate) remediation: Text<'a>,
    pub(crate) kinds: Distinct<Text<'a>>,
    pub(crate) verdicts: Distinct<Text<'a>>,
    pub(crate) devices: Distinct<Text<'a>>,
    pub(crate) device_ids: Distinct<Text<'a>>,
    /// Domain and name.
    pub(crate) users: Distinct<(Text<'a>, Text<'a>)>,
    /// Principal names, SIDs and ids of users.
    pub(crate) user_ids: Distinct<Text<'a>>,
    /// Domain and name.
    pub(crate) logged_on: Distinct<(Text<'a>, Text<'a>)>,
    /// Folder and name.
    pub(crate) files: Distinct<(Text<'a>, Text<'a>)>,
    pub(crate) hashes: Distinct<Text<'a>>,
    pub(crate) processes: Distinct<Text<'a>>,
    pub(crate) addresses: Distinct<Text<'a>>,
    pub(crate) urls: Distinct<Text<'a>>,
    pub(crate) recipients: Distinct<Text<'a>>,
    pub(crate) senders: Distinct<Text<'a>>,
    pub(crate) messages: Distinct<Text<'a>>,
    pub(crate) registry: Distinct<Registry<'a>>,
    pub(crate) entities: Distinct<Text<'a>>,
}

impl<'a> Facts<'a> {
    /// The facts of the evidence of `alerts`.
    pub(crate) fn of(alerts: &[Alert<'a>]) -> Self {
        Self::of_evidence(alerts, &all_evidence(alerts))
    }

    /// The facts of the evidence of `alerts`, of which `all` is [`all_evidence`].
    pub(crate) fn of_evidence(alerts: &[Alert<'a>], all: &[Evidence<'a>]) -> Self {
        let mut facts = Self::default();
        let (mut done, mut open) = (false, false);
        let is_said = alerts
            .iter()
            .flat_map(|alert| &alert.evidence)
            .any(|evidence| !evidence.remediation_status().is_blank());
        let all = Reads::of(all);
        facts.choose(&all);
        for read in all.iter() {
            facts.add_subjects(&read);
        }
        for read in all.iter() {
            facts.add_all(&read);
            match read.remediation_status.as_written() {
                status
                    if ["remediated", "prevented", "blocked"]
                        .iter()
                        .any(|word| tables::same(status, word)) =>
                {
                    done = true;
                }
                status if tables::says_nothing(status) || tables::same(status, "notFound") => {}
                _ => open = true,
            }
        }
        facts.remediated = is_said.then_some(done && !open);
        for alert in alerts {
            facts.remediated = alert.remediated.or(facts.remediated);
            facts.was_executing = alert.was_executing.or(facts.was_executing);
        }
        let remediations = all
            .iter()
            .map(|read| read.remediation_status)
            .filter(|status| !tables::same(status.as_written(), "none"))
            .chain(alerts.iter().map(|alert| alert.remediation_action));
        facts.remediation = first_present(remediations);
        facts
    }

    /// Picks the one device, file, process and user. Each text is looked at once: it may be long and begin with
    /// blanks, and what was picked is not to be looked at anew for each piece of evidence.
    fn choose(&mut self, all: &Reads<'_, 'a>) {
        let reads = || all.iter();
        let device = reads()
            .find(|read| !read.device.name().is_blank())
            .or_else(|| reads().find(|read| !read.device.id.is_blank()))
            .or_else(|| all.last());
        self.device = device.map(|read| read.device).unwrap_or_default();
        let files = reads().map(|read| read.file);
        let images = reads().flat_map(|read| [read.process.image, read.process.parent_image]);
        self.file = files.chain(images).find(|file| !file.is_blank()).unwrap_or_default();
        let process = reads().find(|read| !read.process.shown().is_blank());
        self.process = process.map(|read| read.process).unwrap_or_default();
        let subjects = reads().filter(|read| read.evidence.kind != EvidenceKind::Process);
        let user = subjects.chain(reads()).find(|read| !read.user.name().is_blank());
        self.user = user.map(|read| read.user).unwrap_or_default();
    }

    /// What is the very subject of evidence, and so goes first.
    fn add_subjects(&mut self, read: &Read<'a>) {
        let kind = read.evidence.kind;
        if kind != EvidenceKind::Process {
            self.add_user(&read.user);
        }
        if kind == EvidenceKind::Ip {
            read.evidence.pivots(&mut |pivot, text| {
                if pivot == Pivot::Address {
                    self.addresses.add_text(text);
                }
            });
        }
        if !read.file.is_blank() {
            self.add_file(&read.file);
        }
    }

    fn add_all(&mut self, read: &Read<'a>) {
        let Read { evidence, device, process, .. } = read;
        self.kinds.add_text(evidence.type_name());
        self.verdicts.add_text(evidence.verdict());
        self.devices.add_text(device.dns_name);
        // The short name says nothing new where it begins the full one.
        let (full, short) = (device.dns_name.as_written(), device.host_name.as_written());
        if !full.get(..short.len()).is_some_and(|start| start.eq_ignore_ascii_case(short)) {
            self.devices.add_text(device.host_name);
        }
        self.device_ids.add_text(device.id);
        self.device_ids.add_text(device.entra_id);
        self.add_user(&read.user);
        for user in evidence.logged_on() {
            if !user.name().is_blank() {
                self.logged_on.add((user.domain(), user.name()));
            }
        }
        self.add_file(&process.image);
        self.add_file(&process.parent_image);
        self.processes.add_text(process.shown());
        let detected = evidence.detection_status();
        if evidence.kind == EvidenceKind::Process && !detected.is_blank() {
            let ran = tables::same(detected.as_written(), "detected");
            self.was_executing = Some(ran || self.was_executing == Some(true));
        }
        evidence.pivots(&mut |pivot, text| {
            let list = match pivot {
                Pivot::Address => &mut self.addresses,
                Pivot::Url => &mut self.urls,
                Pivot::Hash => &mut self.hashes,
                Pivot::Recipient => &mut self.recipients,
                Pivot::Sender => &mut self.senders,
                Pivot::Message => &mut self.messages,
                Pivot::Entity => &mut self.entities,
            };
            list.add_text(text);
        });
        let registry = evidence.registry();
        if registry != Registry::default() {
            self.registry.add(registry);
        }
    }

    fn add_user(&mut self, user: &User<'a>) {
        if user.name().is_blank() {
            return;
        }
        self.users.add((user.domain(), user.name()));
        for id in [user.principal, user.sid, user.entra_id] {
            self.user_ids.add_text(id);
        }
    }

    fn add_file(&mut self, file: &File<'a>) {
        if file.is_blank() {
            return;
        }
        if !(file.name.is_blank() && file.path.is_blank()) {
            self.files.add((file.path, file.name));
        }
        for hash in file.hashes() {
            self.hashes.add_text(hash);
        }
    }
}

/// The first of `texts` that is not blank.
fn first_present<'a>(mut texts: impl Iterator<Item = Text<'a>>) -> Text<'a> {
    texts.find(|text| !text.is_blank()).unwrap_or_default()
}

/// All evidence of alerts, each piece before what is inside it.
pub(crate) fn all_evidence<'a>(alerts: &[Alert<'a>]) -> Vec<Evidence<'a>> {
    let mut all = Vec::new();
    for evidence in alerts.iter().flat_map(|alert| &alert.evidence) {
        evidence.walk(&mut |evidence| all.push(*evidence));
    }
    all
}

/// Pieces of evidence with what is asked of them more than once.
struct Reads<'r, 'a> {
    all: &'r [Evidence<'a>],
    /// The first of them. The others are read each time: a piece may have three bytes, and what is kept of it a thousand.
    kept: Vec<Read<'a>>,
}

/// Of how many pieces of evidence is kept what was read. Real alerts have some tens.
const READS_MAX: usize = 256;

impl<'r, 'a> Reads<'r, 'a> {
    fn of(all: &'r [Evidence<'a>]) -> Self {
        let kept = all.iter().take(READS_MAX).map(|evidence| Read::of(*evidence)).collect();
        Self { all, kept }
    }

    fn get(&self, at: usize) -> Option<Cow<'_, Read<'a>>> {
        match self.kept.get(at) {
            Some(read) => Some(Cow::Borrowed(read)),
            None => self.all.get(at).map(|evidence| Cow::Owned(Read::of(*evidence))),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Cow<'_, Read<'a>>> {
        (0..self.all.len()).filter_map(|at| self.get(at))
    }

    fn last(&self) -> Option<Cow<'_, Read<'a>>> {
        self.get(self.all.len().checked_sub(1)?)
    }
}

/// A piece of evidence with what is asked of it more than once.
#[derive(Clone, Copy)]
struct Read<'a> {
    evidence: Evidence<'a>,
    remediation_status: Text<'a>,
    device: Device<'a>,
    user: User<'a>,
    file: File<'a>,
    process: Process<'a>,
}

impl<'a> Read<'a> {
    fn of(evidence: Evidence<'a>) -> Self {
        Self {
            evidence,
            remediation_status: evidence.remediation_status(),
            device: evidence.device(),
            user: evidence.user(),
            file: evidence.file(),
            process: evidence.process(),
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::json::Tape;

    use super::{Facts, READS_MAX};
    use crate::formats::view::{Alert, EvidenceKind, HuntingRow, Incident};

    fn tape(body: &str) -> Tape<'_> {
        Tape::read(body).expect("JSON")
    }

    #[test]
    fn wrong_types_are_nothing_and_the_rest_is_read() {
        let tape = tape(
            r##"{"id":7,"title":{"a":1},"severity":null,"mitreTechniques":"T1059","evidence":[null,3,"x",[],
                {"@odata.type":"#microsoft.graph.security.deviceEvidence","hostName":["a"],"deviceDnsName":true,
                 "loggedOnUsers":{"accountName":"one"}},{"@odata.type":5,"userAccount":"nobody"}]}"##,
        );
        let alert = Alert::graph(tape.root());
        assert_eq!(alert.id.as_written(), "7");
        assert!(alert.title.is_blank() && alert.severity.is_blank());
        assert_eq!(alert.techniques[0].as_written(), "T1059");
        assert_eq!(alert.evidence.len(), 6);
        let facts = Facts::of(&[alert]);
        assert_eq!(facts.device.name().as_written(), "true");
        assert_eq!(facts.logged_on.as_slice()[0].1.as_written(), "one");
        assert!(Alert::graph(Tape::read("[]").expect("JSON").root()).id.is_blank());
    }

    #[test]
    fn alerts_of_an_incident_may_be_one_object() {
        let tape = tape(r#"{"id":"9","alerts":{"id":"a"}}"#);
        let incident = Incident::graph(tape.root());
        assert_eq!(incident.alerts[0].id.as_written(), "a");
    }

    #[test]
    fn evidence_inside_evidence_is_followed_so_far() {
        let inner = |depth: usize| {
            let deep = format!("{}{{\"name\":\"core\"}}{}", "{\"host\":".repeat(depth), "}".repeat(depth));
            let body = format!("{{\"evidence\":[{deep}]}}");
            let tape = tape(&body);
            let alert = Alert::graph(tape.root());
            Facts::of(&[alert]).entities.as_slice().len()
        };
        assert_eq!((inner(0), inner(7), inner(8), inner(90)), (1, 1, 0, 0));
    }

    #[test]
    fn the_user_of_user_evidence_goes_before_the_account_of_a_process() {
        let tape = tape(
            r##"{"evidence":[
                {"@odata.type":"#microsoft.graph.security.processEvidence","userAccount":{"accountName":"SYSTEM"}},
                {"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{"accountName":"mia"}}]}"##,
        );
        let alert = Alert::graph(tape.root());
        let facts = Facts::of(&[alert]);
        assert_eq!(facts.user.name().as_written(), "mia");
        assert_eq!(facts.users.as_slice().len(), 2);
    }

    #[test]
    fn alerts_of_the_older_apis_give_the_same_facts() {
        let endpoint = tape(
            r#"{"id":"da1","machineId":"d1","computerDnsName":"ws1.north.example","severity":"High",
                "relatedUser":{"userName":"mia","domainName":"NORTH"},"loggedOnUsers":[{"accountName":"ole"}],
                "evidence":[{"entityType":"Process","fileName":"a.exe","filePath":"C:\\x","processId":7,
                             "parentProcessFileName":"b.exe","detectionStatus":"Detected","userSid":"S-1-5-21-7"},
                            {"entityType":"Ip","ipAddress":"203.0.113.9"}]}"#,
        );
        let xdr = tape(
            r#"{"alertId":"da1","devices":[{"mdatpDeviceId":"d1","deviceDnsName":"ws1.north.example",
                                            "loggedOnUsers":[{"accountName":"ole"}]}],
                "entities":[{"entityType":"Process","fileName":"a.exe","filePath":"C:\\x","processId":7,
                             "accountName":"mia","domainName":"NORTH","userSid":"S-1-5-21-7","deviceId":"d1",
                             "detectionStatus":"Detected","remediationStatus":"Blocked"},
                            {"entityType":"Ip","ipAddress":"203.0.113.9"},
                            {"entityType":"Mailbox","mailboxAddress":"mia@north.example"}]}"#,
        );
        let siem = tape(
            r#"{"AlertId":"da1","DeviceID":"d1","ComputerDnsName":"ws1.north.example","UserName":"mia",
                "UserDomain":"NORTH","LogOnUsers":"NORTH\\ole; NORTH\\mia","CommandLine":"a.exe","Url":"",
                "InternalIPv4List":"10.0.0.7, 10.0.0.8","IpAddress":"203.0.113.9","RemediationIsSuccess":true}"#,
        );
        let alerts = [Alert::endpoint(endpoint.root()), Alert::xdr(xdr.root()), Alert::siem(siem.root())];
        for alert in &alerts {
            let facts = Facts::of(std::slice::from_ref(alert));
            assert_eq!(alert.id.as_written(), "da1");
            assert_eq!(facts.device.name().as_written(), "ws1.north.example");
            assert_eq!(facts.device_ids.as_slice()[0].as_written(), "d1");
            assert_eq!(facts.user.name().as_written(), "mia");
            assert_eq!(facts.addresses.as_slice()[0].as_written(), "203.0.113.9");
            assert_eq!(facts.logged_on.as_slice()[0].1.as_written(), "ole");
            assert!(facts.processes.as_slice()[0].as_written().starts_with("a.exe"));
        }
        let [endpoint, xdr, siem] = alerts.map(|alert| Facts::of(&[alert]));
        assert_eq!((endpoint.was_executing, endpoint.remediated), (Some(true), None));
        assert_eq!(xdr.remediated, Some(true));
        assert_eq!(xdr.recipients.as_slice()[0].as_written(), "mia@north.example");
        assert_eq!((siem.remediated, siem.addresses.as_slice().len()), (Some(true), 3));
        assert_eq!(siem.logged_on.as_slice()[0].0.as_written(), "NORTH");
    }

    #[test]
    fn evidence_behind_what_is_kept_counts_as_much() {
        let mut evidence: Vec<String> = (0..READS_MAX)
            .map(|number| {
                format!(
                    r##"{{"@odata.type":"#microsoft.graph.security.ipEvidence","ipAddress":"10.0.{}.{}"}}"##,
                    number / 250,
                    number % 250
                )
            })
            .collect();
        evidence.push(
            r##"{"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"ws1.north.example",
                "remediationStatus":"blocked","loggedOnUsers":[{"accountName":"ole"}]}"##
                .to_owned(),
        );
        evidence.push(
            r##"{"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{"accountName":"mia"}}"##.to_owned(),
        );
        let body = format!(r#"{{"evidence":[{}]}}"#, evidence.join(","));
        let tape = tape(&body);
        let facts = Facts::of(&[Alert::graph(tape.root())]);
        assert_eq!(facts.addresses.as_slice().len(), READS_MAX);
        assert_eq!(facts.device.name().as_written(), "ws1.north.example");
        assert_eq!(facts.user.name().as_written(), "mia");
        assert_eq!(facts.logged_on.as_slice()[0].1.as_written(), "ole");
        assert_eq!((facts.remediation.as_written(), facts.remediated), ("blocked", Some(true)));
    }

    #[test]
    fn the_type_of_inner_evidence_may_be_left_out() {
        let tape = tape(
            r##"{"evidence":[{"@odata.type":"#microsoft.graph.security.hostLogonSessionEvidence","sessionId":"s1",
                "host":{"deviceDnsName":"ws1","mdeDeviceId":"d1"},"account":{"userAccount":{"accountName":"mia"}}}]}"##,
        );
        let alert = Alert::graph(tape.root());
        let mut kinds = Vec::new();
        alert.evidence[0].walk(&mut |evidence| kinds.push(evidence.kind));
        assert_eq!(kinds, [EvidenceKind::HostLogonSession, EvidenceKind::Device, EvidenceKind::User]);
        assert_eq!(Facts::of(&[alert]).device.id.as_written(), "d1");
    }

    #[test]
    fn a_row_is_taken_out_of_its_envelope() {
        let row = r#"{"Timestamp":"2026-01-01T00:00:00Z","DeviceName":"ws1","InitiatingProcessId":7}"#;
        let wrapped = format!(
            r#"{{"time":"2026-01-01T00:00:09Z","tenantId":"t","category":"AdvancedHunting-DeviceEvents","properties":{row}}}"#
        );
        for body in [row, &wrapped] {
            let tape = tape(body);
            let row = HuntingRow::read(tape.root());
            assert_eq!(row.happened_at.as_written(), "2026-01-01T00:00:00Z");
            assert_eq!(row.device().name().as_written(), "ws1");
            assert_eq!(row.initiating_process().id.as_written(), "7");
        }
        assert_eq!(HuntingRow::read(tape(&wrapped).root()).table.as_written(), "DeviceEvents");
    }
}
