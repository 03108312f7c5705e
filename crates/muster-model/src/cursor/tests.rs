use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const POLICY: CursorPolicy =
    CursorPolicy { overlap: Duration::from_secs(600), overlap_max: Duration::from_secs(7_200) };
const LIMITS: PageLimits = PageLimits { skip_max: 40, field_values: &[3, 2], cuts_silently: true };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn page(times: &[i64], now: i64) -> PageSummary {
    PageSummary {
        items: times.len() as u32,
        top: 500,
        times: times.iter().map(|time| at(*time)).collect(),
        unreadable: vec![],
        torn: false,
        link: None,
        cut: false,
        fingerprint: 0,
        clocks: Clocks { local: at(now), server: Some(at(now)) },
        partial: None,
    }
}

#[test]
fn a_quiet_tenant_asks_for_little() {
    let cursor = Cursor::starting(at(1_000));
    let (cursor, step) = cursor.after(&page(&[2_000], 90_000), &POLICY, &LIMITS);
    assert_eq!(step, Step::RoundDone);
    assert_eq!(cursor.query(page(&[], 90_060).clocks).from, at(90_000 - 600));
    assert_eq!(cursor.seen_up_to(), at(2_000));
}

/// As the SIEM feed: there is nothing but time to divide by, and the service gives 12 at most, whatever is asked for.
fn of_a_feed_that_cuts(seconds: &[i64], cuts_at: usize) -> (Cursor, BTreeSet<usize>) {
    let mut cursor = Cursor::starting(at(1_000));
    let (mut step, mut asked, mut found) = (Step::Continue, 0, BTreeSet::new());
    while step == Step::Continue {
        asked += 1;
        assert!(asked < 500, "it asks for ever");
        let query = cursor.query(page(&[], 90_000).clocks);
        let inside = |second: i64| query.from <= at(second) && query.to.is_none_or(|to| at(second) < to);
        let mut given: Vec<usize> = (0..seconds.len()).filter(|place| inside(seconds[*place])).collect();
        // The newest are given.
        let excess = given.len().saturating_sub(cuts_at);
        given.drain(..excess);
        let times: Vec<i64> = given.iter().map(|place| seconds[*place]).collect();
        found.extend(given);
        (cursor, step) = cursor.after(&PageSummary { top: 1_000, ..page(&times, 90_000) }, &POLICY, &FEED);
    }
    (cursor, found)
}

#[test]
fn a_feed_that_gives_less_than_was_asked_for_is_halved_until_nothing_is_hidden() {
    let spread: Vec<i64> = (0..150).map(|number| 2_000 + number * 7).collect();
    let (cursor, found) = of_a_feed_that_cuts(&spread, 12);
    assert_eq!((found.len(), cursor.holes()), (150, vec![]));
    // One that gives all has its instants believed, however many are at them.
    let crowded: Vec<i64> = spread.iter().copied().chain([2_500; 40]).collect();
    let (cursor, found) = of_a_feed_that_cuts(&crowded, usize::MAX);
    assert_eq!((found.len(), cursor.holes()), (190, vec![]));
    // One that was seen to cut does not: what is at that instant beyond is told.
    let (cursor, found) = of_a_feed_that_cuts(&crowded, 12);
    assert_eq!(found.len(), 162);
    let holes: Vec<_> = cursor.holes().into_iter().map(|hole| (hole.from, hole.reason)).collect();
    assert_eq!(holes, [(at(2_500), Reason::TooMany)]);
    assert!(cursor.complete_up_to() <= at(2_500));
    // Where nothing lies beside that instant, nobody can know.
    let (cursor, found) = of_a_feed_that_cuts(&[2_500; 40], 12);
    assert_eq!((found.len(), cursor.holes()), (12, vec![]));
}

const FEED: PageLimits = PageLimits { skip_max: 0, field_values: &[], cuts_silently: true };

/// Reads on from `cursor` until its round is over; returns how many requests that took.
fn read_feed(mut cursor: Cursor, seconds: &[i64], cuts_at: usize, now: i64) -> (Cursor, usize) {
    let mut asked = 0;
    loop {
        asked += 1;
        assert!(asked < 500, "it asks for ever");
        let query = cursor.query(page(&[], now).clocks);
        let inside = |second: &i64| query.from <= at(*second) && query.to.is_none_or(|to| at(*second) < to);
        let mut given: Vec<i64> = seconds.iter().copied().filter(inside).collect();
        given.drain(..given.len().saturating_sub(cuts_at));
        let (next, step) = cursor.after(&PageSummary { top: 1_000, ..page(&given, now) }, &POLICY, &FEED);
        cursor = next;
        if step == Step::RoundDone {
            return (cursor, asked);
        }
    }
}

/// The size of the answer is no reason to doubt an instant: only a cut that was seen is.
#[test]
fn a_hole_of_one_instant_heals() {
    for count in [10, 20, 25, 40, 50] {
        let crowded = vec![2_500; count];
        let (mut cursor, _) = read_feed(Cursor::starting(at(1_000)), &crowded, usize::MAX, 90_000);
        let (from, to) = (at(2_500), Some(at(2_500) + Duration::from_nanos(100)));
        let (reason, since) = (Reason::TooMany, at(90_000));
        cursor.holes.push(Hole { from, to, reason, since, tries: 0, next_at: since });
        assert!(cursor.heal(page(&[], 90_100).clocks));
        let (cursor, asked) = read_feed(cursor, &crowded, usize::MAX, 90_100);
        assert_eq!((cursor.holes(), asked), (vec![], 1), "{count}");
    }
}

#[test]
fn what_a_cut_hid_is_healed_once_the_cut_is_lifted() {
    let spread: Vec<i64> = (0..150).map(|number| 2_000 + number * 7).collect();
    let crowded: Vec<i64> = spread.into_iter().chain([2_500; 40]).collect();
    let (mut cursor, _) = read_feed(Cursor::starting(at(1_000)), &crowded, 12, 90_000);
    assert_eq!(cursor.holes().len(), 1);
    // Asked again while it still cuts, it stays.
    assert!(cursor.heal(page(&[], 200_000).clocks));
    let (mut cursor, _) = read_feed(cursor, &crowded, 12, 200_000);
    assert_eq!((cursor.holes().len(), cursor.plan().cut_at), (1, Some(12)));
    let mut now = 200_000;
    for _ in 0..3 {
        now += 100_000;
        if cursor.heal(page(&[], now).clocks) {
            (cursor, _) = read_feed(cursor, &crowded, usize::MAX, now);
        }
    }
    assert_eq!((cursor.holes(), cursor.plan().cut_at), (vec![], None));
}

/// A service that cuts by bytes gives more of small records than of large ones.
#[test]
fn a_larger_answer_makes_no_cut_forgotten() {
    let mut plan = Plan::default();
    plan.was_cut_at(12);
    plan.saw(30);
    plan.was_cut_at(30);
    assert_eq!(plan.cut_at, Some(12));
    assert!(plan.is_full(12, 1_000, &FEED, true) && !plan.is_full(11, 1_000, &FEED, true));
    plan.was_whole_at(12);
    assert_eq!(plan.cut_at, Some(12), "one as large as the cut proves nothing");
    plan.was_whole_at(13);
    assert_eq!(plan.cut_at, None);
}

/// Twelve were given, thirteen are met in the parts: one was made visible meanwhile.
#[test]
fn what_becomes_visible_while_a_window_is_divided_is_no_cut() {
    for shows_at in 2..6 {
        let seconds: Vec<i64> = (0..20).map(|number| 2_000 + number * 60).collect();
        let mut cursor = Cursor { to: Some(at(4_000)), ..Cursor::starting(at(1_000)) };
        let (mut step, mut asked) = (Step::Continue, 0);
        while step == Step::Continue {
            asked += 1;
            assert!(asked < 100, "it asks for ever");
            let query = cursor.query(page(&[], 90_000).clocks);
            let inside =
                |second: &i64| query.from <= at(*second) && query.to.is_none_or(|to| at(*second) < to);
            let mut given: Vec<i64> = seconds.iter().copied().filter(inside).collect();
            given.retain(|second| *second != 3_140 && (asked >= shows_at || *second != 2_900));
            given.extend([2_905].into_iter().filter(|second| asked >= shows_at && inside(second)));
            (cursor, step) =
                cursor.after(&PageSummary { top: 1_000, ..page(&given, 90_000) }, &POLICY, &FEED);
        }
        assert_eq!((cursor.plan().cut_at, cursor.holes()), (None, vec![]), "{shows_at}");
    }
}

#[test]
fn a_crowded_instant_ends_the_doubt_about_its_window() {
    // The window ends with the instant, which the service is known to cut; what follows is no part of it.
    let mut cursor = Cursor { to: Some(at(2_501)), ..Cursor::starting(at(1_000)) };
    cursor.plan.was_cut_at(12);
    let crowded: Vec<i64> = [1_500, 2_000].into_iter().chain([2_500; 40]).collect();
    let (cursor, _) = read_feed(cursor, &crowded, 12, 90_000);
    assert_eq!(cursor.plan().cut_at, Some(12));
    let [hole] = cursor.holes()[..] else { panic!("{:?}", cursor.holes()) };
    assert_eq!((hole.from, hole.reason), (at(2_500), Reason::TooMany));
}

#[test]
fn a_quiet_feed_costs_one_request_a_poll() {
    for count in 0..10 {
        let mut cursor = Cursor::starting(at(1_000));
        for poll in 0..20 {
            let now = 90_000 + poll * 60;
            let recent: Vec<i64> = (0..count).map(|number| now - 300 + number).collect();
            let asked;
            (cursor, asked) = read_feed(cursor, &recent, usize::MAX, now);
            assert_eq!(asked, 1, "{count} records, poll {poll}");
        }
    }
}

/// As a hunting query: there is nothing but time to divide by, and the service says nothing of what it left off.
#[test]
fn what_cannot_be_divided_by_time_is_told_and_an_answer_below_the_cap_is_whole() {
    const BY_TIME: PageLimits = PageLimits { skip_max: 0, field_values: &[], cuts_silently: false };
    let whole = PageSummary { top: 3, ..page(&[2_000, 2_001], 90_000) };
    let (cursor, step) = Cursor::starting(at(1_000)).after(&whole, &POLICY, &BY_TIME);
    assert_eq!((step, cursor.holes()), (Step::RoundDone, vec![]), "the largest answer so far is no sign");
    let mut cursor = Cursor::starting(at(1_000));
    let mut step = Step::Continue;
    let mut asked = 0;
    while step == Step::Continue {
        let query = cursor.query(page(&[], 90_000).clocks);
        let inside = |second: &i64| query.from <= at(*second) && query.to.is_none_or(|to| at(*second) < to);
        let seconds: Vec<i64> =
            [1_500, 2_000, 2_000, 2_000, 2_000, 3_000].into_iter().filter(inside).collect();
        let seconds = &seconds[..seconds.len().min(3)];
        let cut = seconds.len() == 3;
        (cursor, step) =
            cursor.after(&PageSummary { top: 3, cut, ..page(seconds, 90_000) }, &POLICY, &BY_TIME);
        asked += 1;
        assert!(asked < 100, "{cursor:?}");
    }
    let holes: Vec<_> = cursor.holes().into_iter().map(|hole| (hole.from, hole.reason)).collect();
    assert_eq!(holes, [(at(2_000), Reason::TooMany)]);
    assert_eq!(cursor.passed_up_to(), at(90_000 - 600), "what lies behind it is read");
}

#[test]
fn a_record_dated_in_the_future_hides_nothing() {
    let cursor = Cursor::starting(at(1_000));
    let (cursor, _) = cursor.after(&page(&[4_000_000], 2_000), &POLICY, &LIMITS);
    assert_eq!(cursor.next_from, at(2_000 - 600));
}

#[test]
fn a_wrong_clock_moves_nothing_past_what_was_seen() {
    for (local, server) in
        [(9_000_000, None), (9_000_000, Some(5_000)), (5_000, Some(9_000_000)), (5_000, Some(9))]
    {
        let clocks = Clocks { local: at(local), server: server.map(at) };
        let seen = PageSummary { clocks, ..page(&[4_000], 0) };
        let (cursor, _) = Cursor::starting(at(1_000)).after(&seen, &POLICY, &LIMITS);
        assert!(cursor.next_from <= at(4_000 - 600), "{clocks:?}: {:?}", cursor.next_from);
    }
}

/// What is made while a long round reads is newer than what its first answers could hold: others that show late belong
/// between.
#[test]
fn what_is_made_during_a_round_moves_nothing_past_its_beginning() {
    let clocks = |local| Clocks { local: at(local), server: None };
    let link = Some("https://graph.example/next".to_owned());
    let first = PageSummary { link, clocks: clocks(9_000_000), ..page(&[], 0) };
    let last = PageSummary { clocks: clocks(9_001_800), ..page(&[5_800], 0) };
    let (cursor, step) = Cursor::starting(at(1_000)).after(&first, &POLICY, &LIMITS);
    assert_eq!(step, Step::Continue);
    let (cursor, step) = cursor.after(&last, &POLICY, &LIMITS);
    assert_eq!((step, cursor.next_from), (Step::RoundDone, at(4_000 - 600)));
    // The next round knows that what was seen before had come when it began.
    let (cursor, _) = cursor.after(&PageSummary { clocks: clocks(9_001_900), ..last }, &POLICY, &LIMITS);
    assert_eq!(cursor.next_from, at(5_800 - 600));
}

#[test]
fn a_clock_that_was_behind_is_no_sign_of_idleness() {
    for (local, server, began) in
        [(5_000, Some(9_000), 9_000), (9_000, Some(5_000), 9_000), (5_000, None, 5_000)]
    {
        let clocks = Clocks { local: at(local), server: server.map(at) };
        let seen = PageSummary { clocks, ..page(&[4_000], 0) };
        let (cursor, _) = Cursor::starting(at(1_000)).after(&seen, &POLICY, &LIMITS);
        assert_eq!(cursor.last_round_at(), Some(at(began)));
    }
}

#[test]
fn a_round_of_the_version_before_is_begun_anew() {
    let stored = r#"{"seen_up_to":"2026-01-02T00:00:00Z","next_from":"2026-01-01T00:00:00Z","round":{"from":
        "2026-01-02T00:00:00Z","skip":45,"began_at":"2026-01-02T00:00:00Z","newest":"2026-01-02T00:00:00Z","unsorted":false,"fingerprint":7}}"#;
    let cursor: Cursor = serde_json::from_str(stored).expect("a cursor");
    assert!(!cursor.in_round());
    assert_eq!(cursor.query(page(&[], 0).clocks).from.to_string(), "2026-01-01T00:00:00Z");
}

/// Found by the simulation: a provider that is missing from every other answer left a hole behind each.
#[test]
fn a_provider_that_comes_and_goes_leaves_one_hole() {
    let mut cursor = Cursor::starting(at(1_000));
    for round in 0..6 {
        let now = 2_000 + round * 60;
        let partial = (round % 2 == 0).then(|| "a provider".to_owned());
        (cursor, _) = cursor.after(&PageSummary { partial, ..page(&[], now) }, &POLICY, &LIMITS);
    }
    let spans: Vec<_> = cursor.holes().into_iter().map(|hole| (hole.from, hole.to, hole.since)).collect();
    assert_eq!(spans, [(at(1_000), Some(at(2_300)), at(2_000))]);
}

#[test]
fn what_a_provider_left_out_is_a_hole_whatever_the_clock_says_meanwhile() {
    let (cursor, _) = Cursor::starting(at(1_000)).after(&page(&[], 10_000), &POLICY, &LIMITS);
    let partial = PageSummary { partial: Some("a provider".to_owned()), ..page(&[], 20_000) };
    let (mut cursor, step) = cursor.after(&partial, &POLICY, &LIMITS);
    assert_eq!(step, Step::RoundDone);
    // The provider is back while an older hole is read, and our clock was put back by two hours.
    let (from, to, since) = (at(2_000), Some(at(3_000)), at(4_000));
    cursor.holes.push(Hole { from, to, reason: Reason::NoAnswer, since, tries: 0, next_at: since });
    assert!(cursor.heal(page(&[], 12_800).clocks));
    let (cursor, _) = cursor.after(&page(&[], 12_800), &POLICY, &LIMITS);
    let spans: Vec<_> = cursor.holes().into_iter().map(|hole| (hole.from, hole.to)).collect();
    assert_eq!(spans, [(at(10_000 - 600), Some(at(20_000 - 600)))]);
    assert_eq!(cursor.next_from, at(20_000 - 600));
}

/// Found by the simulation: the end of what followed was taken for the end of the round, or the link was asked for forever.
#[test]
fn a_link_that_is_refused_ends_nothing() {
    let link = Some("https://graph.example/next".to_owned());
    let linked = PageSummary { link: link.clone(), ..page(&[1_500, 2_500], 3_000) };
    let empty = PageSummary { link: link.clone(), ..page(&[], 3_000) };
    let (mut cursor, step) = Cursor::starting(at(1_000)).after(&empty, &POLICY, &LIMITS);
    assert_eq!(step, Step::Continue);
    let window = cursor.query(linked.clocks);
    assert_eq!(window.link, link);
    assert!(cursor.link_refused() && !cursor.link_refused());
    let again = cursor.query(linked.clocks);
    assert_eq!((again.link, again.from), (None, at(1_000)));
    // Without links, one that is named says no more than that this is not all: the window is made smaller, and what cannot
    // be had by that is told.
    let (smaller, step) = cursor.after(&linked, &POLICY, &LIMITS);
    assert_eq!((step, smaller.query(linked.clocks).link), (Step::Continue, None));
    assert!(smaller.query(linked.clocks).to.is_some());
    let (told, _) = cursor.after(&empty, &POLICY, &LIMITS);
    let reasons: Vec<_> = told.holes().into_iter().map(|hole| (hole.from, hole.reason)).collect();
    assert_eq!(reasons, [(at(1_000), Reason::NoNextPage)]);
}

/// Found by the simulation: an empty page whose link leads elsewhere was taken for the last one.
#[test]
fn an_empty_page_with_a_link_that_is_not_followed_proves_nothing() {
    let cut = PageSummary { cut: true, ..page(&[], 3_000) };
    let (cursor, step) = Cursor::starting(at(1_000)).after(&cut, &POLICY, &LIMITS);
    assert_eq!((step, cursor.complete_up_to()), (Step::RoundDone, at(1_000)));
    assert_eq!(cursor.holes()[0].reason, Reason::NoNextPage);
}

/// Found by the simulation: the hole ended where the window would have, and what was behind it was missing in silence.
#[test]
fn a_hole_reaches_as_far_as_what_was_asked_for() {
    let full = PageSummary { items: 500, ..page(&[1_500, 2_500], 3_000) };
    let (mut cursor, _) = Cursor::starting(at(1_000)).after(&full, &POLICY, &LIMITS);
    assert!(cursor.query(full.clocks).to.is_some());
    assert!(cursor.refused(full.clocks));
    assert_eq!(cursor.query(full.clocks).to, None);
    let torn = PageSummary { torn: true, ..page(&[], 3_000) };
    let mut step = Step::Continue;
    while step == Step::Continue {
        (cursor, step) = cursor.after(&torn, &POLICY, &LIMITS);
    }
    let spans: Vec<_> = cursor.holes().into_iter().map(|hole| (hole.from, hole.to)).collect();
    assert_eq!(spans, [(at(1_000), None)]);
}

/// `null` in place of a record looks like `null` in place of another.
#[test]
fn unreadable_bytes_that_are_known_may_stand_for_another_record() {
    let mut cursor = Cursor::starting(at(1_000));
    for now in [3_000, 3_000, 9_000, 9_060, 20_000] {
        let null = PageSummary { items: 1, unreadable: vec![7], ..page(&[], now) };
        (cursor, _) = cursor.after(&null, &POLICY, &LIMITS);
        assert!(!cursor.in_round() || now == 3_000);
    }
    let holes = cursor.holes();
    assert!(holes.len() == 1 && holes[0].from == at(1_000) && holes[0].to > Some(at(20_000)), "{holes:?}");
    // Where it is not met any more, no more is said to be missing.
    (cursor, _) = cursor.after(&page(&[], 40_000), &POLICY, &LIMITS);
    assert!(cursor.holes()[0].to < Some(at(21_000)));
    // Read again without it, the hole is healed, though what is known reached further.
    assert!(cursor.heal(page(&[], 60_000).clocks));
    (cursor, _) = cursor.after(&page(&[], 60_000), &POLICY, &LIMITS);
    assert_eq!(cursor.holes(), Vec::<&Hole>::new());
}

/// Found by the simulation: between spans in which the same bytes were met, nothing was there to be healed, and so nothing
/// healed what lay in the middle.
#[test]
fn what_can_be_read_again_is_healed_whatever_else_cannot() {
    let mut cursor = Cursor::starting(at(1_000));
    for (now, bad) in [
        (3_000, true),
        (3_000, true),
        (10_000, false),
        (25_000, true),
        (35_000, false),
        (50_000, true),
        (60_000, false),
    ] {
        let unreadable = if bad { vec![7] } else { vec![] };
        let answer = PageSummary { items: u32::from(bad), unreadable, ..page(&[], now) };
        (cursor, _) = cursor.after(&answer, &POLICY, &LIMITS);
    }
    assert_eq!(cursor.holes().len(), 3, "{:?}", cursor.holes());
    let later = page(&[], 100_000);
    for left in [2, 1, 0] {
        assert!(cursor.heal(later.clocks));
        (cursor, _) = cursor.after(&later, &POLICY, &LIMITS);
        assert_eq!(cursor.holes().len(), left, "{:?}", cursor.holes());
    }
    // The same bytes again, where they had been read meanwhile: they are missing once more.
    let again = PageSummary { items: 1, unreadable: vec![7], ..page(&[], 100_000) };
    (cursor, _) = cursor.after(&again, &POLICY, &LIMITS);
    assert!(cursor.in_round() || cursor.holes().len() == 1, "{:?}", cursor.holes());
    (cursor, _) = cursor.after(&again, &POLICY, &LIMITS);
    assert_eq!(cursor.holes().len(), 1);
}

/// Found by the simulation: with a server whose clock was behind, what could not be read was said to be a single instant.
#[test]
fn what_cannot_be_read_in_an_open_window_reaches_as_far_as_any_clock() {
    for (local, server) in [(9_000, Some(2_000)), (2_000, Some(9_000)), (9_000, None)] {
        let clocks = Clocks { local: at(local), server: server.map(at) };
        let bad = PageSummary { items: 1, unreadable: vec![7], clocks, ..page(&[], 0) };
        let (cursor, _) = Cursor::starting(at(1_000)).after(&bad, &POLICY, &LIMITS);
        let (cursor, _) = cursor.after(&bad, &POLICY, &LIMITS);
        let [hole] = cursor.holes()[..] else { panic!("{:?}", cursor.holes()) };
        assert!(hole.from == at(1_000) && hole.to.is_none_or(|to| to > at(9_000)), "{hole:?}");
    }
}

/// Found by the simulation: behind links that are offsets, a record that changes moves another over a page's edge.
#[test]
fn pages_that_only_links_hold_together_prove_nothing() {
    let mut cursor = Cursor::starting(at(1_000));
    cursor.plan_mut().ignores_upper_bounds = true;
    let link = |to: &str| Some(format!("https://graph.example/{to}"));
    for (times, link) in [(&[2_000][..], link("a")), (&[], link("b")), (&[3_000], None)] {
        assert!(cursor.holes().is_empty());
        (cursor, _) = cursor.after(&PageSummary { link, ..page(times, 9_000) }, &POLICY, &LIMITS);
    }
    let [hole] = cursor.holes()[..] else { panic!("{:?}", cursor.holes()) };
    assert_eq!((hole.from, hole.reason), (at(1_000), Reason::Unproved));
    assert!(hole.to > Some(at(9_000)), "{hole:?}");
    // Answers that each hold a window are proof.
    assert!(cursor.heal(page(&[], 20_000).clocks));
    while cursor.is_healing() {
        let query = cursor.query(page(&[], 20_000).clocks);
        let inside = |time: &i64| query.from <= at(*time) && query.to.is_none_or(|to| to > at(*time));
        let times: Vec<i64> = [2_000, 3_000].into_iter().filter(inside).skip(query.skip as usize).collect();
        (cursor, _) = cursor.after(&page(&times, 20_000), &POLICY, &LIMITS);
    }
    assert!(cursor.holes().is_empty(), "{:?}", cursor.holes());
}

/// Found by the simulation: each round told the same hole anew, from a little later on.
#[test]
fn holes_of_one_kind_that_overlap_are_one() {
    let cut = |now| PageSummary { cut: true, ..page(&[], now) };
    let mut cursor = Cursor::starting(at(1_000));
    for now in [3_000, 3_060, 3_120, 9_000] {
        (cursor, _) = cursor.after(&cut(now), &POLICY, &LIMITS);
    }
    let spans: Vec<_> = cursor.holes().into_iter().map(|hole| (hole.from, hole.reason)).collect();
    assert_eq!(spans, [(at(1_000), Reason::NoNextPage)]);
}

/// Found by the simulation: records of one instant that were read by offset moved up when one of them changed.
#[test]
fn an_instant_that_is_more_than_one_page_is_divided() {
    let clocks = page(&[], 9_000).clocks;
    let mut cursor = Cursor::starting(at(2_000));
    let full = page(&[2_000; 10], 9_000);
    while cursor.query(clocks).skip == 0 {
        (cursor, _) = cursor.after(&full, &POLICY, &LIMITS);
    }
    // Ten may be all that a page holds. What is behind them says so.
    let query = cursor.query(clocks);
    assert_eq!((query.from, query.skip, query.slice.len()), (at(2_000), 10, 0));
    let (rest, step) = cursor.after(&page(&[2_000; 6], 9_000), &POLICY, &LIMITS);
    assert_eq!((step, rest.query(clocks).skip, rest.query(clocks).slice.len()), (Step::Continue, 0, 1));
    let (more, _) = cursor.after(&full, &POLICY, &LIMITS);
    assert_eq!((more.query(clocks).skip, more.query(clocks).slice.len()), (0, 1));
    // Nothing is behind them: then one page held them all.
    let (done, _) = cursor.after(&page(&[], 9_000), &POLICY, &LIMITS);
    assert!(done.query(clocks).from > at(2_000) && done.query(clocks).slice.is_empty());
}

#[test]
fn what_cannot_be_read_twice_is_a_hole_and_the_round_goes_on() {
    let bad = PageSummary { items: 2, unreadable: vec![7], ..page(&[2_000], 3_000) };
    let (cursor, step) = Cursor::starting(at(1_000)).after(&bad, &POLICY, &LIMITS);
    assert_eq!((step, cursor.complete_up_to()), (Step::Continue, at(1_000)));
    let (mut cursor, mut step) = cursor.after(&bad, &POLICY, &LIMITS);
    while step == Step::Continue {
        let query = cursor.query(bad.clocks);
        let inside = query.skip == 0 && query.from <= at(2_000) && query.to.is_none_or(|to| to > at(2_000));
        let answer = if inside { bad.clone() } else { page(&[], 3_000) };
        (cursor, step) = cursor.after(&answer, &POLICY, &LIMITS);
    }
    assert!(cursor.complete_up_to() <= at(2_000), "it is told as missing");
    let clocks = page(&[], 100_000).clocks;
    assert!(cursor.heal(clocks));
    let mut step = Step::Continue;
    while step == Step::Continue {
        let query = cursor.query(clocks);
        let inside = |time: &i64| query.from <= at(*time) && query.to.is_none_or(|to| to > at(*time));
        let times: Vec<i64> = [1_900, 2_000].into_iter().filter(inside).collect();
        (cursor, step) = cursor.after(&page(&times, 100_000), &POLICY, &LIMITS);
    }
    assert_eq!(cursor.holes(), Vec::<&Hole>::new(), "healed");
}

/// How the server of the property test misbehaves.
#[derive(Debug, Clone)]
struct Quirks {
    /// Pages are cut to this without a word.
    clamp: usize,
    order: Order,
    links: Links,
    ignores_skip: bool,
    ignores_upper: bool,
    refuses_fields: bool,
    /// Every so-manieth answer does not come.
    fails_every: usize,
    /// Records that no answer may hold.
    poison: BTreeSet<u32>,
    date: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Ascending,
    Descending,
    Shuffled,
    NewestAscending,
}

#[derive(Debug, Clone, Copy)]
enum Links {
    Never,
    WhenMore,
    Always,
    ManyEmpty,
}

#[derive(Debug, Clone, Copy)]
struct Version {
    time: i64,
    visible_at: i64,
}

struct Server {
    records: BTreeMap<u32, Version>,
    quirks: Quirks,
    requests: usize,
    now: i64,
}

/// What a record has in a field by which those of one instant are divided. The last of the values is one that nobody listed.
fn value_of(id: u32, field: u8) -> u32 {
    let values = u32::from(LIMITS.field_values[usize::from(field)]) + 1;
    (id / values.pow(u32::from(field))) % values
}

const SUBTICKS: i64 = 4;

fn time_of(quarter: i64) -> Timestamp {
    Timestamp::from_millisecond(quarter * 1_000 / SUBTICKS).expect("in range")
}

impl Server {
    fn found(&self, from: Timestamp, to: Option<Timestamp>, slice: &[Part]) -> Vec<(i64, u32)> {
        let to = to.filter(|_| !self.quirks.ignores_upper);
        let mut found: Vec<(i64, u32)> = self
            .records
            .iter()
            .filter(|(_, version)| version.visible_at <= self.now)
            .filter(|(_, version)| {
                time_of(version.time) >= from && to.is_none_or(|to| time_of(version.time) < to)
            })
            .filter(|(id, _)| slice.iter().all(|part| value_of(**id, part.field) == u32::from(part.value)))
            .map(|(id, version)| (version.time, *id))
            .collect();
        found.sort_unstable();
        match self.quirks.order {
            Order::Descending => found.reverse(),
            Order::Shuffled => found.sort_by_key(|(_, id)| id.wrapping_mul(2_654_435_761)),
            Order::Ascending | Order::NewestAscending => {}
        }
        found
    }

    fn answer(&mut self, query: &PageQuery, top: usize) -> Answer {
        self.requests += 1;
        if self.quirks.refuses_fields && !query.slice.is_empty() {
            return Answer::Refused;
        }
        if self.quirks.fails_every > 0 && self.requests.is_multiple_of(self.quirks.fails_every) {
            return Answer::None;
        }
        let (skip, hops) = match &query.link {
            Some(link) => {
                let (skip, hops) = link.split_once('+').expect("our link");
                (skip.parse().expect("a number"), hops.parse::<usize>().expect("a number"))
            }
            None if self.quirks.ignores_skip => (0, 0),
            None => (query.skip as usize, 0),
        };
        let found = self.found(query.from, query.to, &query.slice);
        let top = if query.single { 1 } else { top };
        let size = top.min(self.quirks.clamp);
        let start = match self.quirks.order {
            Order::NewestAscending => found.len().saturating_sub(skip + size),
            _ => skip.min(found.len()),
        };
        let size = match self.quirks.order {
            Order::NewestAscending => found.len().saturating_sub(skip).min(size),
            _ => size,
        };
        let mut page: Vec<(i64, u32)> = found[start..].iter().take(size).copied().collect();
        let mut next = start + page.len();
        let more = next < found.len();
        let link = match self.quirks.links {
            Links::Never => None,
            Links::WhenMore => more.then(|| format!("{next}+0")),
            Links::Always => (more || hops == 0).then(|| format!("{next}+{}", usize::from(!more))),
            Links::ManyEmpty if hops % 4 != 3 && !found.is_empty() => {
                (page, next) = (vec![], start);
                Some(format!("{next}+{}", hops + 1))
            }
            Links::ManyEmpty => more.then(|| format!("{next}+0")),
        };
        if page.iter().any(|(_, id)| self.quirks.poison.contains(id)) {
            return Answer::None;
        }
        let mut hasher = DefaultHasher::new();
        page.iter().for_each(|(_, id)| id.hash(&mut hasher));
        let summary = PageSummary {
            items: page.len() as u32,
            top: top as u32,
            times: page.iter().map(|(time, _)| time_of(*time)).collect(),
            unreadable: vec![],
            torn: false,
            link,
            cut: false,
            fingerprint: hasher.finish(),
            clocks: self.clocks(),
            partial: None,
        };
        Answer::Page(summary, page)
    }

    fn clocks(&self) -> Clocks {
        let second = self.now / SUBTICKS;
        Clocks { local: at(second), server: self.quirks.date.map(|off| at((second + off).max(0))) }
    }
}

enum Answer {
    Page(PageSummary, Vec<(i64, u32)>),
    None,
    Refused,
}

fn quirks() -> impl Strategy<Value = Quirks> {
    let order = prop_oneof![
        Just(Order::Ascending),
        Just(Order::Descending),
        Just(Order::Shuffled),
        Just(Order::NewestAscending)
    ];
    let links =
        prop_oneof![Just(Links::Never), Just(Links::WhenMore), Just(Links::Always), Just(Links::ManyEmpty)];
    let date = prop_oneof![
        3 => Just(Some(0)),
        1 => Just(None),
        1 => Just(Some(100_000_000)),
        1 => Just(Some(-100_000_000))
    ];
    let poison = proptest::collection::btree_set(0_u32..60, 0..3);
    let habits = (any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2));
    (2_usize..30, order, links, habits, 0_usize..6, poison, date).prop_map(
        |(clamp, order, links, (ignores_skip, refuses_fields, ignores_upper), fails_every, poison, date)| {
            Quirks {
                clamp,
                order,
                // Whoever hides the older ones names no next page.
                links: if matches!(order, Order::NewestAscending) { Links::Never } else { links },
                ignores_skip,
                ignores_upper,
                refuses_fields,
                fails_every: if fails_every < 3 { 0 } else { fails_every },
                poison,
                date,
            }
        },
    )
}

/// Reads until nothing is left to do, and checks on the way that nothing is claimed that is not so.
fn read_all(
    server: &mut Server,
    top: usize,
    last_change: usize,
    mut change: impl FnMut(&mut Server, usize),
) -> Result<(), TestCaseError> {
    let mut cursor = Cursor::starting(at(0));
    let mut seen = BTreeSet::new();
    let (mut pages, mut quiet_rounds, mut failures) = (0_usize, 0, 0_u32);
    let mut visible_up_to = 0;
    let mut visible_at_start: Vec<(i64, u32)> = Vec::new();
    while quiet_rounds < 3 || pages <= last_change {
        if !cursor.in_round() {
            visible_at_start = server.found(Timestamp::MIN, None, &[]);
            visible_up_to = server.now;
        }
        let clocks = server.clocks();
        change(server, pages);
        pages += 1;
        prop_assert!(pages < 20_000, "no end: {cursor:?}");
        let answer = server.answer(&cursor.query(clocks), top);
        cursor =
            serde_json::from_str(&serde_json::to_string(&cursor).expect("JSON")).expect("what was written");
        let step = match answer {
            Answer::Page(summary, page) => {
                failures = 0;
                seen.extend(page);
                let (next, step) = cursor.after(&PageSummary { clocks, ..summary }, &POLICY, &LIMITS);
                cursor = next;
                step
            }
            Answer::Refused => {
                prop_assert!(cursor.refused(clocks));
                continue;
            }
            Answer::None => {
                failures += 1;
                cursor.unanswered(failures > 1, clocks);
                server.now += SUBTICKS;
                continue;
            }
        };
        if step == Step::Continue {
            continue;
        }
        let complete = cursor.complete_up_to();
        for (time, id) in &visible_at_start {
            let unchanged = server.records[id].time == *time;
            if time_of(*time) < complete && unchanged {
                prop_assert!(
                    seen.contains(&(*time, *id)),
                    "{id} at {time} was claimed to be read: {cursor:?}"
                );
            }
        }
        server.now += 60 * SUBTICKS;
        if !cursor.heal(server.clocks()) {
            let hidden = server.records.values().any(|version| version.visible_at > visible_up_to);
            let waits = hidden || cursor.holes().iter().any(|hole| hole.tries < 3 && pages < 3_000);
            quiet_rounds = if pages > last_change { quiet_rounds + i32::from(!waits) } else { 0 };
        }
    }
    for (id, version) in &server.records {
        if !seen.contains(&(version.time, *id)) {
            let time = time_of(version.time);
            let told =
                cursor.holes().iter().any(|hole| hole.from <= time && hole.to.is_none_or(|to| to > time));
            prop_assert!(
                told && cursor.complete_up_to() <= time,
                "{id} at {} is missing and nobody says so",
                version.time
            );
            let company = server.records.values().filter(|other| other.time == version.time).count();
            prop_assert!(
                company > 1 || server.quirks.poison.contains(id),
                "{id} at {} could be read",
                version.time
            );
        }
    }
    let Quirks { poison, refuses_fields, ignores_upper, ignores_skip, clamp, .. } = &server.quirks;
    let readable = poison.is_empty() && !refuses_fields && !ignores_upper;
    // Where nothing divides as many records as a page holds, and the next page cannot be asked for, nobody can know that these
    // are all.
    let mut alike: BTreeMap<(i64, Vec<u32>), usize> = BTreeMap::new();
    for (time, id) in &seen {
        let fields = 0..u8::try_from(LIMITS.field_values.len()).expect("few");
        *alike.entry((*time, fields.map(|field| value_of(*id, field)).collect())).or_default() += 1;
    }
    let is_crowded = |hole: &&Hole| {
        let holds = |time: Timestamp| hole.from <= time && hole.to.is_none_or(|to| time < to);
        *ignores_skip
            && alike.iter().any(|((time, _), count)| holds(time_of(*time)) && *count >= top.min(*clamp))
    };
    prop_assert!(!readable || cursor.holes().iter().all(is_crowded), "{:?}", cursor.holes());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// Whatever the order, page size, links and equal times, with updates between pages, late records and answers that
    /// do not come: every version that stays is read, what cannot be read is told, and nothing else is claimed.
    #[test]
    fn nothing_is_missed(
        times in proptest::collection::vec(0_i64..400, 1..80),
        spread in prop_oneof![Just(1_i64), Just(7), Just(5_000)],
        updates in proptest::collection::btree_map(0_usize..60, (any::<prop::sample::Index>(), 0_i64..500), 0..20),
        top in 5_usize..40,
        quirks in quirks(),
    ) {
        let records = times.iter().enumerate().map(|(id, time)| {
            (id as u32, Version { time: 40_000 + time * spread, visible_at: 0 })
        });
        let mut server = Server { records: records.collect(), quirks, requests: 0, now: 4_000_000 };
        // A server without upper bounds is read by links, which changes shift: that is told, and tested with equal times.
        server.quirks.ignores_upper = false;
        // Poisonous records do not become well by moving.
        server.quirks.poison.retain(|id| (*id as usize) < times.len());
        let last_change = updates.keys().max().copied().unwrap_or(0);
        read_all(&mut server, top, last_change, |server, pages| {
            if let Some((which, delay)) = updates.get(&pages) {
                server.now += 1;
                let id = which.index(times.len()) as u32;
                if !server.quirks.poison.contains(&id) {
                    let visible_at = server.now + delay * SUBTICKS;
                    server.records.insert(id, Version { time: server.now, visible_at });
                }
            }
        })?;
    }

    /// A hundred and more records of one instant are read by links, by fields, by offset, or told to be missing.
    #[test]
    fn equal_times(count in 1_u32..200, top in 5_usize..40, quirks in quirks()) {
        let records = (0..count).map(|id| (id, Version { time: 40_000, visible_at: 0 }));
        let quirks = Quirks { poison: BTreeSet::new(), ..quirks };
        let mut server = Server { records: records.collect(), quirks, requests: 0, now: 4_000_000 };
        let mut cursor = Cursor::starting(at(0));
        let mut seen = BTreeSet::new();
        let mut failures = 0;
        for pages in 0.. {
            prop_assert!(pages < 5_000, "no end: {cursor:?}");
            let clocks = server.clocks();
            match server.answer(&cursor.query(clocks), top) {
                Answer::Page(summary, page) => {
                    failures = 0;
                    seen.extend(page);
                    let (next, step) = cursor.after(&PageSummary { clocks, ..summary }, &POLICY, &LIMITS);
                    cursor = next;
                    if step == Step::RoundDone { break; }
                }
                Answer::Refused => prop_assert!(cursor.refused(clocks)),
                Answer::None => { failures += 1; cursor.unanswered(failures > 1, clocks); }
            }
        }
        let all = seen.len() == count as usize;
        prop_assert!(all || cursor.complete_up_to() <= time_of(40_000), "missing, and nobody says so: {cursor:?}");
    }
}

/// How many requests a backlog costs, beside the least possible.
#[test]
fn a_backlog_costs_less_than_three_times_the_least() {
    for order in [Order::Ascending, Order::Descending, Order::Shuffled] {
        let quirks = Quirks {
            clamp: 500,
            order,
            links: Links::WhenMore,
            ignores_skip: false,
            ignores_upper: false,
            refuses_fields: false,
            fails_every: 0,
            poison: BTreeSet::new(),
            date: Some(0),
        };
        let records =
            (0..50_000_u32).map(|id| (id, Version { time: i64::from(id) * 48 + 40_000, visible_at: 0 }));
        let mut server = Server { records: records.collect(), quirks, requests: 0, now: 4_000_000 };
        let mut cursor = Cursor::starting(at(0));
        let mut seen = BTreeSet::new();
        loop {
            let Answer::Page(summary, page) = server.answer(&cursor.query(server.clocks()), 500) else {
                unreachable!()
            };
            seen.extend(page);
            let (next, step) = cursor.after(&summary, &POLICY, &LIMITS);
            cursor = next;
            if step == Step::RoundDone {
                break;
            }
        }
        assert_eq!(seen.len(), 50_000);
        assert!(server.requests < 300, "{order:?}: {} requests", server.requests);
    }
}
