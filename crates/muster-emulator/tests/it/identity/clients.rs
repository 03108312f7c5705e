//! Clients that nobody here wrote: MSAL and azure-identity for Python, Python's own `urllib`, and `curl`, over TLS, at the
//! names they know.
//!
//! `.ci/install-python-clients` installs the libraries. Where they are missing the tests pass and say that they were
//! skipped, unless `MUSTER_REQUIRE_PEERS=1`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use muster_emulator::{Config, DirectoryChange};
use serde_json::Value;

use super::credentials::KeyAndCertificate;
use super::support::{Emulated, claims_of};

#[expect(
    clippy::disallowed_methods,
    reason = "where the clients are is the machine's affair, not the settings'"
)]
fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn skipped(missing: &str) {
    assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
    println!("skipped: {missing}");
}

/// The Python that has the libraries: below the target folder, which holds this test as `debug/deps/identity-…`.
fn python() -> Option<PathBuf> {
    let peers = environment("MUSTER_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(3).unwrap().join("peers")
    });
    let python = peers.join("python/bin/python");
    if python.exists() {
        return Some(python);
    }
    skipped("MSAL and azure-identity are not installed; .ci/install-python-clients installs them");
    None
}

/// An emulator over TLS, and the files that the clients read.
struct Clients {
    world: Emulated,
    folder: tempfile::TempDir,
}

impl Clients {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            tenants: 1,
            alerts: Some(200),
            tls: true,
            roles: ["SecurityAlert.Read.All", "SecurityIncident.Read.All", "ThreatHunting.Read.All"]
                .map(str::to_owned)
                .to_vec(),
            ca_out: Some(folder.path().join("ca.pem")),
            ..Config::default()
        };
        let world = Emulated::start(config).await;
        let key = &KeyAndCertificate::pair()[0];
        let certificate = key.certificate_pem.clone();
        world.emulator.change(DirectoryChange::AddCertificate { app: None, certificate }).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("key.pem", &key.key_pem);
        write("certificate.pem", &key.certificate_pem);
        write("both.pem", &format!("{}{}", key.key_pem, key.certificate_pem));
        Self { world, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs one of the programs in `python/`.
    async fn run(&self, python: PathBuf, program: &str) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/identity/python");
        let emulator = &self.world.emulator;
        let account = format!("analyst@{}", self.world.tenant(0).domain);
        let thumbprint = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(KeyAndCertificate::pair()[0].sha1())
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect::<String>();
        let mut command = Command::new(python);
        command
            .arg("-B")
            .arg(scripts.join(program))
            .env_clear()
            .env("PYTHONPATH", &scripts)
            .env("EMULATOR_PORT", emulator.addresses().microsoft.port().to_string())
            .env("SSL_CERT_FILE", self.file("ca.pem"))
            .env("REQUESTS_CA_BUNDLE", self.file("ca.pem"))
            .env("TENANT", &self.world.tenant(0).id)
            .env("CLIENT_ID", emulator.app_id())
            .env("SECRET", emulator.secret())
            .env("PASSWORD", emulator.password(&account).unwrap())
            .env("ACCOUNT", account)
            .env("KEY_FILE", self.file("key.pem"))
            .env("CERTIFICATE_FILE", self.file("certificate.pem"))
            .env("PEM_FILE", self.file("both.pem"))
            .env("THUMBPRINT", thumbprint)
            .env("USER_ASSIGNED", &emulator.managed_identities()[1].0)
            .env("SECRET_HEADER", emulator.identity_header());
        let Output { status, stdout, stderr } =
            tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = [stdout, stderr].concat();
        assert!(status.success(), "{program}: {}", String::from_utf8_lossy(&said));
    }
}

async fn succeeds(program: &str) {
    let Some(python) = python() else { return };
    let clients = Clients::start().await;
    clients.run(python, program).await;
    clients.world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn msal_with_a_secret() {
    succeeds("msal_secret.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn msal_with_a_certificate() {
    succeeds("msal_certificate.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn msal_with_an_authorisation_code_and_a_refresh_token() {
    succeeds("msal_code.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn msal_with_a_device_code() {
    succeeds("msal_device.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_identity_with_a_secret_a_certificate_and_a_managed_identity() {
    succeeds("azure_identity.py").await;
}

/// An app's and a person's, of both versions, from clients that nobody here wrote: each reads its API, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_every_kind_read_the_api_that_they_are_for() {
    succeeds("every_api.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partner_pages_python_as_printed() {
    succeeds("partner_page.py").await;
}

/// `curl -i -X POST -H "Content-Type:application/x-www-form-urlencoded" -d "grant_type=client_credentials" -d
/// "client_id=%CLIENT_ID%" -d "scope=…" -d "client_secret=%CLIENT_SECRET%" "https://login.microsoftonline.com/…" -k`, and
/// then with the certificate checked.
#[tokio::test(flavor = "multi_thread")]
async fn the_partner_pages_curl_command_as_printed() {
    if Command::new("curl").arg("--version").output().is_err() {
        return skipped("curl is not installed");
    }
    let clients = Clients::start().await;
    let emulator = &clients.world.emulator;
    let tenant = clients.world.tenant(0).id;
    let address = emulator.addresses().microsoft;
    let ca = clients.file("ca.pem");
    for check in [vec!["-k".to_owned()], vec!["--cacert".to_owned(), ca.display().to_string()]] {
        let mut command = Command::new("curl");
        command
            .args(["-i", "-X", "POST", "-H", "Content-Type:application/x-www-form-urlencoded"])
            .args(["-d", "grant_type=client_credentials"])
            .arg("-d")
            .arg(format!("client_id={}", emulator.app_id()))
            .args(["-d", "scope=https://securitycenter.onmicrosoft.com/windowsatpservice/.default"])
            .arg("-d")
            .arg(format!("client_secret={}", emulator.secret()))
            .arg(format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"))
            .args(&check)
            // What a hosts entry would do.
            .args(["--noproxy", "*", "--silent", "--show-error", "--connect-to"])
            .arg(format!("login.microsoftonline.com:443:{}:{}", address.ip(), address.port()));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text} {}", String::from_utf8_lossy(&output.stderr));
        let body: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!((body["token_type"].as_str(), body["expires_in"].as_i64()), (Some("Bearer"), Some(3599)));
        let claims = claims_of(body["access_token"].as_str().unwrap());
        assert_eq!(claims["aud"], "https://securitycenter.onmicrosoft.com/windowsatpservice");
        assert_eq!(claims["roles"][0], "Alert.Read.All");
    }
    clients.world.emulator.stop().await;
}
