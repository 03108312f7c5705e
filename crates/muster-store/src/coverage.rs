//! Which spans sweeps have read, and when the last one began.

/// More spans than this of one source are told as fewer: neighbours share the earlier time.
const SPANS_MAX: usize = 512;

/// A span of update times, in nanoseconds, that a sweep has read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Covered {
    pub(crate) from: i64,
    /// Exclusive.
    pub(crate) to: i64,
    /// When the sweep began.
    pub(crate) as_of: i64,
}

/// `old`, which do not overlap, with `new` laid over them: at each instant the later sweep counts.
pub(crate) fn overlay(old: &[Covered], new: Covered) -> Vec<Covered> {
    if new.from >= new.to {
        return old.to_vec();
    }
    let mut spans = Vec::with_capacity(old.len() + 2);
    // What is left of the new one, where a later sweep has not been.
    let mut rest = vec![new];
    for span in old {
        if span.to <= new.from || span.from >= new.to {
            spans.push(*span);
        } else if span.as_of >= new.as_of {
            spans.push(*span);
            rest = rest.into_iter().flat_map(|part| without(part, span)).collect();
        } else {
            spans.extend(without(*span, &new));
        }
    }
    spans.extend(rest);
    spans.sort_by_key(|span| span.from);
    bounded(joined(spans))
}

/// What of `span` lies outside of `other`.
fn without(span: Covered, other: &Covered) -> impl Iterator<Item = Covered> {
    let before = Covered { to: span.to.min(other.from), ..span };
    let behind = Covered { from: span.from.max(other.to), ..span };
    [before, behind].into_iter().filter(|part| part.from < part.to)
}

fn joined(spans: Vec<Covered>) -> Vec<Covered> {
    let mut joined: Vec<Covered> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if last.to == span.from && last.as_of == span.as_of => last.to = span.to,
            _ => joined.push(span),
        }
    }
    joined
}

/// The oldest neighbours become one, with the earlier time: less is claimed, never more. Where none are neighbours, the
/// oldest is forgotten.
fn bounded(mut spans: Vec<Covered>) -> Vec<Covered> {
    while spans.len() > SPANS_MAX {
        match (0..spans.len() - 1).find(|index| spans[*index].to == spans[index + 1].from) {
            Some(index) => {
                let behind = spans.remove(index + 1);
                let first = &mut spans[index];
                (first.to, first.as_of) = (behind.to, first.as_of.min(behind.as_of));
            }
            None => {
                spans.remove(0);
            }
        }
    }
    spans
}

/// When the earliest of the sweeps began that have read all of `from` until `to`; `None` where a part was read by none.
pub(crate) fn covered_as_of(spans: &[Covered], from: i64, to: i64) -> Option<i64> {
    let (mut at, mut as_of) = (from, i64::MAX);
    let first = spans.partition_point(|span| span.to <= from);
    for span in &spans[first..] {
        if span.from > at || at >= to {
            break;
        }
        (at, as_of) = (span.to, as_of.min(span.as_of));
    }
    (at >= to).then_some(as_of)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Covered, SPANS_MAX, covered_as_of, overlay};

    fn covered(from: i64, length: i64, as_of: i64) -> Covered {
        Covered { from, to: from + length, as_of }
    }

    proptest! {
        #[test]
        fn at_each_instant_the_latest_sweep_counts(sweeps in proptest::collection::vec((0_i64..60, 0_i64..30, 1_i64..9), 0..20)) {
            let mut instants = [None; 100];
            let mut spans = Vec::new();
            for (from, length, as_of) in sweeps {
                spans = overlay(&spans, covered(from, length, as_of));
                for instant in &mut instants[from as usize..(from + length) as usize] {
                    *instant = (*instant).max(Some(as_of));
                }
            }
            prop_assert!(spans.windows(2).all(|pair| pair[0].to <= pair[1].from), "no overlap: {spans:?}");
            for (at, as_of) in instants.iter().enumerate() {
                prop_assert_eq!(covered_as_of(&spans, at as i64, at as i64 + 1), *as_of);
            }
            for from in 0..90 {
                let hour = &instants[from..from + 5];
                let wanted = hour.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min());
                prop_assert_eq!(covered_as_of(&spans, from as i64, from as i64 + 5), wanted);
            }
        }
    }

    #[test]
    fn many_spans_are_told_as_fewer_and_claim_less() {
        let mut spans = Vec::new();
        for number in 0..2_000 {
            spans = overlay(&spans, covered(number * 10, 10, 5 + number % 2));
        }
        assert_eq!(spans.len(), SPANS_MAX);
        assert_eq!(covered_as_of(&spans, 0, 20_000), Some(5));
        let mut apart = Vec::new();
        for number in 0..2_000 {
            apart = overlay(&apart, covered(number * 10, 5, 5));
        }
        assert_eq!((apart.len(), apart[0].from), (SPANS_MAX, (2_000 - SPANS_MAX as i64) * 10));
    }
}
