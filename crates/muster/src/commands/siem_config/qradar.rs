//! QRadar: a log source for what a syslog sink sends.

use muster_siem::sinks::{FormatName, Transport};

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sink = known.syslog(&[FormatName::Leef, FormatName::Cef])?;
    let (protocol, port) = match sink.settings.transport {
        Transport::Tls => ("TLS Syslog", format!("TLS Listen Port        {}", sink.port)),
        Transport::Relp | Transport::RelpTls => {
            let said = format!("sink `{}` speaks RELP, which QRadar does not: use tcp or tls", sink.name);
            return Err(Failed::say(Exit::Settings, said));
        }
        Transport::Tcp | Transport::Udp => {
            ("Syslog", format!("(QRadar listens on 514; the sink sends to {})", sink.port))
        }
    };
    let kind = match sink.settings.format {
        FormatName::Leef => "Universal LEEF",
        FormatName::Cef => "Universal CEF",
        other => {
            let said =
                format!("sink `{}` writes {}, and QRadar reads leef or cef", sink.name, other.as_str());
            return Err(Failed::say(Exit::Settings, said));
        }
    };
    let tenants = known.tenants.iter().map(|tenant| tenant.slug.as_str()).collect::<Vec<_>>().join(", ");
    let payload = sink.message_bytes;
    let text = format!(
        "What QRadar needs for sink `{}` of Muster.\n\n\
         Admin > Log Sources > New Log Source\n\
         Log Source Type        {kind}\n\
         Protocol Type          {protocol}\n\
         Log Source Identifier  muster          (the host name in the header of each message)\n\
         {port}\n\
         Coalescing Events      off             (alerts are no floods, and coalesced ones lose their fields)\n\
         Store Event Payload    on\n\n\
         Admin > System Settings > Advanced\n\
         Max {} Syslog Payload Length  {payload}   (what is longer is cut; Muster sends {payload} bytes at most)\n\n\
         One log source gets the alerts of all tenants ({tenants}). To keep customers apart, add a custom property\n\
         `Muster tenant` and a domain for each of its values under Admin > Domain Management: {}.\n",
        sink.name,
        if sink.settings.transport == Transport::Udp { "UDP" } else { "TCP" },
        match sink.settings.format {
            FormatName::Leef => "it stands in the key `tenantName`",
            _ => "it stands in the key `cs3`, whose label is `tenantName`",
        },
    );
    Ok(vec![File::new("qradar.txt", text)])
}
