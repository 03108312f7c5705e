//! Muster's settings for a running emulator, as text.

use std::fmt::Write;

use crate::control::ClientConfig;

/// A complete `muster.toml` for the emulator that `config` describes, with the exports that it needs as comments.
pub fn settings_toml(config: &ClientConfig) -> String {
    let mut text = String::new();
    write_settings(&mut text, config).expect("writing to a string does not fail");
    text
}

fn write_settings(out: &mut String, config: &ClientConfig) -> std::fmt::Result {
    let addresses = &config.addresses;
    let ca_file =
        config.ca_file.as_ref().map_or("emulator-ca.pem".to_owned(), |file| file.display().to_string());
    writeln!(out, "# Settings of Muster for the emulator at {}.", config.login)?;
    writeln!(out, "# Secrets are taken from the environment:")?;
    writeln!(out, "#   export MUSTER_EMULATOR_SECRET='{}'", config.secret)?;
    writeln!(out, "#   export MUSTER_EMULATOR_HEC_TOKEN='{}'", config.hec_token)?;
    if config.ca_pem.is_some() && config.ca_file.is_none() {
        writeln!(
            out,
            "# The CA's certificate is at http://{}/control/ca.pem; save it as {ca_file}.",
            addresses.microsoft
        )?;
    }
    writeln!(out, "\n[store]\npath = \"muster.db\"")?;
    writeln!(out, "\n[apps.main]\nclient_id = {}", quoted(&config.app_id))?;
    writeln!(out, "secret = {{ env = \"MUSTER_EMULATOR_SECRET\" }}")?;
    writeln!(
        out,
        "\n[cloud]\nname = \"custom\"\nlogin = {}\ngraph = {}",
        quoted(&config.login),
        quoted(&config.graph)
    )?;
    if addresses.tls {
        writeln!(out, "ca_file = {}", quoted(&ca_file))?;
    }
    writeln!(out, "\n[collect]\npoll_interval = \"5s\"")?;
    let mut sinks = Vec::new();
    if let Some(url) = addresses.hec_url() {
        sinks.push("splunk");
        writeln!(out, "\n[sinks.splunk]\ntype = \"splunk_hec\"\nurl = {}", quoted(&url))?;
        writeln!(out, "token = {{ env = \"MUSTER_EMULATOR_HEC_TOKEN\" }}")?;
        if addresses.hec_tls {
            writeln!(out, "ca_file = {}", quoted(&ca_file))?;
        }
    }
    let syslog =
        [("tls", addresses.syslog_tls), ("tcp", addresses.syslog_tcp), ("udp", addresses.syslog_udp)];
    if let Some((transport, address)) = syslog.into_iter().find_map(|(name, address)| Some((name, address?)))
    {
        sinks.push("arcsight");
        writeln!(
            out,
            "\n[sinks.arcsight]\ntype = \"syslog\"\naddress = \"{address}\"\ntransport = \"{transport}\""
        )?;
        if transport == "tls" {
            writeln!(out, "ca_file = {}", quoted(&ca_file))?;
        }
        writeln!(out, "format = \"cef\"")?;
    }
    sinks.push("archive");
    writeln!(out, "\n[sinks.archive]\ntype = \"file\"\npath = \"alerts.ndjson\"\nformat = \"raw\"")?;
    let sinks: Vec<String> = sinks.into_iter().map(quoted).collect();
    writeln!(out, "\n[[routes]]\ntenants = [\"*\"]\nsources = [\"graph_alerts\", \"graph_incidents\"]")?;
    writeln!(out, "sinks = [{}]", sinks.join(", "))
}

/// A TOML basic string; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
