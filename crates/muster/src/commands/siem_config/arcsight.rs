//! ArcSight: a FlexConnector for the old pull API, as the product's own connector was set up (microsoft-365-docs,
//! `configure-arcsight.md`), with the map of fields that Microsoft gave (`api-portal-mapping.md`); and a SmartConnector for
//! CEF over syslog.

use std::fmt::Write as _;

use muster_siem::sinks::{FormatName, Transport};
use muster_store::PullClient;

use super::known::{File, Known, SyslogSink};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::plain;

/// Fields of ArcSight, and what they are made of: the tokens, or a function of them.
const FIELDS: [(&str, &str); 31] = [
    ("deviceVendor", "__getVendor(\"Microsoft\")"),
    ("deviceProduct", "__stringConstant(\"Microsoft Defender ATP\")"),
    ("deviceVersion", "__stringConstant(\"2.0\")"),
    ("name", "AlertTitle"),
    ("deviceEventClassId", "AlertTitle"),
    ("deviceSeverity", "Severity"),
    ("deviceEventCategory", "Category"),
    ("sourceServiceName", "Source"),
    ("sourceHostName", "MachineName"),
    ("sourceDnsDomain", "MachineDomain"),
    ("fileName", "FileName"),
    ("filePath", "FilePath"),
    ("fileHash", "Sha1"),
    ("sourceNtDomain", "UserDomain"),
    ("sourceUserName", "UserName"),
    ("sourceUserId", "LogOnUsers"),
    ("sourceAddress", "__oneOfAddress(IpAddress)"),
    ("requestUrl", "Url"),
    ("externalId", "AlertId"),
    ("message", "Description"),
    ("deviceReceiptTime", "AlertTime"),
    ("deviceCustomString1", "ThreatName"),
    ("deviceCustomString4", "Actor"),
    ("deviceCustomString5", "Md5"),
    ("deviceCustomString6", "Sha256"),
    ("deviceCustomNumber1", "__safeToLong(__ifTrueThenElse(WasExecutingWhileDetected,\"1\",\"0\"))"),
    ("deviceCustomNumber2", "__safeToLong(__ifTrueThenElse(RemediationIsSuccess,\"1\",\"0\"))"),
    ("flexString1", "LinkToWDATP"),
    ("flexString2", "LastProcessedTimeUtc"),
    ("deviceCustomString2", "MachineGroup"),
    ("deviceCustomString3", "CommandLine"),
];

/// The labels of fields that have no meaning of their own.
const LABELS: [(&str, &str); 11] = [
    ("deviceCustomString1Label", "Threat name"),
    ("deviceCustomString2Label", "Machine group"),
    ("deviceCustomString3Label", "Command line"),
    ("deviceCustomString4Label", "Actor"),
    ("deviceCustomString5Label", "MD5"),
    ("deviceCustomString6Label", "SHA256"),
    ("deviceCustomNumber1Label", "Was executing"),
    ("deviceCustomNumber2Label", "Remediated"),
    ("flexString1Label", "Link"),
    ("flexString2Label", "Processed"),
    ("deviceCustomDate1Label", "Alert time"),
];

/// Fields of a detection that the parser takes up, with their types.
const TOKENS: [(&str, &str); 27] = [
    ("AlertTime", "TimeStamp"),
    ("AlertTitle", "String"),
    ("Category", "String"),
    ("Severity", "String"),
    ("AlertId", "String"),
    ("Actor", "String"),
    ("LinkToWDATP", "String"),
    ("Sha1", "String"),
    ("Sha256", "String"),
    ("Md5", "String"),
    ("FileName", "String"),
    ("FilePath", "String"),
    ("IpAddress", "String"),
    ("Url", "String"),
    ("UserName", "String"),
    ("UserDomain", "String"),
    ("LogOnUsers", "String"),
    ("MachineName", "String"),
    ("MachineDomain", "String"),
    ("MachineGroup", "String"),
    ("ThreatName", "String"),
    ("Source", "String"),
    ("Description", "String"),
    ("CommandLine", "String"),
    ("RemediationIsSuccess", "String"),
    ("WasExecutingWhileDetected", "String"),
    ("LastProcessedTimeUtc", "String"),
];

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let mut files = Vec::new();
    let cef = match known.syslog(&[FormatName::Cef]) {
        Ok(sink) => Some(sink),
        Err(failed) if known.sink.is_some() => return Err(failed),
        Err(_) => None,
    };
    let served = known.pull_address("").is_some();
    if served {
        for client in &known.clients {
            files.push(properties(known, client));
        }
        if !known.clients.is_empty() {
            files.push(File::new("muster-connector.jsonparser.properties", parser()));
        }
    }
    if let Some(sink) = &cef {
        files.push(smart_connector(sink));
    }
    if files.is_empty() {
        let said = match served {
            true => {
                "there is no client of these tenants: `muster client add --tenant …` adds one; or add a sink of type syslog with format = \"cef\""
            }
            false => {
                "ArcSight gets alerts by CEF (add a sink of type syslog with format = \"cef\") or asks for them (add [pull_api], and `muster client add --tenant …`)"
            }
        };
        return Err(Failed::say(Exit::NotFound, said));
    }
    Ok(files)
}

/// A file name for a client: one alone has the plain one.
fn properties(known: &Known<'_>, client: &PullClient) -> File {
    let slug =
        known.tenant_of(client).map_or_else(|| client.tenant.to_string(), |tenant| tenant.slug.to_string());
    let alone = known.clients.len() == 1;
    let name = match alone {
        true => "muster-connector.properties".to_owned(),
        false => format!("muster-connector-{slug}-{}.properties", &client.id.simple().to_string()[..8]),
    };
    let address = |path: &str| known.pull_address(path).unwrap_or_default();
    // A properties file takes `:` and `=` of a value as they stand; only a backslash would be an escape.
    let text = format!(
        "# Detections of {slug} for an ArcSight FlexConnector REST, client \"{}\".\n\
         # Put it beside muster-connector.jsonparser.properties into $ARCSIGHT_HOME/current/user/agent/flexagent, and set the\n\
         # connector up as \"FlexConnector REST\":\n\
         #   Configuration File         muster-connector\n\
         #   Events URL                 {}?sinceTimeUtc=$START_AT_TIME\n\
         #   Authentication Type        OAuth 2\n\
         #   OAuth 2 Client Properties  this file\n\
         #   Refresh Token              the one that `muster client add` printed\n\
         client_ID={}\n\
         client_secret=<CLIENT_SECRET, AS `muster client add` PRINTED IT>\n\
         auth_url={}\n\
         token_url={}\n\
         redirect_uri=https://localhost:44300/wdatpconnector\n\
         scope=\n\
         reauthenticate=false\n",
        plain(&client.name),
        address("/api/alerts/"),
        client.id,
        address(&format!("/{}/oauth2/authorize", client.tenant)),
        address(&format!("/{}/oauth2/token", client.tenant)),
    );
    File::new(name, text)
}

/// The FlexConnector's parser of JSON.
fn parser() -> String {
    let mut text = String::from(
        "# Detections as Muster answers them: an array, an object each.\n\
         trigger.node.location=/\n",
    );
    // Writing to a String cannot fail.
    writeln!(text, "token.count={}", TOKENS.len()).ok();
    for (index, (name, kind)) in TOKENS.iter().enumerate() {
        writeln!(
            text,
            "token[{index}].name={name}\ntoken[{index}].location={name}\ntoken[{index}].type={kind}"
        )
        .ok();
        if *kind == "TimeStamp" {
            // Seconds are enough: what stands behind them differs in length.
            writeln!(text, "token[{index}].format=yyyy-MM-dd'T'HH\\:mm\\:ss").ok();
        }
    }
    for (field, from) in FIELDS {
        writeln!(text, "event.{field}={from}").ok();
    }
    for (field, label) in LABELS
        .iter()
        .filter(|(field, _)| FIELDS.iter().any(|(name, _)| field.strip_suffix("Label") == Some(*name)))
    {
        writeln!(text, "event.{field}=__stringConstant(\"{label}\")").ok();
    }
    text.push_str(
        "severity.map.veryhigh.if.deviceSeverity=\n\
         severity.map.high.if.deviceSeverity=High\n\
         severity.map.medium.if.deviceSeverity=Medium\n\
         severity.map.low.if.deviceSeverity=Low,Informational\n",
    );
    text
}

fn smart_connector(sink: &SyslogSink<'_>) -> File {
    let transport = match sink.settings.transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "Raw TCP",
        Transport::Tls => "TLS",
        Transport::Relp | Transport::RelpTls => "(none: a SmartConnector speaks no RELP; use tcp or tls)",
    };
    let text = format!(
        "A SmartConnector for what sink `{}` of Muster sends: CEF, one event a message.\n\n\
         Type              Syslog Daemon\n\
         Network Port      {}\n\
         IP Address        (ALL)\n\
         Protocol          {transport}\n\
         Forwarder         false\n\n\
         In user/agent/agent.properties, so that nothing is cut:\n\
         agents[0].tcpbuffersize={bytes}\n\
         agents[0].tcpmaxbuffersize={bytes}\n\
         agents[0].tcpmaxidletime=-1\n{}",
        sink.name,
        sink.port,
        match sink.settings.transport {
            Transport::Tls =>
                "\nIts certificate must be one that Muster trusts: the system's roots, or `ca_file` of the sink.\n",
            _ => "",
        },
        bytes = sink.message_bytes,
    );
    File::new("smartconnector.txt", text)
}

#[cfg(test)]
mod tests {
    use super::{FIELDS, LABELS, TOKENS, parser};

    #[test]
    fn the_parser_uses_what_it_takes_up() {
        let text = parser();
        for (field, from) in FIELDS {
            let functions = from.contains("Constant") || from.contains("getVendor");
            let used = TOKENS.iter().any(|(token, _)| {
                from.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == *token)
            });
            assert!(functions || used, "{field} is made of nothing");
        }
        for (token, _) in TOKENS {
            let used = FIELDS
                .iter()
                .any(|(_, from)| from.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == token));
            assert!(used, "{token} is used by nothing");
        }
        let mut keys: Vec<&str> =
            text.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "no key twice");
        assert!(text.contains(&format!("token.count={}\n", TOKENS.len())));
        assert!(LABELS.iter().filter(|(label, _)| text.contains(label)).count() >= 10);
        // Microsoft's map, by its rows that differ from field to field.
        for line in
            ["event.externalId=AlertId", "event.deviceCustomString6=Sha256", "event.flexString1=LinkToWDATP"]
        {
            assert!(text.contains(line), "{line}");
        }
    }
}
