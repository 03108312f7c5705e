//! Reading one section of the settings so that every mistake in it is found, not only the first.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::path::Path;

use muster_model::TenantId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Mistake;

pub(super) struct Document<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl Document<'_> {
    /// Reads a section. When a key is wrong, it is told, left out, and the rest is read again.
    pub(super) fn section<T: DeserializeOwned>(
        &self,
        name: &str,
        value: Spanned<DeValue<'_>>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<T> {
        let span = value.span();
        let DeValue::Table(mut table) = value.into_inner() else {
            mistakes.push(self.mistake_at(&span, name, format!("write it as a section: [{name}]")));
            return None;
        };
        let mut left_out: Vec<String> = Vec::new();
        loop {
            let attempt = toml::de::Deserializer::from(Spanned::new(span.clone(), table.clone()));
            let error = match T::deserialize(attempt) {
                Ok(section) => return left_out.is_empty().then_some(section),
                Err(error) => error,
            };
            let follows = left_out.iter().any(|key| error.message() == format!("missing field `{key}`"));
            if !follows {
                mistakes.push(self.mistake(name, &error));
            }
            let key = error.span().and_then(|at| entry_at(&table, &at))?;
            table.remove(key.as_str());
            left_out.push(key);
        }
    }

    /// Reads a section that may stand only once, in all files together.
    pub(super) fn once<T: DeserializeOwned>(
        &self,
        name: &str,
        place: &mut Option<T>,
        value: Spanned<DeValue<'_>>,
        mistakes: &mut Vec<Mistake>,
    ) {
        if place.is_some() {
            mistakes.push(self.mistake_at(
                &value.span(),
                name,
                "it stands in another file already".to_owned(),
            ));
            return;
        }
        *place = self.section(name, value, mistakes);
    }

    pub(super) fn named<'a, T>(
        &self,
        kind: &str,
        places: &mut BTreeMap<String, T>,
        value: Spanned<DeValue<'a>>,
        mistakes: &mut Vec<Mistake>,
        read: impl Fn(&Self, &str, Spanned<DeValue<'a>>, &mut Vec<Mistake>) -> Option<T>,
    ) {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            mistakes.push(self.mistake_at(&span, kind, format!("write it as sections: [{kind}.NAME]")));
            return;
        };
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let section = format!("{kind}.{name}");
            let fits = !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            if !fits {
                let message = "a name is made of letters, digits, _ and -, at most 64".to_owned();
                mistakes.push(self.mistake_at(&key.span(), &section, message));
                continue;
            }
            match places.entry(name) {
                Entry::Occupied(_) => {
                    let message = "it stands in another file already".to_owned();
                    mistakes.push(self.mistake_at(&key.span(), &section, message));
                }
                Entry::Vacant(place) => {
                    if let Some(section) = read(self, &section, value, mistakes) {
                        place.insert(section);
                    }
                }
            }
        }
    }

    pub(super) fn mistake(&self, section: &str, error: &toml::de::Error) -> Mistake {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        match error.span() {
            Some(span) => self.mistake_at(&span, section, message),
            None => Mistake { file: self.file.to_owned(), line: None, section: section.to_owned(), message },
        }
    }

    pub(super) fn mistake_at(&self, span: &Range<usize>, section: &str, message: String) -> Mistake {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = Some(before.matches('\n').count() + 1);
        Mistake { file: self.file.to_owned(), line, section: section.to_owned(), message }
    }
}

/// The key of the entry that `span` lies in.
fn entry_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    table
        .iter()
        .find(|(key, value)| within(key.span()) || within(value.span()))
        .map(|(key, _)| key.get_ref().to_string())
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
