//! Splunk's search, as far as it takes to be asked which events are there: `POST /services/search/v2/jobs/export` and its
//! elder without `v2`, over what the collector has indexed since it was told to keep that ([`Index::keep`]).
//!
//! It takes one shape of search, which real Splunks understand as well, and refuses everything else as they do, with a
//! `FATAL` message:
//!
//! ```text
//! search index=* sourcetype="S" tenant_id::"T" ("a" OR "b") | spath input=_raw path=P output=O … | stats count AS N BY O …
//! ```

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fault::lock;

/// What the collector has indexed.
#[derive(Default)]
pub(super) struct Index {
    keeps: AtomicBool,
    events: Mutex<Vec<Indexed>>,
}

struct Indexed {
    sourcetype: String,
    time: Option<f64>,
    fields: BTreeMap<String, Value>,
    raw: String,
}

/// An event as it comes.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(default)]
    sourcetype: String,
    #[serde(default)]
    time: Option<f64>,
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    #[serde(borrow)]
    event: &'a RawValue,
}

impl Index {
    /// From now on, events are kept; that takes memory and time.
    pub(super) fn keep(&self) {
        self.keeps.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_kept(&self) -> bool {
        self.keeps.load(Ordering::Relaxed)
    }

    /// Keeps the first events of a request, without those at places that are lost.
    pub(super) fn add(&self, body: &str, lost: &[bool]) {
        let events = serde_json::Deserializer::from_str(body).into_iter::<Event<'_>>();
        let mut index = lock(&self.events);
        for (event, is_lost) in events.zip(lost) {
            let Ok(Event { sourcetype, time, fields, event }) = event else { return };
            if !is_lost {
                index.push(Indexed { sourcetype, time, fields, raw: event.get().to_owned() });
            }
        }
    }

    /// Answers a search: a line of JSON for each row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn search(&self, form: &[(String, String)]) -> Result<String, String> {
        if !self.is_kept() {
            return Err("nothing that was indexed is kept here to be searched for".to_owned());
        }
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if field("output_mode") != Some("json") {
            return Err("only output_mode=json is answered here".to_owned());
        }
        let search = Search::parse(field("search").unwrap_or_default())?;
        let bound = |name: &str| {
            field(name).map(|text| text.parse::<f64>().map_err(|_| format!("{name} is no number")))
        };
        let (earliest, latest) = (bound("earliest_time").transpose()?, bound("latest_time").transpose()?);
        let mut counts: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for event in lock(&self.events).iter() {
            let within = |time: f64| {
                earliest.is_none_or(|earliest| time >= earliest) && latest.is_none_or(|latest| time < latest)
            };
            if search.fits(event)
                && event.time.is_none_or(within)
                && let Some(row) = search.row(event)
            {
                *counts.entry(row).or_default() += 1;
            }
        }
        let mut answer = String::new();
        let rows = counts.len();
        for (offset, (values, count)) in counts.into_iter().enumerate() {
            let mut result = serde_json::Map::new();
            for (name, value) in search.by.iter().zip(values) {
                result.insert(name.clone(), value.into());
            }
            // Splunk's numbers are texts.
            result.insert(search.count_as.clone(), count.to_string().into());
            let mut line = serde_json::json!({ "preview": false, "offset": offset, "result": result });
            if offset + 1 == rows {
                line["lastrow"] = true.into();
            }
            answer.push_str(&format!("{line}\n"));
        }
        if rows == 0 {
            answer.push_str("{\"preview\":false,\"lastrow\":true}\n");
        }
        Ok(answer)
    }
}

/// A search that is understood.
struct Search {
    sourcetype: Option<String>,
    indexed: Vec<(String, String)>,
    any_of: Vec<String>,
    /// Paths, by the names that they are put out as.
    paths: BTreeMap<String, String>,
    count_as: String,
    by: Vec<String>,
}

impl Search {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = pipeline(text)?.into_iter();
        let first = parts.next().unwrap_or_default();
        let mut words = first.into_iter();
        if words.next() != Some(Word::Bare("search".to_owned())) {
            return Err("a search begins with the command search".to_owned());
        }
        let mut search = Self {
            sourcetype: None,
            indexed: Vec::new(),
            any_of: Vec::new(),
            paths: BTreeMap::new(),
            count_as: String::new(),
            by: Vec::new(),
        };
        while let Some(word) = words.next() {
            match word {
                Word::Bare(word) if word == "index=*" => {}
                Word::Bare(name) if name == "sourcetype=" => match words.next() {
                    Some(Word::Quoted(value)) => search.sourcetype = Some(value),
                    _ => return Err("a sourcetype is quoted".to_owned()),
                },
                Word::Bare(name) if name.ends_with("::") => match words.next() {
                    Some(Word::Quoted(value)) => {
                        search.indexed.push((name.trim_end_matches(':').to_owned(), value));
                    }
                    _ => return Err("the value of an indexed field is quoted".to_owned()),
                },
                Word::Bare(word) if matches!(word.as_str(), "(" | ")" | "OR") => {}
                Word::Quoted(word) => search.any_of.push(word),
                Word::Bare(word) => return Err(format!("`{word}` is not understood here")),
            }
        }
        for part in parts {
            let words: Vec<String> = part.into_iter().map(Word::text).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words[..] {
                ["spath", "input=_raw", path, output] => {
                    let path = path.strip_prefix("path=").ok_or("spath takes path=")?;
                    let output = output.strip_prefix("output=").ok_or("spath takes output=")?;
                    search.paths.insert(output.to_owned(), path.to_owned());
                }
                ["stats", "count", "AS", count_as, "BY", ref by @ ..] => {
                    search.count_as = count_as.to_owned();
                    search.by = by.iter().map(|name| (*name).to_owned()).collect();
                }
                _ => return Err(format!("`{}` is not understood here", words.join(" "))),
            }
        }
        match search.by.is_empty() {
            true => Err("the search counts nothing".to_owned()),
            false => Ok(search),
        }
    }

    fn fits(&self, event: &Indexed) -> bool {
        self.sourcetype.as_ref().is_none_or(|wanted| *wanted == event.sourcetype)
            && self
                .indexed
                .iter()
                .all(|(name, value)| event.fields.get(name).and_then(Value::as_str) == Some(value.as_str()))
            && (self.any_of.is_empty() || self.any_of.iter().any(|word| event.raw.contains(word.as_str())))
    }

    /// The values to count by; none where one of them is not there, as `stats` has it.
    fn row(&self, event: &Indexed) -> Option<Vec<String>> {
        let value: Value = serde_json::from_str(&event.raw).ok()?;
        let found = self.by.iter().map(|name| match value.get(self.paths.get(name)?)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        found.collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Bare(String),
    Quoted(String),
}

impl Word {
    fn text(self) -> String {
        match self {
            Self::Bare(text) | Self::Quoted(text) => text,
        }
    }
}

/// The words of each part of a pipeline. A text in quotes ends the word before it.
fn pipeline(text: &str) -> Result<Vec<Vec<Word>>, String> {
    let mut parts = vec![Vec::new()];
    let mut bare = String::new();
    let mut letters = text.chars();
    let end = |bare: &mut String, parts: &mut Vec<Vec<Word>>| {
        if !bare.is_empty() {
            parts.last_mut().expect("there is one from the start").push(Word::Bare(std::mem::take(bare)));
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                end(&mut bare, &mut parts);
                let mut quoted = String::new();
                loop {
                    match letters.next() {
                        Some('\\') => quoted.extend(letters.next()),
                        Some('"') => break,
                        Some(letter) => quoted.push(letter),
                        None => return Err("a quote is not closed".to_owned()),
                    }
                }
                parts.last_mut().expect("there is one from the start").push(Word::Quoted(quoted));
            }
            '|' => {
                end(&mut bare, &mut parts);
                parts.push(Vec::new());
            }
            '(' | ')' => {
                end(&mut bare, &mut parts);
                bare.push(letter);
                end(&mut bare, &mut parts);
            }
            letter if letter.is_whitespace() => end(&mut bare, &mut parts),
            letter => bare.push(letter),
        }
    }
    end(&mut bare, &mut parts);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let index = Index::default();
        index.keep();
        let event = |id: &str, tenant: &str, time: f64| {
            format!(
                r#"{{"sourcetype":"s","time":{time},"fields":{{"tenant_id":"{tenant}"}},"event":{{"id":"{id}","u":"v1","n":7}}}}"#
            )
        };
        let body =
            [event("a", "t", 1.0), event("b", "t", 2.0), event("a", "t", 3.0), event("a", "other", 1.0)]
                .join("");
        index.add(&body, &[false; 4]);
        index.add(&event("c", "t", 4.0), &[true]);
        index
    }

    fn asked(index: &Index, search: &str, more: &[(&str, &str)]) -> Result<Vec<Value>, String> {
        let mut form =
            vec![("search".to_owned(), search.to_owned()), ("output_mode".to_owned(), "json".to_owned())];
        form.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let lines = index.search(&form)?;
        Ok(lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).expect("JSON").get("result").cloned())
            .collect())
    }

    #[test]
    fn what_is_indexed_is_counted() {
        let index = index();
        let search = r#"search index=* sourcetype="s" tenant_id::"t" ("a" OR "b" OR "c") | spath input=_raw path=id output=i | spath input=_raw path=u output=u | stats count AS copies BY i u"#;
        let rows = asked(&index, search, &[]).expect("understood");
        assert_eq!(
            rows,
            [
                serde_json::json!({"i":"a","u":"v1","copies":"2"}),
                serde_json::json!({"i":"b","u":"v1","copies":"1"})
            ]
        );
        let rows =
            asked(&index, search, &[("earliest_time", "2"), ("latest_time", "3")]).expect("understood");
        assert_eq!(rows.len(), 1);
        assert!(asked(&index, &search.replace("\"s\"", "\"x\""), &[]).expect("understood").is_empty());
        let numbers = search.replace("path=u", "path=n");
        assert_eq!(asked(&index, &numbers, &[]).expect("understood")[0]["u"], "7");
        for wrong in [
            "",
            "index=*",
            "search index=main | stats count AS c BY x",
            "search index=* | delete",
            "search \"a",
        ] {
            assert!(asked(&index, wrong, &[]).is_err(), "{wrong}");
        }
    }
}
