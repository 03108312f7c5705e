//! Muster's settings for a running emulator, as text.

use std::path::Path;

use crate::client_config::ClientConfig;
use crate::receivers::{INGEST_RULE, INGEST_STREAM};

/// Settings in the making: what all users of an emulator have in common, and what one of them wants besides.
pub struct SettingsText<'a> {
    config: &'a ClientConfig,
    in_files: bool,
    /// Lines of sections, and sections of their own.
    added: Vec<(String, String)>,
    sources: Vec<String>,
    sinks: Option<Vec<String>>,
    extra: String,
}

impl<'a> SettingsText<'a> {
    /// A complete `muster.toml` with all sinks that there are receivers for, and an archive. Secrets are taken from the
    /// environment; the exports are comments.
    pub fn new(config: &'a ClientConfig) -> Self {
        let sources = ["graph_alerts", "graph_incidents"].map(str::to_owned).to_vec();
        Self { config, in_files: false, added: Vec::new(), sources, sinks: None, extra: String::new() }
    }

    /// Takes secrets and the CA from the files that [`SettingsText::write`] writes beside the settings, and asks no
    /// proxy.
    #[must_use]
    pub fn in_files(mut self) -> Self {
        self.in_files = true;
        self.add("network", "proxy = \"\"")
    }

    /// Adds lines to a section, in place of those that say something else of the same keys.
    #[must_use]
    pub fn add(mut self, section: &str, lines: &str) -> Self {
        self.added.push((section.to_owned(), lines.to_owned()));
        self
    }

    /// The sources of the only route; none: all.
    #[must_use]
    pub fn sources(mut self, sources: &[&str]) -> Self {
        self.sources = sources.iter().map(|&source| source.to_owned()).collect();
        self
    }

    /// These sinks only.
    #[must_use]
    pub fn sinks(mut self, sinks: &[&str]) -> Self {
        self.sinks = Some(sinks.iter().map(|&sink| sink.to_owned()).collect());
        self
    }

    /// Text that stands behind all sections.
    #[must_use]
    pub fn extra(mut self, text: &str) -> Self {
        self.extra.push_str(text);
        self
    }

    /// The settings.
    pub fn text(&self) -> String {
        let config = self.config;
        let mut text = format!("# Settings of Muster for the emulator at {}.\n", config.login);
        if !self.in_files {
            text.push_str(&self.exports());
        }
        let sinks = self.sink_sections();
        let names: Vec<&str> = sinks.iter().map(|sink| sink.0.trim_start_matches("sinks.")).collect();
        let (login, graph) = (quoted(&config.login), quoted(&config.graph));
        let cloud =
            format!("name = \"custom\"\nlogin = {login}\ngraph = {graph}{}", self.ca(config.addresses.tls));
        let secret = self.secret("main.secret", "MUSTER_EMULATOR_SECRET");
        let app = format!("client_id = {}\nsecret = {secret}", quoted(&config.app_id));
        let mut sections = vec![("apps.main", app), ("cloud", cloud)];
        if !self.in_files {
            sections.insert(0, ("store", "path = \"muster.db\"".to_owned()));
            sections.push(("collect", "poll_interval = \"5s\"".to_owned()));
        }
        sections.extend(sinks.iter().map(|(name, lines)| (name.as_str(), lines.clone())));
        for (name, lines) in &self.added {
            match sections.iter_mut().find(|section| section.0 == name) {
                Some(section) => section.1 = joined(&section.1, lines),
                None => sections.push((name, lines.clone())),
            }
        }
        for (name, lines) in sections {
            // A section that stands in the text behind is the only one of its name.
            if !self.extra.contains(&format!("[{name}]")) {
                text.push_str(&format!("\n[{name}]\n{lines}\n"));
            }
        }
        text.push_str("\n[[routes]]\ntenants = [\"*\"]\n");
        if !self.sources.is_empty() {
            text.push_str(&format!("sources = {:?}\n", self.sources));
        }
        text.push_str(&format!("sinks = {names:?}\n"));
        if !self.extra.is_empty() {
            text.push_str(&format!("\n{}\n", self.extra));
        }
        text
    }

    /// Writes `muster.toml`, and with [`SettingsText::in_files`] `main.secret`, `splunk.token` and `ca.pem`.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::write(folder.join("muster.toml"), self.text())?;
        if self.in_files {
            std::fs::write(folder.join("main.secret"), &self.config.secret)?;
            std::fs::write(folder.join("splunk.token"), &self.config.hec_token)?;
            std::fs::write(folder.join("ca.pem"), self.config.ca_pem.as_deref().unwrap_or(""))?;
        }
        Ok(())
    }

    fn exports(&self) -> String {
        let config = self.config;
        let mut text = format!(
            "# Secrets are taken from the environment:\n#   export MUSTER_EMULATOR_SECRET='{}'\n#   export MUSTER_EMULATOR_HEC_TOKEN='{}'\n",
            config.secret, config.hec_token
        );
        if config.ca_pem.is_some() && config.ca_file.is_none() {
            text.push_str(&format!(
                "# The CA's certificate is at http://{}/control/ca.pem; save it as {}.\n",
                config.addresses.microsoft,
                self.ca_file()
            ));
        }
        text
    }

    /// The sections of all sinks that are wanted.
    fn sink_sections(&self) -> Vec<(String, String)> {
        let addresses = &self.config.addresses;
        let mut sinks = Vec::new();
        if let Some(url) = addresses.hec_url() {
            let (url, token) = (quoted(&url), self.secret("splunk.token", "MUSTER_EMULATOR_HEC_TOKEN"));
            let ca = self.ca(addresses.hec_tls);
            sinks.push(("splunk", format!("type = \"splunk_hec\"\nurl = {url}\ntoken = {token}{ca}")));
        }
        let syslog =
            [("tls", addresses.syslog_tls), ("tcp", addresses.syslog_tcp), ("udp", addresses.syslog_udp)];
        if let Some((transport, address)) =
            syslog.into_iter().find_map(|(name, address)| Some((name, address?)))
        {
            let ca = self.ca(transport == "tls");
            sinks.push((
                "arcsight",
                format!("type = \"syslog\"\naddress = \"{address}\"\ntransport = \"{transport}\"{ca}\nformat = \"cef\""),
            ));
        }
        if let Some(address) = addresses.ingest {
            let (rule, stream) = (quoted(INGEST_RULE), quoted(INGEST_STREAM));
            let tenant = quoted(&self.config.provider.id);
            sinks.push((
                "sentinel",
                format!("type = \"sentinel\"\nendpoint = \"http://{address}\"\nrule = {rule}\nstream = {stream}\napp = \"main\"\ntenant = {tenant}"),
            ));
        }
        sinks.push(("archive", "type = \"file\"\npath = \"archive.ndjson\"\nformat = \"raw\"".to_owned()));
        let wanted =
            |name: &str| self.sinks.as_ref().is_none_or(|sinks| sinks.iter().any(|sink| sink == name));
        sinks.retain(|sink| wanted(sink.0));
        sinks.into_iter().map(|(name, lines)| (format!("sinks.{name}"), lines)).collect()
    }

    fn secret(&self, file: &str, variable: &str) -> String {
        if self.in_files { format!("{{ file = \"{file}\" }}") } else { format!("{{ env = \"{variable}\" }}") }
    }

    fn ca(&self, wanted: bool) -> String {
        if wanted { format!("\nca_file = {}", quoted(&self.ca_file())) } else { String::new() }
    }

    fn ca_file(&self) -> String {
        match &self.config.ca_file {
            _ if self.in_files => "ca.pem".to_owned(),
            Some(file) => file.display().to_string(),
            None => "emulator-ca.pem".to_owned(),
        }
    }
}

/// The lines of a section with others, which win where both name a key.
fn joined(lines: &str, others: &str) -> String {
    let key = |line: &str| line.split_once('=').map(|parts| parts.0.trim().to_owned());
    let kept = lines.lines().filter(|line| others.lines().all(|other| key(other) != key(line)));
    kept.chain(others.lines()).collect::<Vec<_>>().join("\n")
}

/// A TOML basic string; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
