//! `[notices.NAME]`: who is told of conditions and alerts, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use lettre::message::Mailbox;
use muster_model::text::did_you_mean;
use muster_model::{SecretReference, Severity, SourcePattern, Span, Tenant};
use muster_siem::sinks::{HeaderSource, HookSettings, HookUrl};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::document::Document;
use super::wording::without_values;
use super::{Mistake, RouteSettings, Words};
use crate::notices::kind::Kind;

/// How what is left out of a list of tenants begins.
const NOT: char = '!';
/// How a pattern of tags begins.
const TAG: &str = "tag:";
/// The keys that a receiver of whatever type has.
const SHARED: [&str; 5] = ["conditions", "tenants", "alerts", "quiet", "remind_every"];
const TYPES: [&str; 2] = ["mail", "webhook"];
/// More mail addresses of one receiver are a list that a mail server keeps better.
const TO_MAX: usize = 50;
/// Nobody is reminded more often.
const REMIND_LEAST: Duration = Duration::from_secs(600);

/// A receiver of notices.
#[derive(Debug, Clone)]
pub struct NoticeSettings {
    /// What it is told, and when.
    pub keys: NoticeKeys,
    /// Where it is.
    pub way: NoticeWay,
}

/// Where a receiver is.
#[derive(Debug, Clone)]
pub enum NoticeWay {
    Mail(MailSettings),
    Webhook(NoticeHookSettings),
}

/// What a receiver is told, and when.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeKeys {
    /// The kinds of conditions that it is told of; all when it is missing.
    #[serde(default = "every_kind", deserialize_with = "kinds")]
    pub conditions: Vec<Kind>,
    /// Slugs or ids of tenants, or `tag:NAME`, with `*` for any letters; `!` before one leaves it out. Conditions that are no
    /// tenant's own are told whatever stands here.
    #[serde(default = "super::routes::everyone", deserialize_with = "tenants")]
    pub tenants: Vec<String>,
    /// Which alerts it is told of; none when it is missing.
    #[serde(default)]
    pub alerts: Option<AlertSettings>,
    /// When it is told nothing that can wait.
    #[serde(default)]
    pub quiet: Option<QuietSettings>,
    /// How often it is told again of what still holds; never when it is `0s`.
    #[serde(default = "daily", deserialize_with = "remind_every")]
    pub remind_every: Span,
}

/// `alerts = { … }`: which alerts somebody is told of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertSettings {
    /// Only of this severity and worse. Alerts without one are always told.
    #[serde(deserialize_with = "severity")]
    pub min_severity: Severity,
    /// Only what one of these services raised.
    pub services: Option<Words>,
    /// Only alerts of these sources; all that bring alerts when it is missing.
    #[serde(deserialize_with = "super::routes::sources")]
    pub sources: Vec<SourcePattern>,
    /// Nothing that was made longer before it was accepted, such as what a backfill brings.
    pub max_age: Span,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            min_severity: Severity::Unknown,
            services: None,
            sources: SourcePattern::ALL.to_vec(),
            max_age: daily(),
        }
    }
}

/// `quiet = { … }`: when nothing is told that can wait.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietSettings {
    /// When it begins.
    #[serde(deserialize_with = "time_of_day")]
    pub from: jiff::civil::Time,
    /// When it ends; of the next day, where that is before `from`.
    #[serde(deserialize_with = "time_of_day")]
    pub to: jiff::civil::Time,
    /// In which time zone: `Europe/Berlin`, `+02:00` or `UTC`.
    #[serde(default = "utc", deserialize_with = "time_zone")]
    pub time_zone: TimeZone,
    /// The days on which it begins; every day when it is missing.
    #[serde(default = "every_day", deserialize_with = "days")]
    pub days: Vec<Weekday>,
    /// Whether what is urgent waits as well.
    #[serde(default)]
    pub hold_urgent: bool,
}

/// `type = "mail"`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailSettings {
    /// The SMTP server.
    pub server: String,
    /// Its port, where it is not the usual one of `tls`.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the way there is encrypted.
    #[serde(default, deserialize_with = "mail_tls")]
    pub tls: MailTls,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub password: Option<SecretReference>,
    /// Who the mails come from.
    #[serde(deserialize_with = "mailbox")]
    pub from: Mailbox,
    /// Whom they go to, each by itself.
    #[serde(deserialize_with = "mailboxes")]
    pub to: Vec<Mailbox>,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long a mail may take.
    #[serde(default = "a_minute")]
    pub timeout: Span,
}

impl fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailSettings").field("server", &self.server).finish_non_exhaustive()
    }
}

/// How the way to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MailTls {
    /// From the first byte on.
    Implicit,
    /// From `STARTTLS` on; a server without it gets no mail.
    #[default]
    Starttls,
    /// Not at all.
    None,
}

/// `type = "webhook"`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeHookSettings {
    /// Where notices are posted: an address, or a secret that is one.
    pub url: HeaderSource,
    /// What is posted.
    #[serde(default, deserialize_with = "template")]
    pub template: TemplateName,
    /// What PagerDuty knows the service by.
    #[serde(default)]
    pub routing_key: Option<SecretReference>,
    /// Whether addresses of private networks may be connected to.
    #[serde(default)]
    pub allow_private: bool,
    /// Secrets that messages are signed with, each `whsec_…`.
    #[serde(default)]
    pub signing_secrets: Vec<SecretReference>,
    /// Further headers: text, or a secret by reference.
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderSource>,
    /// How long each request may take.
    #[serde(default = "half_minute")]
    pub timeout: Span,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// What a webhook is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TemplateName {
    /// Muster's own JSON, as Standard Webhooks has it.
    #[default]
    Standard,
    /// An Adaptive Card for a workflow of Microsoft Teams.
    Teams,
    /// Blocks for an incoming webhook of Slack.
    Slack,
    /// PagerDuty's Events API v2.
    Pagerduty,
    /// Opsgenie's Alert API.
    Opsgenie,
    /// ServiceNow's Event Management.
    Servicenow,
}

impl TemplateName {
    /// Every template, with its word.
    pub const ALL: [(&'static str, Self); 6] = [
        ("standard", Self::Standard),
        ("teams", Self::Teams),
        ("slack", Self::Slack),
        ("pagerduty", Self::Pagerduty),
        ("opsgenie", Self::Opsgenie),
        ("servicenow", Self::Servicenow),
    ];

    /// Whether people read it, so that many notices may come as one.
    #[must_use]
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Teams | Self::Slack)
    }
}

impl NoticeSettings {
    /// `mail` or `webhook`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match &self.way {
            NoticeWay::Mail(_) => "mail",
            NoticeWay::Webhook(_) => "webhook",
        }
    }

    /// Where it is, in a word that holds no secret.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.way {
            NoticeWay::Mail(mail) => format!("{}:{}", mail.server, mail.port()),
            NoticeWay::Webhook(hook) => match &hook.url {
                HeaderSource::Text(text) => HookUrl::parse(text).map(|url| url.origin()).unwrap_or_default(),
                HeaderSource::Secret(place) => place.to_string(),
            },
        }
    }

    /// Those to whom each notice goes by itself; one empty word where it goes to one place.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        match &self.way {
            NoticeWay::Mail(mail) => mail.to.iter().map(|to| to.email.to_string()).collect(),
            NoticeWay::Webhook(_) => vec![String::new()],
        }
    }

    /// Every place that a secret is kept in, with the key that names it.
    #[must_use]
    pub fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        match &self.way {
            NoticeWay::Mail(mail) => mail.password.iter().map(|place| ("password", place)).collect(),
            NoticeWay::Webhook(hook) => {
                let url = match &hook.url {
                    HeaderSource::Secret(place) => Some(("url", place)),
                    HeaderSource::Text(_) => None,
                };
                let headers = hook.headers.values().filter_map(|header| match header {
                    HeaderSource::Secret(place) => Some(("headers", place)),
                    HeaderSource::Text(_) => None,
                });
                let signing = hook.signing_secrets.iter().map(|place| ("signing_secrets", place));
                let key = hook.routing_key.iter().map(|place| ("routing_key", place));
                url.into_iter().chain(headers).chain(signing).chain(key).collect()
            }
        }
    }

    /// Mistakes that no key shows alone: the key, and why.
    pub(super) fn mistakes(&self) -> Vec<(&'static str, String)> {
        match &self.way {
            NoticeWay::Mail(mail) => mail.mistakes(),
            NoticeWay::Webhook(hook) => hook.mistakes(),
        }
    }
}

impl NoticeKeys {
    /// Whether what is about this tenant is for the receiver.
    #[must_use]
    pub fn is_for(&self, tenant: &Tenant) -> bool {
        let fits = |pattern: &str| match pattern.strip_prefix(TAG) {
            Some(tag) => RouteSettings::tags(tag, tenant),
            None => RouteSettings::names(pattern, (&tenant.slug, tenant.id)),
        };
        let mut named = self.tenants.iter().filter(|pattern| !pattern.starts_with(NOT)).peekable();
        // Where only some are left out, all others are meant.
        let is_named = named.peek().is_none() || named.any(|pattern| fits(pattern));
        is_named && !self.tenants.iter().filter_map(|pattern| pattern.strip_prefix(NOT)).any(fits)
    }
}

impl QuietSettings {
    /// When it is over, where it is quiet at `now`.
    #[must_use]
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        let here = now.to_zoned(self.time_zone.clone());
        // It began today, or yesterday and goes on past midnight.
        [here.date().yesterday().ok(), Some(here.date())].into_iter().flatten().find_map(|day| {
            if !self.days.contains(&day.weekday()) {
                return None;
            }
            let last = if self.to <= self.from { day.tomorrow().ok()? } else { day };
            let begins = day.to_datetime(self.from).to_zoned(self.time_zone.clone()).ok()?.timestamp();
            let ends = last.to_datetime(self.to).to_zoned(self.time_zone.clone()).ok()?.timestamp();
            (begins <= now && now < ends).then_some(ends)
        })
    }
}

impl MailSettings {
    /// The port that is connected to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            MailTls::Implicit => 465,
            MailTls::Starttls => 587,
            MailTls::None => 25,
        })
    }

    fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        let is_host = !self.server.is_empty()
            && self.server.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte));
        if !is_host {
            mistakes.push((
                "server",
                "it must be the name or the address of a host, such as mail.example".to_owned(),
            ));
        }
        if self.user.is_some() != self.password.is_some() {
            mistakes.push(("user", "user and password belong together".to_owned()));
        }
        let is_here = matches!(self.server.as_str(), "localhost" | "127.0.0.1" | "::1");
        if self.tls == MailTls::None && self.password.is_some() && !is_here {
            let message =
                "the password would be sent in the clear: use tls = \"implicit\" or tls = \"starttls\"";
            mistakes.push(("tls", message.to_owned()));
        }
        if self.tls == MailTls::None && self.ca_file.is_some() {
            mistakes.push(("ca_file", "it is only used with TLS".to_owned()));
        }
        mistakes
    }
}

impl NoticeHookSettings {
    /// What posts to this address.
    #[must_use]
    pub fn hook(&self, url: HookUrl) -> HookSettings {
        HookSettings {
            url,
            allow_private: self.allow_private,
            signing_secrets: self.signing_secrets.clone(),
            headers: self.headers.clone(),
            timeout: self.timeout.0,
            ca_file: self.ca_file.clone(),
            identity: (None, None),
        }
    }

    fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        match &self.url {
            HeaderSource::Text(text) => match HookUrl::parse(text) {
                Ok(url) => mistakes.extend(self.hook(url).mistakes().into_iter().map(|message| {
                    let key = if message.contains("header") { "headers" } else { "url" };
                    (key, message.trim_start_matches("headers: ").to_owned())
                })),
                Err(message) => mistakes.push(("url", message)),
            },
            HeaderSource::Secret(_) => {}
        }
        match (self.template, &self.routing_key) {
            (TemplateName::Pagerduty, None) => mistakes.push((
                "routing_key",
                "PagerDuty wants the integration key of the service: name where it is kept, such as { file = \"pagerduty.key\" }".to_owned(),
            )),
            (TemplateName::Pagerduty, Some(_)) | (_, None) => {}
            (_, Some(_)) => mistakes
                .push(("routing_key", "it is only used with template = \"pagerduty\"".to_owned())),
        }
        mistakes
    }
}

/// Reads a receiver's section. The type is read first, so that each type's mistakes keep their lines.
pub(super) fn read(
    document: &Document<'_>,
    name: &str,
    value: Spanned<DeValue<'_>>,
    mistakes: &mut Vec<Mistake>,
) -> Option<NoticeSettings> {
    let span = value.span();
    let DeValue::Table(mut table) = value.into_inner() else {
        mistakes.push(document.mistake_at(&span, name, None, &format!("write it as a section: [{name}]")));
        return None;
    };
    let Some(kind) = table.remove("type" as &str) else {
        let message = "the type is missing: type = \"mail\" or \"webhook\"";
        mistakes.push(document.mistake_at(&span, name, Some("type"), message));
        return None;
    };
    let at = kind.span();
    let kind = match kind.into_inner() {
        DeValue::String(DeString::Borrowed(kind)) => kind.to_owned(),
        DeValue::String(DeString::Owned(kind)) => kind,
        _ => String::new(),
    };
    let mut beside = DeTable::new();
    for key in SHARED {
        if let Some((key, value)) = table.remove_entry(key) {
            beside.insert(key, value);
        }
    }
    let section = Spanned::new(span.clone(), DeValue::Table(table));
    let way = match kind.as_str() {
        "mail" => document.section_beside(name, section, &SHARED, mistakes).map(NoticeWay::Mail),
        "webhook" => document.section_beside(name, section, &SHARED, mistakes).map(NoticeWay::Webhook),
        _ => {
            let meant = did_you_mean(&kind, TYPES);
            let message = format!("`{kind}` is not a type of receiver{meant}: use mail or webhook");
            let message = without_values(&message, "type", &[&kind]);
            mistakes.push(document.mistake_at(&at, name, Some("type"), &message));
            None
        }
    };
    let keys = document.section(name, Spanned::new(span, DeValue::Table(beside)), mistakes);
    Some(NoticeSettings { keys: keys?, way: way? })
}

/// The keys that a section of whatever type has beside its own, for the schema.
pub(super) fn shared() -> &'static [&'static str] {
    &SHARED
}

fn every_kind() -> Vec<Kind> {
    Kind::ALL.to_vec()
}

fn daily() -> Span {
    Span(Duration::from_secs(86_400))
}

fn a_minute() -> Span {
    Span(Duration::from_secs(60))
}

fn half_minute() -> Span {
    Span(Duration::from_secs(30))
}

fn utc() -> TimeZone {
    TimeZone::UTC
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

fn every_day() -> Vec<Weekday> {
    DAYS.map(|(_, day)| day).to_vec()
}

fn one_of<T: Copy>(given: &str, what: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let meant = did_you_mean(given, words.iter().copied());
        let shown = muster_model::text::shown(given, 40);
        format!("`{shown}` is not {what}{meant}: use one of {}", words.join(", "))
    })
}

fn all_of<'de, D: Deserializer<'de>, T: Copy>(
    deserializer: D,
    what: &str,
    words: &[(&str, T)],
) -> Result<Vec<T>, D::Error> {
    let given = Vec::<String>::deserialize(deserializer)?;
    let read: Result<Vec<T>, String> = given.iter().map(|word| one_of(word, what, words)).collect();
    read.map_err(serde::de::Error::custom)
}

fn kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Kind>, D::Error> {
    all_of(deserializer, "a condition", &Kind::ALL.map(|kind| (kind.as_str(), kind)))
}

fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Weekday>, D::Error> {
    let days = all_of(deserializer, "a day", &DAYS)?;
    match days.is_empty() {
        true => Err(serde::de::Error::custom("it is empty, so it is never quiet: leave `quiet` out")),
        false => Ok(days),
    }
}

fn template<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TemplateName, D::Error> {
    let given = String::deserialize(deserializer)?;
    one_of(&given, "a template", &TemplateName::ALL).map_err(serde::de::Error::custom)
}

fn mail_tls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MailTls, D::Error> {
    let words = [("implicit", MailTls::Implicit), ("starttls", MailTls::Starttls), ("none", MailTls::None)];
    let given = String::deserialize(deserializer)?;
    one_of(&given, "a way to encrypt", &words).map_err(serde::de::Error::custom)
}

fn severity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn remind_every<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    match span.0.is_zero() || span.0 >= REMIND_LEAST {
        true => Ok(span),
        false => Err(serde::de::Error::custom(format!(
            "`{span}` is too often to be read: give it 10m at least, or 0s for never"
        ))),
    }
}

fn tenants<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let patterns = Vec::<String>::deserialize(deserializer)?;
    let wrong = |pattern: &str| {
        let bare = pattern.strip_prefix(NOT).unwrap_or(pattern);
        let bare = bare.strip_prefix(TAG).unwrap_or(bare);
        bare.is_empty() || bare.starts_with(NOT) || bare.chars().any(|sign| sign.is_whitespace())
    };
    if patterns.is_empty() {
        return Err(serde::de::Error::custom("it is empty, so it fits no tenant: leave it out for all"));
    }
    match patterns.iter().find(|pattern| wrong(pattern)) {
        Some(pattern) => Err(serde::de::Error::custom(format!(
            "`{}` can fit no tenant: write a slug, an id or tag:NAME, with * for any letters and ! before what is left out",
            muster_model::text::shown(pattern, 80)
        ))),
        None => Ok(patterns),
    }
}

fn time_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<jiff::civil::Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parts = text.split_once(':').and_then(|(hour, minute)| {
        let fits = hour.len() == 2 && minute.len() == 2;
        fits.then(|| jiff::civil::Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()).flatten()
    });
    parts.ok_or_else(|| serde::de::Error::custom("it must be a time of day such as 22:00"))
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || {
        let shown = muster_model::text::shown(&text, 40);
        serde::de::Error::custom(format!(
            "`{shown}` is not a time zone that this machine knows (package tzdata): such as Europe/Berlin, +02:00 or UTC"
        ))
    };
    if text == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if let Some((sign, rest)) = text.split_at_checked(1).filter(|(sign, _)| matches!(*sign, "+" | "-")) {
        let seconds = rest.split_once(':').and_then(|(hours, minutes)| {
            let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
            (hours <= 14 && minutes < 60).then_some(hours * 3_600 + minutes * 60)
        });
        let signed = seconds.map(|seconds| if sign == "-" { -seconds } else { seconds });
        let offset = signed.and_then(|seconds| jiff::tz::Offset::from_seconds(seconds).ok());
        return offset.map(TimeZone::fixed).ok_or_else(wrong);
    }
    TimeZone::get(&text).map_err(|_| wrong())
}

fn mailbox<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mailbox, D::Error> {
    parse_mailbox(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn mailboxes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Mailbox>, D::Error> {
    let given = Vec::<String>::deserialize(deserializer)?;
    if given.is_empty() || given.len() > TO_MAX {
        return Err(serde::de::Error::custom(format!("name between 1 and {TO_MAX} mail addresses")));
    }
    let read: Result<Vec<Mailbox>, String> = given.iter().map(|text| parse_mailbox(text)).collect();
    let read = read.map_err(serde::de::Error::custom)?;
    let mut known = std::collections::BTreeSet::new();
    match read.iter().find(|to| !known.insert(to.email.to_string().to_lowercase())) {
        Some(twice) => Err(serde::de::Error::custom(format!("{} stands there twice", twice.email))),
        None => Ok(read),
    }
}

fn parse_mailbox(text: &str) -> Result<Mailbox, String> {
    let wrong =
        || "it must be a mail address such as soc@northwind.example or Muster <muster@northwind.example>";
    if text.chars().any(muster_model::text::is_harmful) {
        return Err(wrong().to_owned());
    }
    text.trim().parse().map_err(|_| wrong().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<NoticeKeys, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    fn quiet(text: &str) -> QuietSettings {
        keys(&format!("quiet = {text}")).expect("right").quiet.expect("there")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, words) in [
            (
                "conditions = [\"consent_lots\"]",
                "`consent_lots` is not a condition (did you mean `consent_lost`?)",
            ),
            ("tenants = []", "fits no tenant"),
            ("tenants = [\"!\"]", "`!` can fit no tenant"),
            ("remind_every = \"5s\"", "too often"),
            ("quiet = { from = \"25:00\", to = \"07:00\" }", "a time of day such as 22:00"),
            ("quiet = { from = \"22:00\", to = \"07:00\", days = [] }", "never quiet"),
            (
                "quiet = { from = \"22:00\", to = \"07:00\", time_zone = \"Mars/Olympus\" }",
                "is not a time zone",
            ),
            ("quiet = { from = \"22:00\", to = \"07:00\", time_zone = \"+99:00\" }", "is not a time zone"),
            ("alerts = { min_severity = \"terrible\" }", "terrible"),
            ("alerts = { no_such_key = 1 }", "unknown field"),
        ] {
            let error = keys(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
        let mail =
            |text: &str| toml::from_str::<MailSettings>(text).map_err(|error| error.message().to_owned());
        let right = "server = \"mail.example\"\nfrom = \"Muster <m@a.example>\"\n";
        for (text, words) in [
            ("to = []", "between 1 and 50"),
            ("to = [\"a@b.example\", \"A@b.example\"]", "stands there twice"),
            ("to = [\"nobody\"]", "must be a mail address"),
            ("to = [\"a@b.example\\r\\nBcc: c@d.example\"]", "must be a mail address"),
            ("to = [\"a@b.example\"]\ntls = \"ssl\"", "use one of implicit, starttls, none"),
        ] {
            let error = mail(&format!("{right}{text}")).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
        let clear = mail(&format!(
            "{right}to = [\"a@b.example\"]\ntls = \"none\"\nuser = \"m\"\npassword = {{ file = \"x\" }}"
        ));
        let mistakes = clear.expect("right keys").mistakes();
        assert!(mistakes[0].1.contains("in the clear"), "{mistakes:?}");
    }

    #[test]
    fn quiet_hours_go_past_midnight_and_through_changes_of_the_clock() {
        let night = quiet("{ from = \"22:00\", to = \"07:00\", time_zone = \"+01:00\" }");
        assert_eq!(night.ends(at("2026-11-30T20:59:59Z")), None);
        let morning = Some(at("2026-12-01T06:00:00Z"));
        assert_eq!(night.ends(at("2026-11-30T21:00:00Z")), morning);
        assert_eq!(night.ends(at("2026-12-01T05:59:59Z")), morning);
        assert_eq!(night.ends(at("2026-12-01T06:00:00Z")), None);
        // A Friday night is not over at midnight, and there is none on a Saturday.
        let weekdays = quiet("{ from = \"22:00\", to = \"07:00\", days = [\"fri\"] }");
        assert_eq!(weekdays.ends(at("2026-12-05T03:00:00Z")), Some(at("2026-12-05T07:00:00Z")));
        assert_eq!(weekdays.ends(at("2026-12-05T23:00:00Z")), None);
        // In Berlin the night to 25 October 2026 has an hour more.
        if let Ok(zone) = TimeZone::get("Europe/Berlin") {
            let berlin = QuietSettings { time_zone: zone, ..night };
            let ends = Some(at("2026-10-25T06:00:00Z"));
            assert_eq!(berlin.ends(at("2026-10-24T20:00:00Z")), ends);
            assert_eq!(berlin.ends(at("2026-10-25T05:59:00Z")), ends);
        }
        // All day.
        let always = quiet("{ from = \"00:00\", to = \"00:00\" }");
        assert_eq!(always.ends(at("2026-11-30T12:00:00Z")), Some(at("2026-12-01T00:00:00Z")));
    }
}
