//! App registrations: made in the name of a person, cared for by the app itself, and their credentials rotated with the
//! real program killed between every two steps.

use std::process::{Output, Stdio};

use muster_emulator::{Config, DirectoryChange, Tenant};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Child;

use crate::gate::{Gate, When};
use crate::support::{Setup, config, eventually};

const TOKEN: &str = "/oauth2/v2.0/token";
const OWN_REGISTRATION: &str = "https://graph.microsoft.com/Application.ReadWrite.OwnedBy";

/// A provider whose Muster reaches Microsoft through a gate.
pub(crate) struct Provider {
    pub(crate) setup: Setup,
    gate: Gate,
    pub(crate) tenant: Tenant,
}

impl Provider {
    async fn start() -> Self {
        Self::with(Config { tenants: 2, alerts: Some(6), ..config() }).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let setup = Setup::start(config, "").await;
        let gate = Gate::open(setup.emulator.addresses().microsoft).await;
        let base = format!("http://{}", gate.address);
        let settings = std::fs::read_to_string(setup.settings_path()).expect("settings");
        let settings = settings.replace(&setup.emulator.base_url(), &base);
        std::fs::write(setup.settings_path(), settings).expect("written");
        let tenant = setup.emulator.provider();
        Self { setup, gate, tenant }
    }

    /// Runs a command to its end; what it printed as JSON.
    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.setup.muster(&[&["--output", "json"], arguments].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Runs a command in which a person signs in with a code.
    pub(crate) async fn with_a_person(&self, arguments: &[&str], account: &str) -> Output {
        self.signed_in(arguments, account).await.wait_with_output().await.expect("it ends")
    }

    /// Starts a command in which a person signs in with a code, up to where they have.
    async fn signed_in(&self, arguments: &[&str], account: &str) -> Child {
        let arguments = [&["--output", "json"], arguments, &["--flow", "device"]].concat();
        let mut command = self.setup.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("muster starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let line = lines.next_line().await.expect("UTF-8").expect("instructions");
        let told = line.strip_prefix("Open ").and_then(|rest| rest.split_once(" and enter the code "));
        let Some((address, rest)) = told else { panic!("{line}") };
        let code = rest.split_once('.').expect("a code").0;
        let account = format!("{account}@{}", self.tenant.domain);
        // The person's own affair: whether it works is seen in what Muster says.
        self.setup.emulator.sign_in(&format!("{address}?otc={code}"), &account, true).ok();
        child.stderr = Some(lines.into_inner().into_inner());
        child
    }

    async fn register(&self, arguments: &[&str]) -> Value {
        let tenant = self.tenant.id.clone();
        let arguments = [&["app", "register", "own", "--tenant", &tenant], arguments].concat();
        let output = self.with_a_person(&arguments, "admin").await;
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What `app check` finds: outcome and code by check.
    async fn checks(&self, app: &str, more: &[&str]) -> Vec<Value> {
        let output = self.setup.muster(&[&["--output", "json", "app", "check", app], more].concat()).await;
        let checked: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        checked[0]["checks"].as_array().cloned().expect("checks")
    }

    /// How many secrets and certificates the registration has, and whether everything about it is well.
    async fn credentials(&self, app: &str, more: &[&str]) -> (usize, bool) {
        let checks = self.checks(app, more).await;
        let find = |name: &str| checks.iter().find(|check| check["name"] == name);
        let at_microsoft = find("credentials at Microsoft").unwrap_or_else(|| panic!("{checks:?}"));
        let detail = at_microsoft["detail"].as_str().expect("words");
        let count = detail.split("; ").filter(|one| *one != "none").count();
        (count, checks.iter().all(|check| check["outcome"] == "good"))
    }

    /// Starts a command and kills it where the gate holds it.
    async fn killed_at(&self, arguments: &[&str], line: &'static str, nth: u32, when: When) {
        self.gate.hold(line, nth, when);
        self.killed(self.setup.command(arguments).stderr(Stdio::null()).spawn().expect("muster starts"))
            .await;
    }

    async fn killed(&self, mut child: Child) {
        tokio::select! {
            () = self.gate.holds() => {}
            ended = child.wait() => panic!("it ended before the gate held anything: {ended:?}"),
        }
        child.kill().await.expect("killed");
        self.gate.let_through();
    }

    fn grant_own_registration(&self) {
        let change = DirectoryChange::GrantRole {
            tenant: self.tenant.id.clone(),
            app: None,
            role: OWN_REGISTRATION.to_owned(),
        };
        self.setup.emulator.change(change).expect("granted");
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The first minutes of a new user: the settings that `init` writes take the first app, and the store keeps its secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_of_init_take_the_first_app() {
    let provider = Provider::start().await;
    let base = provider.setup.emulator.base_url();
    let custom = format!("name = \"custom\"\nlogin = \"{base}\"\ngraph = \"{base}\"");
    let example = include_str!("../../../../examples/muster.toml").replace("name = \"global\"", &custom);
    let example = example.replace("[server]", "[network]\nproxy = \"\"\n\n[server]");
    std::fs::write(provider.setup.settings_path(), example).expect("written");
    let register = ["app", "register", "main", "--tenant", &provider.tenant.id, "--write"];
    let output = provider.with_a_person(&register, "admin").await;
    assert!(output.status.success(), "{}", said(&output));
    let settings = std::fs::read_to_string(provider.setup.settings_path()).expect("settings");
    assert_eq!(settings.matches("\n[apps.main]").count(), 1, "{settings}");
    let shown = provider.json(&["app", "show", "main"]).await;
    assert_eq!(shown[0]["credentials"][0]["kind"], "secret");
}

/// A person registers an app, which then cares for itself: checks, rotations of secret and certificate, with nobody there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_registered_once_and_cares_for_itself() {
    let provider = Provider::start().await;
    let made = provider.register(&["--self-care", "--consent-here", "--write"]).await;
    assert_eq!(made["created"], true);
    assert_eq!(made["credential"]["replaced"], true);
    let settings = std::fs::read_to_string(provider.setup.settings_path()).expect("settings");
    assert!(settings.contains(&format!("[apps.own]\nclient_id = {}", made["client_id"])), "{settings}");
    assert_eq!(provider.credentials("own", &[]).await, (1, true), "{:?}", provider.checks("own", &[]).await);

    // Again: nothing is made twice.
    let again = provider.json(&["app", "register", "own"]).await;
    assert_eq!((&again["created"], &again["credential"]), (&Value::Bool(false), &Value::Null));
    assert_eq!(again["client_id"], made["client_id"]);

    let first = made["credential"]["key_id"].clone();
    let rotated = provider.json(&["app", "rotate-secret", "own"]).await;
    assert_eq!(rotated["replaced"], true);
    assert_eq!(rotated["withdrawn"], Value::from(vec![first.clone()]));
    assert_ne!(rotated["key_id"], first);
    assert_eq!(provider.credentials("own", &[]).await, (1, true));

    // From a secret to a certificate.
    let rotated = provider.json(&["app", "rotate-certificate", "own", "--keep-old"]).await;
    assert_eq!(rotated["replaced"], true);
    assert!(rotated["still_valid"].is_string());
    assert_eq!(provider.credentials("own", &[]).await.0, 2);
    // What was kept on purpose is not withdrawn by looking after the registration.
    assert_eq!(provider.json(&["app", "register", "own"]).await["credential"], Value::Null);
    assert_eq!(provider.credentials("own", &[]).await.0, 2);
    let finished = provider.json(&["app", "rotate-certificate", "own", "--finish"]).await;
    assert_eq!(
        (&finished["replaced"], &finished["withdrawn"][0]),
        (&Value::Bool(false), &rotated["still_valid"])
    );
    assert_eq!(provider.credentials("own", &[]).await, (1, true));
    let shown = provider.json(&["app", "show", "own"]).await;
    assert_eq!(shown[0]["credentials"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown[0]["credentials"][0]["kind"], "certificate");

    let audit = provider.json(&["audit", "list"]).await.to_string();
    for action in [
        "app.registered",
        "app.consented",
        "app.credential_added",
        "app.credential_replaced",
        "app.credential_withdrawn",
    ] {
        assert!(audit.contains(action), "{action} is missing in {audit}");
    }
}

/// In a browser on this machine, whose redirect is caught, and in any other, whose last address is pasted. An answer that
/// belongs to no sign-in of ours is not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_with_a_browser() {
    let provider = Provider::start().await;
    let tenant = provider.tenant.id.clone();
    let account = format!("admin@{}", provider.tenant.domain);
    let start = |app: &'static str, flow: &'static str| {
        let arguments =
            ["--output", "json", "app", "register", app, "--tenant", &tenant, "--flow", flow, "--no-open"];
        let mut command = provider.setup.command(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("muster starts")
    };
    for (app, flow) in [("one", "browser"), ("two", "paste"), ("three", "paste")] {
        let mut child = start(app, flow);
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = loop {
            let line = lines.next_line().await.expect("UTF-8").expect("an address");
            if line.starts_with("http") {
                break line;
            }
        };
        let back = provider.setup.emulator.sign_in(&address, &account, true).expect("signed in");
        let state = back.split_once("state=").expect("a state").1.split('&').next().expect("a state");
        let forged = back.replace(state, "00000000000000000000000000000000");
        if flow == "browser" {
            browse(&forged).await;
            browse(&back).await;
        } else {
            let pasted = if app == "three" { &forged } else { &back };
            let mut stdin = child.stdin.take().expect("piped");
            stdin.write_all(format!("{pasted}\n").as_bytes()).await.expect("pasted");
        }
        let output = child.wait_with_output().await.expect("it ends");
        if app == "three" {
            assert_eq!(output.status.code(), Some(1));
        } else {
            let made: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!((&made["app"], &made["created"]), (&Value::from(app), &Value::Bool(true)), "{made}");
            assert!(made["section"].as_str().is_some_and(|section| section.contains("client_id")), "{made}");
        }
    }
}

/// Opens an address of this machine, as a browser that is sent there does.
async fn browse(address: &str) {
    let rest = address.strip_prefix("http://localhost:").expect("a loopback address");
    let (port, path) = rest.split_once('/').map_or_else(
        || rest.split_once('?').map(|(port, query)| (port, format!("/?{query}"))).expect("a query"),
        |(port, path)| (port, format!("/{path}")),
    );
    let port: u16 = port.parse().expect("a port");
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Killed while it registers, the command makes nothing twice when it is given again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_killed_anywhere_goes_on() {
    let provider = Provider::start().await;
    let tenant = provider.tenant.id.clone();
    let register = ["app", "register", "own", "--tenant", &tenant, "--self-care"];
    for (line, nth) in [
        ("POST /v1.0/applications ", 1),
        ("POST /v1.0/servicePrincipals ", 1),
        ("appRoleAssignedTo", 1),
        ("addPassword", 1),
    ] {
        provider.gate.hold(line, nth, When::BeforeItsAnswer);
        let child = provider.signed_in(&register, "admin").await;
        provider.killed(child).await;
    }
    let made = provider.register(&["--self-care", "--write"]).await;
    assert_eq!(made["created"], false, "the first one was found: {made}");
    assert_eq!(made["credential"]["withdrawn"].as_array().map(Vec::len), Some(1), "{made}");
    assert_eq!(provider.credentials("own", &[]).await, (1, true));
}

/// Whoever may not register apps is told which role it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_told_what_it_takes() {
    let provider = Provider::start().await;
    let tenant = provider.tenant.id.clone();
    let arguments = ["app", "register", "own", "--tenant", &tenant];
    let output = provider.with_a_person(&arguments, "analyst").await;
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    // Nobody is there and the app may not: it is told, and nothing waits for a person.
    let output = provider.setup.muster(&["app", "rotate-secret", "main", "--tenant", &tenant]).await;
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    assert!(said(&output).contains("--self-care"), "{}", said(&output));
}

/// Killed before and after each call that changes something, the same command goes on; the app works all the while, and
/// in the end one secret is left, which nobody but Muster has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_killed_anywhere_goes_on() {
    let provider = Provider::start().await;
    provider.register(&["--self-care", "--consent-here", "--write"]).await;
    let rotate = ["app", "rotate-secret", "own"];
    for (line, nth, when, secrets) in [
        // Before anything was made.
        ("addPassword", 1, When::BeforeItIsDone, 1),
        // Made by Microsoft, and nobody knows its value.
        ("addPassword", 1, When::BeforeItsAnswer, 2),
        // Stored, not proven.
        (TOKEN, 2, When::BeforeItIsDone, 2),
        (TOKEN, 2, When::BeforeItsAnswer, 2),
        // In use, the old one still valid.
        ("removePassword", 1, When::BeforeItIsDone, 2),
        // Withdrawn, and the store does not know.
        ("removePassword", 1, When::BeforeItsAnswer, 1),
    ] {
        provider.killed_at(&rotate, line, nth, when).await;
        let (count, good) = provider.credentials("own", &[]).await;
        assert_eq!(count, secrets, "after a kill at {line} {nth} {when:?}");
        assert_eq!(good, line == "addPassword" && when == When::BeforeItIsDone, "{line} {nth} {when:?}");
        let token = provider.checks("own", &[]).await.into_iter().find(|check| check["name"] == "token");
        assert_eq!(
            token.expect("checked")["outcome"],
            "good",
            "the app works after a kill at {line} {nth} {when:?}"
        );
        let rotated = provider.json(&rotate).await;
        assert_eq!(rotated["replaced"], true);
        assert_eq!(rotated["resumed"], line == TOKEN, "{line} {nth} {when:?}");
        assert_eq!(provider.credentials("own", &[]).await, (1, true), "after {line} {nth} {when:?}");
    }
}

/// The same for certificates, whose key is stored before Microsoft hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_of_certificates_killed_anywhere_goes_on() {
    let provider = Provider::start().await;
    provider.register(&["--self-care", "--consent-here", "--write", "--credential", "certificate"]).await;
    let rotate = ["app", "rotate-certificate", "own"];
    for (line, nth, when, certificates) in [
        ("PATCH", 1, When::BeforeItIsDone, 1),
        ("PATCH", 1, When::BeforeItsAnswer, 2),
        (TOKEN, 2, When::BeforeItIsDone, 2),
        ("PATCH", 2, When::BeforeItIsDone, 2),
        ("PATCH", 2, When::BeforeItsAnswer, 1),
    ] {
        provider.killed_at(&rotate, line, nth, when).await;
        assert_eq!(
            provider.credentials("own", &[]).await.0,
            certificates,
            "after a kill at {line} {nth} {when:?}"
        );
        let rotated = provider.json(&rotate).await;
        assert_eq!(rotated["replaced"], true);
        assert_eq!(rotated["resumed"], nth == 1 || line == TOKEN, "{line} {nth} {when:?}");
        assert_eq!(provider.credentials("own", &[]).await, (1, true), "after {line} {nth} {when:?}");
    }
}

/// When the new secret cannot be stored, it does not stay valid at Microsoft.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_cannot_be_stored_is_removed_again() {
    let provider = Provider::start().await;
    provider.register(&["--self-care", "--consent-here", "--write"]).await;
    provider.gate.hold("addPassword", 1, When::BeforeItsAnswer);
    let mut command = provider.setup.command(&["app", "rotate-secret", "own"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("muster starts");
    provider.gate.holds().await;
    // Somebody else holds the database and does not let go.
    let other = rusqlite::Connection::open(provider.setup.path().join("muster.db")).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("held");
    provider.gate.release();
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("removed at Microsoft again"), "{}", said(&output));
    other.execute_batch("ROLLBACK").expect("let go");
    drop(other);
    assert_eq!(provider.credentials("own", &[]).await, (1, true));
    assert_eq!(provider.json(&["app", "rotate-secret", "own"]).await["replaced"], true);
}

/// Where the settings name a file, that is replaced; the secret that a person once put there is found and withdrawn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_a_file_is_replaced_there() {
    let provider = Provider::start().await;
    provider.grant_own_registration();
    let tenant = provider.tenant.id.clone();
    let more = ["--tenant", tenant.as_str()];
    let file = provider.setup.path().join("main.secret");
    let before = std::fs::read_to_string(&file).expect("a secret");
    let rotate = [&["app", "rotate-secret", "main"], &more[..]].concat();
    // In the file already, the old one not withdrawn.
    provider.killed_at(&rotate, "removePassword", 1, When::BeforeItIsDone).await;
    let after = std::fs::read_to_string(&file).expect("a secret");
    assert_ne!(before.trim(), after.trim());
    assert_eq!(std::fs::read_to_string(file.with_extension("secret.previous")).expect("kept"), before);
    assert!(provider.setup.muster(&["fetch", "--all"]).await.status.success());
    let finished = provider.json(&[&rotate[..], &["--finish"]].concat()).await;
    assert_eq!(finished["withdrawn"].as_array().map(Vec::len), Some(1), "{finished}");
    assert!(!file.with_extension("secret.previous").exists());
    assert!(!file.with_extension("secret.muster-new").exists());
    // Proven, not in the file yet.
    provider.killed_at(&rotate, TOKEN, 2, When::BeforeItIsDone).await;
    assert_eq!(std::fs::read_to_string(&file).expect("a secret"), after);
    let rotated = provider.json(&rotate).await;
    assert_eq!((&rotated["resumed"], &rotated["replaced"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_ne!(std::fs::read_to_string(&file).expect("a secret"), after);
    // Left where no previous one is known any more.
    std::fs::write(file.with_extension("secret.previous"), &before).expect("written");
    provider.json(&[&rotate[..], &["--finish"]].concat()).await;
    assert!(!file.with_extension("secret.previous").exists());
    assert_eq!(provider.credentials("main", &more).await.0, 1);
    assert!(provider.setup.muster(&["fetch", "--all"]).await.status.success());
}

/// A policy of the tenant that forbids secrets, long lives or apps for others is told, with the way around it; and the way works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_management_policy_is_told_with_the_way_around_it() {
    let provider = Provider::start().await;
    let tenant = provider.tenant.id.clone();
    let policy = |no_secrets, lifetime_days_max, no_multitenant| {
        let tenant = tenant.clone();
        let change = DirectoryChange::AppPolicy { tenant, no_secrets, lifetime_days_max, no_multitenant };
        provider.setup.emulator.change(change).expect("changed");
    };
    let register = async |name: &str, more: &[&str]| {
        let arguments = [&["app", "register", name, "--tenant", &tenant], more].concat();
        provider.with_a_person(&arguments, "admin").await
    };
    policy(false, None, true);
    let output = register("others", &[]).await;
    assert!(said(&output).contains("SignInAudienceNotAllowedAsPerAppPolicy"), "{}", said(&output));
    assert!(said(&output).contains("--connector-for"), "{}", said(&output));
    policy(true, None, false);
    let output = register("secret", &[]).await;
    assert!(
        !output.status.success() && said(&output).contains("--credential certificate"),
        "{}",
        said(&output)
    );
    let output = register("secret", &["--credential", "certificate"]).await;
    assert!(output.status.success(), "{}", said(&output));
    policy(false, Some(100), false);
    for credential in ["secret", "certificate"] {
        let name = format!("short-{credential}");
        let output = register(&name, &["--credential", credential]).await;
        assert!(!output.status.success() && said(&output).contains("--lifetime 90d"), "{}", said(&output));
        let output = register(&name, &["--credential", credential, "--lifetime", "90d"]).await;
        assert!(output.status.success(), "{}", said(&output));
    }
}

/// Where Muster cannot write, it says so and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_muster_cannot_write_it_says_so() {
    let provider = Provider::start().await;
    let settings = std::fs::read_to_string(provider.setup.settings_path()).expect("settings");
    let command = settings
        .replace("secret = { file = \"main.secret\" }", "secret = { command = [\"cat\", \"main.secret\"] }");
    assert_ne!(command, settings);
    std::fs::write(provider.setup.settings_path(), command).expect("written");
    let output =
        provider.setup.muster(&["app", "rotate-secret", "main", "--tenant", &provider.tenant.id]).await;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("Muster cannot write"), "{}", said(&output));
    let output =
        provider.setup.muster(&["app", "rotate-certificate", "main", "--tenant", &provider.tenant.id]).await;
    assert!(said(&output).contains("use rotate-secret"), "{}", said(&output));
}

/// Where it lies in a Key Vault, a new version is set there; a Muster that runs has the old one until it reads the vault
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_a_key_vault_gets_a_new_version() {
    let provider = Provider::start().await;
    provider.grant_own_registration();
    let tenant = provider.tenant.id.clone();
    let emulator = &provider.setup.emulator;
    emulator.set_vault_secret("mssp", "main", emulator.secret());
    let opener = muster_emulator::AppRegistration {
        name: "Vault opener".to_owned(),
        secret: Some("opens-the-vault-0123456789".to_owned()),
        ..muster_emulator::AppRegistration::default()
    };
    let opener = emulator.register_app(opener).expect("registered");
    std::fs::write(provider.setup.path().join("opener.secret"), "opens-the-vault-0123456789")
        .expect("written");
    let settings = std::fs::read_to_string(provider.setup.settings_path()).expect("settings");
    let vault =
        format!("secret = {{ key_vault = \"http://{}/vault/mssp/secrets/main\" }}", provider.gate.address);
    let settings = settings.replace("secret = { file = \"main.secret\" }", &vault)
        + &format!(
            "\n[apps.opener]\nclient_id = \"{opener}\"\nsecret = {{ file = \"opener.secret\" }}\n\n[key_vault]\napp = \"opener\"\ntenant = \"{tenant}\"\n"
        );
    std::fs::write(provider.setup.settings_path(), settings).expect("written");
    let more = ["--tenant", tenant.as_str()];
    let rotate = [&["app", "rotate-secret", "main"], &more[..]].concat();
    provider.killed_at(&rotate, "PUT", 1, When::BeforeItsAnswer).await;
    let rotated = provider.json(&rotate).await;
    assert_eq!((&rotated["resumed"], &rotated["replaced"]), (&Value::Bool(true), &Value::Bool(true)));
    assert!(rotated["still_valid"].is_string(), "{rotated}");
    assert!(rotated["notes"].to_string().contains("SIGHUP"), "{rotated}");
    assert_eq!(provider.credentials("main", &more).await.0, 2);
    // A running Muster may still use the one before.
    let refused = provider.setup.muster(&rotate).await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("SIGHUP") && said(&refused).contains("--finish"), "{}", said(&refused));
    assert_eq!(provider.credentials("main", &more).await.0, 2);
    provider.json(&[&rotate[..], &["--finish"]].concat()).await;
    assert_eq!(provider.credentials("main", &more).await.0, 1);
    assert!(provider.setup.muster(&["fetch", "--all"]).await.status.success());
}

/// A running Muster takes up the new credential by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_muster_takes_up_the_new_credential() {
    let provider = Provider::start().await;
    provider.grant_own_registration();
    let running = provider.setup.run();
    eventually("everything arrives", async || provider.setup.lost() == 0).await;
    let tenant = provider.tenant.id.clone();
    provider.json(&["app", "rotate-secret", "main", "--tenant", &tenant]).await;
    let customer = &provider.setup.emulator.tenants()[0].id;
    provider.setup.emulator.add_alerts(customer, 3, None).expect("new alerts");
    eventually("new alerts arrive", async || provider.setup.lost() == 0).await;
    drop(running);
    provider.setup.assert_all_arrived_once();
}
