//! Splunk: the indexes that the sinks write to and the tokens that let them, and the modular input of the old pull API
//! (windows-itpro-docs, `configure-splunk.md`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use muster_siem::formats::IndexTemplate;
use muster_siem::sinks::{Acknowledge, SinkSettings};

use super::known::{File, Known};
use crate::commands::splunk_app::stanzas;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::plain;

/// Splunk's own default, where a sink names no index.
const MAIN: &str = "main";

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("splunk_hec", |sink| match sink {
        SinkSettings::SplunkHec(settings) => Some(settings),
        _ => None,
    })?;
    let mut indexes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut inputs = String::new();
    for (name, settings) in &sinks {
        // By the stanza's name: where its token is kept, and its indexes.
        let mut tokens: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
        for tenant in &known.tenants {
            let index = settings
                .index
                .as_ref()
                .map_or_else(|| MAIN.to_owned(), |index| index.expand(&tenant.label()));
            if !IndexTemplate::takes(&index) {
                let said = format!(
                    "sink `{name}`: the index of {} would be `{}`, which Splunk does not take",
                    tenant.slug,
                    plain(&index)
                );
                return Err(Failed::say(Exit::Settings, said));
            }
            indexes.entry(index.clone()).or_default().push(tenant.slug.as_str());
            let (stanza, place) = match settings.has_token_for_each_tenant() {
                true => {
                    let own = settings.tokens_of(&tenant.label()).swap_remove(0);
                    (format!("muster_{name}_{}", tenant.slug), own.to_string())
                }
                false => (format!("muster_{name}"), settings.token.to_string()),
            };
            let (_, of_token) = tokens.entry(stanza).or_insert_with(|| (place, Vec::new()));
            if !of_token.contains(&index) {
                of_token.push(index);
            }
        }
        let acknowledges = match settings.acknowledge {
            Acknowledge::Off => "false",
            Acknowledge::Auto | Acknowledge::Required => "true",
        };
        let url = plain(&settings.url.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        for (stanza, (place, of_token)) in &tokens {
            // Writing to a String cannot fail.
            write!(
                inputs,
                "# What sink `{name}` of Muster sends, to {url}\n[http://{stanza}]\ndisabled = 0\n\
                 token = <THE TOKEN THAT {place} NAMES>\nindex = {}\nindexes = {}\nuseACK = {acknowledges}\n\n",
                of_token[0],
                of_token.join(","),
            )
            .ok();
        }
    }
    let mut files = Vec::new();
    if !sinks.is_empty() {
        let port = sinks
            .iter()
            .find_map(|(_, settings)| settings.url.0.first().and_then(url::Url::port_or_known_default))
            .unwrap_or(8088);
        let head = format!("[http]\ndisabled = 0\nport = {port}\n\n");
        files.push(File::new("inputs.conf", format!("{head}{inputs}")));
        let mut text = String::new();
        for (index, tenants) in indexes.iter().filter(|(index, _)| index.as_str() != MAIN) {
            let of =
                if tenants.len() > 3 { format!("{} tenants", tenants.len()) } else { tenants.join(", ") };
            write!(text, "# {of}{}", stanzas(std::slice::from_ref(index))).ok();
        }
        if !text.is_empty() {
            files.push(File::new("indexes.conf", text));
        }
    }
    if known.sink.is_none() && known.pull_address("").is_some() && !known.clients.is_empty() {
        files.push(File::new("inputs-pull.conf", modular_inputs(known)));
    }
    match files.is_empty() {
        true => Err(Failed::say(
            Exit::NotFound,
            "Splunk gets alerts by a sink of type splunk_hec, or asks for them ([pull_api], and `muster client add --tenant …`): the settings have neither",
        )),
        false => Ok(files),
    }
}

/// The inputs of the add-on "Windows Defender ATP Modular Inputs", and of the REST modular input that it was made of.
fn modular_inputs(known: &Known<'_>) -> String {
    let mut text =
        String::from("# For those who ask: the modular input that was written for the retired SIEM API.\n");
    for client in &known.clients {
        let slug = known
            .tenant_of(client)
            .map_or_else(|| client.tenant.to_string(), |tenant| tenant.slug.to_string());
        let address = |path: &str| known.pull_address(path).unwrap_or_default();
        write!(
            text,
            "[rest://muster_{slug}_{}]\nendpoint = {}\nhttp_method = GET\nauth_type = oauth2\noauth2_token_type = Bearer\n\
             oauth2_access_token = <EMPTY AT FIRST: IT IS RENEWED>\noauth2_refresh_token = <REFRESH_TOKEN, AS `muster client add` PRINTED IT>\n\
             oauth2_refresh_url = {}\noauth2_client_id = {}\noauth2_client_secret = <CLIENT_SECRET, AS `muster client add` PRINTED IT>\n\
             response_type = json\nresponse_handler = JSONArrayHandler\npolling_interval = 60\nsourcetype = _json\n\n",
            &client.id.simple().to_string()[..8],
            address("/api/alerts"),
            address(&format!("/{}/oauth2/token", client.tenant)),
            client.id,
        )
        .ok();
    }
    text
}
