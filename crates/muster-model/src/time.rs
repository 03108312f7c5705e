//! Times as Microsoft writes them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The moment that a text names, as RFC 3339 or as jiff reads it else; `None` for a text that names none. It may have
/// up to nine digits after the second. Without a zone it is in UTC, and a date alone is its midnight.
///
/// What Microsoft writes where there is no date is none: the beginning of the year 1 (.NET), of 1601 (Windows) and of
/// 1970, and so all times up to there.
///
/// A record has some twenty times, most of them like `2026-03-02T08:15:30.1234567Z`: these are read here, in a tenth of
/// the time that a parser needs which understands every notation.
#[must_use]
#[inline]
pub fn moment(text: &str) -> Option<Timestamp> {
    let moment = plain(text.as_bytes()).or_else(|| text.parse().ok()).or_else(|| {
        let zoned = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    });
    moment.filter(|moment| *moment > Timestamp::UNIX_EPOCH)
}

/// A time in UTC, from 1970 to 9998, with at most nine digits after the second.
#[inline]
fn plain(text: &[u8]) -> Option<Timestamp> {
    let (date_and_time, rest) = text.split_first_chunk::<19>()?;
    let digit = |at: usize| match date_and_time[at] {
        digit @ b'0'..=b'9' => Some(i64::from(digit - b'0')),
        _ => None,
    };
    let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
    let marks = [4, 7, 10, 13, 16].map(|at| date_and_time[at]);
    if marks != *b"--T::" {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1970..9999).contains(&year)
        || !(1..=12).contains(&month)
        || day < 1
        || day > days_in_month(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let nanoseconds = match rest {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            let mut number = 0;
            for place in 0..9 {
                let digit = *digits.get(place).unwrap_or(&b'0');
                if !digit.is_ascii_digit() {
                    return None;
                }
                number = number * 10 + i32::from(digit - b'0');
            }
            number
        }
        _ => return None,
    };
    // In years that begin in March, of which a leap day is the last.
    let (march_year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let since_1600 = march_year - 1600;
    let days = since_1600 * 365 + since_1600 / 4 - since_1600 / 100
        + since_1600 / 400
        + (153 * march_month + 2) / 5
        + day
        - 1
        - DAYS_FROM_1600_TO_1970;
    Timestamp::new(days * 86_400 + hour * 3600 + minute * 60 + second, nanoseconds).ok()
}

/// From the first of March 1600 to the first of January 1970.
const DAYS_FROM_1600_TO_1970: i64 = 135_080;

#[inline]
fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::{moment, plain};

    #[test]
    fn times_of_every_notation() {
        for text in ["2026-03-02T09:15:30+01:00", "2026-03-02 08:15:30Z", "9999-01-01T00:00:00Z"] {
            assert!(plain(text.as_bytes()).is_none(), "{text}");
            assert_eq!(moment(text), text.parse().ok(), "{text}");
            assert!(moment(text).is_some(), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-03-02T08:15:30.Z",
            "2026-03-02T24:00:00Z",
        ] {
            assert!(moment(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_in_utc() {
        for (text, utc) in [
            ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
            ("2026-01-01 00:00:00.1234567", "2026-01-01T00:00:00.1234567Z"),
            ("2026-01-01T01:02", "2026-01-01T01:02:00Z"),
            ("2026-01-01", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(moment(text), utc.parse().ok(), "{text}");
        }
        assert_eq!(moment("soon"), None);
    }

    #[test]
    fn where_there_is_no_date_there_is_no_moment() {
        for text in [
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00",
            "0001-01-01",
            "0001-01-01T00:00:00.0000000+00:00",
            "1601-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
        assert!(moment("1970-01-01T00:00:01Z").is_some());
    }

    #[test]
    fn months_end_as_the_library_says() {
        for year in 1970..9999 {
            for day in ["01-01", "02-28", "02-29", "02-30", "03-01", "04-31", "11-30", "12-31"] {
                let text = format!("{year}-{day}T23:59:59.5Z");
                assert_eq!(plain(text.as_bytes()), text.parse().ok(), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn are_read_as_the_library_reads_them(
            seconds in 0_i64..253_370_000_000, nanoseconds in 0..1_000_000_000, digits in 0..10_usize,
        ) {
            let time = Timestamp::new(seconds, nanoseconds).expect("a time");
            let text = format!("{time:.digits$}");
            prop_assert_eq!(plain(text.as_bytes()), Some(text.parse::<Timestamp>().expect("a time")), "{}", text);
        }

        #[test]
        fn nonsense_is_read_as_the_library_reads_it(
            text in "[0-9]{4}-[0-3][0-9]-[0-4][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,11})?[Zz+]?",
        ) {
            let read = text.parse::<Timestamp>().or_else(|_| format!("{text}Z").parse());
            prop_assert_eq!(moment(&text), read.ok().filter(|moment| *moment > Timestamp::UNIX_EPOCH));
        }
    }
}
