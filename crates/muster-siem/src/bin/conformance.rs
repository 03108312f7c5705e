//! Compares what the formats write with what other products write for the same records: `cargo run -p muster-siem
//! --bin conformance [CORPUS] [--all]`; `--all` shows each file of a folder.
//!
//! The corpus is recorded records with the events that Elastic's integrations, Sekoia's intakes and Tenzir's library
//! make of them; it lies beside the checkout (`../shared/corpus`) and is no part of the repository. For each file and
//! in all the report counts fields: equal, more (a list with all expected values and further ones), different,
//! missing, extra. Names of ECS or OCSF are counted; those of vendors' own namespaces apart, and so is what does not
//! come from the record. Each deliberate difference stands in [`DELIBERATE`] with its reason. It ends with 1 when the
//! share of what is equal, more or deliberate is below the aim.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use muster_model::{Record, TenantLabel};
use muster_siem::formats::{EcsOptions, EcsVersion, Events, Format, OcsfOptions, OcsfVersion, RecordKind};
use serde_json::Value;

/// The least share of fields that must be equal, more or deliberately different, in percent.
const AIM_PERCENT: f64 = 97.0;

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let before = arguments.len();
    arguments.retain(|argument| argument != "--all");
    let verbose = arguments.len() < before;
    let corpus = arguments.first().map_or_else(default_corpus, PathBuf::from);
    if !corpus.is_dir() {
        println!("no corpus at {}: nothing is compared", corpus.display());
        return ExitCode::SUCCESS;
    }
    let standard = Standard::read(&corpus);
    let mut all: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut deliberate = vec![0_usize; DELIBERATE.len()];
    println!(
        "{:<70} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6} {:>7}",
        "file", "records", "fields", "equal", "more", "delib.", "differ", "missing", "extra", "share"
    );
    for set in SETS {
        let mut total = Tally::default();
        for file in files(&corpus, set) {
            let mut tally = Tally::default();
            for pair in pairs(&file, set.layout) {
                compare(set, &standard, &pair, &mut tally, &mut deliberate);
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
        all.entry(set.name).or_default().add(total);
    }
    let mut sum = Tally::default();
    for (name, tally) in all {
        tally.print(&format!("= {name}"));
        sum.add(tally);
    }
    sum.print("= all");
    println!(
        "\nof vendors' own names {} fields were expected; {} of them we write too",
        sum.vendor, sum.vendor_equal
    );
    println!("\nnot compared:");
    for (path, reason) in NOT_COMPARED {
        println!("        {path}: {reason}");
    }
    println!("\nleft out, since they do not come from the record:");
    for (reason, count) in &sum.underived {
        println!("{count:>6}  {reason}");
    }
    println!("\ndeliberate differences:");
    for (difference, count) in DELIBERATE.iter().zip(&deliberate) {
        println!("{count:>6}  {} {}: {}", difference.set, difference.field, difference.reason);
    }
    println!("\nnot explained:");
    let mut by_field: BTreeMap<(&str, &str), (usize, String)> = BTreeMap::new();
    for (set, field, shown) in &sum.open {
        let entry = by_field.entry((set, field)).or_insert_with(|| (0, shown.clone()));
        entry.0 += 1;
    }
    let mut by_field: Vec<_> = by_field.into_iter().collect();
    by_field.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for ((set, field), (count, shown)) in by_field {
        println!("{count:>6}  {set} {field}: {shown}");
    }
    let stale: Vec<_> = DELIBERATE.iter().zip(&deliberate).filter(|(_, count)| **count == 0).collect();
    for (difference, _) in &stale {
        println!("no longer a difference: {} {}", difference.set, difference.field);
    }
    if sum.share() < AIM_PERCENT {
        println!("\nbelow the aim of {AIM_PERCENT} %");
        return ExitCode::FAILURE;
    }
    println!("\nabove the aim of {AIM_PERCENT} %");
    if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
}

/// Files of one origin and kind of record.
struct Set {
    name: &'static str,
    /// A file, or a folder.
    path: &'static str,
    layout: Layout,
    kind: RecordKind,
    /// Whether it is OCSF and not ECS.
    ocsf: bool,
}

const SETS: &[Set] = &[
    elastic(
        "elastic alert",
        "elastic-integrations/m365_defender/alert/test-alert.log",
        RecordKind::GraphAlert,
    ),
    elastic(
        "elastic incident",
        "elastic-integrations/m365_defender/incident/test-incident.log",
        RecordKind::GraphIncident,
    ),
    elastic(
        "elastic log",
        "elastic-integrations/m365_defender/log/test-m365-defender-ndjson.log",
        RecordKind::XdrIncident,
    ),
    elastic(
        "elastic endpoint",
        "elastic-integrations/microsoft_defender_endpoint/log/test-defenderatp.log",
        RecordKind::EndpointAlert,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-alert.log",
        RecordKind::HuntingRow,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-app-and-identity.log",
        RecordKind::HuntingRow,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-device.log",
        RecordKind::HuntingRow,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-email.log",
        RecordKind::HuntingRow,
    ),
    Set {
        name: "sekoia",
        path: "sekoia-intake-formats/microsoft-365-defender",
        layout: Layout::Sekoia,
        kind: RecordKind::HuntingRow,
        ocsf: false,
    },
    tenzir("tenzir-library/graph/defender-alerts.ndjson", RecordKind::GraphAlert),
    tenzir("tenzir-library/graph/defender-incidents.ndjson", RecordKind::GraphIncident),
];

const fn tenzir(path: &'static str, kind: RecordKind) -> Set {
    Set { name: "tenzir", path, layout: Layout::Tenzir, kind, ocsf: true }
}

const fn elastic(name: &'static str, path: &'static str, kind: RecordKind) -> Set {
    Set { name, path, layout: Layout::Elastic, kind, ocsf: false }
}

/// What has an expected output and is not compared, with the reason.
const NOT_COMPARED: &[(&str, &str)] = &[
    (
        "elastic-integrations/microsoft_defender_cloud",
        "Defender for Cloud's export by Event Hub, which is not collected",
    ),
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
    reason: &'static str,
}

const DELIBERATE: &[Difference] = &[
    Difference {
        set: "elastic",
        field: "file.path",
        reason: "ECS wants the whole path with the file's name; Elastic writes the folder, which is our file.directory",
    },
    Difference {
        set: "elastic",
        field: "threat.technique.name",
        reason: "Elastic writes the alert's category, which is a tactic or a class such as Malware, never a technique; ours is in threat.tactic and rule",
    },
    Difference {
        set: "elastic incident",
        field: "threat.group.name",
        reason: "Elastic writes the family of the malware; ECS wants the group of attackers. The family is our threat.software.name",
    },
    Difference {
        set: "elastic incident",
        field: "threat.tactic.name",
        reason: "the category is Malware, which is no tactic of MITRE ATT&CK",
    },
    Difference {
        set: "elastic incident",
        field: "source.user.name",
        reason: "Elastic writes the analyst to whom the incident is assigned, who is not the source of anything; ours is in related.user",
    },
    Difference {
        set: "elastic incident",
        field: "registry.hive",
        reason: "ECS wants the abbreviated name (HKLM)",
    },
    Difference {
        set: "elastic incident",
        field: "user.id",
        reason: "Elastic writes the principal name; ours are the SID and the directory's id, and the principal name is user.email",
    },
    Difference {
        set: "elastic alert",
        field: "event.duration",
        reason: "Elastic subtracts times that it has cut to milliseconds; ours is exact",
    },
    Difference {
        set: "elastic alert",
        field: "related.hosts",
        reason: "Elastic lists the name and version of the operating system as hosts; all real hosts are there",
    },
    Difference {
        set: "elastic endpoint",
        field: "cloud.account.id",
        reason: "the record's tenant id is no GUID, so it is of no tenant that can be read; ours is the tenant that was read",
    },
    Difference {
        set: "elastic endpoint",
        field: "event.type",
        reason: "Elastic adds `access` where the evidence is a user, whatever happened",
    },
    Difference {
        set: "elastic event",
        field: "email.message_id",
        reason: "Elastic writes Microsoft's network message id; ECS wants the Message-ID of the mail's header, and the other is our email.local_id",
    },
    Difference {
        set: "elastic event",
        field: "email.local_id",
        reason: "Elastic writes the header's Message-ID, which is our email.message_id",
    },
    Difference {
        set: "elastic event",
        field: "email.direction",
        reason: "ours is in lower case, as the directions of all other records",
    },
    Difference {
        set: "elastic event",
        field: "network.direction",
        reason: "Elastic writes `unknown`; a connection that the device asked for is outbound, one that it accepted inbound",
    },
    Difference {
        set: "elastic event",
        field: "process.parent.group_leader.*",
        reason: "Elastic writes the parent as leader of the group, which Microsoft does not say",
    },
    Difference {
        set: "elastic event",
        field: "host.ip",
        reason: "of an app in the cloud the address is the client's; ours is source.ip",
    },
    Difference {
        set: "elastic event",
        field: "process.group_leader.*",
        reason: "Elastic writes the parent as leader of the group, which Microsoft does not say; ours is process.parent",
    },
    Difference {
        set: "elastic event",
        field: "destination.*",
        reason: "of an inbound connection the device is the destination: ECS says the source begins it",
    },
    Difference {
        set: "elastic event",
        field: "source.*",
        reason: "of an inbound connection the far side is the source: ECS says the source begins it",
    },
    Difference {
        set: "elastic event",
        field: "dns.answers",
        reason: "ECS wants objects; ours is dns.answers.data",
    },
    Difference {
        set: "elastic event",
        field: "process.executable",
        reason: "a bare file name, or a bare folder, is no path of a program",
    },
    Difference {
        set: "elastic event",
        field: "process.pid",
        reason: "Elastic mixes the id of the process that is acted on into the process that acts",
    },
    Difference {
        set: "elastic event",
        field: "process.start",
        reason: "Elastic mixes the start of the process that is acted on into the process that acts",
    },
    Difference {
        set: "elastic event",
        field: "process.command_line",
        reason: "Elastic mixes the command line of the process that is acted on into the process that acts",
    },
    Difference {
        set: "elastic event",
        field: "process.args*",
        reason: "Elastic mixes the command line of the process that is acted on into the process that acts",
    },
    Difference {
        set: "elastic event",
        field: "process.parent.name",
        reason: "ours is the program's name without the path before it",
    },
    Difference {
        set: "elastic event",
        field: "host.os.full",
        reason: "Elastic writes the platform, which is our host.os.name",
    },
    Difference {
        set: "elastic event",
        field: "registry.data.strings",
        reason: "Elastic adds the data before the change; ours is the data now, and the former is in Microsoft's own part",
    },
    Difference {
        set: "elastic event",
        field: "threat.technique.subtechnique.*",
        reason: "Elastic lists techniques as sub-techniques; ours are in threat.technique",
    },
    Difference {
        set: "elastic event",
        field: "url.extension",
        reason: "Elastic takes a bare host name for a path",
    },
    Difference {
        set: "elastic event",
        field: "url.path",
        reason: "Elastic takes a bare host name for a path",
    },
    Difference {
        set: "sekoia",
        field: "agent.*",
        reason: "the agent of an ECS document is what ships it; the device is our host, its sensor's version observer.version",
    },
    Difference {
        set: "sekoia",
        field: "process.working_directory",
        reason: "Sekoia writes the folder of the program, which is not where it works",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.working_directory",
        reason: "Sekoia writes the folder of the program, which is not where it works",
    },
    Difference {
        set: "sekoia",
        field: "process.args",
        reason: "Sekoia leaves the program out, sorts the words and cuts quoted ones; ours are in order, as ECS and Elastic have them",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.code_signature.*",
        reason: "ours are Elastic's words",
    },
    Difference {
        set: "sekoia",
        field: "process.executable",
        reason: "Sekoia writes the folder; ours is the whole path",
    },
    Difference {
        set: "sekoia",
        field: "event.type",
        reason: "Sekoia writes `info` for everything; ours tells creation, change, deletion, start, connection",
    },
    Difference {
        set: "sekoia",
        field: "event.kind",
        reason: "Sekoia calls evidence of an alert an enrichment; Elastic's integration and we an alert",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        reason: "Sekoia's category is no value of ECS, or coarser than Elastic's for this table, which is ours",
    },
    Difference {
        set: "sekoia",
        field: "event.outcome",
        reason: "Sekoia writes the reason of the failure; ECS allows success, failure and unknown, and the reason is our event.reason",
    },
    Difference {
        set: "sekoia",
        field: "network.protocol",
        reason: "Sekoia writes the transport with its address family; ours is network.transport",
    },
    Difference {
        set: "sekoia",
        field: "file.directory",
        reason: "Sekoia writes the whole path; ours is the folder",
    },
    Difference {
        set: "sekoia",
        field: "file.name",
        reason: "of a row about a process the file is the process's own; ours is process.name and process.executable",
    },
    Difference {
        set: "sekoia",
        field: "file.hash.*",
        reason: "of a row about a process the file is the process's own; ours is process.hash",
    },
    Difference {
        set: "sekoia",
        field: "file.size",
        reason: "of a row about a process the file is the process's own; ECS has no size of a process's image",
    },
    Difference { set: "sekoia", field: "url.port", reason: "the URL names no port" },
    Difference {
        set: "sekoia",
        field: "*.mac",
        reason: "ECS wants the notation of RFC 7042 (00-00-5E-00-53-23)",
    },
    Difference {
        set: "sekoia",
        field: "destination.*",
        reason: "of a logon the far side is the source, as Elastic has it",
    },
    Difference {
        set: "sekoia",
        field: "source.*",
        reason: "of a logon the far side is the source, as Elastic has it",
    },
    Difference {
        set: "sekoia",
        field: "host.os.type",
        reason: "Sekoia takes a path with slashes for Linux; macOS has them too",
    },
    Difference {
        set: "sekoia",
        field: "host.os.full",
        reason: "Sekoia writes `Unknown`, which says nothing",
    },
    Difference {
        set: "sekoia",
        field: "email.attachments.*",
        reason: "Sekoia reads the log of another product that is inside this one; ours has it as Microsoft's own part",
    },
    Difference {
        set: "elastic event",
        field: "event.type",
        reason: "Elastic writes `denied` for a connection that failed; nobody denied it",
    },
    Difference {
        set: "tenzir",
        field: "end_time",
        reason: "Tenzir writes when the record was last changed; ours is the last activity, which these records lack",
    },
    Difference {
        set: "tenzir",
        field: "finding_info.product.name",
        reason: "Tenzir writes the enum value; ours is the product's name",
    },
];

/// What is expected and does not come from the record: the set, the field, the reason.
const UNDERIVED: &[(&str, &str, &str)] = &[
    ("", "ecs.version", "a constant of the integration's version"),
    ("", "event.original", "the record itself"),
    ("", "tags", "settings of Elastic's agent"),
    ("elastic", "*.geo.*", "looked up in a database of places"),
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

/// Whether `pattern` is `name`, or has a `*` at either end for whatever is there.
fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => name.contains(pattern.trim_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

/// The names of the standards.
struct Standard {
    ecs: BTreeSet<String>,
}

impl Standard {
    fn read(corpus: &Path) -> Self {
        let mut ecs = BTreeSet::new();
        for version in ["v8.11.0", "v9.4.0"] {
            let path = corpus.join(format!("ecs/ecs-fields-{version}.csv"));
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            ecs.extend(text.lines().skip(1).filter_map(|line| line.split(',').next()).map(str::to_owned));
        }
        Self { ecs }
    }

    fn has(&self, set: &Set, field: &str) -> bool {
        set.ocsf && !field.starts_with("unmapped") || self.ecs.contains(field)
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
    let records = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned);
    let pairs = records.zip(expected).map(|(record, expected)| Pair { record, expected });
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
    /// The set, the field, and what was expected and written.
    open: Vec<(&'static str, String, String)>,
}

impl Tally {
    fn fields(&self) -> usize {
        self.equal + self.more + self.deliberate + self.different + self.missing
    }

    fn share(&self) -> f64 {
        let good = self.equal + self.more + self.deliberate;
        if self.fields() == 0 { 100.0 } else { good as f64 * 100.0 / self.fields() as f64 }
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
        self.open.extend(other.open);
    }

    fn print(&self, name: &str) {
        println!(
            "{name:<70} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6} {:>6.1}%",
            self.records,
            self.fields(),
            self.equal,
            self.more,
            self.deliberate,
            self.different,
            self.missing,
            self.extra,
            self.share()
        );
    }
}

fn compare(set: &'static Set, standard: &Standard, pair: &Pair, tally: &mut Tally, deliberate: &mut [usize]) {
    tally.records += 1;
    let expected = flat(&pair.expected);
    let ours = ours(set, &pair.record);
    for (field, values) in &expected {
        let written = ours.get(field);
        if !standard.has(set, field) {
            tally.vendor += 1;
            tally.vendor_equal += usize::from(written.is_some_and(|written| values.is_subset(written)));
            continue;
        }
        let left_out = UNDERIVED.iter().find(|(of, name, _)| set.name.starts_with(of) && fits(name, field));
        if let Some((_, _, reason)) = left_out {
            *tally.underived.entry(reason).or_default() += 1;
            continue;
        }
        match written {
            Some(written) if written == values => tally.equal += 1,
            Some(written) if values.is_subset(written) => tally.more += 1,
            other => {
                let known = DELIBERATE
                    .iter()
                    .position(|known| set.name.starts_with(known.set) && fits(known.field, field));
                if let Some(at) = known {
                    tally.deliberate += 1;
                    deliberate[at] += 1;
                } else {
                    match other {
                        Some(_) => tally.different += 1,
                        None => tally.missing += 1,
                    }
                    tally.open.push((set.name, field.clone(), shown(values, other)));
                }
            }
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
fn ours(set: &Set, body: &str) -> BTreeMap<String, BTreeSet<String>> {
    let format = if set.ocsf {
        Format::Ocsf(OcsfOptions { version: OcsfVersion::V1_8, ..OcsfOptions::default() })
    } else {
        Format::Ecs(EcsOptions { ecs_version: EcsVersion::V8_11, ..EcsOptions::default() })
    };
    let mut body = body.to_owned();
    let mut head = set.kind.head(&body);
    if head.is_err() {
        // Another product's record may lack the id that Microsoft always sends.
        body = body.replacen('{', "{\"id\":\"none\",", 1);
        head = set.kind.head(&body);
    }
    let Ok(head) = head else { return BTreeMap::new() };
    let mut events = Events::new();
    if format.write(set.kind, Record { head: &head, body: &body }, &tenant(&body), &mut events).is_err() {
        return BTreeMap::new();
    }
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events.iter() {
        let value: Value = serde_json::from_slice(event).unwrap_or_default();
        for (field, values) in flat(&value) {
            fields.entry(field).or_default().extend(values);
        }
    }
    fields
}

/// The tenant of a record as Muster would know it: the one that the record names.
fn tenant(body: &str) -> TenantLabel {
    let record: Value = serde_json::from_str(body).unwrap_or_default();
    let id = ["tenantId", "aadTenantId"]
        .iter()
        .find_map(|key| record[*key].as_str()?.parse().ok())
        .unwrap_or_else(|| "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"));
    TenantLabel { id, slug: "tenant".parse().expect("a slug"), name: String::new() }
}

/// The values of each field: paths with dots; a list and its one value are the same.
fn flat(value: &Value) -> BTreeMap<String, BTreeSet<String>> {
    fn step(path: &str, value: &Value, fields: &mut BTreeMap<String, BTreeSet<String>>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    step(&path, value, fields);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| step(path, value, fields)),
            Value::Null => {}
            other => {
                // OCSF counts milliseconds; Tenzir writes the time.
                let last = path.rsplit('.').next().unwrap_or_default();
                let time = other.as_i64().filter(|_| last == "time" || last.ends_with("_time"));
                let time = time.and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
                let text = time.map_or_else(|| canonical(other), |time| time.to_string());
                fields.entry(path.to_owned()).or_default().insert(text);
            }
        }
    }
    let mut fields = BTreeMap::new();
    step("", value, &mut fields);
    fields
}

/// A value so that equal ones look equal: times cut to the millisecond, numbers as numbers.
fn canonical(value: &Value) -> String {
    let text = match value {
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
