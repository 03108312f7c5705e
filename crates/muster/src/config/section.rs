//! Reading one section of the settings so that every mistake in it is found, not only the first.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use muster_model::TenantId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Mistake;
use super::document::Document;
use super::places::Places;
use super::wording::{reworded, without_values};

/// What stands in for a key that is missing, so that the rest of its section can be looked at.
const STAND_INS: [&str; 6] = [
    "x = \"x\"",
    "x = [\"x\"]",
    "x = \"https://stand-in.example\"",
    "x = \"00000000-0000-4000-8000-000000000001\"",
    "x = { file = \"x\" }",
    "x = \"tcp\"",
];

/// What a section came to.
pub(super) struct Part<T> {
    pub(super) value: T,
    /// Whether nothing was left out of it.
    pub(super) whole: bool,
}

impl Document<'_> {
    /// Reads a section that is right as a whole.
    pub(super) fn section<T: DeserializeOwned>(
        &self,
        name: &str,
        value: Spanned<DeValue<'_>>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<T> {
        self.section_beside(name, value, &[], mistakes)
    }

    /// The same of a section from which keys were taken that it may have, too.
    pub(super) fn section_beside<T: DeserializeOwned>(
        &self,
        name: &str,
        value: Spanned<DeValue<'_>>,
        taken: &[&str],
        mistakes: &mut Vec<Mistake>,
    ) -> Option<T> {
        self.read(name, value, taken, mistakes).filter(|part| part.whole).map(|part| part.value)
    }

    /// Reads a section. When a key is wrong, it is told, left out, and the rest is read again.
    pub(super) fn part<T: DeserializeOwned>(
        &self,
        name: &str,
        value: Spanned<DeValue<'_>>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Part<T>> {
        self.read(name, value, &[], mistakes)
    }

    fn read<T: DeserializeOwned>(
        &self,
        name: &str,
        value: Spanned<DeValue<'_>>,
        taken: &[&str],
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Part<T>> {
        let span = value.span();
        let DeValue::Table(mut table) = value.into_inner() else {
            mistakes.push(self.mistake_at(&span, name, None, &format!("write it as a section: [{name}]")));
            return None;
        };
        let mut left_out: Vec<String> = Vec::new();
        let mut stood_in = false;
        loop {
            let attempt = toml::de::Deserializer::from(Spanned::new(span.clone(), table.clone()));
            let error = match T::deserialize(attempt) {
                Ok(_) if stood_in => return None,
                Ok(value) => return Some(Part { value, whole: left_out.is_empty() }),
                Err(error) => error,
            };
            if let Some(key) = missing(&error) {
                let key = key.to_owned();
                if !left_out.contains(&key) {
                    mistakes.push(self.mistake_at(&span, name, Some(&key), &reworded(error.message())));
                    left_out.push(key.clone());
                }
                // In a table within, nothing can stand in for it.
                let within = error.span().is_some_and(|at| !entry_path(&table, &at).is_empty());
                if within || !self.stand_in::<T>(&span, &mut table, &key) {
                    return None;
                }
                stood_in = true;
                continue;
            }
            let path = error.span().map(|at| entry_path(&table, &at)).unwrap_or_default();
            let values = texts_at(&table, &path);
            let key = (!path.is_empty()).then(|| path.join("."));
            let unknown = error.message().starts_with("unknown field");
            let mut said = error.message().to_owned();
            if unknown && path.len() == 1 {
                taken.iter().for_each(|key| said.push_str(&format!(", `{key}`")));
            }
            let message = without_values(
                &reworded(&said),
                key.as_deref().unwrap_or_default(),
                &values.iter().map(String::as_str).collect::<Vec<_>>(),
            );
            let shown = key.as_deref().filter(|_| !unknown);
            mistakes.push(self.mistake_at(&error.span().unwrap_or(span.clone()), name, shown, &message));
            if !remove(&mut table, &path) {
                return None;
            }
            left_out.extend(path.last().cloned());
        }
    }

    /// Puts something that can be read in the place of a missing key; whether anything could.
    fn stand_in<T: DeserializeOwned>(&self, span: &Range<usize>, table: &mut DeTable<'_>, key: &str) -> bool {
        for text in STAND_INS {
            let (mut parsed, _) = DeTable::parse_recoverable(text);
            let Some(value) = parsed.get_mut().remove("x" as &str) else { continue };
            let mut with = table.clone();
            let mut value = value.into_inner();
            value.make_owned();
            with.insert(Spanned::new(0..0, key.to_owned().into()), Spanned::new(0..0, value));
            let attempt = toml::de::Deserializer::from(Spanned::new(span.clone(), with.clone()));
            let is_read = match T::deserialize(attempt) {
                Ok(_) => true,
                // Another key's trouble shows that this one's is over.
                Err(error) => {
                    missing(&error).is_some_and(|other| other != key)
                        || error.span().is_some_and(|at| at != (0..0) && !entry_path(&with, &at).is_empty())
                }
            };
            if is_read {
                *table = with;
                return true;
            }
        }
        false
    }

    /// Reads a section that may stand only once, in all files together.
    pub(super) fn once<T: DeserializeOwned>(
        &self,
        name: &str,
        place: &mut Option<T>,
        value: Spanned<DeValue<'_>>,
        places: &mut Places,
        mistakes: &mut Vec<Mistake>,
    ) {
        if let Some(mistake) = self.again(name, &value.span(), places) {
            mistakes.push(mistake);
            return;
        }
        places.note(self, name, &value);
        *place = self.section(name, value, mistakes);
    }

    /// Reads sections that have names of their own; `names` gets those of all, also of those that are wrong.
    pub(super) fn named<'a, T>(
        &self,
        kind: &str,
        (found, names): (&mut BTreeMap<String, T>, &mut BTreeSet<String>),
        value: Spanned<DeValue<'a>>,
        places: &mut Places,
        mistakes: &mut Vec<Mistake>,
        read: impl Fn(&Self, &str, Spanned<DeValue<'a>>, &mut Vec<Mistake>) -> Option<T>,
    ) {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            let message = format!("write it as sections: [{kind}.NAME]");
            mistakes.push(self.mistake_at(&span, kind, None, &message));
            return;
        };
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let section = format!("{kind}.{name}");
            names.insert(name.clone());
            let fits = !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            if !fits {
                let message = "a name is made of letters, digits, _ and -, at most 64";
                mistakes.push(self.mistake_at(&key.span(), &section, None, message));
                continue;
            }
            if let Some(mistake) = self.again(&section, &key.span(), places) {
                mistakes.push(mistake);
                continue;
            }
            places.note(self, &section, &value);
            if let Entry::Vacant(place) = found.entry(name)
                && let Some(section) = read(self, &section, value, mistakes)
            {
                place.insert(section);
            }
        }
    }

    /// The mistake that a section stands here a second time.
    fn again(&self, section: &str, span: &Range<usize>, places: &Places) -> Option<Mistake> {
        let (file, line) = places.section(section)?;
        let message = format!("it stands in {}:{line} already: keep one of them", file.display());
        Some(self.mistake_at(span, section, None, &message))
    }
}

/// The key that an error misses.
fn missing(error: &toml::de::Error) -> Option<&str> {
    error.message().strip_prefix("missing field `")?.strip_suffix('`')
}

/// The keys on the way to the innermost entry that `span` lies in.
fn entry_path(table: &DeTable<'_>, span: &Range<usize>) -> Vec<String> {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    // The key of what is unknown, or the value of what is wrong.
    let found = table.iter().find_map(|(key, value)| {
        let inner = match value.get_ref() {
            DeValue::Table(inner) => entry_path(inner, span),
            _ => Vec::new(),
        };
        let here = !inner.is_empty() || within(key.span()) || within(value.span());
        here.then(|| std::iter::once(key.get_ref().to_string()).chain(inner).collect())
    });
    found.unwrap_or_default()
}

fn remove(table: &mut DeTable<'_>, path: &[String]) -> bool {
    match path {
        [] => false,
        [key] => table.remove(key.as_str()).is_some(),
        [key, rest @ ..] => match table.get_mut(key.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => remove(inner, rest),
            _ => false,
        },
    }
}

/// Every text that stands in the entry at `path`.
fn texts_at(table: &DeTable<'_>, path: &[String]) -> Vec<String> {
    let mut texts = Vec::new();
    if let Some((key, rest)) = path.split_first()
        && let Some(value) = table.get(key.as_str())
    {
        match value.get_ref() {
            DeValue::Table(inner) if !rest.is_empty() => return texts_at(inner, rest),
            value => gather(value, &mut texts),
        }
    }
    texts
}

fn gather(value: &DeValue<'_>, texts: &mut Vec<String>) {
    match value {
        DeValue::String(text) => texts.push(text.to_string()),
        DeValue::Array(items) => items.iter().for_each(|item| gather(item.get_ref(), texts)),
        DeValue::Table(table) => table.values().for_each(|value| gather(value.get_ref(), texts)),
        _ => {}
    }
}

pub(super) fn tenant_id<'de, D: serde::Deserializer<'de>>(from: D) -> Result<TenantId, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}

pub(super) fn optional_tenant_id<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<TenantId>, D::Error> {
    tenant_id(from).map(Some)
}

/// The id of an app or an identity, without a word of what was written: many paste the secret there.
pub(super) fn guid<'de, D: serde::Deserializer<'de>>(from: D) -> Result<uuid::Uuid, D::Error> {
    let wrong = "it must be an id such as 11111111-2222-3333-4444-555555555555";
    String::deserialize(from)?.trim().parse().map_err(|_| serde::de::Error::custom(wrong))
}

/// An address, without a word of what was written: a password may stand in it.
/// An address that is compared character by character, so it stays as it was written.
pub(super) fn redirect_uri<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    parse_redirect_uri(&String::deserialize(from)?).map(Some).map_err(serde::de::Error::custom)
}

/// The same for the command line.
///
/// # Errors
/// In words, when it is none.
pub fn parse_redirect_uri(text: &str) -> Result<String, String> {
    let text = text.trim();
    let url = url::Url::parse(text).ok().filter(url::Url::has_host);
    match url {
        Some(url) if url.fragment().is_none() => Ok(text.to_owned()),
        Some(_) => Err("a redirect URI has no `#…`".to_owned()),
        None => Err("it must be an address such as https://host.example/path".to_owned()),
    }
}

pub(super) fn address<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<url::Url>, D::Error> {
    let wrong = "it must be an address such as https://host.example/path";
    let url = url::Url::parse(String::deserialize(from)?.trim()).ok().filter(url::Url::has_host);
    url.map(Some).ok_or_else(|| serde::de::Error::custom(wrong))
}
