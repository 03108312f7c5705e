//! `muster init`: a settings file with comments, a store and a master key.

mod files;
mod missing;
mod service;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use muster_store::{Address, MasterKey};
use serde::Serialize;

use self::files::{KEEP_A_COPY, write_settings};
use crate::config::schema;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to make them.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The store's file, where it is to lie elsewhere than beside the settings.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Make only what is missing: of the settings, and of the key and the store that they name.
    #[arg(long)]
    missing: bool,
    /// Make a service, as root: the user muster, /etc/muster, /var/lib/muster and systemd's unit, and what is missing in them. Starts
    /// nothing.
    #[arg(long, conflicts_with_all = ["folder", "store", "missing"])]
    service: bool,
}

#[derive(Serialize)]
struct Made {
    settings: String,
    store: String,
    master_key: String,
}

pub(crate) async fn run(args: &Args, output: Output) -> Result<Exit, Failed> {
    if args.service {
        return service::run(output);
    }
    let folder = &args.folder;
    make_folder(folder)?;
    if args.missing {
        return missing::run(folder, args.store.as_deref(), output).await;
    }
    let (settings, store, key) = (folder.join("muster.toml"), store_of(args), folder.join("muster.key"));
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
    write_settings(&settings, args.store.as_deref())?;
    muster_store::make(&Address::Sqlite(store.clone()), &master_key).await?.close().await;
    let made = Made {
        settings: settings.display().to_string(),
        store: store.display().to_string(),
        master_key: key.display().to_string(),
    };
    output.print(&made, |_| {
        format!(
            "made {}, {} and {}\n\n{KEEP_A_COPY}\n\
             Next: name your app and your SIEM in {0}, then\n\n\
             \u{20}   muster validate\n    muster sink test\n    muster tenant add contoso.example\n    muster run",
            made.settings, made.store, made.master_key
        )
    })
}

/// Relative to the folder of the settings, as they say it.
fn store_of(args: &Args) -> PathBuf {
    args.folder.join(args.store.as_deref().unwrap_or(Path::new("muster.db")))
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
