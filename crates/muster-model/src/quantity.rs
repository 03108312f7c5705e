//! Durations and sizes as people write them.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// A duration: a number and `ms`, `s`, `m`, `h`, `d` or `w`, such as `90s` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!("`{text}` is not a duration: write a number and ms, s, m, h, d or w, such as 90s or 7d")
        };
        let digits = text.trim().find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.trim().split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let milliseconds = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(wrong()),
        };
        // A hundred years: more is a slip of the finger, and would not fit into time stamps.
        let total = number.checked_mul(milliseconds).filter(|total| *total <= 100 * 366 * 86_400_000);
        total.map(|total| Self(Duration::from_millis(total))).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let units: [(u128, &str); 5] =
            [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let (unit, word) =
            units.into_iter().find(|(unit, _)| milliseconds.is_multiple_of(*unit)).unwrap_or((1, "ms"));
        write!(f, "{}{word}", milliseconds / unit)
    }
}

/// A number of bytes: a number and `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ByteSize(pub u64);

impl TryFrom<String> for ByteSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || {
            format!(
                "`{text}` is not a size: write a number and B, kB, MB, GB, KiB, MiB or GiB, such as 100MB"
            )
        };
        let digits = text.trim().find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.trim().split_at(digits);
        let factor = match unit.trim() {
            "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!("90s".parse(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("7d".parse(), Ok(Span(Duration::from_secs(604_800))));
        assert_eq!("1500ms".parse::<Span>().map(|span| span.to_string()), Ok("1500ms".to_owned()));
        assert_eq!("120s".parse::<Span>().map(|span| span.to_string()), Ok("2m".to_owned()));
        for wrong in ["", "5", "s", "-1s", "1y", "99999999999999999999s", "9999999w"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(ByteSize::try_from("100MB".to_owned()), Ok(ByteSize(100_000_000)));
        assert_eq!(ByteSize::try_from("1 MiB".to_owned()), Ok(ByteSize(1 << 20)));
        assert!(ByteSize::try_from("1 TB".to_owned()).is_err());
    }
}
