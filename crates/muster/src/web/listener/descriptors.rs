//! File descriptors: as many as the system allows, most of them for the main job.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this are never needed, and some programs that Muster starts walk through all that they may have.
const WANTED: u64 = 65_536;
/// Connections of the public listener at a time, where descriptors allow.
const PUBLIC_MAX: u64 = 1_024;
/// Connections of the pull API's listener at a time.
const PULL_API_MAX: u64 = 256;
/// Connections for health and metrics at a time.
const HEALTH_MAX: u64 = 64;

/// How the descriptors are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What the process may have open.
    pub all: u64,
    /// Connections of the public listener.
    pub public: usize,
    /// Connections of the pull API's listener.
    pub pull_api: usize,
    /// Connections for health and metrics.
    pub health: usize,
}

/// Raises the soft limit as far as the hard one and [`WANTED`] allow, and shares what there is.
pub fn raise() -> Share {
    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let wanted = WANTED.min(hard);
    if soft >= wanted {
        return share(soft);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }) {
        Ok(()) => share(wanted),
        Err(error) => {
            tracing::warn!(%error, limit = soft, "the limit of open files cannot be raised");
            share(soft)
        }
    }
}

/// A quarter is for strangers at most, an eighth for connectors, an eighth for health and metrics: the rest reads, delivers and stores.
fn share(all: u64) -> Share {
    let part = |of: u64, max: u64| usize::try_from((all / of).clamp(8, max)).unwrap_or(usize::MAX);
    Share { all, public: part(4, PUBLIC_MAX), pull_api: part(8, PULL_API_MAX), health: part(8, HEALTH_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_job_keeps_most_descriptors() {
        assert_eq!(share(65_536), Share { all: 65_536, public: 1_024, pull_api: 256, health: 64 });
        assert_eq!(share(1_024), Share { all: 1_024, public: 256, pull_api: 128, health: 64 });
        assert_eq!(share(64), Share { all: 64, public: 16, pull_api: 8, health: 8 });
    }
}
