//! `muster init --service`: what the Debian package does, where there is none; and the settings, key and store of the service.
//!
//! Root makes the user, the folders and the unit. What lies in the folders is made by a process of that user, so that root never writes
//! where somebody else could have laid a link. Whatever is there already is left as it is.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;

use super::files::{KEEP_A_COPY, new_file};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::Output;

const USER: &str = "muster";
const SETTINGS: &str = "/etc/muster";
const STORE: &str = "/var/lib/muster";
/// Where the package's unit lies, and where an administrator's does.
const UNITS: [&str; 3] = [
    "/usr/lib/systemd/system/muster.service",
    "/lib/systemd/system/muster.service",
    "/etc/systemd/system/muster.service",
];
const UNIT: &str = include_str!("../../../../../deploy/systemd/muster.service");
/// The program of the package, which the unit names.
const PROGRAM: &str = "/usr/bin/muster";
/// What the service cannot look into (`ProtectHome=`).
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

#[derive(Serialize)]
struct Made {
    made: Vec<String>,
    unit: String,
    settings: String,
}

pub(super) fn run(output: Output) -> Result<Exit, Failed> {
    if !rustix::process::geteuid().is_root() {
        let message = "a service is made by root: `sudo muster init --service`; nothing was changed";
        return Err(Failed::say(Exit::Failure, message));
    }
    let program = std::env::current_exe().context("cannot find out where this program lies")?;
    if HIDDEN.iter().any(|hidden| program.starts_with(hidden)) {
        let message = format!(
            "the service could not start {}, which lies in a home: copy it first, as with `install -m 755 {0} /usr/local/bin/muster`, \
             and call that; nothing was changed",
            program.display()
        );
        return Err(Failed::say(Exit::Failure, message));
    }
    let mut made = Vec::new();
    if id("-u").is_none() {
        make_user()?;
        made.push(format!("the user {USER}"));
    }
    let (Some(user), Some(group)) = (id("-u"), id("-g")) else {
        return Err(Failed::say(
            Exit::Failure,
            format!("the user {USER} was made, and cannot be found: see `id {USER}`"),
        ));
    };
    for folder in [SETTINGS, STORE] {
        if make_folder(Path::new(folder), user, group)? {
            made.push(folder.to_owned());
        }
    }
    let (unit, is_new) = make_unit(&program)?;
    if is_new {
        made.push(unit.display().to_string());
    }
    made.extend(make_missing(&program, user, group)?);
    let settings = format!("{SETTINGS}/muster.toml");
    let made = Made { made, unit: unit.display().to_string(), settings };
    output.print(&made, |_| {
        let said = match made.made.is_empty() {
            true => "everything was there already".to_owned(),
            false => format!("made {}", made.made.join(", ")),
        };
        format!(
            "{said}\n\n{KEEP_A_COPY}\nNothing was started. Name your app and your SIEM in {0}, then\n\n\
             \u{20}   sudo -u {USER} muster -c {0} validate\n    sudo systemctl enable --now muster",
            made.settings
        )
    })
}

/// The user's or the group's number; nothing where there is no such user.
fn id(which: &str) -> Option<u32> {
    let output = Command::new("id").args([which, USER]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok().filter(|_| output.status.success())
}

fn make_user() -> Result<(), Failed> {
    let arguments = [
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        STORE,
        "--shell",
        "/usr/sbin/nologin",
        USER,
    ];
    let output = Command::new("useradd").args(arguments).output().context("cannot call useradd")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failed::say(
            Exit::Failure,
            format!("useradd cannot make the user {USER}: {}", said.trim()),
        ));
    }
    Ok(())
}

/// Whether it was made. One that is there is left as it is, unless it is of no use to the service.
fn make_folder(folder: &Path, user: u32, group: u32) -> Result<bool, Failed> {
    let shown = folder.display();
    if let Ok(found) = folder.symlink_metadata() {
        let trouble = match (found.is_dir(), found.uid() == user) {
            (false, _) => "is no folder",
            (true, false) => "does not belong to the user muster, who writes there",
            (true, true) => return Ok(false),
        };
        let message = format!(
            "{shown} {trouble}: put it right, as with `chown muster:muster {shown}`, and call this again"
        );
        return Err(Failed::say(Exit::Failure, message));
    }
    let made = std::fs::DirBuilder::new().mode(0o750).create(folder);
    // Whatever the umask says.
    made.and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o750)))
        .and_then(|()| std::os::unix::fs::chown(folder, Some(user), Some(group)))
        .with_context(|| format!("cannot make the folder {shown}"))?;
    Ok(true)
}

/// Where the unit is, and whether it was made.
fn make_unit(program: &Path) -> Result<(PathBuf, bool), Failed> {
    if let Some(unit) = UNITS.map(Path::new).into_iter().find(|unit| unit.symlink_metadata().is_ok()) {
        return Ok((unit.to_owned(), false));
    }
    let unit = PathBuf::from(UNITS[2]);
    let shown = unit.display();
    let named = program
        .to_str()
        .filter(|name| !name.contains(|letter: char| letter.is_whitespace() || "%$\\\"'".contains(letter)));
    let Some(named) = named else {
        let message =
            format!("the path {} cannot stand in a unit: move the program to {PROGRAM}", program.display());
        return Err(Failed::say(Exit::Failure, message));
    };
    let text = UNIT.replacen(PROGRAM, named, 1);
    unit.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| new_file(&unit, 0o644, text.as_bytes()))
        .with_context(|| format!("cannot write {shown}"))?;
    if Path::new("/run/systemd/system").is_dir() {
        let read = Command::new("systemctl").arg("daemon-reload").status();
        if !read.is_ok_and(|status| status.success()) {
            return Err(Failed::say(
                Exit::Failure,
                format!("wrote {shown}, and `systemctl daemon-reload` failed: run it again"),
            ));
        }
    }
    Ok((unit, true))
}

/// Settings, key and store, made by their owner.
fn make_missing(program: &Path, user: u32, group: u32) -> Result<Vec<String>, Failed> {
    let store = format!("{STORE}/muster.db");
    let output = Command::new(program)
        .args(["--output", "json", "init", SETTINGS, "--missing", "--store", &store])
        .current_dir("/")
        .uid(user)
        .gid(group)
        .output()
        .with_context(|| format!("cannot call {} as the user {USER}", program.display()))?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout)
            .context("cannot read what was made")
            .map_err(Failed::from);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let exit = if output.status.code() == Some(3) { Exit::Settings } else { Exit::Failure };
    Err(Failed::say(
        exit,
        format!("in the name of the user {USER}: {}", said.trim().trim_start_matches("muster: ")),
    ))
}
