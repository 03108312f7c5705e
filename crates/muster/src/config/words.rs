//! Words of which a record must say one, for a route to take it: `statuses = ["new", "in progress", "none"]`.

use muster_model::RouteFacts;
use muster_model::text::shown;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Stands for records that say nothing of the kind.
const NONE: &str = "none";

/// Words of which a record must say one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// As they were written.
    pub given: Vec<String>,
    /// As they are compared.
    compared: Vec<String>,
    /// Whether a record that says nothing will do.
    or_none: bool,
}

/// How a record fits words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It says one of them.
    Takes,
    /// It says others.
    LeavesOut,
    /// It says nothing of the kind.
    NotSaid,
}

impl Words {
    /// How what a record says, as [`RouteFacts`] has it, fits.
    pub fn fit(&self, said: &[String]) -> Fit {
        if said.iter().any(|word| self.compared.contains(word)) {
            return Fit::Takes;
        }
        match said.is_empty() {
            true if self.or_none => Fit::Takes,
            true => Fit::NotSaid,
            false => Fit::LeavesOut,
        }
    }
}

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.given.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Vec::<String>::deserialize(deserializer)?;
        if given.is_empty() {
            let said = "it is empty, so no record fits: leave it out where it does not matter";
            return Err(serde::de::Error::custom(said));
        }
        let mut compared = Vec::with_capacity(given.len());
        for word in &given {
            match RouteFacts::word(word) {
                plain if plain.is_empty() => {
                    let said =
                        format!("`{}` has no letter and no digit, so no record says it", shown(word, 40));
                    return Err(serde::de::Error::custom(said));
                }
                plain => compared.push(plain),
            }
        }
        let or_none = compared.iter().any(|word| word == NONE);
        Ok(Self { given, compared, or_none })
    }
}

#[cfg(test)]
mod tests {
    use super::{Fit, Words};

    fn words(text: &str) -> Result<Words, String> {
        #[derive(serde::Deserialize)]
        struct Section {
            words: Option<Words>,
        }
        let section: Result<Section, _> = toml::from_str(&format!("words = {text}"));
        section.map(|section| section.words.expect("there")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_record_fits_by_what_it_says() {
        let some = words(r#"["In progress", "new"]"#).expect("words");
        let said = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(some.fit(&said(&["inprogress"])), Fit::Takes);
        assert_eq!(some.fit(&said(&["resolved", "new"])), Fit::Takes);
        assert_eq!(some.fit(&said(&["resolved"])), Fit::LeavesOut);
        assert_eq!(some.fit(&[]), Fit::NotSaid);
        let or_none = words(r#"["new", "none"]"#).expect("words");
        assert_eq!(or_none.fit(&[]), Fit::Takes);
        assert_eq!(or_none.fit(&said(&["resolved"])), Fit::LeavesOut);
    }

    #[test]
    fn what_fits_nothing_is_a_mistake() {
        assert!(words("[]").expect_err("empty").contains("it is empty"));
        assert!(words(r#"["-"]"#).expect_err("no word").contains("no letter and no digit"));
    }
}
