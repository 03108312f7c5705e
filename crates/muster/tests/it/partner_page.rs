//! Microsoft's page "Create an app with partner access to Microsoft Defender XDR APIs", walked to its end, statement by
//! statement: what the page says, the command that does it, and what it answered. `--nocapture` prints the walk.

use std::process::Output;

use muster_emulator::Config;
use serde_json::Value;

use crate::app::Provider;
use crate::support::{ask, config};

const RESOURCE: &str = "https://api.security.microsoft.com";
const PORTAL: &str = "https://portal.azure.com";

/// Prints a step, and gives what the command printed as JSON.
fn step(statement: &str, arguments: &[&str], output: &Output) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("\n“{statement}”\n  $ muster {}\n{out}{err}", arguments.join(" "));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_partner_page_is_walked_to_its_end() {
    let provider = Provider::with(Config { tenants: 2, alerts: Some(60), ..config() }).await;
    let setup = &provider.setup;
    let [first, second] = [0, 1].map(|number| setup.emulator.tenants()[number].clone());
    let run = async |statement: &str, arguments: &[&str]| {
        let arguments = [&["--output", "json"], arguments].concat();
        step(statement, &arguments, &setup.muster(&arguments).await)
    };

    // Create the multi-tenant app.
    let register = [
        &["app", "register", "partner", "--tenant", &provider.tenant.id],
        &["--source", "xdr_incidents", "--redirect-uri", PORTAL, "--write"][..],
    ]
    .concat();
    let registered = provider.with_a_person(&register, "admin").await;
    let registered = step(
        "New registration; accounts in any organizational directory; redirect URI Web, https://portal.azure.com; \
         API permissions: Microsoft Threat Protection, Application permissions, Incident.Read.All; add a secret",
        &register,
        &registered,
    );
    assert_eq!(registered["tenant"], provider.tenant.id.as_str());
    let check = ["app", "check", "partner"];
    let checked = provider.with_a_person(&check, "admin").await;
    let checked = step("Your app can now access Microsoft Defender XDR", &check, &checked).to_string();
    for words in ["AzureADMultipleOrgs", PORTAL, "Microsoft Threat Protection/Incident.Read.All"] {
        assert!(checked.contains(words), "{words}: {checked}");
    }

    // Add the application to your user's tenant: by Muster's own link for the one, by the page's as it is printed for the other.
    let consent = ["app", "consent-url", "partner", "--tenant", &first.id, "--form", "v1_prompt_consent"];
    let consent = [&consent[..], &["--redirect-uri", PORTAL, "--source", "xdr_incidents"]].concat();
    let link = run("The consent link has the form …/oauth2/authorize?prompt=consent&…", &consent).await;
    let link = link["url"].as_str().expect("a link").to_owned();
    let client_id = registered["client_id"].as_str().expect("a client id").to_owned();
    let printed = format!(
        "{}/common/oauth2/authorize?prompt=consent&client_id={client_id}&response_type=code&sso_reload=true",
        setup.emulator.base_url()
    );
    for (customer, link) in [(&first, link), (&second, printed)] {
        let ended_at = setup.emulator.sign_in(&link, &format!("admin@{}", customer.domain), true);
        let ended_at = ended_at.expect("signed in");
        println!("\n  opened by admin@{}: {link}\n  it ended at {ended_at}", customer.domain);
        assert!(ended_at.starts_with(PORTAL) && !ended_at.contains("error="), "{ended_at}");
    }

    for customer in [&first, &second] {
        // They were there for another app.
        assert!(setup.muster(&["tenant", "remove", &customer.id, "--yes"]).await.status.success());
        let add = ["tenant", "add", &customer.domain, "--app", "partner", "--source", "xdr_incidents"];
        let added = run("You also need to ask your user for their tenant ID", &add).await;
        assert_eq!(added["id"], customer.id.as_str(), "found by the domain");
        let slug = added["slug"].as_str().expect("a slug");

        // Get an access token.
        let acquire = ["token", "acquire", "--tenant", slug, "--resource", RESOURCE, "--print"];
        let acquired = run("Get an access token", &acquire).await;
        assert!(acquired["allows"].to_string().contains("Incident.Read.All"), "{acquired}");
        let own = acquired["access_token"].as_str().expect("a token").to_owned();

        // Validate the token.
        std::fs::write(setup.path().join("token.txt"), &own).expect("written");
        let inspect = ["token", "inspect", "@token.txt"];
        let inspected = run("Make sure that the token has the right permissions", &inspect).await.to_string();
        assert!(inspected.contains("Incident.Read.All") && inspected.contains(&customer.id), "{inspected}");
        let verify = ["token", "verify", "--tenant", slug, "--resource", RESOURCE, "@token.txt"];
        let verified = run("Validate the token", &verify).await;
        assert_eq!(verified["passed"], true, "{verified}");

        // Use the access token.
        let address = format!("{}/api/incidents", setup.emulator.base_url());
        let bearer = format!("Bearer {own}");
        let (status, page) = ask("GET", &address, &[("Authorization", &bearer)], "").await;
        let page: Value = serde_json::from_str(&page).expect("JSON");
        let incidents = page["value"].as_array().expect("a page").len();
        println!(
            "\n“Send an HTTP GET request with Authorization: Bearer …”\n  GET /api/incidents: {status}, {incidents} incidents"
        );
        assert!(status == 200 && incidents > 0, "{page}");
        let fetch = ["fetch", "--tenant", slug, "--source", "xdr_incidents", "--since", "30d"];
        let fetched = setup.muster(&fetch).await;
        let told = String::from_utf8_lossy(&fetched.stdout).into_owned();
        let count = format!("\n{incidents} record");
        assert!(fetched.status.success() && told.contains(&count), "{incidents}: {fetched:?}");
        let preflight = run("(and all of it at once)", &["tenant", "check", slug]).await;
        assert!(preflight.to_string().contains("Incident.Read.All"), "{preflight}");
    }
    // A token that somebody else made for this API is told from one for another.
    let graph = setup
        .muster(&[
            "token",
            "acquire",
            "--tenant",
            &first.id,
            "--print",
            "--resource",
            "https://graph.microsoft.com",
        ])
        .await;
    let graph = String::from_utf8_lossy(&graph.stdout).into_owned();
    std::fs::write(setup.path().join("graph.txt"), graph.trim()).expect("written");
    let wrong =
        setup.muster(&["token", "verify", "--tenant", &first.id, "--resource", RESOURCE, "@graph.txt"]).await;
    assert!(!wrong.status.success(), "{wrong:?}");
}
