//! Every place that a secret can be kept in, and every way of reading it: `validate`, a command, and `run`.

use muster_emulator::Config;
use rustix::process::Signal;

use crate::support::{Setup, config, eventually, signal};

/// The app's secret, a sink's token and the master key lie in the same kind of place; Muster starts, reads and delivers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_starts_with_every_kind_of_secret_reference() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(4), ..config() }, "").await;
    let base = setup.emulator.base_url();
    let (identity, _, _) = setup.emulator.managed_identities()[0].clone();
    let provider = setup.emulator.provider().id;
    let tenant = setup.emulator.tenants()[0].id.clone();
    let path = |name: &str| setup.path().join(name);
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("it is there").trim().to_owned();
    let secrets = [
        ("main", read("main.secret")),
        ("splunk", read("splunk.token")),
        ("master", read("muster.key").lines().last().expect("a key").to_owned()),
    ];
    let credentials = path("credentials");
    std::fs::create_dir(&credentials).expect("made");
    for (name, value) in &secrets {
        setup.emulator.set_vault_secret("mssp", name, value);
        std::fs::write(credentials.join(name), value).expect("written");
        std::fs::write(path(&format!("{name}.given")), format!("{value}\n")).expect("written");
    }
    let original = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let opener = format!(
        "\n[apps.machine]\nclient_id = \"{identity}\"\nmanaged_identity = true\nmanaged_identity_endpoint = \"{base}/metadata/identity/oauth2/token\"\n\n[key_vault]\napp = \"machine\"\ntenant = \"{provider}\"\n"
    );
    type Place<'a> = (&'a str, Box<dyn Fn(&str) -> String>);
    let vault = base.clone();
    let kinds: [Place<'_>; 5] = [
        ("file", Box::new(|name| format!("{{ file = \"{name}.given\" }}"))),
        ("env", Box::new(|name| format!("{{ env = \"TRY_{}\" }}", name.to_uppercase()))),
        ("command", Box::new(|name| format!("{{ command = [\"cat\", \"{name}.given\"] }}"))),
        ("systemd", Box::new(|name| format!("{{ systemd = \"{name}\" }}"))),
        (
            "key_vault",
            Box::new(move |name| format!("{{ key_vault = \"{vault}/vault/mssp/secrets/{name}\" }}")),
        ),
    ];
    for (kind, place) in kinds {
        let settings = original
            .replace("secret = { file = \"main.secret\" }", &format!("secret = {}", place("main")))
            .replace("token = { file = \"splunk.token\" }", &format!("token = {}", place("splunk")));
        assert_eq!(settings.matches(&place("splunk")).count(), 1, "{settings}");
        let master = match kind {
            // A file of keys has modes of its own to obey.
            "file" => String::new(),
            _ => format!("\n[store]\nmaster_key = {}\n", place("master")),
        };
        std::fs::write(setup.settings_path(), format!("{settings}{master}{opener}")).expect("written");
        let command = |arguments: &[&str]| {
            let mut command = setup.command(arguments);
            command.env("CREDENTIALS_DIRECTORY", &credentials);
            for (name, value) in &secrets {
                command.env(format!("TRY_{}", name.to_uppercase()), value);
            }
            command
        };
        for arguments in
            [&["validate"][..], &["token", "acquire", "--tenant", &tenant], &["sink", "test", "splunk"]]
        {
            let output = command(arguments).output().await.expect("muster starts");
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{kind} {arguments:?}: {said}");
        }
        setup.emulator.add_alerts(&tenant, 2, None).expect("new alerts");
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(path("muster.log")).expect("a log");
        let mut running = command(&["run"]).stderr(log).spawn().expect("muster starts");
        eventually(&format!("everything arrives, with secrets by {kind}"), async || {
            if let Some(ended) = running.try_wait().expect("a process") {
                panic!("{kind}: `muster run` ended: {ended:?}");
            }
            setup.lost() == 0
        })
        .await;
        signal(&running, Signal::TERM);
        assert!(running.wait().await.expect("it ends").success(), "{kind}");
    }
    setup.assert_all_arrived_once();
}
