//! The settings of a file sink.

use std::path::PathBuf;

use muster_model::{ByteSize, Span};
use serde::Deserialize;

use crate::formats::{
    BigEvents, CefOptions, EcsOptions, Encoding, LeefOptions, MappingOptions, OcsfOptions, SplunkOptions,
};
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings};

/// `type = "file"`: a file on this machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// Where it is. Its folder must exist. With `{{ tenant.slug }}` or `{{ tenant.id }}` in it each tenant has a file of its own.
    pub path: PathBuf,
    /// How records are written: `raw`, `splunk`, `cef`, `leef`, `ecs` or `ocsf`.
    #[serde(default)]
    pub format: FormatName,
    /// `[sinks.NAME.cef]`
    #[serde(default)]
    pub cef: CefOptions,
    /// `[sinks.NAME.splunk]`
    #[serde(default)]
    pub splunk: SplunkOptions,
    /// `[sinks.NAME.leef]`
    #[serde(default)]
    pub leef: LeefOptions,
    /// `[sinks.NAME.ecs]`
    #[serde(default)]
    pub ecs: EcsOptions,
    /// `[sinks.NAME.ocsf]`
    #[serde(default)]
    pub ocsf: OcsfOptions,
    /// `[sinks.NAME.mapping]`: fields dropped, renamed, set and added.
    #[serde(default)]
    pub mapping: MappingOptions,
    /// The longest event.
    #[serde(default)]
    pub event_size_max: Option<ByteSize>,
    /// What is done with longer ones: `split`, `drop` or `refer`.
    #[serde(default)]
    pub big_events: BigEvents,
    /// The fields that `big_events = "drop"` leaves out, in this order.
    #[serde(default)]
    pub big_drop: Vec<String>,
    /// A file that would grow beyond this is rotated first.
    #[serde(default)]
    pub rotate_size: Option<ByteSize>,
    /// A file as old as this is rotated when the next record comes.
    #[serde(default)]
    pub rotate_every: Option<Span>,
    /// How many rotated files are kept; all when it is missing.
    #[serde(default)]
    pub keep: Option<u32>,
}

impl Settings for FileSettings {
    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let format = self.format.with(&FormatOptions {
            cef: self.cef.clone(),
            splunk: self.splunk.clone(),
            leef: self.leef.clone(),
            ecs: self.ecs.clone(),
            ocsf: self.ocsf.clone(),
        });
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (event_size_max, big_events) = (*event_size_max, *big_events);
        EncodingKeys { format, mapping, event_size_max, big_events, big_drop }.encoding()
    }

    /// While some are written and synced, others are put into their form, and gather for the next sync. Those of one tenant come
    /// one after the other, since the store leases them so: what stands in the ledger as written is always all up to a number.
    fn concurrency(&self) -> u32 {
        4
    }

    fn mistakes(&self) -> Vec<String> {
        super::template::template(&self.path).err().into_iter().collect()
    }
}
