//! Microsoft's MSSP page, "Fetch alerts from MSSP customer tenant", walked to its end, statement by statement: the connector app
//! with the page's own values, a person's sign-in, alerts, and the refresh token handed over to the SIEM's own connector. With
//! `--nocapture` the walk is printed.

use std::process::{Output, Stdio};

use muster_emulator::Config;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;

use crate::support::{Setup, config};

struct Customer {
    setup: Setup,
    id: String,
    domain: String,
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Prints a statement of a page, what was done for it, and how it was answered.
fn walked(statement: &str, done: &str, answer: &str) {
    let first = answer.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let first: String = first.chars().take(160).collect();
    println!("{statement}\n    $ {done}\n    {first}");
}

impl Customer {
    /// A customer called Contoso, added by its domain, as the page has it.
    async fn start() -> Self {
        let setup = Setup::start(Config { tenants: 2, alerts: Some(8), ..config() }, "").await;
        let tenant = setup.emulator.tenants()[0].clone();
        assert!(setup.muster(&["tenant", "remove", &tenant.id, "--yes"]).await.status.success());
        let add =
            ["tenant", "add", &tenant.domain, "--name", "Contoso", "--slug", "contoso", "--app", "main"];
        let added = setup.muster(&add).await;
        assert!(added.status.success(), "{}", said(&added));
        Self { setup, id: tenant.id, domain: tenant.domain }
    }

    /// Starts a command, and gives the line of its instructions that has these words.
    async fn told(&self, arguments: &[&str], words: &str) -> (Child, String) {
        let arguments = [&["--output", "json"], arguments].concat();
        let mut command = self.setup.command(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("muster starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut all = String::new();
        loop {
            let Some(line) = lines.next_line().await.expect("UTF-8") else { panic!("no `{words}` in {all}") };
            if line.contains(words) {
                child.stderr = Some(lines.into_inner().into_inner());
                return (child, line);
            }
            all.push_str(&line);
        }
    }

    /// Runs `app register` with an administrator of `domain`, who signs in with a code.
    async fn register(&self, arguments: &[&str], domain: &str) -> Output {
        let arguments = [&["app", "register"], arguments, &["--flow", "device"]].concat();
        let (child, line) = self.told(&arguments, " and enter the code ").await;
        let (address, rest) =
            line.trim_start_matches("Open ").split_once(" and enter the code ").expect("both");
        let page = format!("{address}?otc={}", rest.split_once('.').expect("a code").0);
        self.setup.emulator.sign_in(&page, &format!("admin@{domain}"), true).ok();
        child.wait_with_output().await.expect("it ends")
    }

    /// Runs a command that has to succeed, as a step of a walk; what it printed.
    async fn step(&self, statement: &str, arguments: &[&str]) -> String {
        let output = self.setup.muster(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        walked(statement, &format!("muster {}", arguments.join(" ")), &printed);
        printed
    }

    /// Has the tenant added anew, read by another app for one source.
    async fn read_with(&self, app: &str, source: &str) {
        assert!(self.setup.muster(&["tenant", "remove", "contoso", "--yes"]).await.status.success());
        let add = ["tenant", "add", &self.domain, "--slug", "contoso", "--app", app, "--source", source];
        self.step("(the customer in Muster)", &add).await;
    }

    fn settings(&self) -> String {
        std::fs::read_to_string(self.setup.settings_path()).expect("settings")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mssp_page_is_walked_to_its_end() {
    let customer = Customer::start().await;
    let setup = &customer.setup;
    // Step 1: the app.
    let made = customer.register(&["siem", "--connector-for", "contoso", "--write"], &customer.domain).await;
    assert!(made.status.success(), "{}", said(&made));
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    assert_eq!(made["tenant"], customer.id.as_str(), "it is made where it can serve the customer");
    walked(
        "Step 1: create the application, for this directory only, with a secret of one year",
        "muster app register siem --connector-for contoso --write",
        &made["client_id"].to_string(),
    );
    let ends: jiff::Timestamp =
        made["credential"]["not_after"].as_str().expect("a time").parse().expect("a time");
    let days = ends.duration_since(crate::identity::now()).as_secs() / 86_400;
    assert!((363..=365).contains(&days), "one year: {days}");
    let redirect = format!("https://{}/SiemMsspConnector", customer.domain);
    for line in ["access = \"delegated\"".to_owned(), format!("redirect_uri = \"{redirect}\"")] {
        assert!(customer.settings().contains(&line), "{line}: {}", customer.settings());
    }
    // What stands at Microsoft, as the emulator tells a person of the customer.
    let checked = customer.told(&["app", "check", "siem", "--flow", "device"], " and enter the code ").await;
    let (address, rest) =
        checked.1.trim_start_matches("Open ").split_once(" and enter the code ").expect("both");
    let page = format!("{address}?otc={}", rest.split_once('.').expect("a code").0);
    setup.emulator.sign_in(&page, &format!("admin@{}", customer.domain), true).ok();
    let checked = checked.0.wait_with_output().await.expect("it ends");
    let told = said(&checked);
    assert!(checked.status.success(), "{told}");
    for words in ["Contoso SIEM MSSP Connector", "AzureADMyOrg", &redirect, "User.Read"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // Step 2: a person of the customer signs in, and consents.
    let source =
        made["connector"]["commands"][0].as_str().expect("a command").rsplit(' ').next().expect("a source");
    customer.read_with("siem", source).await;
    // The guide marks the step done when it was checked, and not before.
    let step = async || {
        let guide = setup.muster(&["--output", "json", "tenant", "guide", "contoso", "--lang", "de"]).await;
        let guide: Value =
            serde_json::from_slice(&guide.stdout).unwrap_or_else(|_| panic!("{}", said(&guide)));
        let step = &guide["steps"][2];
        assert_eq!(step["title"], "SIEM-Connector im Portal des Kunden autorisiert");
        step["state"].as_str().expect("a state").to_owned()
    };
    assert_eq!(step().await, "to_do");
    let acquire = ["token", "acquire", "--tenant", "contoso", "--flow", "paste"];
    let (mut child, address) = customer.told(&acquire, "/authorize?").await;
    let encoded: String = url::form_urlencoded::byte_serialize(redirect.as_bytes()).collect();
    assert!(address.contains(&encoded), "the redirect URI is sent as it is registered: {address}");
    let ended_at = setup.emulator.sign_in(address.trim(), &format!("admin@{}", customer.domain), true);
    let ended_at = ended_at.expect("signed in");
    assert!(ended_at.starts_with(&redirect), "{ended_at}");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(format!("{ended_at}\n").as_bytes()).await.expect("pasted");
    drop(stdin);
    let acquired = child.wait_with_output().await.expect("it ends");
    assert!(acquired.status.success(), "{}", said(&acquired));
    let acquired: Value = serde_json::from_slice(&acquired.stdout).expect("JSON");
    assert!(acquired["allows"].to_string().contains("User.Read"), "{acquired}");
    walked(
        "Step 2: get access and refresh tokens; a person of the customer signs in and consents",
        &format!("muster {}", acquire.join(" ")),
        &acquired.to_string(),
    );
    walked(
        "Step 3: allow the application in the portal",
        "muster tenant guide contoso",
        &made["connector"]["portal"].to_string(),
    );
    assert_eq!(step().await, "not_seen", "who has signed in may still be let read nothing");
    let checked = setup.muster(&["tenant", "check", "contoso"]).await;
    assert!(checked.status.success(), "{}", said(&checked));
    assert_eq!(step().await, "done");
    for (language, words) in [
        ("en", "Consent of the customer"),
        ("de", "Zustimmung des Kunden"),
        ("sv", "Kundens medgivande"),
        ("nl", "Toestemming van de klant"),
        ("zh-CN", "客户的同意"),
    ] {
        for more in [&["--markdown"][..], &[]] {
            let guide = [&["tenant", "guide", "contoso", "--lang", language], more].concat();
            let told = said(&setup.muster(&guide).await);
            assert!(told.contains(words) && !told.contains("guide-"), "{language}: {told}");
        }
    }
    let fetched = setup.muster(&["fetch", "--tenant", "contoso", "--source", source, "--since", "30d"]).await;
    assert!(fetched.status.success() && !fetched.stdout.is_empty(), "{}", said(&fetched));
    let verified = setup.muster(&["token", "verify", "--tenant", "contoso"]).await;
    assert!(verified.status.success(), "{}", said(&verified));
    // Step 3 and 4: the SIEM's own connector has the refresh token.
    let refused = setup.muster(&["token", "export", "--tenant", "contoso", "--for", "splunk"]).await;
    assert!(refused.status.code() == Some(2) && said(&refused).contains("--yes"), "{}", said(&refused));
    let export = [
        "--output",
        "json",
        "token",
        "export",
        "--tenant",
        "contoso",
        "--for",
        "splunk",
        "--with-secret",
        "--yes",
    ];
    let exported = setup.muster(&export).await;
    assert!(exported.status.success(), "{}", said(&exported));
    let exported: Value = serde_json::from_slice(&exported.stdout).expect("JSON");
    let text = |key: &str| exported[key].as_str().unwrap_or_else(|| panic!("no {key} in {exported}"));
    walked(
        "Step 4: write the secret and the refresh token into the SIEM's connector",
        "muster token export --tenant contoso --for splunk --with-secret",
        text("token_url"),
    );
    // The connector's own request, as its documentation has it.
    let form: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("client_id", text("client_id"))
        .append_pair("client_secret", text("client_secret"))
        .append_pair("refresh_token", text("refresh_token"))
        .append_pair("resource", text("resource"))
        .finish();
    let answer = crate::support::post(text("token_url"), &form).await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert!(answer["access_token"].is_string(), "{answer}");
    // Muster's own goes on working.
    assert!(setup.muster(&["token", "refresh", "--tenant", "contoso"]).await.status.success());
    let audit = said(&setup.muster(&["audit", "list"]).await);
    assert!(audit.contains("grant.exported"), "{audit}");
    assert!(!audit.contains(text("refresh_token")) && !audit.contains(text("client_secret")));
    let arcsight =
        setup.muster(&["token", "export", "--tenant", "contoso", "--for", "arcsight", "--yes"]).await;
    let properties = String::from_utf8_lossy(&arcsight.stdout).into_owned();
    for line in [
        format!("client_ID={}", text("client_id")),
        format!("token_url={}", text("token_url")),
        format!("redirect_uri={redirect}"),
        "client_secret=(".to_owned(),
    ] {
        assert!(properties.contains(&line), "{line}: {properties}");
    }
    // A year it was, a year it is again.
    let rotated =
        customer.told(&["app", "rotate-secret", "siem", "--flow", "device"], " and enter the code ").await;
    let (address, rest) =
        rotated.1.trim_start_matches("Open ").split_once(" and enter the code ").expect("both");
    let page = format!("{address}?otc={}", rest.split_once('.').expect("a code").0);
    setup.emulator.sign_in(&page, &format!("admin@{}", customer.domain), true).ok();
    let rotated = rotated.0.wait_with_output().await.expect("it ends");
    assert!(rotated.status.success(), "{}", said(&rotated));
    let rotated: Value = serde_json::from_slice(&rotated.stdout).expect("JSON");
    let ends: jiff::Timestamp = rotated["not_after"].as_str().expect("a time").parse().expect("a time");
    let days = ends.duration_since(crate::identity::now()).as_secs() / 86_400;
    assert!((363..=365).contains(&days), "kept at rotation: {days}");
}

/// An app that can serve no customer is refused, with the reason, before anything is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_can_serve_nobody_is_refused() {
    let customer = Customer::start().await;
    let setup = &customer.setup;
    let provider = setup.emulator.provider().id;
    let refused = async |arguments: &[&str], words: &str| {
        let output = setup.muster(&[&["app", "register"], arguments].concat()).await;
        assert!(
            !output.status.success() && said(&output).contains(words),
            "{arguments:?}: {}",
            said(&output)
        );
    };
    refused(&["siem", "--connector-for", "contoso", "--tenant", &provider], "can serve nobody of contoso")
        .await;
    refused(&["siem", "--connector-for", "nobody"], "add it first").await;
    refused(&["main", "--single-tenant", "--tenant", &provider], "could serve none of its 2 tenant(s)").await;
    refused(&["siem", "--connector-for", "contoso", "--single-tenant"], "cannot be used with").await;
    assert!(!customer.settings().contains("[apps.siem]"));
    // An app that reads by itself has nothing to hand over.
    let export = ["token", "export", "--tenant", "contoso", "--for", "arcsight", "--yes"];
    let output = setup.muster(&export).await;
    assert!(
        output.status.code() == Some(2) && said(&output).contains("--connector-for contoso"),
        "{}",
        said(&output)
    );
}
