//! How bad an alert is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Severity of an alert or incident, as Microsoft's `alertSeverity` enum has it, ordered from least to worst.
///
/// `Unknown` stands for the value `unknown`, for `unSpecified`, for a missing one and for any that Microsoft adds
/// later; it passes every filter, since what is not known must not be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Not told, or not a value known to this version.
    #[default]
    Unknown,
    /// `informational`
    Informational,
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
}

impl Severity {
    /// The severity that a wire value means; upper and lower case alike (Graph writes `high`, Defender `High`).
    #[must_use]
    pub fn from_wire(value: &str) -> Self {
        value.parse().unwrap_or(Self::Unknown)
    }

    /// The word used on the wire, in settings and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Whether a record of this severity passes a filter for `minimum` and worse.
    #[must_use]
    pub fn passes(self, minimum: Self) -> bool {
        self == Self::Unknown || self >= minimum
    }

    /// A small number for storage; [`Severity::from_number`] reads it back.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The severity stored as `number`; `Unknown` for a number that no version wrote.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Informational,
            2 => Self::Low,
            3 => Self::Medium,
            4 => Self::High,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A severity in the settings that is none of the five words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a severity: use informational, low, medium or high")]
pub struct ParseSeverityError(String);

impl FromStr for Severity {
    type Err = ParseSeverityError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        [Self::Unknown, Self::Informational, Self::Low, Self::Medium, Self::High]
            .into_iter()
            .find(|severity| severity.as_str().eq_ignore_ascii_case(value))
            .ok_or_else(|| ParseSeverityError(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Severity;

    #[test]
    fn wire_values_of_both_apis_are_read() {
        assert_eq!(Severity::from_wire("high"), Severity::High);
        assert_eq!(Severity::from_wire("High"), Severity::High);
        assert_eq!(Severity::from_wire("UnSpecified"), Severity::Unknown);
        assert_eq!(Severity::from_wire("catastrophic"), Severity::Unknown);
    }

    #[test]
    fn what_is_not_known_passes_every_filter() {
        assert!(Severity::Unknown.passes(Severity::High));
        assert!(Severity::High.passes(Severity::High));
        assert!(!Severity::Low.passes(Severity::Medium));
    }

    #[test]
    fn numbers_round_trip() {
        for severity in
            [Severity::Unknown, Severity::Informational, Severity::Low, Severity::Medium, Severity::High]
        {
            assert_eq!(Severity::from_number(severity.number()), severity);
        }
    }
}
