//! What the identity platform's error codes mean for an operator, and what to do.
//!
//! Source: Microsoft "Microsoft Entra authentication and authorization error codes". Programs branch on the OAuth
//! `error`; the codes are for people.

/// A plain explanation of an AADSTS code, and the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Explains a code; `None` for one that is not known here.
#[must_use]
pub fn explain(code: u32) -> Option<Explanation> {
    let (meaning, remedy) = match code {
        700_016 => (
            "the app is not known in this tenant: nobody there has consented yet, or the app is single-tenant",
            "have the customer's administrator open the consent link, and check that the app is multitenant",
        ),
        7_000_215 => {
            ("the client secret is wrong", "store the secret's value (not its id) and check the client id")
        }
        7_000_222 => {
            ("the client secret has expired", "make a new secret on the app registration and store it")
        }
        7_000_218 => {
            ("the request carried no secret or assertion", "check the app's credential in the settings")
        }
        700_027 => {
            ("the certificate or its signature was not accepted", "upload the current certificate to the app")
        }
        700_025 => (
            "the app is a public client and must not send a secret",
            "remove the secret, or make it a web app",
        ),
        7_000_112 => {
            ("the app is disabled in this tenant", "have the customer enable its enterprise application")
        }
        70_001 => ("the app was not found in this tenant", "check the client id; have the customer consent"),
        65_001 => {
            ("nobody in this tenant has consented to the app", "have its administrator open the consent link")
        }
        65_004 => {
            ("the person declined to consent", "ask the administrator to consent, telling why it is needed")
        }
        65_002 => ("the app is not pre-authorised for this API", "ask for an API that third parties may use"),
        90_094 | 90_095 => {
            ("an administrator's consent is needed", "have the customer's administrator open the link")
        }
        90_099 => ("the app was not pre-consented in this tenant", "have the customer consent to the app"),
        70_008 => ("the code or refresh token has expired or was revoked", "sign in again"),
        700_082 => ("the refresh token was not used for too long", "sign in again"),
        70_043 => ("a sign-in frequency rule ended the token", "sign in again, or exempt the account"),
        50_173 => ("the tokens were revoked (password reset or sign-out everywhere)", "sign in again"),
        700_084 => {
            ("the token of a single-page app is past its 24 hours", "register the redirect as a web app")
        }
        54_005 => ("the code was used before", "start the sign-in again"),
        9_002_313 => ("the request or the token in it is garbled", "start the sign-in again"),
        700_005 => ("the code belongs to another tenant", "start the sign-in again in the right tenant"),
        501_481 => ("the PKCE verifier does not fit", "start the sign-in again in one browser"),
        50_011 => {
            ("the redirect URI is not registered", "add exactly this redirect URI to the app registration")
        }
        500_113 => ("the app has no redirect URI", "add one to the app registration"),
        90_002 => {
            ("there is no such tenant in this cloud", "check the tenant id, and the cloud in the settings")
        }
        50_194 => ("a single-tenant app was used without naming its tenant", "make the app multitenant"),
        500_011 => (
            "the API does not exist in this tenant",
            "check that the customer has a Defender licence, and consent",
        ),
        650_057 => (
            "the API is not among the app's permissions",
            "add the permission to the app, then consent again",
        ),
        70_011 => ("the scope is malformed", "check `graph_resource` in the settings"),
        700_022 => ("more than one API was asked for at once", "check `graph_resource` in the settings"),
        90_014 | 900_144 => {
            ("a parameter is missing from the request", "check the app's settings: client id, credential")
        }
        901_002 => {
            ("`resource` was sent to the v2 endpoint", "check the cloud's login address in the settings")
        }
        900_561 => ("the token endpoint takes POST only", "check what stands between here and Microsoft"),
        50_034 => ("the user is not known in this tenant", "check the account"),
        50_020 => ("the account belongs to another tenant", "invite it as a guest, or use another account"),
        50_076 | 50_079 => ("multifactor authentication is needed", "sign in interactively"),
        53_003 => {
            ("conditional access blocks the sign-in", "have the customer exclude the app in the policy")
        }
        50_196 => ("the same request came in a loop", "wait some minutes; then check what repeats it"),
        50_049 => ("the cloud is not known to the identity platform", "check the cloud in the settings"),
        70_016 => ("the sign-in has not been completed yet", "open the link and enter the code"),
        70_018 => ("the device code is wrong", "start again"),
        70_019 => ("the device code has expired", "start again"),
        _ => return None,
    };
    Some(Explanation { meaning, remedy })
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn every_code_of_the_list_is_explained() {
        let codes = [
            700_016, 7_000_215, 7_000_222, 7_000_218, 700_027, 700_025, 7_000_112, 70_001, 65_001, 65_004,
            65_002, 90_094, 90_095, 90_099, 70_008, 700_082, 70_043, 50_173, 700_084, 54_005, 9_002_313,
            700_005, 501_481, 50_011, 500_113, 90_002, 50_194, 500_011, 650_057, 70_011, 700_022, 90_014,
            900_144, 901_002, 900_561, 50_034, 50_020, 50_076, 50_079, 53_003, 50_196, 50_049, 70_016,
            70_018, 70_019,
        ];
        for code in codes {
            assert!(explain(code).is_some(), "{code}");
        }
        assert_eq!(explain(1), None);
    }
}
