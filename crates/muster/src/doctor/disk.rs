//! Room on the disks that are written to: the store's, and those of file sinks.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use muster_siem::sinks::SinkSettings;
use rustix::fs::{StatVfs, StatVfsMountFlags};

use super::finding::{Finding, Part};
use crate::config::Settings;
use crate::shown::output::size;

/// With less, the next page may find no room.
const FULL_BELOW: u64 = 64 << 20;
/// With less, somebody should look before it is full.
const SHORT_BELOW: u64 = 1 << 30;

pub(super) fn look(settings: &Settings, findings: &mut Vec<Finding>) {
    let store = settings.path(&settings.store.path);
    let files = settings.sinks.values().filter_map(|sink| match sink {
        // A path may have the tenant in it: what is before that is there already.
        SinkSettings::File(file) => {
            let path = file.path.to_string_lossy().into_owned();
            let fixed = path.split("{{").next().unwrap_or_default().to_owned();
            Some(settings.path(Path::new(&fixed)))
        }
        _ => None,
    });
    let mut seen = BTreeSet::new();
    for path in std::iter::once(store).chain(files) {
        // What is missing is told of the store and the sink themselves.
        let Some((folder, device)) = folder(&path) else { continue };
        if seen.insert(device) {
            findings.push(match rustix::fs::statvfs(&folder) {
                Ok(disk) => finding(&folder, &disk),
                Err(error) => Finding::problem(
                    Part::Disk,
                    folder.display().to_string(),
                    format!("its disk does not answer: {}", std::io::Error::from(error)),
                    "look at the disk: `dmesg`",
                ),
            });
        }
    }
}

/// The first folder on the way up that is there, and its disk.
fn folder(path: &Path) -> Option<(PathBuf, u64)> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().skip(1).find_map(|folder| {
        let found = std::fs::metadata(folder).ok().filter(std::fs::Metadata::is_dir)?;
        Some((folder.to_owned(), found.dev()))
    })
}

fn finding(folder: &Path, disk: &StatVfs) -> Finding {
    let about = folder.display().to_string();
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let room = format!("{} free", size(free));
    // Some file systems count no inodes.
    let no_inodes = disk.f_files > 0 && disk.f_favail == 0;
    if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let found = "its disk is mounted read-only: nothing can be written";
        return Finding::problem(Part::Disk, about.clone(), found, format!("`mount -o remount,rw {about}`"));
    }
    if no_inodes {
        let found = "its disk has no inodes left: no file can be made";
        return Finding::problem(Part::Disk, about, found, "delete files there, however small: `df -i`");
    }
    let cure = format!(
        "free space, or enlarge the disk: `df -h {about}`; `journal_max_size` in [store] bounds the journal"
    );
    match free {
        _ if free < FULL_BELOW => {
            Finding::problem(Part::Disk, about, format!("its disk is full: {room}"), cure)
        }
        _ if free < SHORT_BELOW => {
            Finding::warning(Part::Disk, about, format!("its disk is nearly full: {room}"), cure)
        }
        _ => Finding::ok(Part::Disk, about, room),
    }
}
