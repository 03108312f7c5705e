//! `muster init --missing`, `--store` and `--service`. What the last one makes as root is tried by `.ci/first-hour`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

fn muster(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(arguments).current_dir(folder).env("INIT_KEY", KEY).output().expect("muster starts")
}

/// Thirty-two bytes that nobody uses.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("read")
}

#[test]
fn what_is_missing_is_made_and_nothing_else_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let (etc, store) = (folder.path().join("etc"), folder.path().join("a \"store\".db"));
    let init =
        || muster(&["init", "etc", "--missing", "--store", store.to_str().expect("UTF-8")], folder.path());
    let made = init();
    assert!(made.status.success(), "{}", error(&made));
    assert!(store.is_file(), "{:?}", names(folder.path()));
    assert_eq!(names(&etc), ["muster.key", "muster.schema.json", "muster.toml"]);
    let looked = muster(&["-c", "etc/muster.toml", "tenant", "list"], folder.path());
    assert!(looked.status.success(), "the store opens: {}", error(&looked));

    let files = [etc.join("muster.toml"), etc.join("muster.key"), store.clone()];
    let before = files.each_ref().map(|file| bytes(file));
    let again = init();
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing is missing"), "{again:?}");
    assert_eq!(files.each_ref().map(|file| bytes(file)), before);

    // A store whose key is gone gets no other one.
    std::fs::rename(&files[1], etc.join("aside.key")).expect("moved");
    let refused = init();
    assert_eq!(refused.status.code(), Some(3), "{}", error(&refused));
    assert!(error(&refused).contains("put the key back"), "{}", error(&refused));
    assert_eq!(
        (names(&etc), bytes(&store)),
        (["aside.key", "muster.schema.json", "muster.toml"].map(str::to_owned).to_vec(), before[2].clone())
    );
    std::fs::rename(etc.join("aside.key"), &files[1]).expect("moved back");

    // A key whose store is gone is used for the next one.
    std::fs::remove_file(&store).expect("removed");
    assert!(init().status.success());
    assert_eq!(bytes(&files[1]), before[1]);
    assert!(muster(&["-c", "etc/muster.toml", "tenant", "list"], folder.path()).status.success());
}

/// As in a container: settings and key come from outside.
#[test]
fn a_key_that_comes_from_elsewhere_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("muster.toml");
    std::fs::write(&settings, "[store]\npath = \"s.db\"\nmaster_key = { env = \"INIT_KEY\" }\n")
        .expect("written");
    let made = muster(&["init", ".", "--missing"], folder.path());
    assert!(made.status.success(), "{}", error(&made));
    assert!(names(folder.path()).iter().all(|name| !name.ends_with(".key")), "{:?}", names(folder.path()));
    assert!(muster(&["tenant", "list"], folder.path()).status.success());
}

#[test]
fn settings_that_are_wrong_are_told_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("muster.toml"), "[stor]\npath = 7\n").expect("written");
    let refused = muster(&["init", ".", "--missing"], folder.path());
    assert_eq!(refused.status.code(), Some(3), "{}", error(&refused));
    assert!(error(&refused).contains("`stor` is not a section"), "{}", error(&refused));
    assert_eq!(names(folder.path()), ["muster.toml"]);
}

#[test]
fn a_service_is_made_by_root_alone() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(["init", "--service"]).current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(65_534);
    }
    match command.output() {
        Ok(refused) => {
            assert_eq!(refused.status.code(), Some(1), "{}", error(&refused));
            assert!(error(&refused).contains("sudo muster init --service"), "{}", error(&refused));
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
            eprintln!("skipped: the program lies where only root may look");
        }
    }
}

#[test]
fn the_version_tells_of_the_build_when_more_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = |arguments: &[&str]| {
        let output = muster(arguments, folder.path());
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {}", error(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let version = format!("muster {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(said(&["--version"]), version);
    for arguments in [&["--version", "--verbose"][..], &["--verbose", "--version"], &["-vV"], &["-v", "-V"]] {
        let told = said(arguments);
        let first: Vec<&str> = told.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
        assert!(told.starts_with(&version), "{told}");
        assert_eq!(first, ["muster", "commit", "profile", "target", "sbom"], "{arguments:?}");
    }
}
