//! A calendar of hours for a terminal of 80 columns: a row for each day, a cell for each hour. What a cell means is told by
//! its shape as well as by its colour.

use std::collections::BTreeMap;

use crossterm::style::{Color, Stylize};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use muster_store::{HourState, LedgerHour};

use crate::shown::output::{Output, Tone, number};

/// The states, the best first: with the shape of their cells.
const LEGEND: [(&str, char, &str); 6] = [
    ("complete", '■', "a sweep has confirmed it"),
    ("read", '□', "read; no sweep has confirmed it yet"),
    ("late", '~', "something came late, and no sweep has been there since"),
    ("hole", 'X', "part of it could not be read, and is asked for again"),
    ("given up", '!', "sinks do without some of it: the journal was full"),
    ("open", '·', "not all read yet"),
];

/// A state in a word.
pub fn word(state: HourState) -> &'static str {
    match state {
        HourState::Complete { .. } => "complete",
        HourState::Read => "read",
        HourState::Late => "late",
        HourState::Hole { .. } => "hole",
        HourState::GivenUp { .. } => "given up",
        HourState::Open => "open",
    }
}

pub fn tone(state: HourState) -> Tone {
    match state {
        HourState::Complete { .. } => Tone::Good,
        HourState::Late => Tone::Fair,
        HourState::Hole { .. } | HourState::GivenUp { .. } => Tone::Bad,
        HourState::Read | HourState::Open => Tone::Plain,
    }
}

/// The days of one source.
pub fn calendar(output: &Output, hours: &[LedgerHour]) -> String {
    let mut days: BTreeMap<Date, (BTreeMap<i8, HourState>, [u64; 3])> = BTreeMap::new();
    for hour in hours {
        let at = utc(hour.hour);
        let (cells, sums) = days.entry(at.date()).or_default();
        cells.insert(at.hour(), hour.state);
        for (sum, more) in sums.iter_mut().zip([hour.new, hour.late, hour.healed]) {
            *sum += more;
        }
    }
    let mut text =
        format!("{:12}00     06     12     18     {:>9} {:>7} {:>7}\n", "", "new", "late", "healed");
    for (date, (cells, [new, late, healed])) in days {
        text.push_str(&format!("{date}  "));
        for hour in 0..24 {
            if hour > 0 && hour % 6 == 0 {
                text.push(' ');
            }
            text.push_str(&cells.get(&hour).map_or_else(|| " ".to_owned(), |state| cell(output, *state)));
        }
        text.push_str(&format!("  {:>9} {:>7} {:>7}\n", number(new), number(late), number(healed)));
    }
    text
}

/// What the cells mean.
pub fn legend(output: &Output) -> String {
    let line = |(name, shape, meaning): &(&str, char, &str)| {
        format!("{} {name:8} {meaning}", coloured(output, *shape, colour(name)))
    };
    LEGEND.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn cell(output: &Output, state: HourState) -> String {
    let name = word(state);
    let shape = LEGEND.iter().find(|(known, ..)| *known == name).map_or('?', |(_, shape, _)| *shape);
    coloured(output, shape, colour(name))
}

fn colour(name: &str) -> Option<Color> {
    match name {
        "complete" => Some(Color::Green),
        "late" => Some(Color::Yellow),
        "hole" | "given up" => Some(Color::Red),
        "open" => Some(Color::DarkGrey),
        _ => None,
    }
}

fn coloured(output: &Output, shape: char, colour: Option<Color>) -> String {
    match colour.filter(|_| output.colour) {
        Some(Color::Red) => shape.with(Color::Red).bold().to_string(),
        Some(colour) => shape.with(colour).to_string(),
        None => shape.to_string(),
    }
}

fn utc(at: Timestamp) -> jiff::civil::DateTime {
    at.to_zoned(TimeZone::UTC).datetime()
}

#[cfg(test)]
mod tests {
    use muster_model::{Reason, Source};

    use super::*;
    use crate::shown::output::{ColourChoice, OutputFormat};

    fn hour(at: &str, state: HourState) -> LedgerHour {
        LedgerHour {
            tenant: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
            source: Source::GraphAlerts,
            hour: at.parse().expect("a time"),
            new: 1_200,
            seen_again: 0,
            late: 1,
            late_seconds_max: 900,
            healed: 0,
            unrouted: 0,
            source_count: None,
            counted_at: None,
            reopened_at: None,
            witness: None,
            state,
            sinks: vec![],
        }
    }

    #[test]
    fn a_day_is_a_row_and_an_hour_a_cell() {
        let as_of = "2026-11-28T01:00:00Z".parse().expect("a time");
        let hours = [
            hour("2026-11-27T22:00:00Z", HourState::Complete { as_of }),
            hour("2026-11-27T23:00:00Z", HourState::Hole { reason: Reason::NoAnswer }),
            hour("2026-11-28T00:00:00Z", HourState::Late),
            hour("2026-11-28T06:00:00Z", HourState::Read),
            hour("2026-11-28T07:00:00Z", HourState::Open),
            hour("2026-11-28T08:00:00Z", HourState::GivenUp { records: 3 }),
        ];
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let text = calendar(&output, &hours);
        let expected = "            00     06     12     18           new    late  healed
2026-11-27                           ■X      2 400       2       0
2026-11-28  ~      □·!                       4 800       4       0
";
        assert_eq!(text.replace('\u{2009}', " "), expected);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(legend(&output).lines().all(|line| line.chars().count() <= 80));
        let coloured = calendar(&Output { colour: true, ..output }, &hours);
        assert!(coloured.contains("\u{1b}["), "{coloured}");
    }
}
