//! Where the settings lie, when the command line does not say so.

use std::path::{Path, PathBuf};

use super::environment::environment_path;

const VARIABLE: &str = "MUSTER_CONFIG";
const HERE: &str = "muster.toml";
const OF_SYSTEM: &str = "/etc/muster";

/// The settings that were found, or the place where they are looked for last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// A file, or a folder of them.
    pub path: PathBuf,
    /// How they were come by, where nobody who reads an error about them would know.
    pub how: Option<String>,
}

/// The settings that `--config` names, or `MUSTER_CONFIG`; else `muster.toml` in the current folder, or the `*.toml` files
/// of `/etc/muster`.
pub fn find(named: Option<PathBuf>) -> Found {
    choose(named, environment_path(VARIABLE), Path::new(HERE), Path::new(OF_SYSTEM))
}

fn choose(named: Option<PathBuf>, variable: Option<PathBuf>, here: &Path, of_system: &Path) -> Found {
    if let Some(path) = named {
        return Found { path, how: None };
    }
    if let Some(path) = variable {
        let how = Some(format!("{VARIABLE} names the settings: {}", path.display()));
        return Found { path, how };
    }
    // Also a link that leads nowhere, which is told then.
    if here.symlink_metadata().is_ok() {
        return Found { path: here.to_owned(), how: None };
    }
    if holds_settings(of_system) {
        return Found { path: of_system.to_owned(), how: None };
    }
    let how = format!(
        "there are no settings: --config was not given, {VARIABLE} is not set, the current folder has no {HERE}, and {} holds no *.toml file",
        of_system.display()
    );
    Found { path: here.to_owned(), how: Some(how) }
}

/// Whether settings lie in a folder, or may: one that cannot be read is told.
fn holds_settings(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.any(|entry| {
            entry.is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "toml"))
        }),
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_settings_are_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let (here, system) = (folder.path().join("muster.toml"), folder.path().join("etc"));
        let of = |named: Option<&str>, variable: Option<&str>| {
            choose(named.map(PathBuf::from), variable.map(PathBuf::from), &here, &system)
        };
        let nowhere = of(None, None);
        assert_eq!(nowhere.path, here);
        let told = nowhere.how.expect("every place");
        for place in ["--config", "MUSTER_CONFIG", "muster.toml", &*system.to_string_lossy()] {
            assert!(told.contains(place), "{told}");
        }
        std::fs::create_dir(&system).expect("a folder");
        assert!(of(None, None).how.is_some(), "an empty folder is none of settings");
        std::fs::write(system.join("a.toml"), "").expect("written");
        assert_eq!(of(None, None), Found { path: system.clone(), how: None });
        std::fs::write(&here, "").expect("written");
        assert_eq!(of(None, None), Found { path: here.clone(), how: None });
        let named = of(None, Some("/b.toml"));
        assert_eq!(named.path, Path::new("/b.toml"));
        assert!(named.how.is_some_and(|how| how.contains("MUSTER_CONFIG names the settings: /b.toml")));
        assert_eq!(of(Some("/a.toml"), Some("/b.toml")).path, Path::new("/a.toml"));
    }
}
