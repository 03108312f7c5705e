//! What a record costs grows with its length and no faster, whatever an attacker puts into it: many names or values in
//! one place, the same ones again and again, names with equal hashes, long blanks.
//!
//! What is counted is work, not time: the processor's instructions for a record, all of them, and for one a quarter as
//! long. `valgrind` counts them, in a process of its own that runs this test program's [`under_valgrind`]; where it is
//! missing this is skipped, and says so, unless `MUSTER_REQUIRE_PEERS` is 1 (`.ci/install-peers` installs it).

use std::fmt::Write as _;
use std::process::Command;

use muster_model::{ContentHash, Record, RecordHead, RecordKind, Severity, TenantLabel};
use muster_siem::formats::{Events, Format};

use crate::environment::environment;

/// Long enough that the shorter record, too, has more of everything than is looked at one by one.
const BYTES: usize = 32_000;
/// How much shorter the other record of a pair is.
const SHORTER: usize = 4;
/// What is linear takes four times as much, what is quadratic 16 times, and what is partly so something between.
const LONGER_MAX: u64 = 6;

#[test]
fn grows_with_the_length_and_no_faster() {
    let Some(counts) = instructions() else { return };
    let cases = cases();
    assert_eq!(counts.len(), 2 * cases.len(), "each record is counted");
    let mut failures = Vec::new();
    for (case, counts) in cases.iter().zip(counts.chunks(2)) {
        let (short, long) = (counts[0], counts[1]);
        let said = format!("{} as {}: {short} instructions became {long}", case.name, case.format.name());
        println!("{said}, {:.1} times as many", long as f64 / short as f64);
        if long > short * LONGER_MAX {
            failures.push(said);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The instructions for the shorter and the longer record of each case, in order.
fn instructions() -> Option<Vec<u64>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        let missing = "valgrind is not installed; .ci/install-peers installs it";
        assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
        println!("skipped: {missing}");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("counts");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--dump-after={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("this program"))
        .args(["under_valgrind", "--ignored", "--test-threads=1"])
        .output()
        .expect("valgrind");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts = (1..).map_while(|number| {
        let text = std::fs::read_to_string(format!("{}.{number}", out.display())).ok()?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals:")).expect("a total");
        Some(total.trim().parse().expect("a count"))
    });
    Some(counts.collect())
}

/// The records whose instructions are counted. Each is written once before, so that only the work of writing counts and
/// not what is set up once.
#[test]
#[ignore = "run under valgrind by the test above"]
fn under_valgrind() {
    for case in cases() {
        for bytes in [BYTES / SHORTER, BYTES] {
            let body = (case.record)(bytes);
            let head = RecordHead {
                id: "1".to_owned(),
                updated_at: None,
                created_at: None,
                severity: Severity::Unknown,
                hash: ContentHash::of(body.as_bytes()),
                change: None,
            };
            let tenant = TenantLabel {
                id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
                slug: "fabrikam".parse().expect("a slug"),
                name: "Fabrikam".to_owned(),
            };
            let mut events = Events::new();
            case.format
                .write(case.kind, Record { head: &head, body: "{}", replay: None }, &tenant, &mut events)
                .expect("a record");
            events.clear();
            instructions_are_counted(
                &case,
                Record { head: &head, body: &body, replay: None },
                &tenant,
                &mut events,
            );
        }
    }
}

/// Where valgrind counts: it knows the function by its name.
const COUNTED: &str = concat!(module_path!(), "::instructions_are_counted");

#[inline(never)]
fn instructions_are_counted(case: &Case, record: Record<'_>, tenant: &TenantLabel, events: &mut Events) {
    case.format.write(case.kind, record, tenant, events).expect("a record");
}

/// A kind of record that is written in a format.
struct Case {
    name: &'static str,
    kind: RecordKind,
    format: Format,
    /// Makes a record of about so many bytes.
    record: Box<dyn Fn(usize) -> String>,
}

/// All that is measured.
fn cases() -> Vec<Case> {
    let mut cases = Cases { name: "", cases: Vec::new() };
    many_names_in_an_object(cases.named("many names in an object"));
    a_name_again_and_again(cases.named("a name again and again"));
    names_with_equal_hashes(cases.named("names with equal hashes"));
    many_values_of_a_field(cases.named("many values of a field"));
    long_values_and_then_a_short_one_again_and_again(
        cases.named("long values and then a short one again and again"),
    );
    blanks_before_names_of_evidence(cases.named("blanks before names of evidence"));
    many_entities(cases.named("many entities"));
    cases.cases
}

struct Cases {
    name: &'static str,
    cases: Vec<Case>,
}

impl Cases {
    fn named(&mut self, name: &'static str) -> &mut Self {
        self.name = name;
        self
    }

    fn add(&mut self, kind: RecordKind, format: Format, record: impl Fn(usize) -> String + 'static) {
        self.cases.push(Case { name: self.name, kind, format, record: Box::new(record) });
    }
}

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// A name that has the same hash as all others of its kind: of a name the beginning, the end and the length count.
fn colliding(number: usize) -> String {
    format!("Initiati{number:09}FileName")
}

fn ecs() -> Format {
    Format::Ecs(Default::default())
}

fn cef() -> Format {
    Format::Cef(Default::default())
}

fn ocsf() -> Format {
    Format::Ocsf(Default::default())
}

fn many_names_in_an_object(cases: &mut Cases) {
    let columns = |bytes| format!("{{{}}}", list(bytes / 14, |number| format!("\"Col{number:06}\":1")));
    cases.add(RecordKind::HuntingRow, ecs(), columns);
    cases.add(RecordKind::HuntingRow, cef(), columns);
    cases.add(RecordKind::GraphAlert, ecs(), columns);
    cases.add(RecordKind::XdrIncident, ecs(), columns);
}

fn a_name_again_and_again(cases: &mut Cases) {
    let same = |bytes| format!("{{{}}}", list(bytes / 7, |_| "\"ab\":1".to_owned()));
    cases.add(RecordKind::GraphAlert, ecs(), same);
    cases.add(RecordKind::HuntingRow, cef(), same);
    let small = |bytes| format!("{{\"x\":[{}]}}", list(bytes / 16, |_| "{\"a\":1,\"a\":1}".to_owned()));
    cases.add(RecordKind::GraphAlert, ecs(), small);
}

fn names_with_equal_hashes(cases: &mut Cases) {
    let fields = |bytes| format!("{{{}}}", list(bytes / 30, |number| format!("\"{}\":1", colliding(number))));
    cases.add(RecordKind::HuntingRow, ecs(), fields);
    cases.add(RecordKind::HuntingRow, cef(), fields);
    cases.add(RecordKind::HuntingRow, ocsf(), fields);
    let envelope = |bytes| {
        let envelope = list(bytes / 60, |number| format!("\"{}\":1", colliding(number)));
        let columns = list(bytes / 60, |number| format!("\"{}\":1", colliding(number + 1_000_000)));
        format!("{{{envelope},\"properties\":{{{columns}}}}}")
    };
    cases.add(RecordKind::HuntingRow, ocsf(), envelope);
    // A column whose field does not show it, again and again.
    let lost = |bytes| {
        let columns = list(bytes / 32, |_| "\"LocalIP\":\"x\"".to_owned());
        let others = list(bytes / 60, |number| format!("\"{}\":1", colliding(number)));
        format!("{{{columns},{others}}}")
    };
    cases.add(RecordKind::HuntingRow, cef(), lost);
}

fn many_values_of_a_field(cases: &mut Cases) {
    let categories =
        |bytes| format!("{{\"categories\":[{}]}}", list(bytes / 9, |number| format!("\"{number:06}\"")));
    for format in [cef(), ecs(), ocsf()] {
        cases.add(RecordKind::GraphAlert, format, categories);
    }
    let addresses = |bytes| {
        let addresses = list(bytes / 28, |number| format!("\"10.1.{}.{}\"", number >> 8, number & 255));
        let roles = list(bytes / 12, |_| "\"none\"".to_owned());
        format!(
            "{{\"evidence\":[{{\"@odata.type\":\"x.ipEvidence\",\"ipAddress\":[{addresses}],\"roles\":[{roles}]}}]}}"
        )
    };
    cases.add(RecordKind::GraphAlert, ecs(), addresses);
}

fn long_values_and_then_a_short_one_again_and_again(cases: &mut Cases) {
    // As many as are compared one by one, and one fewer.
    for count in [31, 32] {
        let labels = move |bytes: usize| {
            let mut long = String::new();
            for number in 1..count {
                write!(long, "\"{number}{}\",", "a".repeat(bytes / 64)).expect("memory");
            }
            format!("{{\"evidence\":[{{\"args\":[{long}{}]}}]}}", list(bytes / 8, |_| "\"a\"".to_owned()))
        };
        cases.add(RecordKind::GraphAlert, ecs(), labels);
    }
}

fn blanks_before_names_of_evidence(cases: &mut Cases) {
    for end in ["", "x"] {
        let evidence = move |bytes: usize| {
            let blanks = " ".repeat(bytes / 32);
            let first = format!(
                "{{\"@odata.type\":\"x.deviceEvidence\",\"mdeDeviceId\":\"1\",\"deviceDnsName\":\"{blanks}{end}\",\
                 \"remediationStatus\":\"{blanks}{end}\",\"userAccount\":{{\"accountName\":\"{blanks}{end}\"}}}}"
            );
            let others = list(bytes / 12, |_| "{\"a\":1}".to_owned());
            format!("{{\"evidence\":[{first},{others}]}}")
        };
        for format in [cef(), ecs(), ocsf()] {
            cases.add(RecordKind::GraphAlert, format, evidence);
        }
    }
}

fn many_entities(cases: &mut Cases) {
    let entities = |bytes| {
        let entity = |number| {
            format!(
                r#"{{"Type":"account","Name":"u{number:06}","UPNSuffix":"x.example"}},{{"Type":"host","HostName":"h{number:06}"}}"#
            )
        };
        format!("{{\"Entities\":[{}]}}", list(bytes / 100, entity))
    };
    let hashes = |bytes| {
        let hash = |number| format!(r#"{{"Algorithm":"MD5","Value":"{number:06}"}}"#);
        let hashes = list(bytes / 40, hash);
        format!(r#"{{"EntityType":"File","AdditionalFields":{{"Name":"a","FileHashes":[{hashes}]}}}}"#)
    };
    for format in [cef, ecs, ocsf] {
        cases.add(RecordKind::HuntingRow, format(), entities);
        cases.add(RecordKind::HuntingRow, format(), hashes);
    }
}
