//! The folders that an object lies in.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use muster_model::TenantLabel;
use serde::Deserialize;

use super::address::safe_segments;
use crate::formats::Template;

/// Folders below the url where nothing is said.
const FOLDERS: &str = "{{ tenant.slug }}/{source}/{yyyy}/{mm}/{dd}";
/// And of objects for Amazon Security Lake: a custom source has one class.
const FOLDERS_OF_CLASSES: &str =
    "ext/muster_{class}/region={region}/accountId=external_{{ tenant.id }}/eventDay={yyyy}{mm}{dd}";
/// What stands for something of an object.
const PLACES: [&str; 6] = ["{source}", "{yyyy}", "{mm}", "{dd}", "{class}", "{region}"];

/// A path with places for what a tenant is called and for what is in an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PathTemplate {
    text: String,
    template: Template,
}

/// What is in an object, as far as its path can say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contents<'c> {
    pub(super) source: &'c str,
    pub(super) day: Day,
    /// The number of the class of OCSF, where all of it is of one.
    pub(super) class: i64,
    pub(super) region: &'c str,
}

/// A day in UTC; of what bears no time the year is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Day {
    year: i16,
    month: i8,
    day: i8,
}

impl Day {
    /// The day of this time.
    pub(super) fn of(time: Option<Timestamp>) -> Self {
        let date = time.map(|time| time.to_zoned(TimeZone::UTC).date());
        date.map(|date| Self { year: date.year(), month: date.month(), day: date.day() }).unwrap_or_default()
    }
}

impl PathTemplate {
    /// The folders where nothing is said, of Parquet or NDJSON.
    pub(super) fn of(is_parquet: bool) -> Self {
        let text = if is_parquet { FOLDERS_OF_CLASSES } else { FOLDERS };
        Self::try_from(text.to_owned()).expect("the folders where nothing is said are right")
    }

    /// Whether this place is in it.
    pub(super) fn has(&self, place: &str) -> bool {
        self.text.contains(place)
    }

    /// The folders of an object.
    pub(super) fn expand(&self, tenant: &TenantLabel, contents: Contents<'_>) -> String {
        let Contents { source, day, class, region } = contents;
        // Neither a slug nor an id holds a brace.
        self.template
            .expand(tenant)
            .replace("{source}", source)
            .replace("{yyyy}", &format!("{:04}", day.year))
            .replace("{mm}", &format!("{:02}", day.month))
            .replace("{dd}", &format!("{:02}", day.day))
            .replace("{class}", &class.to_string())
            .replace("{region}", region)
    }

    /// The text of the settings.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl TryFrom<String> for PathTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let template: Template = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
        if template.has_names() {
            return Err(format!(
                "`{text}` has tenant.name, which may hold anything: use tenant.slug or tenant.id"
            ));
        }
        if text.contains('*') {
            return Err(format!("`{text}` has `*` in it"));
        }
        let mut rest = template.pattern().replace('*', "x");
        for place in PLACES {
            rest = rest.replace(place, "x");
        }
        if rest.contains(['{', '}']) {
            let places = PLACES.map(|place| format!("`{place}`")).join(", ");
            return Err(format!(
                "`{text}` has a place that is not known: use {places}, `{{{{ tenant.slug }}}}` or `{{{{ tenant.id }}}}`"
            ));
        }
        safe_segments(&rest).map_err(|why| format!("`{text}` {why}"))?;
        Ok(Self { text, template })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::testing::tenant;

    #[test]
    fn folders_say_whose_they_are_and_of_when() {
        let time = "2026-03-02T23:59:59.9Z".parse().expect("a time");
        let contents = Contents {
            source: "graph_hunting/logons",
            day: Day::of(Some(time)),
            class: 2004,
            region: "eu-west-1",
        };
        let of = |path: PathTemplate| path.expand(&tenant(0), contents);
        assert_eq!(of(PathTemplate::of(false)), "tenant-0/graph_hunting/logons/2026/03/02");
        assert_eq!(
            of(PathTemplate::of(true)),
            "ext/muster_2004/region=eu-west-1/accountId=external_00000000-0000-0000-0000-000000000001/eventDay=20260302"
        );
        let none = Contents { day: Day::of(None), ..contents };
        assert!(PathTemplate::of(false).expand(&tenant(0), none).ends_with("/0000/00/00"));
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/./b",
            "{{ tenant.name }}",
            "{hour}",
            "{source",
            "a b",
            "{{ tenant.slug",
            "a*",
            "a%2e",
            "ü",
        ] {
            assert!(PathTemplate::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
