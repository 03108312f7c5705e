//! One reading of spans that lie behind: a sweep, or a backfill.

use jiff::{SignedDuration, Timestamp};

use super::hole::{Hole, Reason};
use super::pass::{Pass, Span};
use super::{Cursor, Plan};

/// More spans than this are read as fewer, longer ones.
const SPANS_MAX: usize = 200;

impl Cursor {
    /// A cursor that reads `spans` once, beginning at `as_of`; `None` where there is nothing in them. What is known of the
    /// source is taken over from `like`, unreadable records included: those are told already. What `like` has as a hole
    /// is left out, since `like` asks for it again.
    #[must_use]
    pub fn passing(spans: &[Span], as_of: Timestamp, like: Option<&Self>) -> Option<Self> {
        let mut left = joined(&beside(spans, like));
        if left.is_empty() {
            return None;
        }
        let (from, to) = left.remove(0);
        let plan = like.map_or_else(Plan::default, |like| Plan { partial: None, ..like.plan.clone() });
        let pass = Pass {
            as_of,
            from,
            left,
            behind: Vec::new(),
            uncounted: Vec::new(),
            apart: Vec::new(),
            found: 0,
        };
        Some(Self { to: Some(to), plan, pass: Some(pass), ..Self::starting(from) })
    }

    /// A cursor for a pass that counts `spans`, each by itself, and reads those in doubt.
    #[must_use]
    pub fn counting(
        spans: Vec<(Timestamp, Timestamp)>,
        as_of: Timestamp,
        like: Option<&Self>,
    ) -> Option<Self> {
        let mut cursor = Self::passing(&spans, as_of, like)?;
        let from = cursor.next_from;
        let pass = cursor.pass.as_mut()?;
        (pass.uncounted, pass.left) = (spans, Vec::new());
        pass.apart = like.map_or_else(Vec::new, Self::spans_of_holes);
        // Nothing is read before it is counted.
        cursor.to = Some(from);
        Some(cursor)
    }

    /// What is to be counted next.
    #[must_use]
    pub fn next_to_count(&self) -> Option<(Timestamp, Timestamp)> {
        self.pass.as_ref()?.uncounted.first().copied()
    }

    /// What was to be counted next has been; with `in_doubt` it is read.
    pub fn counted(&mut self, in_doubt: bool) {
        let Some(pass) = self.pass.as_mut().filter(|pass| !pass.uncounted.is_empty()) else { return };
        let span = pass.uncounted.remove(0);
        if in_doubt {
            pass.left.extend(pass.apart.iter().fold(vec![span], |spans, hole| without(&spans, *hole)));
            pass.left = joined(&pass.left);
        }
    }

    /// Counting leads to nothing: what is not counted yet is read.
    pub fn count_no_more(&mut self) {
        while self.next_to_count().is_some() {
            self.counted(true);
        }
    }

    /// Whether there is nothing to read in the span under way.
    #[must_use]
    pub fn is_span_done(&self) -> bool {
        self.span().is_some_and(|(at, to)| at >= to)
    }

    /// The cursor of a purpose whose next pass has not begun.
    #[must_use]
    pub fn resting(at: Timestamp) -> Self {
        Self { to: Some(at), ..Self::starting(at) }
    }

    /// The pass under way.
    #[must_use]
    pub fn pass(&self) -> Option<&Pass> {
        self.pass.as_ref()
    }

    /// The same, to be added to.
    pub fn pass_mut(&mut self) -> Option<&mut Pass> {
        self.pass.as_mut()
    }

    /// The span under way has been gone through: on to the next. `false` where there is none: the pass is over.
    pub fn next_span(&mut self) -> bool {
        let (Some(pass), Some(to)) = (&mut self.pass, self.to) else { return false };
        if pass.from < to {
            pass.behind.push((pass.from, to));
        }
        if pass.left.is_empty() {
            pass.from = to;
            return false;
        }
        let (from, to) = pass.left.remove(0);
        pass.from = from;
        (self.next_from, self.to, self.round) = (from, Some(to), None);
        true
    }

    fn spans_of_holes(&self) -> Vec<Span> {
        self.holes().into_iter().map(|hole| (hole.from, hole.to.unwrap_or(Timestamp::MAX))).collect()
    }

    /// What the pass could not read, as far as it lies within its spans.
    #[must_use]
    pub fn holes_of_pass(&self) -> Vec<Hole> {
        let Some(pass) = &self.pass else { return Vec::new() };
        let partial = self.plan.partial.as_ref().map(|partial| Hole {
            from: partial.from,
            to: None,
            reason: Reason::Partial,
            since: partial.since,
            tries: 0,
            next_at: partial.since,
        });
        let clip = |hole: &Hole| -> Vec<Hole> {
            let inside = |&(from, to): &Span| {
                let (from, to) = (hole.from.max(from), hole.to.map_or(to, |end| end.min(to)));
                (from < to).then(|| Hole { from, to: Some(to), ..hole.clone() })
            };
            pass.behind.iter().filter_map(inside).collect()
        };
        self.holes().into_iter().chain(&partial).flat_map(clip).collect()
    }

    /// The spans that the pass has read whole: what it has gone through, without its holes and without what is known to be
    /// unreadable.
    #[must_use]
    pub fn read_whole(&self) -> Vec<Span> {
        let Some(pass) = &self.pass else { return Vec::new() };
        let holes = self.holes_of_pass();
        let mut missing: Vec<Span> =
            holes.iter().map(|hole| (hole.from, hole.to.unwrap_or(Timestamp::MAX))).collect();
        missing.extend(self.plan.unreadable.iter().map(|known| (known.from, known.to)));
        missing.iter().fold(pass.behind.clone(), |spans, hole| without(&spans, *hole))
    }

    /// How much of the pass is done, and how long all of it is, as time that it covers.
    #[must_use]
    pub fn pass_progress(&self) -> Option<(SignedDuration, SignedDuration)> {
        let pass = self.pass.as_ref()?;
        let long =
            |spans: &[Span]| spans.iter().map(|(from, to)| to.duration_since(*from)).sum::<SignedDuration>();
        let (at, to) = self.span()?;
        let under_way = to.duration_since(pass.from);
        let here = at.duration_since(pass.from).clamp(SignedDuration::ZERO, under_way);
        let behind = long(&pass.behind);
        Some((behind + here, behind + under_way + long(&pass.left)))
    }

    /// All of the pass: its beginning and its end.
    #[must_use]
    pub fn pass_span(&self) -> Option<Span> {
        let pass = self.pass.as_ref()?;
        let from = pass.behind.first().map_or(pass.from, |first| first.0);
        let to = pass.left.last().map_or(self.to?, |last| last.1);
        Some((from, to))
    }
}

/// The spans without the holes of another cursor.
fn beside(spans: &[Span], other: Option<&Cursor>) -> Vec<Span> {
    let holes = other.map_or_else(Vec::new, Cursor::spans_of_holes);
    holes.iter().fold(spans.to_vec(), |spans, hole| without(&spans, *hole))
}

/// The spans in order, without what is empty, neighbours joined, and no more than can be kept.
fn joined(spans: &[Span]) -> Vec<Span> {
    let mut spans: Vec<Span> = spans.iter().copied().filter(|(from, to)| from < to).collect();
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if last.1 >= from => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    while joined.len() > SPANS_MAX {
        let last = joined.remove(joined.len() - 1);
        if let Some(before) = joined.last_mut() {
            before.1 = last.1;
        }
    }
    joined
}

/// What is left of spans without another.
fn without(spans: &[Span], (from, to): Span) -> Vec<Span> {
    let cut = |&(start, end): &Span| [(start, end.min(from)), (start.max(to), end)];
    spans.iter().flat_map(cut).filter(|(start, end)| start < end).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Clocks, CursorPolicy, PageLimits, PageSummary, Step};
    use super::*;

    const POLICY: CursorPolicy = CursorPolicy { overlap: Duration::ZERO, overlap_max: Duration::ZERO };
    const LIMITS: PageLimits = PageLimits { skip_max: 500, field_values: &[], cuts_silently: true };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn clocks() -> Clocks {
        Clocks { local: at(10_000), server: Some(at(10_000)) }
    }

    fn page(unreadable: Vec<u64>) -> PageSummary {
        PageSummary {
            items: u32::try_from(unreadable.len()).expect("few"),
            top: 100,
            times: vec![],
            unreadable,
            torn: false,
            link: None,
            cut: false,
            fingerprint: 0,
            clocks: clocks(),
            partial: None,
        }
    }

    fn answered(cursor: &Cursor, page: &PageSummary) -> (Cursor, Step) {
        let stored = serde_json::to_string(cursor).expect("JSON");
        let cursor: Cursor = serde_json::from_str(&stored).expect("what was written");
        cursor.after(page, &POLICY, &LIMITS)
    }

    #[test]
    fn spans_are_read_one_after_the_other() {
        let spans = [(at(300), at(400)), (at(0), at(100)), (at(100), at(200)), (at(250), at(250))];
        let mut cursor = Cursor::passing(&spans, at(9_000), None).expect("something to read");
        assert_eq!(cursor.pass_span(), Some((at(0), at(400))));
        let query = cursor.query(clocks());
        assert_eq!((query.from, query.to), (at(0), Some(at(200))));
        let seconds = |(done, all): (SignedDuration, SignedDuration)| (done.as_secs(), all.as_secs());
        assert_eq!(cursor.pass_progress().map(seconds), Some((0, 300)));
        let step;
        (cursor, step) = answered(&cursor, &page(vec![]));
        assert_eq!(step, Step::RoundDone);
        assert!(cursor.next_span());
        assert_eq!(cursor.pass_progress().map(seconds), Some((200, 300)));
        let query = cursor.query(clocks());
        assert_eq!((query.from, query.to), (at(300), Some(at(400))));
        (cursor, _) = answered(&cursor, &page(vec![]));
        assert!(!cursor.next_span());
        assert_eq!(cursor.pass_progress().map(seconds), Some((300, 300)));
        assert_eq!(cursor.read_whole(), [(at(0), at(200)), (at(300), at(400))]);
        assert_eq!(cursor.holes_of_pass(), []);
    }

    #[test]
    fn what_a_count_speaks_against_is_read() {
        let hours: Vec<Span> = (0..4).map(|hour| (at(hour * 3_600), at((hour + 1) * 3_600))).collect();
        let mut cursor = Cursor::counting(hours.clone(), at(20_000), None).expect("something to count");
        for (index, in_doubt) in [(0, false), (1, true), (2, true), (3, false)] {
            assert_eq!(cursor.next_to_count(), Some(hours[index]));
            assert!(cursor.is_span_done(), "nothing is read before it is counted");
            cursor.counted(in_doubt);
        }
        assert_eq!(cursor.next_to_count(), None);
        assert!(cursor.next_span());
        assert_eq!(cursor.span(), Some((at(3_600), at(3 * 3_600))));
        (cursor, _) = answered(&cursor, &page(vec![]));
        assert!(cursor.is_span_done());
        assert!(!cursor.next_span());
        assert_eq!(cursor.read_whole(), [(at(3_600), at(3 * 3_600))], "what was only counted is not claimed");

        let mut refused = Cursor::counting(hours, at(20_000), None).expect("something to count");
        refused.counted(false);
        refused.count_no_more();
        assert!(refused.next_span());
        assert_eq!(refused.span(), Some((at(3_600), at(4 * 3_600))));

        let mut nothing = Cursor::counting(vec![(at(0), at(3_600))], at(20_000), None).expect("something");
        nothing.counted(false);
        assert!(!nothing.next_span());
        assert_eq!(nothing.read_whole(), []);
    }

    #[test]
    fn nothing_to_read_is_no_pass() {
        assert_eq!(Cursor::passing(&[(at(5), at(5))], at(9), None), None);
        assert!(Cursor::resting(at(5)).pass().is_none());
    }

    #[test]
    fn what_a_pass_could_not_read_it_does_not_claim() {
        let mut cursor = Cursor::passing(&[(at(0), at(100))], at(9_000), None).expect("something to read");
        let mut step = Step::Continue;
        let mut pages = 0;
        while step == Step::Continue {
            let query = cursor.query(clocks());
            let bad = query.from <= at(50) && query.to.is_none_or(|to| to > at(50));
            (cursor, step) = answered(&cursor, &page(if bad { vec![7] } else { vec![] }));
            pages += 1;
            assert!(pages < 500, "{cursor:?}");
        }
        assert!(!cursor.next_span());
        let holes = cursor.holes_of_pass();
        assert!(!holes.is_empty());
        assert!(holes.iter().all(|hole| hole.from >= at(0) && hole.to.is_some_and(|to| to <= at(100))));
        assert!(cursor.read_whole().iter().all(|(from, to)| *to <= at(50) || *from > at(50)));

        // A second pass leaves the hole to the cursor that has it, and claims it no more than the first.
        assert_eq!(Cursor::passing(&[(at(0), at(100))], at(9_500), Some(&cursor)), None);
        let again = Cursor::passing(&[(at(0), at(200))], at(9_500), Some(&cursor)).expect("something");
        let (mut again, step) = answered(&again, &page(vec![]));
        assert_eq!(step, Step::RoundDone);
        assert!(!again.next_span());
        assert_eq!(again.read_whole(), [(at(100), at(200))]);
    }

    #[test]
    fn what_a_provider_left_out_is_not_claimed() {
        let cursor = Cursor::passing(&[(at(0), at(100))], at(9_000), None).expect("something to read");
        let partial = PageSummary { partial: Some("a provider".to_owned()), ..page(vec![]) };
        let (mut cursor, _) = answered(&cursor, &partial);
        cursor.next_span();
        assert_eq!(cursor.read_whole(), []);
        assert_eq!(cursor.holes_of_pass().len(), 1);
    }
}
