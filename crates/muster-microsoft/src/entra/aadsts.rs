//! What the identity platform's error codes mean for an operator, what to do, and what kind of trouble each is.
//!
//! Source: Microsoft "Microsoft Entra authentication and authorization error codes". What the program decides by the
//! OAuth `error` it decides so (`super::token`); the codes tell people more, and tell a grant that will never work again
//! from one that may.

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

const fn code(code: u32, fault: Fault, meaning: &'static str, remedy: &'static str) -> Explanation {
    Explanation { code, fault, ends_grant: false, meaning, remedy }
}

/// A code after which the refresh token is of no use any more.
const fn end(code: u32, fault: Fault, meaning: &'static str, remedy: &'static str) -> Explanation {
    Explanation { code, fault, ends_grant: true, meaning, remedy }
}

static TABLE: [Explanation; 87] = [
    code(
        50_011,
        Fault::Misconfigured,
        "the redirect URI is not registered",
        "add exactly this redirect URI to the app registration",
    ),
    code(
        50_020,
        Fault::Misconfigured,
        "the account belongs to another tenant",
        "invite it as a guest, or sign in with an account of this tenant",
    ),
    end(
        50_034,
        Fault::GrantRevoked,
        "the user is not known in this tenant",
        "check the account, then sign in again with one that exists",
    ),
    code(
        50_049,
        Fault::Misconfigured,
        "the cloud is not known to the identity platform",
        "check the cloud in the settings",
    ),
    code(
        50_053,
        Fault::GrantRevoked,
        "the account is locked after too many wrong passwords, or the sign-in came from a blocked address",
        "wait, or have the customer unlock the account, then sign in again",
    ),
    code(
        50_055,
        Fault::GrantRevoked,
        "the account's password has expired",
        "have the person set a new password, then sign in again",
    ),
    code(
        50_057,
        Fault::GrantRevoked,
        "the account is disabled",
        "have the customer enable the account, or sign in with another one",
    ),
    code(
        50_058,
        Fault::MultifactorNeeded,
        "nobody is signed in, so it cannot be done silently",
        "sign in interactively",
    ),
    code(
        50_059,
        Fault::Misconfigured,
        "the request does not tell which tenant it is for",
        "name the tenant by its id",
    ),
    code(
        50_072,
        Fault::MultifactorNeeded,
        "the person must enrol for multifactor authentication first",
        "have the person enrol at an interactive sign-in, then sign in again",
    ),
    code(
        50_074,
        Fault::MultifactorNeeded,
        "strong authentication is needed, and the person did not pass it",
        "sign in again interactively and pass the second factor, or have the customer exempt this app",
    ),
    code(
        50_076,
        Fault::MultifactorNeeded,
        "multifactor authentication is needed",
        "sign in again interactively and pass the second factor, or have the customer exempt this app",
    ),
    code(
        50_079,
        Fault::MultifactorNeeded,
        "the person must register for multifactor authentication first",
        "have the person register at their next sign-in, then sign in again",
    ),
    code(
        50_097,
        Fault::ConditionalAccess,
        "the rules of the tenant ask for a known device",
        "have the customer exempt this app in the policy, or sign in from a managed device",
    ),
    code(
        50_105,
        Fault::LostConsent,
        "the app takes assigned users only, and this account is not assigned to it",
        "have the customer assign the account to the enterprise application, or switch assignment off",
    ),
    code(
        50_126,
        Fault::WrongSecret,
        "the user name or password is wrong",
        "sign in again with the right password",
    ),
    code(
        50_128,
        Fault::TenantUnknown,
        "the request names no tenant that can be found",
        "check the tenant id, and the cloud in the settings",
    ),
    code(
        50_131,
        Fault::ConditionalAccess,
        "a conditional-access rule blocks the device or the place",
        "have the customer allow this machine's address for the app in the policy",
    ),
    code(
        50_158,
        Fault::ConditionalAccess,
        "a rule of the tenant asks for a step at another provider",
        "sign in interactively and complete that step",
    ),
    end(
        50_173,
        Fault::GrantRevoked,
        "the person's tokens were revoked (password reset, or sign-out everywhere)",
        "sign in again",
    ),
    code(
        50_194,
        Fault::Misconfigured,
        "a single-tenant app was used without naming its tenant",
        "make the app multitenant, or name the tenant it belongs to",
    ),
    code(
        50_196,
        Fault::Throttled,
        "the same request came again and again, and was stopped as a loop",
        "wait some minutes; if it comes back, look for what repeats it",
    ),
    code(
        53_000,
        Fault::ConditionalAccess,
        "a conditional-access rule asks for a compliant device",
        "have the customer exempt this app in the policy",
    ),
    code(
        53_001,
        Fault::ConditionalAccess,
        "a conditional-access rule asks for a domain-joined device",
        "have the customer exempt this app in the policy",
    ),
    code(
        53_002,
        Fault::ConditionalAccess,
        "a conditional-access rule asks for an approved app, which this one is not",
        "have the customer exempt this app in the policy",
    ),
    code(
        53_003,
        Fault::ConditionalAccess,
        "a conditional-access rule of the tenant blocks the access",
        "have the customer exclude this app in the policy, or allow this machine's address; the sign-in log there names the rule",
    ),
    code(
        53_004,
        Fault::ConditionalAccess,
        "the person may not register for multifactor authentication, since the sign-in looks risky",
        "have the customer look into the risk, or have the person register from a trusted place, then sign in again",
    ),
    code(54_005, Fault::GrantExpired, "the code was used before", "start the sign-in again"),
    code(
        65_001,
        Fault::LostConsent,
        "nobody in this tenant has consented to the app, or the consent was withdrawn",
        "have the customer's administrator open the consent link",
    ),
    code(
        65_002,
        Fault::Misconfigured,
        "the app is not pre-authorised for this API, which Microsoft keeps to its own apps",
        "ask for an API that third parties may use",
    ),
    code(
        65_004,
        Fault::LostConsent,
        "the person declined to consent",
        "ask the administrator to consent, telling why it is needed",
    ),
    end(70_000, Fault::GrantRevoked, "the code or refresh token is not valid (any more)", "sign in again"),
    code(
        70_001,
        Fault::AppUnknown,
        "the app was not found in this tenant",
        "check the client id, and have the customer's administrator consent",
    ),
    code(
        70_002,
        Fault::WrongSecret,
        "the app could not prove itself",
        "check the app's credential in the settings",
    ),
    end(70_008, Fault::GrantExpired, "the code or refresh token has expired or was revoked", "sign in again"),
    code(
        70_011,
        Fault::Misconfigured,
        "the scope is malformed",
        "check `graph_resource` in the settings: it must be the address of one API",
    ),
    code(70_016, Fault::Other, "the sign-in has not been completed yet", "open the link and enter the code"),
    code(70_018, Fault::GrantExpired, "the device code is wrong", "start the sign-in again"),
    code(
        70_019,
        Fault::GrantExpired,
        "the device code has expired",
        "start the sign-in again, and enter the code within 15 minutes",
    ),
    end(
        70_043,
        Fault::GrantExpired,
        "a sign-in frequency rule of the tenant ended the refresh token",
        "sign in again, or have the customer exempt the account in the rule",
    ),
    code(
        90_002,
        Fault::TenantUnknown,
        "there is no such tenant in this cloud",
        "check the tenant id, and the cloud in the settings",
    ),
    code(
        90_014,
        Fault::Misconfigured,
        "a parameter is missing from the request",
        "check the app's settings: client id and credential",
    ),
    code(90_033, Fault::ApiDown, "the identity platform is not available just now", "nothing to do but wait"),
    code(
        90_072,
        Fault::Misconfigured,
        "the account is of another tenant and is no guest here",
        "invite it as a guest, or sign in with an account of this tenant",
    ),
    code(
        90_094,
        Fault::LostConsent,
        "an administrator's consent is needed",
        "have the customer's administrator open the consent link",
    ),
    code(
        90_095,
        Fault::LostConsent,
        "an administrator's consent is needed, and was asked for",
        "have the customer's administrator approve the request, or open the consent link",
    ),
    code(
        90_099,
        Fault::LostConsent,
        "the partner's app was not consented to in the customer's tenant",
        "have the customer's administrator consent, or consent through the partner relationship",
    ),
    code(
        500_011,
        Fault::NoLicence,
        "the API does not exist in this tenant",
        "check that the customer has a Defender licence, and that the resource in the settings is spelled right",
    ),
    code(500_113, Fault::Misconfigured, "the app has no redirect URI", "add one to the app registration"),
    code(
        500_133,
        Fault::CertificateRejected,
        "the assertion is outside its time",
        "set this machine's clock right; a federated token file may be stale",
    ),
    code(
        500_571,
        Fault::GrantRevoked,
        "the guest account is disabled",
        "have the customer enable the account, or sign in with another one",
    ),
    code(
        501_051,
        Fault::LostConsent,
        "the app takes assigned callers only, and this one is not assigned to it",
        "have the customer assign the app to the API's enterprise application",
    ),
    code(
        501_481,
        Fault::Misconfigured,
        "the PKCE verifier does not fit the code",
        "start the sign-in again, in one browser",
    ),
    code(
        530_003,
        Fault::ConditionalAccess,
        "a conditional-access rule asks for a managed device",
        "have the customer exempt this app in the policy, or sign in from a managed device",
    ),
    code(
        530_032,
        Fault::ConditionalAccess,
        "a security policy of the tenant blocks the access",
        "have the customer exclude this app in the policy; the sign-in log there names it",
    ),
    code(
        650_052,
        Fault::NoLicence,
        "the tenant has no subscription for the API that the app asks for",
        "check that the customer has a Defender licence, then have them consent again",
    ),
    code(
        650_057,
        Fault::Misconfigured,
        "the API is not among the permissions of the app registration",
        "add the permission to the app, then have the customer consent again",
    ),
    code(
        700_003,
        Fault::ConditionalAccess,
        "the device was not found in the tenant",
        "sign in from a device that is registered there",
    ),
    code(
        700_005,
        Fault::Misconfigured,
        "the code belongs to another tenant",
        "start the sign-in again in the right tenant",
    ),
    code(
        700_016,
        Fault::AppUnknown,
        "the app is not known in this tenant: nobody there has consented yet, or the app is single-tenant",
        "have the customer's administrator open the consent link, and check that the app is multitenant",
    ),
    code(
        700_022,
        Fault::Misconfigured,
        "more than one API was asked for at once",
        "check `graph_resource` in the settings: it must be the address of one API",
    ),
    code(
        700_024,
        Fault::CertificateRejected,
        "the assertion is outside its time",
        "set this machine's clock right, or store a federated token that is fresh",
    ),
    code(
        700_025,
        Fault::Misconfigured,
        "the app is a public client and must not prove itself",
        "remove the credential from the app's settings, or make it a web app in the registration",
    ),
    code(
        700_027,
        Fault::CertificateRejected,
        "the certificate or its signature was not accepted",
        "upload the current certificate to the app registration, and check the client id",
    ),
    code(
        700_030,
        Fault::CertificateRejected,
        "the certificate does not carry the names that the app registration asks for",
        "make a certificate with the registered subject name, or change the registration",
    ),
    end(700_082, Fault::GrantExpired, "the refresh token was not used for too long", "sign in again"),
    end(
        700_084,
        Fault::GrantExpired,
        "the token of a single-page app is past its 24 hours",
        "register the redirect URI as a web app, then sign in again",
    ),
    code(
        700_211,
        Fault::CertificateRejected,
        "no federated credential of the app trusts the issuer of this token",
        "add a federated credential with exactly this issuer to the app registration",
    ),
    code(
        700_212,
        Fault::CertificateRejected,
        "no federated credential of the app takes the audience of this token",
        "let the token be issued for `api://AzureADTokenExchange`",
    ),
    code(
        700_213,
        Fault::CertificateRejected,
        "no federated credential of the app trusts the subject of this token",
        "add a federated credential with exactly this subject to the app registration",
    ),
    code(
        700_222,
        Fault::CertificateRejected,
        "a token of the identity platform itself cannot be used as this app's proof",
        "use a token of a trusted outside issuer, or a managed identity with a federated credential",
    ),
    code(900_021, Fault::Misconfigured, "the tenant id is empty or null", "name the tenant by its id"),
    code(
        900_023,
        Fault::TenantUnknown,
        "what names the tenant is neither an id nor a domain",
        "check the tenant id",
    ),
    code(
        900_144,
        Fault::Misconfigured,
        "a parameter is missing from the request",
        "check the app's settings: client id and credential",
    ),
    code(
        900_439,
        Fault::Misconfigured,
        "the app of one cloud was used in another",
        "register an app in the tenant's own cloud",
    ),
    code(
        900_561,
        Fault::Misconfigured,
        "the token endpoint takes POST only",
        "check what stands between here and Microsoft (a proxy or gateway)",
    ),
    code(
        901_002,
        Fault::Misconfigured,
        "`resource` was sent to the v2 endpoint",
        "check the app's `endpoint` and the cloud's login address in the settings",
    ),
    code(
        1_002_016,
        Fault::Misconfigured,
        "the connection uses a TLS version that Microsoft no longer takes",
        "let the proxy or gateway in between speak TLS 1.2 or newer",
    ),
    code(
        7_000_112,
        Fault::AppDisabled,
        "the app is disabled in this tenant",
        "have the customer enable its enterprise application",
    ),
    code(
        7_000_114,
        Fault::Misconfigured,
        "the app may not make calls on behalf of others",
        "check the app's flow in the settings",
    ),
    code(
        7_000_215,
        Fault::WrongSecret,
        "the client secret is wrong",
        "store the secret's value (not its id) and check the client id",
    ),
    code(
        7_000_216,
        Fault::Misconfigured,
        "the request carried no proof of the app",
        "check the app's credential in the settings",
    ),
    code(
        7_000_218,
        Fault::Misconfigured,
        "the request carried no secret or assertion",
        "check the app's credential in the settings, or allow public client flows in the registration",
    ),
    code(
        7_000_222,
        Fault::SecretExpired,
        "the client secret has expired",
        "make a new secret on the app registration and store it",
    ),
    code(
        7_000_229,
        Fault::AppUnknown,
        "the app has no service principal in this tenant",
        "have the customer's administrator open the consent link",
    ),
    end(
        9_002_313,
        Fault::GrantRevoked,
        "the request, or the code or token in it, is garbled",
        "start the sign-in again",
    ),
    code(
        9_002_326,
        Fault::Misconfigured,
        "the redirect URI is registered for a single-page app",
        "register it under \"Web\" in the app registration",
    ),
];

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
