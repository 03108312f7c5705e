//! Each view with a thousand tenants on a small and on a large screen, and what keys do.

use std::collections::BTreeMap;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::{SignedDuration, Timestamp};
use muster_microsoft::{Fault, SourceWord};
use muster_model::{Severity, Source, TenantId, TenantState};
use muster_store::{Check, CheckOutcome, Heartbeat, InstanceId, JournalTotals, Node, PartTrouble};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use uuid::Uuid;

use super::draw::draw;
use super::facts::Facts;
use super::list::By;
use super::state::{State, Step, View, press};
use super::tap::Passed;
use crate::access::checks;
use crate::shown::causes;
use crate::shown::nodes::NodeStatus;
use crate::shown::run::Run;
use crate::shown::sinks::SinkWord;
use crate::shown::status::{
    Owed, SinkStatus, Snapshot, SourceStatus, Standing, TenantStatus, Totals, Unrouted,
};

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (160, 50);
const HOSTILE: &str = "a\u{1b}[2J\u{202e}b\u{7}\r\n東京都 👩‍💻🇩🇪e\u{301}\u{302}\u{303}\u{304}";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

fn id(number: usize) -> TenantId {
    TenantId::from(Uuid::from_u128(number as u128))
}

fn source(source: Source, number: usize, now: Timestamp) -> SourceStatus {
    let (state, fault, last_error) = match number % 97 {
        5 => (
            SourceWord::ConsentLost,
            Some(Fault::LostConsent),
            Some("AADSTS65001: the administrator has not consented to use the application".to_owned()),
        ),
        17 => (SourceWord::Throttled, Some(Fault::Throttled), Some("429: asks to wait for 40 s".to_owned())),
        29 => (SourceWord::Late, None, Some("the answer was cut off".to_owned())),
        41 => (SourceWord::Quiet, None, None),
        53 => (SourceWord::NeverRead, None, None),
        _ => (SourceWord::Reading, None, None),
    };
    let ago = i64::try_from(number % 40).expect("small");
    let last_success_at = (state != SourceWord::NeverRead).then(|| at(0) - SignedDuration::from_secs(ago));
    SourceStatus {
        source,
        state,
        fault,
        last_success_at,
        lag_seconds: last_success_at.map(|at| now.duration_since(at).as_secs_f64()),
        last_new_at: last_success_at,
        seen_up_to: at(-60),
        missing: None,
        accepted: (number * 37 % 5_000) as u64,
        failures: u32::from(last_error.is_some()),
        trouble_since: last_error.as_ref().map(|_| at(-900)),
        last_error,
        next_at: at(30),
        unrouted: Unrouted::default(),
        has_route: true,
        passes: Vec::new(),
    }
}

fn tenant(number: usize, now: Timestamp) -> TenantStatus {
    let sources = [Source::GraphAlerts, Source::GraphIncidents].map(|of| source(of, number, now)).to_vec();
    let is_failing = number % 97 == 5;
    let check = Check {
        outcome: if is_failing { CheckOutcome::Failing } else { CheckOutcome::Good },
        code: if is_failing { "lost_consent".to_owned() } else { "ok".to_owned() },
        detail: if is_failing { "no consent".to_owned() } else { "a token was had".to_owned() },
        remedy: if is_failing { "mail the link of `muster tenant invite`".to_owned() } else { String::new() },
        ..checks::good("token", String::new(), at(-120))
    };
    let owed = (number.is_multiple_of(10)).then(|| Owed {
        sink: "archive".to_owned(),
        records: (number % 300) as u64,
        since: Some(at(-400)),
        last_error: Some("503: the receiver is busy".to_owned()),
        next_at: Some(at(12)),
    });
    let slug = format!("customer-{number:04}");
    let state = if number % 89 == 3 { TenantState::Paused } else { TenantState::Active };
    let checks = vec![check];
    TenantStatus {
        id: id(number),
        slug: slug.parse().expect("a slug"),
        name: if number == 7 { HOSTILE.to_owned() } else { format!("Customer {number} Ltd") },
        app: "main".to_owned(),
        added_at: at(-86_400 * 30),
        state,
        standing: Standing::of(state, &checks),
        reason: is_failing.then(|| "no consent".to_owned()),
        remedy: is_failing.then(|| "mail the link of `muster tenant invite`".to_owned()),
        checks,
        sources,
        owed: owed.as_ref().map_or(0, |owed| owed.records),
        owed_to: owed.into_iter().collect(),
        unrouted: Unrouted::default(),
    }
}

fn sink(name: &str, state: SinkWord, last_error: Option<&str>) -> SinkStatus {
    SinkStatus {
        sink: name.to_owned(),
        state,
        shadow: false,
        delivered: 1_234_567,
        last_success_at: Some(at(-2)),
        owed: 12_345,
        owed_since: Some(at(-400)),
        oldest_owed_seconds: Some(400.0),
        waiting_tenants: 100,
        failing_tenants: 100,
        rejected: 3,
        dead_letters: 3,
        given_up: 0,
        given_up_at: None,
        last_error: last_error.map(str::to_owned),
    }
}

fn beat(instance: u128, second: i64, troubles: Vec<PartTrouble>) -> Heartbeat {
    Heartbeat {
        instance: InstanceId(Uuid::from_u128(instance)),
        host: format!("collector-{instance}"),
        pid: 4_711,
        version: "0.1.0".to_owned(),
        started_at: at(-500),
        beat_at: at(second),
        stopped_at: None,
        troubles,
    }
}

/// A picture of so many tenants, so many seconds on.
fn picture(tenants: usize, second: i64, nodes: bool) -> Snapshot {
    let now = at(second);
    let mut tenants: Vec<TenantStatus> = (0..tenants).map(|number| tenant(number, now)).collect();
    for tenant in &mut tenants {
        tenant.sources[0].accepted += u64::try_from(second).unwrap_or_default();
    }
    let trouble =
        PartTrouble { part: "app other".to_owned(), reason: "its secret cannot be read".to_owned() };
    let beats = [beat(1, second - 3, Vec::new()), beat(2, second - 4, vec![trouble])];
    let listed = |instance| Node {
        instance,
        silent_for: 1,
        tenants: tenants.len() as u64 / 2,
        sinks: vec!["splunk".to_owned()],
    };
    let listed =
        [listed(Ok(beats[0].instance)), listed(Ok(beats[1].instance)), listed(Err("00ff".to_owned()))];
    let mut sources = BTreeMap::new();
    for source in tenants.iter().flat_map(|tenant| &tenant.sources) {
        *sources.entry(source.state).or_default() += 1;
    }
    let totals = Totals {
        tenants: tenants.len() as u64,
        failing: tenants.iter().filter(|tenant| tenant.is_in_trouble()).count() as u64,
        sources,
        accepted: tenants.iter().flat_map(|tenant| &tenant.sources).map(|source| source.accepted).sum(),
        owed: tenants.iter().map(|tenant| tenant.owed).sum(),
        unrouted: Unrouted::default(),
    };
    let mut picture = Snapshot {
        at: now,
        run: Run::of(&beats, true, now),
        nodes: if nodes { NodeStatus::all(listed.to_vec(), &beats) } else { Vec::new() },
        causes: Vec::new(),
        totals,
        tenants,
        sinks: vec![
            sink("splunk", SinkWord::Delivering, None),
            sink(
                "archive",
                SinkWord::Down,
                Some("no connection to archive.example:6514: connection refused"),
            ),
        ],
        journal: JournalTotals {
            batches: 900,
            records: 2_000_000,
            stored_bytes: 812_345_678,
            dead_letters: 3,
        },
        room: None,
        notices: None,
        apps: Vec::new(),
        put_back: Vec::new(),
        ends: Vec::new(),
    };
    picture.causes = causes::causes(&picture);
    picture
}

fn passed(number: usize) -> Passed {
    Passed {
        accepted_at: at(-i64::try_from(number).expect("small")),
        tenant: id(number),
        source: Source::GraphAlerts,
        severity: [Severity::High, Severity::Medium, Severity::Low, Severity::Informational][number % 4],
        title: if number == 2 { HOSTILE.to_owned() } else { format!("Suspicious sign-in number {number}") },
        sinks: if number == 5 { Vec::new() } else { vec!["archive".to_owned(), "splunk".to_owned()] },
        change: if number.is_multiple_of(3) { "resolved" } else { "created" },
    }
}

/// What is known after ten seconds of watching.
fn facts(tenants: usize, nodes: bool) -> Facts {
    let mut facts = Facts::new(Duration::from_secs(1));
    for second in [0, 10] {
        facts.elapsed = Duration::from_secs(u64::try_from(second).expect("positive"));
        facts.put(picture(tenants, second, nodes));
    }
    facts.tap.passed = (0..40).map(passed).collect();
    (facts.tap.count, facts.tap.skipped) = (12_040, 12_000);
    facts
}

fn screen(
    state: &mut State,
    facts: &Facts,
    (columns, rows): (u16, u16),
    colour: bool,
) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a terminal");
    terminal.draw(|frame| draw(frame, state, facts, colour)).expect("drawn");
    terminal
}

fn text(state: &mut State, facts: &Facts, size: (u16, u16)) -> String {
    let terminal = screen(state, facts, size, false);
    let buffer = terminal.backend().buffer();
    let mut lines = Vec::new();
    for row in 0..size.1 {
        let line: String = (0..size.0).map(|column| buffer[(column, row)].symbol().to_owned()).collect();
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

/// The state after these keys; a letter each, `\n` for Enter, `\t` for Tab, `\u{1b}` for Esc, `v` and `^` for the arrows.
fn typed(state: &State, keys: &str, facts: &Facts) -> State {
    keys.chars().fold(state.clone(), |state, letter| {
        let code = match letter {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{1b}' => KeyCode::Esc,
            'v' => KeyCode::Down,
            '^' => KeyCode::Up,
            other => KeyCode::Char(other),
        };
        press(&state, key(code), facts).0
    })
}

#[test]
fn each_view_with_a_thousand_tenants() {
    for (nodes, keys, name) in [
        (false, "", "tenants"),
        (false, "/customer-01\nsss", "filtered"),
        (false, "\n", "tenant"),
        (false, "2", "trouble"),
        (false, "3", "sinks"),
        (true, "4", "nodes"),
        (false, "5", "live"),
        (false, "?", "help"),
    ] {
        let facts = facts(1_000, nodes);
        for (size, of) in [(SMALL, "80x24"), (LARGE, "160x50")] {
            let mut state = typed(&State::default(), keys, &facts);
            insta::assert_snapshot!(format!("{name}_{of}"), text(&mut state, &facts, size));
        }
    }
}

#[test]
fn nothing_is_good_where_nothing_is_known() {
    let green = |facts: &Facts, keys: &str| {
        let mut state = typed(&State::default(), keys, facts);
        let terminal = screen(&mut state, facts, LARGE, true);
        let cells = terminal.backend().buffer().content().iter();
        cells.filter(|cell| cell.fg == Color::Green || cell.symbol() == "●").count()
    };
    let views = ["", "\n", "2", "3", "4", "5"];
    let mut known = facts(20, true);
    assert!(green(&known, "") > 0 && green(&known, "3") > 0 && green(&known, "4") > 0);
    // The store answers no more.
    known.failure = Some("the store cannot be read".to_owned());
    for keys in views {
        assert_eq!(green(&known, keys), 0, "{keys}");
    }
    let said = text(&mut State::default(), &known, SMALL);
    assert!(
        said.starts_with("✗ NOT KNOWN how it is now: the store cannot be read; what stands here is of"),
        "{said}"
    );
    assert!(said.contains("2027-01-15T08:00:10Z, 0s ago"), "{said}");
    // It takes long to answer: from ten seconds on that is told, without an error.
    known.failure = None;
    known.elapsed += Duration::from_secs(9);
    assert!(green(&known, "") > 0);
    known.elapsed += Duration::from_secs(1);
    for keys in views {
        assert_eq!(green(&known, keys), 0, "{keys}");
    }
    let said = text(&mut State::default(), &known, SMALL);
    assert!(said.contains("the store takes long to answer") && said.contains("10s ago"), "{said}");
    // Nothing runs.
    let mut stopped = facts(20, false);
    let mut last = picture(20, 20, false);
    last.run = Run::of(&[], false, last.at);
    stopped.elapsed = Duration::from_secs(20);
    stopped.put(last);
    for keys in ["", "\n", "2", "4", "5"] {
        assert_eq!(green(&stopped, keys), 0, "{keys}");
    }
    let said = text(&mut State::default(), &stopped, SMALL);
    assert!(said.starts_with("✗ NOTHING RUNS: it never ran on this store; start `muster run`"), "{said}");
}

#[test]
fn before_anything_is_read_that_is_said() {
    let mut facts = Facts::default();
    assert!(text(&mut State::default(), &facts, SMALL).starts_with("… reading the store"));
    facts.failure = Some("no connection".to_owned());
    let said = text(&mut State::default(), &facts, SMALL);
    assert!(said.starts_with("✗ NOT KNOWN how it is now: no connection; nothing was read yet"), "{said}");
}

#[test]
fn a_clock_that_is_set_is_told_and_makes_no_rates() {
    for (by, words) in [(-3_600, "was set back by 1h 00m"), (3_600, "was set on by 1h 00m")] {
        let mut facts = facts(5, false);
        facts.elapsed = Duration::from_secs(11);
        facts.put(picture(5, 11 + by, false));
        let said = text(&mut State::default(), &facts, LARGE);
        assert!(said.contains(words), "{said}");
        assert!(facts.rate(|picture| Some(picture.totals.accepted)).is_none());
        facts.elapsed = Duration::from_secs(71);
        assert!(!text(&mut State::default(), &facts, LARGE).contains(words), "told for a minute");
    }
}

#[test]
fn text_of_others_stays_in_its_cells() {
    let facts = facts(20, false);
    for keys in ["/customer-0007\n", "/customer-0007\n\n", "5"] {
        for size in [SMALL, LARGE] {
            let mut state = typed(&State::default(), keys, &facts);
            let said = text(&mut state, &facts, size);
            let harmful = |character: char| character != '\n' && muster_model::text::is_harmful(character);
            assert!(!said.chars().any(harmful), "{said:?}");
        }
    }
    // The columns behind it stand where they stand in the other lines.
    let mut state = typed(&State::default(), "5", &facts);
    let terminal = screen(&mut state, &facts, LARGE, false);
    let buffer = terminal.backend().buffer();
    let begins = |row: u16| {
        let letters = |column: u16| (0..7).map(|at| buffer[(column + at, row)].symbol()).collect::<String>();
        (0..150).find(|column| letters(*column) == "archive")
    };
    let rows: Vec<Option<u16>> = (8..50).map(begins).filter(Option::is_some).collect();
    assert!(rows.len() > 30 && rows.iter().all(|column| *column == rows[0]), "{rows:?}");
}

#[test]
fn keys_move_sort_filter_and_open() {
    let facts = facts(100, false);
    let mut state = State::default();
    text(&mut state, &facts, SMALL);
    let slug = |state: &State| {
        let place = state.selected.map(|selected| (0..100).find(|number| id(*number) == selected));
        place.flatten()
    };
    // Trouble first: the fifth has lost its consent.
    assert_eq!(slug(&typed(&state, "\n", &facts)), Some(5));
    assert_eq!(slug(&typed(&state, "s\n", &facts)), Some(0), "by tenant");
    assert_eq!(slug(&typed(&state, "sr\n", &facts)), Some(99), "turned round");
    assert_eq!(slug(&typed(&state, "svvv^", &facts)), Some(2));
    assert_eq!(slug(&typed(&state, "sG", &facts)), Some(99));
    assert_eq!(typed(&state, "sGg", &facts).selected, None, "the first, whichever it is");
    let page = press(&typed(&state, "s", &facts), key(KeyCode::PageDown), &facts).0;
    assert_eq!(slug(&page), Some(state.lines - 1), "a page, with the last line of it kept in sight");
    assert_eq!(typed(&state, "S", &facts).wanted.by, By::App, "the one before the first is the last");
    assert_eq!(By::ALL.iter().fold(state.clone(), |state, _| typed(&state, "s", &facts)).wanted.by, By::Need);
    // The filter takes letters that are keys elsewhere.
    let found = typed(&state, "s/customer-009q?\u{1b}", &facts);
    assert_eq!((found.wanted.filter.as_str(), found.typing), ("", false), "Esc drops it");
    let found = typed(&state, "s/CUSTOMER-009\n", &facts);
    assert_eq!(slug(&typed(&found, "\n", &facts)), Some(90));
    let none = typed(&state, "/nobody\n\n", &facts);
    assert_eq!(none.open, None);
    let mut shown = none.clone();
    assert!(text(&mut shown, &facts, SMALL).contains("none of 100 tenants; Esc shows all"));
    let trouble = typed(&state, "s!G\n", &facts);
    assert_eq!(slug(&trouble), Some(29), "the last of those with trouble");
    // A tenant's page, and the next.
    let open = typed(&state, "s\n", &facts);
    assert_eq!((open.open, typed(&open, "n", &facts).open), (Some(id(0)), Some(id(1))));
    assert_eq!(typed(&open, "\u{1b}", &facts).open, None);
    assert_eq!(typed(&open, "3", &facts).open, None, "another view closes it");
    // Views and ends.
    assert_eq!(typed(&state, "\t\t", &facts).view, View::Sinks);
    assert_eq!(press(&state, key(KeyCode::Char('5')), &facts).1, Step::Read);
    assert_eq!(press(&state, key(KeyCode::Char('q')), &facts).1, Step::Quit);
    let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
    assert_eq!(press(&typed(&state, "/x", &facts), control('c'), &facts).1, Step::Quit, "also while typing");
    assert_eq!(press(&state, control('l'), &facts).1, Step::Redraw);
    let masked = typed(&state, "5m", &facts);
    let said = text(&mut masked.clone(), &facts, LARGE);
    assert!(said.contains("[masked]") && !said.contains("Suspicious"), "{said}");
    assert!(typed(&state, "5 ", &facts).held);
    assert!(
        !typed(&typed(&state, "?", &facts), "!", &facts).wanted.only_trouble,
        "any key only closes the help"
    );
}

#[test]
fn the_cursor_stays_on_its_tenant_when_the_order_changes() {
    let mut facts = facts(100, false);
    let state = typed(&State::default(), "sssssvv", &facts);
    let selected = state.selected.expect("one");
    let mut changed = picture(100, 12, false);
    for tenant in &mut changed.tenants {
        tenant.sources[0].accepted = 0;
    }
    facts.elapsed = Duration::from_secs(12);
    facts.put(changed);
    assert_eq!(typed(&state, "\n", &facts).open, Some(selected));
    // One that was removed leaves the cursor at the first.
    let mut less = picture(100, 13, false);
    less.tenants.retain(|tenant| tenant.id != selected);
    facts.elapsed = Duration::from_secs(13);
    facts.put(less);
    let mut gone = State { open: Some(selected), ..state };
    assert!(text(&mut gone, &facts, SMALL).contains("this tenant was removed; Esc goes back"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever is pressed on whatever screen, nothing panics, and the cursor is on a tenant that is there.
    #[test]
    fn no_keys_and_no_size_end_it(
        columns in 1..200_u16,
        rows in 1..60_u16,
        tenants in 0..40_usize,
        keys in "[a-zA-Z0-9 /!?<>\n\t\u{1b}]{0,30}",
        pages in 0..4_u8,
    ) {
        let facts = facts(tenants, tenants.is_multiple_of(2));
        let mut state = State::default();
        text(&mut state, &facts, (columns, rows));
        for letter in keys.chars() {
            state = typed(&state, &letter.to_string(), &facts);
            text(&mut state, &facts, (columns, rows));
        }
        for code in [KeyCode::PageDown, KeyCode::End, KeyCode::PageUp, KeyCode::Home].iter().take(pages.into()) {
            state = press(&state, key(*code), &facts).0;
            text(&mut state, &facts, (columns, rows));
        }
        prop_assert!(state.selected.is_none_or(|selected| (0..40).any(|number| id(number) == selected)));
    }
}
