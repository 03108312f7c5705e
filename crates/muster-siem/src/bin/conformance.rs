//! Compares what the formats write with what other products write for the same records: `cargo run -p muster-siem
//! --bin conformance [CORPUS] [--all] [--values]`; `--all` shows each file of a folder, `--values` the values of each
//! field that is not simply equal.
//!
//! The corpus is recorded records with the events that Elastic's integrations, Sekoia's intakes and Tenzir's library
//! make of them; it lies beside the checkout (`../shared/corpus`) and is no part of the repository. For each file and
//! in all the report counts fields: equal, more (a list with all expected values and further ones, in a field that may
//! be a list), different, missing, extra. Names of ECS or OCSF are counted, and those of Elastic Defend that Elastic's
//! detection rules ask for; those of vendors' own namespaces apart, and so is what does not come from the record. Each
//! deliberate difference stands in [`DELIBERATE`] with its reason, its number, and what must hold of its values, so
//! that a value that gets lost is not taken for one. Lists are compared without their order, except words of command
//! lines; numbers and strings are told apart in OCSF, where they are different types.
//!
//! It ends with 1 when the share of what is equal, more or deliberate is below the aim; and when something was not
//! compared that should have been: a file that is gone or has another number of records, a record of which nothing is
//! written, an expected output that is in no list, a deliberate difference that occurs more often than it did, more
//! fields without an explanation than [`OPEN`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use muster_model::{Record, RecordHead, RecordKind, TenantId, TenantLabel};
use muster_siem::formats::{EcsOptions, EcsVersion, Events, Format, OcsfOptions, OcsfVersion};
use serde_json::Value;

/// The least share of fields that must be equal, more or deliberately different, in percent.
const AIM_PERCENT: f64 = 97.0;

/// How many fields are not explained. A further one is a loss, even above the aim.
const OPEN: usize = 0;

/// The tenant of records that name none.
const TENANT: &str = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d";

/// Names beside ECS that Elastic's detection rules ask for in these documents (`LSASS Process Access via Windows API`
/// is one).
const ELASTIC_DEFEND: &[&str] = &["process.Ext.*", "dll.Ext.*", "Target.process.*"];

/// Lists whose order matters: each is compared as one value, its items apart by this.
const IN_ORDER: &str = "\u{1f}";
const ORDERED: &[&str] = &["process.args", "process.parent.args"];

/// The values of each field.
type Fields = BTreeMap<String, BTreeSet<String>>;

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let mut option = |name: &str| {
        let before = arguments.len();
        arguments.retain(|argument| argument != name);
        arguments.len() < before
    };
    let (verbose, values) = (option("--all"), option("--values"));
    let corpus = arguments.first().map_or_else(default_corpus, PathBuf::from);
    if !corpus.is_dir() {
        println!("no corpus at {}: nothing is compared", corpus.display());
        return ExitCode::SUCCESS;
    }
    let mut faults = unlisted(&corpus);
    let standard = Standard::read(&corpus);
    if standard.ecs.is_empty() {
        faults.push("no names of ECS were read: ecs/ecs-fields-*.csv".to_owned());
    }
    let mut all: BTreeMap<&str, Tally> = BTreeMap::new();
    println!(
        "{:<70} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6} {:>7} {:>7} {:>7}",
        "file",
        "records",
        "fields",
        "equal",
        "more",
        "delib.",
        "differ",
        "missing",
        "extra",
        "equal",
        "+more",
        "+delib."
    );
    for set in SETS {
        let mut total = Tally::default();
        for file in files(&corpus, set) {
            let mut tally = Tally::default();
            for pair in pairs(&file, set.layout) {
                compare(set, &standard, &pair, &mut tally);
            }
            let name = file.strip_prefix(&corpus).unwrap_or(&file).display().to_string();
            if set.layout != Layout::Sekoia || verbose {
                tally.print(&name);
            }
            total.add(tally);
        }
        if set.layout == Layout::Sekoia {
            total.print(set.path);
        }
        if total.records != set.records {
            faults.push(format!("{}: {} records, and not {}", set.path, total.records, set.records));
        }
        all.entry(set.name).or_default().add(total);
    }
    let mut sum = Tally::default();
    for peer in ["elastic", "sekoia", "tenzir"] {
        let mut of_peer = Tally::default();
        for (name, tally) in all.iter().filter(|(name, _)| name.starts_with(peer)) {
            if *name != peer {
                tally.print(&format!("= {name}"));
            }
            of_peer.add(tally.clone());
        }
        of_peer.print(&format!("= {peer}, all"));
        sum.add(of_peer);
    }
    sum.print("= all");
    if sum.unwritten > 0 {
        faults.push(format!("of {} records nothing is written", sum.unwritten));
    }
    println!(
        "\nof vendors' own names {} fields were expected; {} of them we write too",
        sum.vendor, sum.vendor_equal
    );
    println!("{} records had no id, and got one; {} made more than one event", sum.without_id, sum.split);
    if !sum.lists.is_empty() {
        println!("\nof hunting rows, several values where ECS has one:");
        sum.lists.iter().for_each(|(field, count)| println!("{count:>6}  {field}"));
    }
    println!("\nnot compared:");
    for (path, reason) in NOT_COMPARED {
        println!("        {path}: {reason}");
    }
    println!("\nleft out, since they do not come from the record:");
    for (reason, count) in &sum.underived {
        println!("{count:>6}  {reason}");
    }
    println!("\ndeliberate differences:");
    for (at, difference) in DELIBERATE.iter().enumerate() {
        let count = sum.known.get(&at).copied().unwrap_or_default();
        println!("{count:>6}  {} {}: {}", difference.set, difference.field, difference.reason);
        if count == 0 {
            faults.push(format!("no longer a difference: {} {}", difference.set, difference.field));
        } else if count > difference.count {
            let Difference { set, field, count: before, .. } = difference;
            faults.push(format!("{set} {field}: {count} deliberate differences, and not {before}"));
        }
    }
    println!("\nnot explained:");
    let mut by_field: BTreeMap<(&str, &str), (usize, &str)> = BTreeMap::new();
    for (set, field, shown) in &sum.open {
        by_field.entry((set, field)).or_insert_with(|| (0, shown)).0 += 1;
    }
    let mut by_field: Vec<_> = by_field.into_iter().collect();
    by_field.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for ((set, field), (count, shown)) in by_field {
        println!("{count:>6}  {set} {field}: {shown}");
    }
    if sum.open.len() > OPEN {
        faults.push(format!("{} fields are not explained, and not {OPEN}", sum.open.len()));
    }
    if values {
        println!("\nvalues:");
        sum.shown.iter().for_each(|line| println!("{line}"));
    }
    println!();
    for fault in &faults {
        println!("{fault}");
    }
    let reached = sum.share() >= AIM_PERCENT;
    println!("{} the aim of {AIM_PERCENT} %", if reached { "above" } else { "below" });
    if reached && faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Files with an expected output that are neither compared nor named with a reason why not.
fn unlisted(corpus: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![corpus.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(corpus).unwrap_or(&path).display().to_string();
            let expects = ["expected", "sample_event", ".ocsf.json", ".fields.json"]
                .iter()
                .any(|part| name.contains(part))
                || name.starts_with("sekoia-intake-formats");
            let plain = name.replace("-expected.json", "").replace(".ocsf-expected.json", "");
            let plain = plain.trim_end_matches(".ocsf");
            let compared = SETS.iter().any(|set| plain.starts_with(set.path.trim_end_matches(".ndjson")));
            if expects
                && !compared
                && !NOT_COMPARED.iter().any(|(path, _)| name.starts_with(path.trim_end_matches(".ndjson")))
            {
                found.push(format!("{name}: neither compared nor named with a reason why not"));
            }
        }
    }
    found.sort();
    found
}

fn default_corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus")
}

/// How a file pairs records with expected events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Records a line, and `{"expected":[…]}` in another file.
    Elastic,
    /// One `{"input":{"message":…},"expected":{…}}`.
    Sekoia,
    /// Records a line, and a list of events in another file.
    Tenzir,
    /// An event that was indexed, with its record as a string in `event.original`.
    Indexed,
}

/// Files of one origin and kind of record.
struct Set {
    name: &'static str,
    /// A file, or a folder.
    path: &'static str,
    layout: Layout,
    kind: RecordKind,
    /// How many there are to compare.
    records: usize,
    /// Whether it is OCSF and not ECS.
    ocsf: bool,
}

const SETS: &[Set] = &[
    elastic(
        "elastic alert",
        "elastic-integrations/m365_defender/alert/test-alert.log",
        RecordKind::GraphAlert,
        1,
    ),
    elastic(
        "elastic incident",
        "elastic-integrations/m365_defender/incident/test-incident.log",
        RecordKind::GraphIncident,
        7,
    ),
    elastic(
        "elastic log",
        "elastic-integrations/m365_defender/log/test-m365-defender-ndjson.log",
        RecordKind::XdrIncident,
        6,
    ),
    elastic(
        "elastic endpoint",
        "elastic-integrations/microsoft_defender_endpoint/log/test-defenderatp.log",
        RecordKind::EndpointAlert,
        4,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-alert.log",
        RecordKind::HuntingRow,
        4,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-app-and-identity.log",
        RecordKind::HuntingRow,
        5,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-device.log",
        RecordKind::HuntingRow,
        34,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-email.log",
        RecordKind::HuntingRow,
        5,
    ),
    Set {
        name: "sekoia",
        path: "sekoia-intake-formats/microsoft-365-defender",
        layout: Layout::Sekoia,
        kind: RecordKind::HuntingRow,
        records: 55,
        ocsf: false,
    },
    indexed(
        "elastic alert",
        "elastic-integrations/m365_defender/alert/sample_event.json",
        RecordKind::GraphAlert,
    ),
    indexed(
        "elastic incident",
        "elastic-integrations/m365_defender/incident/sample_event.json",
        RecordKind::GraphIncident,
    ),
    indexed(
        "elastic log",
        "elastic-integrations/m365_defender/log/sample_event.json",
        RecordKind::XdrIncident,
    ),
    tenzir("tenzir-library/graph/defender-alerts.ndjson", RecordKind::GraphAlert),
    tenzir("tenzir-library/graph/defender-incidents.ndjson", RecordKind::GraphIncident),
];

const fn tenzir(path: &'static str, kind: RecordKind) -> Set {
    Set { name: "tenzir", path, layout: Layout::Tenzir, kind, records: 1, ocsf: true }
}

const fn elastic(name: &'static str, path: &'static str, kind: RecordKind, records: usize) -> Set {
    Set { name, path, layout: Layout::Elastic, kind, records, ocsf: false }
}

const fn indexed(name: &'static str, path: &'static str, kind: RecordKind) -> Set {
    Set { name, path, layout: Layout::Indexed, kind, records: 1, ocsf: false }
}

/// What has an expected output and is not compared, with the reason.
const NOT_COMPARED: &[(&str, &str)] = &[
    (
        "elastic-integrations/microsoft_defender_cloud",
        "Defender for Cloud's export by Event Hub, which is not collected",
    ),
    (
        "elastic-integrations/m365_defender/log/test-m365-defender-empty-ndjson.log",
        "an empty answer, of which no event is expected",
    ),
    (
        "elastic-integrations/microsoft_defender_endpoint/log/sample_event.json",
        "an event without the record it was made of",
    ),
    ("wazuh", "rules' verdicts, not events"),
    ("splunk", "names of fields, without values"),
    ("sekoia-intake-formats/o365", "the Office 365 Management API, which is not collected"),
    (
        "sekoia-intake-formats/microsoft-sentinel",
        "Azure's own incidents of Sentinel, which are not collected",
    ),
    ("sekoia-intake-formats/ocsf", "OCSF as input"),
    ("tenzir-library/graph/sign-ins.ndjson", "sign-ins of Graph, which are not collected"),
    ("tenzir-library/graph/directory-audits.ndjson", "audits of Graph, which are not collected"),
    ("tenzir-library/graph/risk-detections.ndjson", "risk detections of Graph, which are not collected"),
    ("ocsf-examples", "message traces, and products that are not Microsoft's"),
    ("panther-analysis", "rules' verdicts, not events"),
    ("microsoft-docs-cef", "CEF of products that are not collected in that form"),
];

/// A difference that is meant.
struct Difference {
    /// The beginning of the set's name.
    set: &'static str,
    /// The field, or its beginning with a `*` at the end.
    field: &'static str,
    /// How often it occurs. Where it occurs more often, something else has changed.
    count: usize,
    /// What must hold of the values, so that a value that is lost or wrong is no deliberate difference.
    when: fn(&Case<'_>) -> bool,
    reason: &'static str,
}

/// A field whose values differ.
struct Case<'a> {
    field: &'a str,
    expected: &'a BTreeSet<String>,
    written: Option<&'a BTreeSet<String>>,
    /// All that is written for the record.
    ours: &'a Fields,
    /// The columns of a hunting row, or the record.
    record: &'a Value,
    table: &'a str,
}

impl Case<'_> {
    fn expected(&self) -> impl Iterator<Item = &str> {
        self.expected.iter().map(String::as_str)
    }

    fn written(&self) -> impl Iterator<Item = &str> {
        self.written.into_iter().flatten().map(String::as_str)
    }

    /// What is expected and not written.
    fn missing(&self) -> impl Iterator<Item = &str> {
        self.expected().filter(|value| !self.written.is_some_and(|written| written.contains(*value)))
    }

    fn nothing(&self) -> bool {
        self.written.is_none()
    }

    /// Whether exactly this is expected; in the order of the alphabet.
    fn is(&self, values: &[&str]) -> bool {
        self.expected().eq(values.iter().copied())
    }

    /// Whether exactly this is written; in the order of the alphabet.
    fn writes(&self, values: &[&str]) -> bool {
        self.written().eq(values.iter().copied())
    }

    /// Whether one of these fields of ours has the value.
    fn has(&self, fields: &[&str], value: &str) -> bool {
        fields.iter().any(|field| self.ours.get(*field).is_some_and(|ours| ours.contains(value)))
    }

    /// Whether all that is expected is in these fields of ours.
    fn elsewhere(&self, fields: &[&str]) -> bool {
        self.expected().all(|value| self.has(fields, value))
    }

    /// Whether what is written is what is expected in another spelling.
    fn spelled(&self, spelling: impl Fn(&str) -> String) -> bool {
        let spelled: BTreeSet<String> = self.expected().map(spelling).collect();
        self.written.is_some_and(|written| *written == spelled)
    }

    /// Whether each expected folder goes on with a file in what is written, and nothing else is written.
    fn goes_on(&self) -> bool {
        let below = |path: &str, folder: &str| {
            path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['\\', '/']) && rest.len() > 1)
        };
        self.written.is_some()
            && self.expected().all(|folder| self.written().any(|path| below(path, folder)))
            && self.written().all(|path| self.expected().any(|folder| below(path, folder)))
    }

    /// Whether each expected folder is one that this path of ours lies in.
    fn folder_of(&self, field: &str) -> bool {
        self.expected().all(|folder| {
            let below =
                |path: &String| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['\\', '/']));
            self.ours.get(field).is_some_and(|paths| paths.iter().any(below))
        })
    }

    fn numbers_within(&self, distance: f64) -> bool {
        let number = |text: &str| text.parse::<f64>().ok();
        match (self.expected().next().and_then(number), self.written().next().and_then(number)) {
            (Some(expected), Some(written)) => (expected - written).abs() < distance,
            _ => false,
        }
    }

    /// Whether the words that are expected are in the list that is written, whatever their order and quotes.
    fn same_words(&self) -> bool {
        let bare = |text: &str| text.replace('"', "").trim().to_owned();
        let ours = bare(&self.written().collect::<Vec<_>>().join(" ").replace(IN_ORDER, " "));
        self.written.is_some()
            && self.expected().flat_map(|list| list.split(IN_ORDER)).all(|word| ours.contains(&bare(word)))
    }

    /// Whether the column has exactly what is expected.
    fn column(&self, name: &str) -> bool {
        let value = &self.record[name];
        !value.is_null() && self.is(&[&canonical(value, false)])
    }

    /// Whether what is expected stands in a column whose name begins so.
    fn in_record(&self, beginning: &str) -> bool {
        let columns = self.record.as_object().into_iter().flatten();
        let columns: Vec<_> =
            columns.filter(|(name, _)| name.starts_with(beginning)).map(|(_, value)| value).collect();
        self.expected().all(|value| {
            columns.iter().any(|column| {
                canonical(column, false) == value || column.is_object() && column.to_string().contains(value)
            })
        })
    }

    fn table(&self, end: &str) -> bool {
        self.table.ends_with(end)
    }

    /// Whether the list of ours begins with the word.
    fn begins(&self, field: &str, word: &str) -> bool {
        self.ours
            .get(field)
            .is_some_and(|lists| lists.iter().any(|list| list.split(IN_ORDER).next() == Some(word)))
    }

    fn category(&self, name: &str) -> bool {
        self.has(&["event.category"], name)
    }

    fn inbound(&self) -> bool {
        self.record["ActionType"].as_str().is_some_and(|action| action.starts_with("Inbound"))
    }

    /// Whether what is expected of one end of a connection is written of the other.
    fn turned(&self) -> bool {
        let other = match self.field.split_once('.') {
            Some(("source", rest)) => format!("destination.{rest}"),
            Some(("destination", rest)) => format!("source.{rest}"),
            _ => return false,
        };
        self.elsewhere(&[&other])
    }

    /// A MAC address of the packet, in the notation of ECS.
    fn packet(&self, key: &str) -> Option<String> {
        let more: Value = serde_json::from_str(self.record["AdditionalFields"].as_str()?).ok()?;
        Some(more[key].as_str()?.to_uppercase().replace(':', "-"))
    }
}

const DELIBERATE: &[Difference] = &[
    Difference {
        set: "elastic",
        field: "file.path",
        count: 8,
        when: |case| case.elsewhere(&["file.directory"]) && case.goes_on(),
        reason: "ECS wants the whole path with the file's name; Elastic writes the folder, which is our file.directory",
    },
    Difference {
        set: "elastic",
        field: "threat.technique.name",
        count: 11,
        when: |case| {
            case.nothing() && case.elsewhere(&["event.action", "rule.category", "threat.tactic.name"])
        },
        reason: "Elastic writes the alert's category, which is a tactic or a class such as Malware, never a technique; ours is event.action",
    },
    Difference {
        set: "elastic incident",
        field: "threat.group.name",
        count: 4,
        when: |case| case.nothing() && case.elsewhere(&["threat.software.name"]),
        reason: "Elastic writes the family of the malware; ECS wants the group of attackers. The family is our threat.software.name",
    },
    Difference {
        set: "elastic incident",
        field: "threat.tactic.name",
        count: 2,
        when: |case| case.nothing() && case.is(&["Malware"]),
        reason: "the category is Malware, which is no tactic of MITRE ATT&CK",
    },
    Difference {
        set: "elastic incident",
        field: "source.user.name",
        count: 3,
        when: |case| case.nothing() && case.elsewhere(&["related.user"]),
        reason: "Elastic writes the analyst to whom the incident is assigned, who is not the source of anything; ours is in related.user",
    },
    Difference {
        set: "elastic incident",
        field: "registry.hive",
        count: 3,
        when: |case| case.is(&["HKEY_LOCAL_MACHINE"]) && case.writes(&["HKLM"]),
        reason: "ECS wants the abbreviated name (HKLM)",
    },
    Difference {
        set: "elastic incident",
        field: "user.id",
        count: 1,
        when: |case| case.elsewhere(&["user.email"]) && case.written().all(|id| !id.contains('@')),
        reason: "Elastic writes the principal name, which is our user.email; ours are the SID and the directory's id",
    },
    Difference {
        set: "elastic alert",
        field: "event.duration",
        count: 2,
        when: |case| case.numbers_within(1_000_000.0),
        reason: "Elastic subtracts times that it has cut to milliseconds; ours is exact",
    },
    Difference {
        set: "elastic alert",
        field: "related.hosts",
        count: 2,
        when: |case| case.missing().all(|name| case.has(&["host.os.name", "host.os.version"], name)),
        reason: "Elastic lists the name and version of the operating system as hosts; all real hosts are there",
    },
    Difference {
        set: "elastic endpoint",
        field: "cloud.account.id",
        count: 3,
        when: |case| case.expected().all(|id| id.parse::<TenantId>().is_err()) && case.writes(&[TENANT]),
        reason: "the record's tenant id is no GUID, so it is of no tenant that can be read; ours is the tenant that was read",
    },
    Difference {
        set: "elastic endpoint",
        field: "event.type",
        count: 1,
        when: |case| case.written().count() > 0 && case.missing().eq(["access"]) && case.category("iam"),
        reason: "Elastic adds `access` where the evidence is a user, whatever happened",
    },
    Difference {
        set: "elastic event",
        field: "email.message_id",
        count: 5,
        when: |case| case.elsewhere(&["email.local_id"]),
        reason: "Elastic writes Microsoft's network message id; ECS wants the Message-ID of the mail's header, and the other is our email.local_id",
    },
    Difference {
        set: "elastic event",
        field: "email.local_id",
        count: 2,
        when: |case| case.elsewhere(&["email.message_id"]),
        reason: "Elastic writes the header's Message-ID, which is our email.message_id",
    },
    Difference {
        set: "elastic event",
        field: "email.direction",
        count: 1,
        when: |case| case.spelled(str::to_lowercase),
        reason: "ours is in lower case, as the directions of all other records",
    },
    Difference {
        set: "elastic event",
        field: "network.direction",
        count: 4,
        when: |case| {
            case.is(&["unknown"]) && case.writes(&[if case.inbound() { "inbound" } else { "outbound" }])
        },
        reason: "Elastic writes `unknown`; a connection that the device asked for is outbound, one that it accepted inbound",
    },
    Difference {
        set: "elastic event",
        field: "process.parent.group_leader.*",
        count: 2,
        when: |case| case.nothing() && case.in_record("InitiatingProcessParent"),
        reason: "Elastic writes the parent's parent as leader of its group, which Microsoft does not say; ours is in Microsoft's own part",
    },
    Difference {
        set: "elastic event",
        field: "process.group_leader.*",
        count: 10,
        when: |case| {
            case.nothing()
                && case.elsewhere(&[
                    "process.parent.name",
                    "process.parent.executable",
                    "process.parent.pid",
                    "process.parent.start",
                ])
        },
        reason: "Elastic writes the parent as leader of the group, which Microsoft does not say; ours is process.parent",
    },
    Difference {
        set: "elastic event",
        field: "host.ip",
        count: 1,
        when: |case| case.nothing() && case.elsewhere(&["source.ip"]) && case.category("web"),
        reason: "of an app in the cloud the address is the client's; ours is source.ip",
    },
    Difference {
        set: "elastic event",
        field: "destination.*",
        count: 6,
        when: |case| case.inbound() && case.turned(),
        reason: "of an inbound connection the device is the destination: ECS says the source begins it",
    },
    Difference {
        set: "elastic event",
        field: "source.*",
        count: 4,
        when: |case| case.inbound() && case.turned(),
        reason: "of an inbound connection the far side is the source: ECS says the source begins it",
    },
    Difference {
        set: "elastic event",
        field: "dns.answers",
        count: 2,
        when: |case| case.nothing() && case.elsewhere(&["dns.answers.data"]),
        reason: "ECS wants objects; ours is dns.answers.data",
    },
    Difference {
        set: "elastic event",
        field: "process.executable",
        count: 1,
        when: |case| {
            case.nothing()
                && case.expected().all(|name| !name.contains('\\') && case.begins("process.args", name))
        },
        reason: "a bare word of the command line is no path of a program; ours is the first of process.args",
    },
    Difference {
        set: "elastic event",
        field: "process.executable",
        count: 1,
        when: |case| case.goes_on(),
        reason: "Elastic writes the folder; ours is the whole path",
    },
    Difference {
        set: "elastic event",
        field: "process.pid",
        count: 2,
        when: |case| case.table("DeviceEvents") && case.column("ProcessId") && case.written().count() == 1,
        reason: "Elastic mixes the id of the process that is acted on into the process that acts",
    },
    Difference {
        set: "elastic event",
        field: "process.start",
        count: 3,
        when: |case| {
            case.table("DeviceEvents") && case.column("ProcessCreationTime") && case.written().count() == 1
        },
        reason: "Elastic mixes the start of the process that is acted on into the process that acts",
    },
    Difference {
        set: "elastic event",
        field: "process.command_line",
        count: 1,
        when: |case| {
            case.table("DeviceEvents") && case.column("ProcessCommandLine") && case.written().count() == 1
        },
        reason: "Elastic mixes the command line of the process that is acted on into the process that acts",
    },
    Difference {
        set: "elastic event",
        field: "process.args",
        count: 1,
        when: |case| {
            case.table("DeviceEvents") && case.column("ProcessCommandLine") && case.written().count() == 1
        },
        reason: "Elastic mixes the command line of the process that is acted on into the process that acts",
    },
    Difference {
        set: "elastic event",
        field: "process.args_count",
        count: 1,
        when: |case| {
            case.table("DeviceEvents") && case.is(&["1"]) && case.record["ProcessCommandLine"] == "lsass.exe"
        },
        reason: "Elastic counts the words of the process that is acted on",
    },
    Difference {
        set: "elastic event",
        field: "process.Ext.token.integrity_level_name",
        count: 1,
        when: |case| {
            case.table("DeviceProcessEvents")
                && case.column("InitiatingProcessIntegrityLevel")
                && case.written().eq(case.record["ProcessIntegrityLevel"].as_str())
        },
        reason: "of a process that was created Elastic writes its parent's; ours is its own",
    },
    Difference {
        set: "elastic event",
        field: "process.parent.name",
        count: 1,
        when: |case| case.spelled(|path| path.rsplit('\\').next().unwrap_or_default().to_owned()),
        reason: "ours is the program's name without the path before it",
    },
    Difference {
        set: "elastic event",
        field: "host.os.full",
        count: 1,
        when: |case| case.nothing() && case.elsewhere(&["host.os.name"]),
        reason: "Elastic writes the platform, which is our host.os.name",
    },
    Difference {
        set: "elastic event",
        field: "registry.data.strings",
        count: 1,
        when: |case| {
            case.written().all(|data| case.record["RegistryValueData"] == *data)
                && case.missing().eq(case.record["PreviousRegistryValueData"].as_str())
        },
        reason: "Elastic adds the data before the change; ours is the data now, and the former is in Microsoft's own part",
    },
    Difference {
        set: "elastic event",
        field: "threat.technique.subtechnique.*",
        count: 2,
        when: |case| {
            case.written().count() > 0
                && case
                    .missing()
                    .all(|technique| case.has(&["threat.technique.id", "threat.technique.name"], technique))
        },
        reason: "Elastic lists techniques as sub-techniques; ours are in threat.technique",
    },
    Difference {
        set: "elastic event",
        field: "url.extension",
        count: 1,
        when: |case| {
            case.nothing()
                && case.expected().all(|end| {
                    case.record["RemoteUrl"]
                        .as_str()
                        .is_some_and(|url| !url.contains('/') && url.ends_with(end))
                })
        },
        reason: "Elastic takes a bare host name for a path",
    },
    Difference {
        set: "elastic event",
        field: "url.path",
        count: 1,
        when: |case| case.nothing() && case.elsewhere(&["url.domain"]),
        reason: "Elastic takes a bare host name for a path; ours is url.domain",
    },
    Difference {
        set: "elastic event",
        field: "event.type",
        count: 1,
        when: |case| {
            case.is(&["denied"])
                && case.writes(&["connection", "info"])
                && case.record["ActionType"] == "ConnectionFailed"
        },
        reason: "Elastic writes `denied` for a connection that failed; nobody denied it",
    },
    Difference {
        set: "sekoia",
        field: "agent.id",
        count: 28,
        when: |case| case.nothing() && case.elsewhere(&["host.id"]),
        reason: "the agent of an ECS document is what ships it; the device is our host.id",
    },
    Difference {
        set: "sekoia",
        field: "agent.version",
        count: 1,
        when: |case| case.nothing() && case.elsewhere(&["observer.version"]),
        reason: "the agent of an ECS document is what ships it; the sensor's version is our observer.version",
    },
    Difference {
        set: "sekoia",
        field: "process.working_directory",
        count: 19,
        when: |case| case.nothing() && case.folder_of("process.executable"),
        reason: "Sekoia writes the folder of the program, which is not where it works",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.working_directory",
        count: 2,
        when: |case| case.nothing() && case.folder_of("process.parent.executable"),
        reason: "Sekoia writes the folder of the program, which is not where it works",
    },
    Difference {
        set: "sekoia",
        field: "process.args",
        count: 20,
        when: |case| case.same_words(),
        reason: "Sekoia leaves the program out, sorts the words and cuts quoted ones; ours are in order, as ECS and Elastic have them",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.args",
        count: 1,
        when: |case| case.same_words(),
        reason: "Sekoia leaves the program out, sorts the words and cuts quoted ones; ours are in order, as ECS and Elastic have them",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.code_signature.status",
        count: 1,
        when: |case| case.is(&["Valid"]) && case.writes(&["trusted"]),
        reason: "ours is Elastic's word",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.code_signature.*",
        count: 4,
        when: |case| case.is(&["Unknown"]) && case.nothing(),
        reason: "`Unknown` says nothing",
    },
    Difference {
        set: "sekoia",
        field: "process.executable",
        count: 1,
        when: |case| case.goes_on(),
        reason: "Sekoia writes the folder; ours is the whole path",
    },
    Difference {
        set: "sekoia",
        field: "event.type",
        count: 9,
        when: |case| {
            case.is(&["info"])
                && case.written().count() > 0
                && case
                    .written()
                    .all(|kind| ["connection", "creation", "deletion", "indicator", "start"].contains(&kind))
        },
        reason: "Sekoia writes `info` for everything; ours tells creation, deletion, start, connection, and that an alert is an indicator",
    },
    Difference {
        set: "sekoia",
        field: "event.type",
        count: 1,
        when: |case| {
            case.missing().eq(["denied"])
                && case.writes(&["info"])
                && case.table("EmailEvents")
                && case.record["DeliveryAction"].is_null()
        },
        reason: "Sekoia writes `denied` for every mail that is not called delivered; the row does not say what became of it",
    },
    Difference {
        set: "sekoia",
        field: "event.kind",
        count: 9,
        when: |case| case.is(&["enrichment"]) && case.writes(&["alert"]) && case.table("AlertEvidence"),
        reason: "Sekoia calls evidence of an alert an enrichment; Elastic's integration and we an alert",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 3,
        when: |case| case.table("CloudAppEvents") && case.writes(&["web"]),
        reason: "Sekoia writes the network or an intrusion for each use of an app in the cloud; Elastic's integration and we the web",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 1,
        when: |case| {
            case.is(&["network"]) && case.table("CloudAuditEvents") && case.writes(&["configuration"])
        },
        reason: "Sekoia writes the network for the audit of a cloud's control plane, which is configuration",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 2,
        when: |case| case.is(&["host"]) && case.table("DeviceEvents") && case.writes(&["api"]),
        reason: "ours is Elastic's for calls of an API",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 2,
        when: |case| {
            case.is(&["process"])
                && (case.table("DeviceImageLoadEvents") && case.writes(&["library"])
                    || case.table("DeviceRegistryEvents") && case.writes(&["registry"]))
        },
        reason: "ours is Elastic's for this table: library, registry",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 1,
        when: |case| case.is(&["host"]) && case.table("DeviceNetworkInfo") && case.writes(&["network"]),
        reason: "ours is Elastic's for this table",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 1,
        when: |case| case.is(&["connection", "email"]) && case.writes(&["email"]),
        reason: "ECS has no category `connection`",
    },
    Difference {
        set: "sekoia",
        field: "event.action",
        count: 2,
        when: |case| {
            case.column("Action")
                && case.record["ActionType"]
                    .as_str()
                    .is_some_and(|action| case.writes(&[&action.to_lowercase().replace(' ', "-")]))
        },
        reason: "Sekoia writes what was done to the mail; ours is the row's action, as Elastic has it, and the other is in Microsoft's own part",
    },
    Difference {
        set: "sekoia",
        field: "user.id",
        count: 3,
        when: |case| {
            case.column("AccountObjectId")
                && case.elsewhere(&["related.user"])
                && case.written().eq(case.record["AccountSid"].as_str())
        },
        reason: "Sekoia writes the directory's id; ours is the SID, as Elastic has it, and the other is in related.user",
    },
    Difference {
        set: "sekoia",
        field: "event.outcome",
        count: 2,
        when: |case| case.elsewhere(&["event.reason"]) && case.writes(&["failure"]),
        reason: "Sekoia writes the reason of the failure; ECS allows success, failure and unknown, and the reason is our event.reason",
    },
    Difference {
        set: "sekoia",
        field: "event.outcome",
        count: 1,
        when: |case| {
            case.nothing()
                && case.is(&["failure"])
                && case.table("IdentityLogonEvents")
                && case.record["ActionType"] != "LogonFailed"
        },
        reason: "Sekoia calls every row of this table that is no success a failure; the row does not say so",
    },
    Difference {
        set: "sekoia",
        field: "network.protocol",
        count: 4,
        when: |case| {
            case.nothing()
                && case.expected().all(|name| {
                    case.ours.get("network.transport").is_some_and(|ours| {
                        ours.iter().all(|ours| name.to_lowercase().starts_with(ours.as_str()))
                    })
                })
        },
        reason: "Sekoia writes the transport with its address family; ours is network.transport",
    },
    Difference {
        set: "sekoia",
        field: "network.protocol",
        count: 4,
        when: |case| case.spelled(str::to_lowercase),
        reason: "ECS wants lower case",
    },
    Difference {
        set: "sekoia",
        field: "network.protocol",
        count: 1,
        when: |case| case.nothing() && case.is(&["Local"]) && case.column("RequestProtocol"),
        reason: "`Local` is no protocol of a network; Elastic leaves it out too",
    },
    Difference {
        set: "sekoia",
        field: "file.directory",
        count: 6,
        when: |case| {
            case.elsewhere(&["file.path", "process.executable"])
                && case.written().all(|ours| case.expected().all(|path| path.starts_with(ours)))
        },
        reason: "Sekoia writes the whole path; ours is the folder",
    },
    Difference {
        set: "sekoia",
        field: "file.name",
        count: 4,
        when: |case| {
            case.nothing()
                && case.table("ProcessEvents")
                && case.elsewhere(&["process.name", "process.executable"])
        },
        reason: "of a row about a process the file is the process's own; ours is process.name and process.executable",
    },
    Difference {
        set: "sekoia",
        field: "file.hash.md5",
        count: 3,
        when: |case| {
            case.nothing() && case.table("DeviceProcessEvents") && case.elsewhere(&["process.hash.md5"])
        },
        reason: "of a row about a process the file is the process's own; ours is process.hash",
    },
    Difference {
        set: "sekoia",
        field: "file.hash.sha1",
        count: 3,
        when: |case| {
            case.nothing() && case.table("DeviceProcessEvents") && case.elsewhere(&["process.hash.sha1"])
        },
        reason: "of a row about a process the file is the process's own; ours is process.hash",
    },
    Difference {
        set: "sekoia",
        field: "file.hash.sha256",
        count: 3,
        when: |case| {
            case.nothing() && case.table("DeviceProcessEvents") && case.elsewhere(&["process.hash.sha256"])
        },
        reason: "of a row about a process the file is the process's own; ours is process.hash",
    },
    Difference {
        set: "sekoia",
        field: "file.size",
        count: 3,
        when: |case| case.nothing() && case.table("DeviceProcessEvents") && case.column("FileSize"),
        reason: "of a row about a process the file is the process's own; ECS has no size of a process's image",
    },
    Difference {
        set: "sekoia",
        field: "url.port",
        count: 5,
        when: |case| {
            case.nothing()
                && case.is(&["443"])
                && case.has(&["url.scheme"], "https")
                && !case
                    .ours
                    .get("url.original")
                    .is_some_and(|urls| urls.iter().any(|url| url.contains(":443")))
        },
        reason: "the URL names no port",
    },
    Difference {
        set: "sekoia",
        field: "host.mac",
        count: 1,
        when: |case| case.spelled(|mac| mac.to_uppercase().replace(':', "-")),
        reason: "ECS wants the notation of RFC 7042 (00-00-5E-00-53-23)",
    },
    Difference {
        set: "sekoia",
        field: "source.mac",
        count: 1,
        when: |case| !case.inbound() && case.spelled(|mac| mac.to_uppercase().replace(':', "-")),
        reason: "ECS wants the notation of RFC 7042 (00-00-5E-00-53-23)",
    },
    Difference {
        set: "sekoia",
        field: "source.mac",
        count: 2,
        when: |case| case.inbound() && case.written().eq(case.packet("Source Mac").as_deref()),
        reason: "Sekoia gives each end the other's: Microsoft names them by the packet, and of an inbound one the far side is the source",
    },
    Difference {
        set: "sekoia",
        field: "destination.mac",
        count: 1,
        when: |case| !case.inbound() && case.spelled(|mac| mac.to_uppercase().replace(':', "-")),
        reason: "ECS wants the notation of RFC 7042 (00-00-5E-00-53-23)",
    },
    Difference {
        set: "sekoia",
        field: "destination.mac",
        count: 2,
        when: |case| case.inbound() && case.written().eq(case.packet("Destination Mac").as_deref()),
        reason: "Sekoia gives each end the other's: Microsoft names them by the packet, and of an inbound one the far side is the source",
    },
    Difference {
        set: "sekoia",
        field: "destination.*",
        count: 5,
        when: |case| case.table("LogonEvents") && case.turned(),
        reason: "of a logon the far side is the source, as Elastic has it",
    },
    Difference {
        set: "sekoia",
        field: "source.*",
        count: 2,
        when: |case| case.table("LogonEvents") && case.turned(),
        reason: "of a logon the far side is the source, as Elastic has it",
    },
    Difference {
        set: "sekoia",
        field: "source.*",
        count: 2,
        when: |case| case.nothing() && case.table("DeviceInfo") && case.elsewhere(&["host.ip"]),
        reason: "the public address of a device is its own; ours is host.ip",
    },
    Difference {
        set: "sekoia",
        field: "host.os.type",
        count: 2,
        when: |case| case.nothing() && case.is(&["linux"]) && case.record["OSPlatform"].is_null(),
        reason: "Sekoia takes a path with slashes for Linux; macOS has them too",
    },
    Difference {
        set: "sekoia",
        field: "host.os.full",
        count: 1,
        when: |case| case.nothing() && case.is(&["Unknown"]),
        reason: "Sekoia writes `Unknown`, which says nothing",
    },
    Difference {
        set: "sekoia",
        field: "email.attachments.*",
        count: 2,
        when: |case| case.nothing() && case.table("CloudAppEvents") && case.in_record("RawEventData"),
        reason: "Sekoia reads the log of another product that is inside this one; ours has it as Microsoft's own part",
    },
    Difference {
        set: "tenzir",
        field: "end_time",
        count: 2,
        when: |case| {
            case.nothing()
                && case.column("lastUpdateDateTime")
                && case.record["lastActivityDateTime"].is_null()
        },
        reason: "Tenzir writes when the record was last changed; ours is the last activity, which these records lack",
    },
    Difference {
        set: "tenzir",
        field: "finding_info.product.name",
        count: 1,
        when: |case| {
            case.is(&["microsoftDefenderForEndpoint"]) && case.writes(&["Microsoft Defender for Endpoint"])
        },
        reason: "Tenzir writes the enum value; ours is the product's name",
    },
];

/// What is expected and does not come from the record: the set, the field, the reason.
const UNDERIVED: &[(&str, &str, &str)] = &[
    ("", "ecs.version", "a constant of the integration's version"),
    ("", "event.original", "the record itself"),
    ("", "tags", "settings of Elastic's agent"),
    ("elastic", "agent.*", "settings of Elastic's agent"),
    ("elastic", "data_stream.*", "settings of Elastic's agent"),
    ("elastic", "event.agent_id_status", "settings of Elastic's agent"),
    ("elastic", "event.ingested", "when Elastic indexed it"),
    ("elastic", ".geo.", "looked up in a database of places"),
    ("sekoia", "message", "the record itself"),
    ("sekoia", "event.dataset", "Sekoia's own names of data sets"),
    ("sekoia", "url.registered_domain", "needs the public suffix list"),
    ("sekoia", "url.top_level_domain", "needs the public suffix list"),
    ("sekoia", "url.subdomain", "needs the public suffix list"),
    ("sekoia", "user_agent.name", "looked up in a database of browsers"),
    ("sekoia", "user_agent.device.name", "looked up in a database of browsers"),
    ("sekoia", "user_agent.os.name", "looked up in a database of browsers"),
    ("sekoia", "user_agent.version", "looked up in a database of browsers"),
];

/// Whether `pattern` is `name`, or its beginning with a `*` at the end.
fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

/// Why the field is left out. What is looked up is left out only where the record does not say it itself.
fn left_out(set: &Set, field: &str, values: &BTreeSet<String>, record: &Value) -> Option<&'static str> {
    let (_, name, reason) = UNDERIVED.iter().find(|(of, name, _)| {
        set.name.starts_with(of) && (fits(name, field) || *name == ".geo." && field.contains(name))
    })?;
    let said = |value: &String| record.as_object().into_iter().flatten().any(|(_, column)| column == value);
    (*name != ".geo." || !values.iter().any(said)).then_some(*reason)
}

/// The names of the standards.
struct Standard {
    /// Each with whether it may be a list.
    ecs: BTreeMap<String, bool>,
}

impl Standard {
    fn read(corpus: &Path) -> Self {
        let mut ecs = BTreeMap::new();
        for version in ["v8.11.0", "v9.4.0"] {
            let path = corpus.join(format!("ecs/ecs-fields-{version}.csv"));
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for line in text.lines().skip(1) {
                let mut columns = line.split(',');
                let name = columns.next().unwrap_or_default().to_owned();
                ecs.insert(name, columns.nth(2) == Some("array"));
            }
        }
        Self { ecs }
    }

    fn has(&self, set: &Set, field: &str) -> bool {
        if set.ocsf {
            return !field.starts_with("unmapped");
        }
        let asked_for =
            set.name.starts_with("elastic") && ELASTIC_DEFEND.iter().any(|name| fits(name, field));
        asked_for || self.ecs.contains_key(field)
    }

    /// Whether the field may have several values. The schema of OCSF is looked after elsewhere.
    fn may_be_list(&self, set: &Set, field: &str) -> bool {
        set.ocsf || self.ecs.get(field).copied().unwrap_or_default()
    }
}

fn files(corpus: &Path, set: &Set) -> Vec<PathBuf> {
    let path = corpus.join(set.path);
    if !path.is_dir() {
        return vec![path];
    }
    let Ok(entries) = std::fs::read_dir(&path) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// A record and the event that another product makes of it.
struct Pair {
    record: String,
    expected: Value,
}

fn pairs(file: &Path, layout: Layout) -> Vec<Pair> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let expected = match layout {
        Layout::Sekoia => {
            let Ok(both) = serde_json::from_str::<Value>(&text) else { return Vec::new() };
            let record = both["input"]["message"].as_str().unwrap_or_default().to_owned();
            return vec![Pair { record, expected: both["expected"].clone() }];
        }
        Layout::Indexed => {
            let Ok(expected) = serde_json::from_str::<Value>(&text) else { return Vec::new() };
            let record = expected["event"]["original"].as_str().unwrap_or_default().to_owned();
            return vec![Pair { record, expected }];
        }
        Layout::Tenzir => {
            let path = file.with_extension("ocsf-expected.json");
            let read = std::fs::read_to_string(path).unwrap_or_default();
            serde_json::from_str(&read).unwrap_or_default()
        }
        Layout::Elastic => {
            let path = format!("{}-expected.json", file.display());
            let read = std::fs::read_to_string(path).unwrap_or_default();
            serde_json::from_str::<Value>(&read).unwrap_or_default()["expected"].take()
        }
    };
    let expected = expected.as_array().cloned().unwrap_or_default();
    let records: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if records.len() != expected.len() {
        // Which belongs to which cannot be told; the number of records tells that nothing was compared.
        return Vec::new();
    }
    let pairs = records.into_iter().zip(expected).map(|(record, expected)| Pair { record, expected });
    pairs.filter(|pair| !pair.expected.is_null()).collect()
}

/// What was counted.
#[derive(Debug, Clone, Default)]
struct Tally {
    records: usize,
    equal: usize,
    more: usize,
    deliberate: usize,
    different: usize,
    missing: usize,
    extra: usize,
    vendor: usize,
    vendor_equal: usize,
    underived: BTreeMap<&'static str, usize>,
    /// How often each of [`DELIBERATE`] occurred.
    known: BTreeMap<usize, usize>,
    /// Records of which the format wrote nothing, that had no id, and that made more than one event.
    unwritten: usize,
    without_id: usize,
    split: usize,
    /// Fields of hunting rows that have several values where ECS has one.
    lists: BTreeMap<String, usize>,
    /// Each field that is not simply equal, with its values.
    shown: Vec<String>,
    /// The set, the field, and what was expected and written.
    open: Vec<(&'static str, String, String)>,
}

impl Tally {
    fn fields(&self) -> usize {
        self.equal + self.more + self.deliberate + self.different + self.missing
    }

    fn percent(&self, good: usize) -> f64 {
        if self.fields() == 0 { 0.0 } else { good as f64 * 100.0 / self.fields() as f64 }
    }

    fn share(&self) -> f64 {
        self.percent(self.equal + self.more + self.deliberate)
    }

    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.equal += other.equal;
        self.more += other.more;
        self.deliberate += other.deliberate;
        self.different += other.different;
        self.missing += other.missing;
        self.extra += other.extra;
        self.vendor += other.vendor;
        self.vendor_equal += other.vendor_equal;
        for (reason, count) in other.underived {
            *self.underived.entry(reason).or_default() += count;
        }
        for (at, count) in other.known {
            *self.known.entry(at).or_default() += count;
        }
        self.unwritten += other.unwritten;
        self.without_id += other.without_id;
        self.split += other.split;
        for (field, count) in other.lists {
            *self.lists.entry(field).or_default() += count;
        }
        self.shown.extend(other.shown);
        self.open.extend(other.open);
    }

    fn print(&self, name: &str) {
        println!(
            "{name:<70} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6} {:>6.1}% {:>6.1}% {:>6.1}%",
            self.records,
            self.fields(),
            self.equal,
            self.more,
            self.deliberate,
            self.different,
            self.missing,
            self.extra,
            self.percent(self.equal),
            self.percent(self.equal + self.more),
            self.share()
        );
    }
}

fn compare(set: &'static Set, standard: &Standard, pair: &Pair, tally: &mut Tally) {
    tally.records += 1;
    let expected = flat(&pair.expected, set.ocsf);
    let ours = ours(set, &pair.record, tally);
    let whole: Value = serde_json::from_str(&pair.record).unwrap_or_default();
    let record = whole.get("properties").unwrap_or(&whole);
    let table = whole["category"].as_str().and_then(|name| name.strip_prefix("AdvancedHunting-"));
    for (field, values) in &expected {
        let written = ours.get(field);
        let all = written.is_some_and(|written| values.is_subset(written));
        if !standard.has(set, field) {
            tally.vendor += 1;
            tally.vendor_equal += usize::from(all);
            continue;
        }
        if let Some(reason) = left_out(set, field, values, record) {
            *tally.underived.entry(reason).or_default() += 1;
            continue;
        }
        let shown = shown(values, written);
        let mut tell = |what| tally.shown.push(format!("{what:<8} {} {field}: {shown}", set.name));
        match written {
            Some(written) if written == values => tally.equal += 1,
            // Where one value is the rule, a second one is no gain: rules and groupings take the field for one.
            Some(_) if all && (values.len() > 1 || standard.may_be_list(set, field)) => {
                tell("more");
                tally.more += 1;
            }
            written => {
                let case = Case {
                    field,
                    expected: values,
                    written,
                    ours: &ours,
                    record,
                    table: table.unwrap_or_default(),
                };
                let known = DELIBERATE.iter().position(|known| {
                    set.name.starts_with(known.set) && fits(known.field, field) && (known.when)(&case)
                });
                if let Some(at) = known {
                    tell("delib.");
                    tally.deliberate += 1;
                    *tally.known.entry(at).or_default() += 1;
                } else {
                    tell("open");
                    match written {
                        Some(_) => tally.different += 1,
                        None => tally.missing += 1,
                    }
                    tally.open.push((set.name, field.clone(), shown));
                }
            }
        }
    }
    if set.kind == RecordKind::HuntingRow && !set.ocsf {
        for (field, _) in ours.iter().filter(|(field, values)| {
            values.len() > 1 && standard.ecs.contains_key(*field) && !standard.may_be_list(set, field)
        }) {
            *tally.lists.entry(field.clone()).or_default() += 1;
        }
    }
    tally.extra +=
        ours.keys().filter(|field| standard.has(set, field) && !expected.contains_key(*field)).count();
}

fn shown(expected: &BTreeSet<String>, written: Option<&BTreeSet<String>>) -> String {
    let list = |values: &BTreeSet<String>| {
        let text = values.iter().cloned().collect::<Vec<_>>().join(" | ");
        text.chars().take(120).collect::<String>()
    };
    match written {
        Some(written) => format!("expected {}, written {}", list(expected), list(written)),
        None => format!("expected {}, nothing written", list(expected)),
    }
}

/// The fields of all events that the format writes for a record.
fn ours(set: &Set, body: &str, tally: &mut Tally) -> Fields {
    let format = if set.ocsf {
        Format::Ocsf(OcsfOptions { version: OcsfVersion::V1_8, ..OcsfOptions::default() })
    } else {
        Format::Ecs(EcsOptions { ecs_version: EcsVersion::V8_11, ..EcsOptions::default() })
    };
    let mut body = body.to_owned();
    let mut head = RecordHead::read(set.kind, &body);
    if head.is_err() {
        // Another product's record may lack the id that Microsoft always sends.
        body = body.replacen('{', "{\"id\":\"none\",", 1);
        head = RecordHead::read(set.kind, &body);
        tally.without_id += usize::from(head.is_ok());
    }
    let mut events = Events::new();
    let written = head.is_ok_and(|head| {
        format.write(set.kind, Record { head: &head, body: &body }, &tenant(&body), &mut events).is_ok()
    });
    let mut fields = Fields::new();
    let mut count = 0;
    for event in events.iter().filter(|_| written) {
        count += 1;
        let value: Value = serde_json::from_slice(event).unwrap_or_default();
        for (field, values) in flat(&value, set.ocsf) {
            fields.entry(field).or_default().extend(values);
        }
    }
    tally.unwritten += usize::from(fields.is_empty());
    tally.split += usize::from(count > 1);
    fields
}

/// The tenant of a record as Muster would know it: the one that the record names.
fn tenant(body: &str) -> TenantLabel {
    let record: Value = serde_json::from_str(body).unwrap_or_default();
    let id = ["tenantId", "aadTenantId"]
        .iter()
        .find_map(|key| record[*key].as_str()?.parse().ok())
        .unwrap_or_else(|| TENANT.parse().expect("a GUID"));
    TenantLabel { id, slug: "tenant".parse().expect("a slug"), name: String::new() }
}

/// The values of each field: paths with dots; a list and its one value are the same.
fn flat(value: &Value, ocsf: bool) -> Fields {
    fn step(path: &str, value: &Value, ocsf: bool, fields: &mut Fields) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    step(&path, value, ocsf, fields);
                }
            }
            Value::Array(list) if ORDERED.contains(&path) => {
                let list: Vec<_> = list.iter().map(|value| canonical(value, false)).collect();
                fields.entry(path.to_owned()).or_default().insert(list.join(IN_ORDER));
            }
            Value::Array(list) => list.iter().for_each(|value| step(path, value, ocsf, fields)),
            Value::Null => {}
            other => {
                // OCSF counts milliseconds; Tenzir writes the time.
                let last = path.rsplit('.').next().unwrap_or_default();
                let time = other.as_i64().filter(|_| last == "time" || last.ends_with("_time"));
                let time = time.and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
                let text = time.map_or_else(|| canonical(other, ocsf), |time| time.to_string());
                fields.entry(path.to_owned()).or_default().insert(text);
            }
        }
    }
    let mut fields = Fields::new();
    step("", value, ocsf, &mut fields);
    fields
}

/// A value so that equal ones look equal: times cut to the millisecond, numbers as numbers. Elasticsearch makes
/// numbers of strings where a field has numbers; with `strict` such strings are told from numbers.
fn canonical(value: &Value, strict: bool) -> String {
    let text = match value {
        Value::String(text)
            if strict && serde_json::from_str::<Value>(text).is_ok_and(|inner| !inner.is_string()) =>
        {
            return format!("{text:?}");
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return jiff::Timestamp::from_millisecond(time.as_millisecond())
            .map_or(text, |time| time.to_string());
    }
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return address.to_string();
    }
    match text.parse::<f64>() {
        Ok(number) if value.is_number() => number.to_string(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_lost_or_wrong_is_no_deliberate_difference() {
        let (ours, expected, wrong) =
            (Fields::new(), BTreeSet::from(["a".to_owned()]), BTreeSet::from(["b".to_owned()]));
        for difference in DELIBERATE {
            for written in [None, Some(&wrong)] {
                for field in [difference.field.to_owned(), difference.field.replace('*', "ip")] {
                    let record = &Value::Null;
                    let case =
                        Case { field: &field, expected: &expected, written, ours: &ours, record, table: "" };
                    assert!(!(difference.when)(&case), "{} {}", difference.set, difference.field);
                }
            }
        }
    }

    #[test]
    fn numbers_and_strings_are_told_apart_in_ocsf() {
        let (number, text) = (serde_json::json!({"id": 4}), serde_json::json!({"id": "4"}));
        assert_ne!(flat(&number, true), flat(&text, true));
        assert_eq!(flat(&number, false), flat(&text, false));
    }

    #[test]
    fn words_of_a_command_line_have_an_order() {
        let (one, other) = (serde_json::json!(["a", "b"]), serde_json::json!(["b", "a"]));
        let process = |args: Value| flat(&serde_json::json!({"process": {"args": args}}), false);
        assert_ne!(process(one), process(other));
    }
}
