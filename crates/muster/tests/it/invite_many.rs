//! `muster invite`: many customers by a list, with mails that a parser which nobody here wrote can read.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use muster_emulator::Config;
use serde_json::Value;

use crate::support::{Setup, config};

/// Reads every mail in a folder with Python's own parser, which tells what is wrong with one.
const READ: &str = r#"
import email, email.policy, json, pathlib, sys
found = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.eml")):
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    parts = list(mail.iter_parts())
    defects = [str(defect) for part in [mail, *parts] for defect in part.defects]
    defects += [str(defect) for value in mail.values() for defect in value.defects]
    found[path.name] = {
        "type": mail.get_content_type(), "from": str(mail["From"]), "to": str(mail["To"]), "subject": str(mail["Subject"]),
        "language": str(mail["Content-Language"]), "date": mail["Date"].datetime.isoformat(), "headers": len(mail.keys()),
        "types": [part.get_content_type() for part in parts], "texts": [part.get_content() for part in parts],
        "defects": defects,
    }
json.dump(found, sys.stdout)
"#;

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

async fn mails(folder: &Path) -> BTreeMap<String, Value> {
    let python = tokio::process::Command::new("python3").arg("-c").arg(READ).arg(folder).output().await;
    let read = python.expect("python3");
    assert!(read.status.success(), "{read:?}");
    serde_json::from_slice(&read.stdout).expect("JSON")
}

fn link(mail: &Value) -> String {
    let text = mail["texts"][0].as_str().expect("a text");
    text.lines().find(|line| line.starts_with("http")).expect("a link").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_becomes_mails_and_nothing_is_half_done() {
    let onboarding = "[onboarding]\nlisten = \"127.0.0.1:1\"\npublic_url = \"http://127.0.0.1:1\"\n\
                      provider_name = \"Nordlicht & Söhne\"\ncontact = \"+49 30 1234\"\n";
    let setup = Setup::start(Config { tenants: 3, alerts: Some(3), ..config() }, onboarding).await;
    let facts: Vec<_> = setup.emulator.tenants().into_iter().collect();
    for new in &facts[..2] {
        assert!(setup.muster(&["tenant", "remove", &new.id, "--yes"]).await.status.success());
    }
    let (list, out) = (setup.path().join("customers.csv"), setup.path().join("mails"));
    let invite = async |more: &[&str]| {
        let (list, out) = (list.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
        let call = ["-o", "json", "invite", list, "--out", out, "--from", "soc@mssp.example"];
        setup.muster(&[&call[..], more].concat()).await
    };
    let tenants = async || {
        json(&setup.muster(&["-o", "json", "tenant", "list"]).await).as_array().expect("a list").len()
    };

    // A list with mistakes: each is told with its line, and nothing is done.
    let wrong = format!(
        "tenant;mail;language\n{};admin@a.example;de\n\n{};no address;sv\n{};b@b.example;tlh\n{};c@c.example;en\n",
        facts[0].domain, facts[1].domain, facts[2].id, facts[0].id
    );
    std::fs::write(&list, wrong).expect("written");
    let refused = invite(&["--yes"]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let found = json(&refused);
    let lines: Vec<_> =
        found["mistakes"].as_array().expect("a list").iter().map(|of| of["line"].as_u64()).collect();
    assert_eq!(lines, [Some(4), Some(5), Some(6)], "{found}");
    assert!(!out.exists() && tenants().await == 1);

    let evil = "\"Contoso\r\nBcc: evil@evil.example\r\n\r\n<script>\"";
    let right = format!(
        "Tenant,E-Mail,Language,Name\n{},admin@a.example,de,{evil}\n{},chef@b.example,zh-CN,Ägir AB\n{},it@c.example,,\n",
        facts[0].domain, facts[1].id, facts[2].domain
    );
    std::fs::write(&list, right).expect("written");
    let asked = invite(&[]).await;
    assert!(asked.status.code() == Some(2) && words(&asked).contains("--yes"), "{asked:?}");
    let preview = invite(&["--dry-run"]).await;
    assert_eq!(json(&preview)["mails"], 3, "{preview:?}");
    assert!(!out.exists() && tenants().await == 1, "nothing was changed");

    let done = invite(&["--yes"]).await;
    assert!(done.status.success(), "{done:?}");
    assert_eq!((json(&done)["mails"].as_u64(), tenants().await), (Some(3), 3));
    let first = mails(&out).await;
    assert_eq!(first.len(), 3, "{:?}", first.keys());
    for (name, mail) in &first {
        assert_eq!(mail["defects"], serde_json::json!([]), "{name}: {mail}");
        assert_eq!(mail["type"], "multipart/alternative");
        assert_eq!(mail["types"], serde_json::json!(["text/plain", "text/html"]));
        assert_eq!(mail["from"], "Nordlicht & Söhne <soc@mssp.example>", "{mail}");
        let html = mail["texts"][1].as_str().expect("a text");
        assert!(html.contains("onboard") && !html.contains("<script>"), "{html}");
        assert!(mail["headers"].as_u64() <= Some(9), "no name begins a header: {mail}");
    }
    let to = |address: &str| first.values().find(|mail| mail["to"] == address).expect("a mail");
    assert!(
        to("admin@a.example")["subject"]
            .as_str()
            .is_some_and(|text| text.contains("Sicherheitswarnungen von Contoso"))
    );
    assert!(
        to("chef@b.example")["subject"]
            .as_str()
            .is_some_and(|text| text.contains("安全警报") && text.contains("Ägir AB"))
    );
    assert_eq!(
        (&to("it@c.example")["language"], &to("chef@b.example")["language"]),
        (&"en".into(), &"zh-CN".into())
    );

    // Called again, it writes what is missing, with the link that was sent.
    let again = invite(&["--yes"]).await;
    assert_eq!(json(&again)["mails"], 0, "{again:?}");
    let (name, before) = first.iter().next().expect("a mail");
    std::fs::remove_file(out.join(name)).expect("removed");
    let again = invite(&["--yes"]).await;
    assert_eq!(json(&again)["mails"], 1, "{again:?}");
    assert_eq!(link(&mails(&out).await[name]), link(before), "whoever was invited keeps the link");

    // Those who have not consented are told, and reminded with the same link.
    let waiting = json(&setup.muster(&["-o", "json", "invite", "--remind", "0"]).await);
    assert_eq!(waiting.as_array().map(Vec::len), Some(3), "{waiting}");
    let waiting = setup.muster(&["invite", "--remind", "5"]).await;
    assert!(words(&waiting).contains("nobody is waited for"), "{waiting:?}");
    let none = json(&invite(&["--yes", "--remind", "5"]).await);
    assert_eq!(none["mails"], 0, "{none}");
    let reminded = invite(&["--yes", "--remind", "0"]).await;
    assert_eq!(json(&reminded)["mails"], 3, "{reminded:?}");
    let all = mails(&out).await;
    let reminder = &all[&name.replace(".eml", ".reminder.eml")];
    assert_eq!((link(reminder), all.len()), (link(before), 6));
    assert_ne!(reminder["subject"], before["subject"]);
}
