//! `[sinks.NAME]`: each type of sink has its own section, which is written and read in `muster_siem::sinks`.

use muster_model::text::did_you_mean;
use muster_siem::sinks::SinkSettings;
use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::Mistake;
use super::document::Document;
use super::wording::without_values;

/// Reads a sink's section. The type is read first, so that each type's mistakes keep their lines.
pub(super) fn read(
    document: &Document<'_>,
    name: &str,
    value: Spanned<DeValue<'_>>,
    mistakes: &mut Vec<Mistake>,
) -> Option<SinkSettings> {
    let span = value.span();
    let DeValue::Table(mut table) = value.into_inner() else {
        mistakes.push(document.mistake_at(&span, name, None, &format!("write it as a section: [{name}]")));
        return None;
    };
    let Some(kind) = table.remove("type" as &str) else {
        let types = one_of(&SinkSettings::TYPES.map(|kind| format!("\"{kind}\"")));
        let message = format!("the type is missing: type = {types}");
        mistakes.push(document.mistake_at(&span, name, Some("type"), &message));
        return None;
    };
    let at = kind.span();
    let kind = match kind.into_inner() {
        DeValue::String(DeString::Borrowed(kind)) => kind.to_owned(),
        DeValue::String(DeString::Owned(kind)) => kind,
        _ => String::new(),
    };
    let section = Spanned::new(span, DeValue::Table(table));
    match kind.as_str() {
        "splunk_hec" => document.section(name, section, mistakes).map(SinkSettings::SplunkHec),
        "syslog" => document.section(name, section, mistakes).map(SinkSettings::Syslog),
        "file" => document.section(name, section, mistakes).map(SinkSettings::File),
        _ => {
            let types = one_of(&SinkSettings::TYPES.map(str::to_owned));
            let meant = did_you_mean(&kind, SinkSettings::TYPES);
            let message = format!("`{kind}` is not a type of sink{meant}: use {types}");
            let message = without_values(&message, "type", &[&kind]);
            mistakes.push(document.mistake_at(&at, name, Some("type"), &message));
            None
        }
    }
}

fn one_of(words: &[String]) -> String {
    let (last, others) = words.split_last().expect("there are sinks");
    format!("{} or {last}", others.join(", "))
}
