//! How fast one core spells records, against copying and parsing them: `cargo bench -p muster-siem --bench formats`, of
//! which `-- "ecs graph_alert"` shows only the lines that begin so.
//!
//! The input is synthetic alerts of about 6.8 kB, the mean of real ones, incidents of ten such alerts, and the fixtures
//! of the other kinds of record. What is called parsing is what a format at least has to do: the whole record into a
//! tree, or into structs with the fields that formats use.

use std::alloc::System;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use muster_model::{Record, RecordHead, RecordKind, TenantLabel};
use muster_siem::formats::{
    Bounds, CefOptions, Encoding, Events, Format, LeefOptions, Mapping, MappingOptions, SplunkOptions,
};
use serde::Deserialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ALERTS: usize = 500;
const ROUND: Duration = Duration::from_millis(200);
const ROUNDS: usize = 5;

fn main() {
    let alerts: Vec<String> = (0..ALERTS).map(alert).collect();
    let incidents: Vec<String> = alerts
        .chunks(10)
        .enumerate()
        .map(|(number, alerts)| {
            format!(
                r#"{{"id":"{number}","displayName":"Incident","severity":"high","alerts":[{}]}}"#,
                alerts.join(",")
            )
        })
        .collect();
    let tenant = TenantLabel {
        id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
        slug: "fabrikam".parse().expect("a slug"),
        name: "Fabrikam".to_owned(),
    };
    let bytes: usize = alerts.iter().map(String::len).sum();
    println!("alerts of {} bytes on average; the best of {ROUNDS} rounds, processor time\n", bytes / ALERTS);
    println!("| what | record | MB/s | records/s | µs/record | allocations/record | out/in |");
    println!("|---|---|---:|---:|---:|---:|---:|");

    baselines(&alerts);
    let splunk = SplunkOptions {
        index: Some("mssp_{{ tenant.slug }}".parse().expect("an index")),
        ..SplunkOptions::default()
    };
    let cim = SplunkOptions { cim_fields: true, ..splunk.clone() };
    let formats = [
        ("raw", Format::Raw),
        ("splunk", Format::Splunk(splunk)),
        ("splunk, cim_fields", Format::Splunk(cim)),
        ("cef", Format::Cef(CefOptions::default())),
        ("leef", Format::Leef(LeefOptions::default())),
        ("ecs", Format::Ecs(Default::default())),
        ("ocsf", Format::Ocsf(Default::default())),
    ];
    let others = [
        (RecordKind::EndpointAlert, include_str!("../tests/fixtures/endpoint_api_alert.json")),
        (RecordKind::XdrIncident, include_str!("../tests/fixtures/xdr_incident.json")),
        (RecordKind::SiemDetection, include_str!("../tests/fixtures/siem_detection.json")),
        (RecordKind::HuntingRow, include_str!("../tests/fixtures/hunting/DeviceProcessEvents.json")),
    ];
    for (name, format) in &formats {
        let encoding = Encoding::from(format.clone());
        measure(name, &encoding, RecordKind::GraphAlert, &alerts, &tenant);
        measure(name, &encoding, RecordKind::GraphIncident, &incidents, &tenant);
    }
    for (name, format) in &formats {
        let encoding = Encoding::from(format.clone());
        for (kind, body) in others {
            measure(name, &encoding, kind, &[body.to_owned()], &tenant);
        }
    }
    let cef = Format::Cef(CefOptions::default());
    let mapping: MappingOptions = serde_json::from_str(
        r#"{"drop":["muEntities"],"rename":{"shost":"dhost"},"set":{"cs5":"{{ tenant.slug|upper }}: {{ record.title }}"}}"#,
    )
    .expect("options");
    let mapping = Mapping::compile(&mapping, &cef).expect("a mapping");
    let mapped = Encoding { mapping: Some(Arc::new(mapping)), ..Encoding::from(cef.clone()) };
    measure("cef, a mapping", &mapped, RecordKind::GraphAlert, &alerts, &tenant);
    let bounded = Encoding { bounds: Some(Bounds::split_at(64 * 1024)), ..Encoding::from(cef.clone()) };
    measure("cef, fits its bound", &bounded, RecordKind::GraphAlert, &alerts, &tenant);
    let split = Encoding { bounds: Some(Bounds::split_at(2048)), ..Encoding::from(cef) };
    measure("cef, split at 2 KiB", &split, RecordKind::GraphAlert, &alerts, &tenant);
}

/// Copying and parsing alone.
fn baselines(alerts: &[String]) {
    let mut copy = Vec::with_capacity(alerts.iter().map(String::len).sum());
    run("copying (memcpy)", "graph_alert", alerts, || {
        copy.clear();
        alerts.iter().for_each(|body| copy.extend_from_slice(body.as_bytes()));
        black_box(&copy);
        0
    });
    run("serde_json, skipping", "graph_alert", alerts, || {
        for body in alerts {
            black_box(serde_json::from_str::<serde::de::IgnoredAny>(body).expect("JSON"));
        }
        0
    });
    run("serde_json, structs", "graph_alert", alerts, || {
        for body in alerts {
            black_box(serde_json::from_str::<TypedAlert<'_>>(body).expect("an alert"));
        }
        0
    });
    run("serde_json, tree", "graph_alert", alerts, || {
        for body in alerts {
            black_box(serde_json::from_str::<serde_json::Value>(body).expect("JSON"));
        }
        0
    });
    run("sonic-rs, structs", "graph_alert", alerts, || {
        for body in alerts {
            black_box(sonic_rs::from_str::<TypedAlert<'_>>(body).expect("an alert"));
        }
        0
    });
    run("sonic-rs, tree", "graph_alert", alerts, || {
        for body in alerts {
            black_box(sonic_rs::from_str::<sonic_rs::Value>(body).expect("JSON"));
        }
        0
    });
}

/// The fields that formats use, as a derived deserialiser reads them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only read")]
struct TypedAlert<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    recommended_actions: Option<Cow<'a, str>>,
    #[serde(borrow)]
    severity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    category: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    classification: Option<Cow<'a, str>>,
    #[serde(borrow)]
    determination: Option<Cow<'a, str>>,
    #[serde(borrow)]
    service_source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    detection_source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    product_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    detector_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tenant_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    incident_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    alert_web_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    incident_web_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    created_date_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    last_update_date_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    first_activity_date_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    last_activity_date_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    mitre_techniques: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    evidence: Vec<TypedEvidence<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only read")]
struct TypedEvidence<'a> {
    #[serde(borrow, rename = "@odata.type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    verdict: Option<Cow<'a, str>>,
    #[serde(borrow)]
    remediation_status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    detection_status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    mde_device_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    device_dns_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    host_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    os_platform: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rbac_group_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    last_ip_address: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    ip_interfaces: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    ip_address: Option<Cow<'a, str>>,
    process_id: Option<i64>,
    parent_process_id: Option<i64>,
    #[serde(borrow)]
    process_command_line: Option<Cow<'a, str>>,
    #[serde(borrow)]
    process_creation_date_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image_file: Option<TypedFile<'a>>,
    #[serde(borrow)]
    parent_process_image_file: Option<TypedFile<'a>>,
    #[serde(borrow)]
    file_details: Option<TypedFile<'a>>,
    #[serde(borrow)]
    user_account: Option<TypedUser<'a>>,
    #[serde(borrow, default)]
    logged_on_users: Vec<TypedUser<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only read")]
struct TypedFile<'a> {
    #[serde(borrow)]
    file_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    file_path: Option<Cow<'a, str>>,
    file_size: Option<i64>,
    #[serde(borrow)]
    sha1: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sha256: Option<Cow<'a, str>>,
    #[serde(borrow)]
    md5: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only read")]
struct TypedUser<'a> {
    #[serde(borrow)]
    account_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    domain_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_sid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    azure_ad_user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_principal_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    display_name: Option<Cow<'a, str>>,
}

fn measure(name: &str, encoding: &Encoding, kind: RecordKind, bodies: &[String], tenant: &TenantLabel) {
    let heads: Vec<RecordHead> =
        bodies.iter().map(|body| RecordHead::read(kind, body).expect("a record")).collect();
    let mut events = Events::new();
    run(name, kind.as_str(), bodies, || {
        events.clear();
        for (head, body) in heads.iter().zip(bodies) {
            encoding
                .write(kind, Record { head, body, replay: None }, tenant, &mut events)
                .expect("it can be written");
        }
        black_box(&events);
        events.bytes.len()
    });
}

/// What this process has had of the processor so far: the same on a busy machine.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Runs `work`, which goes over all of `bodies` once and says how many bytes it wrote, and prints a line.
fn run(name: &str, record: &str, bodies: &[String], mut work: impl FnMut() -> usize) {
    // Cargo adds arguments of its own, such as `--bench`.
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    if wanted.peek().is_some() && !wanted.any(|start| format!("{name} {record}").starts_with(&start)) {
        return;
    }
    let written = work();
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    let allocations = change.allocations + change.reallocations;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = processor_time();
        let mut times = 0_u32;
        while processor_time() - start < ROUND {
            work();
            times += 1;
        }
        best = best.min((processor_time() - start).as_secs_f64() / f64::from(times));
    }
    let bytes: usize = bodies.iter().map(String::len).sum();
    println!(
        "| {name} | {record} | {:.0} | {:.0} | {:.2} | {:.1} | {:.2} |",
        bytes as f64 / best / 1e6,
        bodies.len() as f64 / best,
        best / bodies.len() as f64 * 1e6,
        allocations as f64 / bodies.len() as f64,
        written as f64 / bytes as f64
    );
}

/// An alert with the usual evidence: device, processes, files, users, addresses.
fn alert(number: usize) -> String {
    let base = r#""createdDateTime":"2026-03-02T08:15:31.2233333Z","verdict":"suspicious","remediationStatus":"none","remediationStatusDetails":null,"roles":[],"detailedRoles":[],"tags":[]"#;
    let file = |name: &str| {
        format!(
            r#"{{"sha1":"{number:040x}","sha256":"{number:064x}","md5":null,"sha256Ac":null,"fileName":"{name}{number}.exe","filePath":"C:\\Windows\\System32\\{name}","fileSize":{},"filePublisher":"Microsoft Corporation","signer":null,"issuer":null}}"#,
            1000 + number
        )
    };
    let user = format!(
        r#"{{"accountName":"user{number}","domainName":"CONTOSO","userSid":"S-1-5-21-1-2-3-{number}","azureAdUserId":"6d1f0a54-0000-4000-8000-{number:012}","userPrincipalName":"user{number}@contoso.example","displayName":"User {number}"}}"#
    );
    let mut text = format!(
        r#"{{"id":"da{number:032x}_1","providerAlertId":"{number:032x}_1","incidentId":"{}","status":"new","severity":"medium","classification":null,"determination":null,"serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus","productName":"Microsoft Defender for Endpoint","detectorId":"7c2f0a54-1b3d-4f7e-8a90-112233445566","tenantId":"5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d","title":"Suspicious process chain {number}","description":"{}","recommendedActions":"{}","category":"Execution","assignedTo":null,"alertWebUrl":"https://security.microsoft.com/alerts/da{number}?tid=5f0d2c3e","incidentWebUrl":"https://security.microsoft.com/incidents/{number}?tid=5f0d2c3e","actorDisplayName":null,"threatDisplayName":null,"threatFamilyName":null,"mitreTechniques":["T1059","T1218.011"],"createdDateTime":"2026-03-02T08:15:30.1234567Z","lastUpdateDateTime":"2026-03-02T09:00:00.5Z","resolvedDateTime":null,"firstActivityDateTime":"2026-03-02T08:10:00Z","lastActivityDateTime":"2026-03-02T08:14:59.999Z","systemTags":[],"comments":[],"evidence":["#,
        number / 10,
        "A process was started in an unusual way. ".repeat(5),
        "1. Check the device.\\n2. Isolate it.\\n".repeat(6),
    );
    write!(
        text,
        r##"{{"@odata.type":"#microsoft.graph.security.deviceEvidence",{base},"mdeDeviceId":"{number:040x}","azureAdDeviceId":null,"deviceDnsName":"ws-{number}.contoso.example","hostName":"ws-{number}","osPlatform":"Windows11","osBuild":26100,"version":"24H2","healthStatus":"active","riskScore":"high","rbacGroupName":"All","lastIpAddress":"10.0.0.7","lastExternalIpAddress":"198.51.100.7","ipInterfaces":["10.0.0.7","fe80::1"],"loggedOnUsers":[{{"accountName":"user{number}","domainName":"CONTOSO"}}]}}"##
    )
    .expect("memory");
    for step in ["cmd", "powershell", "rundll"] {
        write!(
            text,
            r##",{{"@odata.type":"#microsoft.graph.security.processEvidence",{base},"processId":{},"parentProcessId":400,"processCommandLine":"\"C:\\Windows\\System32\\{step}.exe\" /c start /min =x| more","processCreationDateTime":"2026-03-02T08:14:50Z","parentProcessCreationDateTime":"2026-03-02T08:00:00Z","detectionStatus":"detected","mdeDeviceId":"{number:040x}","imageFile":{},"parentProcessImageFile":{},"userAccount":{user}}}"##,
            number + 4,
            file(step),
            file("explorer"),
        )
        .expect("memory");
    }
    write!(
        text,
        r##",{{"@odata.type":"#microsoft.graph.security.fileEvidence",{base},"detectionStatus":"detected","mdeDeviceId":"{number:040x}","fileDetails":{}}},{{"@odata.type":"#microsoft.graph.security.userEvidence",{base},"userAccount":{user}}},{{"@odata.type":"#microsoft.graph.security.ipEvidence",{base},"ipAddress":"203.0.113.{}","countryLetterCode":"SE"}}]}}"##,
        file("payload"),
        number % 250
    )
    .expect("memory");
    text
}
