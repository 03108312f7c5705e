//! rsyslog as a receiver, as `docs/sinks/syslog.md` has it.

use muster_siem::sinks::{Rfc, Transport};

use super::known::{File, Known, SyslogSink};
use crate::exit_code::Failed;

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sink = known.syslog(&[])?;
    Ok(vec![File::new("10-muster.conf", configuration(&sink))])
}

fn configuration(sink: &SyslogSink<'_>) -> String {
    let SyslogSink { name, settings, port, message_bytes, .. } = sink;
    let tls = settings.transport == Transport::Tls;
    let relp_tls = match settings.transport {
        Transport::RelpTls => {
            "\n  tls=\"on\" tls.caCert=\"/etc/muster-tls/ca.pem\" tls.myCert=\"/etc/muster-tls/server.pem\"\n  tls.myPrivKey=\"/etc/muster-tls/server.key\""
        }
        _ => "",
    };
    let certificates = match tls {
        true => {
            "\n  defaultNetstreamDriverCAFile=\"/etc/muster-tls/ca.pem\"\n  defaultNetstreamDriverCertFile=\"/etc/muster-tls/server.pem\"\n  defaultNetstreamDriverKeyFile=\"/etc/muster-tls/server.key\""
        }
        false => "",
    };
    // With the old header rsyslog takes the beginning of the event for the name of a program.
    let message = match settings.rfc {
        Rfc::Rfc5424 => "%msg%",
        Rfc::Rfc3164 => "%syslogtag%%msg%",
    };
    let (module, input) = match settings.transport {
        Transport::Relp | Transport::RelpTls => ("module(load=\"imrelp\")".to_owned(), "imrelp"),
        Transport::Udp => ("module(load=\"imudp\")".to_owned(), "imudp"),
        Transport::Tcp | Transport::Tls => {
            let driver = match tls {
                true => {
                    "\n  streamDriver.name=\"gtls\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\""
                }
                false => "",
            };
            // A frame that is longer breaks all that follows on its connection.
            (format!("module(load=\"imtcp\" maxFrameSize=\"{message_bytes}\"{driver})"), "imtcp")
        }
    };
    format!(
        "# What sink `{name}` of Muster sends. It has to be the first file that is read: maxMessageSize counts only for inputs\n\
         # that come after it.{}\n\
         global(\n  maxMessageSize=\"{message_bytes}\"\n  workDirectory=\"/var/spool/rsyslog\"{certificates}\n)\n\
         {module}\n\
         template(name=\"muster\" type=\"string\" string=\"{message}\\n\")\n\
         ruleset(\n  name=\"muster\"\n  queue.type=\"LinkedList\" queue.filename=\"muster\" queue.maxDiskSpace=\"1g\"\n  queue.saveOnShutdown=\"on\" queue.timeoutShutdown=\"60000\"\n) {{\n\
         \x20 action(type=\"omfile\" file=\"/var/log/muster.log\" template=\"muster\")\n}}\n\
         input(type=\"{input}\" port=\"{port}\" ruleset=\"muster\"{more})\n",
        match settings.transport {
            Transport::Tls => " TLS needs the package rsyslog-gnutls.",
            Transport::Relp | Transport::RelpTls => " RELP needs the package rsyslog-relp.",
            Transport::Tcp | Transport::Udp => "",
        },
        more = match settings.transport.is_relp() {
            true => format!(" maxDataSize=\"{message_bytes}\"{relp_tls}"),
            false => String::new(),
        },
    )
}
