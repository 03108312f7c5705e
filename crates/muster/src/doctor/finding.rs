//! What the doctor finds.

use serde::Serialize;

use crate::exit_code::Exit;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Ok,
    /// It works, and is worth a look; or it could not be looked at.
    Warning,
    /// Something does not work.
    Problem,
}

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Settings,
    Key,
    Store,
    Disk,
    Run,
    Host,
    Clock,
    Tenant,
    Sink,
    Stream,
    Notice,
}

impl Part {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Key => "key",
            Self::Store => "store",
            Self::Disk => "disk",
            Self::Run => "run",
            Self::Host => "host",
            Self::Clock => "clock",
            Self::Tenant => "tenant",
            Self::Sink => "sink",
            Self::Stream => "stream",
            Self::Notice => "notice",
        }
    }

    /// How a command ends that fails because of it.
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Settings | Self::Key => Exit::Settings,
            Self::Store => Exit::Store,
            Self::Tenant | Self::Host => Exit::Microsoft,
            Self::Sink | Self::Notice => Exit::Sink,
            Self::Disk | Self::Run | Self::Clock | Self::Stream => Exit::Failure,
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) part: Part,
    /// Which one, such as `sinks.splunk`, a host or a path.
    pub(crate) about: String,
    pub(crate) level: Level,
    /// What was found, and why.
    pub(crate) found: String,
    /// A command or an edit; empty where nothing is to be done.
    pub(crate) cure: String,
}

impl Finding {
    pub(super) fn ok(part: Part, about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { part, about: about.into(), level: Level::Ok, found: found.into(), cure: String::new() }
    }

    pub(super) fn warning(
        part: Part,
        about: impl Into<String>,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let (about, found, cure) = (about.into(), found.into(), cure.into());
        Self { part, about, level: Level::Warning, found, cure }
    }

    pub(super) fn problem(
        part: Part,
        about: impl Into<String>,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { level: Level::Problem, ..Self::warning(part, about, found, cure) }
    }
}
