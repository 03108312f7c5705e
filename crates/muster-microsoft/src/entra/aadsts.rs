//! What the identity platform's error codes mean for an operator, what to do, and what kind of trouble each is.
//!
//! Source: Microsoft "Microsoft Entra authentication and authorization error codes". What the program decides by the
//! OAuth `error` it decides so (`super::error`); the codes tell people more, and tell a grant that will never work again
//! from one that may.

use std::sync::LazyLock;

use crate::Fault;

/// A plain explanation of an AADSTS code, and the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: u32,
    /// What kind of trouble it is.
    pub fault: Fault,
    /// Whether the code or refresh token that was sent will never work again.
    pub ends_grant: bool,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Explains a code; `None` for one that is not known here.
#[must_use]
pub fn explain(code: u32) -> Option<Explanation> {
    TABLE.binary_search_by_key(&code, |explanation| explanation.code).ok().map(|at| TABLE[at])
}

/// Every code that is known, in ascending order.
#[must_use]
pub fn all() -> &'static [Explanation] {
    &TABLE
}

/// The first AADSTS code in a text, such as the `error_description` of a redirect.
#[must_use]
pub fn code_in(text: &str) -> Option<u32> {
    let digits = &text[text.find("AADSTS")? + "AADSTS".len()..];
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

static TABLE: LazyLock<Vec<Explanation>> = LazyLock::new(|| {
    let rows = include_str!("aadsts.tsv").lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| explanation(row).unwrap_or_else(|| panic!("not a row of aadsts.tsv: {row}"))).collect()
});

fn explanation(row: &'static str) -> Option<Explanation> {
    let fields: Vec<&str> = row.split('\t').collect();
    let [code, fault, grant @ ("ends" | "lives"), meaning, remedy] = fields[..] else { return None };
    let (code, fault) = (code.parse().ok()?, Fault::named(fault)?);
    Some(Explanation { code, fault, ends_grant: grant == "ends", meaning, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each code that an operator may meet, the kind of trouble, and whether the grant is dead.
    const EXPECTED: &[(u32, Fault, bool)] = &[
        (700_016, Fault::AppUnknown, false),
        (7_000_215, Fault::WrongSecret, false),
        (7_000_222, Fault::SecretExpired, false),
        (7_000_218, Fault::Misconfigured, false),
        (700_027, Fault::CertificateRejected, false),
        (700_025, Fault::Misconfigured, false),
        (7_000_112, Fault::AppDisabled, false),
        (70_001, Fault::AppUnknown, false),
        (65_001, Fault::LostConsent, false),
        (65_004, Fault::LostConsent, false),
        (65_002, Fault::Misconfigured, false),
        (90_094, Fault::LostConsent, false),
        (90_095, Fault::LostConsent, false),
        (90_099, Fault::LostConsent, false),
        (70_008, Fault::GrantExpired, true),
        (700_082, Fault::GrantExpired, true),
        (70_043, Fault::GrantExpired, true),
        (50_173, Fault::GrantRevoked, true),
        (700_084, Fault::GrantExpired, true),
        (54_005, Fault::GrantExpired, false),
        (9_002_313, Fault::GrantRevoked, true),
        (700_005, Fault::Misconfigured, false),
        (501_481, Fault::Misconfigured, false),
        (50_011, Fault::Misconfigured, false),
        (500_113, Fault::Misconfigured, false),
        (90_002, Fault::TenantUnknown, false),
        (50_194, Fault::Misconfigured, false),
        (500_011, Fault::NoLicence, false),
        (650_057, Fault::Misconfigured, false),
        (70_011, Fault::Misconfigured, false),
        (700_022, Fault::Misconfigured, false),
        (90_014, Fault::Misconfigured, false),
        (900_144, Fault::Misconfigured, false),
        (901_002, Fault::Misconfigured, false),
        (900_561, Fault::Misconfigured, false),
        (50_034, Fault::GrantRevoked, true),
        (50_020, Fault::Misconfigured, false),
        (50_076, Fault::MultifactorNeeded, false),
        (50_079, Fault::MultifactorNeeded, false),
        (50_072, Fault::MultifactorNeeded, false),
        (50_074, Fault::MultifactorNeeded, false),
        (53_000, Fault::ConditionalAccess, false),
        (53_001, Fault::ConditionalAccess, false),
        (53_002, Fault::ConditionalAccess, false),
        (53_003, Fault::ConditionalAccess, false),
        (53_004, Fault::ConditionalAccess, false),
        (530_032, Fault::ConditionalAccess, false),
        (50_196, Fault::Throttled, false),
        (50_049, Fault::Misconfigured, false),
        (70_016, Fault::Other, false),
        (70_018, Fault::GrantExpired, false),
        (70_019, Fault::GrantExpired, false),
        (50_126, Fault::WrongSecret, false),
        (50_057, Fault::GrantRevoked, false),
        (50_053, Fault::GrantRevoked, false),
        (90_072, Fault::Misconfigured, false),
        (530_003, Fault::ConditionalAccess, false),
        (500_133, Fault::CertificateRejected, false),
        (700_024, Fault::CertificateRejected, false),
        (700_030, Fault::CertificateRejected, false),
        (7_000_229, Fault::AppUnknown, false),
        (700_003, Fault::ConditionalAccess, false),
        (50_058, Fault::MultifactorNeeded, false),
        (50_105, Fault::LostConsent, false),
        (50_158, Fault::ConditionalAccess, false),
        (50_128, Fault::TenantUnknown, false),
        (50_059, Fault::Misconfigured, false),
        (1_002_016, Fault::Misconfigured, false),
        (650_052, Fault::NoLicence, false),
        (50_001, Fault::NoLicence, false),
        (50_012, Fault::CertificateRejected, false),
        (50_078, Fault::MultifactorNeeded, false),
        (50_132, Fault::GrantRevoked, true),
        (50_133, Fault::GrantRevoked, true),
        (53_011, Fault::ConditionalAccess, false),
        (65_005, Fault::Misconfigured, false),
        (70_044, Fault::GrantExpired, true),
        (90_009, Fault::Misconfigured, false),
        (90_019, Fault::Misconfigured, false),
        (90_038, Fault::TenantUnknown, false),
        (500_014, Fault::NoLicence, false),
        (530_004, Fault::ConditionalAccess, false),
        (650_051, Fault::LostConsent, false),
        (650_056, Fault::LostConsent, false),
        (700_007, Fault::GrantRevoked, true),
        (700_023, Fault::CertificateRejected, false),
        (900_382, Fault::TenantUnknown, false),
        (900_432, Fault::TenantUnknown, false),
        (1_002_012, Fault::Misconfigured, false),
    ];

    #[test]
    fn every_code_is_explained_with_its_kind() {
        for (code, fault, ends_grant) in EXPECTED {
            let known = explain(*code).unwrap_or_else(|| panic!("{code} is not explained"));
            assert_eq!((known.fault, known.ends_grant), (*fault, *ends_grant), "{code}");
        }
        assert_eq!(explain(1), None);
    }

    #[test]
    fn the_table_is_sorted_and_every_line_says_something() {
        assert!(all().windows(2).all(|pair| pair[0].code < pair[1].code));
        for known in all() {
            for text in [known.meaning, known.remedy] {
                assert!(text.len() > 6 && !text.ends_with('.') && !text.contains("AADSTS"), "{known:?}");
            }
            assert!(
                known.fault != Fault::Other || known.code == 70_016,
                "{} has no kind of its own",
                known.code
            );
        }
    }

    #[test]
    fn a_code_is_found_in_a_description() {
        assert_eq!(code_in("AADSTS65004: User declined to consent.\r\nTrace ID: x"), Some(65_004));
        assert_eq!(code_in("The admin canceled the request"), None);
        assert_eq!(code_in("AADSTS"), None);
        assert_eq!(code_in("AADSTS99999999999999999999"), None);
    }
}
