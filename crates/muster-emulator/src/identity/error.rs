//! What the identity platform says when it refuses: its codes, and how they are written.

use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::world::tenants::World;

use super::pages;
use super::platform::Scene;

/// Every code that the emulator knows, in order: a row of `codes.tsv` each. Where a text names things, the caller fills
/// it in.
static CODES: LazyLock<Vec<Code>> = LazyLock::new(|| {
    let rows = include_str!("codes.tsv").lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| Code::read(row).unwrap_or_else(|| panic!("codes.tsv: {row}"))).collect()
});

/// A code and what goes with it.
struct Code {
    number: u32,
    status: StatusCode,
    error: &'static str,
    suberror: Option<&'static str>,
    text: &'static str,
}

impl Code {
    fn read(row: &'static str) -> Option<Self> {
        let [number, status, error, suberror, text] = row.split('\t').collect::<Vec<_>>().try_into().ok()?;
        Some(Self {
            number: number.parse().ok()?,
            status: status.parse().ok()?,
            error,
            suberror: Some(suberror).filter(|suberror| *suberror != "-"),
            text,
        })
    }

    fn find(number: u32) -> Option<&'static Self> {
        CODES.binary_search_by_key(&number, |code| code.number).ok().map(|place| &CODES[place])
    }
}

/// What the person's next sign-in has to be asked for with, where a policy wants more of them.
const POLICY_CLAIMS: &str =
    r#"{"access_token":{"capolids":{"essential":true,"values":["b6a1c0de-0b1e-4c55-9d3f-2c9a1e7f5a10"]}}}"#;

/// A refusal.
#[derive(Debug)]
pub(crate) struct AadError {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) codes: Vec<u32>,
    pub(crate) text: String,
    pub(crate) suberror: Option<&'static str>,
    pub(crate) claims: Option<String>,
}

/// Whether the emulator can refuse with a code.
pub(crate) fn is_known(code: u32) -> bool {
    Code::find(code).is_some()
}

/// The refusal of a code, with its usual text. A code that is in no table is written as a plain bad request.
pub(crate) fn aad(code: u32) -> AadError {
    let unknown = Code {
        number: code,
        status: StatusCode::BAD_REQUEST,
        error: "invalid_request",
        suberror: None,
        text: "The request was refused.",
    };
    let known = Code::find(code).unwrap_or(&unknown);
    AadError {
        status: known.status,
        error: known.error,
        codes: vec![code],
        text: known.text.to_owned(),
        suberror: known.suberror,
        claims: (known.suberror == Some("basic_action")).then(|| POLICY_CLAIMS.to_owned()),
    }
}

/// The refusal of a request that lacks a parameter.
pub(crate) fn missing(name: &str) -> AadError {
    aad(900_144).text(format!("The request body must contain the following parameter: '{name}'."))
}

/// The refusal of a request to a tenant that does not exist.
pub(crate) fn unknown_tenant(name: &str) -> AadError {
    aad(90_002).text(format!(
        "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct \
         cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for \
         the tenant."
    ))
}

/// The refusal of an app that a tenant does not have.
pub(crate) fn unknown_app(client: &str, directory: &str) -> AadError {
    aad(700_016).text(format!(
        "Application with identifier '{client}' was not found in the directory '{directory}'. This can happen if the \
         application has not been installed by the administrator of the tenant or consented to by any user in the \
         tenant. You may have sent your authentication request to the wrong tenant."
    ))
}

impl AadError {
    /// The same with a text that names things.
    #[must_use]
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// The same with another `error`.
    #[must_use]
    pub(crate) fn error(mut self, error: &'static str) -> Self {
        self.error = error;
        self
    }

    pub(crate) fn code(&self) -> u32 {
        self.codes.last().copied().unwrap_or_default()
    }

    /// `AADSTS<code>: <text>`, as pages and redirects begin it.
    pub(crate) fn line(&self) -> String {
        format!("AADSTS{}: {}", self.codes.first().copied().unwrap_or_default(), self.text)
    }
}

/// The ids that go with a refusal.
pub(crate) struct Trace {
    pub(crate) trace: String,
    pub(crate) correlation: String,
    /// `2026-01-02 03:04:05Z`.
    pub(crate) timestamp: String,
}

impl Trace {
    pub(crate) fn of(world: &World, call: &Call<'_>, mut guid: impl FnMut() -> String) -> Self {
        let now = world.now().to_string();
        let correlation = call
            .headers
            .get("client-request-id")
            .and_then(|value| value.to_str().ok())
            .filter(|id| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic()));
        Self {
            trace: guid(),
            correlation: correlation.map_or_else(guid, str::to_owned),
            timestamp: format!("{} {}Z", &now[..10], &now[11..19]),
        }
    }

    /// The description of a refusal, in four lines.
    pub(crate) fn describe(&self, error: &AadError) -> String {
        format!(
            "{}\r\nTrace ID: {}\r\nCorrelation ID: {}\r\nTimestamp: {}",
            error.line(),
            self.trace,
            self.correlation,
            self.timestamp
        )
    }

    /// The refusal as the token endpoint and discovery write it.
    pub(crate) fn answer(&self, call: &Call<'_>, error: &AadError) -> Answer {
        let code = error.code();
        let mut body = json!({
            "error": error.error,
            "error_description": self.describe(error),
            "error_codes": error.codes,
            "timestamp": self.timestamp,
            "trace_id": self.trace,
            "correlation_id": self.correlation,
            "error_uri": format!("{}/error?code={code}", call.base),
        });
        if let Some(suberror) = error.suberror {
            body["suberror"] = Value::from(suberror);
        }
        if let Some(claims) = &error.claims {
            body["claims"] = Value::from(claims.as_str());
        }
        Answer::json(error.status, body.to_string())
            .uncached()
            .with(HeaderName::from_static("x-ms-clitelem"), format!("1,{code},0,,"))
    }
}

/// A refusal as a page.
pub(crate) fn refused(scene: &Scene<'_>, error: &AadError, guid: impl FnMut() -> String) -> Answer {
    let description = Trace::of(scene.world, scene.call, guid).describe(error);
    pages::refusal(StatusCode::BAD_REQUEST, &description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_in_order() {
        assert!(CODES.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert!(CODES.iter().all(|code| (400..600).contains(&code.status.as_u16()) && !code.text.is_empty()));
    }
}
