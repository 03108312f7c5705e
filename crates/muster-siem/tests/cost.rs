//! What a record costs grows with its length and no faster, whatever an attacker puts into it: many names or values in
//! one place, the same ones again and again, names with equal hashes, long blanks.
//!
//! Processor time of a record is held against that of one an eighth as long. A busy machine can spoil that, so this is
//! run by hand, as after any change of how records are read: `cargo test --release -p muster-siem --test cost -- --ignored`.

use std::fmt::Write as _;
use std::time::Duration;

use muster_model::{ContentHash, Record, RecordHead, Severity, TenantLabel};
use muster_siem::formats::{Events, Format, RecordKind};

const BYTES: usize = 400_000;
/// How much shorter the other record of a pair is.
const SHORTER: usize = 8;
/// What is linear takes eight times as long, and what is quadratic 64 times.
const LONGER_MAX: u32 = 28;
/// Shorter times say nothing.
const NOTHING: Duration = Duration::from_millis(40);

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// A name that has the same hash as all others of its kind: of a name the beginning, the end and the length count.
fn colliding(number: usize) -> String {
    format!("Initiati{number:09}FileName")
}

/// What this thread has had of the processor so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("a time");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("a time"))
}

fn cost(kind: RecordKind, format: &Format, body: &str) -> Duration {
    let tenant = TenantLabel {
        id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
        slug: "fabrikam".parse().expect("a slug"),
        name: "Fabrikam".to_owned(),
    };
    let head = RecordHead {
        id: "1".to_owned(),
        updated_at: None,
        created_at: None,
        severity: Severity::Unknown,
        hash: ContentHash::of(body.as_bytes()),
    };
    let mut events = Events::new();
    let start = processor_time();
    format.write(kind, Record { head: &head, body }, &tenant, &mut events).expect("a record");
    processor_time() - start
}

/// Fails when `record`, asked for a record of about so many bytes, makes one whose cost grows faster than its length.
fn grows_with_its_length(kind: RecordKind, format: Format, record: impl Fn(usize) -> String) {
    // The first time is warming up.
    cost(kind, &format, &record(BYTES / SHORTER));
    let short = cost(kind, &format, &record(BYTES / SHORTER));
    let long = cost(kind, &format, &record(BYTES));
    assert!(long < short * LONGER_MAX + NOTHING, "{}: {short:?} became {long:?}", format.name());
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

#[test]
#[ignore = "measures time; run by hand"]
fn many_names_in_an_object() {
    let columns = |bytes| format!("{{{}}}", list(bytes / 14, |number| format!("\"Col{number:06}\":1")));
    grows_with_its_length(RecordKind::HuntingRow, ecs(), columns);
    grows_with_its_length(RecordKind::HuntingRow, cef(), columns);
    grows_with_its_length(RecordKind::GraphAlert, ecs(), columns);
    grows_with_its_length(RecordKind::XdrIncident, ecs(), columns);
}

#[test]
#[ignore = "measures time; run by hand"]
fn a_name_again_and_again() {
    let same = |bytes| format!("{{{}}}", list(bytes / 7, |_| "\"ab\":1".to_owned()));
    grows_with_its_length(RecordKind::GraphAlert, ecs(), same);
    grows_with_its_length(RecordKind::HuntingRow, cef(), same);
    let small = |bytes| format!("{{\"x\":[{}]}}", list(bytes / 16, |_| "{\"a\":1,\"a\":1}".to_owned()));
    grows_with_its_length(RecordKind::GraphAlert, ecs(), small);
}

#[test]
#[ignore = "measures time; run by hand"]
fn names_with_equal_hashes() {
    let fields = |bytes| format!("{{{}}}", list(bytes / 30, |number| format!("\"{}\":1", colliding(number))));
    grows_with_its_length(RecordKind::HuntingRow, ecs(), fields);
    grows_with_its_length(RecordKind::HuntingRow, cef(), fields);
    grows_with_its_length(RecordKind::HuntingRow, ocsf(), fields);
    let envelope = |bytes| {
        let envelope = list(bytes / 60, |number| format!("\"{}\":1", colliding(number)));
        let columns = list(bytes / 60, |number| format!("\"{}\":1", colliding(number + 1_000_000)));
        format!("{{{envelope},\"properties\":{{{columns}}}}}")
    };
    grows_with_its_length(RecordKind::HuntingRow, ocsf(), envelope);
    // A column whose field does not show it, again and again.
    let lost = |bytes| {
        let columns = list(bytes / 32, |_| "\"LocalIP\":\"x\"".to_owned());
        let others = list(bytes / 60, |number| format!("\"{}\":1", colliding(number)));
        format!("{{{columns},{others}}}")
    };
    grows_with_its_length(RecordKind::HuntingRow, cef(), lost);
}

#[test]
#[ignore = "measures time; run by hand"]
fn many_values_of_a_field() {
    let categories =
        |bytes| format!("{{\"categories\":[{}]}}", list(bytes / 9, |number| format!("\"{number:06}\"")));
    for format in [cef(), ecs(), ocsf()] {
        grows_with_its_length(RecordKind::GraphAlert, format, categories);
    }
    let addresses = |bytes| {
        let addresses = list(bytes / 28, |number| format!("\"10.1.{}.{}\"", number >> 8, number & 255));
        let roles = list(bytes / 12, |_| "\"none\"".to_owned());
        format!(
            "{{\"evidence\":[{{\"@odata.type\":\"x.ipEvidence\",\"ipAddress\":[{addresses}],\"roles\":[{roles}]}}]}}"
        )
    };
    grows_with_its_length(RecordKind::GraphAlert, ecs(), addresses);
}

#[test]
#[ignore = "measures time; run by hand"]
fn long_values_and_then_a_short_one_again_and_again() {
    // As many as are compared one by one, and one fewer.
    for count in [31, 32] {
        let labels = |bytes: usize| {
            let mut long = String::new();
            for number in 1..count {
                write!(long, "\"{number}{}\",", "a".repeat(bytes / 64)).expect("memory");
            }
            format!("{{\"evidence\":[{{\"args\":[{long}{}]}}]}}", list(bytes / 8, |_| "\"a\"".to_owned()))
        };
        grows_with_its_length(RecordKind::GraphAlert, ecs(), labels);
    }
}

#[test]
#[ignore = "measures time; run by hand"]
fn blanks_before_names_of_evidence() {
    for end in ["", "x"] {
        let evidence = |bytes: usize| {
            let blanks = " ".repeat(bytes / 8);
            let first = format!(
                "{{\"@odata.type\":\"x.deviceEvidence\",\"mdeDeviceId\":\"1\",\"deviceDnsName\":\"{blanks}{end}\",\
                 \"remediationStatus\":\"{blanks}{end}\",\"userAccount\":{{\"accountName\":\"{blanks}{end}\"}}}}"
            );
            let others = list(bytes / 12, |_| "{\"a\":1}".to_owned());
            format!("{{\"evidence\":[{first},{others}]}}")
        };
        for format in [cef(), ecs(), ocsf()] {
            grows_with_its_length(RecordKind::GraphAlert, format, evidence);
        }
    }
}
