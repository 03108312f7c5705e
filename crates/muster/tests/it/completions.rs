//! Completions know the names that there are: asked by bash itself, with the script that `muster completions bash` prints.

use std::path::Path;

use tokio::process::Command;

use crate::support::{Setup, config};

/// What bash offers behind these words, the last of which is being typed; what the program says on standard error is in it, too.
async fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_muster"));
    let path = format!("{}:/usr/bin:/bin", program.parent().expect("its folder").display());
    let script = r#"
        source <(muster completions bash) || exit 9
        COMP_WORDS=(muster "$@"); COMP_CWORD=$#; COMP_TYPE=9
        _clap_complete_muster muster "${@: -1}" "" || exit 8
        [ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let asked = Command::new("bash")
        .args(["--norc", "-c", &format!("exec 2>&1; {script}"), "bash"])
        .args(words)
        .env_clear()
        .env("PATH", path)
        .current_dir(folder)
        .output()
        .await
        .expect("bash starts");
    let said = String::from_utf8(asked.stdout).expect("UTF-8");
    assert!(asked.status.success(), "{words:?}: {said}");
    said.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bash_offers_the_names_of_tenants_sinks_and_apps() {
    let setup = Setup::start(config(), "").await;
    let slug = "eastgate-hotels";
    let tagged = setup.muster(&["tenant", "tag", "add", slug, "gold"]).await;
    assert!(tagged.status.success(), "{tagged:?}");
    let folder = setup.path();
    assert_eq!(offered(folder, &["tenant", "show", "east"]).await, [slug]);
    assert_eq!(offered(folder, &["fetch", "--tenant", "tag"]).await, ["tag:gold"]);
    assert_eq!(offered(folder, &["status", "--fail"]).await, ["--failing", "--failing-tenants"]);
    assert_eq!(
        offered(folder, &["sink", "test", ""]).await.iter().filter(|name| !name.starts_with('-')).count(),
        3
    );
    assert_eq!(offered(folder, &["sink", "test", "spl"]).await, ["splunk"]);
    assert_eq!(offered(folder, &["sink", "diff", "splunk", "arch"]).await, ["archive"]);
    assert_eq!(offered(folder, &["app", "check", "ma"]).await, ["main"]);
    // Several by commas, and those that are excepted.
    assert_eq!(
        offered(folder, &["hunt", "x", "--tenant", "all", "--except", "granite,east"]).await,
        ["granite,eastgate-hotels"]
    );
    // Who is added has no name yet.
    let added = offered(folder, &["tenant", "add", "east"]).await;
    assert!(!added.iter().any(|name| name == slug), "{added:?}");
    // The settings that the line names.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let path = setup.settings_path();
    let path = path.to_str().expect("UTF-8");
    assert_eq!(offered(elsewhere.path(), &["--config", path, "sink", "test", "spl"]).await, ["splunk"]);
}

/// Nothing there, or nothing that can be read: fewer names, and not a word on standard error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_or_settings_there_are_fewer_names() {
    let setup = Setup::start(config(), "").await;
    let folder = setup.path();
    std::fs::write(folder.join("muster.db"), "no database").expect("written");
    let nothing: [&str; 0] = [];
    assert_eq!(offered(folder, &["tenant", "show", "east"]).await, nothing);
    assert_eq!(offered(folder, &["sink", "test", "spl"]).await, ["splunk"]);
    std::fs::remove_file(folder.join("muster.db")).expect("removed");
    assert_eq!(offered(folder, &["tenant", "show", "east"]).await, nothing);
    // Settings with a mistake give what can be read of them.
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    std::fs::write(setup.settings_path(), format!("{text}\n[collect]\nnonsense = 1\n")).expect("written");
    assert!(offered(folder, &["tenant", "show", "east"]).await.is_empty());
    let elsewhere = tempfile::tempdir().expect("a folder");
    assert_eq!(offered(elsewhere.path(), &["sink", "test", "spl"]).await, nothing);
    assert_eq!(offered(elsewhere.path(), &["sink", "te"]).await, ["test"]);
    // A variable that was left set keeps no command from its work.
    let path = folder.join("made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    let done =
        command.arg("init").arg(&path).env("MUSTER_COMPLETE", "bash").output().await.expect("it starts");
    assert!(done.status.success() && path.join("muster.toml").exists(), "{done:?}");
}
