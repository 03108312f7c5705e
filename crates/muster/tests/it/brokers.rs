//! What the tests with message brokers have in common: programs that nobody here wrote, and what was read back with
//! them, held against the archive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use muster_model::ContentHash;
use muster_store::{DeadLetterOrigin, SinkTotals, Store};
use tokio::process::Command;

use crate::support::{Bench, Setup, eventually};

#[expect(
    clippy::disallowed_methods,
    reason = "what must be there, and where, is the machine's affair, not the settings'"
)]
pub(crate) fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// The Python that has the clients; none where it is not installed, which the test says, or which fails it.
pub(crate) async fn python(module: &str) -> Option<PathBuf> {
    let peers = environment("MUSTER_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("the test's own path");
        test.ancestors().nth(3).expect("the target folder").join("peers")
    });
    let python = peers.join("python/bin/python");
    let found = Command::new(&python).args(["-c", &format!("import {module}")]).output().await;
    found.is_ok_and(|found| found.status.success()).then_some(python).or_else(|| missing(module))
}

/// Says that something is missing, or fails.
pub(crate) fn missing<T>(what: &str) -> Option<T> {
    let missing = format!("{what} is not installed; .ci/install-peers installs it");
    assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
    println!("skipped: {missing}");
    None
}

/// A port that nobody listens at, below those that connections are given: whoever tries to connect to one of these
/// while nobody listens may be connected to itself, and takes the port away.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(20_000 + next % 12_000).expect("a port");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Runs a script with these arguments; what it prints.
pub(crate) async fn run_python(python: &Path, script: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(python).args(["-c", script]).args(arguments).output().await.expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What became of everything that the archive has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) dead_letters: u64,
}

/// What one sink of a setup is owed and has had.
pub(crate) async fn totals(store: &Arc<dyn Store>, sink: &str) -> Option<SinkTotals> {
    let totals = store.sink_totals().await.expect("the store answers");
    totals.into_iter().find(|totals| totals.sink == sink)
}

/// Waits until everything that was produced has arrived everywhere.
pub(crate) async fn all_is_delivered(setup: &Setup, store: &Arc<dyn Store>) {
    eventually("all that was produced arrives", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        setup.lost() == 0 && totals.iter().all(|sink| sink.owed == 0)
    })
    .await;
}

/// Whether a sink's last trouble is told in these words.
pub(crate) async fn is_told(store: &Arc<dyn Store>, sink: &str, what: &str) -> bool {
    let error = totals(store, sink).await.and_then(|totals| totals.last_error);
    error.is_some_and(|error| error.contains(what))
}

/// Lets time pass until everything that was produced has arrived or was refused for good. What is refused last is owed
/// until something else has been taken, so alerts go on appearing, as they do in life.
pub(crate) async fn all_is_settled(setup: &Setup, bench: &Bench) {
    for _ in 0..20 {
        bench.rounds(1).await;
        let totals = bench.store.sink_totals().await.expect("the store answers");
        if setup.lost() == 0 && totals.iter().all(|sink| sink.owed == 0) {
            return;
        }
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 1, None).expect("new alerts");
        }
    }
    let totals = bench.store.sink_totals().await.expect("the store answers");
    panic!("something stays owed: {totals:?}");
}

/// Holds the bodies that a broker has against the archive, which has each version once, and prints it as a line of the
/// matrix. What is called delivered must be there.
pub(crate) async fn judge(
    (sink, trouble): (&str, &str),
    setup: &Setup,
    store: &Arc<dyn Store>,
    there: &[String],
) -> Verdict {
    let archive = std::fs::read_to_string(setup.path().join("archive.ndjson")).expect("the archive");
    let count = |bodies: &mut dyn Iterator<Item = &str>| {
        let mut counts: BTreeMap<ContentHash, u64> = BTreeMap::new();
        bodies.for_each(|body| *counts.entry(ContentHash::of(body.trim().as_bytes())).or_default() += 1);
        counts
    };
    let (wanted, found) = (count(&mut archive.lines()), count(&mut there.iter().map(String::as_str)));
    let unknown = found.keys().filter(|body| !wanted.contains_key(body)).count();
    assert_eq!(unknown, 0, "{sink}, {trouble}: bodies that Microsoft never sent");
    let letters = store.dead_letters(None, 10_000).await.expect("the store answers");
    let is_of =
        |origin: &DeadLetterOrigin| matches!(origin, DeadLetterOrigin::Sink { sink: of, .. } if of == sink);
    let letters = letters.into_iter().filter(|letter| is_of(&letter.origin));
    let mut letters: Vec<(Option<String>, u64)> =
        letters.map(|letter| (letter.record_id, letter.body_bytes)).collect();
    let dead_letters = letters.len() as u64;
    // What is not there must be a dead letter, each for itself.
    let absent = archive.lines().filter(|body| !found.contains_key(&ContentHash::of(body.trim().as_bytes())));
    let lost: Vec<String> = absent
        .filter_map(|body| {
            let read: serde_json::Value = serde_json::from_str(body).expect("JSON");
            let known_by = (read["id"].as_str().map(str::to_owned), body.len() as u64);
            match letters.iter().position(|letter| *letter == known_by) {
                Some(place) => {
                    letters.swap_remove(place);
                    None
                }
                None => Some(format!("{known_by:?}")),
            }
        })
        .collect();
    let verdict = Verdict {
        lost: lost.len() as u64,
        doubled: found.values().map(|times| times - 1).sum(),
        dead_letters,
    };
    let doubled = verdict.doubled;
    println!(
        "matrix: {sink} × {trouble}: lost {}, doubled {doubled}, dead letters {dead_letters}",
        lost.len()
    );
    let delivered = totals(store, sink).await.map_or(0, |totals| totals.delivered);
    assert!(delivered > 0 && delivered <= found.values().sum(), "{sink}, {trouble}: {delivered} delivered");
    assert!(lost.is_empty(), "{sink}, {trouble}: {lost:?}");
    verdict
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("private");
}

/// Asserts that `muster validate` finds nothing in an example, once its secrets are there.
pub(crate) async fn takes_example(example: &str, secrets: &[(&str, &str)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let muster = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.current_dir(folder.path()).args(arguments).output().await.expect("muster starts")
    };
    let made = muster(&["init", folder.path().to_str().expect("UTF-8")]).await;
    assert!(made.status.success(), "{made:?}");
    std::fs::write(folder.path().join("muster.toml"), example).expect("written");
    for (file, secret) in secrets.iter().chain(&[("main.secret", "a-secret")]) {
        write_secret(&folder.path().join(file), secret);
    }
    let validated = muster(&["--config", "muster.toml", "validate"]).await;
    assert!(validated.status.success(), "{validated:?}");
}

/// Certificates in `folder`: `ca.pem`, `server.pem` and `server.key` of `localhost`, `client.pem` and `client.key` of
/// this name.
pub(crate) fn write_certificates(folder: &Path, client_name: &str) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(rcgen::DnType::CommonName, "CA of a test");
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let ca = params.self_signed(&ca_key).expect("a certificate");
    let issuer = rcgen::Issuer::new(params, ca_key);
    std::fs::write(folder.join("ca.pem"), ca.pem()).expect("written");
    for (file, name, usage) in [
        ("server", "localhost", rcgen::ExtendedKeyUsagePurpose::ServerAuth),
        ("client", client_name, rcgen::ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).expect("parameters");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("signed");
        std::fs::write(folder.join(format!("{file}.pem")), certificate.pem()).expect("written");
        write_secret(&folder.join(format!("{file}.key")), &key.serialize_pem());
    }
}
