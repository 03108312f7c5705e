//! `muster init`: a settings file with comments, a store and a master key.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use muster_store::{Address, MasterKey};
use serde::Serialize;

use crate::config::schema;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::Output;

/// The settings file that is written.
const SETTINGS: &str = include_str!("../../../../examples/muster.toml");

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to make them.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

#[derive(Serialize)]
struct Made {
    settings: String,
    store: String,
    master_key: String,
}

pub(crate) async fn run(args: &Args, output: Output) -> Result<Exit, Failed> {
    let folder = &args.folder;
    make_folder(folder)?;
    let (settings, store, key) =
        (folder.join("muster.toml"), folder.join("muster.db"), folder.join("muster.key"));
    let of_editors = folder.join(schema::FILE);
    for path in [&settings, &store, &key, &of_editors] {
        // Also a link that leads nowhere.
        if path.symlink_metadata().is_ok() {
            return Err(Failed::say(
                Exit::Failure,
                format!("{} exists already; nothing was changed", path.display()),
            ));
        }
    }
    let master_key = MasterKey::generate();
    master_key.write_new_file(&key).map_err(|error| Failed::new(Exit::Failure, error))?;
    // Editors that know TOML complete and check the keys by it.
    let text = format!("#:schema ./{}\n{SETTINGS}", schema::FILE);
    let schema = serde_json::to_vec_pretty(&schema::schema()).map_err(std::io::Error::other)?;
    for (path, mode, content) in [(&settings, 0o640, text.as_bytes()), (&of_editors, 0o644, &schema[..])] {
        new_file(path, mode, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    muster_store::make(&Address::Sqlite(store.clone()), &master_key).await?.close().await;
    let made = Made {
        settings: settings.display().to_string(),
        store: store.display().to_string(),
        master_key: key.display().to_string(),
    };
    output.print(&made, |_| {
        format!(
            "made {}, {} and {}\n\n\
             Keep a copy of the master key apart from the store: without it, nothing in the store can be read.\n\
             Next: name your app and your SIEM in {0}, then\n\n\
             \u{20}   muster validate\n    muster sink test\n    muster tenant add contoso.example\n    muster run",
            made.settings, made.store, made.master_key
        )
    })
}

/// Makes the folder, for its owner only: a key and a store will lie in it.
fn make_folder(folder: &Path) -> Result<(), Failed> {
    let shown = folder.display();
    match folder.symlink_metadata() {
        Ok(found) if found.is_symlink() => {
            let message = format!("{shown} is a link: name the folder that it leads to; nothing was changed");
            return Err(Failed::say(Exit::Failure, message));
        }
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => {
            return Err(Failed::say(Exit::Failure, format!("{shown} is not a folder; nothing was changed")));
        }
        Err(_) => {}
    }
    let parent = folder.parent().map_or(Ok(()), std::fs::create_dir_all);
    parent
        .and_then(|()| std::fs::DirBuilder::new().mode(0o700).create(folder))
        .with_context(|| format!("cannot make the folder {shown}"))?;
    Ok(())
}

fn new_file(path: &Path, mode: u32, content: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
