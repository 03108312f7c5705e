//! A saved query as a source: which window of time is asked for, and which record each row is.
//!
//! A window is asked for by one more stage behind the query, on the column that tells a row's time. So the rows of two
//! windows are those of the whole, however the query came to them, and a window that holds more rows than are given is
//! asked for in smaller ones, as with any other source.

use std::sync::Arc;

use jiff::Timestamp;
use muster_model::json::skim;
use muster_model::page::{Body, NotAPage};
use muster_model::time::moment;
use muster_model::{Clocks, ContentHash, Cursor, HuntName, PageQuery, RecordHead, Source, json};

use super::answer::{Cell, HuntingAnswer};
use super::api::{HuntingApi, HuntingQuery, ROWS_MAX};
use super::kql::Outline;
use crate::FetchedPage;
use crate::sources::{PageRequest, Rung, Target};

/// The column in which each row says which saved query it is of, unless the query has one of this name.
const HUNT_COLUMN: &str = "Hunt";

/// Stages that hand out some of the rows: which ones, nobody knows, so that the others would never come.
const LEAVES_OUT: [&str; 6] = ["take", "limit", "sample", "sample-distinct", "top", "top-nested"];

/// A saved query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedHunt {
    /// Its name and the API that it is asked by.
    pub source: Source,
    /// The query, in KQL.
    pub query: String,
    /// The column that tells a row's time.
    pub time_column: String,
    /// The columns that together tell one row from all others; none: all columns do.
    pub key_columns: Vec<String>,
}

/// Why the rows of a saved query cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HuntTrouble {
    /// The settings name it no more.
    #[error("the settings have no query of this name: add [hunts.{0}], or reload them")]
    NotInSettings(HuntName),
    /// The answer lacks a column that the settings name.
    #[error(
        "the rows have no column `{column}`, which is their {role}: mend `{role}` of [hunts.{name}], or let the query project it; they have {there}"
    )]
    NoColumn {
        /// The query.
        name: HuntName,
        /// The column.
        column: String,
        /// The setting that names it.
        role: &'static str,
        /// The columns that there are.
        there: String,
    },
    /// The answer is no table of rows.
    #[error("{0}")]
    NotAPage(NotAPage),
}

impl SavedHunt {
    /// What is wrong with a query, without asking Microsoft: the key of the setting, and why.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        let Outline { stages, .. } = Outline::of(&self.query);
        match stages.first() {
            None => mistakes.push(("query", "there is no query in it".to_owned())),
            Some(first) if ["let", "set", "declare", "alias"].contains(first) => {
                mistakes.push(("query", format!("it ends with a `{first}`, which gives no rows")));
            }
            Some(_) => {}
        }
        for stage in stages.iter().skip(1) {
            if LEAVES_OUT.contains(stage) {
                mistakes.push((
                    "query",
                    format!(
                        "`| {stage}` leaves rows out, and those would never come: all rows are taken, in windows of time, so leave it off"
                    ),
                ));
            } else if *stage == "render" {
                mistakes.push((
                    "query",
                    "`| render` draws, and nothing can stand behind it: leave it off".to_owned(),
                ));
            }
        }
        let columns = std::iter::once(("time_column", &self.time_column));
        for (key, column) in columns.chain(self.key_columns.iter().map(|column| ("key_columns", column))) {
            if !is_column(column) {
                let message =
                    format!("`{column}` is no name of a column: letters, digits and `_`, and no digit first");
                mistakes.push((key, message));
            }
        }
        mistakes
    }

    /// What may not be meant in a query: the key of the setting, and why.
    #[must_use]
    pub fn advice(&self) -> Option<(&'static str, String)> {
        let clock = Outline::of(&self.query).clock?;
        let message = format!(
            "`{clock}()` goes by the time at which it is asked, and it is asked for older windows, too (after an outage, by sweeps and backfills), of which it would leave rows out: Muster asks for each window by `{}` itself, so leave it off where it only bounds the time",
            self.time_column
        );
        Some(("query", message))
    }

    /// The API that it is asked by.
    #[must_use]
    pub fn api(&self) -> HuntingApi {
        match self.source {
            Source::XdrHunting(_) => HuntingApi::Xdr,
            _ => HuntingApi::Graph,
        }
    }

    fn name(&self) -> HuntName {
        self.source.hunt().expect("a saved query is a source with a name")
    }

    /// What `cursor` wants next.
    #[must_use]
    pub fn request(&self, cursor: &Cursor, clocks: Clocks) -> PageRequest {
        let PageQuery { from, to, .. } = cursor.query(clocks);
        PageRequest { target: self.window(from, to), top: ROWS_MAX, rung: Rung::Plain }
    }

    /// A window in which there is nothing: whether Microsoft takes the query at all.
    #[must_use]
    pub fn dry_run(&self, now: Timestamp) -> Target {
        self.window(now, Some(now))
    }

    /// The rows from one time up to another, exclusive.
    fn window(&self, from: Timestamp, to: Option<Timestamp>) -> Target {
        let (query, time) = (Outline::of(&self.query).text, &self.time_column);
        let mut text = format!("{query}\n| where {time} >= datetime({from})");
        if let Some(to) = to {
            text.push_str(&format!(" and {time} < datetime({to})"));
        }
        Target::Hunt(self.api(), HuntingQuery { text, timespan: None })
    }

    /// The rows of an answer as a page of records: put right by their schema, in the shape that all pages have.
    ///
    /// # Errors
    /// When it is no table of rows, or lacks a column that the settings name.
    pub fn page(&self, page: FetchedPage) -> Result<FetchedPage, HuntTrouble> {
        let FetchedPage { body, server_time, partial, request_id, held, .. } = page;
        let bytes = body.len();
        let answer = HuntingAnswer::read(self.api(), body.into_bytes(), held).map_err(|error| {
            let (why, beginning) = error.into_parts();
            HuntTrouble::NotAPage(NotAPage { why, beginning })
        })?;
        self.check_columns(&answer)?;
        let name = format!("\"{HUNT_COLUMN}\":\"{}\"}}", self.name());
        let mut text = String::with_capacity(bytes + 64);
        text.push_str("{\"value\":[");
        let Ok(()) = answer.each(|cells| {
            if !text.ends_with('[') {
                text.push(',');
            }
            push_row(&mut text, cells, &name);
            Ok::<_, std::convert::Infallible>(())
        });
        text.push_str("]}");
        let cut = answer.may_be_cut();
        Ok(FetchedPage {
            body: Body::Text(Arc::new(text)),
            server_time,
            partial,
            request_id,
            cut,
            held: answer.into_held(),
        })
    }

    /// Without its columns a row has no time, or is taken for another.
    fn check_columns(&self, answer: &HuntingAnswer) -> Result<(), HuntTrouble> {
        let columns = answer.columns();
        let missing = |column: &&String| !columns.iter().any(|known| known.name == **column);
        let time = std::iter::once(("time_column", &self.time_column));
        let mut wanted = time.chain(self.key_columns.iter().map(|column| ("key_columns", column)));
        // An answer without a schema tells nothing of its columns.
        let Some((role, column)) = wanted.find(|(_, column)| !columns.is_empty() && missing(column)) else {
            return Ok(());
        };
        let there = columns.iter().take(40).map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        let there = muster_model::text::shown(&there, 400);
        Err(HuntTrouble::NoColumn { name: self.name(), column: column.clone(), role, there })
    }

    /// Which record a row of such a page is, and when it was.
    pub fn identify(&self, head: &mut RecordHead, body: &str) {
        let mut named: Vec<(String, &str)> = Vec::new();
        let mut time = None;
        let read = skim::fields(body, |name, value| {
            let name = json::Text::as_in_json(name).decoded().into_owned();
            if name == self.time_column {
                time = json::text(value).and_then(|text| moment(&text));
            }
            if self.key_columns.is_empty() || self.key_columns.contains(&name) {
                named.push((name, value));
            }
        });
        if read.is_err() {
            return;
        }
        head.updated_at = time;
        // In whatever order the columns come.
        named.sort_unstable();
        let mut identity = Vec::new();
        for part in named.iter().flat_map(|(name, value)| [name.as_str(), value]) {
            identity.extend_from_slice(&(part.len() as u64).to_be_bytes());
            identity.extend_from_slice(part.as_bytes());
        }
        head.id = ContentHash::of(&identity).0.iter().map(|byte| format!("{byte:02x}")).collect();
    }
}

fn push_row(text: &mut String, cells: &[Cell<'_>], hunt: &str) {
    let mut has_own = false;
    text.push('{');
    for cell in cells {
        has_own |= cell.name == HUNT_COLUMN;
        text.push('"');
        text.push_str(cell.name);
        text.push_str("\":");
        text.push_str(cell.value);
        text.push(',');
    }
    if has_own {
        text.pop();
        text.push('}');
    } else {
        text.push_str(hunt);
    }
}

fn is_column(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        && name.len() <= 1_024
}

#[cfg(test)]
mod tests {
    use muster_model::RecordKind;

    use super::*;

    fn hunt(query: &str, keys: &[&str]) -> SavedHunt {
        SavedHunt {
            source: "graph_hunting/test".parse().expect("a source"),
            query: query.to_owned(),
            time_column: "Timestamp".to_owned(),
            key_columns: keys.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    fn page(hunt: &SavedHunt, body: &str) -> Result<FetchedPage, HuntTrouble> {
        hunt.page(FetchedPage::of(body.as_bytes().to_vec()))
    }

    fn text(page: &FetchedPage) -> &str {
        std::str::from_utf8(&page.body).expect("UTF-8")
    }

    fn id_of(hunt: &SavedHunt, row: &str) -> (String, Option<Timestamp>) {
        let mut head = RecordHead::read(RecordKind::HuntingRow, row).expect("a row");
        hunt.identify(&mut head, row);
        (head.id, head.updated_at)
    }

    #[test]
    fn a_window_is_one_more_stage() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = at("2026-11-01T12:00:00Z");
        let clocks = Clocks { local: now, server: None };
        let hunt = hunt("DeviceEvents // all\n;", &[]);
        let asked = |cursor: &Cursor| match hunt.request(cursor, clocks).target {
            Target::Hunt(HuntingApi::Graph, query) => query.text,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            asked(&Cursor::starting(at("2026-11-01T10:00:00.1234567Z"))),
            "DeviceEvents\n| where Timestamp >= datetime(2026-11-01T10:00:00.1234567Z)"
        );
        let span = Cursor::spanning(at("2026-11-01T10:00:00Z"), now, None);
        assert_eq!(
            asked(&span),
            "DeviceEvents\n| where Timestamp >= datetime(2026-11-01T10:00:00Z) and Timestamp < datetime(2026-11-01T12:00:00Z)"
        );
    }

    #[test]
    fn what_can_be_seen_to_be_wrong_is_told_before_it_is_asked() {
        let found = |query: &str| hunt(query, &[]).mistakes().len();
        let (key, said) = hunt("T | where Timestamp > ago(1h)", &[]).advice().expect("an advice");
        assert!(key == "query" && said.contains("`ago()`") && said.contains("`Timestamp`"), "{said}");
        assert_eq!(hunt("T | where A == 'ago(1h)'", &[]).advice(), None);
        for right in
            ["T | where A | order by B", "T | join (U | top 1 by A) on B", "let x = 1; T | where A > x"]
        {
            assert_eq!(found(right), 0, "{right}");
        }
        for wrong in [
            "",
            "// T",
            "T | take 5",
            "T | limit 5 | project A",
            "T | top 5 by A",
            "T | render piechart",
            "let x = 1;",
        ] {
            assert_eq!(found(wrong), 1, "{wrong}");
        }
        let columns = SavedHunt { time_column: "A B".to_owned(), ..hunt("T", &["1x", "ok"]) };
        let keys: Vec<_> = columns.mistakes().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["time_column", "key_columns"]);
    }

    #[test]
    fn rows_become_records_that_name_their_query() {
        let hunt = hunt("T", &[]);
        let body = r#"{"schema":[{"name":"Timestamp","type":"DateTime"},{"name":"Is","type":"SByte"},{"name":"O","type":"Object"}],
            "results":[{"Timestamp":"2026-11-01T10:00:00Z","Is":1,"O":{}},{"Timestamp":"2026-11-01T10:00:01Z","Is":0,"Hunt":"own"}]}"#;
        let page = page(&hunt, body).expect("a page");
        assert_eq!(
            text(&page),
            r#"{"value":[{"Timestamp":"2026-11-01T10:00:00Z","Is":true,"O":null,"Hunt":"test"},{"Timestamp":"2026-11-01T10:00:01Z","Is":false,"Hunt":"own"}]}"#
        );
        assert!(!page.cut);
        let none = r#"{"schema":[{"name":"Timestamp","type":"DateTime"}],"results":[{}]}"#;
        assert_eq!(text(&self::page(&hunt, none).expect("a page")), r#"{"value":[{"Hunt":"test"}]}"#);
        assert!(matches!(self::page(&hunt, "<html>"), Err(HuntTrouble::NotAPage(_))));
    }

    #[test]
    fn as_many_rows_as_are_given_may_not_be_all() {
        let rows = |count: u32| {
            let rows = vec![r#"{"Timestamp":"x"}"#; count as usize].join(",");
            page(&hunt("T", &[]), &format!("{{\"results\":[{rows}]}}")).expect("a page").cut
        };
        assert_eq!((rows(ROWS_MAX), rows(ROWS_MAX - 1)), (true, false));
    }

    #[test]
    fn a_column_that_is_missing_is_told_even_where_no_row_came() {
        let body = r#"{"schema":[{"name":"Time","type":"DateTime"}],"results":[]}"#;
        let said = page(&hunt("T", &[]), body).expect_err("no time").to_string();
        assert!(said.contains("no column `Timestamp`") && said.contains("they have Time"), "{said}");
        let by_key = SavedHunt { time_column: "Time".to_owned(), ..hunt("T", &["Id"]) };
        let said = page(&by_key, body).expect_err("no key").to_string();
        assert!(said.contains("no column `Id`, which is their key_columns"), "{said}");
    }

    #[test]
    fn a_row_is_known_by_its_key_or_by_all_of_it() {
        let all = hunt("T", &[]);
        let row = r#"{"Timestamp":"2026-11-01T10:00:00.1234567Z","Id":"a","N":1}"#;
        let (id, time) = id_of(&all, row);
        assert_eq!(time.map(|time| time.to_string()).as_deref(), Some("2026-11-01T10:00:00.1234567Z"));
        let turned = r#"{"N":1,"Id":"a","Timestamp":"2026-11-01T10:00:00.1234567Z"}"#;
        assert_eq!(id_of(&all, turned).0, id, "in whatever order its columns come");
        let other = r#"{"Timestamp":"2026-11-01T10:00:00.1234567Z","Id":"a","N":2}"#;
        assert_ne!(id_of(&all, other).0, id);
        let by_key = hunt("T", &["Id"]);
        assert_eq!(id_of(&by_key, row).0, id_of(&by_key, other).0);
        assert_ne!(id_of(&by_key, row).0, id_of(&by_key, r#"{"Id":"b"}"#).0);
        // Values cannot be pushed together so that two keys look like one.
        let two = hunt("T", &["A", "B"]);
        assert_ne!(id_of(&two, r#"{"A":"1","B":"2"}"#).0, id_of(&two, r#"{"A":"1\",\"B\":\"2"}"#).0);
    }
}
