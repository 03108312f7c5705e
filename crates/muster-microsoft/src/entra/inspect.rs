//! What a token says, in words. Nothing is checked here: see [`super::verify`].

use jiff::Timestamp;
use muster_http::shown;
use serde::Serialize;
use serde_json::Value;

pub use super::jwt::JwtError;
use super::jwt::{self, Jwt, Object};
use super::permissions::{self, ResourceApp};
use crate::cloud;

/// A token taken apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// What kind of token it is, in words.
    pub kind: String,
    /// The header's entries, in order.
    pub header: Vec<Entry>,
    /// The claims, in order.
    pub claims: Vec<Entry>,
    /// Its times: `issued`, `valid from`, `expires`, …
    pub times: Vec<TokenTime>,
    /// Permissions, each with what it allows.
    pub permissions: Vec<TokenPermission>,
    /// What is odd or dangerous about it.
    pub warnings: Vec<String>,
}

/// An entry of a header or of claims.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// What it means; empty where it is not known.
    pub meaning: String,
}

/// A time in a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenTime {
    /// Which.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// In words: `in 43 minutes`, `3 days ago`.
    pub relative: String,
}

/// A permission in a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenPermission {
    /// Microsoft's name of it.
    pub name: String,
    /// `role` (the app as itself) or `scope` (for a person).
    pub kind: &'static str,
    /// What it allows; empty where it is not known.
    pub allows: String,
}

/// Takes a token apart and explains it.
///
/// # Errors
/// When it is no JWT, or a broken one.
pub fn inspect(token: &str, now: Timestamp) -> Result<Inspection, JwtError> {
    let token = token.trim();
    let jwt = jwt::read(token.strip_prefix("Bearer ").unwrap_or(token).trim())?;
    let explained = |object: &Object, meaning: fn(&str, &Value) -> String| {
        let entry = |(name, value): &(String, Value)| Entry {
            name: shown(name),
            value: value.clone(),
            meaning: meaning(name, value),
        };
        object.0.iter().map(entry).collect()
    };
    Ok(Inspection {
        kind: kind(&jwt).to_owned(),
        header: explained(&jwt.header, header_meaning),
        claims: explained(&jwt.claims, claim_meaning),
        times: times(&jwt, now),
        permissions: permissions_of(&jwt),
        warnings: warnings(&jwt, now),
    })
}

fn kind(jwt: &Jwt<'_>) -> &'static str {
    let claims = &jwt.claims;
    let has = |name| claims.get(name).is_some();
    match () {
        () if has("scp") => "an access token of a person: the app acts for whoever signed in",
        () if claims.text("idtyp") == Some("app") || has("roles") => {
            "an access token of an app: it acts as itself"
        }
        () if has("appid") || has("azp") => {
            "an access token of an app, without any permission in it: nobody has consented yet, or the API decides by a list of its own"
        }
        () if has("nonce") || has("c_hash") || has("at_hash") || has("preferred_username") => {
            "an id token: it tells an app who signed in, and opens no API"
        }
        () if claims.text("iss").is_some_and(|iss| claims.text("sub") == Some(iss)) => {
            "a client assertion: an app proves itself with it to a token endpoint"
        }
        () => "a JSON Web Token",
    }
}

fn header_meaning(name: &str, value: &Value) -> String {
    let text = match name {
        "typ" => "what it is",
        "alg" => match value.as_str().unwrap_or_default() {
            "RS256" => "signed with RSA (PKCS#1 v1.5) and SHA-256: what Microsoft uses",
            "PS256" => "signed with RSA (PSS) and SHA-256",
            "none" => "not signed at all",
            _ => "how it is signed",
        },
        "kid" => "which of the issuer's keys signed it",
        "x5t" => "thumbprint (SHA-1) of the certificate whose key signed it",
        "x5t#S256" => "thumbprint (SHA-256) of the certificate whose key signed it",
        "x5c" => "the certificate whose key signed it",
        "nonce" => "makes the signature checkable by Microsoft Graph alone",
        "jku" | "x5u" => "an address where its key is said to be; never to be followed",
        "crit" => "extensions that a reader must understand",
        _ => "",
    };
    text.to_owned()
}

fn claim_meaning(name: &str, value: &Value) -> String {
    let word = value.as_str().unwrap_or_default();
    let text = match name {
        "aud" => return audience_meaning(word),
        "iss" => "who issued it",
        "iat" => "when it was issued",
        "nbf" => "from when on it is good",
        "exp" => "until when it is good",
        "auth_time" => "when the person last typed a password or passed a factor",
        "tid" => "the tenant it is for",
        "appid" | "azp" | "client_id" => "the app it was issued to (client id)",
        "app_displayname" => "that app's name",
        "appidacr" | "azpacr" => match word {
            "0" => "how the app proved itself: not at all (a public client)",
            "1" => "how the app proved itself: by a client secret",
            "2" => "how the app proved itself: by a certificate or a federated credential",
            _ => "how the app proved itself",
        },
        "idtyp" => match word {
            "app" => "the app acts as itself",
            "user" => "the app acts for a person",
            _ => "who acts",
        },
        "roles" => "application permissions: what the app may do as itself",
        "scp" => "delegated permissions: what the app may do for this person",
        "wids" => "directory roles of the person (template ids)",
        "groups" => "groups of the person",
        "hasgroups" | "_claim_names" | "_claim_sources" => "the person is in more groups than fit",
        "oid" => "object id of the person or of the app's service principal in this tenant",
        "sub" => "who it is about, differently named for each app",
        "puid" | "altsecid" => "an older id of the account",
        "upn" | "unique_name" | "preferred_username" | "email" => "the account's name, for display only",
        "name" | "given_name" | "family_name" => "the person's name",
        "ipaddr" => "the address the person signed in from",
        "amr" => "how the person proved who they are (`pwd` password, `mfa` a second factor, `rsa` a key)",
        "acr" => "how strongly the person proved who they are (older form)",
        "acrs" => "which authentication contexts were passed",
        "ver" => match word {
            "1.0" => "the older token form, which the API chose",
            "2.0" => "the newer token form, which the API chose",
            _ => "version of the token's form",
        },
        "idp" => "where the person or app is registered",
        "sid" => "the session it came from",
        "nonce" => "ties an id token to one sign-in",
        "at_hash" | "c_hash" => "ties an id token to the token or code it came with",
        "jti" | "uti" => "its unique id, for Microsoft's support and sign-in logs",
        "aio" | "rh" | "xms_ftd" | "xms_idrel" | "xms_tcdt" | "xms_st" | "xms_sub_fct" | "xms_act_fct" => {
            "internal to Microsoft"
        }
        "xms_cc" => {
            "the app understands claims challenges, so the token may live long and be revoked at once"
        }
        "tenant_region_scope" => "the region of the tenant",
        "deviceid" => "the device the person signed in on",
        _ => "",
    };
    text.to_owned()
}

fn audience_meaning(audience: &str) -> String {
    match cloud::resource_app_anywhere(audience) {
        Some(app) => format!("the API it is for: {}", app.name()),
        None => "the API it is for".to_owned(),
    }
}

const TIMES: [(&str, &str); 4] =
    [("iat", "issued"), ("nbf", "valid from"), ("exp", "expires"), ("auth_time", "signed in")];

fn times(jwt: &Jwt<'_>, now: Timestamp) -> Vec<TokenTime> {
    let time = |(claim, name): (&str, &str)| {
        let at = at(jwt, claim)?;
        Some(TokenTime { name: name.to_owned(), at, relative: relative(at, now) })
    };
    TIMES.into_iter().filter_map(time).collect()
}

fn at(jwt: &Jwt<'_>, claim: &str) -> Option<Timestamp> {
    Timestamp::from_second(jwt.claims.seconds(claim)?).ok()
}

/// A time as people say it: `in 43 minutes`, `3 days ago`.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second().saturating_sub(now.as_second());
    let (number, unit) = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        seconds @ ..60 => (seconds, "second"),
        seconds @ ..3_600 => (seconds / 60, "minute"),
        seconds @ ..172_800 => (seconds / 3_600, "hour"),
        seconds @ ..63_072_000 => (seconds / 86_400, "day"),
        seconds => (seconds / 31_536_000, "year"),
    };
    let plural = if number == 1 { "" } else { "s" };
    match seconds > 0 {
        true => format!("in {number} {unit}{plural}"),
        false => format!("{number} {unit}{plural} ago"),
    }
}

fn permissions_of(jwt: &Jwt<'_>) -> Vec<TokenPermission> {
    let api = jwt.claims.list("aud").iter().find_map(|audience| cloud::resource_app_anywhere(audience));
    let of = |claim: &str, kind: &'static str| {
        let permission = move |name: String| {
            let known = permissions::by_name(api, &name).or_else(|| permissions::by_name(None, &name));
            TokenPermission {
                allows: known.map_or_else(String::new, |known| known.allows.to_owned()),
                name: shown(&name),
                kind,
            }
        };
        jwt.claims.list(claim).into_iter().map(permission).collect::<Vec<_>>()
    };
    [of("roles", "role"), of("scp", "scope")].concat()
}

fn warnings(jwt: &Jwt<'_>, now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(text);
    match jwt.header.text("alg") {
        Some("RS256" | "PS256") => {}
        Some(alg) if alg.eq_ignore_ascii_case("none") => {
            warn("it is not signed: anybody can have written it".to_owned());
        }
        Some(alg) => warn(format!("it is signed with {}, which Microsoft does not do", shown(alg))),
        None => warn("its header names no algorithm".to_owned()),
    }
    if jwt.signature.is_empty() {
        warn("it has no signature: it was cut off, or taken away".to_owned());
    }
    for (part, object) in [("header", &jwt.header), ("claims", &jwt.claims)] {
        let mut names: Vec<&str> = object.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            warn(format!(
                "`{}` is in its {part} twice: readers differ in which one they take",
                shown(pair[0])
            ));
        }
    }
    match (at(jwt, "exp"), at(jwt, "nbf").or_else(|| at(jwt, "iat"))) {
        (None, _) => warn("it has no end that can be read".to_owned()),
        (Some(end), _) if end <= now => warn(format!("it expired {}", relative(end, now))),
        (Some(end), Some(begin)) if end <= begin => warn("it ends before it begins".to_owned()),
        (Some(_), Some(begin)) if begin > now => {
            warn(format!("it is not good yet (from {begin} on): check this machine's clock"));
        }
        (Some(end), _) if end.as_second().saturating_sub(now.as_second()) > 48 * 3_600 => {
            warn("it is good for more than two days, which access tokens are not".to_owned());
        }
        _ => {}
    }
    if jwt
        .claims
        .list("aud")
        .iter()
        .any(|audience| cloud::resource_app_anywhere(audience) == Some(ResourceApp::AzureAdGraph))
    {
        warn(
            "it is for Azure AD Graph, which Microsoft has retired; only the old SIEM feed takes it"
                .to_owned(),
        );
    }
    let mighty: Vec<String> = permissions_of(jwt)
        .into_iter()
        .map(|permission| permission.name)
        .filter(|name| name.contains("Write") || MIGHTY.contains(&name.as_str()))
        .collect();
    if !mighty.is_empty() {
        warn(format!("it allows more than reading: {}", shown(&mighty.join(", "))));
    }
    warnings
}

/// Permissions that do something, without the word "write" in their names.
const MIGHTY: [&str; 7] = [
    "Machine.Isolate",
    "Machine.Scan",
    "Machine.RestrictExecution",
    "Machine.StopAndQuarantine",
    "Machine.CollectForensics",
    "Machine.LiveResponse",
    "Machine.Offboard",
];

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_is_explained_in_words() {
        let token = token(
            r#"{"typ":"JWT","alg":"RS256","kid":"k","nonce":"n"}"#,
            r#"{"aud":"https://graph.microsoft.com","iat":1799999700,"nbf":1799999700,"exp":1800002580,"appidacr":"2",
                "roles":["SecurityAlert.Read.All","Made.Up"],"tid":"t","ver":"1.0","unheard":{"of":1}}"#,
        );
        let told = inspect(&format!(" Bearer {token}\n"), now()).expect("a token");
        assert_eq!(told.kind, "an access token of an app: it acts as itself");
        let meaning = |name: &str| {
            let entry = told.header.iter().chain(&told.claims).find(|entry| entry.name == name);
            entry.expect("the entry").meaning.clone()
        };
        assert_eq!(meaning("aud"), "the API it is for: Microsoft Graph");
        assert!(meaning("appidacr").ends_with("by a certificate or a federated credential"));
        assert_eq!(meaning("nonce"), "makes the signature checkable by Microsoft Graph alone");
        assert_eq!(meaning("unheard"), "");
        let times: Vec<_> =
            told.times.iter().map(|time| (time.name.as_str(), time.relative.as_str())).collect();
        assert_eq!(
            times,
            [("issued", "5 minutes ago"), ("valid from", "5 minutes ago"), ("expires", "in 43 minutes")]
        );
        assert_eq!(told.permissions[0].allows, "read the security alerts of all Microsoft Defender products");
        assert_eq!((told.permissions[1].kind, told.permissions[1].allows.as_str()), ("role", ""));
        assert_eq!(told.warnings, [] as [&str; 0]);
        assert_eq!(told.claims[0].name, "aud");
        assert_eq!(told.claims.last().expect("claims").name, "unheard");
    }

    #[test]
    fn what_is_dangerous_is_said() {
        let of =
            |header: &str, claims: &str| inspect(&token(header, claims), now()).expect("a token").warnings;
        let rs256 = r#"{"alg":"RS256"}"#;
        for (header, claims, word) in [
            (r#"{"alg":"none"}"#, r#"{"exp":1800000100}"#, "not signed"),
            (r#"{"alg":"HS256"}"#, r#"{"exp":1800000100}"#, "HS256"),
            ("{}", r#"{"exp":1800000100}"#, "no algorithm"),
            (rs256, "{}", "no end"),
            (rs256, r#"{"exp":1799740800}"#, "expired 3 days ago"),
            (rs256, r#"{"exp":1800000100,"nbf":1800000200}"#, "ends before it begins"),
            (rs256, r#"{"exp":1800000300,"nbf":1800000200}"#, "clock"),
            (rs256, r#"{"exp":1900000000}"#, "more than two days"),
            (rs256, r#"{"exp":1800000100,"tid":"a","tid":"b"}"#, "`tid` is in its claims twice"),
            (rs256, r#"{"exp":1800000100,"aud":"https://graph.windows.net"}"#, "retired"),
            (rs256, r#"{"exp":1800000100,"scp":"SecurityAlert.ReadWrite.All openid"}"#, "more than reading"),
            (rs256, r#"{"exp":1800000100,"roles":["Machine.Isolate"]}"#, "more than reading"),
        ] {
            let warnings = of(header, claims);
            assert!(warnings.iter().any(|warning| warning.contains(word)), "{claims}: {warnings:?}");
        }
        assert_eq!(of(rs256, r#"{"exp":1800000100}"#), [] as [&str; 0]);
    }

    #[test]
    fn kinds_are_told_apart() {
        let kind = |claims: &str| inspect(&token(r#"{"alg":"RS256"}"#, claims), now()).expect("a token").kind;
        assert!(kind(r#"{"scp":"User.Read","roles":["x"]}"#).contains("of a person"));
        assert!(kind(r#"{"idtyp":"app"}"#).contains("of an app: it acts"));
        assert!(kind(r#"{"appid":"x"}"#).contains("without any permission"));
        assert!(kind(r#"{"nonce":"x","sub":"y"}"#).contains("id token"));
        assert!(kind(r#"{"iss":"x","sub":"x"}"#).contains("client assertion"));
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let said =
            |seconds: i64| relative(Timestamp::from_second(1_800_000_000 + seconds).expect("a time"), now());
        for (seconds, words) in [
            (0, "now"),
            (1, "in 1 second"),
            (-59, "59 seconds ago"),
            (60, "in 1 minute"),
            (2_580, "in 43 minutes"),
            (-86_400, "24 hours ago"),
            (-3 * 86_400, "3 days ago"),
            (90 * 86_400, "in 90 days"),
            (-63_072_000, "2 years ago"),
        ] {
            assert_eq!(said(seconds), words);
        }
    }

    #[test]
    fn a_megabyte_of_garbage_is_told_in_one_line() {
        let error = inspect(&"\u{1b}[31m".repeat(1 << 18), now()).expect_err("no token");
        assert!(matches!(error, JwtError::TooLarge { .. }));
        assert_eq!(inspect("  ", now()), Err(JwtError::Empty));
    }

    proptest! {
        #[test]
        fn any_claims_are_survived(claims in "\\{(\"[a-z]{1,4}\":(-?[0-9]{1,30}|\"[^\"\\\\]{0,9}\"|null|\\[1,\"x\"\\]),){0,5}\"exp\":-?[0-9]{1,25}\\}") {
            drop(inspect(&token(r#"{"alg":"RS256"}"#, &claims), now()));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,300}") {
            drop(inspect(&text, now()));
        }

        #[test]
        fn any_time_can_be_said(at in -377_705_023_201_i64..=253_402_207_200, now in -377_705_023_201_i64..=253_402_207_200) {
            let time = |seconds| Timestamp::from_second(seconds).expect("in range");
            prop_assert!(!relative(time(at), time(now)).is_empty());
        }
    }
}
