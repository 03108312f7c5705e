//! `muster tenant check`: for each source the permission, the token, the call and what to do, before anything is read.

use muster_emulator::{AppRegistration, Area, Config, DirectoryChange, Fault, FaultKind};
use serde_json::Value;

use crate::support::{Setup, config};

const ALERTS: &str = "Microsoft Graph/SecurityAlert.Read.All";
const INCIDENTS: &str = "Microsoft Graph/SecurityIncident.Read.All";

fn role(name: &str) -> String {
    format!("https://graph.microsoft.com/{name}")
}

/// What `tenant check` says: its exit code, and each tenant's answer.
async fn check(setup: &Setup, arguments: &[&str]) -> (i32, Vec<Value>) {
    let output = setup.muster(&[&["--output", "json", "tenant", "check"], arguments].concat()).await;
    let answer = serde_json::from_slice(&output.stdout);
    let answer = answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("a code"), answer)
}

/// One line of an answer, as permission, granted, works and code.
fn line<'a>(answer: &'a Value, permission: &str) -> (&'a Value, &'a Value, &'a str) {
    let findings = answer["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["permission"] == permission);
    let found = found.unwrap_or_else(|| panic!("no {permission} in {answer}"));
    (&found["granted"], &found["works"], found["code"].as_str().expect("a code"))
}

fn names(answer: &Value, list: &str) -> Vec<String> {
    let names = answer["least_privilege"][list].as_array().expect("a list").iter();
    names.map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_source_is_told_with_its_permission_the_token_and_the_call() {
    const YES: Value = Value::Bool(true);
    const NO: Value = Value::Bool(false);
    let setup = Setup::start(Config { tenants: 2, alerts: Some(3), ..config() }, "").await;
    let [tenant, other] = [0, 1].map(|at| setup.emulator.tenants()[at].id.clone());
    let change = |change| setup.emulator.change(change).expect("changed");
    let (code, all) = check(&setup, &["--all"]).await;
    assert_eq!((code, all.len()), (0, 2));
    for answer in &all {
        assert_eq!(line(answer, ALERTS), (&YES, &YES, "ok"));
        assert_eq!(line(answer, INCIDENTS), (&YES, &YES, "ok"));
        assert_eq!(names(answer, "needed"), [ALERTS, INCIDENTS]);
        assert_eq!(names(answer, "missing"), [""; 0]);
        assert!(!names(answer, "beyond").contains(&ALERTS.to_owned()));
    }
    // One permission is withdrawn, a wider one stands in for another.
    for name in ["SecurityAlert.Read.All", "SecurityIncident.Read.All"] {
        change(DirectoryChange::RemoveRole { tenant: tenant.clone(), app: None, role: role(name) });
    }
    let wider = role("SecurityAlert.ReadWrite.All");
    change(DirectoryChange::GrantRole { tenant: tenant.clone(), app: None, role: wider });
    let (code, all) = check(&setup, &["--all"]).await;
    assert_eq!(code, 6, "one of two is well");
    let answer = all.iter().find(|answer| answer["tenant"] == tenant).expect("the tenant");
    assert_eq!(line(answer, ALERTS), (&YES, &YES, "ok"), "a wider one will do");
    let (granted, works, code) = line(answer, INCIDENTS);
    assert_eq!((granted, works, code), (&NO, &NO, "missing_role"), "{answer}");
    assert_eq!(names(answer, "missing"), [INCIDENTS]);
    assert!(names(answer, "beyond").contains(&"Microsoft Graph/SecurityAlert.ReadWrite.All".to_owned()));
    let remedies = answer["findings"].to_string();
    assert!(
        remedies.contains("muster tenant invite") && remedies.contains("muster app check main"),
        "{remedies}"
    );
    // What was found is what `status` goes by.
    let shown = setup.muster(&["tenant", "show", &tenant]).await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("missing_role"), "{shown:?}");
    // For people.
    let text = setup.muster(&["tenant", "check", "--all"]).await;
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(text.contains("everything works") && text.contains("1 of 2 can be read in full"), "{text}");
    assert!(text.contains("not needed"), "{text}");
    // Nothing is consented to at all.
    change(DirectoryChange::RemoveConsent { tenant: other.clone(), app: None });
    let (code, all) = check(&setup, &[&other]).await;
    assert_eq!((code, line(&all[0], ALERTS)), (1, (&Value::Null, &Value::Null, "app_unknown")));
}

/// A refusal means what it is: with the permission in the token it is no lost consent, and what is not the API's own is asked
/// about again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_for_what_it_is() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(3), ..config() }, "").await;
    let tenant = setup.emulator.tenants()[0].id.clone();
    let error = |status, code: &str, message: &str| FaultKind::Error {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let cases = [
        (
            error(403, "Forbidden", "The tenant is not onboarded."),
            None,
            "no_licence",
            "not set up for this product",
        ),
        (error(500, "HostNotFound", "No such host"), None, "no_licence", "licence"),
        (error(404, "TenantDeploymentNotFound", "no deployment"), None, "no_licence", "licence"),
        (error(401, "Unauthorized", "not known"), None, "other", "does not know the app in this tenant yet"),
        (error(403, "UnknownError", "<html>Service unavailable</html>"), None, "api_down", "not the API's"),
        // Once only, it was in passing.
        (error(403, "UnknownError", "<html>Service unavailable</html>"), Some(1), "ok", "it can be read"),
    ];
    for (kind, count, code, said) in cases {
        let told = format!("{kind:?}");
        setup.emulator.add_fault(Fault { count, ..Fault::new(Area::GraphAlerts, kind) }).expect("a fault");
        let (exit, all) = check(&setup, &[&tenant]).await;
        let found = line(&all[0], ALERTS);
        assert_eq!((found.0, found.2), (&Value::Bool(true), code), "{told}: {}", all[0]);
        assert!(all[0].to_string().contains(said), "{told}: {}", all[0]);
        assert_eq!(exit, i32::from(code != "ok"), "{told}");
        assert_eq!(line(&all[0], INCIDENTS).2, "ok", "{told}: the other source goes on");
        setup.emulator.clear_faults();
    }
}

/// The partner's road: an app with permissions of Microsoft Threat Protection alone, and one that is wanted besides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_of_another_api_is_checked_with_that_api_s_token() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(3), ..config() }, "").await;
    let tenant = setup.emulator.tenants()[0].clone();
    let xdr = |name: &str| format!("https://api.security.microsoft.com/{name}");
    let registration = AppRegistration {
        name: "Partner".to_owned(),
        multitenant: true,
        secret: Some("partners-secret-0123456789".to_owned()),
        roles: vec![xdr("Incident.Read.All")],
        ..AppRegistration::default()
    };
    let app = setup.emulator.register_app(registration).expect("registered");
    std::fs::write(setup.path().join("partner.secret"), "partners-secret-0123456789").expect("written");
    setup.write_settings(&format!(
        "[apps.partner]\nclient_id = \"{app}\"\nsecret = {{ file = \"partner.secret\" }}\npermissions = [\"WindowsDefenderATP/Machine.Isolate\"]\n"
    ));
    let consent = DirectoryChange::Consent { tenant: tenant.id.clone(), app: Some(app.clone()) };
    setup.emulator.change(consent).expect("consented");
    let removed = setup.muster(&["tenant", "remove", &tenant.id, "--yes"]).await;
    assert!(removed.status.success(), "{removed:?}");
    let added = ["tenant", "add", &tenant.id, "--app", "partner", "--source", "xdr_incidents"];
    assert!(setup.muster(&added).await.status.success());
    let (code, all) = check(&setup, &[&tenant.id]).await;
    let incidents = "Microsoft Threat Protection/Incident.Read.All";
    assert_eq!(line(&all[0], incidents), (&Value::Bool(true), &Value::Bool(true), "ok"), "{}", all[0]);
    let isolate = "WindowsDefenderATP/Machine.Isolate";
    let (granted, works, found) = line(&all[0], isolate);
    assert_eq!((granted, works, found), (&Value::Bool(false), &Value::Null, "lost_consent"), "{}", all[0]);
    assert_eq!((code, names(&all[0], "missing")), (1, vec![isolate.to_owned()]));
    let role = format!("https://api.securitycenter.microsoft.com/{}", "Machine.Isolate");
    let grant = DirectoryChange::GrantRole { tenant: tenant.id.clone(), app: Some(app), role };
    setup.emulator.change(grant).expect("granted");
    let (code, all) = check(&setup, &[&tenant.id]).await;
    assert_eq!((code, names(&all[0], "needed")), (0, vec![incidents.to_owned(), isolate.to_owned()]));
    // The token of the partner's page is validated as what it is.
    let verify =
        ["token", "verify", "--tenant", &tenant.id, "--resource", "https://api.security.microsoft.com"];
    let verified = setup.muster(&verify).await;
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let fetched =
        setup.muster(&["fetch", "--tenant", &tenant.id, "--source", "xdr_incidents", "--since", "30d"]).await;
    assert!(fetched.status.success() && !fetched.stdout.is_empty(), "{fetched:?}");
}

/// An invitation of a tenant that is there applies what is named, and refuses what it cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_of_a_known_tenant_applies_what_it_names() {
    let pages = "[onboarding]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://localhost:8480\"\nprovider_name = \"Northwind\"\ncontact = \"soc@northwind.example\"\n\n\
                 [apps.second]\nclient_id = \"11111111-2222-4333-8444-666666666666\"\nsecret = { file = \"main.secret\" }\n";
    let setup = Setup::start(Config { tenants: 1, alerts: Some(0), ..config() }, "").await;
    setup.write_settings(pages);
    let tenant = setup.emulator.tenants()[0].clone();
    let invite = async |more: &[&str]| {
        let output =
            setup.muster(&[&["--output", "json", "tenant", "invite", &tenant.id], more].concat()).await;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), answer["tenant"].clone(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, as_before, _) = invite(&[]).await;
    assert_eq!((code, as_before["app"].as_str()), (Some(0), Some("main")));
    let (code, changed, said) =
        invite(&["--app", "second", "--name", "Contoso GmbH", "--source", "xdr_incidents"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((changed["app"].as_str(), changed["name"].as_str()), (Some("second"), Some("Contoso GmbH")));
    assert_eq!(changed["sources"], serde_json::json!(["xdr_incidents"]));
    assert_eq!(changed["state"], as_before["state"], "it goes on being read");
    let (code, _, said) = invite(&["--app", "nobody"]).await;
    assert!(code == Some(5) && said.contains("`nobody`"), "{said}");
    for (more, said_so) in [(["--slug", "another"], "--slug"), (["--since", "7d"], "muster backfill")] {
        let (code, _, said) = invite(&more).await;
        assert!(code == Some(2) && said.contains(said_so), "{said}");
    }
    let (_, after, _) = invite(&[]).await;
    assert_eq!(after["app"], "second", "what was refused changed nothing");
}

/// A tenant of another national cloud is told when it is added; one that shares the identity platform may be added.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_of_another_national_cloud_is_told_when_it_is_added() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(0), ..config() }, "").await;
    let tenant = setup.emulator.tenants()[0].clone();
    let change = |instance: &str, sub_scope: Option<&str>| {
        let change = DirectoryChange::NationalCloud {
            tenant: tenant.id.clone(),
            instance: instance.to_owned(),
            sub_scope: sub_scope.map(str::to_owned),
        };
        setup.emulator.change(change).expect("changed");
    };
    let cases = [
        ("microsoftonline.us", Some("DODCON"), false, "`gcc_high`"),
        ("microsoftonline.us", Some("DOD"), false, "`dod`"),
        ("partner.microsoftonline.cn", None, false, "`china`"),
        ("microsoftonline.com", Some("GCC"), true, "the Defender APIs have other hosts there"),
        ("microsoftonline.com", None, true, ""),
        ("a-new-cloud.example", None, true, ""),
    ];
    for (instance, sub_scope, taken, words) in cases {
        change(instance, sub_scope);
        for named in [&tenant.id, &tenant.domain] {
            let removed = setup.muster(&["tenant", "remove", &tenant.id, "--yes"]).await;
            let output = setup.muster(&["tenant", "add", named]).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.success(), taken, "{instance} {removed:?}: {said}");
            assert!(said.contains(words) && said.is_empty() == words.is_empty(), "{instance}: {said}");
        }
    }
    // Where nobody answers, an id is taken all the same.
    let down = Fault::new(Area::Discovery, FaultKind::Status { status: 503 });
    setup.emulator.add_fault(down).expect("a fault");
    setup.muster(&["tenant", "remove", &tenant.id, "--yes"]).await;
    let output = setup.muster(&["tenant", "add", &tenant.id]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("nobody says whether"), "{said}");
}
