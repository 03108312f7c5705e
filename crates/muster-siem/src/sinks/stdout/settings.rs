//! The settings of the standard output.

use muster_model::{ByteSize, Span};
use serde::Deserialize;

use crate::formats::{
    BigEvents, CefOptions, EcsOptions, Encoding, LeefOptions, MappingOptions, OcsfOptions, SplunkOptions,
};
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, seconds};

/// `type = "stdout"`: lines to the standard output of `muster run`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StdoutSettings {
    /// How records are written: each event is a line.
    #[serde(default)]
    pub format: FormatName,
    /// `[sinks.NAME.cef]`
    #[serde(default)]
    pub cef: CefOptions,
    /// `[sinks.NAME.leef]`
    #[serde(default)]
    pub leef: LeefOptions,
    /// `[sinks.NAME.splunk]`
    #[serde(default)]
    pub splunk: SplunkOptions,
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
    /// How long the reader may take to read a delivery batch.
    #[serde(default = "half_minute")]
    pub timeout: Span,
}

impl Settings for StdoutSettings {
    fn target(&self) -> String {
        "standard output".to_owned()
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let options = FormatOptions {
            cef: self.cef.clone(),
            splunk: self.splunk.clone(),
            leef: self.leef.clone(),
            ecs: self.ecs.clone(),
            ocsf: self.ocsf.clone(),
        };
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (format, event_size_max) = (self.format.with(&options), *event_size_max);
        EncodingKeys { format, mapping, event_size_max, big_events: *big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        // There is one output.
        1
    }
}

fn half_minute() -> Span {
    seconds(30)
}
