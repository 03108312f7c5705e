//! How far a query looks back, as Graph takes it.

use std::str::FromStr;

use muster_model::Span;
use muster_model::time::moment;

/// An interval of ISO 8601: `P7D`, `start/P7D`, `P7D/end`, `start/end`, or a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timespan(pub(super) String);

impl FromStr for Timespan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(Span(span)) = text.parse() {
            let seconds = span.as_secs();
            return match seconds {
                0 => Err("the span is less than a second".to_owned()),
                _ if seconds.is_multiple_of(86_400) => Ok(Self(format!("P{}D", seconds / 86_400))),
                _ => Ok(Self(format!("PT{seconds}S"))),
            };
        }
        let is_length = |part: &str| part.starts_with('P') && part.parse::<jiff::Span>().is_ok();
        let is_moment = |part: &str| moment(part).is_some();
        let fits = match text.split_once('/') {
            None => is_length(text) || is_moment(text),
            Some((first, second)) => {
                (is_length(first) && is_moment(second))
                    || (is_moment(first) && (is_length(second) || is_moment(second)))
            }
        };
        let wrong = || {
            format!(
                "`{text}` is neither how long (7d, 24h) nor an interval of ISO 8601 (P7D, 2026-11-01/2026-11-02)"
            )
        };
        fits.then(|| Self(text.to_owned())).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_in_every_notation() {
        let read = |text: &str| text.parse::<Timespan>().map(|timespan| timespan.0);
        assert_eq!(read("7d").as_deref(), Ok("P7D"));
        assert_eq!(read("90m").as_deref(), Ok("PT5400S"));
        for same in [
            "P7D",
            "PT12H",
            "2026-11-01",
            "2026-11-01T00:00:00Z/P1D",
            "P1D/2026-11-02T00:00:00Z",
            "2026-11-01/2026-11-02",
        ] {
            assert_eq!(read(same).as_deref(), Ok(same));
        }
        for wrong in ["", "yesterday", "P", "P1D/P1D", "500ms", "2026-13-01", "P7D/", "/"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
