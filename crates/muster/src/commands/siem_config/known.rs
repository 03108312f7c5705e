//! What is known of Muster's side: tenants, clients and sinks, as a SIEM's side has to know them.

use muster_model::Tenant;
use muster_siem::sinks::{FormatName, Framing, SinkSettings, SyslogSettings, Transport};
use muster_store::PullClient;
use serde::Serialize;

use crate::commands::Context;
use crate::exit_code::{Exit, Failed};

/// A file of a SIEM.
#[derive(Debug, Serialize)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
}

impl File {
    pub(super) fn new(name: impl Into<String>, text: String) -> Self {
        Self { name: name.into(), text }
    }
}

/// What is known of one side, for the other.
pub(super) struct Known<'c> {
    pub(super) context: &'c Context,
    pub(super) tenants: Vec<Tenant>,
    pub(super) clients: Vec<PullClient>,
    pub(super) sink: Option<String>,
}

/// A syslog sink, as its receiver has to know it.
pub(super) struct SyslogSink<'c> {
    pub(super) name: &'c str,
    pub(super) settings: &'c SyslogSettings,
    pub(super) port: u16,
    pub(super) octet_counting: bool,
    /// The longest message that it sends, in bytes.
    pub(super) message_bytes: u64,
}

impl<'c> Known<'c> {
    /// The sinks of a kind: the one that is named, or all.
    pub(super) fn sinks<T>(
        &self,
        kind: &str,
        of: impl Fn(&'c SinkSettings) -> Option<T>,
    ) -> Result<Vec<(&'c str, T)>, Failed> {
        let sinks = &self.context.settings.sinks;
        if let Some(name) = &self.sink {
            let known = sinks.keys().map(String::as_str);
            let Some((name, sink)) = sinks.get_key_value(name) else {
                let meant = muster_model::text::did_you_mean(name, known);
                return Err(Failed::say(
                    Exit::NotFound,
                    format!("there is no sink `{name}`{meant} in the settings"),
                ));
            };
            return match of(sink) {
                Some(found) => Ok(vec![(name.as_str(), found)]),
                None => Err(Failed::say(Exit::Usage, format!("sink `{name}` is not of the type {kind}"))),
            };
        }
        Ok(self.all_sinks(of))
    }

    /// All sinks of a kind, whichever is named: for what several of them share.
    pub(super) fn all_sinks<T>(&self, of: impl Fn(&'c SinkSettings) -> Option<T>) -> Vec<(&'c str, T)> {
        let sinks = self.context.settings.sinks.iter();
        sinks.filter_map(|(name, sink)| Some((name.as_str(), of(sink)?))).collect()
    }

    /// The syslog sink that is meant: the one that is named, or the only one that writes one of these formats, if any are
    /// given.
    pub(super) fn syslog(&self, formats: &[FormatName]) -> Result<SyslogSink<'c>, Failed> {
        let found = self.sinks("syslog", |sink| match sink {
            SinkSettings::Syslog(settings) => Some(settings),
            _ => None,
        })?;
        let fits = |settings: &SyslogSettings| formats.is_empty() || formats.contains(&settings.format);
        let fitting: Vec<_> = match &self.sink {
            Some(_) => found,
            None => found.into_iter().filter(|(_, settings)| fits(settings)).collect(),
        };
        let words = formats.iter().map(|format| format.as_str()).collect::<Vec<_>>().join(" or ");
        match fitting[..] {
            [(name, settings)] => {
                let port = settings
                    .address
                    .first()
                    .and_then(|address| address.rsplit_once(':'))
                    .and_then(|(_, port)| port.parse().ok());
                let port = port.ok_or_else(|| {
                    Failed::say(Exit::Settings, format!("the address of sink `{name}` names no port"))
                })?;
                let framing = settings.framing.unwrap_or_else(|| Framing::usual_for(settings.transport));
                let message_bytes = settings.message_bytes().0;
                let octet_counting =
                    framing == Framing::OctetCounting && settings.transport != Transport::Udp;
                Ok(SyslogSink { name, settings, port, octet_counting, message_bytes })
            }
            [] => {
                let with = if words.is_empty() { String::new() } else { format!(" with format = {words}") };
                let said = format!(
                    "the settings have no sink of type syslog{with}; add one, and this tells what its receiver needs"
                );
                Err(Failed::say(Exit::NotFound, said))
            }
            _ => {
                let names = fitting.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                Err(Failed::say(Exit::Usage, format!("several sinks fit: {names}; say which with --sink")))
            }
        }
    }

    pub(super) fn tenant_of(&self, client: &PullClient) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.id == client.tenant)
    }

    /// An address of the pull API, if it is served.
    pub(super) fn pull_address(&self, path: &str) -> Option<String> {
        self.context.settings.pull_api.as_ref().map(|pull_api| pull_api.address(path))
    }
}
