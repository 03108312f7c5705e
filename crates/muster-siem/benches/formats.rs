//! How fast one core spells records: `cargo bench -p muster-siem --bench formats`.
//!
//! The input is synthetic alerts of about 6.8 kB, the mean of real ones, and incidents of ten such alerts.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use muster_model::{Record, RecordHead, Source, TenantLabel};
use muster_siem::formats::{CefOptions, Events, Format, SplunkOptions};

const ALERTS: usize = 500;
const ROUND: Duration = Duration::from_millis(300);
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
    println!("alerts of {} bytes on average; the best of {ROUNDS} rounds", bytes / ALERTS);
    println!(
        "{:<10} {:<16} {:>8} {:>12} {:>10} {:>8}",
        "format", "source", "MB/s", "records/s", "µs/record", "out/in"
    );
    let splunk = SplunkOptions {
        index: Some("mssp_{{ tenant.slug }}".parse().expect("an index")),
        ..SplunkOptions::default()
    };
    for format in [Format::Raw, Format::Splunk(splunk), Format::Cef(CefOptions::default())] {
        for (source, records) in [(Source::GraphAlerts, &alerts), (Source::GraphIncidents, &incidents)] {
            measure(&format, source, records, &tenant);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock, and nothing else here is async")]
fn measure(format: &Format, source: Source, bodies: &[String], tenant: &TenantLabel) {
    let heads: Vec<RecordHead> =
        bodies.iter().map(|body| RecordHead::read(body).expect("a record")).collect();
    let mut events = Events::new();
    let mut run = || {
        events.clear();
        for (head, body) in heads.iter().zip(bodies) {
            format
                .write(source.into(), Record { head, body }, tenant, &mut events)
                .expect("it can be written");
        }
        black_box(&events);
    };
    run();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut times = 0_u32;
        while start.elapsed() < ROUND {
            run();
            times += 1;
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(times));
    }
    let bytes: usize = bodies.iter().map(String::len).sum();
    println!(
        "{:<10} {:<16} {:>8.0} {:>12.0} {:>10.2} {:>8.2}",
        format,
        source,
        bytes as f64 / best / 1e6,
        bodies.len() as f64 / best,
        best / bodies.len() as f64 * 1e6,
        events.bytes.len() as f64 / bytes as f64
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
