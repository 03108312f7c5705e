//! Instants with the precision of Graph's times: 100 nanoseconds, seven fractional digits.

/// 100-nanosecond steps since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticks(pub(crate) i64);

pub(crate) const TICKS_PER_MILLISECOND: i64 = 10_000;
pub(crate) const TICKS_PER_SECOND: i64 = 10_000_000;

impl Ticks {
    pub(crate) fn from_timestamp(at: jiff::Timestamp) -> Self {
        let ticks = at.as_nanosecond().div_euclid(100);
        Self(i64::try_from(ticks).unwrap_or(i64::MAX))
    }

    pub(crate) fn timestamp(self) -> jiff::Timestamp {
        let far = if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        jiff::Timestamp::from_nanosecond(i128::from(self.0) * 100).unwrap_or(far)
    }

    /// Reads RFC 3339; digits beyond the seventh are dropped.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Some(Self::from_timestamp(at));
        }
        let date: jiff::civil::Date = text.parse().ok()?;
        let at = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        Some(Self::from_timestamp(at))
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub(crate) fn milliseconds(self) -> i64 {
        self.0.div_euclid(TICKS_PER_MILLISECOND)
    }

    pub(crate) fn seconds(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND)
    }

    pub(crate) fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds * TICKS_PER_SECOND))
    }

    /// The instant as an HTTP date.
    pub(crate) fn http_date(self) -> String {
        jiff::Timestamp::from_second(self.seconds())
            .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
            .unwrap_or_default()
    }

    /// Appends `2026-01-02T03:04:05.1234567Z`.
    pub(crate) fn push_to(self, text: &mut String) {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        push_digits(text, year, 4);
        text.push('-');
        push_digits(text, month, 2);
        text.push('-');
        push_digits(text, day, 2);
        text.push('T');
        push_digits(text, of_day / 3600, 2);
        text.push(':');
        push_digits(text, of_day / 60 % 60, 2);
        text.push(':');
        push_digits(text, of_day % 60, 2);
        text.push('.');
        push_digits(text, self.0.rem_euclid(TICKS_PER_SECOND), 7);
        text.push('Z');
    }
}

impl std::fmt::Display for Ticks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(28);
        self.push_to(&mut text);
        formatter.write_str(&text)
    }
}

fn push_digits(text: &mut String, mut value: i64, width: usize) {
    let mut digits = [b'0'; 8];
    for place in digits[..width].iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
    text.extend(digits[..width].iter().map(|digit| char::from(*digit)));
}

/// Howard Hinnant's `civil_from_days`: a date without a table and without a time zone.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_ticks_agree() {
        for text in [
            "1970-01-01T00:00:00.0000000Z",
            "2024-02-29T23:59:59.9999999Z",
            "2026-11-21T03:46:39.0000001Z",
            "2100-03-01T00:00:00.1000000Z",
        ] {
            assert_eq!(Ticks::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Ticks::parse("2026-01-01"), Ticks::parse("2026-01-01T00:00:00Z"));
        assert_eq!(Ticks(12_345_678).milliseconds(), 1234);
        assert_eq!(Ticks::parse("yesterday"), None);
    }
}
