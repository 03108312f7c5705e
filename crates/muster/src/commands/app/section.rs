//! The section of a new app, written into the settings.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use muster_microsoft::entra::credential::Access;
use muster_microsoft::entra::permissions::Permission;
use muster_model::TenantId;
use uuid::Uuid;

use crate::exit_code::{Exit, Failed};

pub(super) fn is_section_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

pub(super) fn section(
    name: &str,
    client_id: Uuid,
    home: TenantId,
    access: Access,
    permissions: &[&Permission],
    redirect_uri: Option<&str>,
) -> String {
    let mut text = format!(
        "[apps.{name}]\nclient_id = \"{client_id}\"\ntenant = \"{home}\"                # where it is registered\n"
    );
    if access == Access::Delegated {
        text.push_str("access = \"delegated\"\n");
    }
    if let Some(redirect_uri) = redirect_uri {
        text.push_str(&format!("redirect_uri = {redirect_uri:?}\n"));
    }
    if !permissions.is_empty() {
        let names: Vec<String> = permissions.iter().map(|permission| permission.full_name()).collect();
        text.push_str(&format!("permissions = {names:?}\n"));
    }
    text.push_str(&format!(
        "# Its credential is kept, sealed, in the store; `muster app rotate-secret {name}` replaces it.\n"
    ));
    text
}

/// Writes the section behind what the settings file holds; where the settings are a folder, into a file of its own.
pub(super) fn append_section(config: &Path, name: &str, section: &str) -> Result<PathBuf, Failed> {
    let failed = |path: &Path, error: io::Error| {
        Failed::say(
            Exit::Failure,
            format!("{} cannot be written: {error}; put this there yourself:\n\n{section}", path.display()),
        )
    };
    let path = match config.is_dir() {
        true => config.join(format!("app-{name}.toml")),
        false => std::fs::canonicalize(config).map_err(|error| failed(config, error))?,
    };
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(&path, error)),
    };
    let gap = match before.as_str() {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let text = format!("{before}{gap}{section}");
    // Whole or not at all: the file is replaced in one step.
    let written = (|| {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut new = tempfile_in(folder, &path)?;
        new.1.write_all(text.as_bytes())?;
        new.1.sync_all()?;
        if let Ok(like) = std::fs::metadata(&path) {
            new.1.set_permissions(like.permissions())?;
        }
        std::fs::rename(&new.0, &path)?;
        std::fs::File::open(folder)?.sync_all()
    })();
    written.map_err(|error| failed(&path, error))?;
    Ok(path)
}

fn tempfile_in(folder: &Path, beside: &Path) -> io::Result<(PathBuf, std::fs::File)> {
    let name = beside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = folder.join(format!(".{name}.muster-new"));
    let file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_section_is_written_behind_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("muster.toml");
        std::fs::write(&file, "# my settings\n[store]\npath = \"muster.db\" # here").expect("written");
        let home = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID");
        let isolate = muster_microsoft::entra::permissions::parse("WindowsDefenderATP/Machine.Isolate");
        let isolate = isolate.expect("a permission");
        let section = section("main", Uuid::from_u128(1), home, Access::Application, &[isolate], None);
        let written = append_section(&file, "main", &section).expect("written");
        let text = std::fs::read_to_string(&written).expect("read");
        assert!(
            text.starts_with("# my settings\n[store]\npath = \"muster.db\" # here\n\n[apps.main]\n"),
            "{text}"
        );
        let settings = Settings::read(&file).expect("right");
        assert_eq!(settings.apps["main"].tenant, Some(home));
        assert!(settings.apps["main"].keeps_credential_in_store());
        assert_eq!(settings.apps["main"].permissions, [isolate]);

        let in_folder =
            append_section(folder.path(), "other", &section.replace("main", "other")).expect("written");
        assert_eq!(in_folder.file_name().and_then(|name| name.to_str()), Some("app-other.toml"));
        assert_eq!(Settings::read(folder.path()).expect("right").apps.len(), 2);
    }

    #[test]
    fn names_of_apps_are_names_of_sections() {
        assert!(is_section_name("main-2_b"));
        for wrong in ["", "a b", "a.b", "a]", "ä", &"x".repeat(65)] {
            assert!(!is_section_name(wrong), "{wrong}");
        }
    }
}
