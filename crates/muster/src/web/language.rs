//! The languages that customers' administrators are spoken to in, and the words of each.
//!
//! The words lie in `locales/`, one Fluent file per language, built into the program. Every language has every message;
//! a test compares them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Language {
    #[default]
    English,
    German,
    Swedish,
    Dutch,
    /// Chinese in simplified characters.
    SimplifiedChinese,
}

impl Language {
    /// Every language, in the order of the picker.
    pub const ALL: [Self; 5] =
        [Self::English, Self::German, Self::Swedish, Self::Dutch, Self::SimplifiedChinese];

    /// Its tag, for `lang` attributes, settings and links.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::Swedish => "sv",
            Self::Dutch => "nl",
            Self::SimplifiedChinese => "zh-CN",
        }
    }

    /// What its speakers call it.
    pub fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
            Self::Swedish => "Svenska",
            Self::Dutch => "Nederlands",
            Self::SimplifiedChinese => "简体中文",
        }
    }

    /// The language that a browser likes best among ours, by its `Accept-Language` header (RFC 9110, 12.5.4). Traditional
    /// Chinese is answered in Simplified Chinese, which its readers mostly read better than English.
    pub fn accepted(header: &str) -> Option<Self> {
        let mut best: Option<(u16, Self)> = None;
        // Nobody likes more than a few languages; a longer header is not a person's.
        for range in header.split(',').take(20) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let quality = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(Some(1_000), per_mille)
                .unwrap_or_default();
            let primary = tag.split('-').next().unwrap_or_default();
            let language =
                Self::ALL.into_iter().find(|language| language.primary().eq_ignore_ascii_case(primary));
            if let Some(language) = language
                && quality > 0
                && best.is_none_or(|(other, _)| quality > other)
            {
                best = Some((quality, language));
            }
        }
        best.map(|(_, language)| language)
    }

    fn primary(self) -> &'static str {
        self.tag().split('-').next().unwrap_or_default()
    }

    /// The words of the pages, those of the guide, and those of the mails.
    fn sources(self) -> [&'static str; 3] {
        match self {
            Self::English => [
                include_str!("../../locales/en/onboarding.ftl"),
                include_str!("../../locales/en/guide.ftl"),
                include_str!("../../locales/en/mail.ftl"),
            ],
            Self::German => [
                include_str!("../../locales/de/onboarding.ftl"),
                include_str!("../../locales/de/guide.ftl"),
                include_str!("../../locales/de/mail.ftl"),
            ],
            Self::Swedish => [
                include_str!("../../locales/sv/onboarding.ftl"),
                include_str!("../../locales/sv/guide.ftl"),
                include_str!("../../locales/sv/mail.ftl"),
            ],
            Self::Dutch => [
                include_str!("../../locales/nl/onboarding.ftl"),
                include_str!("../../locales/nl/guide.ftl"),
                include_str!("../../locales/nl/mail.ftl"),
            ],
            Self::SimplifiedChinese => [
                include_str!("../../locales/zh-CN/onboarding.ftl"),
                include_str!("../../locales/zh-CN/guide.ftl"),
                include_str!("../../locales/zh-CN/mail.ftl"),
            ],
        }
    }
}

/// A quality value such as `0.8` in thousandths.
fn per_mille(text: &str) -> Option<u16> {
    let quality: f32 = text.trim().parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    (0.0..=1.0).contains(&quality).then_some((quality * 1_000.0) as u16)
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.tag())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            format!("`{shown}` is not a language of the pages: use en, de, sv, nl or zh-CN")
        })
    }
}

impl TryFrom<String> for Language {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.tag().to_owned()
    }
}

/// The words of all languages.
pub struct Words([FluentBundle<FluentResource>; 5]);

impl Words {
    /// Reads the built-in words.
    ///
    /// # Panics
    /// Never: a test reads them all.
    pub fn load() -> Self {
        Self(Language::ALL.map(|language| {
            let tag = language.tag().parse().expect("the built-in tags are language tags");
            let mut bundle = FluentBundle::new_concurrent(vec![tag]);
            // What is put in is stripped of direction marks; isolating it would only get into what people copy.
            bundle.set_use_isolating(false);
            for source in language.sources() {
                let resource = FluentResource::try_new(source.to_owned())
                    .map_err(|(_, errors)| errors)
                    .expect("the built-in words are well formed");
                bundle.add_resource(resource).expect("no message stands twice");
            }
            bundle
        }))
    }

    /// A message, or an attribute of one (`message.attribute`), with its variables filled in. What is put in comes from
    /// outside: characters that would turn or hide text are replaced.
    ///
    /// # Errors
    /// With what is wrong: no such message, or a variable that is missing.
    pub fn say<'a>(
        &self,
        language: Language,
        key: &str,
        variables: impl IntoIterator<Item = (&'a str, Variable<'a>)>,
    ) -> Result<String, String> {
        let index = Language::ALL.iter().position(|other| *other == language).unwrap_or_default();
        let bundle = &self.0[index];
        let (message, attribute) = match key.split_once('.') {
            Some((message, attribute)) => (message, Some(attribute)),
            None => (key, None),
        };
        let message = bundle
            .get_message(message)
            .ok_or_else(|| format!("there is no message `{key}` in {language}"))?;
        let pattern = match attribute {
            Some(attribute) => message.get_attribute(attribute).map(|attribute| attribute.value()),
            None => message.value(),
        };
        let pattern = pattern.ok_or_else(|| format!("there is no message `{key}` in {language}"))?;
        let mut arguments = FluentArgs::new();
        for (name, value) in variables {
            match value {
                Variable::Text(text) => {
                    arguments.set(name.to_owned(), FluentValue::from(muster_model::text::plain(&text)));
                }
                Variable::Count(count) => arguments.set(name.to_owned(), FluentValue::from(count)),
            }
        }
        let mut errors = Vec::new();
        let text = bundle.format_pattern(pattern, Some(&arguments), &mut errors).into_owned();
        if errors.is_empty() { Ok(text) } else { Err(format!("message `{key}` in {language}: {errors:?}")) }
    }

    /// A point in time, to the minute and in UTC, as the language writes it.
    pub fn date_time(&self, language: Language, at: Timestamp) -> Result<String, String> {
        let at = at.to_zoned(TimeZone::UTC);
        self.say(
            language,
            "date-time",
            [
                ("day", Variable::Text(at.day().to_string().into())),
                ("month", Variable::Count(at.month().into())),
                ("year", Variable::Text(at.year().to_string().into())),
                ("time", Variable::Text(at.strftime("%H:%M").to_string().into())),
            ],
        )
    }
}

/// What is put into a message.
#[derive(Debug, Clone)]
pub enum Variable<'a> {
    /// Text, from anywhere.
    Text(Cow<'a, str>),
    /// A number that the words around it follow.
    Count(i64),
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement};

    use super::*;

    /// Every message and attribute of a language, with the variables in it.
    fn messages(language: Language) -> BTreeMap<String, BTreeSet<String>> {
        let read = |source| fluent_syntax::parser::parse(source).expect("well formed").body;
        let mut messages = BTreeMap::new();
        for entry in language.sources().into_iter().flat_map(read) {
            match entry {
                Entry::Message(message) => {
                    let id = message.id.name;
                    if let Some(pattern) = &message.value {
                        messages.insert(id.to_owned(), variables(pattern));
                    }
                    for attribute in &message.attributes {
                        messages.insert(format!("{id}.{}", attribute.id.name), variables(&attribute.value));
                    }
                }
                Entry::Term(_) | Entry::Junk { .. } => panic!("{language}: only messages are wanted"),
                _ => {}
            }
        }
        messages
    }

    fn variables(pattern: &Pattern<&str>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for element in &pattern.elements {
            let PatternElement::Placeable { expression } = element else { continue };
            match expression {
                Expression::Inline(inline) => inline_variable(inline, &mut found),
                Expression::Select { selector, variants } => {
                    inline_variable(selector, &mut found);
                    found.extend(variants.iter().flat_map(|variant| variables(&variant.value)));
                }
            }
        }
        found
    }

    fn inline_variable(inline: &InlineExpression<&str>, found: &mut BTreeSet<String>) {
        match inline {
            InlineExpression::VariableReference { id } => {
                found.insert(id.name.to_owned());
            }
            other => panic!("only variables are put into messages: {other:?}"),
        }
    }

    #[test]
    fn every_language_has_every_message_with_the_same_variables() {
        let english = messages(Language::English);
        assert!(english.len() > 100, "{}", english.len());
        for language in Language::ALL {
            let these = messages(language);
            for (key, variables) in &english {
                assert_eq!(these.get(key), Some(variables), "{language}: {key}");
            }
            for key in these.keys() {
                assert!(english.contains_key(key), "{language} has `{key}`, which English has not");
            }
        }
    }

    #[test]
    fn every_message_can_be_said() {
        let words = Words::load();
        for language in Language::ALL {
            for (key, variables) in messages(language) {
                let values = variables.iter().map(|name| match name.as_str() {
                    "count" | "month" => (name.as_str(), Variable::Count(2)),
                    _ => (name.as_str(), Variable::Text("Contoso".into())),
                });
                let text = words.say(language, &key, values).expect("it can be said");
                assert!(!text.contains("{ ") && !text.trim().is_empty(), "{language} {key}: {text}");
                assert!(
                    !text.contains('"') && !text.contains('\''),
                    "{language} {key}: straight quotes in {text}"
                );
            }
        }
    }

    #[test]
    fn no_language_repeats_the_english_words() {
        let names = ["who-contact", "date-time"];
        let words = Words::load();
        for language in Language::ALL.into_iter().skip(1) {
            for (key, variables) in messages(language) {
                if names.contains(&key.as_str()) {
                    continue;
                }
                let say = |language| {
                    let values = variables.iter().map(|name| match name.as_str() {
                        "count" | "month" => (name.as_str(), Variable::Count(2)),
                        _ => (name.as_str(), Variable::Text("x".into())),
                    });
                    words.say(language, &key, values).expect("it can be said")
                };
                assert_ne!(say(language), say(Language::English), "{language}: {key}");
            }
        }
    }

    #[test]
    fn a_number_and_a_date_are_written_as_the_language_does() {
        let words = Words::load();
        let at: Timestamp = "2026-11-28T06:05:00Z".parse().expect("a time");
        for (language, date, one) in [
            (Language::English, "28 November 2026, 06:05 UTC", "One permission, for reading only:"),
            (Language::German, "28. November 2026, 06:05 Uhr UTC", "Eine Berechtigung, nur zum Lesen:"),
            (Language::Swedish, "28 november 2026 kl. 06:05 UTC", "En behörighet, endast för läsning:"),
            (Language::Dutch, "28 november 2026 om 06:05 UTC", "Eén machtiging, alleen om te lezen:"),
            (Language::SimplifiedChinese, "2026 年 11 月 28 日 06:05（UTC）", "共 1 项权限，均为只读："),
        ] {
            assert_eq!(words.date_time(language, at).as_deref(), Ok(date));
            let said = words.say(language, "permissions-lead", [("count", Variable::Count(1))]);
            assert_eq!(said.as_deref(), Ok(one));
        }
    }

    #[test]
    fn the_browser_s_wish_is_understood() {
        for (header, language) in [
            ("de-CH,de;q=0.9,en;q=0.8", Some(Language::German)),
            ("fr-FR, sv;q=0.5, en;q=0.7", Some(Language::English)),
            ("zh-Hans-CN", Some(Language::SimplifiedChinese)),
            ("zh-TW", Some(Language::SimplifiedChinese)),
            ("NL", Some(Language::Dutch)),
            ("en;q=0, nl;q=0.1", Some(Language::Dutch)),
            ("fr", None),
            ("", None),
            ("*", None),
            ("de;q=NaN, sv;q=7, nl;q=-1, ;;;,,", None),
        ] {
            assert_eq!(Language::accepted(header), language, "{header}");
        }
        assert_eq!(Language::accepted(&"xx,".repeat(100_000)), None);
    }

    #[test]
    fn hostile_names_turn_no_text() {
        let words = Words::load();
        let name = Variable::Text("Evil\u{202e}moc.osotnoc\n{ $provider }".into());
        let said = words.say(
            Language::English,
            "landing-title",
            [("provider", Variable::Text("P".into())), ("customer", name)],
        );
        assert_eq!(
            said.as_deref(),
            Ok("P asks to read the security alerts of Evil\u{fffd}moc.osotnoc\u{fffd}{ $provider }")
        );
    }
}
