//! Every road to a token: each kind of credential and each flow, over both generations of endpoints, to alerts in hand.

use std::process::Stdio;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_emulator::{AppRegistration, Config, DirectoryChange};
use muster_http::ClientOptions;
use muster_microsoft::entra::credential::{App, Credential};
use muster_microsoft::{Cloud, Microsoft, MicrosoftOptions};
use muster_model::{Clock, ManualClock, Secret, SystemClock, TenantId};
use muster_store::{TenantChange, TenantKey};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;

use crate::support::{Setup, config};

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// What all apps here may read.
fn registration(name: &str) -> AppRegistration {
    let own = |names: [&str; 2]| names.map(|name| format!("https://graph.microsoft.com/{name}")).to_vec();
    AppRegistration {
        name: name.to_owned(),
        multitenant: true,
        roles: own(["SecurityAlert.Read.All", "SecurityIncident.Read.All"]),
        scopes: own(["SecurityAlert.Read.All", "SecurityIncident.Read.All"]),
        ..AppRegistration::default()
    }
}

/// Runs openssl, which nobody here wrote, to make keys and certificates.
fn openssl(setup: &Setup, arguments: &[&str]) {
    let output = std::process::Command::new("openssl").args(arguments).current_dir(setup.path()).output();
    let output = output.expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
}

/// A certificate and its key: `NAME.pem` has both, `NAME.crt` and `NAME.key` one each, `NAME.pfx` is PKCS#12 with the
/// password `parrot`.
pub(crate) fn certificate(setup: &Setup, name: &str) -> String {
    let (key, cert, pfx) = (format!("{name}.key"), format!("{name}.crt"), format!("{name}.pfx"));
    let subject = format!("/CN={name}");
    openssl(
        setup,
        &[
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "200", "-subj", &subject, "-keyout",
            &key, "-out", &cert,
        ],
    );
    openssl(
        setup,
        &["pkcs12", "-export", "-inkey", &key, "-in", &cert, "-out", &pfx, "-passout", "pass:parrot"],
    );
    let read = |file: &str| std::fs::read_to_string(setup.path().join(file)).expect("it was made");
    let (key, cert) = (read(&key), read(&cert));
    std::fs::write(setup.path().join(format!("{name}.pem")), format!("{key}{cert}")).expect("written");
    cert
}

/// Makes a tenant be read by another app of the settings, and fetches its alerts with the real program.
async fn fetch(setup: &Setup, tenant: &str, app: &str) -> Result<usize, String> {
    let store = setup.store().await;
    let found = store.tenant(TenantKey::Name(tenant)).await.expect("a tenant");
    store.change_tenant(found.id, TenantChange::App(app.to_owned()), "test", now()).await.expect("changed");
    store.close().await;
    let output = setup.muster(&["fetch", "--tenant", tenant, "--since", "30d", "--format", "raw"]).await;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    Ok(text.lines().count())
}

/// Each kind of credential with which an app reads by itself fetches alerts, over the v1 and the v2 endpoints.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_credential_of_an_app_fetches_alerts_over_v1_and_v2() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(25), ..config() }, "").await;
    let base = setup.emulator.base_url();
    let tenant = setup.emulator.tenants()[0].clone();
    let pem = certificate(&setup, "mssp");
    let register = |registration: AppRegistration| {
        let id = setup.emulator.register_app(registration).expect("an app");
        let consent = DirectoryChange::Consent { tenant: tenant.id.clone(), app: Some(id.clone()) };
        setup.emulator.change(consent).expect("consented");
        id
    };
    let with_secret =
        register(AppRegistration { secret: Some("hunter2-hunter2".to_owned()), ..registration("secret") });
    let with_certificate =
        register(AppRegistration { certificate: Some(pem), ..registration("certificate") });
    let federated = register(registration("federated"));
    // The machine's identity, and a token of it in a file as Kubernetes would put it there, stand for the app.
    let (identity, _, _) = setup.emulator.managed_identities()[0].clone();
    let provider = setup.emulator.provider();
    let token = crate::support::get(
        &format!(
            "{base}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api://AzureADTokenExchange"
        ),
        &[("Metadata", "true")],
    )
    .await;
    let answer: Value = serde_json::from_str(&token).expect("JSON");
    let token = answer["access_token"].as_str().expect("a token").to_owned();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("a payload")).expect("Base64");
    let claims: Value = serde_json::from_slice(&claims).expect("claims");
    let claim = |name: &str| claims[name].as_str().expect("a claim").to_owned();
    setup
        .emulator
        .change(DirectoryChange::AddFederatedCredential {
            app: Some(federated.clone()),
            issuer: claim("iss"),
            subject: claim("sub"),
            audience: None,
        })
        .expect("trusted");
    std::fs::write(setup.path().join("federated.token"), token).expect("written");
    // The machine's own identity reads the tenant it lives in.
    for role in ["SecurityAlert.Read.All", "SecurityIncident.Read.All"] {
        setup
            .emulator
            .change(DirectoryChange::GrantRole {
                tenant: provider.id.clone(),
                app: Some(identity.clone()),
                role: format!("https://graph.microsoft.com/{role}"),
            })
            .expect("granted");
    }
    std::fs::write(setup.path().join("app.secret"), "hunter2-hunter2").expect("written");
    std::fs::write(setup.path().join("pfx.password"), "parrot").expect("written");

    let imds = format!("managed_identity_endpoint = \"{base}/metadata/identity/oauth2/token\"\n");
    let mut settings = String::new();
    let mut apps = Vec::new();
    let mut add = |name: &str, id: &str, rest: &str| {
        for endpoint in ["v1", "v2"] {
            let name = format!("{name}_{endpoint}");
            settings.push_str(&format!(
                "[apps.{name}]\nclient_id = \"{id}\"\nendpoint = \"{endpoint}\"\n{rest}\n"
            ));
            apps.push(name);
        }
    };
    add("secret", &with_secret, "secret = { file = \"app.secret\" }\n");
    add("pem", &with_certificate, "certificate = { file = \"mssp.pem\" }\n");
    add("pem_ps256", &with_certificate, "certificate = { file = \"mssp.pem\" }\nassertion = \"ps256\"\n");
    add("pem_rs256", &with_certificate, "certificate = { file = \"mssp.pem\" }\nassertion = \"rs256\"\n");
    add(
        "two_files",
        &with_certificate,
        "certificate = { file = \"mssp.crt\" }\ncertificate_key = { file = \"mssp.key\" }\n",
    );
    add(
        "pkcs12",
        &with_certificate,
        "certificate = { file = \"mssp.pfx\" }\ncertificate_password = { file = \"pfx.password\" }\n",
    );
    add("federated_file", &federated, "federated_token = { file = \"federated.token\" }\n");
    add(
        "federated_identity",
        &federated,
        &format!("federated_token = {{ managed_identity = true }}\n{imds}"),
    );
    settings
        .push_str(&format!("[apps.machine]\nclient_id = \"{identity}\"\nmanaged_identity = true\n{imds}\n"));
    setup.write_settings(&settings);
    let valid = setup.muster(&["validate"]).await;
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stdout));

    for app in &apps {
        let fetched = fetch(&setup, &tenant.id, app).await;
        assert_eq!(fetched, Ok(25), "{app}");
        let verified = setup.muster(&["token", "verify", "--tenant", &tenant.id, "--app", app]).await;
        assert!(verified.status.success(), "{app}: {}", String::from_utf8_lossy(&verified.stdout));
    }
    let added = setup.muster(&["tenant", "add", &provider.id, "--slug", "own", "--app", "machine"]).await;
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let alerts = setup.emulator.add_alerts(&provider.id, 3, None);
    assert!(alerts.is_ok(), "{alerts:?}");
    assert_eq!(fetch(&setup, "own", "machine").await, Ok(3));
}

/// The lines that a command writes to standard error, until one that holds `wanted`; that line.
pub(crate) async fn line_with(child: &mut Child, wanted: &str) -> String {
    let stderr = child.stderr.as_mut().expect("piped");
    let mut lines = BufReader::with_capacity(1, stderr).lines();
    while let Some(line) = lines.next_line().await.expect("text") {
        if line.contains(wanted) {
            return line;
        }
    }
    panic!("no line with `{wanted}`");
}

struct Delegated {
    setup: Setup,
    id: String,
    domain: String,
}

/// A tenant whose people sign in to a confidential and a public app, over v1 and v2.
async fn delegated() -> Delegated {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(20), ..config() }, "").await;
    let connector = "https://mssp.example/SiemMsspConnector";
    let register = |registration: AppRegistration| setup.emulator.register_app(registration).expect("an app");
    let confidential = register(AppRegistration {
        secret: Some("hunter2-hunter2".to_owned()),
        redirect_uris: vec![connector.to_owned()],
        public_redirect_uris: vec!["http://localhost".to_owned()],
        ..registration("connector")
    });
    let public = register(AppRegistration {
        public_redirect_uris: vec!["http://localhost".to_owned()],
        public_client: true,
        ..registration("desk")
    });
    std::fs::write(setup.path().join("app.secret"), "hunter2-hunter2").expect("written");
    let mut settings = String::new();
    for endpoint in ["v1", "v2"] {
        settings.push_str(&format!(
            "[apps.connector_{endpoint}]\nclient_id = \"{confidential}\"\nsecret = {{ file = \"app.secret\" }}\naccess = \"delegated\"\nendpoint = \"{endpoint}\"\nredirect_uri = \"{connector}\"\n\n\
             [apps.desk_{endpoint}]\nclient_id = \"{public}\"\npublic = true\naccess = \"delegated\"\nendpoint = \"{endpoint}\"\n\n"
        ));
    }
    setup.write_settings(&settings);
    let tenant = setup.emulator.tenants()[0].clone();
    Delegated { setup, id: tenant.id, domain: tenant.domain }
}

impl Delegated {
    fn admin(&self) -> String {
        format!("admin@{}", self.domain)
    }

    /// Starts `muster token acquire`.
    fn acquire(&self, app: &str, more: &[&str]) -> Child {
        let start = ["--output", "json", "token", "acquire", "--tenant", &self.id, "--app", app];
        let mut command = self.setup.command(&[&start[..], more].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("muster starts")
    }

    /// The address to sign in at, which the command shows, and where a person who signs in there ends.
    async fn signed_in(&self, child: &mut Child) -> String {
        let address = line_with(child, "/authorize?").await;
        self.setup.emulator.sign_in(address.trim(), &self.admin(), true).expect("signed in")
    }

    async fn ends_well(&self, child: Child, app: &str) {
        let output = child.wait_with_output().await.expect("it ends");
        assert!(output.status.success(), "{app}: {output:?}");
        let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(result["kept"], true);
        assert_eq!(result.get("access_token"), None, "no token is printed");
        assert_eq!(result["account"], self.admin());
        assert_eq!(fetch(&self.setup, &self.id, app).await, Ok(20), "{app}");
        // Again, with the refresh token that came at the first use.
        assert_eq!(fetch(&self.setup, &self.id, app).await, Ok(20), "{app}");
    }
}

/// A person signs in and the redirect is pasted, or caught on this machine, or a code is typed on another device; then
/// alerts are fetched in their name, over v1 and v2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_of_a_persons_sign_in_fetches_alerts_over_v1_and_v2() {
    let desk = delegated().await;
    for app in ["connector_v1", "connector_v2"] {
        let mut child = desk.acquire(app, &["--flow", "paste"]);
        let ended_at = desk.signed_in(&mut child).await;
        assert!(ended_at.starts_with("https://mssp.example/SiemMsspConnector?"), "{ended_at}");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(format!("{ended_at}\n").as_bytes()).await.expect("pasted");
        drop(stdin);
        desk.ends_well(child, app).await;
    }
    for app in ["desk_v1", "desk_v2"] {
        let mut child = desk.acquire(app, &["--flow", "browser", "--no-open"]);
        let ended_at = desk.signed_in(&mut child).await;
        assert!(ended_at.starts_with("http://localhost:"), "{ended_at}");
        // Somebody else's answer comes first, and does no harm.
        let port = url::Url::parse(&ended_at).expect("an address").port().expect("a port");
        crate::support::get(&format!("http://localhost:{port}/?code=forged&state=forged.forged"), &[]).await;
        crate::support::get(&ended_at, &[]).await;
        desk.ends_well(child, app).await;
    }
    for app in ["desk_v1", "desk_v2"] {
        let mut child = desk.acquire(app, &["--flow", "device"]);
        let line = line_with(&mut child, "enter the code").await;
        let code =
            line.split("enter the code ").nth(1).and_then(|rest| rest.split('.').next()).expect("a code");
        let page = format!("{}/devicelogin?otc={code}", desk.setup.emulator.base_url());
        // The walk ends on a page that says so, and not with a redirect.
        desk.setup.emulator.sign_in(&page, &desk.admin(), true).ok();
        desk.ends_well(child, app).await;
    }
}

/// What must not lead to a grant does not, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_swapped_and_declined_answers_keep_nothing() {
    let desk = delegated().await;
    let paste = async |address: String| {
        let mut child = desk.acquire("connector_v2", &["--flow", "paste"]);
        let shown = line_with(&mut child, "/authorize?").await;
        let mut stdin = child.stdin.take().expect("piped");
        let address = match address.as_str() {
            "declined" => desk.setup.emulator.sign_in(shown.trim(), &desk.admin(), false).expect("an answer"),
            "both" => format!(
                "{}&error=access_denied",
                desk.setup.emulator.sign_in(shown.trim(), &desk.admin(), true).expect("an answer")
            ),
            "swapped" => {
                let real = desk.setup.emulator.sign_in(shown.trim(), &desk.admin(), true).expect("an answer");
                let mut url = url::Url::parse(&real).expect("an address");
                let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
                url.query_pairs_mut().clear().extend_pairs(pairs.iter().map(|(name, value)| {
                    (name.as_str(), if name == "code" { "0.forged-code" } else { value.as_str() })
                }));
                url.into()
            }
            other => other.to_owned(),
        };
        stdin.write_all(format!("{address}\n").as_bytes()).await.expect("pasted");
        drop(stdin);
        let output = child.wait_with_output().await.expect("it ends");
        assert!(!output.status.success(), "{address}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (answer, words) in [
        ("declined", "AADSTS65004"),
        ("both", "refused"),
        ("swapped", "AADSTS9002313"),
        (
            "https://mssp.example/SiemMsspConnector?code=x&state=00000000000000000000000000000000.AAAA",
            "not known",
        ),
        ("https://mssp.example/SiemMsspConnector?code=x", "not known"),
        ("nonsense", "neither a code nor an error"),
    ] {
        let error = paste(answer.to_owned()).await;
        assert!(error.contains(words), "{answer}: {error}");
    }
    let listed = desk.setup.muster(&["--output", "json", "token", "list"]).await;
    assert_eq!(serde_json::from_slice::<Value>(&listed.stdout).expect("JSON"), json!([]));
}

/// A grant that is revoked mid-run makes the tenant failing, with what to do, and a new sign-in heals it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_grant_is_told_and_healed_by_signing_in_again() {
    let desk = delegated().await;
    let sign_in = async || {
        let mut child = desk.acquire("connector_v2", &["--flow", "paste"]);
        let ended_at = desk.signed_in(&mut child).await;
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(format!("{ended_at}\n").as_bytes()).await.expect("pasted");
        drop(stdin);
        desk.ends_well(child, "connector_v2").await;
    };
    sign_in().await;
    let revoke = DirectoryChange::RevokeSessions { account: desk.admin() };
    desk.setup.emulator.change(revoke).expect("revoked");
    let error = fetch(&desk.setup, &desk.id, "connector_v2").await.expect_err("revoked");
    assert!(error.contains("AADSTS50173") && error.contains("sign in again"), "{error}");
    let again = fetch(&desk.setup, &desk.id, "connector_v2").await.expect_err("still revoked");
    assert!(again.contains("token acquire"), "{again}");
    let listed = desk.setup.muster(&["--output", "json", "token", "list"]).await;
    let grants: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert!(grants[0]["revoked_at"].is_string(), "{grants}");
    sign_in().await;
    let forgotten = desk.setup.muster(&["token", "forget", "--tenant", &desk.id]).await;
    assert!(forgotten.status.success(), "{forgotten:?}");
    assert!(fetch(&desk.setup, &desk.id, "connector_v2").await.is_err());
}

/// Tokens are not printed unless asked for; then it is told what that means, and stands in the audit log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_printed_only_when_asked_for_inspected_and_verified() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(4), ..config() }, "").await;
    let tenants = setup.emulator.tenants();
    let (one, other) = (&tenants[0].id, &tenants[1].id);
    let quiet = setup.muster(&["token", "acquire", "--tenant", one]).await;
    assert!(quiet.status.success(), "{quiet:?}");
    assert!(!String::from_utf8_lossy(&quiet.stdout).contains("eyJ"), "no token");
    let printed = setup.muster(&["token", "acquire", "--tenant", one, "--print"]).await;
    let token = String::from_utf8(printed.stdout).expect("text").trim().to_owned();
    assert!(token.starts_with("eyJ"), "{token}");
    assert!(String::from_utf8_lossy(&printed.stderr).contains("cannot be called back"));
    std::fs::write(setup.path().join("token.txt"), &token).expect("written");

    let inspected = setup.muster(&["--output", "json", "token", "inspect", "@token.txt"]).await;
    let inspection: Value = serde_json::from_slice(&inspected.stdout).expect("JSON");
    let permissions = inspection["permissions"].as_array().expect("a list");
    assert!(
        permissions.iter().any(|permission| permission["name"] == "SecurityAlert.Read.All"),
        "{inspection}"
    );
    let inspected = setup.muster(&["token", "inspect", "@token.txt"]).await;
    assert!(String::from_utf8_lossy(&inspected.stdout).contains("Nothing was verified"));

    let verify = async |tenant: &str, text: &str| {
        std::fs::write(setup.path().join("try.txt"), text).expect("written");
        setup.muster(&["token", "verify", "--tenant", tenant, "@try.txt"]).await
    };
    assert!(verify(one, &token).await.status.success());
    let elsewhere = verify(other, &token).await;
    assert_eq!(elsewhere.status.code(), Some(1), "{elsewhere:?}");
    // With another signature, without any, and with a claim changed.
    let parts: Vec<&str> = token.split('.').collect();
    let mut forged = parts[2].to_owned();
    forged.replace_range(20..21, if &forged[20..21] == "A" { "B" } else { "A" });
    for bad in [
        format!("{}.{}.{forged}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]),
        format!("{}.e30.{}", parts[0], parts[2]),
        "nonsense".to_owned(),
    ] {
        let output = verify(one, &bad).await;
        assert_eq!(output.status.code(), Some(1), "{bad}: {output:?}");
    }
    let audit = setup.muster(&["--output", "json", "audit", "list"]).await;
    let events: Value = serde_json::from_slice(&audit.stdout).expect("JSON");
    let actions: Vec<&str> =
        events.as_array().expect("a list").iter().filter_map(|event| event["action"].as_str()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "token.printed").count(), 1, "{actions:?}");
    assert!(setup.muster(&["audit", "verify"]).await.status.success());
}

/// A role that is taken away, a consent that is lost, an app that is disabled, a secret that expires: each is told by its
/// name in `status`, apart from throttling and from an API that is down, and is healed by itself when it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_lose_access_is_told_by_its_name_and_healed() {
    use muster_emulator::{Area, Fault, FaultKind};
    use muster_microsoft::SourceWord;
    let setup = Setup::start(Config { tenants: 1, alerts: Some(4), ..config() }, "").await;
    let tenant = setup.emulator.tenants()[0].clone();
    let bench = crate::support::Bench::new(&setup).await;
    bench.rounds(1).await;
    let change = |change: DirectoryChange| setup.emulator.change(change).expect("changed");
    let of = || Some(tenant.id.clone());
    let expected = muster::shown::status::Expected::of(&setup.settings());
    let standing = async || {
        bench.pass(3_700);
        bench.collect().await;
        let snapshot =
            muster::shown::status::Snapshot::take(bench.store.as_ref(), &expected, bench.clock.now());
        let tenant = snapshot.await.expect("a picture").tenants[0].clone();
        let codes: Vec<String> = tenant.checks.iter().map(|check| check.code.clone()).collect();
        let states: Vec<SourceWord> = tenant.sources.iter().map(|source| source.state).collect();
        (tenant.standing.as_str(), states, codes)
    };
    let well = |states: &[SourceWord]| {
        states.iter().all(|state| matches!(state, SourceWord::Reading | SourceWord::Quiet))
    };
    let role = || "https://graph.microsoft.com/SecurityAlert.Read.All".to_owned();
    // The code of the check, the states of alerts and incidents, what breaks it and what heals it.
    type Case<'a> = (&'a str, [SourceWord; 2], Vec<DirectoryChange>, Vec<DirectoryChange>);
    let lost = SourceWord::ConsentLost;
    let cases: Vec<Case<'_>> = vec![
        (
            "missing_role",
            [lost, SourceWord::Reading],
            vec![DirectoryChange::RemoveRole { tenant: tenant.id.clone(), app: None, role: role() }],
            vec![DirectoryChange::GrantRole { tenant: tenant.id.clone(), app: None, role: role() }],
        ),
        (
            "app_unknown",
            [lost; 2],
            vec![DirectoryChange::RemoveConsent { tenant: tenant.id.clone(), app: None }],
            vec![DirectoryChange::Consent { tenant: tenant.id.clone(), app: None }],
        ),
        (
            "app_disabled",
            [lost; 2],
            vec![DirectoryChange::EnableApp { app: None, tenant: of(), enabled: false }],
            vec![DirectoryChange::EnableApp { app: None, tenant: of(), enabled: true }],
        ),
        (
            "secret_expired",
            [SourceWord::NoToken; 2],
            vec![DirectoryChange::ExpireSecrets { app: None }],
            vec![
                DirectoryChange::RemoveSecrets { app: None },
                DirectoryChange::AddSecret {
                    app: None,
                    secret: setup.emulator.secret().to_owned(),
                    expires: None,
                },
            ],
        ),
    ];
    for (code, states, breaks, heals) in cases {
        breaks.into_iter().for_each(&change);
        let (standing_now, found, codes) = standing().await;
        assert_eq!((standing_now, found.as_slice()), ("failing", &states[..]), "{code}: {codes:?}");
        assert!(codes.iter().any(|found| found == code), "{code}: {codes:?}");
        heals.into_iter().for_each(&change);
        let (standing_now, found, codes) = standing().await;
        assert!(standing_now == "active" && well(&found), "{code}: {found:?} {codes:?}");
    }
    // Both sources say so, whichever of them, or of their sweeps, is asked first and uses the budget that they share up.
    for (kind, state) in [
        (FaultKind::Throttle { retry_after_seconds: 60 }, SourceWord::Throttled),
        (FaultKind::Status { status: 503 }, SourceWord::ApiDown),
    ] {
        setup.emulator.add_fault(Fault::new(Area::Graph, kind)).expect("a fault");
        let (standing_now, found, codes) = standing().await;
        assert_eq!((standing_now, found.as_slice()), ("active", &[state; 2][..]), "{codes:?}");
        setup.emulator.clear_faults();
        let (_, found, codes) = standing().await;
        assert!(well(&found), "{state}: {found:?} {codes:?}");
    }
}

/// A thousand tenants' tokens through one app, wanted by many at once: one request for each, never two at a time, and none
/// until the token nears its end; then one again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tenants_tokens_are_asked_for_once_each() {
    const TENANTS: usize = 1_000;
    let emulator = muster_emulator::start(Config { tenants: 1_000, alerts: Some(0), ..Config::default() });
    let emulator = emulator.await.expect("the emulator starts");
    let base = emulator.base_url();
    let cloud = Cloud::custom(&base, &base, None).expect("addresses");
    let clock = Arc::new(ManualClock::new(now()));
    let microsoft = Microsoft::new(MicrosoftOptions::new(cloud, ClientOptions::default()), clock.clone());
    let microsoft = Arc::new(microsoft.expect("the way to Microsoft"));
    let app = App::new("main", emulator.app_id(), Credential::Secret(Secret::from(emulator.secret())));
    let tenants: Vec<TenantId> =
        emulator.tenants().iter().map(|tenant| tenant.id.parse().expect("an id")).collect();
    assert_eq!(tenants.len(), TENANTS);
    let everybody_wants_one = async || {
        let mut wanting = tokio::task::JoinSet::new();
        for _ in 0..3 {
            for tenant in &tenants {
                let (microsoft, app, tenant) = (Arc::clone(&microsoft), app.clone(), *tenant);
                wanting.spawn(async move {
                    let resource = microsoft.cloud().graph_resource().to_owned();
                    microsoft.access_token(&app, tenant, &resource).await.map(|token| token.expires_at)
                });
            }
        }
        while let Some(token) = wanting.join_next().await {
            token.expect("no panic").expect("a token");
        }
    };
    let counted = || {
        let requests = emulator.token_requests();
        let most = requests.iter().map(|count| count.most_at_a_time).max();
        (requests.len(), requests.iter().map(|count| count.requests).sum::<u64>(), most)
    };
    everybody_wants_one().await;
    assert_eq!(counted(), (TENANTS, 1_000, Some(1)));
    clock.advance(std::time::Duration::from_secs(600));
    everybody_wants_one().await;
    assert_eq!(counted(), (TENANTS, 1_000, Some(1)), "the tokens in hand are used");
    clock.advance(std::time::Duration::from_secs(5_000));
    everybody_wants_one().await;
    assert_eq!(counted(), (TENANTS, 2_000, Some(1)), "renewed once");
    emulator.stop().await;
}

/// The settings' secrets lie in a Key Vault that the machine's identity opens; while it is down, and when it refuses, that
/// is said, and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_vault_holds_the_secrets_and_its_trouble_is_told() {
    use muster_emulator::{Area, Fault, FaultKind};
    let setup = Setup::start(Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    let base = setup.emulator.base_url();
    let (identity, _, _) = setup.emulator.managed_identities()[0].clone();
    let provider = setup.emulator.provider().id;
    setup.emulator.set_vault_secret("mssp", "main", setup.emulator.secret());
    setup.emulator.set_vault_secret("mssp", "hec", setup.emulator.hec_token());
    setup.write_settings(&format!(
        "[apps.vaulted]\nclient_id = \"{}\"\nsecret = {{ key_vault = \"{base}/vault/mssp/secrets/main\" }}\n\n\
         [apps.machine]\nclient_id = \"{identity}\"\nmanaged_identity = true\nmanaged_identity_endpoint = \"{base}/metadata/identity/oauth2/token\"\n\n\
         [key_vault]\napp = \"machine\"\ntenant = \"{provider}\"\n",
        setup.emulator.app_id()
    ));
    let settings = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let settings = settings.replace(
        "token = { file = \"splunk.token\" }",
        &format!("token = {{ key_vault = \"{base}/vault/mssp/secrets/hec\" }}"),
    );
    std::fs::write(setup.settings_path(), settings).expect("written");
    let valid = setup.muster(&["validate"]).await;
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stdout));
    let id = setup.emulator.tenants()[0].id.clone();
    assert_eq!(fetch(&setup, &id, "vaulted").await, Ok(5));
    assert!(
        setup.muster(&["sink", "test", "splunk"]).await.status.success(),
        "its token lies in the vault too"
    );

    let down = Fault::new(Area::KeyVault, FaultKind::Status { status: 503 });
    setup.emulator.add_fault(down).expect("a fault");
    let error = fetch(&setup, &id, "vaulted").await.expect_err("the vault is down");
    assert!(error.contains("Key Vault"), "{error}");
    setup.emulator.clear_faults();
    setup.emulator.allow_vault("mssp", &identity, false);
    let error = fetch(&setup, &id, "vaulted").await.expect_err("not allowed");
    assert!(error.contains("Key Vault Secrets User") || error.contains("access policy"), "{error}");
    setup.emulator.allow_vault("mssp", &identity, true);
    assert_eq!(fetch(&setup, &id, "vaulted").await, Ok(5));

    let _muster = setup.run();
    crate::support::eventually("`muster run` reads the vault too", async || setup.lost() == 0).await;
}

/// A reload that changes no app asks for no token again; one that does, does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_survive_a_reload() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(3), ..config() }, "").await;
    let running = setup.run();
    crate::support::eventually("everything arrives", async || setup.lost() == 0).await;
    let requests = || setup.emulator.token_requests().iter().map(|count| count.requests).sum::<u64>();
    let log = || std::fs::read_to_string(setup.path().join("muster.log")).unwrap_or_default();
    let settings = std::fs::read_to_string(setup.settings_path()).expect("settings");
    // The watch looks at each tenant once, with a token of its own.
    let store = setup.store().await;
    crate::support::eventually("every tenant was looked at", async || {
        let checks = store.checks(None).await.expect("the store answers");
        checks.iter().filter(|(_, check)| check.name == muster::access::checks::TOKEN).count() == 2
    })
    .await;
    store.close().await;
    let before = requests();
    let reload = async |settings: &str, times: usize| {
        std::fs::write(setup.settings_path(), settings).expect("written");
        crate::support::signal(&running, rustix::process::Signal::HUP);
        let again = async || log().matches("running with the new settings").count() == times;
        crate::support::eventually("it has reloaded", again).await;
        let tenant = &setup.emulator.tenants()[0].id;
        setup.emulator.add_alerts(tenant, 2, None).expect("new alerts");
        crate::support::eventually("new alerts arrive", async || setup.lost() == 0).await;
    };
    reload(&settings.replace("poll_interval = \"1s\"", "poll_interval = \"2s\""), 1).await;
    assert_eq!(requests(), before, "the tokens in hand are used");
    std::fs::write(setup.path().join("again.secret"), setup.emulator.secret()).expect("written");
    reload(&settings.replace("main.secret", "again.secret"), 2).await;
    assert!(requests() > before, "another app's settings, another token");
}

/// In App Service and Container Apps the machine's identity is found by the environment; nothing stands in the settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_identity_of_app_service_is_found_in_the_environment() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    let (identity, _, _) = setup.emulator.managed_identities()[0].clone();
    let provider = setup.emulator.provider();
    let role = "https://graph.microsoft.com/SecurityAlert.Read.All".to_owned();
    let grant = DirectoryChange::GrantRole { tenant: provider.id.clone(), app: Some(identity.clone()), role };
    setup.emulator.change(grant).expect("granted");
    setup.write_settings(&format!(
        "[apps.machine]\nclient_id = \"{identity}\"\nmanaged_identity = \"{identity}\"\n"
    ));
    let added = setup.muster(&["tenant", "add", &provider.id, "--slug", "own", "--app", "machine"]).await;
    assert!(added.status.success(), "{added:?}");
    let acquire = async |header: &str| {
        let mut command = setup.command(&["--output", "json", "token", "acquire", "--tenant", "own"]);
        command.env("IDENTITY_ENDPOINT", format!("{}/msi/token", setup.emulator.base_url()));
        command.env("IDENTITY_HEADER", header).output().await.expect("muster starts")
    };
    let acquired = acquire(setup.emulator.identity_header()).await;
    assert!(acquired.status.success(), "{}", String::from_utf8_lossy(&acquired.stderr));
    let acquired: Value = serde_json::from_slice(&acquired.stdout).expect("JSON");
    assert_eq!(acquired["allows"], json!(["SecurityAlert.Read.All"]));
    let refused = acquire("of-another-program").await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("X-IDENTITY-HEADER"), "{said}");
    assert!(!said.contains("of-another-program"), "{said}");
}

/// Keys roll over: a token signed with a key that was not published before is verified after one look, and one signed with
/// a key that is published no more is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_signing_key_is_found_and_a_withdrawn_one_is_not_trusted() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    let id = setup.emulator.tenants()[0].id.clone();
    let token = async || {
        let printed = setup.muster(&["token", "acquire", "--tenant", &id, "--print"]).await;
        String::from_utf8(printed.stdout).expect("text")
    };
    let verify = async |token: &str| {
        std::fs::write(setup.path().join("try.txt"), token).expect("written");
        let output = setup.muster(&["token", "verify", "--tenant", &id, "@try.txt"]).await;
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let before = token().await;
    assert!(verify(&before).await.0);
    setup.emulator.change(DirectoryChange::RollKeys).expect("rolled");
    let after = token().await;
    assert!(verify(&after).await.0 && verify(&before).await.0, "both keys are published");
    setup.emulator.change(DirectoryChange::DropOldKeys).expect("dropped");
    assert!(verify(&after).await.0);
    let (good, told) = verify(&before).await;
    assert!(!good && told.contains("key"), "{told}");
}

/// An API that asks for a token with certain claims gets one, and collecting goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claims_challenge_is_answered() {
    use muster_emulator::{Area, Fault, FaultKind};
    let setup = Setup::start(Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    let bench = crate::support::Bench::new(&setup).await;
    bench.rounds(1).await;
    let challenge = Fault::new(Area::GraphAlerts, FaultKind::ClaimsChallenge { claims: None });
    setup.emulator.add_fault(challenge).expect("a fault");
    setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 3, None).expect("new alerts");
    bench.rounds(2).await;
    assert_eq!(bench.errors().await, Vec::<String>::new());
    assert_eq!(setup.lost(), 0);
}

/// Four minutes of difference between the clocks are borne; a token from the future, or one long ended, is not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_is_told_by_verify() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    let id = setup.emulator.tenants()[0].id.parse().expect("an id");
    let printed =
        setup.muster(&["token", "acquire", "--tenant", &setup.emulator.tenants()[0].id, "--print"]).await;
    let token = String::from_utf8(printed.stdout).expect("text").trim().to_owned();
    let base = setup.emulator.base_url();
    for (shift, good) in [(0, true), (240, true), (-240, true), (90_000, false), (-90_000, false)] {
        let time = now().checked_add(jiff::SignedDuration::from_secs(shift)).expect("a time");
        let options = MicrosoftOptions::new(
            Cloud::custom(&base, &base, None).expect("addresses"),
            ClientOptions::default(),
        );
        let microsoft =
            Microsoft::new(options, Arc::new(ManualClock::new(time))).expect("the way to Microsoft");
        let expected = muster_microsoft::entra::verify::Expected {
            tenant: Some(id),
            resource: Some(microsoft.cloud().graph_resource().to_owned()),
            client_id: None,
            access: muster_microsoft::entra::credential::Access::Application,
            sources: vec![],
            issuer: muster_microsoft::entra::credential::Endpoint::V2,
        };
        let verification = microsoft.verify_token(&token, &expected).await;
        assert_eq!(verification.passed(), good, "{shift}: {verification:?}");
    }
}
