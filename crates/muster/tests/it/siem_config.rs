//! What `muster siem-config` prints is what those programs take.

use std::path::{Path, PathBuf};

use muster_emulator::Config;

use crate::support::{Setup, config};

fn words(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

async fn printed(setup: &Setup, arguments: &[&str]) -> String {
    let mut all = vec!["siem-config"];
    all.extend(arguments);
    let output = setup.muster(&all).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    words(&output)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what must be there, and where, is the machine's affair, not the settings'"
)]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// A program of somebody else's; where it is missing the test says so, or fails.
fn peer(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    let missing = format!("{} is not installed; .ci/install-peers installs it", path.display());
    assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
    println!("skipped: {missing}");
    None
}

/// Where the libraries of a syslog-ng lie that was unpacked, and its modules.
fn libraries(unpacked: &Path) -> PathBuf {
    unpacked.join("usr/lib/syslog-ng")
}

fn modules(unpacked: &Path) -> PathBuf {
    let entries = std::fs::read_dir(libraries(unpacked)).expect("its libraries");
    entries
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.is_dir())
        .expect("a folder of modules")
}

const SINKS: &str = "
[sinks.tls]
type = \"syslog\"
address = \"siem.example:6514\"
transport = \"tls\"
format = \"leef\"
message_size_max = \"1MiB\"
[sinks.lines]
type = \"syslog\"
address = \"siem.example:5514\"
transport = \"tcp\"
rfc = \"3164\"
format = \"ecs\"
[sinks.udp]
type = \"syslog\"
address = \"[2001:db8::1]:514\"
transport = \"udp\"
format = \"raw\"
[pull_api]
listen = \"127.0.0.1:9812\"
public_url = \"https://detections.mssp.example\"
";

/// The configuration with the paths of this machine, and a certificate where it names one.
fn at_home(text: &str, folder: &Path) -> String {
    let certified =
        rcgen::generate_simple_self_signed(vec!["siem.example".to_owned()]).expect("a certificate");
    for (name, pem) in [
        ("ca.pem", certified.cert.pem()),
        ("server.pem", certified.cert.pem()),
        ("server.key", certified.signing_key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), pem).expect("written");
    }
    let folder = folder.to_str().expect("UTF-8");
    ["/etc/muster-tls", "/var/log", "/var/spool/rsyslog"]
        .iter()
        .fold(text.to_owned(), |text, path| text.replace(path, folder))
}

#[tokio::test]
async fn receivers_take_their_configuration() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(1), ..config() }, SINKS).await;
    let rsyslog = peer(PathBuf::from("/usr/sbin/rsyslogd"));
    let unpacked = environment("MUSTER_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("the test's own path");
        test.ancestors().nth(3).expect("the target folder").join("peers")
    });
    let unpacked = unpacked.join("syslog-ng");
    let syslog_ng = peer(unpacked.join("usr/sbin/syslog-ng"));
    for sink in ["tls", "lines", "udp", "arcsight"] {
        let folder = tempfile::tempdir().expect("a folder");
        let text = printed(&setup, &["rsyslog", "--sink", sink]).await;
        let path = folder.path().join("rsyslog.conf");
        std::fs::write(&path, at_home(&text, folder.path())).expect("written");
        if let Some(program) = &rsyslog {
            let checked =
                tokio::process::Command::new(program).arg("-N1").arg("-f").arg(&path).output().await;
            let checked = checked.expect("rsyslogd starts");
            assert!(
                checked.status.success() && !words(&checked).contains("error"),
                "{sink}: {checked:?}\n{text}"
            );
        }
        let text = printed(&setup, &["syslog-ng", "--sink", sink]).await;
        let path = folder.path().join("syslog-ng.conf");
        std::fs::write(&path, at_home(&text, folder.path())).expect("written");
        if let Some(program) = &syslog_ng {
            let checked = tokio::process::Command::new(program)
                .env("LD_LIBRARY_PATH", libraries(&unpacked))
                .arg("--syntax-only")
                .arg("-f")
                .arg(&path)
                .arg(format!("--module-path={}", modules(&unpacked).display()))
                .output()
                .await;
            let checked = checked.expect("syslog-ng starts");
            assert!(checked.status.success(), "{sink}: {checked:?}\n{text}");
        }
    }
}

#[tokio::test]
async fn each_siem_gets_what_it_needs() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(1), ..config() }, SINKS).await;
    let tenants = setup.emulator.tenants();
    let tenant = tenants[0].id.to_string();
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let text = text.replace("[sinks.splunk]\n", "[sinks.splunk]\nindex = \"mssp_{{ tenant.slug }}\"\n");
    std::fs::write(setup.settings_path(), text).expect("written");
    let slug = async |id: &str| {
        let shown = setup.muster(&["--output", "json", "tenant", "show", id]).await;
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        shown["slug"].as_str().expect("a slug").to_owned()
    };
    let (one, other) = (slug(&tenant).await, slug(&tenants[1].id.to_string()).await);
    let splunk = printed(&setup, &["splunk"]).await;
    for part in [
        &format!("[mssp_{one}]"),
        &format!("[mssp_{other}]"),
        "[http://muster_splunk]",
        "useACK = true",
        "##### indexes.conf",
    ] {
        assert!(splunk.contains(part), "{part}: {splunk}");
    }
    let for_one = printed(&setup, &["splunk", "--tenant", &one]).await;
    assert!(for_one.contains(&one) && !for_one.contains(&format!("[mssp_{other}]")), "{for_one}");
    let qradar = printed(&setup, &["qradar", "--sink", "tls"]).await;
    assert!(qradar.contains("Universal LEEF") && qradar.contains("TLS Listen Port        6514"), "{qradar}");
    let arcsight = printed(&setup, &["arcsight"]).await;
    assert!(arcsight.contains("Syslog Daemon") && !arcsight.contains("client_ID"), "{arcsight}");

    let added = setup.muster(&["--output", "json", "client", "add", "--tenant", &one]).await;
    let added: serde_json::Value = serde_json::from_slice(&added.stdout).expect("JSON");
    let id = added["id"].as_str().expect("an id");
    let arcsight = printed(&setup, &["arcsight", "--tenant", &one]).await;
    for part in [
        &format!("client_ID={id}"),
        &format!("token_url=https://detections.mssp.example/{tenant}/oauth2/token"),
        "https://detections.mssp.example/api/alerts/?sinceTimeUtc=$START_AT_TIME",
        "trigger.node.location=/",
        "event.externalId=AlertId",
    ] {
        assert!(arcsight.contains(part), "{part}: {arcsight}");
    }
    assert!(!arcsight.contains(added["client_secret"].as_str().expect("a secret")));
    assert!(
        printed(&setup, &["splunk", "--tenant", &one]).await.contains(&format!("oauth2_client_id = {id}"))
    );

    let folder = setup.path().join("siem");
    let to_folder = ["arcsight", "--tenant", &one, "--folder", folder.to_str().expect("UTF-8")];
    assert!(printed(&setup, &to_folder).await.contains("muster-connector.jsonparser.properties"));
    let mut again = vec!["siem-config"];
    again.extend(to_folder);
    let again = setup.muster(&again).await;
    assert!(!again.status.success() && words(&again).contains("it is there already"), "{again:?}");
    for (arguments, code, said) in [
        (&["siem-config", "rsyslog"][..], 2, "several sinks fit"),
        (&["siem-config", "rsyslog", "--sink", "tsl"], 5, "did you mean `tls`"),
        (&["siem-config", "rsyslog", "--sink", "splunk"], 2, "not of the type syslog"),
        (&["siem-config", "qradar", "--sink", "udp"], 3, "QRadar reads leef or cef"),
        (&["siem-config", "splunk", "--tenant", "nobody"], 5, "nobody"),
        (
            &["siem-config", "arcsight", "--client", "11111111-2222-4333-8444-555555555555"],
            5,
            "there is no client",
        ),
    ] {
        let output = setup.muster(arguments).await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {output:?}");
        assert!(words(&output).contains(said), "{arguments:?} {output:?}");
    }

    // An index that Splunk would not take is told before anything waits for it.
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let long = format!("index = \"{}_{{{{ tenant.id }}}}\"", "x".repeat(50));
    let text = text.replace("index = \"mssp_{{ tenant.slug }}\"", &long);
    std::fs::write(setup.settings_path(), text).expect("written");
    let told = words(&setup.muster(&["validate"]).await);
    assert!(
        told.contains("the index of 2 tenant(s) is none that Splunk takes") && told.contains(&one),
        "{told}"
    );
    let refused = setup.muster(&["siem-config", "splunk"]).await;
    assert!(
        refused.status.code() == Some(3) && words(&refused).contains("Splunk does not take"),
        "{refused:?}"
    );
}

/// The names of all fields of an ECS document.
fn fields(value: &serde_json::Value, path: &str, found: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, inner) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                fields(inner, &path, found);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| fields(item, path, found)),
        _ => _ = found.insert(path.to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_for_kibana_is_whole_and_shows_fields_that_are_written() {
    let elastic = "[sinks.elastic]\ntype = \"elasticsearch\"\nurl = \"http://127.0.0.1:9200\"\n\
                   [[routes]]\ntenants = [\"*\"]\nsinks = [\"elastic\"]\n";
    let setup = Setup::start(Config { tenants: 1, alerts: Some(1), ..config() }, elastic).await;
    let text = printed(&setup, &["kibana"]).await;
    let objects: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let id = |object: &serde_json::Value| {
        (
            object["type"].as_str().expect("a type").to_owned(),
            object["id"].as_str().expect("an id").to_owned(),
        )
    };
    let known: Vec<_> = objects.iter().map(id).collect();
    let mut written = std::collections::BTreeSet::new();
    for name in ["cloud_alert", "endpoint_alert", "incident"] {
        let snapshot = crate::docs::read(&format!("crates/muster-siem/tests/snapshots/ecs/{name}.snap"));
        let shown = snapshot.splitn(3, "---\n").nth(2).expect("what is written");
        fields(&serde_json::from_str(shown).expect("JSON"), "", &mut written);
    }
    let mut shown = 0;
    for object in &objects {
        // What it refers to comes before it.
        for reference in object["references"].as_array().expect("a list") {
            assert!(known.contains(&id(reference)), "{reference}");
        }
        let attributes = &object["attributes"];
        if let Some(state) = attributes["visState"].as_str() {
            let state: serde_json::Value = serde_json::from_str(state).expect("JSON");
            for field in state["aggs"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(|one| one["params"]["field"].as_str())
            {
                assert!(written.contains(field), "no document has {field}");
                shown += 1;
            }
        }
        if let Some(panels) = attributes["panelsJSON"].as_str() {
            let panels: Vec<serde_json::Value> = serde_json::from_str(panels).expect("JSON");
            let references = object["references"].as_array().expect("a list");
            assert_eq!(panels.len(), references.len());
            for (panel, reference) in panels.iter().zip(references) {
                let name = format!(
                    "{}:{}",
                    panel["panelIndex"].as_str().expect("an index"),
                    panel["panelRefName"].as_str().expect("a name")
                );
                assert_eq!(reference["name"], name.as_str());
            }
        }
    }
    assert!(shown > 5, "{text}");
}
