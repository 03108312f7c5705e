//! syslog-ng as a receiver, as `docs/sinks/syslog.md` has it.

use muster_siem::sinks::{Rfc, Transport};

use super::known::{File, Known, SyslogSink};
use crate::exit_code::{Exit, Failed};

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sink = known.syslog(&[])?;
    if sink.settings.transport.is_relp() {
        let said = format!(
            "sink `{}` speaks RELP, which syslog-ng does not take: use tcp or tls, or rsyslog",
            sink.name
        );
        return Err(Failed::say(Exit::Settings, said));
    }
    Ok(vec![File::new("muster.conf", configuration(&sink))])
}

fn configuration(sink: &SyslogSink<'_>) -> String {
    let SyslogSink { name, settings, port, octet_counting, message_bytes } = sink;
    // `syslog()` counts octets, `network()` reads lines and datagrams.
    let driver = if *octet_counting { "syslog" } else { "network" };
    let transport = match settings.transport {
        Transport::Udp => "udp",
        Transport::Tcp | Transport::Relp | Transport::RelpTls => "tcp",
        Transport::Tls => "tls",
    };
    let tls = match settings.transport {
        Transport::Tls => {
            " tls(\n    cert-file(\"/etc/muster-tls/server.pem\") key-file(\"/etc/muster-tls/server.key\") peer-verify(optional-untrusted)\n  )"
        }
        Transport::Udp | Transport::Tcp | Transport::Relp | Transport::RelpTls => "",
    };
    // `network()` reads the old header unless it is told.
    let (flags, message) = match (settings.rfc, *octet_counting) {
        (Rfc::Rfc5424, true) => ("", "$MSG"),
        (Rfc::Rfc5424, false) => (" flags(syslog-protocol)", "$MSG"),
        (Rfc::Rfc3164, _) => ("", "$MSGHDR$MSG"),
    };
    format!(
        "@version: 3.35\n\
         # What sink `{name}` of Muster sends.\n\
         options {{ log-msg-size({message_bytes}); keep-hostname(yes); }};\n\
         source s_muster {{\n  {driver}(port({port}) transport(\"{transport}\"){tls}{flags});\n}};\n\
         destination d_muster {{ file(\"/var/log/muster.log\" template(\"{message}\\n\")); }};\n\
         log {{ source(s_muster); destination(d_muster); flags(flow-control); }};\n",
    )
}
